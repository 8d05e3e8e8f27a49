"""The short format with `symbol` and `side`."""

from collections.abc import Mapping
from dataclasses import replace

from ..signal import Signal
from ..types import Effect, Intent, QuantityUnit
from . import common
from .common import Context
from .fields import Fields, bounded, snake

NAME = "algodatta"
KEYS = frozenset({"symbol", "side", "qty", "order_type", "price", "timeframe", "strategy_id", "idempotency_key", "extras"})
NEEDS = "symbol and side"


def matches(body: Mapping[str, object]) -> bool:
    return {"symbol", "side"} <= {snake(key) for key in body}


def to_signals(body: Mapping[str, object], context: Context) -> list[Signal]:
    """One signal, always a change by `qty`: the format states no position."""
    fields = Fields(("", body))
    fields.skip(*common.HANDLED)
    base = common.base(NAME, fields, context)
    prices = common.prices(fields, "price")
    quantity = fields.quantity("qty", "quantity")
    signal = replace(
        base,
        strategy_ref=fields.text("strategy_id", "strategy", "strategy_name"),
        action=common.action(fields, "side"),
        intent=Intent.DELTA,
        effect=Effect.UNKNOWN,
        quantity=quantity,
        quantity_unit=QuantityUnit.UNITS if quantity else None,
        order_type=prices.order_type,
        limit_price=prices.limit_price,
        trigger_price=prices.trigger_price,
        ref_price=prices.ref_price,
        bar_time=fields.time("bar_time"),
        fired_at=fields.time("time", "timestamp", "timenow"),
        comment=fields.text("comment", "note"),
    )
    return [replace(signal, extras=bounded({**signal.extras, **_left(fields)}))]


def _left(fields: Fields) -> dict[str, object]:
    """The sender's `extras` and whatever else had no field."""
    _, extras = fields.get("extras")
    inner = Fields(("", extras)).rest() if isinstance(extras, Mapping) else {"extras": extras} if extras is not None else {}
    return {**inner, **fields.rest()}
