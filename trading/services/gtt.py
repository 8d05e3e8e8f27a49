"""Triggers kept by a broker (GTT): placed for our orders, read with every full read, deleted when nobody needs them. All GTT writes are here.

A trigger carries no reference. So the ids there are known before one is placed, one is placed at a time for an account and symbol, and after an
unknown outcome the new id with the same symbol, triggers and legs is ours. It is never sent again. An order with a trigger is OPEN while the
trigger is active; when it fires, the order it placed takes over (`Order.broker_order_id`) and is followed like any other.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import Q

from brokers.base import Adapter
from brokers.errors import Ambiguous, BrokerError, Rejected, Unavailable
from brokers.models import BrokerAccount, Quote, SyncState
from brokers.types import GttKind, GttLeg, GttRequest, GttSnapshot, OrderReport, OrderRequest
from trading.domain import brackets as domain
from trading.domain import orderfsm
from trading.domain.orderfsm import State
from trading.models import AttemptKind, AttemptOutcome, Gtt, GttState, Level, Order, OrderAttempt, Pending, Role, Source
from trading.services import asks, ledgers, orders, polling, refusals, sysevents
from tvapp.lib import clock, crash
from tvapp.lib.errors import AppError
from tvapp.lib.money import plain, rupees
from tvapp.models import DeskSettings

logger = logging.getLogger("tvapp.gtt")
ACTOR = "gtt"
UNSURE = (GttState.PLACING, GttState.UNKNOWN)
STANDING = (GttState.ACTIVE, GttState.DISABLED)
SKEW = timedelta(seconds=30)
WATCH = timedelta(days=2)
NAMED_WITHIN_S = 120
SEEN_WITHIN = timedelta(days=1)  # a trigger that fired is still shown then; one that left the list was deleted
LIVES = timedelta(days=365)
REFUSED_MOST = 3
ENDS = {
    GttState.EXPIRED: (State.EXPIRED, "The trigger expired."),
    GttState.CANCELLED: (State.CANCELLED, "The broker cancelled the trigger, as it does after splits, bonuses and delistings."),
    GttState.REJECTED: (State.REJECTED, "The broker refused the trigger."),
    GttState.DELETED: (State.CANCELLED, "The trigger was deleted."),
}


# --- may it be placed? ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Prepared:
    """What has to be known before a trigger is placed: a real price of this moment, and the ids the broker shows already."""

    last_price: Decimal
    known: tuple[str, ...]


def prepare(order: Order, adapter: Adapter) -> Prepared | None:
    """Reads what `place_for` needs, with no transaction open. None: the order waits, and says why. Raises BrokerError."""
    last = _last_price(order, adapter)
    if last is None:
        return _wait(order, "PRICE_UNAVAILABLE", "A trigger needs a real price of this moment to know its side, and there is none.")
    near = next((said for trigger in request_triggers(order) if (said := domain.too_near(trigger, last))), "")
    if near:
        return _wait(order, "TRIGGER_TOO_NEAR", near)
    return Prepared(last, tuple(row.id for row in adapter.list_gtts()))


def _wait(order: Order, code: str, text: str) -> None:
    if orders.move(order, State.WAITING, code=code, text=text, actor=ACTOR):
        sysevents.record("order", code, f"Order {order.pk} waits: {text}", level=Level.WARNING, owner=order.owner, order=order)


def _last_price(order: Order, adapter: Adapter) -> Decimal | None:
    """The stored price when it is real and fresh, else the broker's own; none is made up."""
    row = Quote.objects.filter(instrument_id=order.instrument_id, source=Quote.Source.FEED).first()
    if row and abs(clock.now() - row.at) <= clock.seconds(DeskSettings.current().max_quote_age_s):
        return row.ltp
    try:
        ticks = adapter.quote([order.symbol])
    except Rejected as exc:  # a plan without prices, or a broker without them
        logger.info("no price of %s: %s", order.symbol, exc)
        return None
    return next((tick.ltp for tick in ticks if tick.key == order.symbol and tick.ltp > 0), None)


def request_triggers(order: Order) -> tuple[Decimal, ...]:
    """The trigger prices, the lower first. A LIMIT order without one of its own is triggered at its price."""
    if order.role == Role.OCO:
        return tuple(sorted((order.trigger_price, order.price)))
    return (order.trigger_price or order.price,)


def request_for(order: Order, base: OrderRequest, last_price: Decimal) -> GttRequest:
    triggers = request_triggers(order)
    kind = GttKind.OCO if len(triggers) == 2 else GttKind.SINGLE
    legs = tuple(GttLeg(base.side, base.quantity, base.product, _leg_price(order, trigger)) for trigger in triggers)
    return GttRequest(base.instrument, kind, triggers, legs, last_price)


def _leg_price(order: Order, trigger: Decimal) -> Decimal:
    """The limit of the order a trigger places. The stop of a pair may fill a little beyond its trigger, or it would often rest unfilled."""
    if order.role == Role.OCO and trigger == order.trigger_price:
        return domain.stop_limit("BUY" if order.side == "SELL" else "SELL", trigger, order.instrument.tick or Decimal("0.05"))
    return order.price


# --- placed -----------------------------------------------------------------------------------------------------


def place_for(order: Order, base: OrderRequest, prepared: Prepared | None, adapter: Adapter) -> Gtt:
    """Places the trigger of a claimed order, once. Its row knows the id, and `stands` saves that with what it means for the order.

    Raises BrokerError: Unavailable when another one of the symbol is under way.
    """
    if prepared is None:
        raise Unavailable("TRIGGERS_UNREAD", "the broker's triggers could not be read before", sent=False)
    request = request_for(order, base, prepared.last_price)
    row = _intent(order, request, prepared)
    crash.point("gtt.intent")
    try:
        gtt_id = adapter.place_gtt(request)
    except BrokerError as exc:
        _write(row, state=GttState.UNKNOWN if isinstance(exc, Ambiguous) else GttState.FAILED, message=exc.message[:300])
        raise
    crash.point("gtt.placed")
    row.broker_gtt_id = gtt_id
    return row


def _intent(order: Order, request: GttRequest, prepared: Prepared) -> Gtt:
    """The row before the call. Only one trigger of an account and symbol may be without an answer: two could not be told apart."""
    where = {"account_id": order.account_id, "exchange": order.exchange, "tradingsymbol": order.tradingsymbol}
    with transaction.atomic():
        BrokerAccount.objects.select_for_update(no_key=True).only("id").get(pk=order.account_id)
        unanswered = Q(state__in=UNSURE, created_at__gte=clock.now() - WATCH, order__status__in=orderfsm.MAYBE_LIVE) & ~Q(order=order)
        if Gtt.objects.filter(unanswered, **where).exists():
            raise Unavailable("TRIGGER_UNDER_WAY", "another trigger of this symbol is being placed, and two could not be told apart", sent=False)
        return Gtt.objects.create(
            **where, order=order, owner_id=order.owner_id, instrument=order.instrument, kind=request.kind.value,
            triggers=[plain(t) for t in request.triggers], legs=[_leg_data(leg) for leg in request.legs], known_before=list(prepared.known),
        )  # fmt: skip


def _leg_data(leg: GttLeg) -> dict[str, str | None]:
    return {"side": leg.side.value, "quantity": plain(leg.quantity), "product": leg.product.value, "price": plain(leg.price)}


def _write(row: Gtt, **values: object) -> None:
    for name, value in {**values, "updated_at": clock.now()}.items():
        setattr(row, name, value)
    row.save(update_fields=[*values, "updated_at"])


def stands(order: Order, row: Gtt, text: str = "") -> bool:
    """The trigger is at the broker, so its order is OPEN. Within one transaction of the caller's."""
    _write(row, state=GttState.ACTIVE, broker_gtt_id=row.broker_gtt_id, message="", seen_at=clock.now())
    return _kept(order, row, text)


def _kept(order: Order, row: Gtt, text: str = "") -> bool:
    at = " or ".join(rupees(Decimal(t)) for t in row.triggers)
    said = text or f"{order.account.get_broker_display()} keeps it as GTT {row.broker_gtt_id}: it is placed when the price reaches {at}."
    return orders.move(order, State.OPEN, text=said, actor=ACTOR)


# --- read -------------------------------------------------------------------------------------------------------


def sync_gtts(account: BrokerAccount, adapter: Adapter) -> int:
    """Reads every trigger of the account and brings our rows up to them; deletes those somebody wants gone. Raises BrokerError."""
    if not adapter.caps.gtt:
        return 0
    began = clock.now()
    shown = adapter.list_gtts()
    crash.point("gtt.read")
    changed = _match_unsure(account, shown) + sum(_bring_up(account, snap) for snap in shown) + _vanished(account, shown, began)
    changed += _unnamed(account)
    SyncState.objects.update_or_create(account=account, defaults={"gtts_at": began})
    for row in Gtt.objects.filter(account=account, delete_asked=True, state__in=STANDING).select_related("order"):
        changed += _delete(row, adapter)
    return changed


def _match_unsure(account: BrokerAccount, shown: Sequence[GttSnapshot]) -> int:
    """Triggers whose placing got no answer: a new id with the same content is ours. Several are none: a person decides."""
    owned = set(Gtt.objects.filter(account=account).exclude(broker_gtt_id="").values_list("broker_gtt_id", flat=True))
    rows = Gtt.objects.filter(account=account, state__in=UNSURE, created_at__gte=clock.now() - WATCH).select_related("order__account", "order__owner")
    matched = 0
    for row in rows:
        found = [snap for snap in shown if snap.id not in owned and _is_ours(row, snap)]
        if len(found) == 1 and _adopt(row, found[0]):
            owned.add(found[0].id)
            matched += 1
        elif len(found) > 1:  # one of them is ours, so it is not absent
            _write(row, seen_at=clock.now(), message=f"The broker shows {len(found)} triggers that could be this one."[:300])
    return matched


def _is_ours(row: Gtt, snap: GttSnapshot) -> bool:
    same = (snap.exchange, snap.tradingsymbol, snap.kind.value) == (row.exchange, row.tradingsymbol, row.kind)
    content = [Decimal(t) for t in row.triggers] == list(snap.triggers) and _content(row.legs) == _content(_leg_data(leg) for leg in snap.legs)
    return same and content and snap.id not in row.known_before and snap.created_at >= row.created_at - SKEW


def _content(legs: Iterable[dict]) -> list[tuple]:
    return [(leg["side"], leg["product"], Decimal(leg["quantity"]), Decimal(leg["price"])) for leg in legs]


def _adopt(row: Gtt, snap: GttSnapshot) -> bool:
    order = row.order
    if order is not None and order.status == State.SENDING and order.lease_until and order.lease_until > clock.now():
        return False  # its call is under way and tells the id
    with ledgers.book_of(row.account_id):
        _write(row, state=GttState.ACTIVE, broker_gtt_id=snap.id, message="")
        OrderAttempt.objects.filter(order=order, kind=AttemptKind.GTT).exclude(outcome=AttemptOutcome.ACCEPTED).update(
            outcome=AttemptOutcome.ACCEPTED, finished_at=clock.now()
        )
        if order is not None and order.status in (State.SENDING, State.UNKNOWN, State.NEEDS_REVIEW, State.FAILED):
            _kept(order, row, f"Found at the broker as GTT {snap.id}: the only new one with its triggers and legs.")
    return True


def _bring_up(account: BrokerAccount, snap: GttSnapshot) -> bool:
    """One trigger as the broker shows it. One nobody here asked for becomes a row without an order."""
    facts = {"results": [_result_data(r) for r in snap.results], "seen_at": clock.now()}
    state = GttState(snap.status.value) if snap.status.value in GttState.values else None
    row = Gtt.objects.filter(account=account, broker_gtt_id=snap.id).select_related("order__account", "order__owner", "account__owner").first()
    if row is None:
        if not any(_is_ours(r, snap) for r in Gtt.objects.filter(account=account, state__in=UNSURE)):
            _external(account, snap, state, facts)
        return True
    news = state is not None and (state != row.state or facts["results"] != row.results)
    facts |= {"state": state, "message": _message(snap)} if news else {}
    if news and row.order is not None:
        orders.guarded(row.order, lambda o: _follow(o, row, snap, facts))
    else:
        _write(row, **facts)
    return news


def _external(account: BrokerAccount, snap: GttSnapshot, state: GttState | None, facts: dict[str, object]) -> None:
    Gtt.objects.create(
        account=account, owner_id=account.owner_id, broker_gtt_id=snap.id, kind=snap.kind.value, state=state or GttState.UNKNOWN,
        exchange=snap.exchange, tradingsymbol=snap.tradingsymbol, triggers=[plain(t) for t in snap.triggers],
        legs=[_leg_data(leg) for leg in snap.legs], message=_message(snap), created_at=snap.created_at, **facts,
    )  # fmt: skip


def _result_data(result) -> dict[str, object] | None:
    if result is None:
        return None
    return {"ok": result.ok, "status": result.status, "broker_order_id": result.broker_order_id, "message": result.message}


def _message(snap: GttSnapshot) -> str:
    return "; ".join(r.message for r in snap.results if r is not None and r.message)[:300]


def _follow(order: Order, row: Gtt, snap: GttSnapshot, facts: dict[str, object]) -> None:
    """The news of a trigger and what it means for its order, in one transaction: news that was saved alone would be none at the next read."""
    with ledgers.book_of(row.account_id):
        _write(row, **facts)
        _follow_order(order, row, snap)


def _follow_order(order: Order, row: Gtt, snap: GttSnapshot) -> None:
    if order.status not in (*orderfsm.LIVE, State.NEEDS_REVIEW) or order.broker_order_id:
        return
    fired = [r for r in snap.results if r is not None]
    placed = next((r for r in fired if r.ok), None)
    if placed is not None:
        _took_over(order, row, placed.broker_order_id)
    elif fired:
        why = (fired[0].message or "no reason given").rstrip(".")
        said = f"GTT {row.broker_gtt_id} fired, but its order was refused: {why}."
        orders.move(order, State.REJECTED, code="GTT_LEG_FAILED", text=said, actor=ACTOR)
        text = f"GTT {row.broker_gtt_id} of order {order.pk} fired, but no order came of it: {why}. Look at the position in {order.tradingsymbol}."
        sysevents.record("order", "GTT_LEG_FAILED", text, level=Level.ERROR, owner=order.owner, order=order)
        refusals.afterwards(order, fired[0].code, why)
    elif row.state == GttState.TRIGGERED:
        _fired(order, row)
    elif row.state == GttState.ACTIVE and order.status == State.NEEDS_REVIEW:
        _kept(order, row, f"{order.account.get_broker_display()} shows GTT {row.broker_gtt_id} again: it stands.")
    elif row.state == GttState.DISABLED:
        text = f"The broker switched off GTT {row.broker_gtt_id} of order {order.pk}: it no longer guards {order.tradingsymbol}."
        sysevents.record("order", "GTT_DISABLED", text, level=Level.ERROR, owner=order.owner, order=order)
    elif row.state in ENDS:
        to, text = ENDS[GttState(row.state)]
        orders.move(order, to, text=f"{text} {row.message} {_because(order)}".strip(), actor=ACTOR, code=f"GTT_{row.state}")


def _because(order: Order) -> str:
    """Why the desk wanted it gone, as a sentence; empty when it did not, or when a person just said so."""
    why = orders.cancelled_because(order) if order.pending_action == Pending.CANCEL else ""
    return f"Cancelled because {why}." if why else ""


def _fired(order: Order, row: Gtt) -> None:
    """It fired, and the broker does not name the order yet: it has some time for that."""
    if not order.events.filter(kind="FIRED").exists():
        text = f"GTT {row.broker_gtt_id} fired; {order.account.get_broker_display()} does not say yet which order came of it."
        orders.note(order, "FIRED", text, actor=ACTOR, why=text)
        polling.want(order.account_id)


def _unnamed(account: BrokerAccount) -> int:
    """Triggers that fired, shown or not any more, whose order the broker did not name in time: a person has to look."""
    late = Order.objects.filter(
        account=account, gtts__state=GttState.TRIGGERED, broker_order_id="", status__in=orderfsm.LIVE,
        events__kind="FIRED", events__at__lt=clock.now() - clock.seconds(NAMED_WITHIN_S),
    )  # fmt: skip
    return sum(orders.guarded(order, _ask_about) is True for order in late.select_related("account", "owner").distinct())


def _ask_about(order: Order) -> bool:
    row = order.gtts.order_by("-id").first()
    text = f"GTT {row.broker_gtt_id} fired, and the broker does not say which order came of it. Look into its order book, then decide."
    return _needs_review(order, "GTT_UNNAMED", text)


def _needs_review(order: Order, code: str, text: str) -> bool:
    moved = order.status == State.OPEN and orders.move(order, State.NEEDS_REVIEW, code=code, text=text, actor=ACTOR, look_at=None)
    if moved:
        sysevents.record("order", code, f"Order {order.pk} needs you: {text}", level=Level.ERROR, owner=order.owner, order=order)
    return bool(moved)


def _took_over(order: Order, row: Gtt, broker_order_id: str) -> None:
    """The order that the trigger placed is this one from now on; one that was taken for a stranger meanwhile stays as it is, with an alarm."""
    if Order.objects.filter(account_id=order.account_id, broker_order_id=broker_order_id).exclude(pk=order.pk).exists():
        text = f"GTT {row.broker_gtt_id} fired and placed {broker_order_id}, which the desk had taken for an order from outside."
        orders.move(order, State.CANCELLED, text=f"{text} Follow it there.", actor=ACTOR, code="GTT_TRIGGERED")
        sysevents.record("order", "GTT_TRIGGERED", text, level=Level.WARNING, owner=order.owner, order=order)
        return
    text = f"GTT {row.broker_gtt_id} fired and placed {broker_order_id}; it is followed from here on."
    orders.note(order, "TRIGGERED", text, actor=ACTOR, broker_order_id=broker_order_id, why=text)
    if order.status == State.NEEDS_REVIEW:
        orders.move(order, State.SENT, text=text, actor=ACTOR, pending_changes={})
    polling.want(order.account_id)


def _vanished(account: BrokerAccount, shown: Sequence[GttSnapshot], began) -> int:
    """Triggers that a complete list no longer shows."""
    rows = Gtt.objects.filter(account=account, state__in=STANDING, updated_at__lt=began).exclude(broker_gtt_id__in=[snap.id for snap in shown])
    gone = list(rows.select_related("order__account", "order__owner", "account", "instrument"))
    for row in gone:
        _left_the_list(row)
    return len(gone)


def _left_the_list(row: Gtt) -> None:
    """Why a trigger is no longer shown, as far as it is known: deleted from here, over, deleted elsewhere, or nobody can say."""
    broker, seen = row.account.get_broker_display(), row.seen_at or row.created_at
    wanted = row.delete_asked or (row.order is not None and row.order.pending_action == Pending.CANCEL)
    if wanted:
        _is_gone(row, "The trigger was deleted.")
    elif _is_over(row):
        _is_gone(row, f"GTT {row.broker_gtt_id} is over: {broker} keeps a trigger for a year, or until its contract expires.", GttState.EXPIRED)
    elif clock.now() - seen <= SEEN_WITHIN:
        _is_gone(row, f"GTT {row.broker_gtt_id} was deleted at {broker}, not from this desk.")
    else:
        at = f"{seen.astimezone(clock.IST):%d %b %H:%M}"
        text = f"{broker} no longer shows GTT {row.broker_gtt_id}, seen last {at}: it was deleted there, or it fired. Look there, then decide."
        _end(row, GttState.GONE, text, lambda o: _needs_review(o, "GTT_GONE", text))


def _is_over(row: Gtt) -> bool:
    expiry = row.instrument.expiry if row.instrument else None
    return clock.now() - row.created_at >= LIVES or (expiry is not None and expiry < clock.trading_day(clock.now()))


def _is_gone(row: Gtt, text: str, state: GttState = GttState.DELETED) -> None:
    def follow(order: Order) -> None:
        if order.status in orderfsm.LIVE and not order.broker_order_id:
            orders.move(order, ENDS[state][0], text=f"{text} {_because(order)}".strip(), actor=ACTOR, code=f"GTT_{state}")

    _end(row, state, text, follow)


def _end(row: Gtt, state: GttState, text: str, follow: Callable[[Order], object]) -> None:
    """How a trigger ended and what that means for its order, in one transaction."""

    def both(order: Order) -> None:
        with ledgers.book_of(row.account_id):
            _write(row, state=state, message=text[:300])
            follow(order)

    if row.order is None:
        _write(row, state=state, message=text[:300])
    else:
        orders.guarded(row.order, both)


def claim_strangers(account: BrokerAccount, adapter: Adapter, strangers: Sequence[OrderReport]) -> list[OrderReport]:
    """Orders in the book that a trigger of ours just placed are no strangers: the triggers are read first. What is left is from outside."""
    fires = Q(state=GttState.ACTIVE) | Q(state=GttState.TRIGGERED, order__broker_order_id="", order__status__in=orderfsm.LIVE)
    rows = Gtt.objects.filter(fires, account=account, order__isnull=False)
    if not any(_may_come_of(r, rows) for r in strangers):
        return list(strangers)
    sync_gtts(account, adapter)
    ours = Order.objects.filter(account=account, broker_order_id__in={r.key.broker_order_id for r in strangers}).exclude(source=Source.EXTERNAL)
    mine = set(ours.values_list("broker_order_id", flat=True))
    unnamed = rows.filter(state=GttState.TRIGGERED)  # it fired, and the broker does not say yet what came of it
    early = clock.now() - clock.seconds(NAMED_WITHIN_S)
    return [r for r in strangers if r.key.broker_order_id not in mine and (r.placed_at < early or not _may_come_of(r, unnamed))]


def _may_come_of(report: OrderReport, rows: Iterable[Gtt]) -> bool:
    """Whether one of these triggers places such an order. It carries no tag."""
    legs = {(f"{row.exchange}:{row.tradingsymbol}", leg["side"], leg["product"]) for row in rows for leg in row.legs}
    return not report.key.ref and (report.key.symbol, report.side.value, report.product.value) in legs


# --- deleted ----------------------------------------------------------------------------------------------------


def ask_delete(row: Gtt, *, actor: str) -> Gtt:
    """A person wants a trigger gone: its order is cancelled with it; one from outside goes at the next read. AppError when it does not stand."""
    if row.state not in STANDING:
        raise AppError("GTT_NOT_ACTIVE", f"There is nothing to delete: the trigger is {row.get_state_display().lower()}.", status=409)
    if row.order is not None and row.order.status in orderfsm.LIVE:
        orders.cancel(row.order, actor=actor)
    else:
        Gtt.objects.filter(pk=row.pk).update(delete_asked=True, updated_at=clock.now())
        polling.want(row.account_id)
    row.refresh_from_db()
    return row


def delete_for(order: Order, adapter: Adapter) -> str:
    """Works the cancel that was asked of an order whose trigger stands."""
    row = order.gtts.filter(state__in=STANDING).order_by("-id").first()
    if row is None:
        return "nothing to delete"
    return "deleted" if _delete(row, adapter) else "not deleted"


def _delete(row: Gtt, adapter: Adapter) -> bool:
    """One delete, of an order of ours with its own write-ahead row; how the trigger ended is read at once. A fired one is followed instead."""
    if row.order is not None:
        asks.ask(row.order, AttemptKind.GTT, {"delete_gtt": row.broker_gtt_id}, lambda: adapter.delete_gtt(row.broker_gtt_id))
    else:
        try:
            adapter.delete_gtt(row.broker_gtt_id)
        except BrokerError as exc:
            _write(row, message=exc.message[:300])
    crash.point("gtt.deleted")
    return _read_one(row, adapter)


def _read_one(row: Gtt, adapter: Adapter) -> bool:
    """Whether the trigger is gone now. What cannot be read is read again later: the mark that it is to go stays."""
    try:
        snap = next((s for s in adapter.list_gtts() if s.id == row.broker_gtt_id), None)
    except BrokerError as exc:
        logger.warning("trigger %s could not be read: %s", row.broker_gtt_id, exc)
        return False
    if snap is not None:
        _bring_up(row.account, snap)
    else:
        _is_gone(row, "The trigger was deleted.")
    row.refresh_from_db()
    order = Order.objects.filter(pk=row.order_id).first()
    if order is not None and row.state in STANDING and order.pending_action == Pending.CANCEL:
        orders.note(order, "CANCEL_REFUSED", "The broker did not delete the trigger; it still stands.", actor=ACTOR, pending_action=Pending.NONE)
        _say_it_stands(order, row)
    return row.state not in STANDING


def stays(order: Order) -> bool:
    """Whether the broker refused to delete the trigger of this order so often that a person has to do it."""
    return order.status in orderfsm.LIVE and order.events.filter(kind="CANCEL_REFUSED").count() >= REFUSED_MOST


def _say_it_stands(order: Order, row: Gtt) -> None:
    if order.events.filter(kind="CANCEL_REFUSED").count() == REFUSED_MOST:
        why = (asks.last(order, AttemptKind.GTT).message or "no reason given").rstrip(".")
        text = f"GTT {row.broker_gtt_id} of order {order.pk} cannot be deleted ({why}). It may still {order.side.lower()} {plain(order.quantity)} "
        text += f"{order.tradingsymbol}: delete it in your broker's app."
        sysevents.record("order", "GTT_STANDS", text, level=Level.ERROR, owner=order.owner, order=order)
