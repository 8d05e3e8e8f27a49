"""The format of scripts that write their own alert message: `meta`, `signal` and perhaps `hints`."""

from collections.abc import Mapping
from dataclasses import replace

from ..alertjson import refuse
from ..signal import Signal
from ..types import Action, Effect, Intent, OrderType, QuantityUnit
from . import common
from .common import Context, Prices
from .fields import Fields, bounded

NAME = "sigma_v6"
KEYS = frozenset({"meta", "signal", "hints"})
NEEDS = "the objects meta and signal"

_SIDES: Mapping[str, tuple[Action, Effect]] = {
    "BUY": (Action.BUY, Effect.UNKNOWN),
    "SELL": (Action.SELL, Effect.UNKNOWN),
    "ENTRY_LONG": (Action.BUY, Effect.ENTRY),
    "LONG": (Action.BUY, Effect.ENTRY),
    "ENTRY_SHORT": (Action.SELL, Effect.ENTRY),
    "SHORT": (Action.SELL, Effect.ENTRY),
    "EXIT_LONG": (Action.SELL, Effect.EXIT),
    "CLOSE_LONG": (Action.SELL, Effect.EXIT),
    "EXIT_SHORT": (Action.BUY, Effect.EXIT),
    "CLOSE_SHORT": (Action.BUY, Effect.EXIT),
}


def matches(body: Mapping[str, object]) -> bool:
    return isinstance(body.get("meta"), Mapping) and isinstance(body.get("signal"), Mapping)


def to_signals(body: Mapping[str, object], context: Context) -> list[Signal]:
    """One signal. The price is a reference only, and what `hints` say about sizes and stops is information only."""
    fields, hints = Fields(("signal.", _part(body, "signal"))), _hints(body)
    base = common.base(NAME, fields, context)
    action, effect = _side(fields)
    prices = _prices(fields, hints)
    quantity = fields.quantity("qty", "quantity")
    target = common.stated_position(fields, "market_position", "position_size", "market_position_size")
    fired_at = fields.time("timestamp", "timenow")
    signal = replace(
        base,
        schema=Fields(("meta.", _part(body, "meta"))).text("version"),
        strategy_ref=fields.text("strategy_id", "strategy_name"),
        action=action,
        intent=_intent(effect, quantity is None, context.use_target and target is not None),
        effect=effect if effect is not Effect.UNKNOWN else common.effect_of(action, target),
        quantity=quantity,
        quantity_unit=QuantityUnit.UNITS if quantity else None,
        target_position=target,
        prev_position=common.stated_position(fields, "market_position_prev", "position_size_prev"),
        order_type=prices.order_type,
        limit_price=prices.limit_price,
        trigger_price=prices.trigger_price,
        ref_price=prices.ref_price,
        product=base.product or common.product(hints),
        bar_time=fields.time("bar_time", "time") or fired_at,
        fired_at=fired_at,
        comment=hints.text("note") or fields.text("comment"),
        idempotency_key=base.idempotency_key or common.idempotency_key(Fields(("", body))),
    )
    return [replace(signal, extras=bounded({**signal.extras, **_left(fields, hints, body)}))]


def _part(body: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = body.get(name)
    return value if isinstance(value, Mapping) else {}


def _hints(body: Mapping[str, object]) -> Fields:
    """`hints` and `signal.hints` are one; the outer one wins."""
    return Fields(("hints.", _part(body, "hints")), ("signal.hints.", _part(_part(body, "signal"), "hints")))


def _side(fields: Fields) -> tuple[Action, Effect]:
    """BUY or SELL and the stated effect. `order_action` decides, `action` and `side` fill in; they must not contradict each other."""
    given = [(name, (fields.text(name) or "").upper()) for name in ("order_action", "action", "side")]
    known = [(name, *_SIDES[word]) for name, word in given if word in _SIDES]
    words = ", ".join(f"{name} {word}" for name, word in given if word)
    if not known or (given[0][1] and given[0][1] not in _SIDES):
        message = f"The side of the order is {words or 'missing'}; BUY, SELL, ENTRY_LONG or the like is needed."
        raise refuse("BAD_ACTION", message, field="signal.order_action")
    actions = {action for _, action, _ in known}
    effects = {effect for _, _, effect in known} - {Effect.UNKNOWN}
    if len(actions) > 1 or len(effects) > 1:
        raise refuse("BAD_ACTION", f"The sides contradict each other: {words}.", field="signal.order_action")
    return actions.pop(), effects.pop() if effects else Effect.UNKNOWN


def _intent(effect: Effect, no_quantity: bool, use_target: bool) -> Intent:
    if use_target:
        return Intent.TARGET
    return Intent.FLAT if effect is Effect.EXIT and no_quantity else Intent.DELTA


def _prices(fields: Fields, hints: Fields) -> Prices:
    """MARKET unless a type is named; without a type and without any price the strategy's default applies."""
    ref, price = fields.price("ref_price"), fields.price("price")
    kind = common.order_type(hints) or common.order_type(fields)
    limit = hints.price("limit_price", "price") if kind else None
    trigger = hints.price("trigger_price") or fields.price("trigger_price") if kind else None
    if kind is None and (ref or price):
        kind = OrderType.MARKET
    return common.priced(kind, limit or price, trigger, ref or price, "hints.limit_price")


def _left(fields: Fields, hints: Fields, body: Mapping[str, object]) -> dict[str, object]:
    """What has no field of its own: the strategy's label, the hints, and keys beside meta, signal and hints."""
    fields.skip("hints")
    outer = Fields(("", body))
    outer.skip("meta", "signal", "hints", *common.HANDLED, *common.KEY_NAMES)
    rest_of_hints = hints.rest()
    return {**fields.rest(), **({"hints": rest_of_hints} if rest_of_hints else {}), **outer.rest()}
