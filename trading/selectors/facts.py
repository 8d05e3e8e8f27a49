"""What is under way and what was done today, by scope: the figures that limits over many orders are held against.

Read inside the claim's transaction, behind the ledgers, so that what a parallel claim reserved is counted. The order itself never counts.
Paper (PAPER and SIM) and live are separate books. An order cut into slices counts as one order, a stop and its target as one, too.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import NamedTuple

from django.db.models import Count, Max, Q, QuerySet

from brokers.models import Environment
from risk.types import EQUITY, RESULT, TRADES, Counters, ScopeFacts
from trading.domain import orderfsm, timeframe
from trading.domain.orderfsm import State
from trading.models import Order, OrderType, Pending, Role, Source
from trading.selectors import drift, marks
from trading.selectors.marks import Held, Mark, Prices, Spot, once
from trading.selectors.results import Results
from tvapp.lib import clock
from tvapp.lib.money import ZERO
from tvapp.models import DeskSettings

WORKING = [*orderfsm.LIVE, *orderfsm.MAYBE_LIVE]
# a slice's room was reserved with the order it was cut from; written so that the index on the status serves
RESERVED = Q(status__in=[*WORKING, State.QUEUED]) & ~Q(status=State.QUEUED, role="")
DERIVATIVES = ("FUT", "CE", "PE")
MINUTE = timedelta(seconds=60)
LATELY = timedelta(days=2)  # an alert fired before that is dead, so nothing it could come after matters
NEWEST = 20
HUNDRED = Decimal(100)

Key = tuple[int, int | None]  # account, instrument


class Working(NamedTuple):
    """The columns of an order that is or may become live."""

    spot: Spot
    id: int
    strategy_id: int | None
    side: str
    quantity: Decimal
    filled: Decimal
    order_type: str
    price: Decimal | None
    trigger_price: Decimal | None
    ref_price: Decimal | None
    average: Decimal | None
    reduce_only: bool
    source: str
    role: str
    parent_id: int | None
    covered: Decimal
    pending: str
    wanted: Mapping[str, str]
    status: str
    product: str

    @property
    def key(self) -> Key:
        return self.spot.account_id, self.spot.instrument_id

    @property
    def family(self) -> tuple[object, ...]:
        """Orders that count as one."""
        if self.source == Source.BRACKET:
            return self.parent_id, self.covered
        return (self.parent_id if self.role == Role.SLICE else self.id,)

    @property
    def rest(self) -> Decimal:
        """What may still fill; until the broker confirms a change the larger of old and new."""
        return max(self._larger("quantity", self.quantity) or ZERO, ZERO) - self.filled

    def _larger(self, name: str, now: Decimal | None) -> Decimal | None:
        asked = self.wanted.get(name) if self.pending == Pending.MODIFY else None
        return max(now or ZERO, Decimal(asked)) if asked else now

    def unit(self, mark: Mark | None, buffer: Decimal) -> Decimal | None:
        """Rupees of one unit in the worst case, as the gate values a new order; None when no price is known."""
        known = (mark.price if mark else None) or self.ref_price or self.average
        price, trigger = self._larger("price", self.price), self._larger("trigger_price", self.trigger_price)
        if self.order_type == OrderType.LIMIT or (self.order_type == OrderType.MARKET and price):
            return price if self.side == "BUY" or price is None else max(price, known or ZERO)
        base = {OrderType.SL: price, OrderType.SL_M: trigger}.get(self.order_type, known)
        return None if base is None else base * buffer


COLUMNS = (
    "id", "strategy_id", "side", "quantity", "filled_quantity", "order_type", "price", "trigger_price", "ref_price", "average_price", "reduce_only",
    "source", "role", "parent_id", "covered", "pending_action", "pending_changes", "status", "product",
)  # fmt: skip


class Scope(NamedTuple):
    """One scope that applies to an order; None for account and strategy: all of them."""

    label: str
    account_id: int | None = None
    strategy_id: int | None = None

    @property
    def key(self) -> str:
        """`ACCOUNT:3`: how states, trips and results name it."""
        return f"STRATEGY:{self.strategy_id}" if self.strategy_id else f"ACCOUNT:{self.account_id}" if self.account_id else "GLOBAL"

    def keeps(self, account_id: int, strategy_id: int | None) -> bool:
        return self.account_id in (None, account_id) and self.strategy_id in (None, strategy_id)


def scopes(order: Order) -> list[Scope]:
    """The scopes of an order, labelled as the limit rows are."""
    found = [Scope("GLOBAL"), Scope(f"ACCOUNT:{order.account.name}", account_id=order.account_id)]
    return [*found, Scope(f"STRATEGY:{order.strategy.name}", strategy_id=order.strategy_id)] if order.strategy_id else found


def counters(
    order: Order, now: datetime, price: Decimal | None = None, asked: Collection[str] | None = None, book: "Book | None" = None,
) -> Counters:  # fmt: skip
    """The facts of each scope of the order. `price` is the one it would be sent at, when that is not its own; `book` when it was read before.

    `asked` names the limits that are set for it, so that results nobody asks for are not read; None: all of them.
    """
    book, sent = book or Book(order, now), Sent(order, now, order.price if price is None else price)
    day = once(("day", order.simulated, order.account_id), lambda: Results(now, order.simulated, prices=book.prices, held=book.held))
    facts = {scope.label: ScopeFacts(**book.facts(scope), **sent.facts(scope), **of_day(day, scope, asked)) for scope in scopes(order)}
    return Counters(scopes=facts, last_signal_at=sent.last_signal_at, as_of=now)


def of_day(day: Results, scope: Scope, asked: Collection[str] | None) -> dict[str, object]:
    """The day's result of one scope, its closed trades and the fall from its best equity, as far as a limit looks at them."""
    wants = [asked is None or not names.isdisjoint(asked) for names in (RESULT, TRADES, EQUITY)]
    if not any(wants):
        return {}
    found = day.of(scope.key, trades=wants[1], equity=wants[2])
    return {
        "realised": found.realised, "unrealised": found.unrealised, "charges": found.charges, "marks_stale": found.marks_stale,
        "estimated": found.estimated, "loss_streak": found.loss_streak, "closed_s_ago": _ago(day.now, found.closed_at),
        "loss_s_ago": _ago(day.now, found.lost_at), "drawdown_pct": found.drawdown_pct,
    }  # fmt: skip


def _ago(now: datetime, at: datetime | None) -> Decimal | None:
    """Seconds since then; a fill the broker dates ahead of our clock has just happened."""
    return None if at is None else max(ZERO, Decimal(str((now - at).total_seconds())))


# --- under way --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Weight:
    """One symbol in one account, in rupees: what is held at its mark, and what resting orders would add on each side. None: not known."""

    net: Decimal | None
    buys: Decimal | None
    sells: Decimal | None
    opens: bool  # something is held, or may be soon

    @property
    def exposure(self) -> Decimal | None:
        """The worse of the two sides filling alone."""
        if self.net is None or self.buys is None or self.sells is None:
            return None
        return max(abs(self.net + self.buys), abs(self.net - self.sells))


NOTHING = Weight(ZERO, ZERO, ZERO, opens=False)


class Book:
    """What one book (paper or live) holds and has resting at this moment, without the order that is asked about."""

    def __init__(self, order: Order, now: datetime) -> None:
        self.own = order.account_id, order.instrument_id
        self.prices = once(("prices", order.simulated, order.account_id), lambda: Prices(order.simulated, now, order.account_id))
        self.buffer = 1 + DeskSettings.current().market_buffer_pct / HUNDRED
        self.family = (order.parent_id if order.role == Role.SLICE else order.pk,)
        self._units: dict[int, Decimal | None] = {}
        self.working = working(order)
        self.held = marks.held(self.prices)
        local = order.account_id is not None and order.account.environment == Environment.PAPER  # nothing is held past the desk there
        self.unbooked = [] if local else once(("unbooked", order.simulated, order.account_id), lambda: drift.unbooked(self.prices))

    def facts(self, scope: Scope) -> dict[str, object]:
        """Open symbols, open orders and exposures of one scope."""
        weights = self.weights(scope)
        own = weights.get(self.own, NOTHING)
        here = [w.exposure for key, w in weights.items() if key[1] == self.own[1] and key != self.own]
        others = [w.exposure for key, w in weights.items() if key[1] != self.own[1]]
        beside = _sum(here)  # the same symbol in other accounts: it does not net against this one
        symbols = {key[1] for key, weight in weights.items() if weight.opens}
        families = {w.family for w in self.working if scope.keeps(w.spot.account_id, w.strategy_id)} - {self.family}
        return {
            "open_symbols": len(symbols), "holds_symbol": self.own[1] in symbols, "open_orders": len(families),
            "net_value": own.net, "buys": _sum([own.buys, beside]), "sells": _sum([own.sells, beside]), "others": _sum(others),
            "unpriced": [own.exposure, *here].count(None),  # of this symbol; those of the others make `others` unknown
        }  # fmt: skip

    def weights(self, scope: Scope) -> dict[Key, Weight]:
        held: dict[Key, list[Held]] = {}
        resting: dict[Key, list[Working]] = {}
        for position in (*self.held, *self.unbooked):
            if scope.keeps(position.spot.account_id, position.strategy_id):
                held.setdefault((position.spot.account_id, position.spot.instrument_id), []).append(position)
        for order in self.working:
            if scope.keeps(order.spot.account_id, order.strategy_id):
                resting.setdefault(order.key, []).append(order)
        return {key: self._weight(held.get(key, []), resting.get(key, [])) for key in {*held, *resting}}

    def _weight(self, held: list[Held], resting: list[Working]) -> Weight:
        net = _sum(position.value for position in held)
        buys, sells = (self._added(net, resting, side) for side in ("BUY", "SELL"))
        return Weight(net, buys, sells, opens=bool(held) or any(not order.reduce_only for order in resting))

    def _added(self, net: Decimal | None, resting: list[Working], side: str) -> Decimal | None:
        """Of one side: entries in full, exits at most what then is still there to close."""
        mine = [order for order in resting if order.side == side]
        entries = _sum(self._value(order) for order in mine if not order.reduce_only)
        pairs: dict[tuple[object, ...], Decimal] = {}
        for order in mine:
            if order.reduce_only:
                pairs[order.family] = max(pairs.get(order.family, ZERO), self._value(order) or ZERO)
        if entries is None or net is None or not pairs:
            return entries
        left = (net if side == "SELL" else -net) - entries
        return entries + min(sum(pairs.values(), ZERO), max(left, ZERO))

    def unit(self, order: Working) -> Decimal | None:
        """Rupees of one unit of a resting order, in the worst case."""
        if order.id not in self._units:
            self._units[order.id] = order.unit(self.prices.mark(order.spot), self.buffer)
        return self._units[order.id]

    def _value(self, order: Working) -> Decimal | None:
        unit = self.unit(order)
        return None if unit is None else order.rest * unit * order.spot.multiplier


def working(order: Order) -> list[Working]:
    """All orders of the order's book that rest, are reserved or have no known outcome, whoever placed them; without the order itself."""
    found = once(("working", order.simulated), lambda: rows(Order.objects.filter(RESERVED, simulated=order.simulated)))
    return [other for other in found if other.id != order.pk]


def rows(orders: QuerySet[Order]) -> list[Working]:
    split = len(marks.SPOT)
    return [Working(Spot(*row[:split]), *row[split:]) for row in orders.values_list(*marks.SPOT, *COLUMNS)]


def _sum(values: Iterable[Decimal | None]) -> Decimal | None:
    """None as soon as one of them is not known."""
    total = ZERO
    for value in values:
        if value is None:
            return None
        total += value
    return total


# --- sent -------------------------------------------------------------------------------------------------------


class Sends(NamedTuple):
    """What one strategy of one account sent."""

    account_id: int
    strategy_id: int | None
    day: int
    minute: int


class Trades(NamedTuple):
    """The same of one symbol: equal orders of the last minute, entries of the day, the newest alert."""

    account_id: int
    strategy_id: int | None
    repeats: int
    entries: int
    fired_at: datetime | None


class Entry(NamedTuple):
    """One of the last orders of a strategy in a symbol."""

    sent_at: datetime
    reported_at: datetime | None
    status: str
    filled_quantity: Decimal
    decision__order_class: str | None

    @property
    def opened(self) -> bool:
        return self.decision__order_class != "EXIT" and (self.filled_quantity > 0 or self.status in WORKING)

    @property
    def at(self) -> datetime:
        """When it was sent, or filled later than that."""
        return max(self.sent_at, self.reported_at or self.sent_at) if self.filled_quantity else self.sent_at


OPENED = ~Q(decision__order_class="EXIT") & (Q(filled_quantity__gt=0) | Q(status__in=WORKING))  # it opened something, or still may


class Sent:
    """What left the desk: own orders whose attempt at a broker began, exits and refused ones too. Slices are part of what they were cut from.

    Counted by the database: a symbol may see hundreds of orders a day, and each claim asks.
    """

    def __init__(self, order: Order, now: datetime, price: Decimal | None) -> None:
        self.order, self.now, self.price = order, now, price
        self.day, self.minute = clock.day_start(clock.trading_day(now)), now - MINUTE
        self.whole = order.parent if order.role == Role.SLICE and order.parent else order
        self.sends, self.trades = once(("sends", order.simulated), self._sends), self._trades()

    def facts(self, scope: Scope) -> dict[str, object]:
        """Rates and trades of one scope."""
        sends = [row for row in self.sends if scope.keeps(row.account_id, row.strategy_id)]
        trades = [row for row in self.trades if scope.keeps(row.account_id, row.strategy_id)]
        day, minute = sum(row.day for row in sends), sum(row.minute for row in sends)
        return {
            "orders_day": day - self._own(self.day), "orders_minute": minute - self._own(self.minute),
            "repeats_minute": sum(row.repeats for row in trades), "symbol_trades_day": sum(row.entries for row in trades),
            "lots_day": self._lots(scope), "bars_since_entry": self.bars_since_entry, "bars_known": self.bars_known,
        }  # fmt: skip

    def _own(self, since: datetime) -> bool:
        """Whether the order was tried before: it never counts against itself."""
        return self.whole.sent_at is not None and self.whole.sent_at >= since

    def _rows(self, since: datetime) -> QuerySet[Order]:
        book = [self.order.simulated]  # IN, because no index serves a bare column
        return Order.objects.filter(simulated__in=book, sent_at__gte=since).exclude(role=Role.SLICE)

    def _sends(self) -> list[Sends]:
        rows = self._rows(min(self.day, self.minute)).values_list("account_id", "strategy_id")
        spans = {name: Count("sent_at", filter=Q(sent_at__gte=since)) for name, since in (("today", self.day), ("last", self.minute))}
        return [Sends(*row) for row in rows.annotate(**spans)]

    def _trades(self) -> list[Trades]:
        """`fired_at` looks further back than the day: an alert is dead after that."""
        rows = self._rows(min(self.now - LATELY, self.day)).filter(instrument_id=self.order.instrument_id).exclude(pk=self.whole.pk)
        counts = {"same": Count("pk", filter=self._repeat), "entries": Count("pk", filter=OPENED & Q(sent_at__gte=self.day))}
        return [Trades(*row) for row in rows.values_list("account_id", "strategy_id").annotate(**counts, newest=Max("fired_at"))]

    @property
    def _repeat(self) -> Q:
        """The same once more. A market order has no price of its own, whatever it was limited to."""
        order = self.order
        same = Q(sent_at__gte=self.minute, side=order.side, order_type=order.order_type, requested_quantity=order.requested_quantity)
        return same if order.order_type == OrderType.MARKET else same & Q(price=self.price, trigger_price=order.trigger_price)

    def _lots(self, scope: Scope) -> Decimal:
        return sum((lots for account, strategy, lots in self.lots if scope.keeps(account, strategy)), ZERO)

    @cached_property
    def lots(self) -> list[tuple[int, int | None, Decimal]]:
        """Account, strategy and lots of every contract order of today that opened something or still may; asked for contracts only."""
        order = self.order
        if order.instrument is None or order.instrument.kind not in DERIVATIVES:
            return []
        rows = Order.objects.filter(Q(sent_at__gte=self.day) | RESERVED, simulated__in=[order.simulated], instrument__kind__in=DERIVATIVES)
        rows = rows.exclude(pk=order.pk).exclude(source=Source.EXTERNAL).exclude(reduce_only=True).exclude(decision__order_class="EXIT")
        found = rows.values_list("account_id", "strategy_id", "status", "quantity", "filled_quantity", "instrument__lot")
        return [(a, s, (f if status in orderfsm.ENDED else q or ZERO) / (lot or 1)) for a, s, status, q, f, lot in found]

    @property
    def last_signal_at(self) -> datetime | None:
        """The newest fire time among orders of this strategy and symbol that left lately."""
        mine = [row for row in self.trades if row.strategy_id and row.strategy_id == self.order.strategy_id]
        return max((row.fired_at for row in mine if row.fired_at), default=None)

    @cached_property
    def entry(self) -> Entry | None:
        """The last order of the strategy in this symbol that opened something."""
        mine = Order.objects.filter(strategy_id=self.order.strategy_id, instrument_id=self.order.instrument_id, sent_at__isnull=False)
        newest = mine.exclude(pk=self.whole.pk).order_by("-sent_at").values_list(*Entry._fields)[:NEWEST] if self.order.strategy_id else []
        return next((entry for row in newest if (entry := Entry(*row)).opened), None)

    @cached_property
    def bars_since_entry(self) -> Decimal | None:
        """Bars of the strategy's timeframe since its last entry in this symbol was sent, or filled later than that."""
        bar = timeframe.bar_seconds(self.order.strategy.timeframe) if self.order.strategy_id else None
        if bar is None or self.entry is None:
            return None
        return round(Decimal((self.now - self.entry.at) / timedelta(seconds=bar)), 4)

    @property
    def bars_known(self) -> bool:
        """Whether bars can be counted: the strategy says its timeframe, or entered nothing there today."""
        mine = [row for row in self.trades if row.strategy_id == self.order.strategy_id and row.entries]
        return not mine or bool(self.order.strategy_id and timeframe.bar_seconds(self.order.strategy.timeframe))
