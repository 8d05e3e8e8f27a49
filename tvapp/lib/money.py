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
