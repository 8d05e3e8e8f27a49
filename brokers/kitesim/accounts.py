"""One login with one app: its money, its books, its sessions."""

import hashlib
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal as D

from brokers.kitesim import money
from brokers.kitesim.books import AMO, AMO_MODIFIED, Holding, Order, Position, Trade
from brokers.kitesim.instruments import Instrument
from brokers.kitesim.market import Market

ZERO = D(0)
KEY, SECRET, USER = "simkey", "simsecret", "AB1234"
CASH, COMMODITY_CASH = D(100_000_000), D(10_000_000)
HOLDINGS = (("NSE:INFY", 5000, "1320"), ("NSE:SBIN", 5000, "720"), ("NSE:RELIANCE", 2000, "1250"), ("NSE:TCS", 1000, "3300"))
REQUEST_TOKEN_LIVES = timedelta(minutes=5)
COMMODITY = ("MCX", "NCO")


@dataclass
class Account:
    """`sessions` maps an access token to its end, `logins` a request token to the moment it was made."""

    api_key: str
    user_id: str
    secret: str = SECRET
    cash: D = CASH
    commodity_cash: D = COMMODITY_CASH
    redirect_url: str = ""
    postback_url: str = ""
    plan: str = "connect"
    ip_allowed: bool = True
    orders: dict[str, Order] = field(default_factory=dict)
    trades: list[Trade] = field(default_factory=list)
    positions: dict[tuple[str, str], Position] = field(default_factory=dict)
    holdings: dict[str, Holding] = field(default_factory=dict)
    gtts: dict[int, dict[str, object]] = field(default_factory=dict)
    sessions: dict[str, datetime] = field(default_factory=dict)
    logins: dict[str, datetime] = field(default_factory=dict)

    def holds(self, token: str, now: datetime) -> bool:
        """Whether this access token is good at `now`."""
        return token in self.sessions and now < self.sessions[token]

    def live(self) -> list[Order]:
        return [order for order in self.orders.values() if order.live]

    def book(self, day: date) -> list[Order]:
        """Today's orders and the after-market ones that wait for their day, oldest first."""
        return [o for o in self.orders.values() if o.day == day or o.status in (AMO, AMO_MODIFIED)]

    def position(self, item: Instrument, product: str) -> Position:
        return self.positions.setdefault((item.key, product), Position(item, product))

    def net(self, item: Instrument, product: str) -> int:
        found = self.positions.get((item.key, product))
        return found.net if found else 0

    # ------------------------------------------------------------------ shares
    def used(self, key: str) -> int:
        """Shares of the holding that are sold today already."""
        found = self.positions.get((key, "CNC"))
        return max(0, -found.net) if found else 0

    def sellable(self, item: Instrument) -> int:
        """How many may be sold for delivery: held, bought today, less what is sold and what live sell orders wait for."""
        held = self.holdings.get(item.key)
        waiting = sum(o.pending for o in self.live() if o.item.key == item.key and o.product == "CNC" and o.sign < 0)
        return (held.quantity + held.t1 if held else 0) + self.net(item, "CNC") - waiting

    # ------------------------------------------------------------------ money
    def opening(self, item: Instrument, product: str, sign: int, quantity: int) -> int:
        """The part of an order that does not close what is open."""
        return max(0, quantity - max(0, -sign * self.net(item, product)))

    def need(self, item: Instrument, product: str, side: str, quantity: int, price: D) -> D:
        """What the order blocks."""
        if product == "CNC" and side == "SELL":
            return ZERO
        opening = self.opening(item, product, 1 if side == "BUY" else -1, quantity)
        return money.margin(item, product, side, opening, price)

    def utilised(self, commodity: bool) -> dict[str, D]:
        """Rupees in use by reason: debits is all of it."""
        mine = [p for p in self.positions.values() if (p.item.exchange in COMMODITY) == commodity]
        waiting = sum((o.blocked * o.pending / o.quantity for o in self.live() if (o.item.exchange in COMMODITY) == commodity), ZERO)
        held = {"span": ZERO, "option_premium": ZERO, "delivery": ZERO}
        for position in mine:
            held[_name(position)] += _margin(position)
        realised = sum((p.realised() for p in mine), ZERO)
        return {**held, "exposure": waiting, "m2m_realised": realised, "debits": sum(held.values(), waiting) - realised}

    def available(self, commodity: bool) -> D:
        return (self.commodity_cash if commodity else self.cash) - self.utilised(commodity)["debits"]

    # ------------------------------------------------------------------ the next day
    def new_day(self, market: Market, today: date) -> None:
        """Delivery moves to the holdings, NRML is carried over; MIS and expired contracts are closed at the last price and gone."""
        for held in self.holdings.values():
            held.quantity, held.t1 = held.quantity + held.t1, 0
        for (key, product), position in list(self.positions.items()):
            if (product == "MIS" or position.item.expired(today)) and position.net:
                position.trade(-1 if position.net > 0 else 1, abs(position.net), market.price(key))
            self.cash += position.realised() if position.item.exchange not in COMMODITY else ZERO
            self.commodity_cash += position.realised() if position.item.exchange in COMMODITY else ZERO
            if product in ("CNC", "MTF") and position.net:
                self._deliver(position)
            if product != "NRML" or position.net == 0:
                del self.positions[key, product]
            else:
                self.positions[key, product] = Position(position.item, product, position.net, position.average())

    def _deliver(self, position: Position) -> None:
        held = self.holdings.setdefault(position.item.key, Holding(position.item, 0, position.average()))
        if position.net > 0:
            total = held.quantity + held.t1 + position.net
            held.average = (held.average * (held.quantity + held.t1) + position.average() * position.net) / total
            held.t1 += position.net
            self.cash -= position.average() * position.net
        else:
            held.quantity += position.net
            self.cash -= position.average() * position.net


def _name(position: Position) -> str:
    if position.item.is_option and position.net > 0:
        return "option_premium"
    return "delivery" if position.product in ("CNC", "MTF") else "span"


def _margin(position: Position) -> D:
    if position.net < 0 and position.product == "CNC":
        return ZERO
    return money.margin(position.item, position.product, "BUY" if position.net > 0 else "SELL", abs(position.net), position.average())


def user_id_for(api_key: str) -> str:
    """AB1234 for the bare account; for another one two letters and four digits that depend only on its key."""
    if api_key == KEY:
        return USER
    number = int(hashlib.sha256(api_key.encode()).hexdigest()[:8], 16)
    return f"{chr(65 + number % 26)}{chr(65 + number // 26 % 26)}{number % 10_000:04d}"


def opened(api_key: str, market: Market) -> Account:
    """A fresh account with money and a few shares."""
    account = Account(api_key, user_id_for(api_key))
    for key, quantity, average in HOLDINGS:
        if key in market.by_key:
            account.holdings[key] = Holding(market.by_key[key], quantity, D(average))
    return account
