"""What is held in one book (paper or live), and what a unit of it is worth now."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple, TypeVar

from django.db.models import QuerySet

from brokers.models import BrokerAccount, BrokerHolding, BrokerPosition, Environment, Instrument, Quote
from trading.models import Fill, Order, Position
from tvapp.lib import clock
from tvapp.lib.money import ZERO

FRESH = timedelta(seconds=60)
AHEAD = timedelta(seconds=30)  # as much may a broker's clock be before ours
QUOTE, MARK, FILL, LAST = "QUOTE", "MARK", "FILL", "LAST"
T = TypeVar("T")


class Mark(NamedTuple):
    """`source`: QUOTE (a fresh price of the desk), MARK (the broker's own, of its last report), FILL (of what was just opened),
    LAST (the newest there is, however old).

    `independent`: not from an alert or a fill of ours, so it can judge an alert's price. A LAST one only estimates.
    """

    price: Decimal
    source: str
    at: datetime | None
    independent: bool

    @property
    def estimated(self) -> bool:
        return self.source == LAST


class Spot(NamedTuple):
    """What a row says about its account, its instrument and the last price; `SPOT` are its columns."""

    account_id: int
    instrument_id: int
    environment: str
    broker: str
    quote_source: str
    exchange: str
    symbol: str
    multiplier: Decimal
    ltp: Decimal | None
    source: str | None
    at: datetime | None
    close: Decimal | None  # of the day before that price


SPOT = (
    "account_id", "instrument_id", "account__environment", "account__broker", "account__quote_source", "instrument__exchange",
    "instrument__tradingsymbol", "instrument__multiplier", "instrument__quote__ltp", "instrument__quote__source", "instrument__quote__at",
    "instrument__quote__close",
)  # fmt: skip


OWN = ("strategy_id", "product", "quantity", "average", "realised", "id")


class Held(NamedTuple):
    """One position that is not flat, with its mark; None: no price of it is known that may be used."""

    spot: Spot
    strategy_id: int | None
    product: str
    quantity: Decimal
    average: Decimal
    realised: Decimal
    mark: Mark | None
    id: int = 0  # of the position

    @property
    def value(self) -> Decimal | None:
        """Signed, at its mark."""
        return None if self.mark is None else self.quantity * self.mark.price * self.spot.multiplier


class Filled(NamedTuple):
    """A fill of the last minute."""

    instrument_id: int
    strategy_id: int | None
    product: str
    side: str
    quantity: Decimal
    price: Decimal
    at: datetime


class Prices:
    """Marks of one book at one moment; what the rows do not carry is read once, when it is first asked for.

    Paper has no broker that prices its positions, and another simulated account may be logged out for days: there the newest price counts,
    however old, and what it cost when there never was one. Everywhere else a price older than a minute is none.
    """

    def __init__(self, simulated: bool, now: datetime, account_id: int) -> None:
        self.simulated, self.now, self.account_id = simulated, now, account_id
        self._theirs: dict[tuple[int, str, str], tuple[Decimal, datetime]] | None = None
        self._alerts: Mapping[int, Decimal] | None = None
        self._filled: dict[int, list[Filled]] = {}

    def mark(self, spot: Spot, cost: Decimal | None = None) -> Mark | None:
        """The first usable: a fresh quote, the broker's price, and where that is enough the newest quote, alert or `cost`."""
        usable = spot.ltp is not None and Quote.serves(spot, spot)  # a row of columns has all it looks at
        if usable and self._fresh(spot.at):
            return Mark(spot.ltp, QUOTE, spot.at, spot.source != Quote.Source.ALERT)
        if spot.broker != "paper" and (found := self.theirs.get((spot.account_id, spot.exchange, spot.symbol))) and self._fresh(found[1]):
            return Mark(found[0], MARK, found[1], True)
        if not self.simulated or (spot.environment != Environment.PAPER and spot.account_id == self.account_id):
            return None
        if usable:
            return Mark(spot.ltp, LAST, spot.at, False)
        price = self.alerts.get(spot.instrument_id) or cost
        return Mark(price, LAST, None, False) if price else None

    def opened(self, spot: Spot, strategy_id: int | None, product: str, quantity: Decimal) -> Mark | None:
        """What a position was just opened at, until its first quote comes. None when any part of it is older than a minute."""
        if spot.broker == "paper":
            return None
        mine = [f for f in self._filled_at(spot.account_id) if f[:3] == (spot.instrument_id, strategy_id, product)]
        if not mine or sum((f.quantity if f.side == "BUY" else -f.quantity for f in mine), ZERO) != quantity:
            return None
        return Mark(mine[-1].price, FILL, mine[-1].at, False)

    def _filled_at(self, account_id: int) -> list[Filled]:
        if account_id not in self._filled:
            lately = Fill.objects.filter(account_id=account_id, at__gte=self.now - FRESH, at__lte=self.now + AHEAD).order_by("at", "id")
            self._filled[account_id] = [Filled(*row) for row in lately.values_list(*Filled._fields)]
        return self._filled[account_id]

    def _fresh(self, at: datetime | None) -> bool:
        return at is not None and -AHEAD <= self.now - at <= FRESH

    @property
    def theirs(self) -> Mapping[tuple[int, str, str], tuple[Decimal, datetime]]:
        """The brokers' own last prices, by account and symbol."""
        if self._theirs is None:
            fresh = {"ltp__gt": 0, "at__gte": self.now - FRESH, "account__environment": Environment.SIM if self.simulated else Environment.LIVE}
            self._theirs = {}
            for model in (BrokerHolding, BrokerPosition):
                for account, *name, ltp, at in model.objects.filter(**fresh).values_list("account_id", "exchange", "tradingsymbol", "ltp", "at"):
                    self._theirs[account, *name] = ltp, at
        return self._theirs

    @property
    def alerts(self) -> Mapping[int, Decimal]:
        """The price of the newest alert of each instrument that was acted upon today, on paper."""
        if self._alerts is None:
            since = clock.day_start(clock.trading_day(self.now))
            sent = Order.objects.filter(simulated__in=[True], sent_at__gte=since, ref_price__gt=0, account__environment=Environment.PAPER)
            self._alerts = dict(sent.order_by("sent_at").values_list("instrument_id", "ref_price"))  # the last one of each stays
        return self._alerts


def positions(simulated: bool) -> QuerySet[Position]:
    """The positions of one book that are not flat."""
    return of_book(Position.objects.exclude(quantity=0), simulated)


def of_book(rows: QuerySet, simulated: bool) -> QuerySet:
    """Those of the rows whose account belongs to the book."""
    live = {"account__environment": Environment.LIVE}
    return rows.exclude(**live) if simulated else rows.filter(**live)


def spot_of(account: BrokerAccount, traded: Instrument) -> Spot:
    """The same from the rows themselves; `traded` is read with its quote."""
    quote = getattr(traded, "quote", None)
    price = (quote.ltp, quote.source, quote.at, quote.close) if quote else (None, None, None, None)
    whose = account.pk, traded.pk, account.environment, account.broker, account.quote_source
    return Spot(*whose, traded.exchange, traded.tradingsymbol, traded.multiplier, *price)


_kept: ContextVar[dict[Hashable, object] | None] = ContextVar("kept", default=None)


@contextmanager
def read_once() -> Iterator[None]:
    """For a page that has many orders judged at one moment: what they have in common is read once. Never in a claim."""
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


def once(key: Hashable, read: Callable[[], T]) -> T:
    """What `read` gives; within `read_once` what it gave for this key before."""
    kept = _kept.get()
    if kept is None:
        return read()
    if key not in kept:
        kept[key] = read()
    return kept[key]


def held(prices: Prices) -> list[Held]:
    """Everything the book holds, in every account and strategy of it."""
    return once(("held", prices.simulated, prices.account_id), lambda: _read(prices))


def _read(prices: Prices) -> list[Held]:
    return [_held(prices, row) for row in positions(prices.simulated).values_list(*SPOT, *OWN)]


def _held(prices: Prices, row: Iterable) -> Held:
    *columns, strategy, product, quantity, average, realised, pk = row
    spot = Spot(*columns)
    mark = prices.mark(spot, average) or prices.opened(spot, strategy, product, quantity)
    return Held(spot, strategy, product, quantity, average, realised, mark, pk)
