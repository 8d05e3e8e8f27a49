"""From a signal and the present position to what should be ordered. No limits are judged here: that is the risk gate's."""

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from tvapp.lib.money import floor_to, plain

from . import brackets
from .brackets import Brackets
from .pricing import PRICED, TRIGGERED, snap
from .signal import Signal
from .sizing import BY_MONEY, Sizing, size
from .types import Action, Effect, Intent, OrderSide, OrderType, QuantityUnit, Validity

ZERO = Decimal(0)
MOST = Decimal(10) ** 13  # a column holds ten times as much


class PlanAction(StrEnum):
    ORDER = "ORDER"
    NO_ACTION = "NO_ACTION"
    CANCEL = "CANCEL"


class WaitReason(StrEnum):
    """Why a planned order waits for a person, even in AUTO."""

    ACTION_TARGET_MISMATCH = "ACTION_TARGET_MISMATCH"
    ACTION_UNKNOWN = "ACTION_UNKNOWN"
    QUANTITY_UNKNOWN = "QUANTITY_UNKNOWN"
    PRICE_UNAVAILABLE = "PRICE_UNAVAILABLE"
    PRICE_OFF_TICK = "PRICE_OFF_TICK"
    BRACKET_UNSUPPORTED = "BRACKET_UNSUPPORTED"


@dataclass(frozen=True, slots=True)
class Defaults:
    """What the strategy fills in, or insists on: its product wins unless `product_from_signal`."""

    product: str
    product_from_signal: bool = True
    order_type: str = OrderType.MARKET


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, and in `notes` why, as sentences for the trader.

    ORDER: `quantity` is in units, None when it is not known; `reasons` make it wait for a person; `side` is None only with
    ACTION_UNKNOWN. CANCEL: the live orders of the strategy on this instrument are to be cancelled.
    """

    action: PlanAction
    side: OrderSide | None = None
    quantity: Decimal | None = None
    reduce_only: bool = False
    order_type: str = OrderType.MARKET
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    product: str = ""
    validity: str = Validity.DAY
    ref_price: Decimal | None = None
    brackets: Brackets = Brackets()  # noqa: RUF009 - immutable
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Findings:
    """Reasons and notes as they come up."""

    reasons: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def wait(self, reason: WaitReason, note: str) -> None:
        self.reasons.append(reason.value)
        self.notes.append(note)


@dataclass(frozen=True, slots=True)
class _Change:
    """A wanted change of position: side None is nothing to do, quantity None is not known."""

    side: OrderSide | None
    quantity: Decimal | None = None
    reduce_only: bool = False


def plan(
    signal: Signal,
    *,
    position: Decimal | None,
    sellable: Decimal | None,
    lot: Decimal | None,
    tick: Decimal | None,
    sizing: Sizing,
    defaults: Defaults,
) -> Plan:
    """What a signal asks for.

    `position`: the strategy's signed position in (account, instrument, product), the remaining quantity of its live
    orders included. `sellable`: what the account could sell of it without going short, None when that is not known.
    `lot` and `tick` are None while the instrument is not resolved.
    """
    if signal.action is Action.CANCEL:
        return Plan(PlanAction.CANCEL)
    found = _Findings()
    wanted = _unplaced(signal, lot, sizing, found) if position is None else _change(signal, position, lot, sizing, found)
    change = _storable(_fractions(_capped(wanted, signal, position or ZERO, sellable, found), lot, found), found)
    if change.side is None and not found.reasons:
        return Plan(PlanAction.NO_ACTION, notes=tuple(found.notes))
    if position is not None:
        _cross_check(signal, position, change, found)
    order_type, price, trigger = _prices(signal, change.side, tick, defaults, found)
    follow = _brackets(signal, change, (price, trigger), tick, found)
    return Plan(
        PlanAction.ORDER,
        side=change.side,
        quantity=change.quantity,
        reduce_only=change.reduce_only,
        order_type=order_type,
        price=price,
        trigger_price=trigger,
        product=_product(signal, defaults, found),
        validity=signal.validity or Validity.DAY,
        ref_price=signal.ref_price or signal.limit_price,
        brackets=follow,
        reasons=tuple(found.reasons),
        notes=tuple(found.notes),
    )


def sender_drift(signal: Signal, position: Decimal) -> str:
    """A sentence when the sender's position before the signal is not ours (SENDER_POSITION_DRIFT), else empty."""
    if signal.prev_position is None or signal.prev_position == position:
        return ""
    return f"The sender held {plain(signal.prev_position)} before this alert; the desk holds {plain(position)}."


# --- how much ---------------------------------------------------------------------------------------------------


def _change(signal: Signal, position: Decimal, lot: Decimal | None, sizing: Sizing, found: _Findings) -> _Change:
    if signal.intent is Intent.TARGET and signal.target_position is not None:
        return _to_target(signal, position, _target(signal, signal.target_position, lot, sizing, found), found)
    if signal.action is None:
        found.wait(WaitReason.ACTION_UNKNOWN, "The alert does not say whether to buy or to sell.")
        return _Change(None)
    if _closes_all(signal, sizing):
        return _closing(signal, position, None, found)
    quantity = _quantity(signal, position, lot, sizing, found)
    if _exits(signal):
        return _closing(signal, position, quantity, found) if quantity is not None else _Change(_exit_side(signal, position), None, True)
    return _Change(OrderSide(signal.action), quantity)


def _unplaced(signal: Signal, lot: Decimal | None, sizing: Sizing, found: _Findings) -> _Change:
    """The same without a position to start from: only a plain quantity is known, the rest waits."""
    if signal.action is None:
        found.wait(WaitReason.ACTION_UNKNOWN, "The alert does not say whether to buy or to sell.")
        return _Change(None)
    side, exits = _named_side(signal) or OrderSide.SELL, _exits(signal)
    share = signal.quantity_unit is QuantityUnit.PCT_POSITION
    if signal.intent is Intent.TARGET or _closes_all(signal, sizing) or share:
        found.wait(WaitReason.QUANTITY_UNKNOWN, "The position is not known, and the alert's quantity depends on it.")
        return _Change(side, None, exits)
    return _Change(side, _quantity(signal, ZERO, lot, sizing, found), exits)


def _exits(signal: Signal) -> bool:
    return signal.action is Action.EXIT or signal.effect is Effect.EXIT


def _closes_all(signal: Signal, sizing: Sizing) -> bool:
    """FLAT, or an exit that names no quantity. With the strategy's own sizing the sender's quantity says nothing, but "flat afterwards" does;
    what was sized by money is closed whole, because today's price would make it another quantity."""
    if signal.intent is Intent.FLAT:
        return True
    return _exits(signal) and (signal.quantity is None or sizing.method in BY_MONEY or (sizing.own and signal.target_position == 0))


def _exit_side(signal: Signal, position: Decimal) -> OrderSide:
    return _named_side(signal) or (OrderSide.SELL if position > 0 else OrderSide.BUY)


def _named_side(signal: Signal) -> OrderSide | None:
    return OrderSide(signal.action) if signal.action in (Action.BUY, Action.SELL) else None


def _closing(signal: Signal, position: Decimal, quantity: Decimal | None, found: _Findings) -> _Change:
    """Reduces the position by at most itself; an exit of the other side finds nothing."""
    side = _exit_side(signal, position)
    closable = max(position if side is OrderSide.SELL else -position, ZERO)
    if closable == 0:
        found.notes.append(f"Nothing to do: there is no open position that a {side} would close.")
        return _Change(None)
    return _Change(side, closable if quantity is None else min(quantity, closable), reduce_only=True)


def _target(signal: Signal, target: Decimal, lot: Decimal | None, sizing: Sizing, found: _Findings) -> Decimal | None:
    """The position to reach. With the strategy's own sizing only its side counts."""
    if not sizing.own or target == 0:
        return target
    own = _own_quantity(signal, OrderSide.BUY if target > 0 else OrderSide.SELL, lot, sizing, found)
    return None if own is None else own.copy_sign(target)


def _to_target(signal: Signal, position: Decimal, target: Decimal | None, found: _Findings) -> _Change:
    if target is None:
        return _Change(_named_side(signal) or (OrderSide.BUY if (signal.target_position or ZERO) > 0 else OrderSide.SELL))
    change = target - position
    if change == 0:
        found.notes.append(f"Nothing to do: the position is already {plain(target)}.")
        return _Change(None)
    side = OrderSide.BUY if change > 0 else OrderSide.SELL
    if _named_side(signal) not in (None, side):
        note = f"The alert says {signal.action}, but going from {plain(position)} to its target {plain(target)} takes a {side}."
        found.wait(WaitReason.ACTION_TARGET_MISMATCH, note)
    return _Change(side, abs(change), reduce_only=abs(target) < abs(position) and target * position >= 0)


def _quantity(signal: Signal, position: Decimal, lot: Decimal | None, sizing: Sizing, found: _Findings) -> Decimal | None:
    side = _named_side(signal) or OrderSide.BUY
    if sizing.own or (signal.quantity is None and sizing.value is not None):
        return _own_quantity(signal, side, lot, sizing, found)
    if signal.quantity is None:
        found.wait(WaitReason.QUANTITY_UNKNOWN, "The alert names no quantity and the strategy has no size of its own.")
        return None
    unit = signal.quantity_unit or QuantityUnit.UNITS
    if unit is not QuantityUnit.PCT_POSITION:
        return _sized(signal.quantity, unit, signal, side, lot, sizing, found)
    if _exits(signal):
        return _share(signal.quantity, position, lot, found)
    found.wait(WaitReason.QUANTITY_UNKNOWN, "The alert sizes an entry by a share of the position, which says nothing about a new one.")
    return None


def _own_quantity(signal: Signal, side: OrderSide, lot: Decimal | None, sizing: Sizing, found: _Findings) -> Decimal | None:
    if sizing.value is None or sizing.value <= 0:
        found.wait(WaitReason.QUANTITY_UNKNOWN, "The strategy sizes by itself, but its size is not set.")
        return None
    return _sized(sizing.value, sizing.unit, signal, side, lot, sizing, found)


def _sized(
    value: Decimal, unit: QuantityUnit, signal: Signal, side: OrderSide, lot: Decimal | None, sizing: Sizing, found: _Findings
) -> Decimal | None:
    """In units. How money became a quantity is said; what cannot be worked out waits."""
    sized = size(value, unit, signal, side, lot, sizing)
    if sized.quantity is None:
        found.wait(WaitReason.QUANTITY_UNKNOWN, sized.note)
    elif sized.note:
        found.notes.append(sized.note)
    return sized.quantity


def _share(percent: Decimal, position: Decimal, lot: Decimal | None, found: _Findings) -> Decimal | None:
    """A percentage of the open position, in whole lots; the whole of it is not rounded."""
    if percent >= 100:
        return abs(position)
    part = floor_to(abs(position) * percent / 100, lot or ZERO)
    if part == 0 and position != 0:
        found.wait(WaitReason.QUANTITY_UNKNOWN, f"{plain(percent)} % of {plain(abs(position))} is less than one lot.")
        return None
    return part


def _states_short(signal: Signal) -> bool:
    """Whether the sender says in so many words that a short is meant."""
    if signal.effect in (Effect.ENTRY, Effect.REVERSE):
        return True
    return signal.target_position is not None and signal.target_position < 0


def _capped(change: _Change, signal: Signal, position: Decimal, sellable: Decimal | None, found: _Findings) -> _Change:
    """A SELL that was not meant as a short never sells more than is held. With nothing held it stands, and the gate refuses it."""
    if change.side is not OrderSide.SELL or change.quantity is None or _states_short(signal):
        return change
    held = max(position, ZERO) if sellable is None else sellable
    if not 0 < held < change.quantity:
        return change
    found.notes.append(f"SELL {plain(change.quantity)} cut to {plain(held)}: more is not held, and the alert does not ask for a short.")
    return _Change(change.side, held, change.reduce_only)


def _cross_check(signal: Signal, position: Decimal, change: _Change, found: _Findings) -> None:
    """A position stated beside a plain quantity is compared, and only said."""
    if signal.intent is Intent.TARGET or signal.target_position is None or change.quantity is None:
        return
    after = position + (change.quantity if change.side is OrderSide.BUY else -change.quantity)
    if after != signal.target_position:
        found.notes.append(f"After this order the desk holds {plain(after)}; the sender expects {plain(signal.target_position)}.")


def _fractions(change: _Change, lot: Decimal | None, found: _Findings) -> _Change:
    """Where the step is a fraction the quantity is floored to it; a wrong multiple of a whole lot is the gate's to judge."""
    if change.quantity is None or not lot or lot >= 1:
        return change
    floored = floor_to(change.quantity, lot)
    if floored == 0:
        found.wait(WaitReason.QUANTITY_UNKNOWN, f"{plain(change.quantity)} is below the smallest step, {plain(lot)}.")
        return _Change(change.side, None, change.reduce_only)
    if floored != change.quantity:
        found.notes.append(f"Quantity {plain(change.quantity)} moved to the step: {plain(floored)}")
    return _Change(change.side, floored, change.reduce_only)


def _storable(change: _Change, found: _Findings) -> _Change:
    """A size no order can have (too many lots of a large lot) is no quantity: it waits instead of breaking the alert."""
    if change.quantity is None or change.quantity <= MOST:
        return change
    found.wait(WaitReason.QUANTITY_UNKNOWN, f"{plain(change.quantity)} is more than one order can have.")
    return _Change(change.side, None, change.reduce_only)


# --- at what price ----------------------------------------------------------------------------------------------


def _prices(
    signal: Signal, side: OrderSide | None, tick: Decimal | None, defaults: Defaults, found: _Findings
) -> tuple[str, Decimal | None, Decimal | None]:
    """Order type, limit price, trigger price; only those the type uses, each on the tick."""
    order_type = str(signal.order_type or defaults.order_type)
    price = signal.limit_price or signal.ref_price if order_type in PRICED else None
    trigger = signal.trigger_price if order_type in TRIGGERED else None
    for name, value, types in (("Price", price, PRICED), ("Trigger price", trigger, TRIGGERED)):
        if value is None and order_type in types:
            found.wait(WaitReason.PRICE_UNAVAILABLE, f"{name} is missing: neither the alert nor the strategy gives one.")
    snapped = snap(order_type, str(side or OrderSide.SELL), price, trigger, tick)
    if snapped.fault:
        found.wait(WaitReason.PRICE_OFF_TICK, snapped.fault)
    found.notes.extend(snapped.notes)
    return order_type, snapped.price, snapped.trigger_price


def _brackets(
    signal: Signal, change: _Change, prices: tuple[Decimal | None, Decimal | None], tick: Decimal | None, found: _Findings
) -> Brackets:
    """The stop and target that will follow its fills. An order whose own cannot be placed waits: it never goes without. An exit needs none."""
    asked = brackets.of(signal)
    if change.reduce_only:
        asked = Brackets(trailing_order=asked.trailing_order)
    if not asked:
        return asked
    reference = next((p for p in (*prices, signal.ref_price) if p), None)
    fault = brackets.fault(asked, str(change.side or OrderSide.BUY), reference, tick)
    if fault:
        found.wait(WaitReason.BRACKET_UNSUPPORTED, f"{fault} The order waits rather than go without.")
    return asked


def _product(signal: Signal, defaults: Defaults, found: _Findings) -> str:
    if signal.product is None or signal.product == defaults.product:
        return str(defaults.product)
    if defaults.product_from_signal:
        return str(signal.product)
    found.notes.append(f"The alert asks for {signal.product}; the strategy always uses {defaults.product}.")
    return str(defaults.product)
