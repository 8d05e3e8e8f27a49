"""Compares the broker's positions with the books after each complete read, and lets a person take over the broker's figure.

A difference counts when a later read shows the same one: fills and positions are two reads, and between them an order may fill. From then on
no stop or target may close more than the broker holds (`selectors.brackets.held`); the books themselves change only when a person says so.
"""

from datetime import datetime
from decimal import Decimal

from brokers.models import BrokerAccount, BrokerHolding, BrokerPosition, Instrument, Quote, SyncState
from trading.domain import drift as domain
from trading.domain import orderfsm
from trading.domain.drift import Books
from trading.domain.orderfsm import State
from trading.models import Correction, Drift, Gtt, GttState, Level, Order, Position, Product, Strategy
from trading.selectors import drift as read
from trading.selectors.drift import Key
from trading.services import brackets, external, ledgers, polling, positions, sysevents
from tvapp.lib import clock
from tvapp.lib.errors import AppError
from tvapp.lib.money import ZERO, plain, rupees

SETTLE_S = 15
FRESH_S = 300
UNTOLD = (Product.MTF,)  # from the second day it is among the holdings, which do not tell it apart


# --- after a read -----------------------------------------------------------------------------------------------


def check(account: BrokerAccount, at: datetime) -> int:
    """Compares what was read at `at` with the books; inside the transaction that stored it. Returns how many differences are new."""
    ours, busy = read.all_books(account.pk), _busy(account)
    theirs = _theirs(account, ours)
    open_rows: dict[Key, list[Drift]] = {}
    for row in Drift.objects.filter(account=account, settled_at=None).select_related("account"):
        open_rows.setdefault((row.exchange, row.tradingsymbol, row.product), []).append(row)
    keys = {key for key in {*ours, *theirs, *open_rows} if key[2] not in UNTOLD and key[:2] not in busy}
    found = [_compare(account, key, ours.get(key, Books({})), theirs.get(key, ZERO), open_rows.get(key, []), at) for key in sorted(keys)]
    return sum(found)


def _busy(account: BrokerAccount) -> set[tuple[str, str]]:
    """Symbols of which an order is on its way or not known: the two reads may then differ for a good reason."""
    rows = Order.objects.filter(account=account, status__in=[*orderfsm.MAYBE_LIVE, State.SENT])
    fired = Gtt.objects.filter(account=account, state=GttState.TRIGGERED, order__broker_order_id="", order__status__in=orderfsm.LIVE)
    return {*rows.values_list("exchange", "tradingsymbol"), *fired.values_list("exchange", "tradingsymbol")}


def _theirs(account: BrokerAccount, ours: dict[Key, Books]) -> dict[Key, Decimal]:
    """The broker's figures as stored. Shares in the depository count for CNC where the desk booked some; the others are the trader's own."""
    rows = BrokerPosition.objects.filter(account=account).values_list("exchange", "tradingsymbol", "product", "net_qty")
    found = {(exchange, symbol, product): net for exchange, symbol, product, net in rows if net and product != Product.CNC}
    mine = {key for key in ours if key[2] == Product.CNC}
    found |= {(exchange, symbol, product): net for exchange, symbol, product, net in rows if (exchange, symbol, product) in mine}
    for row in BrokerHolding.objects.filter(account=account):
        key = (row.exchange, row.tradingsymbol, str(Product.CNC))
        if key in mine:
            found[key] = found.get(key, ZERO) + row.quantity + row.t1_quantity
    return found


def _compare(account: BrokerAccount, key: Key, books: Books, theirs: Decimal, rows: list[Drift], at: datetime) -> bool:
    delivery = key[2] == Product.CNC
    confirmed = next((row for row in rows if row.confirmed_at), None)
    suspected = next((row for row in rows if not row.confirmed_at), None)
    if not books.differ(theirs, delivery):
        _agrees(confirmed, suspected)
        return False
    figures = {"ours": books.ours(delivery), "theirs": theirs, "booked": books.base(delivery)}
    if confirmed is not None and confirmed.difference == theirs - figures["ours"]:
        Drift.objects.filter(pk=confirmed.pk).update(**figures, read_at=at)
        return False
    if suspected is not None and all(getattr(suspected, name) == value for name, value in figures.items()):
        return _again(suspected, confirmed, books, at)
    values = {**figures, "since": at, "read_at": at, "reads": 1, "owner_id": account.owner_id}
    names = {"account": account, "exchange": key[0], "tradingsymbol": key[1], "product": key[2]}
    Drift.objects.update_or_create(**names, settled_at=None, confirmed_at=None, defaults=values)
    polling.want(account.pk)
    return False


def _agrees(confirmed: Drift | None, suspected: Drift | None) -> None:
    if suspected is not None:
        suspected.delete()
    if confirmed is not None:
        account = confirmed.account
        _settle(confirmed, "the broker's books")
        what = f"{confirmed.tradingsymbol} ({confirmed.product})"
        text = f"{account.name}: {account.get_broker_display()} and the desk agree again about {what}."
        sysevents.record("broker", "POSITION_AGREES", text, owner=account.owner, data={"drift_id": confirmed.pk})


def _again(row: Drift, before: Drift | None, books: Books, at: datetime) -> bool:
    """The same difference once more. It counts when enough time lay between for a fill to be told of in both books."""
    row.reads, row.read_at = row.reads + 1, at
    if at - row.since < clock.seconds(SETTLE_S):
        row.save(update_fields=["reads", "read_at"])
        polling.want(row.account_id)
        return False
    if before is not None:
        _settle(before, "another difference")
    row.confirmed_at = clock.now()
    row.save(update_fields=["reads", "read_at", "confirmed_at"])
    names = dict(Strategy.objects.filter(pk__in=books.strategies).values_list("pk", "name"))
    text = f"{row.account.name}: {read.sentence(row, books, names)} Stops and targets are cut to what is there. Look at the position."
    sysevents.record("order", "POSITION_DRIFT", text, level=Level.ERROR, owner=row.account.owner, data={"drift_id": row.pk})
    brackets.settle_all_of(row.account_id, row.exchange, row.tradingsymbol, row.product)
    return True


def _settle(row: Drift, by: str) -> None:
    row.settled_at, row.settled_by = clock.now(), by[:80]
    row.save(update_fields=["settled_at", "settled_by"])


# --- a person takes over the broker's figure --------------------------------------------------------------------


def adopt(row: Drift, *, actor: str, strategy_id: int | None = None, ours: Decimal | None = None, theirs: Decimal | None = None) -> Drift:
    """Brings the books to the broker's figure, with one Correction for each book that changes. Raises AppError.

    `strategy_id`: which strategy was closed, where several could be. `ours` and `theirs`: what the person was shown; when the row says
    something else by now, they are asked again.
    """
    with ledgers.book_of(row.account_id):
        row = Drift.objects.select_related("account").get(pk=row.pk)
        _check(row, ours, theirs)
        traded = external.instrument(row.exchange, row.tradingsymbol)
        books = read.books_of(row.account_id, traded.pk, row.product)
        choices = read.ambiguous(row, books)
        if choices and strategy_id not in choices:
            text = "Several strategies hold it, and not all of it is gone: say which of them was closed."
            raise AppError("DRIFT_AMBIGUOUS", text, status=422, extra={"strategies": choices})
        target = read.there(row, books, row.product)
        moves = domain.plan(books, target, row.delivery, strategy_id)
        made = [_correct(row, traded, pk, delta, books, actor) for pk, delta in moves.items()]
        _settle(row, actor)
        _tell(row, made, target, actor)
        brackets.settle_all_of(row.account_id, row.exchange, row.tradingsymbol, row.product)
    return row


def _check(row: Drift, ours: Decimal | None, theirs: Decimal | None) -> None:
    if row.settled_at is not None or row.confirmed_at is None:
        raise AppError("DRIFT_SETTLED", "Broker and desk agree about it by now. Look at the position again.", status=409)
    if (ours is not None and ours != row.ours) or (theirs is not None and theirs != row.theirs):
        text = f"The figures changed since you looked: the broker holds {plain(row.theirs)}, the desk counts {plain(row.ours)}. Decide again."
        raise AppError("DRIFT_CHANGED", text, status=409, extra={"ours": plain(row.ours), "theirs": plain(row.theirs)})
    at = SyncState.objects.filter(account_id=row.account_id).values_list("positions_at", flat=True).first()
    if at is None or clock.now() - at > clock.seconds(FRESH_S):
        polling.want(row.account_id)
        text = "The broker's positions were last read too long ago. They are read again as soon as the account is logged in; decide then."
        raise AppError("POSITION_STALE", text, status=409)


def _correct(row: Drift, traded: Instrument, strategy_id: int | None, delta: Decimal, books: Books, actor: str) -> Correction:
    price, priced_by = _price(row, traded, strategy_id, books)
    made = Correction.objects.create(
        drift=row, owner_id=row.owner_id, account_id=row.account_id, strategy_id=strategy_id, instrument=traded, product=row.product,
        side="BUY" if delta > 0 else "SELL", quantity=abs(delta), price=price, priced_by=priced_by, actor=actor[:80],
    )  # fmt: skip
    positions.apply(made)
    return made


def _price(row: Drift, traded: Instrument, strategy_id: int | None, books: Books) -> tuple[Decimal, str]:
    """At which price the books are brought to agree: the trade outside that did it, else the best that is known of it."""
    mine = {p.strategy_id: p for p in Position.objects.filter(account_id=row.account_id, instrument=traded, product=row.product)}
    if None in mine and books.counted * books.outside < 0:
        return mine[None].average, "the trade outside the desk"
    shown = BrokerPosition.objects.filter(
        account_id=row.account_id, exchange=row.exchange, tradingsymbol=row.tradingsymbol, product=row.product
    ).first()
    if shown is not None and strategy_id is not None and (found := shown.sell_avg if books.counted > 0 else shown.buy_avg):
        return found, "the broker's average of today"
    if shown is not None and strategy_id is None and shown.average:
        return shown.average, "the broker's average"
    last = Quote.objects.filter(instrument=traded, source=Quote.Source.FEED).values_list("ltp", flat=True).first()
    last = (shown.ltp if shown else None) or last
    if last:
        return last, "the last price known"
    return (mine[strategy_id].average, "its own average: no other price is known") if strategy_id in mine else (ZERO, "no price is known")


def _tell(row: Drift, made: list[Correction], target: Decimal | None, actor: str) -> None:
    names = dict(Strategy.objects.filter(pk__in=[m.strategy_id for m in made if m.strategy_id]).values_list("pk", "name"))
    said = "; ".join(
        f"{names.get(m.strategy_id, 'traded outside')}: {m.side.lower()} {plain(m.quantity)} at {rupees(m.price)} ({m.priced_by})" for m in made
    )
    text = f"{actor} took over the broker's figure of {plain(target)} {row.tradingsymbol} ({row.product}): {said or 'nothing to book'}."
    sysevents.record("order", "POSITION_ADOPTED", text, level=Level.WARNING, owner=row.owner, data={"drift_id": row.pk, "actor": actor})
