"""The cancel of an order that is live at its broker: asked once for each wish, and how the order ends is read, never assumed."""

import hashlib
import json
import logging
from datetime import datetime

from brokers import registry
from brokers.base import Adapter
from brokers.errors import AuthExpired, BrokerError, RateLimited, Rejected, Unavailable
from trading.models import AttemptKind, AttemptOutcome, Order, OrderAttempt
from trading.services import connect, health, sync
from tvapp.lib import clock, crash

logger = logging.getLogger("tvapp.cancels")
AGAIN_AFTER_S = 15
_MEANS = (
    (Rejected, AttemptOutcome.REFUSED), (AuthExpired, AttemptOutcome.AUTH), (RateLimited, AttemptOutcome.THROTTLED),
    (Unavailable, AttemptOutcome.NOT_SENT),
)  # fmt: skip
_UNSENT = (AttemptOutcome.NOT_SENT, AttemptOutcome.THROTTLED, AttemptOutcome.AUTH)


def work(order: Order) -> str:
    """Asks the broker when this wish has not reached it yet, then reads. Asked again too soon it would refuse a cancel that is under way."""
    adapter = registry.adapter_for(order.account)
    last = order.attempts.filter(kind=AttemptKind.CANCEL).order_by("id").last()
    if last is None or _unheard(order, last):
        last = _ask(order, adapter, (last.no if last else 0) + 1)
    try:
        sync.pull(order)
    except BrokerError as exc:
        logger.warning("order %s could not be read after its cancel: %s", order.pk, exc, extra={"order_id": order.pk})
        return "not read yet"
    if last.outcome == AttemptOutcome.REFUSED:
        sync.cancel_settled(order.pk)
    return "cancel asked"


def _unheard(order: Order, last: OrderAttempt) -> bool:
    """Whether the broker has to be asked (again): a new wish, one that never left, or one that led to nothing for a while."""
    wish: datetime | None = order.events.filter(kind="CANCEL_ASKED").order_by("id").values_list("at", flat=True).last()
    if wish is not None and last.started_at < wish:
        return True
    if last.outcome == AttemptOutcome.AUTH and order.account.state != order.account.State.READY:
        return False  # the session is gone; the next login rings again
    if last.outcome in _UNSENT:
        return True
    return last.outcome != AttemptOutcome.REFUSED and clock.now() - last.started_at > clock.seconds(AGAIN_AFTER_S)


def _ask(order: Order, adapter: Adapter, no: int) -> OrderAttempt:
    payload = {"cancel": order.broker_order_id, "variety": order.variety}
    digest = hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()
    attempt = OrderAttempt.objects.create(order=order, kind=AttemptKind.CANCEL, no=no, payload=payload, payload_hash=digest, process=health.process())
    crash.point("cancels.intent")
    outcome, message, raw = AttemptOutcome.ACCEPTED, "", {}
    try:
        adapter.cancel(sync.key_of(order))
    except BrokerError as exc:
        outcome = next((word for kind, word in _MEANS if isinstance(exc, kind)), AttemptOutcome.UNKNOWN)
        message, raw = exc.message, dict(exc.raw or {})
        if isinstance(exc, AuthExpired):
            connect.session_lost(order.account, f"the broker no longer accepts the session ({exc.message})", seen_at=attempt.started_at)
    crash.point("cancels.sent")
    attempt.outcome, attempt.message, attempt.answer, attempt.finished_at = outcome, message[:300], raw, clock.now()
    attempt.save(update_fields=["outcome", "message", "answer", "finished_at"])
    return attempt
