"""At which price an order is sent: on the tick, and never worse than the trader allowed. Values in, values out."""

from dataclasses import dataclass
from decimal import Decimal

from tvapp.lib.money import ZERO, ceil_to, floor_to, plain

from .types import OrderSide, OrderType

PRICED = (OrderType.LIMIT, OrderType.SL)
TRIGGERED = (OrderType.SL, OrderType.SL_M)


def slippage_limit(side: str, reference: Decimal, pct: Decimal, tick: Decimal) -> Decimal | None:
    """The limit of a MARKET order that may move at most `pct` percent against the trader: BUY 812.35 with 0.3 on tick 0.05 is 814.75.

    Rounded so that it is never worse than the percentage allows. None when no such price is on the tick.
    """
    if side == OrderSide.BUY:
        limit = floor_to(reference * (100 + pct) / 100, tick)
    else:
        limit = ceil_to(reference * (100 - pct) / 100, tick)
    return limit if limit > 0 else None


@dataclass(frozen=True, slots=True)
class Snapped:
    """Prices on the tick and what was moved, `Price 320.29 -> 320.25`. With a `fault` they make no order as they are."""

    price: Decimal | None
    trigger_price: Decimal | None
    notes: tuple[str, ...] = ()
    fault: str = ""


def snap(order_type: str, side: str, price: Decimal | None, trigger: Decimal | None, tick: Decimal | None) -> Snapped:
    """A limit moves to the trader's better side, a trigger away from the market; what the type does not use is left alone.

    `fault` is a sentence: a price below one tick (left as it is), or a stop whose limit no longer lies beyond its trigger.
    """
    buy, step = side == OrderSide.BUY, tick or ZERO
    limit_to, trigger_to = (floor_to, ceil_to) if buy else (ceil_to, floor_to)
    new_price = limit_to(price, step) if price is not None and order_type in PRICED else price
    new_trigger = trigger_to(trigger, step) if trigger is not None and order_type in TRIGGERED else trigger
    for name, old, new in (("Price", price, new_price), ("Trigger price", trigger, new_trigger)):
        if old is not None and new is not None and new <= 0:
            return Snapped(price, trigger, fault=f"{name} {plain(old)} is below one tick, {plain(tick)}.")
    if order_type == OrderType.SL and _crossed(buy, new_price, new_trigger):
        fault = f"A {side} with trigger {plain(new_trigger)} needs its limit beyond it, not {plain(new_price)}."
        return Snapped(new_price, new_trigger, fault=fault)
    return Snapped(new_price, new_trigger, _moved("Price", price, new_price, tick) + _moved("Trigger price", trigger, new_trigger, tick))


def _moved(name: str, old: Decimal | None, new: Decimal | None, tick: Decimal | None) -> tuple[str, ...]:
    return () if old == new else (f"{name} {plain(old)} -> {plain(new)}, the tick is {plain(tick)}.",)


def _crossed(buy: bool, price: Decimal | None, trigger: Decimal | None) -> bool:
    return price is not None and trigger is not None and (price < trigger if buy else price > trigger)
