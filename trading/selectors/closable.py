"""What an order can close: the position, what may be sold of it, and what other orders are closing already.

Paper's book is ours and always fresh. At a real broker it counts as of the last read; shares in the depository are known from there alone.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from brokers.models import BrokerHolding, BrokerPosition, Environment, SyncState
from risk.types import OrdersFacts, PositionFacts
from trading.domain import orderfsm
from trading.domain.orderfsm import State
from trading.models import Fill, Order, Product, Source
from trading.selectors import drift, squareoff
from trading.selectors.facts import Book, Working
from tvapp.lib import clock
from tvapp.lib.money import ZERO

UNRESOLVED = (State.UNKNOWN, State.NEEDS_REVIEW)
HOLDINGS_FRESH = timedelta(minutes=20)
DELIVERY = (Product.CNC, Product.MTF)


def orders(order: Order, now: datetime, book: Book) -> OrdersFacts:
    """How many other orders of the account in this symbol may or may not be live, whatever their product."""
    here = order.account_id, order.instrument_id
    return OrdersFacts(unresolved=sum(other.status in UNRESOLVED for other in book.working if other.key == here), as_of=now)


def position(order: Order, now: datetime, book: Book) -> PositionFacts | None:
    """The position an order of this account, symbol and product meets. None: a real broker's was never read."""
    net = sum((held.quantity for held in book.held if (held.spot.account_id, held.spot.instrument_id, held.product) == _key(order)), ZERO)
    rests = _rests(order, _beside(order, book))
    if order.account.environment != Environment.PAPER and order.source == Source.SQUARE_OFF:
        return _squared_off(order, rests)
    if order.account.environment == Environment.PAPER:
        sellable = max(net, ZERO)
        return PositionFacts(net=net, sellable=sellable, closing=_closing(order, rests, net, sellable), as_of=now)
    return _at_broker(order, net, rests)


def _squared_off(order: Order, rests: list[tuple[str, Decimal]]) -> PositionFacts | None:
    """For a square-off the broker's own figure counts: what was opened outside the desk is closed, too."""
    read = squareoff.at_broker(order)
    if read is None:
        return None
    net, as_of = read
    return PositionFacts(net=net, sellable=max(net, ZERO), closing=sum((rest for side, rest in rests if side == order.side), ZERO), as_of=as_of)


def _at_broker(order: Order, net: Decimal, rests: list[tuple[str, Decimal]]) -> PositionFacts | None:
    sync = SyncState.objects.filter(account_id=order.account_id).first()
    if sync is None or sync.positions_at is None:
        return None
    sellable, as_of = max(net, ZERO), sync.positions_at
    if order.product in DELIVERY and order.side == "SELL":
        sellable = max(_shares(order, sync.positions_at, t1=order.account.sell_t1), ZERO)
        if sync.holdings_at is None or sync.positions_at - sync.holdings_at > HOLDINGS_FRESH:
            as_of = sync.holdings_at
    elif order.product == Product.CNC and net < 0:  # what was sold out of the depository is no short that a purchase would close
        net = min(_shares(order, sync.positions_at, t1=True), ZERO)
    row = drift.of_key(order.account_id, (order.exchange, order.tradingsymbol, order.product))
    there = drift.there(row, drift.books_of(order.account_id, order.instrument_id, order.product), order.product) if row else None
    closing = _closing(order, rests, net, sellable)
    return PositionFacts(net=net, sellable=sellable, closing=closing, as_of=as_of, drifted=row is not None, broker_net=there)


def _shares(order: Order, read_at: datetime, *, t1: bool) -> Decimal:
    """Shares in the depository and today's trades in them: as the broker told, and what was filled since. `t1`: those that come tomorrow, too.

    What was sold out of the depository today is told twice: as used there, and as a position below zero.
    """
    key = {"account_id": order.account_id, "exchange": order.exchange, "tradingsymbol": order.tradingsymbol}
    holding = BrokerHolding.objects.filter(**key).first()
    today = BrokerPosition.objects.filter(**key, product=order.product).values_list("net_qty", flat=True).first() or ZERO
    there = ZERO
    if holding is not None:
        used = max(holding.used_quantity - max(-today, ZERO), ZERO)
        there = holding.quantity - used + (holding.t1_quantity if t1 else ZERO)
    return there + today + _since(order, read_at, today)


def _since(order: Order, read_at: datetime, told: Decimal) -> Decimal:
    """Filled after the read; `told` is the day's net figure in it. A sale the desk heard of later may be in the read already: it counts twice
    rather than not at all.

    A purchase counts when it is surely later: by the broker's time, which knows no parts of a second, because its order left later, or because
    the broker told of nothing but what the desk had heard of by then. Else a stop that follows its entry at once would find nothing to close.
    """
    key = {"account_id": order.account_id, "instrument_id": order.instrument_id, "product": order.product}
    fills = [Told(*row) for row in Fill.objects.filter(**key, trading_day__gte=clock.trading_day(read_at)).values_list(*Told._fields)]
    as_known = told == sum((fill.signed for fill in fills if fill.seen_at < read_at), ZERO)
    return sum((fill.signed for fill in fills if fill.seen_at >= read_at and (fill.side == "SELL" or as_known or fill.is_after(read_at))), ZERO)


class Told(NamedTuple):
    """One fill: when the broker says it was, when the desk heard of it, when its order left."""

    side: str
    quantity: Decimal
    at: datetime
    seen_at: datetime
    order__sent_at: datetime | None

    @property
    def signed(self) -> Decimal:
        return self.quantity if self.side == "BUY" else -self.quantity

    def is_after(self, moment: datetime) -> bool:
        return self.at >= moment or (self.order__sent_at is not None and self.order__sent_at >= moment)


def _key(order: Order) -> tuple[int, int | None, str]:
    return order.account_id, order.instrument_id, order.product


def _beside(order: Order, book: Book) -> list[Working]:
    """Other orders of the same account, symbol and product that are or may be live."""
    return [other for other in book.working if (*other.key, other.product) == _key(order)]


def _closing(order: Order, rests: Iterable[tuple[str, Decimal]], net: Decimal, sellable: Decimal) -> Decimal:
    """What of the position is being closed already, all orders against it together."""
    against = "SELL" if net > 0 or (order.product in DELIVERY and sellable > 0) else "BUY" if net < 0 else ""
    return sum((rest for side, rest in rests if side == against), ZERO)


def _rests(order: Order, others: Iterable[Working]) -> list[tuple[str, Decimal]]:
    """Side and unfilled rest of each other order. Exits that cancel each other count once, and those of the order's own pair not at all.

    Resting exits of the order's own strategy make room before it leaves (`services.brackets.has_room`): it is not cut for them.
    """
    rests: list[tuple[str, Decimal]] = []
    pairs: dict[tuple[object, ...], tuple[str, Decimal]] = {}
    for other in others:
        own = (other.parent_id, other.covered) == (order.parent_id, order.covered)
        mine = own if order.source == Source.BRACKET else other.strategy_id == order.strategy_id
        if other.source != Source.BRACKET:
            rests.append((other.side, other.rest))
        elif not mine or order.source == Source.SQUARE_OFF or (order.source != Source.BRACKET and other.status in orderfsm.MAYBE_LIVE):
            pairs[other.family] = max((other.side, other.rest), pairs.get(other.family, (other.side, other.rest)))
    return rests + list(pairs.values())
