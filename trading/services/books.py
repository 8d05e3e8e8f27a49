"""Reads an account's books at its broker, with no transaction open, and brings our rows up to them.

One read of the order book serves everything: reports of our orders, looks for those whose outcome is not known, orders placed past the desk.
A read that failed changes nothing but the note that it failed.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F, Q

from brokers import registry
from brokers.base import Adapter, UnsupportedFeature
from brokers.errors import AuthExpired, BrokerError, RateLimited
from brokers.models import AccountState, BrokerAccount, BrokerFunds, BrokerHolding, BrokerPosition, BrokerSession, SyncState
from brokers.types import LIVE, TERMINAL, Funds, Holding, OrderReport, Position, Status
from trading.domain import orderfsm
from trading.domain.orderfsm import State
from trading.models import AttemptKind, Level, Order, Pending, Source, SystemEvent
from trading.services import cancels, changes, connect, daycheck, drift, external, gtt, ledgers, orders, polling, recover, sync, sysevents, tripwires
from tvapp.lib import clock, crash
from tvapp.models import DeskSettings

logger = logging.getLogger("tvapp.books")

FULL_S = 20  # with the idle pace below a minute: the gate takes no older positions and funds
UNSEEN_MOST = 3
SENT_WITHIN = timedelta(days=4)  # an order made before that is not sent any more: its alert is dead after three days at most
LATE_FILLS = timedelta(days=2)
ACTOR = "sync"
UNREAD = ("unread", "session ended", "not connected")
UNRESOLVED = (State.UNKNOWN, State.NEEDS_REVIEW)
_REOPENED = (State.CANCELLED, State.EXPIRED, State.FAILED)
_ROW = ("account", "strategy", "instrument", "owner")


# ---------------------------------------------------------------------------- the task
def sync_due(account_id: int) -> str:
    """What a bell runs: a read, unless another one began a moment ago. A wish that came meanwhile is rung for again by the sweeper."""
    account = BrokerAccount.objects.get(pk=account_id)
    caps = registry.adapter_for(account).caps
    if not caps.local and not polling.take_turn(account_id, caps):
        return "just read"
    return sync_account(account_id)


def sync_account(account_id: int, *, full: bool = False) -> str:
    """Reads the account's order book once and applies it; the other books, too, when something changed, on a wish, and once a minute.

    Returns a short count for the log. A disconnected account is not read.
    """
    account = BrokerAccount.objects.select_related("owner").get(pk=account_id)
    adapter = registry.adapter_for(account)
    if adapter.caps.local:
        return _step_local(account, adapter)
    if account.state == AccountState.DISCONNECTED:
        return "not connected"
    began = clock.now()
    recover.settle_lost(account_id)
    try:
        _prove(account, adapter)
        book = fetch(account, adapter)
    except BrokerError as exc:
        return _failed(account, adapter, exc, "order book", began)
    tripwires.clock_off(account, adapter.ahead)
    try:
        changed = _apply(account, adapter, book)
    except BrokerError as exc:  # triggers are read there, too, before an order counts as a stranger's
        return _failed(account, adapter, exc, "triggers", began)
    _note_orders(account, book, changed)
    if full or changed or account.state == AccountState.RECOVERING or _full_due(account, began):
        said = _read_rest(account, adapter, complete=book.complete)
        if said:
            return said
        tripwires.drifted(account)
        _open_gate(account, book)
    polling.served(account_id, began)
    return f"{changed} changed"


def _prove(account: BrokerAccount, adapter: Adapter) -> None:
    """Whose session it is, before a book read with a new one counts for anything. Raises AuthExpired when it is another client's."""
    if account.state == AccountState.RECOVERING:
        adapter.check_session()
        BrokerSession.objects.filter(account=account).update(checked_at=clock.now())


def read_all(account_id: int) -> str:
    """One complete read of everything: orders, fills, positions, holdings, funds."""
    return sync_account(account_id, full=True)


def freshen(account: BrokerAccount, adapter: Adapter) -> None:
    """Positions, holdings and funds once more, without the order book: what an order is judged by must not be a minute old."""
    _read_rest(account, adapter, complete=False, triggers=False)


def look_now() -> dict[int, str]:
    """Reads the book of every account that has an order whose outcome is not known. For a person at the command line."""
    waits = Order.objects.filter(status__in=UNRESOLVED).values_list("account_id", flat=True)
    return {account.pk: sync_account(account.pk) for account, _ in polling.remote_accounts() if account.pk in set(waits)}


def _step_local(account: BrokerAccount, adapter: Adapter) -> str:
    """Paper: its book moves when it is stepped, and holds our orders only. What was asked of it comes before the market: cancel first."""
    for order in Order.objects.filter(account=account, status__in=orderfsm.LIVE).exclude(pending_action="").select_related(*_ROW):
        orders.guarded(order, cancels.work if order.pending_action == Pending.CANCEL else changes.work)
    try:
        adapter.step(clock.now())
        reports, fills = adapter.list_orders(), sync.by_order(adapter.list_fills())
    except BrokerError as exc:
        logger.warning("book of %s could not be read: %s", account.name, exc, extra={"account_id": account.pk})
        return "unread"
    ours = {order.tag: order for order in _watched(account)}
    book = sync.Book(clock.now(), reports, fills)
    pairs = [(ours[r.key.ref], r) for r in reports if r.key.ref in ours]
    return f"{sum(_report(adapter, order, report, book) for order, report in pairs)} changed"


def _watched(account: BrokerAccount) -> Iterable[Order]:
    """Orders that are or may be live, and those that ended lately: a fill may still be reported, a refused one may turn up."""
    ended = Q(status__in=_REOPENED, ended_at__gt=clock.now() - LATE_FILLS)
    return _brief(Order.objects.filter(Q(status__in=[*orderfsm.LIVE, *UNRESOLVED]) | ended, account=account))


def _brief(rows):
    """Without the texts: a read looks at every order of the day."""
    return rows.defer("why", "broker_message", "tv_symbol", "brackets")


# ---------------------------------------------------------------------------- the order book
def fetch(account: BrokerAccount, adapter: Adapter) -> sync.Book:
    """Orders and fills of the day. Raises BrokerError. What is known from earlier today and not shown makes the absence of others no evidence."""
    at, known = clock.now(), known_ids(account)
    reports = adapter.list_orders()
    fills = sync.by_order(adapter.list_fills())
    crash.point("books.fetched")
    return sync.Book(at, reports, fills, frozenset(known - {r.key.broker_order_id for r in reports}))


def known_ids(account: BrokerAccount) -> set[str]:
    """The broker's ids of every order of the account that its book must show: sent, or seen, since the book of the day began."""
    since = book_began(clock.now())
    sent = Q(attempts__kind=AttemptKind.PLACE, attempts__started_at__gte=since) | Q(source=Source.EXTERNAL, received_at__gte=since)
    rows = Order.objects.filter(sent, account=account, created_at__gte=since - SENT_WITHIN).exclude(broker_order_id="")
    return set(rows.values_list("broker_order_id", flat=True))


def book_began(now: datetime) -> datetime:
    """Brokers clear their book in the small hours, when sessions end; what was there before need not be there after."""
    midnight = clock.day_start(clock.trading_day(now))
    cleared = midnight + timedelta(hours=DeskSettings.current().kite_session_end_h)
    return cleared if now >= cleared else midnight


def _apply(account: BrokerAccount, adapter: Adapter, book: sync.Book) -> int:
    """Everything one read says. Returns how many orders changed."""
    by_id, by_tag = _ours(account, book.reports)
    tagged: dict[int, list[OrderReport]] = {}
    strangers: list[OrderReport] = []
    changed = 0
    for report in book.reports:
        order = by_id.get(report.key.broker_order_id)
        if order is not None and order.status not in UNRESOLVED:
            changed += _report(adapter, order, report, book)
        elif (named := order or by_tag.get(report.key.ref)) is not None:
            tagged.setdefault(named.pk, []).append(report)
        else:
            strangers.append(report)
    changed += _settle(account, adapter, tagged, book)
    for order in {o.pk: o for o in by_tag.values()}.values():
        if order.pk in tagged and order.status not in UNRESOLVED:
            changed += orders.guarded(order, lambda o: _surfaced(adapter, o, tagged[o.pk], book, strangers)) is True
    _unseen(account, book)
    strangers = gtt.claim_strangers(account, adapter, strangers)
    return changed + external.adopt_all(account, strangers, book.fills)


def _ours(account: BrokerAccount, reports: Sequence[OrderReport]) -> tuple[dict[str, Order], dict[str, Order]]:
    """Rows of this account by the broker's id and by tag, as far as these reports name them."""
    refs, keys = {r.key.ref for r in reports} - {""}, {r.key.broker_order_id for r in reports} - {""}
    rows = list(_brief(Order.objects.filter(Q(tag__in=refs) | Q(broker_order_id__in=keys), account=account).select_related("owner", "account")))
    return {o.broker_order_id: o for o in rows if o.broker_order_id}, {o.tag: o for o in rows}


def _report(adapter: Adapter, order: Order, report: OrderReport, book: sync.Book) -> bool:
    if report.status == Status.UNMAPPED:
        _unmapped(order, report)
    if not _may_be_news(order, report):
        return False
    return orders.guarded(order, lambda o: sync.apply_report(o.pk, report, sync.fills_of(adapter, report, book.fills))) is True


def _may_be_news(order: Order, report: OrderReport) -> bool:
    """A glance that spares the transaction: an ended order hears of more fills only, a live one of anything that differs."""
    more = report.filled > order.filled_quantity
    if order.status not in [*orderfsm.LIVE, *UNRESOLVED]:
        return more or (order.status == State.FAILED and report.status in LIVE)
    return more or bool(order.pending_action or sync.changes(order, report)) or sync.STATES.get(report.status) != order.status


def _unmapped(order: Order, report: OrderReport) -> None:
    if not SystemEvent.objects.filter(code="STATUS_UNMAPPED", order=order).exists():
        text = f"Order {order.pk}: the broker says {report.raw_status[:60]!r}, which the desk does not know. It counts as live."
        sysevents.record("order", "STATUS_UNMAPPED", text, level=Level.WARNING, owner=order.owner, order=order)


def _settle(account: BrokerAccount, adapter: Adapter, tagged: dict[int, list[OrderReport]], book: sync.Book) -> int:
    """The same book is the look for every order of the account whose outcome is not known."""
    rows = Order.objects.filter(account=account, status__in=UNRESOLVED).select_related(*_ROW)
    return sum(orders.guarded(order, lambda o: recover.settle(o, tagged.get(o.pk, ()), book, adapter)) == "adopted" for order in rows)


def _surfaced(adapter: Adapter, order: Order, found: list[OrderReport], book: sync.Book, strangers: list[OrderReport]) -> bool:
    """Reports with the tag of an order that is known under another id, or that should not be at the broker at all.

    One that was called refused is taken up after all; everything else is an alarm, and the report is counted as a stranger.
    """
    if order.status == State.SENDING:
        return False  # its call is under way and tells the id
    report = recover.one_order(found)
    if order.broker_order_id:
        mine = next((r for r in book.reports if r.key.broker_order_id == order.broker_order_id), None)
        if mine is None or recover.one_order([mine, *found]) is None:
            recover.twice(order, found)
            strangers.extend(found)
        return False
    if order.status == State.FAILED and all(r.status in TERMINAL and not r.filled for r in found):
        return False  # the refusal once more, as the book tells it: nothing is live, nothing was traded
    if order.status == State.FAILED and report is not None and sync.fits(order, report):
        text = f"Order {order.pk} was called not accepted, but the broker has it as {report.key.broker_order_id}. It is followed from now on."
        sysevents.record("order", "FOUND_AT_BROKER", text, level=Level.ERROR, owner=order.owner, order=order)
        return sync.apply_report(order.pk, report, [f for r in found for f in sync.fills_of(adapter, r, book.fills)])
    strangers.extend(found)
    _unexpected(order, found)
    return False


def _unexpected(order: Order, found: Sequence[OrderReport]) -> None:
    if SystemEvent.objects.filter(code="FOUND_AT_BROKER", order=order).exists():
        return
    shown = ", ".join(r.key.broker_order_id for r in found)
    text = f"The broker has {shown} with the tag of order {order.pk}, which is {orderfsm.WORDS[State(order.status)].lower()} here. Look at both now."
    sysevents.record("order", "FOUND_AT_BROKER", text, level=Level.ERROR, owner=order.owner, order=order)
    if order.status == State.QUEUED:
        orders.move(order, State.HELD, code="FOUND_AT_BROKER", text=f"On hold: the broker has {shown} with its tag already.", actor=ACTOR)


def _unseen(account: BrokerAccount, book: sync.Book) -> None:
    """Live orders the book does not show: a notice after three reads, and the end of those whose session is over."""
    shown = [r.key.broker_order_id for r in book.reports]
    live = Order.objects.filter(account=account, status__in=orderfsm.LIVE).exclude(broker_order_id="")
    live.filter(unseen__gt=0, broker_order_id__in=shown).update(unseen=0)
    gone = live.filter(updated_at__lt=book.at).exclude(broker_order_id__in=shown)
    gone.update(unseen=F("unseen") + 1)
    for order in gone.filter(unseen__gte=UNSEEN_MOST).select_related(*_ROW):
        orders.guarded(order, _gone)


def _gone(order: Order) -> bool:
    if order.variety != "amo" and clock.trading_day(_in_book_since(order)) < clock.trading_day(clock.now()):
        text = "Ended with its session, unseen by the desk: compare the position with your broker's."
        sysevents.record("order", "ENDED_UNSEEN", f"Order {order.pk}: {text}", level=Level.WARNING, owner=order.owner, order=order)
        return orders.move(order, State.EXPIRED, code="SESSION_ENDED", text=text, actor=ACTOR)
    if order.unseen == UNSEEN_MOST:
        text = f"Order {order.pk} is live here, but {order.account.name}'s order book did not show it {UNSEEN_MOST} times in a row. Look there."
        sysevents.record("order", "ORDER_MISSING", text, level=Level.WARNING, owner=order.owner, order=order)
    return False


def _in_book_since(order: Order) -> datetime:
    """When the broker made it an order: sent by us, or placed by a trigger, which may have waited for months."""
    fired = order.events.filter(kind="TRIGGERED").order_by("-id").values_list("at", flat=True).first() if order.gtt else None
    sent = order.attempts.filter(kind=AttemptKind.PLACE).order_by("-id").values_list("started_at", flat=True).first()
    return fired or sent or order.received_at


def _note_orders(account: BrokerAccount, book: sync.Book, changed: int) -> None:
    if book.complete:
        facts = {"orders_at": book.at, "changed": changed, "error_code": "", "error": "", "error_at": None}
    else:
        count = len(book.lacking)
        text = f"The order book lacks {count} {'order' if count == 1 else 'orders'} it must show, so it proves nothing about others."
        facts = {"changed": changed, "error_code": "BOOK_INCOMPLETE", "error": text, "error_at": clock.now()}
    SyncState.objects.update_or_create(account=account, defaults=facts)


# ---------------------------------------------------------------------------- the other books
@dataclass(frozen=True)
class Rest:
    at: datetime
    positions: tuple[Position, ...]
    funds: tuple[Funds, ...]
    holdings: tuple[Holding, ...] | None


def _full_due(account: BrokerAccount, now: datetime) -> bool:
    row = SyncState.objects.filter(account=account).first()
    old = row is None or row.positions_at is None or now - row.positions_at >= clock.seconds(FULL_S)
    return old or row.wanted_at is not None or account.state == AccountState.RECOVERING


def _read_rest(account: BrokerAccount, adapter: Adapter, *, complete: bool, triggers: bool = True) -> str:
    """Positions, holdings, funds: read with no transaction open, stored in one short one. Says what went wrong, or nothing.

    `complete`: the order book that was read before lacked nothing, so the positions can be compared with what was booked from it.
    """
    at = clock.now()
    try:
        rest = Rest(at, adapter.positions(), adapter.funds(), _holdings(adapter))
    except BrokerError as exc:
        return _failed(account, adapter, exc, "positions, holdings and funds", at)
    crash.point("books.read")
    with ledgers.book_of(account.pk):  # a difference cuts exits, so no fill and no claim comes between
        if _store(account, rest) and complete:
            drift.check(account, at)
            daycheck.check(account, at)
    try:
        gtt.sync_gtts(account, adapter)
    except BrokerError as exc:
        return _failed(account, adapter, exc, "triggers", at)
    return ""


def _holdings(adapter: Adapter) -> tuple[Holding, ...] | None:
    try:
        return adapter.holdings()
    except UnsupportedFeature:
        return None


def _store(account: BrokerAccount, rest: Rest) -> bool:
    """Replaces the rows; a read that began before the one stored already is old news, and False."""
    row = SyncState.objects.select_for_update().get_or_create(account=account)[0]
    if row.positions_at and row.positions_at > rest.at:
        return False
    _replace(BrokerPosition, account, [_position(account, p, rest.at) for p in rest.positions])
    _replace(BrokerFunds, account, [_funds(account, f, rest.at) for f in rest.funds])
    facts = {"positions_at": rest.at, "funds_at": rest.at}
    if rest.holdings is not None:
        _replace(BrokerHolding, account, [_holding(account, h, rest.at) for h in rest.holdings])
        facts["holdings_at"] = rest.at
    SyncState.objects.filter(pk=row.pk).update(**facts)
    return True


def _replace(model, account: BrokerAccount, rows: list) -> None:
    model.objects.filter(account=account).delete()
    model.objects.bulk_create(rows)


def _position(account: BrokerAccount, row: Position, at: datetime) -> BrokerPosition:
    return BrokerPosition(
        account=account, exchange=row.native["exchange"], tradingsymbol=row.native["tradingsymbol"], product=str(row.product), net_qty=row.net_qty,
        overnight_qty=row.overnight_qty, multiplier=row.multiplier, buy_qty=row.buy_qty, buy_avg=row.buy_avg, sell_qty=row.sell_qty,
        sell_avg=row.sell_avg, average=(row.buy_avg if row.net_qty > 0 else row.sell_avg) if row.net_qty else None, realised=row.realised,
        unrealised=row.unrealised, ltp=row.ltp, close_price=row.close, at=at,
    )  # fmt: skip


def _holding(account: BrokerAccount, row: Holding, at: datetime) -> BrokerHolding:
    return BrokerHolding(
        account=account, exchange=row.native["exchange"], tradingsymbol=row.native["tradingsymbol"], quantity=row.quantity, at=at,
        t1_quantity=row.t1_quantity, used_quantity=row.used_quantity, collateral_qty=row.collateral_qty, average=row.avg_price, ltp=row.ltp,
        close_price=row.close,
    )  # fmt: skip


def _funds(account: BrokerAccount, row: Funds, at: datetime) -> BrokerFunds:
    return BrokerFunds(account=account, segment=row.segment, currency=row.currency, available=row.available, used=row.used, total=row.total, at=at)


# ---------------------------------------------------------------------------- the start-up gate, and failures
def shut_gates() -> int:
    """At the start of the desk nothing is sent at a real broker before its books were compared. Returns how many accounts wait for that."""
    ready = [account.pk for account, _ in polling.remote_accounts() if account.state == AccountState.READY]
    return BrokerAccount.objects.filter(pk__in=ready, state=AccountState.READY).update(state=AccountState.RECOVERING)


def _open_gate(account: BrokerAccount, book: sync.Book) -> None:
    """RECOVERING ends when one complete read succeeded and no order is left that this read did not look for."""
    if account.state != AccountState.RECOVERING or not book.complete:
        return
    if Order.objects.filter(account=account, status=State.SENDING).exists():
        return
    if BrokerAccount.objects.filter(pk=account.pk, state=AccountState.RECOVERING).update(state=AccountState.READY):
        text = f"{account.name}: orders, positions and funds are compared with the broker. Orders may leave again."
        sysevents.record("broker", "ACCOUNT_READY", text, owner=account.owner)


def _failed(account: BrokerAccount, adapter: Adapter, exc: BrokerError, what: str, began: datetime) -> str:
    """A read that gave nothing: noted for the pages, and evidence of nothing."""
    logger.warning("%s of %s could not be read: %s", what, account.name, exc, extra={"account_id": account.pk})
    text = f"The {what} could not be read: {exc.message}"[:300]
    SyncState.objects.update_or_create(account=account, defaults={"error_code": exc.code[:40], "error": text, "error_at": clock.now()})
    if isinstance(exc, AuthExpired):
        connect.session_lost(account, f"the broker no longer accepts the session ({exc.message})", seen_at=began)
        return "session ended"
    if isinstance(exc, RateLimited):
        polling.pause(account.pk, timedelta(seconds=float(exc.retry_after or 0)) or clock.seconds(2 * polling.MOVING_S), adapter.caps)
    return "unread"
