"""How long orders took, stage by stage: what the desk added, and what its broker took. From the times stored with alert, order, attempt and fill."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple

from django.db.models import BooleanField, Case, Exists, F, Min, OuterRef, QuerySet, Subquery, When

from trading.domain.orderfsm import State
from trading.models import AttemptKind, AttemptOutcome, Fill, Mode, Order, OrderAttempt, OrderEvent
from trading.selectors.orders import days

MOST = 5000  # orders a period is measured by, the newest ones
SLOWEST = 10
STAGES = {
    "stored": ("Alert received to order stored", "desk", "Read, checked, and safe on disk: then it is answered."),
    "sent": ("Released to leaving for the broker", "desk", "Wake-up, risk check, and the note on disk before the first byte. Only first tries."),
    "answered": ("Broker's answer", "broker", "From the first byte to the order id."),
    "filled": ("Answer to first fill seen", "broker", "The market's time, and how long the news of it took."),
    "whole": ("Alert received to leaving for the broker", "desk", "What the desk added in all. Automatic orders at their first try, never on hold."),
}


class Times(NamedTuple):
    """One order's moments; None where there is none. A pause after a failed try and a hold are not the desk's time."""

    order_id: int
    mode: str
    received: datetime | None
    stored: datetime
    released: datetime | None
    left: datetime
    answered: datetime | None
    tried: int
    held: bool
    filled: datetime | None


@dataclass(frozen=True)
class Stage:
    """What one stage took; `count` orders went through it."""

    name: str
    label: str
    who: str
    meaning: str
    count: int
    p50: timedelta
    p95: timedelta
    p99: timedelta
    worst: timedelta


@dataclass(frozen=True)
class Latency:
    """`cut`: the period has more orders than are measured. `slowest` are automatic orders with the desk's part."""

    count: int
    cut: bool
    stages: list[Stage]
    slowest: list[tuple[Order, timedelta]]


def of(user, values: Mapping[str, object]) -> Latency:
    """The orders of this person whose first accepted call began in the period. `values`: from, to (IST dates), strategy, account, live (bool)."""
    found = [Times(*row) for row in _rows(user, values)[: MOST + 1]]
    rows, cut = found[:MOST], len(found) > MOST
    return Latency(len(rows), cut, [stage for name in STAGES if (stage := _stage(name, rows))], _slowest(user, rows))


def _rows(user, values: Mapping[str, object]) -> QuerySet:
    orders = Order.objects.for_user(user)
    wanted = {"strategy": "order__strategy", "account": "order__account"}
    calls = OrderAttempt.objects.filter(order__in=orders, kind=AttemptKind.PLACE, outcome=AttemptOutcome.ACCEPTED)
    calls = calls.filter(**{column: values[name] for name, column in wanted.items() if values.get(name)})
    if values.get("live"):
        calls = calls.filter(order__simulated=False)
    calls = days(calls, "started_at", _day(values.get("from")), _day(values.get("to")))
    seen = Fill.objects.filter(order=OuterRef("order")).order_by().values("order").annotate(first=Min("seen_at")).values("first")
    return calls.order_by("-pk").values_list(
        "order_id", "order__mode", "order__alert__received_at", "order__created_at", "order__queued_at", "started_at", "finished_at", "no", _held(),
        Subquery(seen),
    )  # fmt: skip


def _held() -> Case:
    """Whether it was on hold once. Looked up only for orders that were not released the moment they were stored."""
    holds = OrderEvent.objects.filter(order=OuterRef("order"), to_status=State.HELD)
    return Case(When(order__queued_at__gt=F("order__created_at"), then=Exists(holds)), default=False, output_field=BooleanField())


def _day(value: object) -> date | None:
    return value if isinstance(value, date) else None


def _stage(name: str, rows: Iterable[Times]) -> Stage | None:
    took = sorted(span for row in rows if (span := _took(name, row)) is not None)
    if not took:
        return None
    return Stage(name, *STAGES[name], len(took), *(percentile(took, share) for share in (50, 95, 99)), took[-1])


def _took(name: str, row: Times) -> timedelta | None:
    """Never below nothing: clocks of two machines may differ a little."""
    left = row.left if row.tried == 1 else None
    whole = left if row.mode == Mode.AUTO and not row.held else None
    start, end = {
        "stored": (row.received, row.stored), "sent": (row.released, left), "answered": (row.left, row.answered),
        "filled": (row.answered, row.filled), "whole": (row.received, whole),
    }[name]  # fmt: skip
    return None if start is None or end is None else max(end - start, timedelta(0))


def percentile(ordered: list[timedelta], share: int) -> timedelta:
    """The smallest value that `share` per cent of all are not above (nearest rank)."""
    rank = -(-len(ordered) * share // 100)
    return ordered[max(rank, 1) - 1]


def _slowest(user, rows: Iterable[Times]) -> list[tuple[Order, timedelta]]:
    took = [(span, row.order_id) for row in rows if (span := _took("whole", row)) is not None]
    worst = {order_id: span for span, order_id in sorted(took, reverse=True)[:SLOWEST]}
    found = Order.objects.for_user(user).select_related("strategy", "account").in_bulk(worst)
    return [(found[pk], span) for pk, span in worst.items() if pk in found]
