"""The change of an order that is live at its broker (`orders.ask_change`): sent with a row of its own, done only when the broker shows it.

A change names the values to reach, so asking twice cannot do it twice; still it is looked up first and repeated only when it provably did not leave.
"""

import hashlib
import json
from decimal import Decimal

from brokers import registry
from brokers.base import Adapter
from brokers.errors import AuthExpired, BrokerError, RateLimited, Rejected, Unavailable
from brokers.types import OrderKey, OrderReport
from trading.models import AttemptKind, AttemptOutcome, Order, OrderAttempt, Pending
from trading.services import health, orders, sync
from tvapp.lib import clock, crash

ACTOR = "desk"
GIVE_UP_S = 60
_MEANS = {
    Rejected: AttemptOutcome.REFUSED, AuthExpired: AttemptOutcome.AUTH, RateLimited: AttemptOutcome.THROTTLED, Unavailable: AttemptOutcome.NOT_SENT,
}  # fmt: skip
_UNSENT = (AttemptOutcome.NOT_SENT, AttemptOutcome.THROTTLED, AttemptOutcome.AUTH)


def work(order: Order) -> str:
    """Sends the change that was asked for, once, and sees whether the broker shows it. Safe to call twice."""
    adapter = registry.adapter_for(order.account)
    tries = OrderAttempt.objects.filter(order=order, kind=AttemptKind.MODIFY).order_by("id")
    last = tries.last()
    if last is None or last.no <= order.modifications or last.outcome in _UNSENT:
        last = _send(order, adapter, tries.count() + 1)
    return _look(order, adapter, last)


def _send(order: Order, adapter: Adapter, no: int) -> OrderAttempt:
    """`modifications` counts the changes that are settled: an attempt above it belongs to the one under way."""
    wanted = {name: Decimal(value) for name, value in order.pending_changes.items()}
    payload = {"change": order.broker_order_id, "variety": order.variety, **order.pending_changes}
    digest = hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()
    attempt = OrderAttempt.objects.create(order=order, kind=AttemptKind.MODIFY, no=no, payload=payload, payload_hash=digest, process=health.process())
    crash.point("changes.intent")
    outcome, message, raw = AttemptOutcome.ACCEPTED, "", {}
    try:
        adapter.modify(key_of(order), **wanted)
    except BrokerError as exc:
        outcome, message, raw = _outcome(exc), exc.message, dict(exc.raw or {})
    crash.point("changes.sent")
    attempt.outcome, attempt.message, attempt.answer, attempt.finished_at = outcome, message[:300], raw, clock.now()
    attempt.save(update_fields=["outcome", "message", "answer", "finished_at"])
    return attempt


def key_of(order: Order) -> OrderKey:
    return OrderKey(broker_order_id=order.broker_order_id, ref=order.tag, variety=order.variety, symbol=order.symbol)


def _outcome(exc: BrokerError) -> AttemptOutcome:
    return next((outcome for kind, outcome in _MEANS.items() if isinstance(exc, kind)), AttemptOutcome.UNKNOWN)


def _look(order: Order, adapter: Adapter, attempt: OrderAttempt) -> str:
    try:
        found = adapter.get_order(key_of(order))
    except BrokerError:
        return "change not seen yet"
    if _shows(order, found):
        _end(order, attempt, "CHANGED", f"{order.account.get_broker_display()} changed {_said(order)}.", done=True)
    elif attempt.outcome == AttemptOutcome.REFUSED:
        text = f"The broker did not change it: {attempt.message}. The old values count."
        _end(order, attempt, "CHANGE_REFUSED", text)
    elif attempt.outcome not in _UNSENT and clock.now() - attempt.started_at > clock.seconds(GIVE_UP_S):
        _end(order, attempt, "CHANGE_REFUSED", "The broker does not show the change. The old values count.")
    sync.pull(order)
    return "change asked"


def _shows(order: Order, found: OrderReport) -> bool:
    return all(getattr(found, name) == Decimal(value) for name, value in order.pending_changes.items())


def _said(order: Order) -> str:
    return ", ".join(f"{name.replace('_', ' ')} to {value}" for name, value in order.pending_changes.items())


def _end(order: Order, attempt: OrderAttempt, kind: str, text: str, *, done: bool = False) -> None:
    """The change is settled. Somebody being first means that the order moved: the next look ends it."""
    values = {name: Decimal(value) for name, value in order.pending_changes.items()} if done else {}
    orders.note(order, kind, text, actor=ACTOR, pending_action=Pending.NONE, pending_changes={}, modifications=attempt.no, **values)
