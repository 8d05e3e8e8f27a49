"""What the gate looks at and what it answers. Values only: no clock, no database, no network.

Quantities are units (shares, contract units), prices and values rupees, all Decimal; times are aware; ages are seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import cached_property

from tvapp.lib.money import ZERO, floor_to, on_step

D = Decimal
NEVER = timedelta.max
LARGEST_POWER = 30  # figures of 10^31 and more, or finer than 10^-30, are no prices or quantities


class Verdict(StrEnum):
    """Of a finding: all but ALLOW. Of a decision: ALLOW, CLAMP, REJECT, DEFER."""

    PASS = "PASS"  # noqa: S105
    WARN = "WARN"
    CLAMP = "CLAMP"
    REJECT = "REJECT"
    DEFER = "DEFER"
    SKIP = "SKIP"
    EXEMPT = "EXEMPT"
    ALLOW = "ALLOW"


class OrderClass(StrEnum):
    """ENTRY opens, EXIT only closes, FLIP closes everything and opens the other side."""

    ENTRY = "ENTRY"
    EXIT = "EXIT"
    FLIP = "FLIP"


def number(value: D | None) -> D | None:
    """The value when it is a figure the gate can count with; NaN, infinities and absurd powers of ten are no data."""
    if value is None or not value.is_finite() or value.adjusted() > LARGEST_POWER:
        return None
    exponent = value.as_tuple().exponent
    return value if isinstance(exponent, int) and exponent >= -LARGEST_POWER else None


def positive(value: D | None) -> D | None:
    """The value when it is a usable figure above zero."""
    known = number(value)
    return known if known is not None and known > 0 else None


@dataclass(frozen=True, slots=True)
class OrderIntent:
    """What somebody wants done. `mode` is AUTO, MANUAL or SQUARE_OFF; `ref_price` the price at the alert.

    `side` BUY|SELL; `order_type` MARKET|LIMIT|SL|SL_M; `product` CNC|MIS|NRML; a `reduce_only` order may close but never open.
    """

    account: str
    strategy: str
    symbol: str
    exchange: str
    product: str
    side: str
    order_type: str
    quantity: D
    price: D | None = None
    trigger_price: D | None = None
    ref_price: D | None = None
    mode: str = "AUTO"
    reduce_only: bool = False
    received_at: datetime = field(kw_only=True)
    fired_at: datetime | None = field(default=None, kw_only=True)
    off_hours: str = field(default="OFF", kw_only=True)  # OFF, AMO or GTT: what becomes of it when the market is closed
    asked: D | None = field(default=None, kw_only=True)  # quantity before the gate cut it, where `quantity` is what was left; None: `quantity`


@dataclass(frozen=True, slots=True)
class Limits:
    """One row of limits. It applies when GLOBAL, or when `target` is the intent's account or strategy, or is empty.

    `values`: parameter name -> figure (Decimal, int or text), yes/no, or list of symbols; None, "" and [] add nothing.
    """

    scope: str
    target: str = ""
    clamp_mode: str = "REJECT"
    values: Mapping[str, object] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """`GLOBAL`, `STRATEGY:breakout`: how findings name the row."""
        return f"{self.scope}:{self.target}" if self.target else self.scope

    def matches(self, intent: OrderIntent) -> bool:
        """A row of an unknown scope applies too: a limit must not vanish through a typing error."""
        own = {"ACCOUNT": intent.account, "STRATEGY": intent.strategy}.get(self.scope)
        return own is None or self.target in ("", own)


@dataclass(frozen=True, slots=True)
class InstrumentFacts:
    """`kind` EQ|FUT|CE|PE|IDX. `resolved` False or a `reason` (an INSTRUMENT_* code) means there is not exactly one usable row.

    `multiplier`: rupees of one unit per point of price; other than 1 (None) for some commodities and currencies.
    """

    symbol: str
    exchange: str
    kind: str
    tick: D | None
    lot: D | None
    freeze: D | None = None
    expiry: date | None = None
    provisional: bool = False
    resolved: bool = True
    reason: str = ""
    version: str = ""
    as_of: datetime | None = None
    min_quantity: D | None = None
    min_notional: D | None = None
    multiplier: D | None = None


@dataclass(frozen=True, slots=True)
class PositionFacts:
    """Signed `net`; `sellable` = holdings + today's CNC, for CNC sells; `closing` = rest of live, reserved and unresolved orders against it.

    `drifted`: two reads in a row showed another quantity at the broker, `broker_net`, than ours.
    """

    net: D
    sellable: D = ZERO
    closing: D = ZERO
    as_of: datetime | None = None
    drifted: bool = False
    broker_net: D | None = None


def countable(position: PositionFacts | None) -> PositionFacts | None:
    """The position when all its figures are usable."""
    if position is None or None in (number(position.net), number(position.sellable), number(position.closing)):
        return None
    return position


@dataclass(frozen=True, slots=True)
class OrdersFacts:
    """`unresolved`: orders on this symbol in UNKNOWN or NEEDS_REVIEW."""

    unresolved: int
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True)
class Quote:
    """The best price there is, and where it comes from: QUOTE, MARK (of an open position) or ALERT.

    `independent`: it comes from a feed or the broker, so it can judge an alert's own price; a MARK on paper without a feed does not.
    """

    ltp: D | None
    bid: D | None = None
    ask: D | None = None
    source: str = "QUOTE"
    as_of: datetime | None = None
    independent: bool = True


@dataclass(frozen=True, slots=True)
class StateFacts:
    """Effective trading state with the scope and reason that set it, account gate, switches. None = not known = no."""

    state: str | None
    scope: str = "GLOBAL"
    reason: str = ""
    account_state: str | None = None
    account_enabled: bool | None = None
    strategy_enabled: bool | None = None
    live_allowed: bool | None = None
    live_word: str = ""  # why live is not allowed, where it is not the environment that says so
    armed: bool | None = None
    refusal: str = ""  # what the broker refused the strategy last, until a person acknowledges it
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True)
class FundsFacts:
    """Money of the account in rupees. `available` is what new orders may use, what is reserved already taken off.

    `margin` is what the broker's own margin call says this whole order needs; None where there was none. `asked_later`: this is advice, and the
    broker is asked right before the order leaves.
    """

    available: D | None
    margin: D | None = None
    margin_at: datetime | None = None
    as_of: datetime | None = None
    asked_later: bool = False


# What is read only where a limit of the group is set: the day's result, the day's closed trades, the best equity.
RESULT = frozenset({"max_daily_loss"})
TRADES = frozenset({"max_loss_streak", "cooldown_minutes", "cooldown_after_loss"})
EQUITY = frozenset({"max_drawdown_pct"})


@dataclass(frozen=True, slots=True)
class ScopeFacts:
    """What one scope has under way and did today, this order not counted. Paper and live never mix.

    "Working" is live, reserved (SENDING) and unresolved. Values in rupees: `net_value` the signed position in this symbol at its mark,
    `buys` and `sells` the rest of working orders in it at their prices, `others` the exposure of all other symbols.
    `unpriced` positions have no usable mark, so no exposure can be worked out; None anywhere: not known.
    """

    open_symbols: int | None = 0  # with a projected quantity other than 0
    holds_symbol: bool = False  # this symbol is among them
    open_orders: int | None = 0
    orders_minute: int | None = 0
    orders_day: int | None = 0
    repeats_minute: int | None = 0  # same symbol, side, quantity and price
    symbol_trades_day: int | None = 0
    lots_day: D | None = ZERO  # of derivatives, opened or reserved today
    bars_since_entry: D | None = None  # of the strategy's timeframe, since its last entry in this symbol; None: no entry, or no timeframe
    bars_known: bool = True  # False: there was an entry, but nothing says how many bars ago
    closed_s_ago: D | None = None  # since the last trade of the scope was closed; None: none today
    loss_s_ago: D | None = None  # since the last one closed at a loss
    loss_streak: int | None = 0  # losing trades in a row, today
    net_value: D | None = ZERO
    buys: D | None = ZERO
    sells: D | None = ZERO
    others: D | None = ZERO
    unpriced: int = 0
    realised: D | None = ZERO  # of the day
    unrealised: D | None = ZERO
    charges: D | None = ZERO
    marks_stale: int = 0  # open positions whose mark is too old for the day's result
    estimated: bool = False  # the result rests on prices that are no quotes (paper without a feed) or on a missing previous close
    drawdown_pct: D | None = None  # below the best equity so far; None: no equity is known

    @property
    def day_pnl(self) -> D | None:
        """Realised + unrealised - charges of the trading day."""
        parts = number(self.realised), number(self.unrealised), number(self.charges)
        return None if None in parts else parts[0] + parts[1] - parts[2]  # type: ignore[operator]


@dataclass(frozen=True, slots=True)
class Counters:
    """The facts of each scope that applies, by its label (`GLOBAL`, `ACCOUNT:paper`, `STRATEGY:breakout`).

    `last_signal_at` is the newest fire time of this strategy and symbol that was acted upon before.
    """

    scopes: Mapping[str, ScopeFacts] = field(default_factory=dict)
    last_signal_at: datetime | None = None
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """The market of this order now. `open` None: the date is outside the maintained calendar. `always`: it never closes (24x7)."""

    exchange: str
    open: bool | None
    opens_at: datetime | None = None  # of today's session
    closes_at: datetime | None = None
    next_open: datetime | None = None
    always: bool = False
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything a decision may look at, as of `now`; None = missing. `environment` is PAPER, SIM or LIVE."""

    now: datetime
    environment: str
    instrument: InstrumentFacts | None = None
    position: PositionFacts | None = None
    orders: OrdersFacts | None = None
    funds: FundsFacts | None = None
    quote: Quote | None = None
    counters: Counters | None = None
    states: StateFacts | None = None
    sessions: SessionFacts | None = None

    @property
    def paper(self) -> bool:
        """On paper everything but quotes is local and always fresh."""
        return self.environment == "PAPER"

    def age(self, at: datetime | None) -> timedelta:
        """How long before `now`; a datum without a time is as old as can be. Negative: ahead of the clock."""
        return NEVER if at is None else self.now - at


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule said for one scope. `limit` and `actual` are texts in `unit` (qty, INR, s or empty).

    CLAMP carries the quantity asked (`before`) and what this row alone would leave of it (`after`).
    """

    rule: str
    code: str
    scope: str
    limit: str
    actual: str
    unit: str
    verdict: str
    before: D | None = None
    after: D | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """ALLOW, CLAMP, REJECT or DEFER. `final` is what may be sent: 0 for the last two. `code` is empty on ALLOW."""

    verdict: str
    code: str
    final: D
    order_class: str
    findings: tuple[Finding, ...]
    sentence: str


@dataclass(frozen=True)
class Case:
    """One order as the rules see it, the facts they share worked out once. Made by the engine."""

    intent: OrderIntent
    snapshot: Snapshot
    rows: tuple[Limits, ...]  # the ones that match, GLOBAL first
    requested: D
    closable: D  # what an order of this side can still close
    tick: D | None
    lot: D | None
    price: D | None  # of one unit, without buffer
    reference: D | None
    source: str  # of the reference: QUOTE, MARK, ALERT; ORDER when there is none
    unit_value: D | None  # of one unit, worst case

    @cached_property
    def position(self) -> PositionFacts | None:
        """None when not known, or not in figures one can count with."""
        return countable(self.snapshot.position)

    @cached_property
    def quantity(self) -> D:
        """The quantity judged: a reduce-only order never asks for more than can be closed."""
        return min(self.requested, self.closable) if self.intent.reduce_only else self.requested

    @cached_property
    def asked(self) -> D:
        """The quantity before any cut, so that a rule that halves does not halve its own half again."""
        quantity = positive(self.intent.quantity) or ZERO
        return max(positive(self.intent.asked) or ZERO, quantity)

    @cached_property
    def reduce(self) -> D:
        return min(self.quantity, self.closable)

    @cached_property
    def open(self) -> D:
        return self.quantity - self.reduce

    @cached_property
    def order_class(self) -> OrderClass:
        if self.intent.reduce_only or (self.reduce > 0 and not self.open):
            return OrderClass.EXIT
        return OrderClass.FLIP if self.reduce > 0 else OrderClass.ENTRY

    @cached_property
    def exit(self) -> bool:
        return self.order_class is OrderClass.EXIT

    @property
    def square_off(self) -> bool:
        return self.intent.mode == "SQUARE_OFF" and self.intent.reduce_only

    @property
    def full_close(self) -> bool:
        """Exactly everything that can be closed: the exchange takes that odd lot."""
        return 0 < self.quantity == self.closable

    @property
    def smallest(self) -> D:
        """The least quantity an order may have here."""
        known = self.snapshot.instrument
        return max(self.lot or ZERO, (positive(known.min_quantity) if known else None) or ZERO)

    def on_grid(self, quantity: D) -> bool:
        return on_step(quantity, self.lot or ZERO)

    def enough(self, quantity: D) -> bool:
        """Neither below the least quantity nor below the least value; an exit without a price is not held up by its value."""
        known = self.snapshot.instrument
        least = positive(known.min_notional) if known else None
        if least is None or (self.price is None and self.exit):
            return quantity >= self.smallest
        return quantity >= self.smallest and self.price is not None and quantity * self.price >= least

    def cut(self, room: D) -> D:
        """The largest sendable quantity whose opening part is within `room`; 0 when there is none.

        Falls back to closing everything there is: that part never needs room, and its odd lot is welcome.
        Growing with `room`, so that a tighter limit can never let more through.
        """
        full = self.reduce if self.reduce == self.closable else ZERO
        grid = floor_to(self.reduce + min(self.open, room), self.lot or ZERO)
        return grid if grid >= full and grid > 0 and self.enough(grid) else full

    def at(self, quantity: D) -> "Case":
        """The same order with another quantity."""
        return replace(self, requested=quantity)
