"""A finding in words, with both numbers."""

from decimal import ROUND_CEILING, Context, Decimal

from risk.codes import MISSING, UNREADABLE, Code
from risk.types import Finding, Verdict

WIDE = Context(prec=200)


def phrase(finding: Finding) -> str:
    """The finding in words, without a full stop: `max_order_value=100000 (STRATEGY breakout), order value 337,488.00`."""
    code = Code(finding.code)
    words = {
        "rule": finding.rule,
        "scope": finding.scope.replace(":", " ", 1),
        "limit": span(finding.limit) if finding.unit == "s" else finding.limit,
        "actual": _measure(finding.actual, finding.unit),
    }
    if finding.actual == UNREADABLE:
        return "{rule}={limit} ({scope}) cannot be read as a limit".format(**words)
    if finding.actual == MISSING and code.missing:
        return code.missing.format(**words)
    parts = [code.sentence] + ([code.measured] if code.measured and finding.verdict != Verdict.CLAMP else [])
    return ", ".join(part for part in (text.format(**words) for text in parts) if part)


def _measure(actual: str, unit: str) -> str:
    try:
        return money(Decimal(actual)) if unit == "INR" else span(actual) if unit == "s" else actual
    except ArithmeticError:  # nothing was measured: "", missing, unreadable
        return actual


def money(value: Decimal) -> str:
    """`337,488.00`. Rounded up, so that a value just above its limit never looks equal to it."""
    return f"{value.quantize(Decimal('0.01'), ROUND_CEILING, WIDE):,}"


def span(seconds: str) -> str:
    """`60.2` is "60.2 s", `150` "2 min 30 s", `21660` "6 h 1 min". Empty and other texts stay as they are."""
    try:
        total = Decimal(seconds)
    except ArithmeticError:
        return seconds
    if total < 120:
        return f"{total.quantize(Decimal('0.1'), ROUND_CEILING):f}".removesuffix(".0") + " s"
    minutes, rest = divmod(int(total), 60)
    hours, small = divmod(minutes, 60)
    large, little = (f"{hours} h", f"{small} min") if hours else (f"{minutes} min", f"{rest} s")
    return large if little.startswith("0 ") else f"{large} {little}"
