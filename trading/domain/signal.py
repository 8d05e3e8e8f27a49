"""The canonical signal: what an alert means, whatever its dialect. Absent is None, numbers are Decimal, times are aware UTC."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from tvapp.lib.money import plain

from .types import Action, BracketKind, ContractKind, Effect, Intent, OrderType, Product, QuantityUnit, Validity


@dataclass(frozen=True, slots=True)
class Bracket:
    """A stop or a target. PCT and POINTS count from the fill price."""

    kind: BracketKind
    value: Decimal


@dataclass(frozen=True, slots=True)
class ContractRef:
    """A derivative contract as the sender named it: `month` is "2026-11", `nth` 1 is the nearest."""

    root: str
    kind: ContractKind
    expiry: date | None = None
    month: str | None = None
    nth: int | None = None
    strike: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Signal:
    """One intention of one alert.

    `quantity` is in `quantity_unit`; `target_position` and `prev_position` are signed units. Beside intent DELTA a
    `target_position` is only what the sender expects to hold afterwards: a cross-check, never an order.
    `extras` holds, JSON-ready and without secrets, whatever had no field of its own.
    """

    dialect: str | None = None
    schema: str | None = None
    strategy_ref: str | None = None
    tv_exchange: str | None = None
    tv_symbol: str | None = None
    contract: ContractRef | None = None
    timeframe: str | None = None
    action: Action | None = None
    intent: Intent | None = None
    effect: Effect | None = None
    quantity: Decimal | None = None
    quantity_unit: QuantityUnit | None = None
    target_position: Decimal | None = None
    prev_position: Decimal | None = None
    order_type: OrderType | None = None
    limit_price: Decimal | None = None
    trigger_price: Decimal | None = None
    trail: Bracket | None = None
    product: Product | None = None
    validity: Validity | None = None
    validity_minutes: int | None = None
    iceberg_legs: int | None = None
    stop_loss: Bracket | None = None
    take_profit: Bracket | None = None
    ref_price: Decimal | None = None
    max_slippage_pct: Decimal | None = None
    max_age_s: int | None = None
    bar_time: datetime | None = None
    fired_at: datetime | None = None
    received_at: datetime | None = None
    order_ref: str | None = None
    comment: str | None = None
    tag: str | None = None
    idempotency_key: str | None = None
    leg_no: int | None = None
    leg_count: int | None = None
    alert_group: str | None = None
    extras: Mapping[str, object] = field(default_factory=dict)


def to_data(signal: Signal) -> dict[str, object]:
    """The signal as JSON-ready data: numbers as plain text, times as UTC ISO, absent fields left out."""
    return _data_of(signal)


def from_data(data: Mapping[str, Any]) -> Signal:
    """The signal that `to_data` wrote. Unknown keys are ignored, so that rows of a later version can be read."""
    values: dict[str, Any] = {}
    for name in (f.name for f in fields(Signal)):
        if data.get(name) is not None:
            read = _READ.get(name)
            values[name] = read(data[name]) if read else data[name]
    return Signal(**values)


def contract_data(contract: ContractRef) -> dict[str, object]:
    """A contract reference as JSON-ready data."""
    return _data_of(contract)


def _data_of(record: Signal | Bracket | ContractRef) -> dict[str, object]:
    pairs = ((f.name, getattr(record, f.name)) for f in fields(record))
    return {name: _plain_value(value) for name, value in pairs if value is not None}


def _plain_value(value: object) -> object:
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, Bracket | ContractRef):
        return _data_of(value)
    return value


def _bracket(data: Mapping[str, Any]) -> Bracket:
    return Bracket(BracketKind(data["kind"]), Decimal(data["value"]))


def _contract(data: Mapping[str, Any]) -> ContractRef:
    expiry, strike = data.get("expiry"), data.get("strike")
    return ContractRef(
        root=data["root"],
        kind=ContractKind(data["kind"]),
        expiry=date.fromisoformat(expiry) if expiry else None,
        month=data.get("month"),
        nth=data.get("nth"),
        strike=Decimal(strike) if strike is not None else None,
    )


_DECIMALS = ("quantity", "target_position", "prev_position", "limit_price", "trigger_price", "ref_price", "max_slippage_pct")
_READ: dict[str, Callable[[Any], object]] = {
    **dict.fromkeys(_DECIMALS, Decimal),
    **dict.fromkeys(("bar_time", "fired_at", "received_at"), datetime.fromisoformat),
    **dict.fromkeys(("stop_loss", "take_profit", "trail"), _bracket),
    "contract": _contract,
    "action": Action,
    "intent": Intent,
    "effect": Effect,
    "quantity_unit": QuantityUnit,
    "order_type": OrderType,
    "product": Product,
    "validity": Validity,
}
