"""An order above the exchange's freeze quantity is sent in slices. Values in, values out."""

from decimal import Decimal

from tvapp.lib.money import ZERO, floor_to


def largest(freeze: Decimal | None, lot: Decimal | None) -> Decimal | None:
    """The most one order may have: whole lots within the freeze quantity. None: no limit is known. 0: not even one lot fits."""
    return None if freeze is None else floor_to(freeze, lot or ZERO)


def sizes(total: Decimal, freeze: Decimal | None, lot: Decimal | None) -> list[Decimal]:
    """The slices of `total`, one when it fits. The odd rest comes first: it goes under the decision about the whole, the others are whole lots.

    Adds up to `total`; no slice is above the freeze quantity. The gate sees to it that there are ten at most.
    """
    most = largest(freeze, lot)
    if not most or total <= most:
        return [total]
    full = int(total // most)
    rest = total - full * most
    return [rest] * bool(rest) + [most] * full
