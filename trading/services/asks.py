"""What is asked of a broker about an order that is live there (a cancel, a change): a row before the call, the outcome in it, once for each wish."""

import hashlib
import json
from collections.abc import Callable
from datetime import datetime

from brokers.errors import AuthExpired, BrokerError, RateLimited, Rejected, Unavailable
from trading.models import AttemptKind, AttemptOutcome, Order, OrderAttempt
from trading.services import connect, health
from tvapp.lib import clock, crash

UNSENT = (AttemptOutcome.NOT_SENT, AttemptOutcome.THROTTLED, AttemptOutcome.AUTH)
_MEANS = (
    (Rejected, AttemptOutcome.REFUSED), (AuthExpired, AttemptOutcome.AUTH), (RateLimited, AttemptOutcome.THROTTLED),
    (Unavailable, AttemptOutcome.NOT_SENT),
)  # fmt: skip


def last(order: Order, kind: AttemptKind) -> OrderAttempt | None:
    return order.attempts.filter(kind=kind).order_by("id").last()


def wished_at(order: Order, event: str) -> datetime | None:
    """When it was wished last; `event` is the kind of the line in the order's story."""
    return order.events.filter(kind=event).order_by("id").values_list("at", flat=True).last()


def unheard(order: Order, attempt: OrderAttempt | None, event: str) -> bool:
    """Whether the broker has not been asked for the present wish, or provably did not hear it. Without a session nothing is asked."""
    if attempt is not None and attempt.outcome == AttemptOutcome.AUTH and order.account.state != order.account.State.READY:
        return False  # the next login rings again
    wish = wished_at(order, event)
    return attempt is None or (wish is not None and attempt.started_at < wish) or attempt.outcome in UNSENT


def ask(order: Order, kind: AttemptKind, payload: dict[str, object], call: Callable[[], object]) -> OrderAttempt:
    """Writes the row, makes the call once, records what came back. A worker that dies in between leaves the row PENDING: nobody knows."""
    before = last(order, kind)
    digest = hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()
    attempt = OrderAttempt.objects.create(
        order=order, kind=kind, no=before.no + 1 if before else 1, payload=payload, payload_hash=digest, process=health.process()
    )
    crash.point("asks.intent")
    try:
        call()
    except BrokerError as exc:
        means = next((word for error, word in _MEANS if isinstance(exc, error)), AttemptOutcome.UNKNOWN)
        _record(attempt, means, exc.message, {**(exc.raw or {}), "code": exc.code})
        if isinstance(exc, AuthExpired):
            connect.session_lost(order.account, f"the broker no longer accepts the session ({exc.message})", seen_at=attempt.started_at)
    else:
        _record(attempt, AttemptOutcome.ACCEPTED, "", None)
    crash.point("asks.recorded")
    return attempt


def _record(attempt: OrderAttempt, outcome: AttemptOutcome, message: str, raw: object) -> None:
    crash.point("asks.answered")
    attempt.outcome, attempt.message, attempt.finished_at = outcome, message[:300], clock.now()
    attempt.answer = dict(raw) if isinstance(raw, dict) else {}
    attempt.save(update_fields=["outcome", "message", "answer", "finished_at"])
