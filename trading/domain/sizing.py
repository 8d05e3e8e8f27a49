"""How many units an order should have: from the alert's figure in whatever unit, or from the strategy's own sizing. Values in, values out.

Worked examples at a price of 500 with a capital of 100,000, lot 1: 20,000 rupees buy 40; 10 % of the capital 20;
1 % at risk with a stop at 490 (10 away) 100; 2,000 rupees at risk 200.
"""

from dataclasses import dataclass
from decimal import Decimal

from tvapp.lib.money import ZERO, floor_to, plain, rupees

from . import brackets
from .signal import Signal
from .types import OrderSide, QuantityUnit, SizingMethod

HUNDRED = Decimal(100)
OF_SIGNAL = {
    SizingMethod.LOTS: QuantityUnit.LOTS,
    SizingMethod.CAPITAL: QuantityUnit.QUOTE,
    SizingMethod.PCT_CAPITAL: QuantityUnit.PCT_EQUITY,
    SizingMethod.RISK: QuantityUnit.RISK_PCT,
}
BY_MONEY = (SizingMethod.CAPITAL, SizingMethod.PCT_CAPITAL, SizingMethod.RISK)


@dataclass(frozen=True, slots=True)
class Sizing:
    """The strategy's sizing: `value` in units, lots, rupees or percent. With FROM_SIGNAL it is the quantity of an alert that names none.

    `capital` in rupees is what percentages count from, `multiplier` what one unit is worth per point of price, `price` the market's
    where the alert names none.
    """

    method: str = SizingMethod.FROM_SIGNAL
    value: Decimal | None = None
    capital: Decimal | None = None
    multiplier: Decimal = Decimal(1)
    price: Decimal | None = None

    @property
    def own(self) -> bool:
        """The alert's quantity does not count."""
        return self.method != SizingMethod.FROM_SIGNAL

    @property
    def unit(self) -> QuantityUnit:
        """What `value` is counted in."""
        return OF_SIGNAL.get(SizingMethod(self.method), QuantityUnit.UNITS)


@dataclass(frozen=True, slots=True)
class Sized:
    """`quantity` in units, None when it cannot be worked out; `note` says how it came about, or why it did not."""

    quantity: Decimal | None
    note: str = ""


def size(value: Decimal, unit: QuantityUnit, signal: Signal, side: str, lot: Decimal | None, sizing: Sizing) -> Sized:
    """`value` of `unit` as units. Money and percentages need a price and a lot, risk a stop; all but plain units are floored to the lot."""
    if unit is QuantityUnit.UNITS:
        return Sized(value)
    if not lot:
        return Sized(None, f"It is sized by {_worded(value, unit)}, and the lot is not known.")
    if unit is QuantityUnit.LOTS:
        return Sized(value * lot)
    price = signal.limit_price or signal.trigger_price or signal.ref_price or sizing.price
    if price is None:
        return Sized(None, f"It is sized by {_worded(value, unit)}, and there is no price to count with.")
    amount = _amount(value, unit, sizing)
    if amount is None:
        return Sized(None, f"It is sized by {_worded(value, unit)}, and the capital is not known.")
    per_unit, against = _per_unit(unit, signal, side, price)
    if per_unit is None:
        return Sized(None, f"It is sized by {_worded(value, unit)}, and {against}.")
    return _floored(amount, per_unit * sizing.multiplier, lot, against)


def _amount(value: Decimal, unit: QuantityUnit, sizing: Sizing) -> Decimal | None:
    """In rupees."""
    if unit in (QuantityUnit.QUOTE, QuantityUnit.RISK_AMOUNT):
        return value
    return sizing.capital * value / HUNDRED if sizing.capital is not None and sizing.capital > 0 else None


def _per_unit(unit: QuantityUnit, signal: Signal, side: str, price: Decimal) -> tuple[Decimal | None, str]:
    """Rupees one unit takes of the amount, and in words what that is; None and why there is none."""
    if unit not in (QuantityUnit.RISK_PCT, QuantityUnit.RISK_AMOUNT):
        return price, f"a price of {rupees(price)}"
    asked = brackets.of(signal)
    stop = brackets.levels(asked, side, price, ZERO).stop if asked else None
    if stop is None:
        return None, "it names no stop"
    away = price - stop if side == OrderSide.BUY else stop - price
    if away <= 0:
        return None, f"its stop at {plain(stop)} is on the wrong side of {plain(price)}"
    return away, f"{plain(away)} at risk per unit"


def _floored(amount: Decimal, per_unit: Decimal, lot: Decimal, against: str) -> Sized:
    quantity = floor_to(amount / per_unit, lot)
    if quantity <= 0:
        return Sized(None, f"{rupees(amount)} at {against} is less than one lot of {plain(lot)}.")
    return Sized(quantity, f"{rupees(amount)} at {against} makes {plain(quantity)}.")


def _worded(value: Decimal, unit: QuantityUnit) -> str:
    words = {
        QuantityUnit.LOTS: "{} lots",
        QuantityUnit.QUOTE: "{} rupees",
        QuantityUnit.PCT_EQUITY: "{} % of the capital",
        QuantityUnit.RISK_AMOUNT: "{} rupees at risk",
        QuantityUnit.RISK_PCT: "{} % of the capital at risk",
        QuantityUnit.PCT_POSITION: "{} % of the position",
    }
    return words.get(unit, "{}").format(plain(value))
