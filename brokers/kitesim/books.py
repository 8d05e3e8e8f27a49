"""An account's books: orders with their history, trades, positions and holdings. Money is Decimal, times are aware UTC."""

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal as D

from brokers.kitesim.instruments import Instrument
from brokers.kitesim.simclock import stamp

ZERO = D(0)
REQUESTED, VALIDATION, OPEN_PENDING, OPEN, TRIGGER = "PUT ORDER REQ RECEIVED", "VALIDATION PENDING", "OPEN PENDING", "OPEN", "TRIGGER PENDING"
COMPLETE, CANCELLED, REJECTED, UPDATE = "COMPLETE", "CANCELLED", "REJECTED", "UPDATE"
AMO, AMO_MODIFIED = "AMO REQ RECEIVED", "MODIFY AMO REQ RECEIVED"
MODIFY_VALIDATION, MODIFY_PENDING, MODIFIED, CANCEL_PENDING = "MODIFY VALIDATION PENDING", "MODIFY PENDING", "MODIFIED", "CANCEL PENDING"
TERMINAL = frozenset({COMPLETE, CANCELLED, REJECTED})
AT_REST = frozenset({OPEN, TRIGGER, AMO, AMO_MODIFIED})  # may be changed and cancelled


@dataclass
class Order:
    """`number` orders the book; `day` is the trading day whose book shows it; `moved_at` is when its status last changed."""

    number: int
    order_id: str
    api_key: str
    user_id: str
    received_at: datetime
    day: date
    item: Instrument
    variety: str
    side: str
    order_type: str
    product: str
    validity: str
    quantity: int
    price: D = ZERO
    trigger: D = ZERO
    validity_ttl: int = 0
    disclosed: int = 0
    tag: str | None = None
    tags: list[str] = field(default_factory=list)
    parent_order_id: str | None = None
    meta: dict[str, object] = field(default_factory=dict)
    status: str = REQUESTED
    message: str | None = None
    raw_message: str | None = None
    exchange_order_id: str | None = None
    exchanged_at: datetime | None = None
    moved_at: datetime | None = None
    filled: int = 0
    cancelled: int = 0
    value: D = ZERO
    modified: int = 0
    resting: bool = False
    protected: bool = False
    blocked: D = ZERO
    hidden_until: float = 0.0  # monotonic seconds: the order book shows it from then on
    accepted_at: float = 0.0
    history: list[dict[str, object]] = field(default_factory=list)

    @property
    def sign(self) -> int:
        return 1 if self.side == "BUY" else -1

    @property
    def live(self) -> bool:
        return self.status not in TERMINAL

    @property
    def pending(self) -> int:
        return self.quantity - self.filled - self.cancelled if self.live else 0

    @property
    def average(self) -> D:
        return (self.value / self.filled).quantize(D("0.0001")) if self.filled else ZERO

    def become(self, status: str, at: datetime) -> None:
        """Takes the status and notes the row in the history."""
        self.status, self.moved_at = status, at
        self.history.append({**self.row(), "order_timestamp": stamp(at)})

    def row(self) -> dict[str, object]:
        """The order with the fields of Kite's order book, ready for JSON. Market protection reads back as 0, like Kite's."""
        at, exchanged = self.moved_at or self.received_at, self.exchanged_at
        return {
            "placed_by": self.user_id,
            "order_id": self.order_id,
            "exchange_order_id": self.exchange_order_id,
            "parent_order_id": self.parent_order_id,
            "status": self.status,
            "status_message": self.message,
            "status_message_raw": self.raw_message,
            "order_timestamp": stamp(self.received_at),
            "exchange_update_timestamp": stamp(at) if exchanged else None,
            "exchange_timestamp": stamp(exchanged) if exchanged else None,
            "variety": self.variety,
            "modified": bool(self.modified),
            "exchange": self.item.exchange,
            "tradingsymbol": self.item.tradingsymbol,
            "instrument_token": self.item.token,
            "order_type": self.order_type,
            "transaction_type": self.side,
            "validity": self.validity,
            "validity_ttl": self.validity_ttl,
            "product": self.product,
            "quantity": self.quantity,
            "disclosed_quantity": self.disclosed,
            "price": self.price,
            "trigger_price": self.trigger,
            "average_price": self.average,
            "filled_quantity": self.filled,
            "pending_quantity": self.pending,
            "cancelled_quantity": self.cancelled,
            "market_protection": 0,
            "meta": dict(self.meta),
            "tag": self.tag,
            "tags": list(self.tags),
            "guid": f"sim{self.number}",
        }


@dataclass(frozen=True)
class Trade:
    trade_id: str
    order: Order
    quantity: int
    price: D
    at: datetime
    day: date
    accepted_at: float

    def row(self) -> dict[str, object]:
        item, order = self.order.item, self.order
        return {
            "trade_id": self.trade_id,
            "order_id": order.order_id,
            "exchange": item.exchange,
            "tradingsymbol": item.tradingsymbol,
            "instrument_token": item.token,
            "product": order.product,
            "average_price": self.price,
            "quantity": self.quantity,
            "exchange_order_id": order.exchange_order_id,
            "transaction_type": order.side,
            "fill_timestamp": stamp(self.at),
            "order_timestamp": stamp(self.at)[11:],
            "exchange_timestamp": stamp(self.at),
        }


@dataclass
class Position:
    """One instrument and product. Values are rupees, multiplier included; `overnight` was carried in at `carried_price`."""

    item: Instrument
    product: str
    overnight: int = 0
    carried_price: D = ZERO
    bought: int = 0
    bought_value: D = ZERO
    sold: int = 0
    sold_value: D = ZERO

    @property
    def net(self) -> int:
        return self.overnight + self.bought - self.sold

    def trade(self, sign: int, quantity: int, price: D) -> None:
        value = price * quantity * self.item.multiplier
        if sign > 0:
            self.bought, self.bought_value = self.bought + quantity, self.bought_value + value
        else:
            self.sold, self.sold_value = self.sold + quantity, self.sold_value + value

    def _sides(self, whole: bool) -> tuple[int, D, int, D]:
        """(bought, its value, sold, its value), with what was carried over when `whole`."""
        carried = self.overnight if whole else 0
        value = self.carried_price * abs(carried) * self.item.multiplier
        long, short = max(carried, 0), max(-carried, 0)
        return self.bought + long, self.bought_value + (value if long else 0), self.sold + short, self.sold_value + (value if short else 0)

    def realised(self, whole: bool = True) -> D:
        bought, cost, sold, got = self._sides(whole)
        closed = min(bought, sold)
        return (got / sold - cost / bought) * closed if closed else ZERO

    def average(self, whole: bool = True) -> D:
        """The price of what is open, 0 when nothing is."""
        bought, cost, sold, got = self._sides(whole)
        if bought == sold:
            return ZERO
        value, quantity = (cost, bought) if bought > sold else (got, sold)
        return value / quantity / self.item.multiplier

    def row(self, last: D, close: D, whole: bool) -> dict[str, object]:
        """Kite's row: `whole` with what was carried over (net), else only today's trades (day)."""
        bought, cost, sold, got = self._sides(whole)
        net, times = bought - sold, self.item.multiplier
        pnl = got - cost + net * last * times
        carried = self.overnight if whole else 0
        m2m = pnl - carried * (close - self.carried_price) * times
        facts = {
            "tradingsymbol": self.item.tradingsymbol,
            "exchange": self.item.exchange,
            "instrument_token": self.item.token,
            "product": self.product,
            "quantity": net,
            "overnight_quantity": carried,
            "multiplier": times,
            "average_price": self.average(whole),
            "close_price": close if carried else ZERO,
            "last_price": last,
            "value": got - cost,
            "pnl": pnl,
            "m2m": m2m,
            "unrealised": pnl - self.realised(whole),
            "realised": self.realised(whole),
        }
        facts |= _side("buy", bought, cost, times) | _side("sell", sold, got, times) | {"buy_m2m": cost, "sell_m2m": got}
        return facts | _side("day_buy", self.bought, self.bought_value, times) | _side("day_sell", self.sold, self.sold_value, times)


def _side(name: str, quantity: int, value: D, times: int) -> dict[str, object]:
    return {f"{name}_quantity": quantity, f"{name}_price": value / quantity / times if quantity else ZERO, f"{name}_value": value}


@dataclass
class Holding:
    """Shares in the demat account; `t1` were bought on the last trading day."""

    item: Instrument
    quantity: int
    average: D
    t1: int = 0

    def row(self, used: int, last: D, close: D) -> dict[str, object]:
        total, change = self.quantity + self.t1, last - close
        return {
            "tradingsymbol": self.item.tradingsymbol,
            "exchange": self.item.exchange,
            "instrument_token": self.item.token,
            "isin": f"INE{self.item.exchange_token:06d}0{self.item.exchange_token % 90 + 10}",
            "product": "CNC",
            "price": 0,
            "quantity": self.quantity,
            "used_quantity": used,
            "t1_quantity": self.t1,
            "realised_quantity": self.quantity,
            "authorised_quantity": 0,
            "authorised_date": None,
            "authorisation": {},
            "opening_quantity": self.quantity + self.t1,
            "short_quantity": 0,
            "collateral_quantity": 0,
            "collateral_type": "",
            "discrepancy": False,
            "average_price": self.average,
            "last_price": last,
            "close_price": close,
            "pnl": (last - self.average) * total,
            "day_change": change,
            "day_change_percentage": change / close * 100 if close else ZERO,
            "mtf": {"quantity": 0, "used_quantity": 0, "average_price": 0, "value": 0, "initial_margin": 0},
        }
