"""From QUEUED to the broker: claim, send once, record. The one function that writes orders to a broker is `_send`.

Three transactions with crash points between them: the start is counted, the intent is committed before a byte leaves,
the outcome is recorded. Whatever dies in between is found again by the row itself (recover, sweeper).
"""

import hashlib
import json
import logging
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import F

from brokers import registry
from brokers.base import Adapter, last_look
from brokers.errors import Ambiguous, AuthExpired, BrokerError, LimitCode, RateLimited, RejectCode, Rejected, Unavailable
from brokers.instruments import value_of
from brokers.models import BrokerName
from brokers.types import OrderRequest, OrderType, PlaceAck, Product, Side, Validity
from risk.codes import Code
from risk.models import Decision, Verdict
from trading.domain import orderfsm
from trading.domain.orderfsm import State
from trading.models import AttemptKind, AttemptOutcome, Gtt, Level, Mode, Order, OrderAttempt, Pending
from trading.selectors import pricing, queue
from trading.selectors.funds import Margin
from trading.selectors.snapshot import scopes
from trading.services import (
    advice,
    afterhours,
    beforehand,
    brackets,
    cancels,
    changes,
    connect,
    gtt,
    halt,
    health,
    ledgers,
    orders,
    quotes,
    recover,
    refusals,
    slicing,
    sync,
    sysevents,
    tripwires,
)
from tvapp import release
from tvapp.lib import clock, crash, log
from tvapp.lib.money import plain
from tvapp.models import DeskSettings

logger = logging.getLogger("tvapp.dispatch")
WORKER = "desk"
ASKED_OF_ENTRIES = {
    Code.REFUSAL_OPEN: "Acknowledge it, then decide about this order.",
    Code.SIGNAL_OUT_OF_ORDER: "It waits for your decision.",
}
ASKED_OF_EXITS = (Code.SIGNAL_TOO_OLD, Code.QTY_FREEZE)
LAST_PAUSE_S = 2
GLANCE = ("status", "pending_action", "look_at", "version", "starts", "due_at", "gtt", "correlation_id", "account__broker")


def work(order_id: int) -> str:
    """Looks at one order and does what its row asks for. Never raises for what a broker or a race did; safe to call twice."""
    # most bells need no more; the claim reads the whole row
    order = Order.objects.select_related("account").only(*GLANCE).filter(pk=order_id).first()
    if order is None:
        return "gone"
    with log.bound(order.correlation_id):
        if order.status == State.QUEUED:
            return _work_queued(order)
        if order.status in orderfsm.LIVE and order.pending_action == Pending.CANCEL:
            return cancels.work(_read(order_id))
        if order.status in orderfsm.LIVE and order.pending_action == Pending.MODIFY:
            return changes.work(_read(order_id))
        if order.status in orderfsm.LIVE and order.look_at and order.look_at <= clock.now():
            return _glance(_read(order_id))
        if order.status == State.UNKNOWN:
            return recover.look(_read(order_id))
        return "nothing"


def _glance(order: Order) -> str:
    """Somebody hinted that a stop or target may have filled: it is read by itself, for the other one has to go at once."""
    Order.objects.filter(pk=order.pk, look_at=order.look_at).update(look_at=None)
    try:
        return "read" if sync.pull(order) else "as before"
    except BrokerError as exc:
        logger.warning("order %s could not be read after a hint: %s", order.pk, exc, extra={"order_id": order.pk})
        return "not read"


def _read(order_id: int) -> Order | None:
    return Order.objects.select_related("account", "strategy", "instrument", "instrument__quote").filter(pk=order_id).first()


def _work_queued(order: Order) -> str:
    if wanted := release.other():
        return _other_code(order, wanted)
    if not _count_start(order):
        return "not due"
    crash.point("dispatch.started")
    prepared = _prepared(order.pk) if order.gtt else None
    margin = beforehand.ask(_read(order.pk)) if order.account.broker != BrokerName.PAPER else None
    claimed = claim(order.pk, margin)
    if claimed is None:
        return "not claimed"
    crash.point("dispatch.claimed")
    return _send(claimed, prepared)


def _other_code(order: Order, wanted: str) -> str:
    """The desk was updated and this worker was not: the order stays where it is for one that was."""
    host = health.process().partition(":")[0]
    text = f"A worker on {host} runs other code than the desk was started with. It sends nothing: start the desk there again."
    logger.error("%s (%s, the desk %s)", text, release.stamp(), wanted, extra={"order_id": order.pk})
    sysevents.once("desk", "OLD_CODE", text, level=Level.ERROR)
    return "other code"


def _prepared(order_id: int) -> gtt.Prepared | None:
    """What a trigger needs to know, read before the claim's transaction. Without an answer the trigger does not leave: it is tried again."""
    order = _read(order_id)
    try:
        return gtt.prepare(order, registry.adapter_for(order.account))
    except BrokerError as exc:
        logger.warning("order %s: its broker's triggers could not be read: %s", order_id, exc, extra={"order_id": order_id})
        return None


def _count_start(order: Order) -> bool:
    """Counts a start before the work, so that an order whose work kills its worker is parked and not tried for ever.

    Several workers may have been rung for one order at once and all be on their way to its claim: it is parked only when a pause after
    the last start changed nothing.
    """
    now, most = clock.now(), DeskSettings.current().max_starts
    ready = Order.objects.filter(pk=order.pk, status=State.QUEUED, version=order.version).exclude(due_at__gt=now)
    if ready.filter(starts__lt=most).update(starts=F("starts") + 1):
        return True
    if ready.filter(starts=most).update(starts=most + 1, due_at=now + clock.seconds(LAST_PAUSE_S)) or not ready.exists():
        return False
    text = f"On hold: sending it was started {most} times and never ended. Look at it before you send it again."
    if orders.move(order, State.HELD, code="POISON", text=text, actor=WORKER):
        sysevents.record("order", "POISON", f"Order {order.pk} is parked: {text}", level=Level.ERROR, owner=order.owner, order=order)
    return False


@dataclass(frozen=True)
class Claimed:
    """An order this worker alone may send now: SENDING is committed, with tag, attempt and payload."""

    order: Order
    attempt: OrderAttempt
    request: OrderRequest


def claim(order_id: int, margin: Margin | None = None) -> Claimed | None:
    """One transaction: bump the ledgers, ask the gate with authority, move to SENDING with the attempt. None: not ours, or stopped."""
    with transaction.atomic():
        key = Order.objects.only("account_id", "strategy_id").filter(pk=order_id).first()
        if key is None:
            return None
        ledgers.bump(scopes(key))
        order = _read(order_id)  # behind the ledgers, so that what a parallel claim reserved is visible
        if order is None or order.status != State.QUEUED or _disk_low(order):
            return None
        if not brackets.may_leave(order):
            return None
        offer = pricing.offer(order, clock.now())
        decision = advice.decide(order, offer, margin)
        stops = decision.verdict in (Verdict.REJECT, Verdict.DEFER)
        if not stops and not offer.unpriced and not brackets.has_room(order):  # a stop gives way to what leaves, and to nothing else
            return None
        decision.save(force_insert=True)
        crash.point("dispatch.decided")
        if stops:
            _stop(order, decision)
            return None
        if offer.unpriced:
            if not _wait_for_price(order, decision):
                _ask_for_price(order, decision)
            return None
        return _commit_intent(order, decision, offer)


def _disk_low(order: Order) -> bool:
    least = DeskSettings.current().min_free_disk_mb
    if health.free_disk_mb() >= least:
        return False
    text = f"On hold: less than {least} MB of disk are free, so an outcome might not be recorded. It goes on by itself."
    return orders.move(order, State.HELD, code="DISK_LOW", text=text, actor=WORKER, starts=0)


def _stop(order: Order, decision: Decision) -> None:
    facts = {"verdict": decision.verdict, "decision": decision, "starts": 0}
    tripwires.judged(order, decision)
    if decision.code in ASKED_OF_ENTRIES:
        return _ask_first(order, decision, ASKED_OF_ENTRIES[decision.code])
    if decision.code in ASKED_OF_EXITS and decision.order_class == "EXIT":
        return _ask_about_exit(order, decision)
    if decision.code == Code.PRICE_UNAVAILABLE and _wait_for_price(order, decision):
        return None
    if decision.verdict == Verdict.DEFER:
        to, text = State.HELD, decision.sentence
    elif decision.code == Code.SIGNAL_TOO_OLD:
        to, text = State.STALE, f"Not sent: {decision.sentence}"
    else:
        to, text = State.REJECTED_RISK, f"Never left the desk. {decision.sentence}"
    orders.move(order, to, code=decision.code, text=text, actor="risk gate", data={"decision": decision.pk}, **facts)
    brackets.held_back(order)


def _ask_first(order: Order, decision: Decision, todo: str) -> None:
    """What a person has to look at before: it waits where it is seen why."""
    said = decision.sentence.removeprefix("On hold: ")
    text = f"{said[0].upper()}{said[1:]}. {todo}"
    orders.move(order, State.WAITING, code=decision.code, text=text, actor="risk gate", verdict=decision.verdict, decision=decision)


def _wait_for_price(order: Order, decision: Decision) -> bool:
    """The first alert on an instrument nobody has priced yet: where a feed can give a price, an automatic order is held for it while it is young."""
    if order.mode != Mode.AUTO or not queue.is_young(order, clock.now()) or not quotes.hurry(order):
        return False
    text = f"On hold: no fresh price of {order.tradingsymbol} is known. It is being read; the order goes on when it is there."
    facts = {"verdict": Verdict.DEFER, "decision": decision, "data": {"decision": decision.pk}, "starts": 0}
    orders.move(order, State.HELD, code=Code.PRICE_UNAVAILABLE, text=text, actor="risk gate", **facts)
    return True


def _ask_for_price(order: Order, decision: Decision) -> None:
    """An exit the gate would let go at any price, of a strategy that allows only so much: a person says which price."""
    text = f"It may slip by {plain(order.max_slippage_pct)} % at most, and there is no price to count from. Make it a limit order with a price."
    orders.move(order, State.WAITING, code="PRICE_UNAVAILABLE", text=text, actor=WORKER, mode=Mode.MANUAL, decision=decision)
    sysevents.record("risk", "PRICE_UNAVAILABLE", f"Order {order.pk} waits: {text}", level=Level.WARNING, owner=order.owner, order=order)


def _ask_about_exit(order: Order, decision: Decision) -> None:
    """An exit is never thrown away for what a person can put right: it waits, with a notice."""
    text = f"{decision.sentence}. It would close a position, so it waits for your decision."
    orders.move(order, State.WAITING, code=decision.code, text=text, actor="risk gate", mode=Mode.MANUAL, decision=decision)
    sysevents.record("risk", decision.code, f"Order {order.pk} waits: {text}", level=Level.WARNING, owner=order.owner, order=order)


def _commit_intent(order: Order, decision: Decision, offer: pricing.Offer) -> Claimed | None:
    parts = slicing.sizes(order, decision.final)
    request = _request(order, decision, offer, parts[0])
    payload = _payload(request)
    now = clock.now()
    lease = now + clock.seconds(DeskSettings.current().lease_s)
    text = f"{slicing.said(order, parts)}Sending {plain(parts[0])}: saved with tag {order.tag} before the first byte left."
    if offer.note:
        text = f"{offer.note} {text}"
    if decision.verdict == Verdict.CLAMP:
        text = f"{decision.sentence}. {text}"
    moved = orders.move(
        order, State.SENDING, text=text, actor=WORKER, data={"decision": decision.pk}, quantity=parts[0], verdict=decision.verdict,
        decision=decision, attempt=order.attempt + 1, sent_at=now, lease_until=lease, lease_process=health.process(), **offer.columns(),
    )  # fmt: skip
    if not moved:
        return None
    slicing.make(order, parts[1:])
    attempt = OrderAttempt.objects.create(
        order=order, kind=AttemptKind.GTT if order.gtt else AttemptKind.PLACE, no=order.attempt, decision=decision, payload=payload,
        payload_hash=_hash(payload), process=order.lease_process,
    )  # fmt: skip
    return Claimed(order, attempt, request)


def _request(order: Order, decision: Decision, offer: pricing.Offer, quantity: Decimal) -> OrderRequest:
    """What the adapter is asked for. An order that only closes says so, whoever asked for it: limiters let it go first."""
    return OrderRequest(
        ref=order.tag, instrument=value_of(order.instrument), side=Side(order.side), quantity=quantity, order_type=OrderType(offer.order_type),
        product=Product(order.product), price=offer.price, trigger_price=offer.trigger_price, validity=Validity(order.validity),
        ref_price=order.ref_price, reduce_only=order.reduce_only or decision.order_class == "EXIT", amo=order.variety == afterhours.AMO,
        validity_minutes=order.validity_minutes, iceberg_legs=order.iceberg_legs,
    )  # fmt: skip


def _payload(request: OrderRequest) -> dict[str, str]:
    """What is sent, in the words of the order page: the hash covers exactly this."""
    fields = ("ref", "side", "quantity", "order_type", "product", "price", "trigger_price", "validity")
    rare = ("amo", "validity_minutes", "iceberg_legs")
    values = {name: getattr(request, name) for name in fields} | {name: getattr(request, name) or None for name in rare}
    shown = {k: plain(v) if isinstance(v, Decimal) else str(v) for k, v in values.items() if v is not None}
    return {"instrument": request.instrument.key, **shown}


def _hash(payload: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()


def _send(claimed: Claimed, prepared: gtt.Prepared | None = None) -> str:
    """The only place an order is written to a broker (its trigger: `gtt.place_for`). No transaction is open; whatever happens becomes an outcome."""
    order, attempt = claimed.order, claimed.attempt
    if not _still_ours(order):
        return _overslept(order, attempt)
    bar = halt.bars(order, closes=claimed.request.reduce_only)
    if bar is not None:
        return _unsent(order, attempt, bar)
    adapter = registry.adapter_for(order.account)
    try:
        with last_look(lambda: halt.stand(order, closes=claimed.request.reduce_only)):
            done = gtt.place_for(order, claimed.request, prepared, adapter) if order.gtt else adapter.place(claimed.request)
    except halt.Withheld as stop:
        return _unsent(order, attempt, stop.bar)
    except BrokerError as exc:
        return _record_error(order, attempt, exc)
    except Exception as exc:  # anything a client library throws may have come after acceptance: unknown, never failed
        logger.exception("placing order %s ended in an unexpected way", order.pk)
        return _record_error(order, attempt, Ambiguous("OTHER", f"{type(exc).__name__}: {exc}", sent=None))
    crash.point("dispatch.placed")
    if order.gtt:
        _record_trigger(order, attempt, done)
    else:
        _record_ack(order, attempt, done, adapter)
    return "sent"


def _record_trigger(order: Order, attempt: OrderAttempt, row: Gtt) -> None:
    with ledgers.book_of(order.account_id):
        _finish(attempt, AttemptOutcome.ACCEPTED, "", {"trigger_id": row.broker_gtt_id})
        _catch_up(order)
        gtt.stands(order, row)
    crash.point("dispatch.kept")


def _still_ours(order: Order) -> bool:
    """Whether the lease still runs. A worker that slept through it (a suspended machine) finds that others decided about the order."""
    return Order.objects.filter(pk=order.pk, status=State.SENDING, attempt=order.attempt, lease_until__gt=clock.now()).exists()


def _overslept(order: Order, attempt: OrderAttempt) -> str:
    why = "the worker was stopped for longer than its lease before it sent anything"
    with transaction.atomic():
        _finish(attempt, AttemptOutcome.NOT_SENT, why, {})
        orders.move(order, State.QUEUED, text=f"Not sent: {why}. It is queued again.", actor=WORKER)
    return "too late"


def _record_ack(order: Order, attempt: OrderAttempt, ack: PlaceAck, adapter: Adapter) -> None:
    """SENT with the broker's id; where the ack is the truth already (paper), what it led to is read first and recorded along."""
    broker, key = order.account.get_broker_display(), ack.key
    report = adapter.get_order(key) if adapter.caps.ack_is_final else None
    fills = adapter.list_fills(key) if report else ()
    with ledgers.book_of(order.account_id):
        _finish(attempt, AttemptOutcome.ACCEPTED, "", dict(ack.raw or {}))
        _catch_up(order)
        text = f"{broker} took it as {key.broker_order_id}{', for the next session' if order.variety == afterhours.AMO else ''}."
        orders.move(order, State.SENT, text=text, actor=broker, broker_order_id=key.broker_order_id, variety=key.variety or order.variety)
        if report:
            sync.apply_in_book(order.pk, report, fills, actor=broker)
    crash.point("dispatch.recorded")


def _catch_up(order: Order) -> None:
    """The answer of this very attempt counts, too, when its lease ran out during the call and the outcome was called unknown."""
    unsure = [State.UNKNOWN, State.NEEDS_REVIEW]
    row = Order.objects.filter(pk=order.pk, attempt=order.attempt, status__in=unsure).values("status", "version").first()
    if row:
        order.status, order.version = row["status"], row["version"]


def _finish(attempt: OrderAttempt, outcome: str, message: str, raw: dict[str, object]) -> None:
    OrderAttempt.objects.filter(pk=attempt.pk, finished_at=None).update(
        outcome=outcome, message=message[:300], answer=raw, finished_at=clock.now()
    )


def _unsent(order: Order, attempt: OrderAttempt, bar: halt.Bar) -> str:
    with ledgers.book_of(order.account_id):
        _finish(attempt, AttemptOutcome.NOT_SENT, bar.why, {})
        orders.move(order, State.HELD, code=bar.code, text=f"On hold: {bar.why}. Nothing was sent.", actor=WORKER)
        brackets.held_back(order)
    return "halted"


def _record_error(order: Order, attempt: OrderAttempt, exc: BrokerError) -> str:
    """What came back instead of an acceptance, and what it means for others, in one transaction."""
    with ledgers.book_of(order.account_id):
        word = _record_outcome(order, attempt, exc)
        refusals.noticed(order, exc)
    crash.point("dispatch.refused")
    return word


def _record_outcome(order: Order, attempt: OrderAttempt, exc: BrokerError) -> str:
    broker, raw = order.account.get_broker_display(), dict(exc.raw or {})
    if isinstance(exc, Rejected):
        _finish(attempt, AttemptOutcome.REFUSED, exc.message, raw)
        closed = exc.code == RejectCode.MARKET_CLOSED
        if closed and (word := afterhours.instead(order, exc.message)):
            return word
        text = f"{broker} refused it: {exc.message.rstrip('.')}. Nothing is live. {afterhours.why_not(order) if closed else ''}".rstrip()
        orders.move(order, State.FAILED, code=exc.code, text=text, actor=broker, broker_message=exc.message[:300])
        return "refused"
    if isinstance(exc, AuthExpired):
        _finish(attempt, AttemptOutcome.AUTH, exc.message, raw)
        return _disconnect(order, attempt, exc)
    if isinstance(exc, RateLimited | Unavailable):
        outcome = AttemptOutcome.THROTTLED if isinstance(exc, RateLimited) else AttemptOutcome.NOT_SENT
        _finish(attempt, outcome, exc.message, raw)
        return _later(order, exc)
    _finish(attempt, AttemptOutcome.UNKNOWN, exc.message, raw)
    return recover.lost(order, exc.message)


def _disconnect(order: Order, attempt: OrderAttempt, exc: BrokerError) -> str:
    connect.session_lost(order.account, f"the broker no longer accepts the session ({exc.message})", seen_at=attempt.started_at)
    text = "On hold: the broker session ended before the order was sent. Log in again and it goes on."
    orders.move(order, State.HELD, code=connect.CODE, text=text, actor=WORKER)
    return "disconnected"


def _later(order: Order, exc: RateLimited | Unavailable) -> str:
    """Nothing was accepted: tomorrow, when our own limiter has room, or after a pause."""
    if exc.code == LimitCode.DAILY_ORDER_CAP:
        return _tomorrow(order, exc)
    if isinstance(exc, RateLimited) and exc.local:
        return _when_there_is_room(order, exc)
    return _retry(order, exc)


def _tomorrow(order: Order, exc: BrokerError) -> str:
    due = clock.day_start(clock.trading_day(clock.now()) + timedelta(days=1))
    text = f"On hold until tomorrow: the broker takes no more orders of this account today ({exc.message.rstrip('.')}). Nothing was sent."
    orders.move(order, State.HELD, code=exc.code, text=text, actor=WORKER, due_at=due)
    refusals.day_is_spent(order, exc.message)
    return "day is spent"


def _when_there_is_room(order: Order, exc: BrokerError) -> str:
    """Our own limiter kept it back and the broker never heard of it: that is no failed try, so the retry window starts anew."""
    now = clock.now()
    text = "Not sent yet: the desk keeps to the broker's limits. It goes as soon as there is room."
    due = now + timedelta(seconds=float(exc.retry_after or 1))
    orders.move(order, State.QUEUED, code=exc.code, text=text, actor=WORKER, due_at=due, starts=0)
    return "later"


def _retry(order: Order, exc: BrokerError) -> str:
    """Provably not accepted: again after a pause that doubles, at most for the retry window."""
    now, window = clock.now(), DeskSettings.current().retry_window_s
    if (now - (order.queued_at or now)) > clock.seconds(window):
        text = f"On hold: it could not be sent for {window} s ({exc.message}). Send it again when the broker is back, or cancel it."
        orders.move(order, State.HELD, code="RETRY_EXHAUSTED", text=text, actor=WORKER)
        return "given up"
    pause = min(2 ** min(order.attempt, 6), 60) * (0.75 + (order.pk % 8) / 16)  # spread by id, so that a crowd does not come back at once
    wait = max(clock.seconds(pause), timedelta(seconds=float(exc.retry_after or 0)))
    text = f"Not sent yet: {exc.message}. It is tried again shortly."
    orders.move(order, State.QUEUED, code=exc.code, text=text, actor=WORKER, due_at=now + wait, queued_at=order.queued_at or now, starts=0)
    return "later"
