"""Orders whose outcome was not recorded: looked up by tag, adopted when found, never sent again by guess."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from django.db.models import Q

from brokers import registry
from brokers.base import Adapter
from brokers.errors import BrokerError
from brokers.types import LIVE, OrderReport, Status
from brokers.types import Fill as BrokerFill
from trading.domain.orderfsm import State
from trading.models import AttemptOutcome, Level, Order, OrderAttempt
from trading.services import health, ledgers, orders, polling, sync, sysevents, tripwires
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
    if orders.move(order, State.UNKNOWN, code="OUTCOME_UNKNOWN", text=text, actor=ACTOR, look_at=look_at, looks=0):
        tripwires.unknown(order)
    return "unknown"


def _settle_from_own_book(order: Order) -> str:
    """One transaction over our row and our own book: there -> adopted, absent -> proof that nothing was accepted -> QUEUED."""
    with ledgers.book_of(order.account_id):
        found = registry.adapter_for(order.account).find_by_ref(order.tag)
        if found:
            return _adopt(order, found[0])
        OrderAttempt.objects.filter(order=order, finished_at=None).update(outcome=AttemptOutcome.NOT_SENT, finished_at=clock.now())
        text = "The worker ended before the order reached the book. Nothing was accepted, so it is queued again."
        orders.move(order, State.QUEUED, text=text, actor=ACTOR)
        return "queued again"


def _adopt(order: Order, report: OrderReport, fills: Sequence[BrokerFill] | None = None, text: str = "") -> str:
    if fills is None:
        fills = registry.adapter_for(order.account).list_fills(report.key)
    OrderAttempt.objects.filter(order=order, finished_at=None).update(outcome=AttemptOutcome.ACCEPTED, finished_at=clock.now())
    if order.status in (State.SENDING, State.UNKNOWN, State.NEEDS_REVIEW):
        text = text or f"Found at the broker by its tag as {report.key.broker_order_id}."
        orders.move(order, State.SENT, text=text, actor=ACTOR, broker_order_id=report.key.broker_order_id, pending_changes={})
    sync.apply_report(order.pk, report, fills, actor=ACTOR)
    return "adopted"


def look(order: Order) -> str:
    """One look for an UNKNOWN order, when it is due. Where only the whole book shows it, a read of the book is asked for: `settle` follows."""
    now, adapter = clock.now(), registry.adapter_for(order.account)
    if order.look_at and order.look_at > now:
        return "not due"
    if adapter.caps.find_by_ref == "BOOK":
        polling.want(order.account_id)
        return "asked for the book"
    try:
        found = adapter.find_by_ref(order.tag)
    except BrokerError as exc:  # a failed look is no evidence of anything
        Order.objects.filter(pk=order.pk).update(look_at=now + _pause(order))
        logger.warning("look for order %s failed: %s", order.pk, exc)
        return "no answer"
    crash.point("recover.looked")
    if len(found) == 1 and sync.fits(order, found[0]):
        return _adopt(order, found[0])
    return _odd(order, found) if found else _absent(order)


def settle(order: Order, found: Sequence[OrderReport], book: sync.Book, adapter: Adapter) -> str:
    """What one read of the book says about an UNKNOWN or NEEDS_REVIEW order; `found` are the reports with its tag."""
    crash.point("recover.settling")
    report = one_order(found)
    if report is not None and sync.fits(order, report):
        fills = [f for part in found for f in sync.fills_of(adapter, part, book.fills)]
        return _adopt(order, report, fills)
    if found:
        return _odd(order, found)
    if order.pending_changes.get("attach"):
        return _attach(order, book, adapter)
    return _absence(order, book)


def one_order(found: Sequence[OrderReport]) -> OrderReport | None:
    """The one order these reports are about: a single report, or the slices a broker made of it (one parent). None: none, or several."""
    if len(found) == 1:
        return found[0]
    parents = {r.parent_id for r in found}
    return _merged(found) if len(parents) == 1 and None not in parents else None


def _merged(slices: Sequence[OrderReport]) -> OrderReport:
    first = min(slices, key=lambda r: r.key.broker_order_id)
    live = [r for r in slices if r.status in LIVE]
    sums = {name: sum((getattr(r, name) for r in slices), Decimal(0)) for name in ("quantity", "filled", "cancelled")}
    ended = Status.FILLED if sums["filled"] >= sums["quantity"] else next(r.status for r in slices if r.status != Status.FILLED) if not live else None
    return replace(first, status=ended or live[0].status, updated_at=max(r.updated_at for r in slices), **sums)


def _attach(order: Order, book: sync.Book, adapter: Adapter) -> str:
    """A person named the broker's order: it is taken when the book shows it, nobody else has it, and it is for the same thing."""
    wanted = str(order.pending_changes["attach"])
    report = next((r for r in book.reports if r.key.broker_order_id == wanted), None)
    if report is None and not book.complete:
        return "no answer"
    if report is None:
        why = f"the broker's order book does not show {wanted} today"
    elif not sync.fits(order, report):
        why = f"{wanted} is for something else: another instrument, side or product"
    elif Order.objects.filter(Q(account_id=order.account_id, broker_order_id=wanted) | Q(tag=report.key.ref or "-")).exists():
        why = f"{wanted} belongs to another order of this desk"
    else:
        return _adopt(order, report, list(sync.fills_of(adapter, report, book.fills)), f"Attached to the broker's order {wanted}, as a person said.")
    orders.note(order, "RESOLVE_REFUSED", f"Not attached: {why}.", actor=ACTOR, pending_changes={})
    return "not attached"


def _absence(order: Order, book: sync.Book) -> str:
    """Its tag is not in the book. Only a complete book that was read when a look was due is a clean look."""
    due = order.look_at is None or order.look_at <= book.at
    if not book.complete:
        if order.status == State.UNKNOWN and due:
            Order.objects.filter(pk=order.pk, status=State.UNKNOWN).update(look_at=clock.now() + _pause(order))
        return "no answer"
    if not due:
        return "not due"
    unresolved = Order.objects.filter(pk=order.pk, status__in=(State.UNKNOWN, State.NEEDS_REVIEW))
    if order.status == State.NEEDS_REVIEW:
        unresolved.update(clean_look_at=book.at, looks=order.looks + 1)
        return "absent so far"
    unresolved.update(clean_look_at=book.at)
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
        return _needs_review(order, "ABSENT_AFTER_SETTLE", text, looks=order.looks)
    Order.objects.filter(pk=order.pk, status=State.UNKNOWN).update(looks=order.looks, look_at=clock.now() + _pause(order))
    return "absent so far"


def _odd(order: Order, found: Sequence[OrderReport]) -> str:
    """Reports with its tag that cannot be taken for it: several orders, or one for something else. None is adopted."""
    if len(found) > 1:
        twice(order, found)
        text = "The broker shows more than one order with this tag. Check the broker's order book now."
        return _needs_review(order, "TAG_TWICE", text)
    text = "The broker shows its tag on an order for another instrument, side or product. Check the broker's order book now."
    return _needs_review(order, "TAG_FOREIGN", text)


def twice(order: Order, found: Sequence[OrderReport]) -> None:
    """Two orders where there should be one: the account sends nothing more until a person released it."""
    tripwires.tag_twice(order, ", ".join(sorted({r.key.broker_order_id for r in found} | {order.broker_order_id} - {""})))


def _needs_review(order: Order, code: str, text: str, **fields: object) -> str:
    if order.status == State.NEEDS_REVIEW:
        if order.status_reason != code:
            orders.note(order, "LOOKED", text, actor=ACTOR, code=code, status_reason=code, why=text)
        return "needs review"
    if orders.move(order, State.NEEDS_REVIEW, code=code, text=text, actor=ACTOR, look_at=None, **fields):
        sysevents.record("order", code, f"Order {order.pk} needs you: {text}", level=Level.ERROR, owner=order.owner, order=order)
    return "needs review"


def sending_lost(account_id: int | None = None) -> list[Order]:
    """SENDING orders nobody sends any more: the lease ran out, or the process that held it is gone from this machine."""
    rows = Order.objects.filter(status=State.SENDING).select_related("account", "strategy", "instrument", "owner")
    rows = rows.filter(account_id=account_id) if account_id else rows
    now = clock.now()
    return [o for o in rows if o.lease_until is None or o.lease_until < now or (o.lease_process and health.is_gone(o.lease_process))]


def settle_lost(account_id: int | None = None) -> dict[str, int]:
    """Settles every lost SENDING order, of one account or of all. Counts by what came out."""
    counts: dict[str, int] = {}
    for order in sending_lost(account_id):
        _count(counts, order, lambda o: lost(o, "the worker that sent it ended"))
    return counts


def recover_all() -> dict[str, int]:
    """Settles every lost SENDING order and takes every due look. Counts by what came out."""
    counts = settle_lost()
    due = Order.objects.filter(status=State.UNKNOWN).filter(Q(look_at=None) | Q(look_at__lte=clock.now()))
    for order in due.select_related("account", "strategy", "instrument", "owner"):
        _count(counts, order, look)
    return counts


def _count(counts: dict[str, int], order: Order, act) -> None:
    word = str(orders.guarded(order, act))
    counts[word] = counts.get(word, 0) + 1
