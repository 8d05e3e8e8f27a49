"""The read side of orders and alerts: keyset pages by descending id, one order with its whole story. Never OFFSET, never a count of the history."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db.models import Count, Prefetch, Q, QuerySet

from trading.domain.orderfsm import State
from trading.models import Alert, Fill, Order, OrderAttempt, OrderEvent, Role, Source, SystemEvent
from tvapp.lib import clock

PAGE = 50
_TAG = re.compile(r"[tps][a-z2-7]{16}")
_CORRELATION = re.compile(r"[0-9a-f]{16}")
_NUMBER = re.compile(r"(?:O-)?(\d{1,18})", re.I)


@dataclass(frozen=True)
class Page:
    """Rows of one page, newest first. `older` is the id to continue before; None on the last page."""

    rows: Sequence
    older: int | None


def _page(rows: QuerySet, before: int | None, size: int = PAGE) -> Page:
    rows = rows.order_by("-id")
    found = list((rows.filter(id__lt=before) if before else rows)[: size + 1])
    return Page(found[:size], found[size - 1].pk if len(found) > size else None)


def days(rows: QuerySet, field: str, first: date | None, last: date | None) -> QuerySet:
    """From the first IST day to the last one, both included."""
    if first:
        rows = rows.filter(**{f"{field}__gte": clock.day_start(first)})
    return rows.filter(**{f"{field}__lt": clock.day_start(last + timedelta(days=1))}) if last else rows


def split_symbol(symbol: str) -> tuple[str, str]:
    """`NSE:INFY` is (NSE, INFY), `INFY` is ("", INFY)."""
    exchange, _, name = symbol.strip().upper().rpartition(":")
    return exchange, name


def of_symbol(rows: QuerySet, symbol: str) -> QuerySet:
    """Orders of `NSE:INFY`, or of `INFY` on any exchange."""
    exchange, name = split_symbol(symbol)
    return rows.filter(tradingsymbol=name, **({"exchange": exchange} if exchange else {}))


# ---------------------------------------------------------------------------- orders
def page(user, filters: Mapping[str, object], before: int | None = None) -> Page:
    """A page of orders. `filters`: status, strategy, account, symbol, side, mode, source, gtt, from, to, q; empty ones add nothing."""
    rows = Order.objects.for_user(user).select_related("account", "strategy", "instrument")
    for name in ("status", "strategy", "account", "side", "mode", "source"):
        if filters.get(name):
            rows = rows.filter(**{name: filters[name]})
    if filters.get("gtt"):
        rows = rows.filter(gtt=True)
    if filters.get("symbol"):
        rows = of_symbol(rows, str(filters["symbol"]))
    if text := str(filters.get("q") or "").strip():
        rows = rows.filter(search(text))
    return _page(days(rows, "created_at", filters.get("from"), filters.get("to")), before)


def search(text: str) -> Q:
    """One thing at a time, so that one index answers: an id, our tag, a correlation id, a broker's id, else the start of a symbol."""
    if number := _NUMBER.fullmatch(text):
        return Q(pk=int(number[1])) | Q(broker_order_id=text) | Q(tradingsymbol=text)
    if _TAG.fullmatch(text):
        return Q(tag=text)
    if _CORRELATION.fullmatch(text):
        return Q(correlation_id=text)
    return Q(tradingsymbol__startswith=text.upper()) | Q(broker_order_id=text)


def with_story(user) -> QuerySet[Order]:
    """Orders of this person with everything their page tells."""
    return (
        Order.objects.for_user(user)
        .select_related("account", "strategy", "instrument", "instrument__quote", "owner", "decision", "alert", "signal", "copied_from")
        .prefetch_related(
            Prefetch("events", OrderEvent.objects.order_by("id")),
            Prefetch("attempts", OrderAttempt.objects.order_by("id")),
            Prefetch("fills", Fill.objects.order_by("at", "id")),
            Prefetch("copies", Order.objects.order_by("id")),
        )
    )


def exits(order: Order) -> list[Order]:
    """The stops and targets that were made of this entry's fills, in their order; those of its slices, too."""
    rows = Order.objects.filter(source=Source.BRACKET).filter(Q(parent=order) | Q(parent__parent=order, parent__role=Role.SLICE))
    return list(rows.select_related("instrument", "instrument__quote").prefetch_related("gtts").order_by("id"))


def slices(order: Order) -> list[Order]:
    """All orders that were cut from one, the first of them included; empty when it was not cut."""
    first = order.parent_id if order.role == Role.SLICE else order.pk
    rows = list(Order.objects.filter(Q(pk=first) | Q(parent_id=first, role=Role.SLICE)).order_by("id"))
    return rows if len(rows) > 1 else []


def today(user, now: datetime) -> list[tuple[State, int]]:
    """Orders made since 00:00 IST, counted by state, in the order of the table of moves."""
    start = clock.day_start(clock.trading_day(now))
    rows = Order.objects.for_user(user).filter(created_at__gte=start).values_list("status").annotate(n=Count("id"))
    counts = Counter(dict(rows))
    return [(state, counts[state]) for state in State if counts[state]]


# ---------------------------------------------------------------------------- alerts
def alerts(user, filters: Mapping[str, object], before: int | None = None) -> Page:
    """A page of alerts, refused and ignored ones too. `filters`: outcome, strategy, symbol, from, to."""
    rows = Alert.objects.for_user(user).select_related("strategy").prefetch_related("orders").defer("body")
    for name in ("outcome", "strategy"):
        if filters.get(name):
            rows = rows.filter(**{name: filters[name]})
    if symbol := str(filters.get("symbol") or "").strip().upper():
        rows = rows.filter(symbol=symbol) if ":" in symbol else rows.filter(Q(symbol=symbol) | Q(symbol__endswith=f":{symbol}"))
    return _page(days(rows, "received_at", filters.get("from"), filters.get("to")), before)


def alert_with_orders(user) -> QuerySet[Alert]:
    rows = Alert.objects.for_user(user).select_related("strategy")
    return rows.prefetch_related("signals", Prefetch("orders", Order.objects.select_related("instrument")))


def recent_events(user, most: int = 8) -> list[SystemEvent]:
    return list(SystemEvent.objects.for_user(user).select_related("order", "alert").order_by("-id")[:most])
