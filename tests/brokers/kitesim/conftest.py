"""A simulator per test, spoken to by the official client over loopback. No database is touched."""

import hashlib

import pytest
import requests
from kiteconnect import KiteConnect

from brokers.kitesim import server
from brokers.kitesim.state import Simulator

START = "2026-11-23T10:00:00+05:30"  # a Monday, while the exchanges trade


class Bench:
    """A running simulator with the few words tests need."""

    def __init__(self, running: server.KiteServer):
        self.server, self.url, self.state = running, running.url, running.sim

    def get(self, path: str):
        return requests.get(f"{self.url}/_sim/{path}", timeout=5).json()

    def post(self, path: str, **body):
        answer = requests.post(f"{self.url}/_sim/{path}", json=body, timeout=10)
        return {"http": answer.status_code, **answer.json()}

    def price(self, key: str, price, **more):
        return self.post("price", **{key: {"price": price, **more} if more else price})

    def fault(self, route: str, mode: str, **more):
        assert self.post("faults", route=route, mode=mode, **more)["http"] == 200

    def clock(self, **body):
        return self.post("clock", **body)

    def accepted(self, tag: str = "") -> list[dict]:
        return self.get(f"orders?tag={tag}")

    def kite(self, api_key: str = "simkey", timeout: float = 5) -> KiteConnect:
        """A signed-in client that leaves the machine's proxies alone."""
        client = KiteConnect(api_key, root=self.url, timeout=timeout)
        client.reqsession.trust_env = False
        client.generate_session(self.post("login", api_key=api_key)["request_token"], "simsecret")
        return client


@pytest.fixture
def bench():
    with server.running(sim=Simulator(redirect_url="http://127.0.0.1:1/callback")) as running:
        bench = Bench(running)
        bench.clock(frozen=True, at=START)
        yield bench


@pytest.fixture
def kite(bench):
    return bench.kite()


@pytest.fixture
def buy(kite):
    """Places a LIMIT for 10 INFY unless told otherwise, and gives its order id."""
    return lambda **more: order(kite, **more)


def order(kite: KiteConnect, **more) -> str:
    wanted = {"variety": "regular", "exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY", "quantity": 10, "product": "MIS"}
    wanted |= {"order_type": "LIMIT", "price": 1490, "tag": "t1"} | more
    return kite.place_order(**{name: value for name, value in wanted.items() if value is not None})


def path_of(kite: KiteConnect, order_id: str) -> list[str]:
    return [row["status"] for row in kite.order_history(order_id)]


def book(kite: KiteConnect, order_id: str) -> dict:
    return next(row for row in kite.orders() if row["order_id"] == order_id)


def sha(*parts: object) -> str:
    return hashlib.sha256("".join(map(str, parts)).encode()).hexdigest()
