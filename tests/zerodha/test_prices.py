"""Prices of the simulated Kite, and the hints it gives: what they fill on paper, what they set off, and that they move no order by themselves."""

import json
from datetime import timedelta
from decimal import Decimal as D

import pytest
import requests

from brokers.models import BrokerAccount, PriceFeed, Quote
from tests import factories as make
from trading.models import Order, Strategy, SystemEvent
from trading.services import hints, quotes
from tvapp.lib import clock

pytestmark = pytest.mark.django_db


@pytest.fixture
def paper(road):
    """A paper account that takes the prices of the Zerodha account, and a strategy on it."""
    account = BrokerAccount.objects.create(owner=road.owner, name="paper-kite", quote_source="KITE", quote_account=road.account, slippage_bps=0)
    Strategy.objects.create(owner=road.owner, name="paper-auto", account=account, mode="AUTO")
    return account


def price(road, ltp) -> Quote:
    road.market(ltp)
    road.go(5, 5)
    return Quote.objects.get(instrument__tradingsymbol="INFY")


def test_it_fills_a_resting_paper_limit_when_the_market_crosses_it(road, paper):
    quotes.watch(["NSE:INFY"], clock.now() + clock.seconds(600))
    price(road, 1500)
    order_id = road.alert("paper-auto", price=1490)
    road.go(0, 1)
    seen = [(price(road, ltp).ltp, road.order(order_id).status) for ltp in ("1500.05", "1490", "1489.95")]
    assert seen == [(D("1500.05"), "OPEN"), (1490, "OPEN"), (D("1489.95"), "COMPLETE")]
    assert road.order(order_id).average_price == 1490


def test_it_stores_depth_and_time_as_the_market_shows_them(road):
    road.resting()
    row = price(road, "1500.05")
    assert (row.bid, row.ask, row.source) == (D("1500.05"), D("1500.05"), "FEED") and row.bid_qty > 0
    assert clock.now() - row.at < clock.seconds(10)


def test_it_goes_on_without_prices_when_the_plan_has_none(road, paper):
    road.bench.post("accounts", plan="personal")
    real, order_id = road.resting(), road.alert("paper-auto", price=1510)
    road.go(5, 5, 5)
    assert not Quote.objects.exists() and PriceFeed.objects.get().refused_on == clock.trading_day(clock.now())
    asked = [row for row in road.bench.get("log?event=request") if row["route"] == "quote"]
    assert (len(asked), SystemEvent.objects.filter(code="QUOTES_NOT_PERMITTED").count()) == (1, 1)
    assert road.order(real).status == "OPEN" and road.order(order_id).status == "COMPLETE"  # by its alert's own price


def test_it_stays_within_the_accounts_budget_of_prices(road, monkeypatch):
    monkeypatch.delenv("TVAPP_TIME_SCALE")
    make.OrderFactory(account=road.account, owner=road.owner, strategy=None, instrument=make.InstrumentFactory())
    said = [quotes.read(road.account.pk) for _ in range(5)]
    assert said == ["1 of 1 priced"] + ["unread"] * 4
    assert len([row for row in road.bench.get("log?event=request") if row["route"] == "quote"]) == 1


@pytest.fixture
def posted(road, client):
    """Takes what the simulator would post and hands it to the desk's address, as often as wished."""

    def post(order_id: int, times: int = 1, **how) -> None:
        url = hints.postback_url(road.account).removeprefix("http://").partition("/")[2]
        body = road.bench.post("postback", order_id=road.order(order_id).broker_order_id, url="http://127.0.0.1:1/", **how)["body"]
        for _ in range(times):
            assert client.post(f"/{url}", json.dumps(body), content_type="application/json").json() == {"received": True}

    return post


@pytest.mark.parametrize("how", [{}, {"status": "COMPLETE", "fields": {"filled_quantity": 10, "unfilled_quantity": 0}}, {"status": "CANCELLED"}])
def test_it_reads_after_a_postback_and_believes_the_book(road, posted, how):
    order_id = road.resting()
    story = road.story(order_id)
    posted(order_id, 3, **how)
    assert road.story(order_id) == story
    road.go(1)
    assert Order.objects.get(pk=order_id).status == "OPEN"  # whatever was posted: the book says that it rests
    requests.post(f"{road.bench.url}/_sim/price", json={"NSE:INFY": "1489"}, timeout=5)
    posted(order_id)
    road.go(3)
    assert Order.objects.get(pk=order_id).status == "COMPLETE"


def test_it_reads_nothing_after_a_forged_postback(road, posted):
    order_id = road.resting()
    before = len(road.bench.get("log?event=request"))
    posted(order_id, 5, checksum="wrong")
    road.work_off()
    assert len(road.bench.get("log?event=request")) == before
    assert hints.refused_postbacks(road.account.pk) == 5


# ------------------------------------------------------------------------ the first alert on an instrument
def blind(road, **trade) -> int:
    """A MARKET alert that brings no price."""
    return road.alert(order_type="MARKET", price=None, **trade)


def test_it_holds_the_first_market_alert_until_its_price_is_read(road):
    order_id = blind(road)
    road.work_off()
    assert (road.order(order_id).status, road.order(order_id).status_reason, road.truth(order_id)) == ("HELD", "PRICE_UNAVAILABLE", [])
    road.go(1, 1, 5)
    assert road.order(order_id).status == "COMPLETE", road.story(order_id)
    assert "On hold: no fresh price of INFY" in road.story(order_id) and Quote.objects.get().source == "FEED"


def test_it_ends_a_market_alert_whose_price_never_comes(road):
    road.bench.fault("quote", "5xx_before", times=0)
    order_id = blind(road)
    road.go(0, 1, 1)
    assert (road.order(order_id).status, road.order(order_id).status_reason) == ("HELD", "PRICE_UNAVAILABLE"), road.story(order_id)
    road.time.shift(timedelta(seconds=61))
    road.go(0, 1)
    assert (road.order(order_id).status, road.truth(order_id)) == ("STALE", []), road.story(order_id)
    assert len([e for e in road.order(order_id).events.all() if e.to_status == "HELD"]) == 1


def test_it_refuses_a_market_alert_at_once_where_the_plan_gives_no_price(road):
    road.bench.post("accounts", plan="personal")
    road.resting()
    road.go(5, 5)
    order_id = blind(road)
    road.go(0, 1)
    assert road.order(order_id).status == "REJECTED_RISK", road.story(order_id)
