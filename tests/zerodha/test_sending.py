"""What the sending side does beside placing: slippage, slices, after hours, refusals that last. Judged by what the simulated Kite accepted."""

from decimal import Decimal as D

import pytest

from brokers.kitesim import engine, kite
from brokers.models import Instrument
from risk.models import RiskSettings, Trip
from tests.zerodha.test_books import outside
from trading.models import AfterHours, Gtt, Order, Strategy, SystemEvent
from trading.services import books, modify, orders, refusals

NIGHT = "2026-11-23T20:00:00+05:30"


@pytest.fixture(autouse=True)
def _room(db):
    RiskSettings.objects.update(max_order_value=D(10**9), max_quantity_per_order=D(10**6))


def events(code: str):
    return SystemEvent.objects.filter(code=code)


def test_it_places_a_market_order_as_limit_within_its_slippage(road):
    Strategy.objects.update(max_slippage_pct=D("0.3"))
    road.market("812.35")
    order_id = road.alert(order_type="MARKET", price="812.35")
    road.go(0, 1, 5)
    sent = road.truth(order_id)[0]
    assert (sent["order_type"], D(str(sent["price"])), sent["status"]) == ("LIMIT", D("814.75"), "COMPLETE")
    assert "MARKET as LIMIT 814.75, at most 0.3 % from 812.35" in road.story(order_id)


def test_it_slices_above_the_freeze_quantity(road):
    Instrument.objects.update(freeze=D(20))
    order_id = road.alert(quantity=50)
    road.go(0, 1, 5)
    rows = Order.objects.filter(tradingsymbol="INFY").order_by("id")
    assert [(o.status, o.quantity) for o in rows] == [("OPEN", 10), ("OPEN", 20), ("OPEN", 20)]
    assert [r["quantity"] for o in rows for r in road.bench.accepted(o.tag)] == [10, 20, 20] and rows[1].parent_id == order_id


def test_it_waits_for_a_person_when_funds_are_short(road):
    road.bench.post("accounts", api_key="simkey", cash=1000)
    first = road.alert()
    road.go(0, 1, 1)
    second = road.alert()
    road.go(0, 1, 1)
    assert road.order(first).status_reason == "INSUFFICIENT_FUNDS" and road.truth(first) == []
    assert road.order(second).status_reason == "REFUSAL_OPEN" and "1000" in events("INSUFFICIENT_FUNDS").get().message.replace(",", "")
    road.bench.post("accounts", api_key="simkey", cash=10**7)
    refusals.acknowledge(Strategy.objects.get(name="kite-auto"), actor="asha")
    orders.approve(Order.objects.select_related("account", "strategy", "instrument", "owner").get(pk=second), actor="asha")
    road.go(0, 1, 5)
    assert road.order(second).status == "OPEN"


def test_it_waits_for_a_person_when_an_order_is_refused_after_it_was_taken(road):
    road.bench.fault("place", "reject_after_accept")
    first = road.alert()
    road.go(0, 1, 5)
    second = road.alert()
    road.go(0, 1, 1)
    assert (road.order(first).status, road.order(second).status_reason) == ("REJECTED", "REFUSAL_OPEN"), road.story(first)
    assert road.truth(second) == [] and "Required:1000.00, Available:900.00" in events("INSUFFICIENT_FUNDS").get().message


def test_it_goes_on_when_an_order_placed_elsewhere_is_refused(road):
    outside(road)
    engine.end(road.bench.state, next(iter(road.bench.state.live.values())), "REJECTED", kite.PAPER_AWAY)
    road.read_books()
    assert Order.objects.get(source="EXTERNAL").status == "REJECTED"
    assert Strategy.objects.get(name="kite-auto").refusal == {} and not events("INSUFFICIENT_FUNDS").exists()


def test_it_stops_the_account_when_its_address_is_refused(road):
    road.bench.post("accounts", api_key="simkey", ip_allowed=False)
    order_id = road.alert()
    road.go(0, 1)
    assert road.order(order_id).status_reason == "IP_NOT_ALLOWED" and Trip.objects.get().scope == f"ACCOUNT:{road.account.pk}"
    again = road.alert()
    road.go(0, 1)
    assert (road.order(again).status, road.truth(again)) == ("HELD", [])


@pytest.mark.parametrize("how", ["hint", "hours"])
def test_it_places_after_hours_what_its_strategy_lets_it(road, how):
    Strategy.objects.update(after_hours=AfterHours.AMO)
    if how == "hint":
        road.bench.fault("place", "amo_hint")
    else:
        road.bench.clock(at=NIGHT, hours=True, frozen=True)
    order_id = road.alert(product="CNC")
    road.go(0, 1, 1)
    assert [r["variety"] for r in road.truth(order_id)] == ["amo"], road.story(order_id)
    assert (road.order(order_id).variety, "(AMO)" in road.story(order_id)) == ("amo", True)


def test_it_places_a_trigger_after_hours_where_that_is_wanted(road):
    Strategy.objects.update(after_hours=AfterHours.GTT)
    road.market(1520)
    road.bench.clock(at=NIGHT, hours=True, frozen=True)
    order_id = road.alert(product="CNC")
    road.go(0, 1, 5)
    assert (road.order(order_id).status, Gtt.objects.get().state) == ("OPEN", "ACTIVE"), road.story(order_id)


def test_it_fails_after_hours_without_such_a_wish(road):
    road.bench.fault("place", "amo_hint")
    order_id = road.alert()
    road.go(0, 1)
    assert (road.order(order_id).status, road.order(order_id).status_reason, road.truth(order_id)) == ("FAILED", "MARKET_CLOSED", [])


def test_it_cancels_an_after_market_order_by_its_own_variety(road):
    Strategy.objects.update(after_hours=AfterHours.AMO)
    road.bench.clock(at=NIGHT, hours=True, frozen=True)
    order_id = road.alert(product="CNC")
    road.go(0, 1, 5)
    road.cancel(order_id)
    road.go(0, 1, 5)
    assert road.order(order_id).status == "CANCELLED" and road.truth(order_id)[0]["status"].startswith("CANCELLED")


def test_it_keeps_an_answer_nobody_knows(road):
    road.bench.fault("place", "malformed", body='{"status": "error", "message": "Markets are in a funny mood", "error_type": "OddException"}')
    order_id = road.alert()
    road.go(0, 1)
    assert road.order(order_id).status in ("UNKNOWN", "OPEN", "SENT") and events("ANSWER_UNCLASSIFIED").count() == 1
    assert "funny mood" in str(events("ANSWER_UNCLASSIFIED").get().data)


def test_it_changes_a_resting_order_at_the_broker(road):
    order_id = road.resting()
    order = Order.objects.select_related("account", "strategy", "instrument", "owner").get(pk=order_id)
    modify.modify(order, {"price": D("1480.03"), "quantity": D(12)}, actor="asha")
    road.go(0, 1, 5)
    now = road.truth(order_id)[0]
    assert (D(str(now["price"])), now["quantity"]) == (1480, 12)
    assert (road.order(order_id).price, road.order(order_id).quantity, road.order(order_id).pending_action) == (1480, 12, "")


@pytest.mark.parametrize(("buffer", "status"), [(50, "OPEN"), (80, "REJECTED_RISK")])
def test_it_holds_the_brokers_own_margin_of_a_contract_against_the_funds(road, buffer, status):
    """Kite asks 15 % of the value of a future; the money is enough for three times that."""
    market = road.bench.state.market
    item = next(i for i in market.by_key.values() if i.exchange == "NFO" and i.kind == "FUT")
    price = D(market.price(item.key))
    Instrument.objects.filter(tradingsymbol=item.tradingsymbol).update(freeze=D(10**4))
    RiskSettings.objects.filter(scope="GLOBAL").update(margin_buffer_pct=D(buffer), max_symbol_exposure=D(10**9), max_gross_exposure=D(10**9))
    for account in road.bench.state.accounts.values():
        account.cash = price * item.lot * D("0.45")
    books.read_all(road.account.pk)
    order_id = road.alert(symbol=item.key, quantity=item.lot, price=str(price - item.tick * 20), product="NRML")
    road.go(0, 1, 5)
    assert road.order(order_id).status == status, road.story(order_id)
    assert len(road.truth(order_id)) == (status == "OPEN")
