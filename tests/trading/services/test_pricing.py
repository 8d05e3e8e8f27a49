"""Prices on the way to the broker: a market order with its slippage limit, and what is moved to the tick."""

from datetime import timedelta
from decimal import Decimal as D

import pytest

from brokers.errors import Unavailable
from brokers.models import Instrument, Quote
from tests.trading.services.test_dispatch import again
from tests.trading.services.test_refusals import wire
from trading.models import OrderAttempt, SystemEvent
from trading.selectors import pricing
from trading.services import dispatch, orders
from tvapp.lib import clock
from tvapp.lib.errors import AppError

pytestmark = pytest.mark.django_db
MARKET = {"order_type": "MARKET"}
SELL = {"order_action": "SELL", "order_type": "MARKET"}


@pytest.fixture
def limited(desk):
    desk.auto.max_slippage_pct = D("0.3")
    desk.auto.save()
    return desk


def test_it_sends_a_market_order_as_limit_and_keeps_saying_so(limited, wire):
    broker = wire()
    order = limited.filled("auto", trade={"price": "812.35", "order_type": "MARKET"})
    sent = broker.placed[0]
    assert (sent.order_type, sent.price) == ("LIMIT", D("814.75"))
    assert (order.order_type, order.price, order.max_slippage_pct) == ("MARKET", D("814.75"), D("0.3"))
    story = order.events.get(to_status="SENDING").text
    assert story.startswith("MARKET as LIMIT 814.75, at most 0.3 % from 812.35.")
    assert OrderAttempt.objects.get().payload["price"] == "814.75"
    assert order.decision.snapshot["intent"]["order_type"] == "LIMIT" and order.decision.snapshot["intent"]["price"] == "814.75"


def test_it_counts_from_the_last_price_while_that_is_fresh(limited, wire):
    broker = wire()
    instrument = limited.filled("auto", trade=MARKET).instrument
    Quote.objects.create(instrument=instrument, ltp=D(1600), at=clock.now())
    limited.filled("auto", trade={**MARKET, "quantity": 3})
    Quote.objects.update(at=clock.now() - timedelta(seconds=11))
    limited.filled("auto", trade=MARKET)
    assert [r.price for r in broker.placed] == [D("1504.5"), D("1604.8"), D("1504.5")]


def test_it_lets_an_alert_ask_for_less_and_never_for_more(limited, wire):
    broker = wire()
    for pct, price in (("0.1", "1501.5"), ("5", "1504.5")):
        limited.filled("auto", trade={**MARKET, "max_slippage_pct": pct})
        assert broker.placed[-1].price == D(price)


def test_it_refuses_an_entry_without_a_price_to_count_from(limited, wire):
    broker = wire()
    order = limited.filled("auto", trade={"price": None, "order_type": "MARKET"})
    assert (order.status, order.status_reason, broker.placed) == ("REJECTED_RISK", "PRICE_UNAVAILABLE", [])


def test_it_asks_about_an_exit_without_a_price_instead_of_letting_it_slip(limited, wire):
    limited.filled("auto", trade=MARKET)
    broker = wire()
    order = limited.filled("auto", trade={**SELL, "price": None})
    assert (order.status, order.status_reason, broker.placed) == ("WAITING", "PRICE_UNAVAILABLE", [])
    assert "0.3 % at most" in order.why and SystemEvent.objects.filter(code="PRICE_UNAVAILABLE").count() == 1


def test_it_limits_anew_at_every_try(limited, wire):
    broker = wire(Unavailable("OTHER", "refused"))
    order = limited.filled("auto", trade=MARKET)
    Quote.objects.create(instrument=order.instrument, ltp=D(1400), at=clock.now())
    order.due_at = None
    order.save()
    dispatch.work(order.pk)
    assert [r.price for r in broker.placed] == [D("1504.5"), D("1404.2")]


def test_it_fills_on_paper_within_the_limit(limited):
    order = limited.filled("auto", trade={**MARKET, "price": "812.35"})
    assert order.status == "COMPLETE" and order.average_price <= D("814.75")


# ------------------------------------------------------------------------------- tick
def test_it_moves_an_alerts_price_to_the_tick_and_says_so(desk, wire):
    broker = wire()
    order = desk.filled("auto", trade={"order_type": "LIMIT", "price": "320.29"})
    assert (order.price, broker.placed[0].price) == (D("320.25"), D("320.25"))
    assert "320.29 -> 320.25" in order.events.first().text


def test_it_moves_a_price_that_came_before_its_instrument(desk, wire):
    """An order that waited for its symbol was priced before its tick was known."""
    broker = wire()
    order = desk.order("manual", trade={"order_type": "LIMIT", "price": "320.25"})
    type(order).objects.update(price=D("320.29"))
    orders.approve(again(order), actor="asha")
    dispatch.work(order.pk)
    assert (again(order).price, broker.placed[0].price) == (D("320.25"), D("320.25"))
    assert "Price 320.29 -> 320.25" in again(order).events.get(to_status="SENDING").text


def test_it_moves_an_edited_price_to_the_tick_and_refuses_what_cannot_be(desk):
    order = again(desk.order("manual", trade={"order_type": "LIMIT", "price": "320.25"}))
    orders.edit(order, {"price": D("321.03")}, actor="asha")
    assert (again(order).price, order.events.last().text) == (
        D(321), "asha changed price 320.25 to 321. Price 321.03 -> 321, the tick is 0.05.",
    )  # fmt: skip
    with pytest.raises(AppError, match="below one tick"):
        orders.edit(again(order), {"price": D("0.01")}, actor="asha")


def test_it_gives_the_gate_what_it_gives_the_broker(limited):
    order = again(limited.order("manual", trade=MARKET))
    order.max_slippage_pct, order.price = D("0.3"), None
    offer = pricing.offer(order, clock.now())
    assert (offer.order_type, offer.price) == ("LIMIT", D("1504.5"))
    Instrument.objects.update(tick=D(5))
    assert pricing.offer(again(order), clock.now()).order_type == "MARKET"


__all__ = ["wire"]
