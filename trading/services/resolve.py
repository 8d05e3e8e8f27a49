"""A person settles an order whose outcome could not be proven: it is there, it is not there, send it again, or look once more.

The web never asks a broker. What needs its book is written down as a wish and rung for; what needs evidence takes the last clean look.
"""

from datetime import datetime, timedelta

from django.db import transaction

from brokers import registry
from brokers.models import SyncState
from trading.domain.orderfsm import State
from trading.models import AttemptKind, Level, Order, Source
from trading.services import books, orders, polling, sysevents
from trading.services.gtt import UNSURE
from tvapp.lib import clock, log
from tvapp.lib.errors import AppError

FRESH_S = 60
WAYS = ("SENT", "NOT_SENT", "SEND_NOW", "LOOK_AGAIN")


def resolve(order: Order, way: str, *, actor: str, broker_order_id: str = "") -> Order:
    """Does what the person decided and gives the order it is about: the new one for SEND_NOW. Raises AppError."""
    if order.status != State.NEEDS_REVIEW:
        text = "Only an order that needs review can be settled by hand. It changed meanwhile: look at it again."
        raise AppError("ORDER_NOT_IN_REVIEW", text, status=409, extra={"status": order.status})
    if way == "SENT":
        return attach(order, broker_order_id, actor=actor)
    if way == "LOOK_AGAIN":
        return look_again(order, actor=actor)
    return not_sent(order, actor=actor) if way == "NOT_SENT" else send_now(order, actor=actor)


def attach(order: Order, broker_order_id: str, *, actor: str) -> Order:
    """Notes which order at the broker it is. The next read of the book takes it, or says why not."""
    wanted = broker_order_id.strip()
    if not wanted or len(wanted) > 40:
        raise AppError("INVALID_VALUE", "Give the order id as your broker shows it.", extra={"field": "broker_order_id"})
    other = Order.objects.filter(account_id=order.account_id, broker_order_id=wanted).first()
    if other is not None:
        raise AppError("BROKER_ORDER_TAKEN", f"{wanted} is order {other.pk} of this desk already.", status=409, extra={"order_id": other.pk})
    text = f"{actor} says it is {wanted} at the broker. The order book is read again to make sure."
    _note(order, text, actor, pending_changes={"attach": wanted})
    polling.want(order.account_id)
    return order


def look_again(order: Order, *, actor: str) -> Order:
    _note(order, f"{actor} asked for another look.", actor)
    polling.want(order.account_id)
    return order


def not_sent(order: Order, *, actor: str) -> Order:
    """FAILED: the person says it was never placed, and the desk's own look agrees. Its tag stays watched."""
    if _day_is_over(order):
        text = f"{actor} marked it as not sent. The order book of its day is gone, so the desk could not see for itself."
    else:
        seen = _proven_absent(order)
        at = f"{seen.astimezone(clock.IST):%H:%M:%S}"
        text = f"{actor} marked it as not sent; the order book of {at} does not show it either. Its tag stays watched."
    if not orders.move(order, State.FAILED, code="MARKED_NOT_SENT", text=text, actor=actor):
        raise _changed()
    sysevents.record("order", "MARKED_NOT_SENT", f"Order {order.pk}: {text}", level=Level.WARNING, owner=order.owner, order=order)
    return order


def send_now(order: Order, *, actor: str) -> Order:
    """Marks this one as not sent and queues a new one with the same content and a tag of its own; the whole gate runs for it."""
    fields = orders.content_of(order)
    if _day_is_over(order):
        text = "It was sent on an earlier day, and today's order book cannot show whether it traded. Compare the position with your broker's first."
        raise AppError("DAY_IS_OVER", text, status=409)
    now = clock.now()
    fields |= {"quantity": order.quantity, "mode": "MANUAL", "source": Source.RESUBMIT, "copied_from": order, "received_at": now, "fired_at": None}
    with transaction.atomic(), log.bound(order.correlation_id):
        not_sent(order, actor=actor)
        text = f"Sent again by {actor} in place of order {order.pk}, which was marked as not sent."
        return orders.create(State.QUEUED, text=text, actor=actor, **fields)


def attempted_at(order: Order) -> datetime:
    """When it may have reached the broker last."""
    began = order.attempts.filter(kind__in=(AttemptKind.PLACE, AttemptKind.GTT)).order_by("-id").values_list("started_at", flat=True).first()
    return began or order.created_at


def _day_is_over(order: Order) -> bool:
    """Whether the book that would show it was cleared since: then absence proves nothing. A trigger stays in its list until it fires."""
    if order.gtt:
        fired = order.events.filter(kind="FIRED").order_by("-id").values_list("at", flat=True).first()
        return order.status_reason == "GTT_GONE" or (fired is not None and fired < books.book_began(clock.now()))
    return attempted_at(order) < books.book_began(clock.now())


def may_send_again(order: Order) -> bool:
    """Whether SEND_NOW can be had at all: not when the book that would show the first one is gone."""
    return not _day_is_over(order)


def _proven_absent(order: Order) -> datetime:
    """The moment of a clean look that is late and fresh enough to believe. 409 TOO_EARLY when there is none; then one is asked for."""
    now, horizon = clock.now(), clock.seconds(registry.caps_for(order.account.broker).horizon_s)
    earliest, seen = attempted_at(order) + horizon, _clean_look(order)
    if seen is not None and seen >= earliest and now - seen <= clock.seconds(FRESH_S):
        return seen
    polling.want(order.account_id)
    left = int((earliest - now) / timedelta(seconds=1)) + 1
    wait = f"That can be said in {left} s at the earliest" if left > 0 else "The order book has to be read once more for that; it is being read now"
    text = f"{wait}: a broker may show an order late. Try again then."
    raise AppError("TOO_EARLY", text, status=409, extra={"clean_look_at": seen.isoformat() if seen else None, "not_before": earliest.isoformat()})


def _clean_look(order: Order) -> datetime | None:
    """When it was last seen to be absent. The order book shows no triggers: an order that is one is absent only from their list."""
    if not order.gtt or order.clean_look_at is None:
        return order.clean_look_at
    read = SyncState.objects.filter(account_id=order.account_id).values_list("gtts_at", flat=True).first()
    return min(order.clean_look_at, read) if read and not order.gtts.filter(state__in=UNSURE, seen_at__isnull=False).exists() else None


def _note(order: Order, text: str, actor: str, **fields: object) -> None:
    if not orders.note(order, "RESOLVE_ASKED", text, actor=actor, **fields):
        raise _changed()


def _changed() -> AppError:
    return AppError("VERSION_CONFLICT", "The order changed since you opened it. Look at it again, then decide.", status=409)
