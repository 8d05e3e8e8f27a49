"""Stops and targets: for each filled part of an entry a linked pair of exits on the same road, of which one cancels the other.

The exits are made in the transaction that stores the fills, or found missing by the sweeper: `Order.covered` says how much has its pair.
What the exits of a strategy may still close is never more than what it holds: `settle` cancels and cuts them after every fill.
"""

from collections.abc import Callable, Iterable
from datetime import timedelta
from decimal import Decimal
from itertools import accumulate, pairwise

from django.db import transaction
from django.db.models import F, Q

from brokers import registry
from trading.domain import brackets as domain
from trading.domain import orderfsm, slicing
from trading.domain.orderfsm import State
from trading.models import Fill, Level, Mode, Order, OrderEvent, Role, Source
from trading.selectors import brackets as read
from trading.selectors import gtts, live
from trading.selectors.brackets import Pair
from trading.selectors.snapshot import scopes
from trading.selectors.stops import state_of
from trading.services import doorbell, gtt, ledgers, orders, sysevents, turned
from tvapp.lib import clock, crash
from tvapp.lib.errors import AppError
from tvapp.lib.money import ZERO, plain, rupees
from tvapp.models import DeskSettings

ACTOR = "brackets"
FOR_EVER_S = 7 * 86400  # a stop does not grow old as an alert does
AGAIN_S = 1
PATIENCE_S = 30
ALARM_AFTER_S = 5
TRIGGER_AGAIN_S = 30
ORDER_AGAIN_S = 5
SELDOM_S = 600
HALTED = "STATE_HALTED"
AFTER_RELEASE = "It is placed by itself when trading is released; until then guard it in the broker's own app, or close the position."
LOOK_BACK = timedelta(days=2)
FILLED = [State.PARTIAL, State.COMPLETE, State.CANCELLED, State.EXPIRED]
TRAIL_PARTS = 10
STANDING = [State.HELD, State.WAITING]  # not sent, and not sure to go by themselves
COPIED = (
    "owner", "alert", "strategy", "account", "instrument", "exchange", "tradingsymbol", "tv_symbol", "product", "simulated", "correlation_id",
)  # fmt: skip
AS_BEFORE = ("parent", "role", "reduce_only", "side", "ref_price", "max_age_s", "order_type", "price", "trigger_price", "gtt")


# --- made with the fill -----------------------------------------------------------------------------------------


def after(order: Order, *, filled: bool) -> None:
    """What a report means for exits, in the transaction that stored it. A failure here never costs the fill: the sweeper mends it."""
    if filled:
        orders.guarded(order, _follow_fill)
        orders.guarded(order, turned.look)
    if order.source == Source.BRACKET and order.status in orderfsm.ENDED:
        _wake(order)


def _follow_fill(order: Order) -> None:
    with transaction.atomic():
        if _asked(order):
            follow(order.pk)
        if order.strategy_id is None:  # traded outside: it may have closed what strategies hold
            settle_all_of(order.account_id, order.exchange, order.tradingsymbol, order.product)
        else:
            settle(order)


def follow(order_id: int) -> int:
    """Makes the exits for what was filled since the last time, once whatever calls it. Returns how many orders were made."""
    with ledgers.book_of(Order.objects.values_list("account_id", flat=True).get(pk=order_id)):
        entry = Order.objects.select_for_update(of=("self",), no_key=True).select_related("account", "instrument", "parent").get(pk=order_id)
        asked = _asked(entry)
        start, end = entry.covered, entry.filled_quantity
        if not asked or end <= start:
            return 0
        Order.objects.filter(pk=entry.pk).update(covered=end)
        quantity = min(end - start, _unguarded(entry))
        if quantity <= 0:
            return 0  # what was filled closed a position of the other side: there is nothing to guard
        fills = list(Fill.objects.filter(order=entry).order_by("id").values_list("quantity", "price"))
        made = _make(entry, asked, quantity, domain.price_between(fills, start, end), end)
        crash.point("brackets.made")
        return made


def _asked(entry: Order) -> domain.Brackets | None:
    """What follows the fills of this order. A slice follows the order it was cut from, which is itself the first one."""
    if entry.role == Role.SLICE and entry.parent:
        return domain.from_data(entry.parent.brackets)
    if not entry.brackets or entry.reduce_only or entry.role:
        return None
    return domain.from_data(entry.brackets)


def _unguarded(entry: Order) -> Decimal:
    """What the strategy holds on the entry's side and no exit guards yet."""
    side = _other(entry.side)
    return max(read.held(entry, side) - sum((pair.left for pair in read.pairs_of(entry, side)), ZERO), ZERO)


def _other(side: str) -> str:
    return "SELL" if side == "BUY" else "BUY"


def _make(entry: Order, asked: domain.Brackets, quantity: Decimal, price: Decimal, end: Decimal) -> int:
    tick = entry.instrument.tick or Decimal("0.05")
    levels = domain.levels(asked, entry.side, price, tick)
    parts = list(accumulate(slicing.sizes(quantity, entry.instrument.freeze, entry.instrument.lot), initial=end - quantity))
    made = [
        _create(entry, role, till - since, price, till, **values)
        for since, till in pairwise(parts)  # an iceberg fills more than the exchange takes at once: then a pair for each part
        for role, values in _exits(entry, asked, levels, tick)
    ]
    said = ", ".join(f"{Role(child.role).label.lower()} {_at(child)}" for child in made)
    entry.refresh_from_db(fields=["version", "status"])
    text = f"{plain(quantity)} filled at {rupees(price)} {'is' if quantity == 1 else 'are'} guarded: {said}."
    orders.note(entry, "EXITS_MADE", text, actor=ACTOR, data={"exits": [child.pk for child in made]})
    return len(made)


def _exits(entry: Order, asked: domain.Brackets, levels: domain.Levels, tick: Decimal) -> Iterable[tuple[Role, dict[str, object]]]:
    """Role and prices of each exit. The stop comes first: it is what must not be missing."""
    if read.way_of(entry, asked) == read.GTT:
        yield _as_gtt(entry, levels, tick)
        return
    if levels.stop is not None:
        trail = {"brackets": domain.to_data(domain.Brackets(trail=asked.trail))} if asked.trail else {}
        yield Role.TRAIL if trail else Role.STOP, {"order_type": "SL_M", "trigger_price": levels.stop, **trail}
    if levels.target is not None:
        yield Role.TARGET, {"order_type": "LIMIT", "price": levels.target}


def _as_gtt(entry: Order, levels: domain.Levels, tick: Decimal) -> tuple[Role, dict[str, object]]:
    """One trigger at the broker for both. Its price is the target's; the stop's limit is worked out when it is placed."""
    facts = {"order_type": "LIMIT", "gtt": True}
    if levels.stop is None:
        return Role.TARGET, {**facts, "price": levels.target, "trigger_price": levels.target}
    if levels.target is None:
        return Role.STOP, {**facts, "price": domain.stop_limit(entry.side, levels.stop, tick), "trigger_price": levels.stop}
    return Role.OCO, {**facts, "price": levels.target, "trigger_price": levels.stop}


def _create(entry: Order, role: Role, quantity: Decimal, fill_price: Decimal, end: Decimal, **values: object) -> Order:
    fields = {name: getattr(entry, name) for name in COPIED}
    fields |= {
        "parent": entry, "role": role, "source": Source.BRACKET, "covered": end, "mode": Mode.AUTO, "reduce_only": True,
        "side": _other(entry.side), "requested_quantity": quantity, "quantity": quantity, "ref_price": round(fill_price, 8),
        "max_age_s": FOR_EVER_S, "received_at": clock.now(), **values,
    }  # fmt: skip
    text = f"{Role(role).label} for the {plain(quantity)} of order {entry.pk} that filled at {rupees(fill_price)}; released with its entry."
    return orders.create(State.QUEUED, text=text, actor=ACTOR, **fields)


def _at(child: Order) -> str:
    trigger = f"trigger {rupees(child.trigger_price)}" if child.trigger_price else ""
    return trigger if child.order_type == "SL_M" else " ".join(p for p in (trigger, f"limit {rupees(child.price)}") if p)


# --- never more than is held ------------------------------------------------------------------------------------


def settle(order: Order) -> None:
    """Cancels and cuts the exits of the order's book, so that together they close no more than it holds. Safe to repeat."""
    for side in set(read.exits_of(order).values_list("side", flat=True)):  # most fills have no exit near them
        _fit(read.pairs_of(order, side), read.held(order, side), _why)


def settle_all_of(account_id: int, exchange: str, symbol: str, product: str) -> None:
    """The same for every strategy that has exits standing in this symbol and product."""
    books = {}
    rows = Order.objects.filter(account_id=account_id, exchange=exchange, tradingsymbol=symbol, product=product)
    for child in rows.filter(status__in=read.UNENDED, source=Source.BRACKET).order_by("id"):
        books.setdefault(child.strategy_id, child)
    for child in books.values():
        orders.guarded(child, settle)


def _fit(pairs: list[Pair], held: Decimal, because: Callable[[Order], str]) -> int:
    """How many exits had to be cancelled or cut to fit `held`. What may be live without an answer cannot be cut, so it counts first."""
    cuts = 0
    for pair, room in zip(pairs, domain.shares([pair.left for pair in pairs], held), strict=True):
        for child in pair.exits:
            if read.rest(child) > room and child.status not in orderfsm.MAYBE_LIVE:
                _cut(child, room, because(child))
                cuts += 1
    return cuts


def _why(child: Order) -> str:
    """Why an exit must go or shrink, as the end of a sentence: its other half filled, the broker holds less, or another order closed it."""
    pair = Order.objects.filter(parent_id=child.parent_id, covered=child.covered, source=Source.BRACKET, filled_quantity__gt=0)
    twin = pair.exclude(pk=child.pk).order_by("-id").first()
    if twin is not None:
        part = "filled" if twin.status == State.COMPLETE else f"filled {plain(twin.filled_quantity)}"
        return f"its {Role(twin.role).label.lower()} O-{twin.pk} {part}"
    if less := read.missing(child):
        return less
    book = {"account_id": child.account_id, "instrument_id": child.instrument_id, "product": child.product, "strategy_id": child.strategy_id}
    closing = Fill.objects.filter(**book, side=child.side).exclude(order__parent_id=child.parent_id)
    last = closing.order_by("-id").values_list("order_id", flat=True).first()
    return f"order O-{last} closed what it guards" if last else "nothing is left to close"


def _cut(child: Order, room: Decimal, because: str) -> None:
    """One exit down to `room`. Somebody else being first does not matter: the sweeper settles again."""
    if _refused_lately(child):
        return
    try:
        if room <= 0:
            orders.cancel(child, actor=ACTOR, because=because)
        elif child.status in orderfsm.CANCEL_HERE:
            text = f"Cut to {plain(room)}, because {because}."
            orders.note(child, "REDUCED", text, actor=ACTOR, quantity=child.filled_quantity + room)
        elif child.status in orderfsm.LIVE and child.gtt and not child.broker_order_id:
            _replace(child, room, because)
        elif child.status in orderfsm.LIVE:
            orders.ask_change(child, {"quantity": child.filled_quantity + room}, actor=ACTOR)
    except AppError:
        return


def _refused_lately(child: Order) -> bool:
    """The broker just said no to a cancel: it is asked again after a while, not every second."""
    if child.status not in orderfsm.LIVE:
        return False
    wait = ORDER_AGAIN_S
    if child.gtt and not child.broker_order_id:
        wait = SELDOM_S if gtt.stays(child) else TRIGGER_AGAIN_S
    return child.events.filter(kind="CANCEL_REFUSED", at__gt=clock.now() - clock.seconds(wait)).exists()


def _replace(child: Order, room: Decimal, because: str) -> None:
    """A trigger cannot be made smaller. It is deleted, and a smaller one leaves once it is gone: never two for the same quantity."""
    with transaction.atomic():
        orders.cancel(child, actor=ACTOR, because=because)
        if child.copies.filter(source=Source.BRACKET).exists():
            return
        asked = child.requested_quantity or ZERO
        fields = {name: getattr(child, name) for name in (*COPIED, *AS_BEFORE)}
        fields |= {
            "requested_quantity": room, "quantity": room, "covered": child.covered - (asked - room), "copied_from": child, "mode": Mode.AUTO,
            "source": Source.BRACKET, "received_at": clock.now(),
        }  # fmt: skip
        text = f"{Role(child.role).label} for {plain(room)}, in place of order {child.pk}: that is what is left to close."
        orders.create(State.QUEUED, text=text, actor=ACTOR, **fields)


# --- before an order leaves -------------------------------------------------------------------------------------


def may_leave(order: Order) -> bool:
    """Whether a QUEUED order may be claimed now; inside the claim's transaction. An entry whose stop cannot be placed goes back to waiting."""
    if order.source == Source.SQUARE_OFF:
        return True  # what rested was cancelled before it was made, and what could not be is counted in its size
    if order.source == Source.BRACKET:
        return not _waits_for_old(order)
    if fault := read.fault(order):
        return _back_to_waiting(order, "BRACKET_UNSUPPORTED", f"{fault} The order waits rather than go without.")
    if fault := gtts.fault(order):
        return _back_to_waiting(order, "GTT_NOT_POSSIBLE", fault)
    return True


def _back_to_waiting(order: Order, code: str, text: str) -> bool:
    orders.move(order, State.WAITING, code=code, text=text, actor=ACTOR)
    return False


def _waits_for_old(child: Order) -> bool:
    """Whether the trigger this one replaces may still fire: both together would close more than is held."""
    old = child.copied_from
    if old is None or old.status in orderfsm.ENDED:
        return False
    if gtt.stays(old):
        text = f"The broker does not delete the trigger of order {old.pk}, which this one replaces. Delete it at your broker, then execute this."
        orders.move(child, State.WAITING, code="GTT_STANDS", text=text, actor=ACTOR)
        return True
    Order.objects.filter(pk=child.pk, status=State.QUEUED).update(due_at=clock.now() + clock.seconds(AGAIN_S), starts=0)
    return True


def has_room(order: Order) -> bool:
    """Whether an order that the gate lets go may leave now. One that closes what exits guard lets them make room first: otherwise both could fill,
    and the position would turn around.
    """
    if order.source in (Source.SQUARE_OFF, Source.BRACKET):
        return True
    if not read.exits_of(order).filter(side=order.side).exists():
        return True  # most orders close nothing that is guarded
    left_after = max(read.held(order, order.side) - (order.quantity or ZERO), ZERO)
    cuts = _fit(read.pairs_of(order, order.side), left_after, lambda _: f"order O-{order.pk} is to close what it guards")
    changing = read.exits_of(order).filter(side=order.side, status__in=orderfsm.LIVE).exclude(pending_action="").exists()
    if not cuts and not changing:
        return True
    return _wait_for_room(order)


def _wait_for_room(order: Order) -> bool:
    now = clock.now()
    since = OrderEvent.objects.filter(order=order, kind="MAKES_ROOM", at__gte=order.queued_at or now).values_list("at", flat=True).first()
    if since and now - since > clock.seconds(PATIENCE_S):
        text = "Its stop and target could not be cancelled in time, and with them it could sell twice. Look at them, then decide."
        orders.move(order, State.WAITING, code="EXITS_IN_THE_WAY", text=text, actor=ACTOR)
        sysevents.record("order", "EXITS_IN_THE_WAY", f"Order {order.pk} waits: {text}", level=Level.ERROR, owner=order.owner, order=order)
        return False
    waits = {"due_at": now + clock.seconds(AGAIN_S), "starts": 0}
    if since:
        Order.objects.filter(pk=order.pk, status=State.QUEUED).update(**waits)
    else:
        text = "First the stop and target of what it closes are cancelled, so that nothing is closed twice. It goes as soon as they are gone."
        orders.note(order, "MAKES_ROOM", text, actor=ACTOR, **waits)
    return False


def _wake(child: Order) -> None:
    """An exit is gone: orders that waited for it need not wait any longer."""
    key = {"account_id": child.account_id, "instrument_id": child.instrument_id, "product": child.product, "side": child.side}
    waiting = Order.objects.filter(**key, status=State.QUEUED).exclude(due_at=None).exclude(source=Source.BRACKET)
    for pk in waiting.filter(events__kind="MAKES_ROOM").values_list("pk", flat=True).distinct():
        Order.objects.filter(pk=pk, status=State.QUEUED).update(due_at=None)
        doorbell.ring(pk)


# --- seen by the sweeper ----------------------------------------------------------------------------------------


def sweep() -> int:
    """Fills without exits, exits beyond the position, exits that did not stand up. Returns how much there was to do."""
    return _follow_missed() + _settle_all() + _trail_all() + _alarms() + _room_for_nothing()


def _follow_missed() -> int:
    since = clock.now() - LOOK_BACK
    lately = Q(created_at__gte=since) | Q(ended_at__gte=since) | Q(status=State.PARTIAL)  # a trigger stands for months before it fills
    rows = Order.objects.filter(lately, status__in=FILLED, covered__lt=F("filled_quantity"), reduce_only=False)
    rows = rows.exclude(source=Source.BRACKET)
    missed = [row for row in rows.select_related("parent") if row.brackets or row.role == Role.SLICE]
    return sum(orders.guarded(row, lambda o: follow(o.pk)) not in (0, "broken") for row in missed)


def _settle_all() -> int:
    """Once for each book that has exits standing."""
    books = {}
    for child in Order.objects.filter(status__in=read.UNENDED, source=Source.BRACKET):
        books.setdefault((child.account_id, child.instrument_id, child.product, child.strategy_id), child)
    for child in books.values():
        orders.guarded(child, settle)
    return 0


def _trail_all() -> int:
    """Trailing stops that a new best price moves. Without a fresh price they stay where they are."""
    rows = Order.objects.filter(source=Source.BRACKET, role=Role.TRAIL, status__in=orderfsm.LIVE, pending_action="")
    return sum(orders.guarded(child, _trail) is True for child in rows.select_related("account", "instrument", "instrument__quote"))


def _trail(child: Order) -> bool:
    """Follows the best price since the fill, in steps of a tick; where the broker counts changes, in tenths of the distance."""
    last, trail, entry = _price_for(child), domain.from_data(child.brackets).trail, _other(child.side)
    if last is None or trail is None or child.trigger_price is None or _is_stopped(child):
        return False
    before = Decimal(child.brackets.get("best") or child.ref_price or last)
    best = domain.better(entry, before, last)
    if best != before:
        child.brackets = {**child.brackets, "best": plain(best)}
        Order.objects.filter(pk=child.pk).update(brackets=child.brackets)
    tick, most = child.instrument.tick or Decimal("0.05"), registry.caps_for(child.account.broker).modifications
    trigger = domain.trailed(entry, trail, best, child.trigger_price, tick)
    step = tick if most is None else max(tick, domain.distance(trail, best) / TRAIL_PARTS)
    if abs(trigger - child.trigger_price) < step or domain.better(entry, trigger, last) == trigger or _spent(child, most):
        return False
    orders.ask_change(child, {"trigger_price": trigger}, actor=ACTOR)
    return True


def _is_stopped(child: Order) -> bool:
    """While trading is stopped a stop stays where it is: no change would leave."""
    stop = state_of(scopes(child))
    return (stop is not None and stop.state == "HALTED") or (live.is_live(child.account) and bool(live.barred()))


def _price_for(child: Order) -> Decimal | None:
    quote = getattr(child.instrument, "quote", None)
    if quote is None or not quote.serves(child.account):
        return None
    return quote.ltp if abs(clock.now() - quote.at) <= clock.seconds(DeskSettings.current().max_quote_age_s) else None


def _spent(child: Order, most: int | None) -> bool:
    """The broker lets an order be changed only so often: the stop then stays where it got to, and a person hears of it once."""
    if most is None or child.modifications < most:
        return False
    if not child.events.filter(kind="TRAIL_ENDED").exists():
        text = f"It was changed {most} times, as often as the broker lets it; from here on the stop stays at {rupees(child.trigger_price)}."
        if orders.note(child, "TRAIL_ENDED", text, actor=ACTOR):
            sysevents.record("order", "TRAIL_ENDED", f"Order {child.pk}: {text}", level=Level.WARNING, owner=child.owner, order=child)
    return True


def _alarms() -> int:
    """Exits that were refused, ended by themselves or do not get away while what they guard is still held: said once, loudly."""
    now = clock.now()
    lately = Q(created_at__gte=now - LOOK_BACK) | Q(ended_at__gte=now - LOOK_BACK)  # a trigger stands for months before it ends
    rows = Order.objects.filter(lately, source=Source.BRACKET).exclude(status__in=[State.QUEUED, State.COMPLETE])
    rows = rows.exclude(events__kind="UNPROTECTED").exclude(status=State.HELD, status_reason=HALTED, events__kind="HELD_BACK")
    rows = rows.select_related("account", "owner", "parent")
    return sum(orders.guarded(child, _alarm) is True for child in rows if _fell(child, now))


def _fell(child: Order, now) -> bool:
    if child.status in STANDING:
        return now - child.updated_at > clock.seconds(ALARM_AFTER_S)
    if child.status == State.CANCELLED:  # by us or by a person it was asked for; otherwise the exchange ended it with its day
        return child.status_reason != "CANCELLED_HERE" and not child.events.filter(kind="CANCEL_ASKED").exists()
    return child.status in (State.FAILED, State.REJECTED, State.REJECTED_RISK, State.STALE, State.EXPIRED, State.NEEDS_REVIEW)


def _alarm(child: Order) -> bool:
    guarded = sum((pair.left for pair in read.pairs_of(child, child.side) if any(_works(c) for c in pair.exits)), ZERO)
    bare = read.held(child, child.side) - (guarded if child.role != Role.TARGET else ZERO)
    if bare <= 0:
        return False
    what, open_ = Role(child.role).label.lower(), plain(min(bare, child.quantity or bare))
    does = "do" if child.role == Role.OCO else "does"
    text = f"The {what} of order {child.parent_id} {does} not stand: {child.why} {open_} {child.tradingsymbol} are open without it."
    kind, do = ("HELD_BACK", AFTER_RELEASE) if _is_held_back(child) else ("UNPROTECTED", "Place it by hand, or close the position.")
    text = f"{text} {do}"
    with ledgers.book_of(child.account_id):  # two orders of the account: this one and its entry
        noted = orders.note(child, kind, text, actor=ACTOR)
        if noted:
            sysevents.record("order", "UNPROTECTED", text, level=Level.ERROR, owner=child.owner, order=child)
            orders.note(child.parent, kind, text, actor=ACTOR)
    return noted


def _is_held_back(child: Order) -> bool:
    return (child.status, child.status_reason) == (State.HELD, HALTED)


def held_back(order: Order) -> None:
    """Trading is stopped, so an exit did not leave: where it guards a fill, that is said at once and not only when the sweeper comes by."""
    if order.source == Source.BRACKET and _is_held_back(order):
        orders.guarded(order, _alarm)


def _room_for_nothing() -> int:
    """Orders for which exits made room and that did not close what they were to close: said once, for nothing guards it now."""
    rows = Order.objects.filter(created_at__gte=clock.now() - LOOK_BACK, events__kind="MAKES_ROOM", status__in=[*STANDING, *orderfsm.ENDED])
    rows = rows.exclude(status=State.COMPLETE).exclude(events__kind="UNPROTECTED").select_related("owner").distinct()
    return sum(orders.guarded(order, _left_bare) is True for order in rows)


def _left_bare(order: Order) -> bool:
    bare = read.held(order, order.side) - sum((pair.left for pair in read.pairs_of(order, order.side)), ZERO)
    if bare <= 0:
        return False
    text = f"The stop and target of what order {order.pk} was to close were cancelled for it, and it was not filled: "
    text += f"{plain(bare)} {order.tradingsymbol} are open without them. Place them by hand, or close the position."
    with transaction.atomic():
        noted = orders.note(order, "UNPROTECTED", text, actor=ACTOR)
        if noted:
            sysevents.record("order", "UNPROTECTED", text, level=Level.ERROR, owner=order.owner, order=order)
    return noted


def _works(child: Order) -> bool:
    return child.role != Role.TARGET and child.status not in (*STANDING, State.NEEDS_REVIEW)
