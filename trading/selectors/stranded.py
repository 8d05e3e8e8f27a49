"""Orders that go on only when a person does something: parked, held for a login, or of an unproven outcome; and what can be done with each."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import F, OuterRef, Q, QuerySet, Subquery

from brokers.models import AccountState
from risk.codes import Code
from trading.domain.orderfsm import State
from trading.models import Order, OrderAttempt, Source
from trading.selectors import queue

MOST = 20
PARKED = (Code.POISON, Code.RETRY_EXHAUSTED, Code.FOUND_AT_BROKER)  # no rule ends these holds
REASONS = (*PARKED, Code.ACCOUNT_DISCONNECTED)


@dataclass(frozen=True)
class Row:
    """One of them. `error` is what its broker said last, `tries` how often it was begun or sent."""

    order: Order
    error: str
    tries: str

    @property
    def since(self) -> datetime:
        return queue.since(self.order)

    @property
    def may_requeue(self) -> bool:
        return may_requeue(self.order)

    @property
    def needs_login(self) -> bool:
        return needs_login(self.order)


@dataclass(frozen=True)
class Found:
    """The newest of them, and how many more there are."""

    rows: list[Row]
    more: int

    @property
    def count(self) -> int:
        return len(self.rows) + self.more


def standing(user) -> Found:
    """Those this person may see, newest first, `MOST` at most. Reads by state, never the history."""
    wanted = Q(status=State.NEEDS_REVIEW) | Q(status_reason__in=REASONS)
    rows = _newest(Order.objects.for_user(user).filter(status__in=(State.HELD, State.NEEDS_REVIEW)).filter(wanted))
    said = OrderAttempt.objects.filter(order=OuterRef("pk")).exclude(message="").order_by("-id").values("message")[:1]
    found = list(rows.select_related(*queue.RELATED).annotate(said=Subquery(said))[: MOST + 1])
    more = rows.count() - MOST if len(found) > MOST else 0
    return Found([Row(order, order.said or order.broker_message, _tries(order)) for order in found[:MOST]], more)


def on_hold(user) -> QuerySet[Order]:
    """The others that do not move now: on hold until a rule ends that, or being looked up. Newest first."""
    rows = Order.objects.for_user(user).filter(status__in=(State.HELD, State.UNKNOWN)).exclude(status_reason__in=REASONS)
    return _newest(rows.select_related(*queue.RELATED))


def _newest(rows: QuerySet[Order]) -> QuerySet[Order]:
    """By a sum instead of the id itself: else a database walks a person's whole history by id rather than read the few in these states."""
    return rows.order_by((F("id") + 0).desc())


def _tries(order: Order) -> str:
    """What counts for its reason: starts of work that never ended, else calls to the broker. The last start is the pause before it was parked."""
    if order.status_reason == Code.POISON:
        return _times(max(order.starts - 1, 0), "start")
    return _times(order.attempt, "call") if order.attempt else "never sent"


def _times(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def needs_login(order: Order) -> bool:
    """Whether it waits for a login that has not come yet. While the books are read after one, the gate holds what is requeued until they are."""
    held = order.status == State.HELD and order.status_reason == Code.ACCOUNT_DISCONNECTED
    return held and order.account.state == AccountState.DISCONNECTED


def may_requeue(order: Order) -> bool:
    return order.status == State.HELD and not why_not(order)


def why_not(order: Order) -> str:
    """Why a person cannot send an order on hold on, as a sentence; empty when they can."""
    if order.source == Source.SQUARE_OFF:
        return "It belongs to a square-off, which reads the position anew and makes orders of its own."
    if order.status_reason == Code.FOUND_AT_BROKER:
        return "The broker has an order with its tag already. Look at both, and cancel the one you do not want."
    if order.status_reason not in REASONS:
        return "It goes on by itself when what holds it ends. To decide about it yourself, put it back to the queue."
    return f"{order.account.name} is not logged in. Log in first." if needs_login(order) else ""
