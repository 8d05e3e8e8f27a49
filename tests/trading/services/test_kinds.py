"""Products, validities and icebergs: carried to a broker that knows them, waiting with words where it does not."""

import pytest

from brokers import registry
from brokers.models import BrokerAccount
from brokers.types import Product, Validity
from tests.trading.services.test_dispatch import again
from tests.trading.services.test_refusals import wire
from tvapp.lib.errors import AppError

pytestmark = pytest.mark.django_db
LIMIT = {"order_type": "LIMIT", "price": "1400"}


@pytest.fixture
def kite(desk, wire, monkeypatch):
    """The desk on a broker that takes everything."""
    broker = wire(products=frozenset(Product), validities=frozenset(Validity), iceberg=True)
    monkeypatch.setattr(registry, "caps_for", lambda name: broker.caps)
    return broker


@pytest.mark.parametrize(("trade", "sent"), [
    ({"product": "MTF"}, {"product": "MTF"}),
    ({**LIMIT, "validity": "TTL", "validity_minutes": 5}, {"validity": "TTL", "validity_minutes": 5}),
    ({**LIMIT, "iceberg_legs": 2}, {"iceberg_legs": 2}),
    ({**LIMIT, "validity": "IOC"}, {"validity": "IOC", "validity_minutes": 0}),
])  # fmt: skip
def test_it_carries_what_the_alert_asks_for(desk, kite, trade, sent):
    order = desk.filled("auto", trade=trade)
    assert order.status == "SENT" and {name: getattr(kite.placed[0], name) for name in sent} == sent
    assert order.attempts.get().payload.get("iceberg_legs") == ("2" if "iceberg_legs" in sent else None)


@pytest.mark.parametrize(("trade", "said"), [
    ({"product": "MTF"}, "has no product MTF"),
    ({**LIMIT, "validity": "TTL", "validity_minutes": 5}, "has no validity TTL"),
    ({**LIMIT, "iceberg_legs": 2}, "takes no iceberg orders"),
])  # fmt: skip
def test_it_waits_where_the_broker_does_not_know_it(desk, trade, said):
    order = desk.filled("auto", trade=trade)
    assert (order.status, order.status_reason) == ("WAITING", "BROKER_CANNOT") and said in order.why
    assert BrokerAccount.objects.get().broker == "paper"


@pytest.mark.parametrize(("trade", "said"), [
    ({**LIMIT, "validity": "TTL"}, "needs its minutes"), ({"order_type": "MARKET", "iceberg_legs": 2}, "needs a limit price"),
])  # fmt: skip
def test_it_waits_when_something_is_missing(desk, kite, trade, said):
    order = desk.filled("auto", trade=trade)
    assert order.status_reason == "BROKER_CANNOT" and said in order.why and kite.placed == []


def test_it_refuses_numbers_that_are_none(desk):
    for wrong in ({"iceberg_legs": 1}, {"validity_minutes": 0}, {"iceberg_legs": "2.5"}):
        with pytest.raises(AppError, match="are taken"):
            desk.send("auto", trade={**LIMIT, **wrong})


def test_it_does_not_short_what_is_delivered(desk, kite):
    order = desk.filled("auto", trade={"product": "MTF", "order_action": "SELL"})
    assert order.status == "REJECTED_RISK" and again(order).status_reason in ("SHORT_NOT_ALLOWED", "SHORT_PRODUCT")


__all__ = ["wire"]
