"""Decimal helpers: money is never a float. Rounding always names its direction."""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

ZERO = Decimal(0)


def floor_to(value: Decimal, step: Decimal) -> Decimal:
    """The largest multiple of `step` that is not above `value`; a step of 0 or less leaves it alone."""
    if step <= 0:
        return value
    return (value / step).to_integral_value(ROUND_FLOOR) * step


def ceil_to(value: Decimal, step: Decimal) -> Decimal:
    """The smallest multiple of `step` that is not below `value`; a step of 0 or less leaves it alone."""
    if step <= 0:
        return value
    return (value / step).to_integral_value(ROUND_CEILING) * step


def on_step(value: Decimal, step: Decimal) -> bool:
    """Whether `value` is a whole multiple of `step`."""
    return step <= 0 or value % step == 0


def plain(value: Decimal | None) -> str | None:
    """Exact decimals without an exponent and without idle zeros: `1E+2` is "100", `1.50` is "1.5"."""
    if value is None:
        return None
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def grouped(digits: str) -> str:
    """Indian grouping of a whole number's digits: 12345678 is 1,23,45,678."""
    head, tail = digits[:-3], digits[-3:]
    while len(head) > 2:
        head, tail = head[:-2], f"{head[-2:]},{tail}"
    return f"{head},{tail}" if head else tail


def rupees(value: Decimal | None) -> str:
    """A price as a sentence says it: ₹1,013.40; at least two decimals, none of them rounded away. Empty for None."""
    text = plain(value)
    if text is None:
        return ""
    whole, _, rest = text.removeprefix("-").partition(".")
    sign = "\u2212" if text.startswith("-") else ""
    return f"{sign}₹{grouped(whole)}.{rest:0<2}"
