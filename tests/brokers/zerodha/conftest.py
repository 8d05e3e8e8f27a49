"""A Zerodha account whose broker is the simulator: the real client, real HTTP, a session from the simulator's login.

`sim` is the running simulator, `account` a BrokerAccount with an ACTIVE session, `adapter` its adapter without rate limits (tests are quicker
than traders), `order` makes requests. `login` gives any account a session.
"""

import hashlib
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal as D

import pytest
import requests
from django.contrib.auth import get_user_model

from brokers.kitesim import instruments, server
from brokers.kitesim.state import Simulator
from brokers.models import BrokerAccount, BrokerSession
from brokers.registry import adapter_for
from brokers.types import Instrument, Kind, OrderRequest, OrderType, Product, Side
from brokers.zerodha.adapter import ZerodhaAdapter
from tvapp.lib import clock, ids

FUTURE = "INFY26DECFUT"  # a lot of 1 and a tick of 0.05: what tests of every broker ask for, in a product shares do not have


class Bench:
    """A running simulator with the few words tests need."""

    def __init__(self, running: server.KiteServer):
        self.server, self.url, self.state = running, running.url, running.sim
        self.http = requests.Session()
        self.http.trust_env = False

    def get(self, path: str):
        return self.http.get(f"{self.url}/_sim/{path}", timeout=5).json()

    def post(self, path: str, **body):
        answer = self.http.post(f"{self.url}/_sim/{path}", json=body, timeout=10)
        return {"http": answer.status_code, **answer.json()}

    def price(self, key: str, price, **more):
        assert self.post("price", **{key: {"price": price, **more} if more else price})["http"] == 200

    def fault(self, route: str, mode: str, **more):
        assert self.post("faults", route=route, mode=mode, **more)["http"] == 200

    def accepted(self, tag: str = "", api_key: str = "") -> list[dict]:
        """The truth: every order the broker ever accepted."""
        return self.get(f"orders?tag={tag}&api_key={api_key}")

    def requests(self, method: str = "", route: str = "") -> list[dict]:
        """The requests the broker received."""
        return [row for row in self.get("log?event=request") if method in ("", row["method"]) and route in ("", row["route"])]

    def request_token(self, api_key: str = "simkey") -> str:
        return self.post("login", api_key=api_key)["request_token"]

    def access_token(self, api_key: str = "simkey", secret: str = "simsecret") -> str:
        token = self.request_token(api_key)
        checksum = hashlib.sha256(f"{api_key}{token}{secret}".encode()).hexdigest()
        form = {"api_key": api_key, "request_token": token, "checksum": checksum}
        return self.http.post(f"{self.url}/session/token", data=form, timeout=5).json()["data"]["access_token"]


def listed():
    """The simulator's own list and a future with a lot of one."""
    today = clock.trading_day(clock.now())
    future = instruments.Instrument(9000001, 9001, FUTURE, "INFY", D(1500), today + timedelta(days=30), D(0), D("0.05"), 1, "FUT", "NFO-FUT", "NFO")
    return [*instruments.standard(today), future]


@pytest.fixture
def sim(settings):
    """A simulator of this test's own; the desk's KITE_ROOT_URL points at it."""
    with server.running(sim=Simulator(rows=listed(), redirect_url="http://127.0.0.1:1/callback")) as running:
        settings.KITE_ROOT_URL = running.url
        settings.KITE_LOGIN_URL = f"{running.url}/connect/login"
        bench = Bench(running)
        yield bench
        bench.http.close()


def make_account(owner, name: str = "kite", api_key: str = "simkey", **more) -> BrokerAccount:
    return BrokerAccount.objects.create(
        owner=owner, name=name, broker="zerodha", environment="SIM", api_key=api_key, credentials="simsecret", **more,
    )  # fmt: skip


def login(sim: Bench, account: BrokerAccount) -> BrokerSession:
    """An ACTIVE session from the simulator's login."""
    facts = {"state": "ACTIVE", "access_token": sim.access_token(account.api_key), "user_id": sim.state.account(account.api_key).user_id}
    facts |= {"issued_at": clock.now(), "expires_at": clock.now() + timedelta(hours=12), "updated_at": clock.now()}
    return BrokerSession.objects.update_or_create(account=account, defaults=facts)[0]


@pytest.fixture
def owner(db):
    return get_user_model().objects.create_user("kite-trader")


@pytest.fixture
def account(sim, owner):
    account = make_account(owner, client_id="AB1234")
    login(sim, account)
    return account


@pytest.fixture
def unlimited(monkeypatch):
    """No budget of calls."""
    monkeypatch.setattr(ZerodhaAdapter, "caps", replace(ZerodhaAdapter.caps, order_rates=(), read_rates=(), quote_rates=()))


@pytest.fixture
def adapter(account, unlimited):
    return adapter_for(account)


@pytest.fixture
def stranger(sim, owner, unlimited):
    account = make_account(owner, "second", "otherkey")
    login(sim, account)
    return adapter_for(account)


INFY = Instrument("NSE:INFY", "NSE", "INFY", Kind.EQ, D("0.05"), D(1))
INFY_FUTURE = Instrument(f"NFO:{FUTURE}", "NFO", FUTURE, Kind.FUT, D("0.05"), D(1))


@pytest.fixture
def order():
    """BUY 100 INFY LIMIT 810 MIS with a reference of its own, unless told otherwise; NRML is the future's product."""

    def make(**changes) -> OrderRequest:
        listed = INFY_FUTURE if changes.get("product") is Product.NRML else INFY
        plain = OrderRequest(ids.order_tag("SIM"), listed, Side.BUY, D(100), OrderType.LIMIT, Product.MIS, price=D(810))
        return replace(plain, **changes)

    return make


@pytest.fixture
def market(sim):
    def make(ltp, available=None):
        more = {} if available is None else {"quantity": available}
        for key in (INFY.key, INFY_FUTURE.key):
            sim.price(key, ltp, **more)

    return make
