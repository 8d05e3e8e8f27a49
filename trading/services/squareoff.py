"""Square-off: close everything of an account, or of one strategy. Cancel what rests, read the positions, close what is left, look again.

Each call of `work` does the next step its row asks for, so it can die anywhere and be called by anybody, twice at once too. What makes a second
run harmless: each symbol is closed under a number that was read before the positions. Two that saw the same position have the same number, and
only one of them can take it.
"""

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime, time
from decimal import Decimal

from django.db import transaction
from django.db.models import F, Q

from brokers import registry
from brokers.errors import BrokerError
from brokers.models import BrokerAccount, BrokerPosition, Quote, SyncState
from trading.domain import orderfsm, slicing
from trading.domain.orderfsm import State
from trading.models import Fill, Level, Mode, Order, OrderType, Source, SquareOff, SquareOffLeg, SquareOffState, Strategy
from trading.selectors import sessions
from trading.selectors import squareoff as read
from trading.selectors.squareoff import ACTIVE, DELIVERY, Leg
from trading.services import books, dispatch, doorbell, external, ledgers, orders, polling, recover, sysevents
from tvapp.lib import clock, crash, ids
from tvapp.lib.errors import AppError
from tvapp.lib.money import ZERO, plain

logger = logging.getLogger("tvapp.squareoff")
ACTOR = "square-off"
CANCEL_S = 10
CLOSE_S = 10
ROUNDS = 5
AGAIN_S = 3
GIVE_UP_S = 1800
ORDER_AGE_S = 60
S = SquareOffState


# --- how one begins ---------------------------------------------------------------------------------------------


def start(
    account: BrokerAccount, *, actor: str, reason: str, strategy: Strategy | None = None, products: Iterable[str] = (),
    exchanges: Iterable[str] = (), schedule: str | None = None,
) -> SquareOff:  # fmt: skip
    """Closes everything of the account, or what `strategy` holds, in these products and exchanges (none named: all). Works in every trading state.

    One that is under way and covers the same is given instead of a second one. `schedule` names the time that wants it: each starts once.
    """
    wanted = {"products": sorted(products), "exchanges": sorted(exchanges)}
    with ledgers.book_of(account.pk):
        running = SquareOff.objects.filter(account=account, state__in=ACTIVE).order_by("id")
        known = next((row for row in running if _covers(row, strategy, wanted)), None) if schedule is None else None
        known = known or (SquareOff.objects.filter(schedule=schedule).first() if schedule else None)
        if known is not None:
            return known
        row = SquareOff.objects.create(
            account=account, owner=account.owner, strategy=strategy, schedule=schedule, actor=actor[:80], reason=reason[:200],
            correlation_id=ids.correlation_id(), **wanted,
        )  # fmt: skip
        sysevents.record("risk", "SQUARE_OFF", f"{actor} closes {_what(row)}, because {reason}.", level=Level.WARNING, owner=account.owner)
        doorbell.ring_square_off(row.pk)
    return row


def ask(account: BrokerAccount, *, confirm: str, actor: str, reason: str) -> SquareOff:
    """What a person asks for: everything of the account. AppError when its name was not typed exactly."""
    if confirm.strip() != account.name:
        raise AppError("CONFIRM_MISMATCH", f"To close everything of {account.name}, type exactly that name.", extra={"field": "confirm"})
    return start(account, actor=actor, reason=reason)


def _covers(row: SquareOff, strategy: Strategy | None, wanted: Mapping[str, list[str]]) -> bool:
    if row.strategy_id and (strategy is None or strategy.pk != row.strategy_id):
        return False
    return all(not getattr(row, name) or (given and set(given) <= set(getattr(row, name))) for name, given in wanted.items())


def _what(row: SquareOff) -> str:
    """everything of kite; what breakout holds on kite, MIS only"""
    whose = f"what {row.strategy.name} holds on {row.account.name}" if row.strategy_id else f"everything of {row.account.name}"
    only = " ".join([*row.exchanges, *row.products])
    return f"{whose}, {only} only" if only else whose


# --- the work ---------------------------------------------------------------------------------------------------


def work(square_off_id: int) -> str:
    """Takes the next steps, as far as they go without waiting. Never raises for what a broker or a race did; safe to call twice."""
    for _ in range(3):
        row = SquareOff.objects.select_related("account", "account__owner", "strategy").filter(pk=square_off_id).first()
        if row is None or row.state not in ACTIVE:
            return row.state if row else "gone"
        now = clock.now()
        if row.due_at and row.due_at > now:
            return "not due"
        if now - row.started_at > clock.seconds(GIVE_UP_S):
            return _give_up(row, f"not finished after {GIVE_UP_S // 60} minutes")
        word = {S.CANCELLING: _cancel, S.READING: _read, S.CLOSING: _wait}[S(row.state)](row)
        if word:
            return word
    return "goes on"


def push(row: SquareOff) -> None:
    """One look at it and at every order it waits for, by whoever has no worker to ring for."""
    work(row.pk)
    waits = Q(status__in=[State.QUEUED, State.UNKNOWN]) | Q(status__in=orderfsm.LIVE)
    pks = list(read.unended(row).filter(waits).values_list("pk", flat=True))
    for pk in pks:
        dispatch.work(pk)
    recover.settle_lost(row.account_id)
    if pks:
        books.sync_due(row.account_id)


def _advance(row: SquareOff, to: SquareOffState, **changes: object) -> bool:
    """The compare-and-swap. False: another worker was first."""
    now = clock.now()
    changes = {"note": "", "due_at": None, "step_at": now, **({} if to in ACTIVE else {"ended_at": now}), **changes}
    won = SquareOff.objects.filter(pk=row.pk, state=row.state, version=row.version).update(state=to, version=F("version") + 1, **changes)
    if won:
        crash.point(f"squareoff.move.{to.lower()}")
    return bool(won)


def _stay(row: SquareOff, note: str, pause_s: float = 0) -> str:
    due = clock.now() + clock.seconds(pause_s) if pause_s else None
    SquareOff.objects.filter(pk=row.pk, state=row.state, version=row.version).update(note=note[:300], due_at=due)
    return note


def _cancel(row: SquareOff) -> str:
    """(a) Asks for the end of everything that rests, and waits for it. What does not end in time stays counted."""
    rest = [order for order in read.unended(row).select_related("account") if not _is_fresh(row, order)]
    for order in rest:
        _ask_cancel(order)
    crash.point("squareoff.cancels_asked")
    rest = [order for order in read.unended(row) if not _is_fresh(row, order)]
    if rest and clock.now() - row.step_at < clock.seconds(CANCEL_S):
        if any(order.status in orderfsm.MAYBE_LIVE for order in rest) and not registry.adapter_for(row.account).caps.local:
            polling.want(row.account_id)  # what is not known is looked up first
        return _stay(row, f"Round {row.round}: waits for the end of {len(rest)} orders that rest or have no known outcome.")
    _advance(row, S.READING)
    return ""


def _is_fresh(row: SquareOff, order: Order) -> bool:
    """A closing order of another run that may still fill: it is left to its own run, and counted."""
    others = order.source == Source.SQUARE_OFF and order.correlation_id != row.correlation_id
    return others and clock.now() - order.created_at < clock.seconds(CLOSE_S)


def _ask_cancel(order: Order) -> None:
    try:
        if order.status in orderfsm.LIVE or order.status in orderfsm.CANCEL_HERE:
            orders.cancel(order, actor=ACTOR)
    except AppError as exc:  # somebody else was first, or it is being sent: the next look sees
        logger.info("order %s could not be cancelled now: %s", order.pk, exc.message)


def _read(row: SquareOff) -> str:
    """(b) Reads the positions from the broker, and (c) writes down the orders that close what is left, all in one transaction."""
    numbers = read.numbers(row.account_id)
    before = {order.pk: order for order in read.unended(row)}
    found = _positions(row)
    if isinstance(found, str):
        return _stay(row, f"The positions could not be read: {found}. It is tried again.", AGAIN_S)
    crash.point("squareoff.read")
    return _place(row, *found, numbers, before)


def _positions(row: SquareOff) -> tuple[dict[Leg, Decimal], datetime] | str:
    """Net of every leg in scope that is not flat, and when the read began. A text when there was no answer."""
    adapter, began = registry.adapter_for(row.account), clock.now()
    if adapter.caps.local:
        nets = [(Leg(p.native["exchange"], p.native["tradingsymbol"], str(p.product)), p.net_qty) for p in adapter.positions()]
        return _relevant(row, nets), began
    try:
        said = books.read_all(row.account_id)
    except BrokerError as exc:
        return exc.message
    at = SyncState.objects.filter(account_id=row.account_id).values_list("positions_at", flat=True).first()
    if at is None or at < began:
        return said
    fields = ("exchange", "tradingsymbol", "product", "net_qty")
    nets = [(Leg(*key), net) for *key, net in BrokerPosition.objects.filter(account_id=row.account_id).values_list(*fields)]
    return _relevant(row, nets), at


def _relevant(row: SquareOff, nets: Iterable[tuple[Leg, Decimal]]) -> dict[Leg, Decimal]:
    open_ = {leg: net for leg, net in nets if read.in_scope(row, leg) and (net > 0 or (net < 0 and leg.product not in DELIVERY))}
    if not row.strategy_id:
        return open_
    return {leg: net for leg, net in open_.items() if _closable(net, read.books(row.account_id, leg).get(row.strategy_id, ZERO))}


def _closable(net: Decimal, book: Decimal) -> Decimal:
    """How much of a strategy's own position the account's net one lets be closed: never so much that the net crosses zero."""
    return min(abs(net), abs(book)) if net * book > 0 else ZERO


# --- writing down what closes -----------------------------------------------------------------------------------


def _place(row: SquareOff, nets: Mapping[Leg, Decimal], read_at: datetime, numbers: Mapping[Leg, int], before: Mapping[int, Order]) -> str:
    with ledgers.book_of(row.account_id):
        row.refresh_from_db(fields=["state", "version"])
        if row.state != S.READING:
            return "somebody else was first"
        working = {**{order.pk: order for order in read.unended(row)}, **before}  # with the rest they had before the read
        if not nets and not read.unended(row).exists():
            return _done(row)
        if row.round > ROUNDS:
            return _give_up(row, _left(nets))
        moved = read.moved_since(row.account_id, read_at)
        made = [_close(row, leg, net, numbers.get(leg, 0) + 1, working.values()) for leg, net in nets.items() if leg not in moved]
        _advance(row, S.CLOSING, note=f"Round {row.round}: closing {_left(nets)}." if nets else "")
        crash.point("squareoff.placed")
        logger.info("square-off %s: round %s, %s orders", row.pk, row.round, sum(made))
    crash.point("squareoff.committed")
    return ""


def _close(row: SquareOff, leg: Leg, net: Decimal, no: int, working: Iterable[Order]) -> int:
    """The orders of one leg, unless somebody else took its number meanwhile. Returns how many."""
    if SquareOffLeg.objects.filter(account_id=row.account_id, no__gte=no, **leg._asdict()).exists():
        return 0
    side = "SELL" if net > 0 else "BUY"
    on_leg = [o for o in working if (o.exchange, o.tradingsymbol, o.product) == leg and o.side == side]
    room = max(abs(net) - sum((o.remaining for o in on_leg), ZERO), ZERO)
    shares = _shares(row, leg, net, room)
    SquareOffLeg.objects.create(
        square_off=row, account_id=row.account_id, no=no, round=row.round, net=net, closing=sum(shares.values(), ZERO), **leg._asdict()
    )
    made = 0
    for strategy_id, quantity in shares.items():
        made += _orders(row, leg, side, no, strategy_id, quantity)
    return made


def _shares(row: SquareOff, leg: Leg, net: Decimal, room: Decimal) -> dict[int | None, Decimal]:
    """How much of the room is closed for whom: for the strategies whose positions it is, what nobody booked for nobody. Adds up to `room` at most."""
    held = read.books(row.account_id, leg)
    if row.strategy_id:
        wanted = {row.strategy_id: _closable(net, held.get(row.strategy_id, ZERO))}
    else:
        same = {pk: abs(quantity) for pk, quantity in held.items() if pk is not None and quantity * net > 0}
        wanted = {**dict(sorted(same.items(), key=lambda pair: -pair[1])), None: abs(net)}
    shares: dict[int | None, Decimal] = {}
    for strategy_id, quantity in wanted.items():
        if (share := min(quantity, room)) > 0:
            shares[strategy_id] = share
            room -= share
    return shares


def _orders(row: SquareOff, leg: Leg, side: str, no: int, strategy_id: int | None, quantity: Decimal) -> int:
    """Normal orders on the one road: QUEUED with their bells, each within the freeze quantity, each with the tag another run would give it."""
    traded, account, now = external.instrument(leg.exchange, leg.tradingsymbol), row.account, clock.now()
    parts = slicing.sizes(quantity, traded.freeze, traded.lot)
    for part, size in enumerate(parts, 1):
        text = f"Square-off {row.pk}, round {row.round}: closes {plain(size)} {leg.tradingsymbol} ({leg.product}), because {row.reason}."
        tag = ids.fixed_tag(account.environment, clock.trading_day(now), account.pk, *leg, no, strategy_id or "", part)
        orders.create(
            State.QUEUED, text=text, actor=ACTOR, tag=tag, source=Source.SQUARE_OFF, account=account, owner=row.owner, strategy_id=strategy_id,
            instrument=traded, exchange=leg.exchange, tradingsymbol=leg.tradingsymbol, product=leg.product, side=side, reduce_only=True,
            quantity=size, requested_quantity=size, order_type=OrderType.MARKET, mode=Mode.AUTO, simulated=account.environment != "LIVE",
            ref_price=_last_price(account, traded), received_at=now, max_age_s=ORDER_AGE_S, correlation_id=row.correlation_id,
        )  # fmt: skip
        crash.point("squareoff.order_made")
    return len(parts)


def _last_price(account: BrokerAccount, traded) -> Decimal | None:
    """On paper the newest price there is fills it: without a feed nothing else would. A real broker has its own."""
    if not registry.adapter_for(account).caps.local:
        return None
    quote = Quote.objects.filter(instrument=traded).first()
    if quote is not None and quote.serves(account):
        return quote.ltp
    return Fill.objects.filter(account=account, instrument=traded).order_by("-id").values_list("price", flat=True).first()


# --- the end of a round, and of it all --------------------------------------------------------------------------


def _wait(row: SquareOff) -> str:
    """(d) Waits for the end of what closes; then the next round looks whether everything is flat."""
    ours = read.unended(row).filter(source=Source.SQUARE_OFF)
    waited = clock.now() - row.step_at
    if waited < clock.seconds(CLOSE_S) and ours.exists():
        return "closing"
    refused = read.orders_of(row).filter(created_at__gte=row.step_at - clock.seconds(1), filled_quantity=0, status__in=orderfsm.ENDED).exists()
    if refused and waited < clock.seconds(AGAIN_S):
        return "refused"  # a broker that just said no is not asked again at once
    _advance(row, S.CANCELLING, round=row.round + 1)
    return ""


def _left(nets: Mapping[Leg, Decimal]) -> str:
    """INFY 10 MIS, NIFTY -75 NRML"""
    return ", ".join(f"{leg.tradingsymbol} {plain(net)} {leg.product}" for leg, net in sorted(nets.items())) or "nothing but orders that do not end"


def _done(row: SquareOff) -> str:
    made = list(read.orders_of(row).filter(filled_quantity__gt=0).values_list("side", "filled_quantity", "tradingsymbol"))
    said = ", ".join(f"{'sold' if side == 'SELL' else 'bought'} {plain(quantity)} {symbol}" for side, quantity, symbol in made)
    text = f"Closed: {said}." if said else "There was nothing to close."
    if _advance(row, S.DONE, note=text[:300]):
        sysevents.record("risk", "SQUARE_OFF_DONE", f"{row}: everything is closed. {text}", level=Level.INFO, owner=row.owner)
    return S.DONE


def _give_up(row: SquareOff, left: str) -> str:
    said = read.orders_of(row).filter(status__in=orderfsm.ENDED).exclude(status=State.COMPLETE).order_by("-id").values_list("why", flat=True).first()
    text = f"Still open after {min(row.round, ROUNDS)} rounds: {left}. Close it at the broker. {said or ''}".strip()
    with transaction.atomic():
        if _advance(row, S.NEEDS_REVIEW, note=text[:300]):
            sysevents.record("risk", "SQUARE_OFF_STUCK", f"{row} needs you. {text}", level=Level.ERROR, owner=row.owner)
    return S.NEEDS_REVIEW


# --- by the sweeper ---------------------------------------------------------------------------------------------


def sweep() -> int:
    """Starts what the clock wants closed, and rings for every square-off that is due."""
    started, now = _start_due(), clock.now()
    rows = SquareOff.objects.filter(ended_at=None).exclude(due_at__gt=now)
    for pk, account_id in rows.values_list("pk", "account_id"):
        polling.ring_once(f"square-off {account_id}", clock.seconds(1), lambda pk=pk: doorbell.ring_square_off(pk))
    return started


def _start_due() -> int:
    """From the database alone: whatever is open past its time while its market still trades, once for each time of the day and market."""
    times, now = read.schedules(), clock.now()
    at = now.astimezone(clock.IST).time()
    if not any(time.fromisoformat(text) <= at for each in times for text in each.by_key.values()):
        return 0
    wanted: dict[tuple[int, int | None, time], set[tuple[str, str]]] = {}
    for thing in read.open_things({key.rpartition(":")[2] for each in times for key in each.by_key}):
        for strategy_id, due in read.due(times, thing):
            if due <= at and sessions.facts(thing.exchange, now).open is not False:
                wanted.setdefault((thing.account_id, strategy_id, due), set()).add((thing.exchange, thing.product))
    return sum(_start_one(*key, things) for key, things in sorted(wanted.items(), key=str))


def _start_one(account_id: int, strategy_id: int | None, at: time, things: set[tuple[str, str]]) -> bool:
    account = BrokerAccount.objects.select_related("owner").get(pk=account_id)
    day = clock.trading_day(clock.now())
    key = f"{day} {at:%H:%M} account {account_id}" + (f" strategy {strategy_id}" if strategy_id else "")
    begun = list(SquareOff.objects.filter(Q(schedule=key) | Q(schedule__startswith=f"{key};")))
    things = {thing for thing in things if not any(thing[0] in row.exchanges and thing[1] in row.products for row in begun)}
    if not things:
        return False
    if begun:  # another market's position came to light meanwhile
        key = f"{key}; {' '.join(sorted(':'.join(thing) for thing in things))}"[:120]
    exchanges, products = {exchange for exchange, _ in things}, {product for _, product in things}
    strategy = Strategy.objects.get(pk=strategy_id) if strategy_id else None
    start(account, actor="schedule", reason=f"it is {at:%H:%M}, the time to close {' and '.join(sorted(products))}", strategy=strategy,
          products=products, exchanges=exchanges, schedule=key)  # fmt: skip
    return True
