"""The only writer of Order.status. Every change is one conditional UPDATE and one event row in one transaction.

Zero rows updated means another one was first: a person gets 409, a worker drops the work in silence.
"""

import logging
from collections.abc import Callable, Mapping
from decimal import Decimal

from django.db import IntegrityError, OperationalError, transaction
from django.db.models import F

from risk.models import Verdict
from trading.domain import orderfsm
from trading.domain.orderfsm import State
from trading.domain.pricing import snap
from trading.models import Mode, Order, OrderEvent, Pending, Role, Source
from trading.selectors import brackets, stranded
from trading.services import doorbell
from trading.services.advice import advise
from tvapp.lib import clock, crash, ids, log
from tvapp.lib.errors import AppError
from tvapp.lib.money import plain

logger = logging.getLogger("tvapp.orders")

CHANGEABLE = ("quantity", "price", "trigger_price")
EDITABLE_FIELDS = ("quantity", "price", "trigger_price", "order_type", "product", "gtt")
COPIED = (
    "alert", "signal", "strategy", "account", "instrument", "exchange", "tradingsymbol", "tv_symbol", "side", "reduce_only", "requested_quantity",
    "order_type", "price", "trigger_price", "ref_price", "product", "validity", "simulated", "correlation_id", "owner", "fired_at",
    "max_slippage_pct", "validity_minutes", "iceberg_legs", "gtt",
)  # fmt: skip


def _event(order: Order, kind: str, text: str, actor: str, *, code: str = "", old: str = "", new: str = "", data: Mapping | None = None) -> None:
    OrderEvent.objects.create(
        order_id=order.pk, seq=order.version, kind=kind, text=text, actor=actor, code=code, from_status=old, to_status=new,
        correlation_id=order.correlation_id, data=dict(data or {}),
    )  # fmt: skip
    facts = {"order_id": order.pk, "from": old, "to": new, "code": code, "actor": actor, "tag": order.tag}
    logger.info("order %s: %s", kind.lower(), text, extra={**facts, "correlation_id": order.correlation_id})


def create(status: State, *, code: str = "", text: str, actor: str, data: Mapping | None = None, **fields) -> Order:
    """A new order in one of the starting states, with the first line of its story. Rings the bell when it starts QUEUED.

    Only what must collide with a second one like it brings a `tag` of its own.
    """
    if status not in orderfsm.STARTS:
        raise ValueError(f"an order cannot start as {status}")
    now = clock.now()
    if status == State.QUEUED:
        fields |= {"queued_at": now, "rung_at": now}
    if status == State.STALE:
        fields["ended_at"] = now
    order = Order(status=status, status_reason=code, why=text, created_at=now, updated_at=now, **fields)
    order.tag = order.tag or ids.order_tag(order.account.environment)
    order.save(force_insert=True)
    _event(order, "CREATED", text, actor, code=code, new=status, data=data)
    if status == State.QUEUED:
        doorbell.ring(order.pk)
    return order


def adopt_external(*, account, text: str, actor: str, **fields) -> Order:
    """The row of an order somebody placed past the desk, as its broker's book showed it: SENT, and a report takes it on from there.

    The only way an order starts at its broker. Twice for one broker's id is the same row. Its own tag was never sent anywhere.
    """
    known = Order.objects.filter(account=account, broker_order_id=fields["broker_order_id"]).first()
    if known is not None:
        return known
    now, simulated = clock.now(), account.environment != "LIVE"
    start = {"status": State.SENT, "source": Source.EXTERNAL, "mode": Mode.MANUAL, "why": text, "created_at": now, "updated_at": now}
    order = Order(account=account, owner=account.owner, simulated=simulated, **start, **fields)
    order.tag = "x" + ids.order_tag(account.environment)[1:]
    try:
        with transaction.atomic():
            order.save(force_insert=True)
            _event(order, "CREATED", text, actor, new=State.SENT)
    except IntegrityError:  # another read saw it at the same moment
        return Order.objects.get(account=account, broker_order_id=fields["broker_order_id"])
    return order


def _swap(order: Order, changes: Mapping[str, object]) -> bool:
    """The compare-and-swap: writes `changes` when nobody else wrote since `order` was read."""
    changes = {**changes, "updated_at": clock.now()}
    won = Order.objects.filter(pk=order.pk, status=order.status, version=order.version).update(version=F("version") + 1, **changes)
    if not won:
        return False
    for name, value in changes.items():
        setattr(order, name, value)
    order.version += 1
    return True


def move(order: Order, to: State, *, text: str, actor: str, code: str = "", data: Mapping | None = None, **fields) -> bool:
    """Moves the order along the table. False: somebody else was first and nothing was written.

    `fields` are written in the same UPDATE. A move into QUEUED rings the bell in the same transaction.
    """
    old = State(order.status)
    if not orderfsm.may_move(old, to):
        raise ValueError(f"order {order.pk}: {old} does not lead to {to}")
    changes = {"status": to, "status_reason": code, "why": text, **_leaving(old, to), **_entering(to), **fields}
    with transaction.atomic():
        if not _swap(order, changes):
            return False
        crash.point(f"orders.move.{to.lower()}")
        _event(order, "MOVE", text, actor, code=code, old=old, new=to, data=data)
        if to == State.QUEUED and order.due_at is None:
            doorbell.ring(order.pk)
    return True


def _leaving(old: State, to: State) -> dict[str, object]:
    """`starts` counts work that began and never ended: it survives the way back from a sender that died, and nothing else."""
    if old == State.HELD:  # whatever hour it was meant for has passed
        return {"starts": 0, "variety": "regular"}
    if old != State.SENDING:
        return {"starts": 0} if to == State.QUEUED else {}
    lease = {"lease_until": None, "lease_process": ""}
    return lease if to == State.QUEUED else {**lease, "starts": 0}


def _entering(to: State) -> dict[str, object]:
    now = clock.now()
    if to == State.QUEUED:
        return {"queued_at": now, "rung_at": now, "rings": 0, "due_at": None}
    if to == State.WAITING:
        return {"mode": Mode.MANUAL}  # a person decides now, and an automatic order's age limit would leave nothing to decide
    if to in orderfsm.ENDED:
        return {"ended_at": now, "pending_action": Pending.NONE}
    return {}


def note(order: Order, kind: str, text: str, *, actor: str, code: str = "", data: Mapping | None = None, **fields) -> bool:
    """A line in the story without a move. False when the order changed meanwhile."""
    with transaction.atomic():
        if not _swap(order, fields):
            return False
        _event(order, kind, text, actor, code=code, data=data)
    return True


def guarded(order: Order, act: Callable[[Order], object]) -> object:
    """What `act` says of this order; "broken" and a line in the log when it raised: one bad row must not keep all others waiting."""
    with log.bound(order.correlation_id):
        try:
            return act(order)
        except OperationalError:  # a busy database breaks off the whole pass, which is tried again
            raise
        except Exception:
            logger.exception("order %s could not be worked on; the others go on", order.pk)
            return "broken"


def _lost(order: Order, was: str = "waiting", code: str = "ORDER_NOT_WAITING") -> AppError:
    now = Order.objects.values_list("status", flat=True).get(pk=order.pk)
    word = orderfsm.WORDS[State(now)].lower()
    text = f"This order is no longer {was}: it is {word}. Somebody else was first."
    return AppError(code, text, status=409, extra={"status": now})


def _check_version(order: Order, version: int | None) -> None:
    if version is not None and version != order.version:
        text = "The order changed since you opened it. Look at it again, then decide."
        raise AppError("VERSION_CONFLICT", text, status=409, extra={"version": order.version})


def _repeated(order: Order, asked: str, key: str, actor: str) -> bool:
    """Whether this person asked for this very thing with this key before. A key that was used for something else says nothing."""
    return bool(key) and OrderEvent.objects.filter(order=order, actor=actor, data__idempotency_key=key, data__asked=asked).exists()


def _keyed(asked: str, key: str) -> dict[str, str]:
    return {"idempotency_key": key, "asked": asked} if key else {}


def approve(order: Order, *, actor: str, version: int | None = None, quantity: Decimal | None = None, key: str = "") -> Order:
    """A person says yes: WAITING -> QUEUED and the bell, in one transaction.

    The gate is asked for advice first: a rejection answers 422 and leaves the order WAITING; a quantity other than
    the one the person was shown answers 409. Raises AppError. `key` (Idempotency-Key) makes a repeat harmless.
    """
    if _repeated(order, "execute", key, actor):
        return order
    if order.status != State.WAITING:
        raise _lost(order)
    _check_version(order, version)
    if order.instrument_id is None or order.quantity is None:
        raise AppError(order.status_reason or "NOT_EXECUTABLE", f"It cannot be executed: {order.why}", status=422)
    if unguarded := brackets.fault(order):
        raise AppError("BRACKET_UNSUPPORTED", f"It cannot be executed: {unguarded}", status=422)
    decision = advise(order)
    refused = decision.verdict in (Verdict.REJECT, Verdict.DEFER)
    if refused and not Order.objects.filter(pk=order.pk, status=State.WAITING, version=order.version).exists():
        raise _lost(order)  # somebody else was first, and the advice is about the world after that
    if refused:
        raise AppError("RISK_ADVISORY_REJECT", decision.sentence, status=422, extra={"code": decision.code, "findings": decision.findings})
    if quantity is not None and quantity != decision.final:
        text = f"The risk check now allows {plain(decision.final)}, not {plain(quantity)}. Look again before you execute."
        raise AppError("QUANTITY_CHANGED", text, status=409, extra={"quantity": plain(decision.final)})
    if not move(order, State.QUEUED, text=f"Executed by {actor}.", actor=actor, code="", data=_keyed("execute", key)):
        raise _lost(order)
    return order


def requeue(order: Order, *, actor: str, version: int | None = None, key: str = "") -> Order:
    """A person sends on what no rule would: HELD -> QUEUED and the bell, its starts counted anew, and the whole gate judges it again.

    Its age counts as that of an order a person decided on; what guards a fill does not grow old and stays as it is.
    AppError when its reason is not one for that, or somebody was first.
    """
    if _repeated(order, "requeue", key, actor):
        return order
    if order.status != State.HELD:
        raise _lost(order, "on hold", "ORDER_NOT_HELD")
    _check_version(order, version)
    if fault := stranded.why_not(order):
        raise AppError("NOT_REQUEUED", fault, status=409, extra={"code_of_hold": order.status_reason})
    text = f"Requeued by {actor}. The whole risk check looks at it again."
    mode = order.mode if order.source == Source.BRACKET else Mode.MANUAL
    if not move(order, State.QUEUED, text=text, actor=actor, data=_keyed("requeue", key), mode=mode):
        raise _lost(order, "on hold", "ORDER_NOT_HELD")
    return order


def cancel(order: Order, *, actor: str, key: str = "", because: str = "") -> Order:
    """Cancels here while the order has not left the house; later asks the broker and lets the broker say how it ended.

    `because` goes into its story: the reason as the end of a sentence, without a full stop.
    """
    if _repeated(order, "cancel", key, actor):
        return order
    data = _keyed("cancel", key) | ({"because": because} if because else {})
    state = State(order.status)
    if state in orderfsm.CANCEL_HERE:
        text = f"Cancelled before it was sent, because {because}." if because else f"Cancelled by {actor} before it was sent."
        if not move(order, State.CANCELLED, text=text, actor=actor, code="CANCELLED_HERE", data=data):
            raise _lost_cancel(order)
        return order
    if state in orderfsm.LIVE:
        return _ask_cancel(order, actor, data)
    raise _lost_cancel(order)


def _ask_cancel(order: Order, actor: str, data: Mapping) -> Order:
    if order.pending_action == Pending.CANCEL:
        return order
    with transaction.atomic():
        why = f"A cancel is asked of the broker, because {data['because']}." if "because" in data else f"{actor} asked to cancel."
        text = f"{why} The order stays live until the broker says otherwise."
        if not note(order, "CANCEL_ASKED", text, actor=actor, data=data, pending_action=Pending.CANCEL):
            raise _lost_cancel(order)
        doorbell.ring(order.pk)
    return order


def cancelled_because(order: Order) -> str:
    """The reason given with the last wish to cancel it, as the end of a sentence; empty when a person just wanted it gone."""
    said = OrderEvent.objects.filter(order=order, kind="CANCEL_ASKED").order_by("-id").values_list("data", flat=True).first() or {}
    return str(said.get("because", ""))


def ask_change(order: Order, changes: Mapping[str, Decimal], *, actor: str) -> Order:
    """Wants other values of a live order: `quantity`, `price`, `trigger_price`. It keeps its old ones until the broker shows the new.

    AppError when it is not live, when something else was asked of the broker before, or when somebody was first.
    """
    if order.status not in orderfsm.LIVE or order.pending_action:
        raise AppError("ORDER_IN_FLIGHT", "The order is not resting, or something else was asked of the broker. Try again in a second.", status=409)
    if order.gtt and not order.broker_order_id:
        raise AppError("GTT_STANDS", "It waits at the broker as a trigger (GTT), which cannot be changed. Cancel it and send a new one.", status=409)
    real = {name: value for name, value in changes.items() if name in CHANGEABLE and getattr(order, name) != value}
    if not real:
        return order
    said = ", ".join(f"{_label(name)} {_show(getattr(order, name))} to {_show(value)}" for name, value in real.items())
    with transaction.atomic():
        text = f"{actor} asked the broker to change {said}. The old values count until the broker shows the new ones."
        asked = {name: plain(value) for name, value in real.items()}
        if not note(order, "CHANGE_ASKED", text, actor=actor, pending_action=Pending.MODIFY, pending_changes=asked):
            raise AppError("ORDER_IN_FLIGHT", "The order changed meanwhile. Look at it again, then decide.", status=409)
        doorbell.ring(order.pk)
    return order


def _lost_cancel(order: Order) -> AppError:
    now = State(Order.objects.values_list("status", flat=True).get(pk=order.pk))
    if now in orderfsm.MAYBE_LIVE or now in orderfsm.LIVE:
        return AppError("ORDER_IN_FLIGHT", "The order is being sent right now. Try again in a second.", status=409, extra={"status": now})
    text = f"There is nothing left to cancel: the order is {orderfsm.WORDS[now].lower()}."
    return AppError("ORDER_NOT_WAITING", text, status=409, extra={"status": now})


def edit(order: Order, changes: Mapping[str, object], *, actor: str, version: int | None = None) -> Order:
    """Changes a WAITING order. `changes` holds only EDITABLE_FIELDS, already validated; the loser of a race gets 409."""
    if order.status not in orderfsm.EDITABLE:
        raise _lost(order)
    _check_version(order, version)
    on_tick, moved = _on_tick(order, changes)
    real = {k: v for k, v in on_tick.items() if getattr(order, k) != v}
    if not real:
        return order
    said = ", ".join(f"{_label(k)} {_show(getattr(order, k))} to {_show(v)}" for k, v in real.items())
    data = {"changes": {k: [_show(getattr(order, k)), _show(v)] for k, v in real.items()}}
    if not note(order, "EDITED", " ".join([f"{actor} changed {said}.", *moved]), actor=actor, data=data, **real):
        raise _lost(order)
    return order


def _on_tick(order: Order, changes: Mapping[str, object]) -> tuple[dict[str, object], tuple[str, ...]]:
    """The changes with their prices on the tick, and what was moved for it. AppError PRICE_OFF_TICK when that makes no order."""
    wanted = {name: changes.get(name, getattr(order, name)) for name in ("order_type", "price", "trigger_price")}
    if not changes.keys() & wanted.keys() or order.instrument_id is None:
        return dict(changes), ()
    snapped = snap(wanted["order_type"], order.side, wanted["price"], wanted["trigger_price"], order.instrument.tick)
    if snapped.fault:
        raise AppError("PRICE_OFF_TICK", snapped.fault, extra={"field": "price"})
    on_tick = {name: value for name in ("price", "trigger_price") if (value := getattr(snapped, name)) != wanted[name]}
    return {**changes, **on_tick}, snapped.notes


def _label(field: str) -> str:
    return field.replace("_", " ")


def _show(value: object) -> str:
    return plain(value) or "none" if isinstance(value, Decimal) or value is None else str(value)


def back_to_queue(order: Order, *, actor: str) -> Order:
    """HELD or QUEUED -> WAITING by a person, who will decide again."""
    if order.status not in (State.HELD, State.QUEUED):
        raise AppError("ORDER_NOT_HELD", "Only an order on hold or queued can go back to waiting.", status=409, extra={"status": order.status})
    if not move(order, State.WAITING, text=f"Put back into the queue by {actor}.", actor=actor):
        raise _lost(order)
    return order


def content_of(order: Order) -> dict[str, object]:
    """What a copy of an order takes along: all a person decided on, its stop and target too. Those of a slice stand with the first one."""
    whole = order.parent if order.role == Role.SLICE and order.parent else order
    return {**{name: getattr(order, name) for name in COPIED}, "brackets": {} if order.reduce_only else whole.brackets}


def resubmit(order: Order, *, actor: str) -> Order:
    """A new WAITING order with the same content, linked to the old one; the old one stays as it ended."""
    if order.status not in (State.REJECTED_RISK, State.STALE, State.FAILED):
        text = "Only an order that ended before the broker took it can be sent again as a copy."
        raise AppError("ORDER_NOT_ENDED", text, status=409, extra={"status": order.status})
    fields = content_of(order)
    asked = (order.decision.requested if order.decision else None) or order.quantity  # before a clamp, after a person's correction
    if order.children.filter(role=Role.SLICE).exists():
        asked = order.quantity  # the other slices of what was decided on are orders of their own
    fields |= {"quantity": asked, "mode": "MANUAL", "source": Source.RESUBMIT, "copied_from": order, "received_at": clock.now()}
    fields["fired_at"] = None  # its age counts from the person's wish, not from the old alert
    with transaction.atomic(), log.bound(order.correlation_id):
        return create(State.WAITING, text=f"Copied from order {order.pk} by {actor}; waits for a decision.", actor=actor, **fields)
