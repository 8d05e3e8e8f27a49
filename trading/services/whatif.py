"""What the gate would say: about an order nobody placed, under the limits in force or others. Writes nothing, reserves nothing, approves nothing."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.core.exceptions import ValidationError

from brokers.models import BrokerAccount, Instrument
from risk import engine, replay
from risk.codec import to_data
from risk.models import Decision as Row
from risk.models import RiskSettings
from risk.types import Decision
from trading.models import Mode, Order, OrderType, Product, Side, Strategy
from trading.selectors import snapshot
from tvapp.lib import clock
from tvapp.lib.errors import AppError
from tvapp.lib.money import plain

MARK = "This is a what-if, not an approval."
MOST = 20000
COLUMNS = ("pk", "order_key", "verdict", "code", "final", "snapshot")


def one(
    *, account: BrokerAccount, strategy: Strategy | None, instrument: Instrument, side: str, quantity: Decimal, order_type: str = OrderType.MARKET,
    price: Decimal | None = None, trigger_price: Decimal | None = None, ref_price: Decimal | None = None, product: str = Product.MIS,
    reduce_only: bool = False, mode: str = Mode.MANUAL, limits: replay.Override | None = None,
) -> Decision:  # fmt: skip
    """Every rule about this order as if it were sent now. `limits` replaces parameters of rows in force, or adds rows. Raises AppError."""
    now = clock.now()
    order = Order(
        owner=account.owner, account=account, strategy=strategy, instrument=instrument, exchange=instrument.exchange,
        tradingsymbol=instrument.tradingsymbol, side=Side(side), quantity=quantity, requested_quantity=quantity, order_type=order_type, price=price,
        trigger_price=trigger_price, ref_price=ref_price, product=product, reduce_only=reduce_only, mode=mode, received_at=now,
        simulated=account.environment != "LIVE", max_slippage_pct=strategy.max_slippage_pct if strategy else None,
    )  # fmt: skip
    other = _of_somebody(checked({} if limits is None else limits), account.owner)
    asked = snapshot.question(order, now, later=True, also={name for values in other.values() for name in values})
    return engine.evaluate(asked.intent, asked.snapshot, replay.override(asked.limits, other), advisory=True)


def instrument(key: str) -> Instrument:
    """`NSE:INFY` of the list; a share that is not in it is taken as a paper desk takes it, without being stored. Raises AppError."""
    exchange, _, symbol = key.strip().upper().partition(":")
    if not symbol:
        raise AppError("INVALID_VALUE", f"{key} is no symbol: write EXCHANGE:SYMBOL, for example NSE:INFY.", extra={"field": "symbol"})
    known = Instrument.objects.filter(exchange=exchange, tradingsymbol=symbol).first()
    return known or Instrument(exchange=exchange, tradingsymbol=symbol, provisional=True)


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


def _of_somebody(override: dict[str, dict[str, object]], user) -> dict[str, dict[str, object]]:
    """The same. Raises AppError for a name nobody has: limits of nobody would change nothing, and read as harmless."""
    for label in override:
        kind, _, name = label.partition(":")
        rows = {"ACCOUNT": BrokerAccount, "STRATEGY": Strategy}[kind].objects if kind != "GLOBAL" else None
        if rows is not None and not (rows.filter(name=name) if user is None else rows.for_user(user).filter(name=name)).exists():
            raise AppError("INVALID_VALUE", f"There is no {kind.lower()} called {name or 'nothing'}.", extra={"field": "limits"})
    return override


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


@dataclass(frozen=True)
class Period:
    """Decisions of a period under other limits. `unreadable` ones cannot be computed again: too old, or what a new limit looks at was not read then.

    `more`: not all of them were looked at.
    """

    looked_at: int
    changes: list[replay.Change]
    unreadable: int = 0
    more: bool = False


def period(user, start: datetime, end: datetime, limits: object, *, most: int = MOST) -> Period:
    """What other limits would have changed about this person's orders between two times, newest `most` decisions at most. Raises AppError."""
    other, changes, unreadable = _of_somebody(checked(limits), user), [], 0
    rows = Row.objects.for_user(user) if user is not None else Row.objects.all()
    found = list(rows.filter(at__gte=start, at__lt=end).order_by("-id").values_list(*COLUMNS)[: most + 1])
    for values in reversed(found[:most]):
        try:
            changes += replay.what_changes([replay.Stored(*values)], other)
        except (KeyError, ValueError, TypeError, ArithmeticError):
            unreadable += 1
    return Period(min(len(found), most), changes, unreadable, len(found) > most)


def by_code(changes: Iterable[replay.Change]) -> dict[str, int]:
    """How many orders each reason would have met anew, the most frequent first."""
    found: dict[str, int] = {}
    for change in changes:
        found[change.code or "ALLOW"] = found.get(change.code or "ALLOW", 0) + 1
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def period_shown(found: Period) -> dict[str, object]:
    """The period as JSON, with its summary by code and each order that would differ."""
    head = {"what_if": MARK, "looked_at": found.looked_at, "unreadable": found.unreadable, "more": found.more}
    return {**head, "changed": len(found.changes), "by_code": by_code(found.changes), "changes": [_change(change) for change in found.changes]}


def _change(change: replay.Change) -> dict[str, object]:
    was = change.stored
    before = {"verdict": was.verdict, "code": was.code, "final": plain(was.final)}
    after = {"verdict": change.verdict, "code": change.code, "final": plain(change.final), "sentence": change.sentence}
    return {"decision_id": was.id, "order_id": was.order, "before": before, "after": after}
