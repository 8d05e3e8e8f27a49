"""Stop, target and trail that follow an order's fills: at which prices, for how much, and when none can be placed. Values in, values out.

`side` is always the entry's side: for a BUY the stop lies below the fill and the target above it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tvapp.lib.money import ZERO, ceil_to, floor_to, plain

from .signal import Bracket, Signal
from .types import BracketKind, OrderSide, OrderType

HUNDRED = Decimal(100)
NEAREST_PCT = Decimal("0.25")  # a broker switches off a trigger that is closer to the last price than this
SLIP_PCT = Decimal(1)  # how far beyond its trigger the stop of a GTT may fill: it is a LIMIT order
NAMES = ("stop", "target", "trail")


@dataclass(frozen=True, slots=True)
class Brackets:
    """What came with a signal. `trailing_order`: the order itself is to trail, not a stop behind it."""

    stop: Bracket | None = None
    target: Bracket | None = None
    trail: Bracket | None = None
    trailing_order: bool = False

    def __bool__(self) -> bool:
        return self.trailing_order or any(getattr(self, name) for name in NAMES)


@dataclass(frozen=True, slots=True)
class Levels:
    """Where the exits of a fill stand; None where none was asked. With a trail `stop` is where it begins."""

    stop: Decimal | None = None
    target: Decimal | None = None


def of(signal: Signal) -> Brackets:
    return Brackets(signal.stop_loss, signal.take_profit, signal.trail, signal.order_type is OrderType.TRAILING)


def to_data(asked: Brackets) -> dict[str, object]:
    """As JSON, numbers as text; empty when nothing was asked."""
    found: dict[str, object] = {
        name: {"kind": given.kind.value, "value": plain(given.value)} for name in NAMES if (given := getattr(asked, name)) is not None
    }
    return found | ({"trailing_order": True} if asked.trailing_order else {})


def from_data(data: Mapping[str, Any]) -> Brackets:
    """What `to_data` wrote."""
    given = {name: Bracket(BracketKind(data[name]["kind"]), Decimal(data[name]["value"])) for name in NAMES if name in data}
    return Brackets(**given, trailing_order=bool(data.get("trailing_order")))


def worded(asked: Brackets) -> str:
    """`a stop at 95 and a target of 1.5 %`."""
    words = {"stop": "stop", "target": "target", "trail": "trailing stop"}
    given = [f"a {words[name]} {_worded(bracket)}" for name in NAMES if (bracket := getattr(asked, name))]
    return " and ".join(given or ["a trailing stop order"])


def _worded(bracket: Bracket) -> str:
    unit = {BracketKind.PRICE: "at {}", BracketKind.PCT: "of {} %", BracketKind.POINTS: "of {} points"}[bracket.kind]
    return unit.format(plain(bracket.value))


# --- where ------------------------------------------------------------------------------------------------------


def levels(asked: Brackets, side: str, fill_price: Decimal, tick: Decimal) -> Levels:
    """The exits' prices on the tick: a trigger moves away from the market, a target to the trader's better side."""
    long = side == OrderSide.BUY
    stop_at = [_away(b, fill_price, -1 if long else 1) for b in (asked.stop, asked.trail) if b]
    stop = (max(stop_at) if long else min(stop_at)) if stop_at else None
    target = _away(asked.target, fill_price, 1 if long else -1) if asked.target else None
    return Levels(
        None if stop is None else (floor_to if long else ceil_to)(stop, tick),
        None if target is None else (ceil_to if long else floor_to)(target, tick),
    )


def _away(bracket: Bracket, price: Decimal, direction: int) -> Decimal:
    if bracket.kind is BracketKind.PRICE:
        return bracket.value
    return price + direction * distance(bracket, price)


def distance(bracket: Bracket, price: Decimal) -> Decimal:
    """How far PCT or POINTS are from `price`."""
    return price * bracket.value / HUNDRED if bracket.kind is BracketKind.PCT else bracket.value


def stop_limit(side: str, trigger: Decimal, tick: Decimal) -> Decimal:
    """The worst price a stop that can only be a LIMIT may fill at, beyond its trigger; at least one tick."""
    if side == OrderSide.BUY:
        return max(floor_to(trigger * (1 - SLIP_PCT / HUNDRED), tick), tick)
    return ceil_to(trigger * (1 + SLIP_PCT / HUNDRED), tick)


def trailed(side: str, trail: Bracket, best: Decimal, present: Decimal, tick: Decimal) -> Decimal:
    """The trigger behind the best price since the fill. It never moves against the trader."""
    if side == OrderSide.BUY:
        return max(present, floor_to(best - distance(trail, best), tick))
    return min(present, ceil_to(best + distance(trail, best), tick))


def better(side: str, one: Decimal, other: Decimal) -> Decimal:
    """The price that is better to hold: the higher for a BUY, the lower for a SELL."""
    return max(one, other) if side == OrderSide.BUY else min(one, other)


def fault(asked: Brackets, side: str, reference: Decimal | None, tick: Decimal | None) -> str:
    """Why these cannot be placed, as a sentence; empty when they can. `reference`: the best guess of the fill price, None when there is none."""
    if asked.trailing_order:
        return "The alert asks for a trailing stop order, which the desk does not place."
    if asked.trail and asked.trail.kind is BracketKind.PRICE:
        return "A trailing stop needs a distance, in percent or points, not a price."
    if not tick:
        return "Stop and target need a tick, and none is known for this instrument."
    return _misplaced(asked, side, reference, tick) if reference else ""


def _misplaced(asked: Brackets, side: str, reference: Decimal, tick: Decimal) -> str:
    found, long = levels(asked, side, reference, tick), side == OrderSide.BUY
    for name, level, above in (("stop", found.stop, not long), ("target", found.target, long)):
        if level is None:
            continue
        if level <= 0:
            return f"The {name} would lie at {plain(level)}, below one tick."
        if level == reference or (level > reference) is not above:
            return f"The {name} of a {side} must be {'above' if above else 'below'} its price {plain(reference)}, not at {plain(level)}."
    return ""


def too_near(trigger: Decimal, last: Decimal) -> str:
    """A sentence when a broker would switch a trigger off for being too close to the last price, else empty."""
    gap = abs(trigger - last) / last * HUNDRED
    if gap >= NEAREST_PCT:
        return ""
    return f"The trigger {plain(trigger)} is {plain(round(gap, 2))} % from the last price {plain(last)}; a GTT needs at least {plain(NEAREST_PCT)} %."


# --- how much ---------------------------------------------------------------------------------------------------


def price_between(fills: Sequence[tuple[Decimal, Decimal]], start: Decimal, end: Decimal) -> Decimal:
    """The average price of the units from `start` to `end` of (quantity, price) fills in their order. `end` > `start`."""
    seen = value = ZERO
    for quantity, price in fills:
        taken = max(min(seen + quantity, end) - max(seen, start), ZERO)
        value, seen = value + taken * price, seen + quantity
    return value / (min(seen, end) - start)


def shares(rests: Sequence[Decimal], open_quantity: Decimal) -> list[Decimal]:
    """How much each pair of exits may still close, the oldest first: together never more than is open. The oldest is cut first."""
    excess, kept = max(sum(rests, ZERO) - max(open_quantity, ZERO), ZERO), []
    for rest in rests:
        cut = min(rest, excess)
        excess -= cut
        kept.append(rest - cut)
    return kept
