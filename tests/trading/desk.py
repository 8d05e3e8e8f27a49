"""A small desk for tests: a trader, a paper account, a manual and an automatic strategy, and alerts that reach them."""

import json
from dataclasses import dataclass

import pytest
from django.contrib.auth import get_user_model

from brokers.models import BrokerAccount
from risk.models import LIMIT_MAX, RiskSettings
from trading.models import Order, Strategy
from trading.services import dispatch, ingest, strategies
from tvapp.lib import clock, ids
from tvapp.people import roles

INSTALLATION = "installation-secret-1"


@dataclass
class Desk:
    owner: object
    account: BrokerAccount
    manual: Strategy
    auto: Strategy

    def body(self, strategy: str = "manual", **changes) -> dict:
        """A flat alert with the installation's secret; `changes` replace top-level keys, `trade` updates the trade details."""
        trade = {"order_action": "BUY", "quantity": 10, "price": 1500, "product": "MIS", **changes.pop("trade", {})}
        body = {"secret": INSTALLATION, "platform": "TRADINGVIEW", "strategy_name": strategy, "symbol": "NSE:INFY", "trade_details": trade}
        body["idempotency_key"] = ids.correlation_id()
        return {**body, **changes}

    def send(self, strategy: str = "manual", *, token=None, raw: bytes | None = None, **changes) -> ingest.Answer:
        data = raw if raw is not None else json.dumps(self.body(strategy, **changes)).encode()
        return ingest.receive(data, token=token, source="127.0.0.1", correlation_id=ids.correlation_id())

    def order(self, strategy: str = "manual", **changes) -> Order:
        answer = self.send(strategy, **changes)
        return Order.objects.get(pk=answer.order_ids[0])

    def filled(self, strategy: str = "auto", **changes) -> Order:
        order = self.order(strategy, **changes)
        dispatch.work(order.pk)
        order.refresh_from_db()
        return order

    def secret(self, strategy: Strategy) -> str:
        return strategies.issue_secret(strategy, "test")


def make_desk(username: str = "asha") -> Desk:
    owner = get_user_model().objects.create_user(username, password="a-long-Passw0rd", is_superuser=username == "asha", is_staff=True)
    roles.assign(owner, roles.ADMIN if owner.is_superuser else roles.TRADER)
    account = BrokerAccount.objects.create(owner=owner, name="paper")
    manual = Strategy.objects.create(owner=owner, name="manual", account=account, mode="MANUAL")
    auto = Strategy.objects.create(owner=owner, name="auto", account=account, mode="AUTO")
    return Desk(owner, account, manual, auto)


def wide_limits(**limits) -> None:
    """The GLOBAL row so wide that no rule gets in the way of what a test is about; `limits` name those that shall."""
    wide = dict.fromkeys(RiskSettings.FIGURES, None) | dict.fromkeys(RiskSettings.RAILS, LIMIT_MAX)
    RiskSettings.objects.filter(scope="GLOBAL").update(**{**wide, **limits})


@pytest.fixture
def desk(db) -> Desk:
    return make_desk()


__all__ = ["Desk", "clock", "desk", "make_desk", "wide_limits"]
