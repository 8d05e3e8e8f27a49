"""The whole road in this process: the real client and the real simulator over loopback, the real services called as the clusters call them."""

import json
from dataclasses import dataclass, field
from decimal import Decimal

import time_machine
from django.utils.module_loading import import_string
from django_q.models import OrmQ

from brokers.models import BrokerAccount, Instrument
from tests.brokers.kitesim.conftest import Bench
from tests.trading.desk import make_desk
from trading.models import Order, Strategy
from trading.services import books, connect, ingest, orders, sweeper
from tvapp.lib import clock, ids

START = "2026-11-23T10:00:00+05:30"  # a Monday, while the exchanges trade
STEPS_S = (0, 1, 3, 8, 20, 40, 60)  # over them two minutes pass, with room for every look for an unknown outcome that decides


@dataclass
class Road:
    """A trader with a Zerodha account, an automatic and a manual strategy, on a clock that is moved by hand."""

    bench: Bench
    time: time_machine.Traveller
    account: BrokerAccount = field(init=False)
    auto: Strategy = field(init=False)

    def __post_init__(self):
        desk = make_desk()
        facts = {"owner": desk.owner, "broker": "zerodha", "environment": "SIM", "api_key": "simkey", "credentials": "simsecret"}
        self.owner = desk.owner
        self.account = BrokerAccount.objects.create(name="zerodha", state="DISCONNECTED", **facts)
        self.auto = Strategy.objects.create(owner=desk.owner, name="kite-auto", account=self.account, mode="AUTO")
        self.manual = Strategy.objects.create(owner=desk.owner, name="kite-manual", account=self.account, mode="MANUAL")
        Instrument.objects.get_or_create(exchange="NSE", tradingsymbol="INFY", defaults={"tick": "0.05", "lot": "1", "token": "408065"})

    # ------------------------------------------------------------------ a day at the desk
    def log_in(self) -> None:
        connect.take_token(self.account, self.bench.post("login", api_key="simkey")["request_token"])
        self.go(0, 1, 1, 1)

    def is_connected(self) -> bool:
        return BrokerAccount.objects.get(pk=self.account.pk).state == "READY"

    def alert(self, strategy: str = "kite-auto", symbol: str = "NSE:INFY", **trade) -> int:
        """The id of the order of an alert for 10 INFY at 1490, which rests there while the market is at 1500."""
        details = {"order_action": "BUY", "quantity": 10, "price": 1490, "order_type": "LIMIT", "product": "MIS", **trade}
        body = {"secret": "installation-secret-1", "platform": "TRADINGVIEW", "strategy_name": strategy, "symbol": symbol}
        body |= {"trade_details": details, "idempotency_key": ids.correlation_id()}
        answer = ingest.receive(json.dumps(body).encode(), token=None, source="127.0.0.1", correlation_id=ids.correlation_id())
        return answer.order_ids[0]

    def resting(self) -> int:
        """An order that is OPEN at the broker."""
        order_id = self.alert()
        self.go(0, 1, 5)
        assert self.order(order_id).status == "OPEN", self.story(order_id)
        return order_id

    def cancel(self, order_id: int) -> None:
        orders.cancel(self.order(order_id), actor="asha")

    def change(self, order_id: int, **to: str) -> None:
        orders.ask_change(self.order(order_id), {name: Decimal(value) for name, value in to.items()}, actor="asha")

    def read_books(self) -> str:
        return books.sync_account(self.account.pk)

    def market(self, price) -> None:
        self.bench.price("NSE:INFY", price)

    # ------------------------------------------------------------------ time
    def go(self, *steps_s: float) -> None:
        """Lets time pass in steps; after each the sweeper sweeps and a worker answers every bell. Seconds of the desk's timers."""
        for seconds in steps_s or STEPS_S:
            self.time.shift(clock.seconds(seconds))
            sweeper.sweep()
            self.work_off()

    def work_off(self) -> None:
        """What the clusters do: each bell once, and those that ring meanwhile."""
        while bell := OrmQ.objects.order_by("id").first():
            task = bell.task
            bell.delete()
            import_string(task["func"])(*task["args"], **task["kwargs"])

    # ------------------------------------------------------------------ what is to be seen
    def order(self, order_id: int) -> Order:
        return Order.objects.select_related("account").get(pk=order_id)

    def story(self, order_id: int) -> str:
        order = Order.objects.get(pk=order_id)
        lines = [f"{e.kind} {e.from_status}>{e.to_status} {e.text}" for e in order.events.order_by("id")]
        return "\n".join([order.status, order.why, *lines])

    def triggers(self, symbol: str) -> int:
        """How many triggers (GTT) wait at the broker."""
        rows = [row for account in self.bench.state.accounts.values() for row in account.gtts.values()]
        return sum(row["status"] == "active" and row["condition"]["tradingsymbol"] == symbol for row in rows)

    def open_at_broker(self) -> int:
        """Units the broker holds or owes, over all symbols."""
        return sum(abs(position.net) for account in self.bench.state.accounts.values() for position in account.positions.values())

    def truth(self, order_id: int) -> list[dict]:
        """What the broker accepted under this order's tag."""
        return self.bench.accepted(self.order(order_id).tag)
