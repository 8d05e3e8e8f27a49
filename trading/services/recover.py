"""Orders whose outcome was not recorded: looked up by tag, adopted when found, never sent again by guess."""

import logging
from datetime import timedelta

from django.db import transaction
from django.db.models import Q

from brokers import registry
from brokers.errors import BrokerError
from brokers.types import OrderReport
from trading.domain.orderfsm import State
from trading.models import AttemptOutcome, Level, Order, OrderAttempt
from trading.services import health, orders, sync, sysevents
from tvapp.lib import clock, crash

logger = logging.getLogger("tvapp.recover")

SETTLE_S = 15
CLEAN_LOOKS = 3
LATER_S = 60
ACTOR = "recovery"


def lost(order: Order, why: str) -> str:
    """A SENDING order whose outcome is not known. Where the broker's book is proof (paper) it is settled at once from that book."""
    if registry.adapter_for(order.account).caps.absence_is_proof:
        return _settle_from_own_book(order)
    text = f"The broker may or may not have it: {why}. It is being looked up by its tag; it is not sent again."
    look_at = clock.now() + clock.seconds(_looks(order)[0])
    orders.move(order, State.UNKNOWN, code="OUTCOME_UNKNOWN", text=text, actor=ACTOR, look_at=look_at, looks=0)
    return "unknown"


def _settle_from_own_book(order: Order) -> str:
    """One transaction over our row and our own book: there -> adopted, absent -> proof that nothing was accepted -> QUEUED."""
    with transaction.atomic():
        found = registry.adapter_for(order.account).find_by_ref(order.tag)
        if found:
            return _adopt(order, found[0])
        OrderAttempt.objects.filter(order=order, finished_at=None).update(outcome=AttemptOutcome.NOT_SENT, finished_at=clock.now())
        text = "The worker ended before the order reached the book. Nothing was accepted, so it is queued again."
        orders.move(order, State.QUEUED, text=text, actor=ACTOR)
        return "queued again"


def _adopt(order: Order, report: OrderReport) -> str:
    fills = registry.adapter_for(order.account).list_fills(report.key)
    OrderAttempt.objects.filter(order=order, finished_at=None).update(outcome=AttemptOutcome.ACCEPTED, finished_at=clock.now())
    if order.status in (State.SENDING, State.UNKNOWN, State.NEEDS_REVIEW):
        text = f"Found at the broker by its tag as {report.key.broker_order_id}."
        orders.move(order, State.SENT, text=text, actor=ACTOR, broker_order_id=report.key.broker_order_id)
    sync.apply_report(order.pk, report, fills, actor=ACTOR)
    return "adopted"


def look(order: Order) -> str:
    """One look for an UNKNOWN order, when it is due. Three clean absences over the settle time make it NEEDS_REVIEW."""
    now = clock.now()
    if order.look_at and order.look_at > now:
        return "not due"
    try:
        found = registry.adapter_for(order.account).find_by_ref(order.tag)
    except BrokerError as exc:  # a failed look is no evidence of anything
        Order.objects.filter(pk=order.pk).update(look_at=now + _pause(order))
        logger.warning("look for order %s failed: %s", order.pk, exc)
        return "no answer"
    crash.point("recover.looked")
    if len(found) == 1:
        return _adopt(order, found[0])
    if found:
        return _two(order)
    return _absent(order)


def _looks(order: Order) -> tuple[float, ...]:
    return registry.adapter_for(order.account).caps.looks_after_s


def _pause(order: Order) -> timedelta:
    looks = _looks(order)
    return clock.seconds(looks[order.looks] if order.looks < len(looks) else LATER_S)


def _absent(order: Order) -> str:
    order.looks += 1
    began = order.attempts.order_by("-id").values_list("started_at", flat=True).first() or order.updated_at
    settled = clock.now() - began >= clock.seconds(SETTLE_S)
    if order.looks >= CLEAN_LOOKS and settled:
        text = "The broker does not show it, but that cannot be proven. Decide what happened; its tag stays watched."
        return _needs_review(order, "ABSENT_AFTER_SETTLE", text)
    Order.objects.filter(pk=order.pk, status=State.UNKNOWN).update(looks=order.looks, look_at=clock.now() + _pause(order))
    return "absent so far"


def _two(order: Order) -> str:
    return _needs_review(order, "TAG_TWICE", "The broker shows more than one order with this tag. Check the broker's order book now.")


def _needs_review(order: Order, code: str, text: str) -> str:
    if orders.move(order, State.NEEDS_REVIEW, code=code, text=text, actor=ACTOR, look_at=None):
        sysevents.record("order", code, f"Order {order.pk} needs you: {text}", level=Level.ERROR, owner=order.owner, order=order)
    return "needs review"


def sending_lost() -> list[Order]:
    """SENDING orders nobody sends any more: the lease ran out, or the process that held it is gone from this machine."""
    rows = Order.objects.filter(status=State.SENDING).select_related("account", "strategy", "instrument", "owner")
    now = clock.now()
    return [o for o in rows if o.lease_until is None or o.lease_until < now or (o.lease_process and health.is_gone(o.lease_process))]


def recover_all() -> dict[str, int]:
    """Settles every lost SENDING order and takes every due look. Counts by what came out."""
    counts: dict[str, int] = {}
    for order in sending_lost():
        _count(counts, order, lambda o: lost(o, "the worker that sent it ended"))
    due = Order.objects.filter(status=State.UNKNOWN).filter(Q(look_at=None) | Q(look_at__lte=clock.now()))
    for order in due.select_related("account", "strategy", "instrument", "owner"):
        _count(counts, order, look)
    return counts


def _count(counts: dict[str, int], order: Order, act) -> None:
    word = str(orders.guarded(order, act))
    counts[word] = counts.get(word, 0) + 1
