"""The desk's own format: one object, the order inside `trade_details` or at the top level."""

from collections.abc import Mapping
from dataclasses import replace

from ..signal import Signal
from ..types import Intent, QuantityUnit
from . import common
from .common import Context
from .fields import Fields, bounded, snake

NAME = "sigma_flat"
KEYS = frozenset({"trade_details", "order_action", "platform", "st_user_id", "strategy_name", "symbol", "interval"})
NEEDS = "trade_details or order_action"


def matches(body: Mapping[str, object]) -> bool:
    return any(_is_details(key, value) or snake(key) == "order_action" for key, value in body.items())


def to_signals(body: Mapping[str, object], context: Context) -> list[Signal]:
    """One signal. A field inside `trade_details` wins over one beside it."""
    fields = _fields(body)
    base = common.base(NAME, fields, context)
    action = common.action(fields, "order_action")
    prices = common.prices(fields, "price", "order_price")
    quantity = fields.quantity("quantity", "order_contracts")
    target = common.stated_position(fields, "market_position", "position_size", "market_position_size")
    fired_at = fields.time("timestamp", "timenow")
    signal = replace(
        base,
        strategy_ref=fields.text("strategy_name", "strategy", "strategy_id"),
        action=action,
        intent=Intent.TARGET if context.use_target and target is not None else Intent.DELTA,
        effect=common.effect_of(action, target),
        quantity=quantity,
        quantity_unit=QuantityUnit.UNITS if quantity else None,
        target_position=target,
        prev_position=common.stated_position(fields, "prev_market_position", "prev_market_position_size"),
        order_type=prices.order_type,
        limit_price=prices.limit_price,
        trigger_price=prices.trigger_price,
        ref_price=prices.ref_price,
        bar_time=fields.time("bar_time", "time") or fired_at,
        fired_at=fired_at,
        comment=fields.text("comment", "order_comment", "alert_message", "order_alert_message"),
    )
    return [replace(signal, extras=bounded({**signal.extras, **fields.rest()}))]


def _is_details(key: str, value: object) -> bool:
    return snake(key) == "trade_details" and isinstance(value, Mapping)


def _fields(body: Mapping[str, object]) -> Fields:
    details = [(f"{key}.", value) for key, value in body.items() if _is_details(key, value) and isinstance(value, Mapping)]
    outer = {key: value for key, value in body.items() if not _is_details(key, value)}
    fields = Fields(*details, ("", outer))
    fields.skip(*common.HANDLED)
    return fields
