"""What the gate would say: about an order nobody placed, under the limits in force or others. Writes nothing, reserves nothing, approves nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from django.core.exceptions import ValidationError

from brokers.models import BrokerAccount, Instrument
from risk import engine
from risk.models import RiskSettings
from risk.types import Decision, Limits
from trading.models import Mode, Order, OrderType, Product, Side, Strategy
from trading.selectors import snapshot
from trading.services.advice import to_data
from tvapp.lib import clock
from tvapp.lib.errors import AppError

MARK = "This is a what-if, not an approval."
Override = Mapping[str, Mapping[str, object]]  # GLOBAL, ACCOUNT:paper or STRATEGY:breakout -> parameter -> value


def one(
    *, account: BrokerAccount, strategy: Strategy | None, instrument: Instrument, side: str, quantity: Decimal, order_type: str = OrderType.MARKET,
    price: Decimal | None = None, trigger_price: Decimal | None = None, ref_price: Decimal | None = None, product: str = Product.MIS,
    reduce_only: bool = False, mode: str = Mode.MANUAL, limits: Override | None = None,
) -> Decision:  # fmt: skip
    """Every rule about this order as if it were sent now. `limits` replaces parameters of rows in force, or adds rows. Raises AppError."""
    now = clock.now()
    order = Order(
        owner=account.owner, account=account, strategy=strategy, instrument=instrument, exchange=instrument.exchange,
        tradingsymbol=instrument.tradingsymbol, side=Side(side), quantity=quantity, requested_quantity=quantity, order_type=order_type, price=price,
        trigger_price=trigger_price, ref_price=ref_price, product=product, reduce_only=reduce_only, mode=mode, received_at=now,
        simulated=account.environment != "LIVE", max_slippage_pct=strategy.max_slippage_pct if strategy else None,
    )  # fmt: skip
    asked = snapshot.question(order, now)
    return engine.evaluate(asked.intent, asked.snapshot, changed(asked.limits, {} if limits is None else limits), advisory=True)


def instrument(key: str) -> Instrument:
    """`NSE:INFY` of the list; a share that is not in it is taken as a paper desk takes it, without being stored. Raises AppError."""
    exchange, _, symbol = key.strip().upper().partition(":")
    if not symbol:
        raise AppError("INVALID_VALUE", f"{key} is no symbol: write EXCHANGE:SYMBOL, for example NSE:INFY.", extra={"field": "symbol"})
    known = Instrument.objects.filter(exchange=exchange, tradingsymbol=symbol).first()
    return known or Instrument(exchange=exchange, tradingsymbol=symbol, provisional=True)


def changed(rows: Sequence[Limits], override: Override) -> list[Limits]:
    """The rows with other values. A value of None takes the limit away; a scope without a row gets one."""
    left, found = checked(override), []
    for row in rows:
        values = left.pop(row.label, {})
        mode = str(values.pop("clamp_mode", row.clamp_mode))
        found.append(replace(row, clamp_mode=mode, values={**row.values, **values}))
    for label, values in left.items():
        scope, _, target = label.partition(":")
        found.append(Limits(scope, target, str(values.pop("clamp_mode", "REJECT")), values))
    return found


def checked(override: object) -> dict[str, dict[str, object]]:
    """The override with its values as rows keep them. Raises AppError for a scope or a parameter that does not exist, or a value it cannot have."""
    if not isinstance(override, Mapping):
        raise AppError("INVALID_VALUE", 'limits must be like {"GLOBAL": {"max_order_value": "5000"}}.', extra={"field": "limits"})
    found: dict[str, dict[str, object]] = {}
    for label, values in override.items():
        if str(label).partition(":")[0] not in ("GLOBAL", "ACCOUNT", "STRATEGY") or not isinstance(values, Mapping):
            raise AppError("INVALID_VALUE", f"{label} is no scope: use GLOBAL, ACCOUNT:name or STRATEGY:name.", extra={"field": "limits"})
        found[label] = {name: _checked(name, value) for name, value in values.items()}
    return found


def _checked(name: str, value: object) -> object:
    if name not in (*RiskSettings.PARAMETERS, "clamp_mode"):
        raise AppError("UNKNOWN_FIELD", f"There is no limit called {name}.", extra={"field": name})
    if value is None:
        return None
    row = RiskSettings(**{name: value})
    try:
        row.clean_fields(exclude=[f.name for f in row._meta.fields if f.name != name])
        return RiskSettings.cleaned({name: getattr(row, name)}).get(name, getattr(row, name))
    except ValidationError as refused:
        raise AppError("INVALID_VALUE", f"{name}: {refused.messages[0]}", extra={"field": name}) from refused


def shown(decision: Decision) -> dict[str, object]:
    """The decision as JSON."""
    names = ("verdict", "code", "final", "order_class", "sentence", "findings")
    return {"what_if": MARK, **{name: to_data(getattr(decision, name)) for name in names}}
