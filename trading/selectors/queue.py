"""What waits for a person: the rows of the queue, those on hold beside it, and what they are worth."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import F, Max, Q, QuerySet
from django.db.models.functions import Coalesce

from brokers.models import Quote
from risk.models import RiskSettings, TradingState, Trip
from trading.domain.orderfsm import State
from trading.models import Order, OrderType, Position
from tvapp.models import DeskSettings

LIMIT = 100
RELATED = ("account", "strategy", "instrument", "instrument__quote", "owner")
AGES: Mapping[str, tuple[str, timedelta, timedelta | None]] = {
    "1": ("under 1 min", timedelta(0), timedelta(minutes=1)),
    "5": ("1 to 5 min", timedelta(minutes=1), timedelta(minutes=5)),
    "15": ("5 to 15 min", timedelta(minutes=5), timedelta(minutes=15)),
    "old": ("over 15 min", timedelta(minutes=15), None),
}
_SORTS = {"exits": ("-reduce_only", "-id"), "oldest": ("since", "id"), "value": (F("worth").desc(nulls_last=True), "-id")}


def waiting(user, filters: Mapping[str, object], now: datetime) -> QuerySet[Order]:
    """WAITING rows this person may see. `filters`: side, strategy (row), age (key of AGES), q, sort; empty ones add nothing."""
    rows = Order.objects.for_user(user).filter(status=State.WAITING).select_related(*RELATED)
    rows = rows.annotate(since=Coalesce("fired_at", "received_at"), worth=_worth())
    if filters.get("side"):
        rows = rows.filter(side=filters["side"])
    if filters.get("strategy"):
        rows = rows.filter(strategy=filters["strategy"])
    if filters.get("age"):
        _, young, old = AGES[str(filters["age"])]
        rows = rows.filter(since__lte=now - young)
        rows = rows.filter(since__gt=now - old) if old else rows
    if text := str(filters.get("q") or "").strip():
        rows = rows.filter(Q(tradingsymbol__icontains=text) | Q(tv_symbol__icontains=text) | Q(strategy__name__icontains=text))
    return rows.order_by(*_SORTS[str(filters.get("sort") or "exits")])


def _worth():
    """Value in the database's own arithmetic: good enough to sort by, never shown."""
    unit = Coalesce("price", "trigger_price", "instrument__quote__ltp", "ref_price")
    return F("quantity") * unit * Coalesce("instrument__multiplier", Decimal(1))


def count(user) -> int:
    """How many wait. Only WAITING rows are counted, never the history."""
    return Order.objects.for_user(user).filter(status=State.WAITING).count()


def since(order: Order) -> datetime:
    """From when its age counts: when the alert fired, else when it came in."""
    return order.fired_at or order.received_at


def is_young(order: Order, now: datetime) -> bool:
    """Whether an automatic order may still leave by itself."""
    return (now - since(order)).total_seconds() <= (order.max_age_s or DeskSettings.current().alert_age_auto_s)


def quote_of(order: Order) -> Quote | None:
    """The last price known of its instrument that its account may use; None when there is none yet."""
    quote = getattr(order.instrument, "quote", None) if order.instrument_id else None
    return quote if quote and quote.serves(order.account) else None


def unit_price(order: Order) -> Decimal | None:
    """What one unit will cost as far as known: its own price, the trigger, the last price, the alert's price."""
    if order.order_type in (OrderType.LIMIT, OrderType.SL):
        return order.price
    if order.order_type == OrderType.SL_M:
        return order.trigger_price
    quote = quote_of(order)
    return quote.ltp if quote else order.ref_price


def value(order: Order, quantity: Decimal | None = None) -> Decimal | None:
    """Rupees of `quantity` (its own when None) at `unit_price`; None when either is not known."""
    quantity, unit = order.quantity if quantity is None else quantity, unit_price(order)
    if quantity is None or unit is None:
        return None
    return quantity * unit * (order.instrument.multiplier if order.instrument_id else 1)


@dataclass(frozen=True)
class Heap:
    """Waiting value of one strategy in one age bucket, in rupees."""

    strategy_id: int | None
    strategy: str
    age: str
    value: Decimal
    orders: int


def age_bucket(gone: timedelta) -> str:
    return next(key for key, (_, _, old) in AGES.items() if old is None or gone < old)


def heaps(orders: Iterable[Order], now: datetime) -> list[Heap]:
    """The orders summed by strategy and age, strategies by name. An order whose value is not known counts as 0."""
    sums: dict[tuple[str, int | None, str], list[Decimal]] = {}
    for order in orders:
        name = order.strategy.name if order.strategy_id else "No strategy"
        sums.setdefault((name, order.strategy_id, age_bucket(now - since(order))), []).append(value(order) or Decimal(0))
    rows = sorted(sums.items(), key=lambda item: (item[0][0].casefold(), item[0][1] or 0))
    return [Heap(pk, name, bucket, sum(values, Decimal(0)), len(values)) for (name, pk, bucket), values in rows]


def fingerprint(orders: Iterable[Order], others: Iterable[Order], now: datetime) -> str:
    """Changes when a row, its price, a limit, a position or a trading state changed, and every 30 s. Spares the poll the whole gate."""
    marks = [_mark(o) for o in orders] + ["|"] + [f"{o.pk}.{o.version}.{o.account.state}" for o in others]
    for model, field in ((RiskSettings, "updated_at"), (TradingState, "at"), (Trip, "at"), (Trip, "released_at"), (Position, "updated_at")):
        marks.append(str(model.objects.aggregate(last=Max(field))["last"]))
    marks.append(str(int(now.timestamp()) // 30))
    return hashlib.sha256(" ".join(marks).encode()).hexdigest()[:16]


def _mark(order: Order) -> str:
    quote, strategy = quote_of(order), order.strategy.enabled if order.strategy_id else True
    return f"{order.pk}.{order.version}.{quote.at if quote else ''}.{order.account.state}.{order.account.enabled}.{strategy}"
