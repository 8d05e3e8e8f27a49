"""The words every broker is translated into. Values only: nothing here knows a broker, a database or a clock.

Money, prices and quantities are Decimal; times are aware UTC. `raw` is the redacted body the broker sent: it is neither shown nor compared.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from brokers.errors import BrokerError

D = Decimal
ONE = Decimal(1)
Raw = Mapping[str, object]


class Status(StrEnum):
    """Where an order is at its broker. A string no table knows is UNMAPPED: live, and worth a notice."""

    SUBMITTED = "SUBMITTED"
    AMO_QUEUED = "AMO_QUEUED"
    OPEN = "OPEN"
    TRIGGER_PENDING = "TRIGGER_PENDING"
    PARTIAL = "PARTIAL"
    CANCEL_PENDING = "CANCEL_PENDING"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    UNMAPPED = "UNMAPPED"


TERMINAL = frozenset({Status.FILLED, Status.CANCELLED, Status.REJECTED, Status.EXPIRED})
LIVE = frozenset(Status) - TERMINAL


class Side(StrEnum):
    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        """+1 for BUY, -1 for SELL."""
        return 1 if self is Side.BUY else -1


class OrderType(StrEnum):
    MARKET = "MARKET"
    LIMIT = "LIMIT"
    SL = "SL"
    SL_M = "SL_M"


class Product(StrEnum):
    MIS = "MIS"
    CNC = "CNC"
    NRML = "NRML"
    MTF = "MTF"


class Validity(StrEnum):
    """TTL: minutes, then the rest is cancelled."""

    DAY = "DAY"
    IOC = "IOC"
    TTL = "TTL"


class Kind(StrEnum):
    EQ = "EQ"
    FUT = "FUT"
    CE = "CE"
    PE = "PE"
    IDX = "IDX"
    SPOT = "SPOT"
    SWAP = "SWAP"


OPTIONS = frozenset({Kind.CE, Kind.PE})


@dataclass(frozen=True, slots=True)
class Instrument:
    """What is traded. `key` is `NSE:SBIN`; `native` holds the ids its broker needs; `freeze` None means no limit is known."""

    key: str
    exchange: str
    symbol: str
    kind: Kind
    tick: D
    lot: D
    freeze: D | None = None
    multiplier: D = ONE
    expiry: date | None = None
    strike: D | None = None
    native: Mapping[str, str] = field(default_factory=dict, hash=False)
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """One order as it is asked of a broker. `ref` is our tag, the same on every attempt.

    `protection` is the market protection in percent (None: the broker's table). `ref_price` is the price the alert spoke of;
    only the paper broker looks at it, when it has no other price. `validity_minutes` belongs to TTL; `iceberg_legs` above 1 shows the
    exchange one leg at a time.
    """

    ref: str
    instrument: Instrument
    side: Side
    quantity: D
    order_type: OrderType
    product: Product
    price: D | None = None
    trigger_price: D | None = None
    validity: Validity = Validity.DAY
    amo: bool = False
    protection: D | None = None
    reduce_only: bool = False
    ref_price: D | None = None
    validity_minutes: int = 0
    iceberg_legs: int = 0


@dataclass(frozen=True, slots=True)
class OrderKey:
    """All that is needed to find an order at its broker again; stored with the order."""

    broker_order_id: str
    ref: str
    secondary_id: str | None = None
    variety: str | None = None
    symbol: str | None = None


@dataclass(frozen=True, slots=True)
class PlaceAck:
    """The broker took the request. Neither a fill nor a risk acceptance. A child is one slice: placed, or its refusal."""

    key: OrderKey
    status: Status = Status.SUBMITTED
    children: "tuple[PlaceAck | BrokerError, ...]" = ()
    raw: Raw | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class OrderReport:
    """An order as the broker sees it now. `avg_price` is None while `filled` is 0; `raw_status` keeps the broker's own word.

    `code` is the RejectCode of an order that was refused after it was taken.
    """

    key: OrderKey
    parent_id: str | None
    status: Status
    raw_status: str
    side: Side
    order_type: OrderType
    product: Product
    quantity: D
    filled: D
    cancelled: D
    price: D | None
    trigger_price: D | None
    avg_price: D | None
    message: str
    placed_at: datetime
    updated_at: datetime
    raw: Raw | None = field(default=None, repr=False, compare=False)
    code: str = ""


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution. `trade_id` is unique within (account, trading day, exchange). `fee` None means the broker does not say.

    `priced_by` is ALERT when nothing but the alert's price was known; only the paper broker says so.
    """

    trade_id: str
    broker_order_id: str
    quantity: D
    price: D
    fee: D | None
    fee_currency: str
    at: datetime
    priced_by: str = "QUOTE"
    raw: Raw | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Position:
    """Net position of one symbol and product over all strategies: net_qty = overnight_qty + buy_qty - sell_qty.

    `native` names the instrument in the broker's words, at least `exchange` and `tradingsymbol`. buy_* and sell_* are today's.
    `realised` (today, before charges, average-price method); `unrealised` and `ltp` are None without a price. `close` is the close of the day
    before, where the broker says it.
    """

    native: Mapping[str, str] = field(hash=False)
    product: Product
    net_qty: D
    overnight_qty: D
    multiplier: D
    buy_qty: D
    buy_avg: D | None
    sell_qty: D
    sell_avg: D | None
    realised: D
    unrealised: D | None
    ltp: D | None
    close: D | None = None
    raw: Raw | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Holding:
    """Shares in the depository: `t1_quantity` arrives tomorrow, `used_quantity` is sold or pledged out today; `close` of the day before."""

    native: Mapping[str, str] = field(hash=False)
    quantity: D
    t1_quantity: D
    used_quantity: D
    collateral_qty: D
    avg_price: D
    ltp: D | None
    close: D | None = None
    raw: Raw | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Funds:
    """Money of one segment: total = available + used."""

    segment: str
    currency: str
    available: D
    used: D
    total: D
    raw: Raw | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class QuoteTick:
    """A price as the market shows it at `at`. Depth, volume and `close`, of the day before, are None where the broker does not say."""

    key: str
    ltp: D
    at: datetime
    bid: D | None = None
    ask: D | None = None
    bid_qty: D | None = None
    ask_qty: D | None = None
    volume: D | None = None
    close: D | None = None


class GttKind(StrEnum):
    """SINGLE: one trigger, one order. OCO: a stop and a target, the first that triggers ends the other."""

    SINGLE = "SINGLE"
    OCO = "OCO"


class GttStatus(StrEnum):
    """TRIGGERED says nothing about the order it placed: that is in the leg's result."""

    ACTIVE = "ACTIVE"
    TRIGGERED = "TRIGGERED"
    DISABLED = "DISABLED"
    EXPIRED = "EXPIRED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"
    DELETED = "DELETED"
    UNMAPPED = "UNMAPPED"


@dataclass(frozen=True, slots=True)
class GttLeg:
    """The LIMIT order a trigger places."""

    side: Side
    quantity: D
    product: Product
    price: D


@dataclass(frozen=True, slots=True)
class GttRequest:
    """A trigger kept by the broker. One trigger and leg for SINGLE; for OCO two of each, the lower trigger first.

    `last_price` decides on which side of a single trigger the market stands: it must be a real, fresh price.
    """

    instrument: Instrument
    kind: GttKind
    triggers: tuple[D, ...]
    legs: tuple[GttLeg, ...]
    last_price: D


@dataclass(frozen=True, slots=True)
class GttResult:
    """What became of one triggered leg: the order it placed, or why it could not. `ok` False is a failed leg, `code` its RejectCode."""

    ok: bool
    status: str
    broker_order_id: str
    message: str
    code: str = ""


@dataclass(frozen=True, slots=True)
class GttSnapshot:
    """A trigger as the broker keeps it now. `results` runs along `legs`; None where a leg has not triggered."""

    id: str
    kind: GttKind
    status: GttStatus
    raw_status: str
    exchange: str
    tradingsymbol: str
    triggers: tuple[D, ...]
    legs: tuple[GttLeg, ...]
    results: tuple[GttResult | None, ...]
    created_at: datetime
    updated_at: datetime
    raw: Raw | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Session:
    """A login at a broker. `expires_at` None: it does not end by itself. The token never appears in a repr, nor does `meta`."""

    user_id: str
    token: str = field(repr=False)
    issued_at: datetime
    expires_at: datetime | None = None
    meta: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)

    def __repr__(self) -> str:
        hidden = "<hidden>" if self.token else "''"
        return f"Session(user_id={self.user_id!r}, token={hidden}, issued_at={self.issued_at!r}, expires_at={self.expires_at!r})"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Static facts of one broker.

    find_by_ref     DATABASE, BOOK (scan of the order book), FILTER or API (lookup by reference)
    ref_max         longest reference the broker keeps
    ack_is_final    the ack's status is the truth; elsewhere it only says that the request was taken
    absence_is_proof  one look without a match proves that nothing was accepted (only a book of our own)
    looks_after_s   seconds after an unknown outcome at which it is looked up; horizon_s ends them
    book_every_s    the order book is read at most once in so many seconds
    order_rates     (seconds, requests) the broker takes of order writes; read_rates the same for everything else
    modifications   how often one order may be changed; None: no limit is known
    local           the broker lives in this process and moves only when `step` is called
    """

    broker: str
    find_by_ref: str
    ref_max: int
    order_types: frozenset[OrderType] = frozenset(OrderType)
    validities: frozenset[Validity] = frozenset({Validity.DAY, Validity.IOC})
    products: frozenset[Product] = frozenset({Product.MIS, Product.CNC, Product.NRML})
    amo: bool = False
    gtt: bool = False
    iceberg: bool = False
    login: bool = False
    local: bool = False
    market_may_rest: bool = True
    ack_is_final: bool = False
    absence_is_proof: bool = False
    push_signed: bool = False
    quotes: bool = False
    book_every_s: float = 3
    order_rates: tuple[tuple[int, int], ...] = ()
    read_rates: tuple[tuple[int, int], ...] = ()
    quote_rates: tuple[tuple[int, int], ...] = ()
    modifications: int | None = None
    looks_after_s: tuple[float, ...] = (1, 2, 4, 8, 15, 30, 60, 120)
    horizon_s: float = 120
