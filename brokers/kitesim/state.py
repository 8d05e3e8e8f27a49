"""Everything the simulator knows, in memory, behind one lock. `truth` is the list later tests judge by."""

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import date, timedelta
from decimal import Decimal as D

from brokers.kitesim import engine, gtt, instruments
from brokers.kitesim.accounts import KEY, REQUEST_TOKEN_LIVES, Account, opened
from brokers.kitesim.answers import BAD_CHECKSUM, LOGIN_TOKEN_DEAD, token_dead
from brokers.kitesim.books import Holding, Order
from brokers.kitesim.faults import Faults
from brokers.kitesim.market import Market
from brokers.kitesim.simclock import TOKENS_DIE, SimClock, next_at
from tvapp.lib import clock
from tvapp.lib.clock import IST

LOG_LENGTH = 200_000
SWEEP_EVERY = timedelta(seconds=1)
Listener = Callable[[str, Order, str], None]
TickListener = Callable[[list[str]], None]


class Simulator:
    """Callers hold `lock` around every method. `rows` is a list of instruments instead of the standard one.

    `redirect_url` is where logins go when an account names no address of its own. `serial` fixes the first order number;
    without it numbers start from the time of day, so that two runs of one day do not give the same order ids.
    """

    def __init__(
        self,
        rows: list[instruments.Instrument] | None = None,
        faults: Iterable[Mapping[str, object]] = (),
        redirect_url: str = "",
        serial: int = 0,
    ):
        self.lock = threading.RLock()
        self.redirect_url = redirect_url
        self._rows, self._faults = rows, list(faults)
        self._serial = serial or _time_of_day()
        self.listeners: list[Listener] = []
        self.tick_listeners: list[TickListener] = []
        self.accounts: dict[str, Account] = {}
        self.generation = 0
        self.reset()

    def reset(self, sessions: bool = False) -> None:
        """As just started. Order numbers go on; so do logins and addresses, unless `sessions` says to forget them too."""
        self.generation += 1
        known = {} if sessions else self.accounts
        self.clock = SimClock()
        self.day, self._swept = self.clock.today(), self.clock.now()
        self.market = Market(self._list(self.day))
        self.faults = Faults()
        for fault in self._faults:
            self.faults.add(fault, clock.monotonic())
        self.accounts, self.truth, self.live = {}, [], {}
        self.log: deque[dict[str, object]] = deque(maxlen=LOG_LENGTH)
        self.account(KEY)
        for old in known.values():
            fresh = self.account(old.api_key)
            fresh.sessions, fresh.logins = old.sessions, old.logins
            fresh.redirect_url, fresh.postback_url = old.redirect_url, old.postback_url

    def _list(self, day: date) -> list[instruments.Instrument]:
        return self._rows if self._rows is not None else instruments.standard(day)

    # ------------------------------------------------------------------ numbers
    def next_number(self) -> int:
        self._serial += 1
        return self._serial

    def order_id(self, number: int = 0) -> str:
        """15 digits: the date in India, then the number."""
        return f"{self.clock.now().astimezone(IST):%y%m%d}{number or self.next_number():09d}"

    # ------------------------------------------------------------------ accounts and sessions
    def account(self, api_key: str) -> Account:
        """The account of this key; a new one at its first use."""
        if api_key not in self.accounts:
            self.accounts[api_key] = opened(api_key, self.market)
        return self.accounts[api_key]

    def _token(self, account: Account, purpose: str) -> str:
        return hashlib.sha256(f"{purpose}:{account.api_key}:{self.next_number()}".encode()).hexdigest()[:32]

    def request_token(self, api_key: str) -> str:
        account = self.account(api_key)
        token = self._token(account, "request")
        account.logins[token] = self.clock.now()
        return token

    def session(self, api_key: str, request_token: str, checksum: str) -> str:
        """An access token that lives until the next 06:00 in India. The request token is used up. Raises Refused."""
        account = self.account(api_key)
        made = account.logins.get(request_token)
        if made is None or self.clock.now() - made > REQUEST_TOKEN_LIVES:
            raise token_dead(LOGIN_TOKEN_DEAD)
        if checksum != hashlib.sha256(f"{api_key}{request_token}{account.secret}".encode()).hexdigest():
            raise token_dead(BAD_CHECKSUM)
        del account.logins[request_token]
        return self.grant(account)

    def grant(self, account: Account) -> str:
        token = self._token(account, "access")
        account.sessions[token] = next_at(self.clock.now(), TOKENS_DIE)
        return token

    def signed_in(self, api_key: str, token: str) -> Account:
        """The account whose access token this is. Raises Refused."""
        account = self.accounts.get(api_key)
        if account is None or not account.holds(token, self.clock.now()):
            raise token_dead()
        return account

    # ------------------------------------------------------------------ orders
    def keep(self, account: Account, order: Order) -> None:
        """The moment an order is accepted: book, truth and log in one step."""
        account.orders[order.order_id] = order
        self.live[order.order_id] = order
        self.truth.append(order)
        self.note("accepted", order)

    def finished(self, order: Order) -> None:
        self.live.pop(order.order_id, None)

    def tell(self, order: Order, status: str) -> None:
        """Whoever listens hears of it: sockets and postbacks. Nothing is said about after-market orders."""
        if order.variety != "amo" or order.exchange_order_id:
            for listener in list(self.listeners):
                listener(order.api_key, order, status)

    def note(self, event: str, order: Order, **more: object) -> None:
        facts = {"order_id": order.order_id, "api_key": order.api_key, "tag": order.tag, "status": order.status}
        self.log.append({"event": event, "at": self.clock.now().isoformat(), **facts, **more})

    def truth_rows(self, tag: str = "", api_key: str = "") -> list[dict[str, object]]:
        """Every order ever accepted, in the order of acceptance, as it is now."""
        found = (o for o in self.truth if (not tag or o.tag == tag) and (not api_key or o.api_key == api_key))
        return [{**o.row(), "received_at": o.received_at.isoformat(), "api_key": o.api_key} for o in found]

    # ------------------------------------------------------------------ time and prices
    def sweep(self, at_once: bool = False) -> None:
        """Brings the books to the present moment; at most once a second of the simulator's clock, unless `at_once`."""
        now = self.clock.now()
        if not at_once and self._swept <= now < self._swept + SWEEP_EVERY:
            return
        self._swept, today = now, self.clock.today()
        engine.expire(self)
        if today != self.day:
            self.day = today
            for account in self.accounts.values():
                account.new_day(self.market, today)
            self.market.new_day()
            if self._rows is None:
                self.market.load([*instruments.standard(today), *self._still_used(today)])
        engine.sweep(self)
        gtt.price_moved(self, ())

    def _still_used(self, today: date) -> list[instruments.Instrument]:
        """Contracts that the new day's list lacks although somebody has a position, an order or a trigger in them."""
        listed = {item.key for item in instruments.standard(today)}
        used = {p.item.key: p.item for a in self.accounts.values() for p in a.positions.values() if p.net}
        used |= {k: self.market.by_key[k] for a in self.accounts.values() for k in _gtt_keys(a) if k in self.market.by_key}
        used = {key: item for key, item in used.items() if not item.expired(today)} | {o.item.key: o.item for o in self.live.values()}
        return [item for key, item in used.items() if key not in listed]

    def set_prices(self, prices: Mapping[str, object]) -> None:
        """Raises ValueError, and then no price has changed."""
        keys = self.market.set(prices)
        engine.price_moved(self, keys)
        gtt.price_moved(self, keys)
        for listener in list(self.tick_listeners):
            listener(keys)

    def configure(self, api_key: str, wanted: Mapping[str, object]) -> Account:
        """Changes an account from the control side. Raises ValueError."""
        account = self.account(api_key)
        for name, value in wanted.items():
            if name in ("cash", "commodity_cash"):
                setattr(account, name, D(str(value)))
            elif name == "holdings":
                account.holdings = self._holdings(dict(value))
            elif name == "ip_allowed":
                account.ip_allowed = bool(value)
            elif name in ("redirect_url", "postback_url", "plan", "user_id", "secret"):
                setattr(account, name, str(value))
            else:
                raise ValueError(f"an account has no {name}")
        return account

    def _holdings(self, wanted: Mapping[str, object]) -> dict[str, Holding]:
        unknown = [key for key in wanted if key not in self.market.by_key]
        if unknown:
            raise ValueError(f"no such instrument: {', '.join(unknown)}")
        return {key: Holding(self.market.by_key[key], int(str(many)), self.market.price(key)) for key, many in wanted.items()}


def _gtt_keys(account: Account) -> list[str]:
    conditions = [row["condition"] for row in account.gtts.values() if row["status"] == "active"]
    return [f"{c['exchange']}:{c['tradingsymbol']}" for c in conditions]


def _time_of_day() -> int:
    """Tenths of a millisecond since midnight in India: nine digits."""
    now = clock.now().astimezone(IST)
    return ((now.hour * 60 + now.minute) * 60 + now.second) * 10_000 + now.microsecond // 100
