"""Changing a live order: judged first, sent once, done only when the broker shows it."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal as D

import pytest
import time_machine
from django.test import Client

from brokers.errors import Ambiguous, RateLimited, Rejected, Unavailable
from brokers.models import Instrument, Quote
from brokers.types import OrderType, Status
from risk.models import Decision, RiskSettings
from tests.trading.services.test_dispatch import again
from tests.trading.services.test_refusals import MORNING, wire
from trading.models import Order, OrderAttempt, SystemEvent
from trading.services import dispatch, halt, modify, orders, sync
from tvapp.lib import clock
from tvapp.lib.errors import AppError

pytestmark = pytest.mark.django_db
LIMIT = {"order_type": "LIMIT", "price": "1400", "quantity": 10}


@pytest.fixture
def hand():
    with time_machine.travel(MORNING, tick=False) as traveller:
        yield traveller


@pytest.fixture
def resting(desk, wire, hand):
    """A LIMIT order for 10 at 1400 that rests at a broker."""
    broker = wire()
    order = desk.filled("auto", trade=LIMIT)
    broker.show(order)
    sync.pull(again(order))
    hand.shift(timedelta(seconds=1))
    return broker, order


def change(order, **wanted):
    modify.modify(again(order), {name: D(value) for name, value in wanted.items()}, actor="asha")


def shows(broker, order, **values):
    """The broker's book now has these values."""
    last = broker.book[order.tag][-1]
    broker.book[order.tag].append(replace(last, updated_at=clock.now(), **{name: D(value) for name, value in values.items()}))


def kinds(order) -> list[str]:
    return list(order.events.values_list("kind", flat=True))


def test_it_keeps_the_old_values_until_the_broker_shows_the_new(resting):
    broker, order = resting
    change(order, price="1410", quantity="12")
    assert [d.requested for d in Decision.objects.filter(order_key=order.pk).order_by("id")] == [10, 12]
    dispatch.work(order.pk)
    assert broker.changed[0][1] == {"price": D(1410), "quantity": D(12)} and broker.changed[0][0].variety == "regular"
    assert (again(order).price, again(order).quantity, again(order).pending_action) == (1400, 10, "MODIFY")
    shows(broker, order, price="1410", quantity="12")
    dispatch.work(order.pk)
    assert (again(order).price, again(order).quantity, again(order).pending_action, again(order).modifications) == (1410, 12, "", 1)
    assert len(broker.changed) == 1 and OrderAttempt.objects.get(kind="MODIFY").payload["price"] == "1410"


def test_it_sends_a_second_change_after_the_first_was_seen(resting, hand):
    broker, order = resting
    for price in ("1410", "1420"):
        change(order, price=price)
        dispatch.work(order.pk)
        shows(broker, order, price=price)
        sync.pull(again(order))
        dispatch.work(order.pk)
        assert (again(order).price, again(order).pending_action) == (D(price), "")
        hand.shift(timedelta(seconds=1))
    assert [c["price"] for _, c in broker.changed] == [1410, 1420]


def test_it_measures_fills_by_the_new_quantity_as_soon_as_the_broker_shows_it(resting):
    broker, order = resting
    change(order, quantity="12")
    dispatch.work(order.pk)
    shows(broker, order, quantity="12", filled="12")
    broker.book[order.tag].append(replace(broker.book[order.tag][-1], status=Status.FILLED))
    broker.fill(D(12), D(1400), broker_id=order.broker_order_id)
    sync.pull(again(order))
    assert (again(order).status, again(order).quantity, again(order).filled_quantity) == ("COMPLETE", 12, 12)
    assert not SystemEvent.objects.filter(code="OVERFILLED").exists()


def test_it_moves_a_new_price_to_the_tick(resting):
    _, order = resting
    change(order, price="1410.03")
    assert again(order).pending_changes == {"price": "1410"}


def test_it_says_when_the_broker_did_not_change_it(resting):
    broker, order = resting
    broker.refusals = [Rejected("ORDER_BUSY", "Order is being processed. Try later.")]
    change(order, price="1410")
    dispatch.work(order.pk)
    assert (again(order).price, again(order).pending_action, kinds(order)[-1]) == (1400, "", "CHANGE_REFUSED")
    assert "being processed" in order.events.last().text


def test_it_reads_and_never_repeats_a_change_whose_answer_was_lost(resting, hand):
    broker, order = resting
    broker.refusals = [Ambiguous("OTHER", "timed out")]
    change(order, price="1410")
    for _ in range(3):
        dispatch.work(order.pk)
        hand.shift(timedelta(seconds=2))
    assert len(broker.changed) == 1 and again(order).pending_action == "MODIFY"
    hand.shift(timedelta(seconds=60))
    dispatch.work(order.pk)
    assert (again(order).pending_action, len(broker.changed)) == ("", 1)
    assert order.events.last().text == "The broker does not show the change. The old values count."


def test_it_does_not_send_again_after_a_worker_died_with_the_call(resting, hand):
    broker, order = resting
    change(order, price="1410")
    OrderAttempt.objects.create(order=order, kind="MODIFY", no=1, payload={}, payload_hash="", process="")
    hand.shift(timedelta(seconds=2))
    dispatch.work(order.pk)
    assert broker.changed == []


@pytest.mark.parametrize("answer", [RateLimited("TOO_MANY_REQUESTS", "slow down"), Unavailable("OTHER", "refused")])
def test_it_repeats_what_provably_did_not_leave_and_gives_up_in_time(resting, hand, answer):
    broker, order = resting
    broker.refusals = [answer]
    change(order, price="1410")
    for _ in range(2):
        dispatch.work(order.pk)
        hand.shift(timedelta(seconds=2))
    assert (len(broker.changed), again(order).modifications) == (2, 1)
    shows(broker, order, price="1410")
    dispatch.work(order.pk)
    broker.refusals = [answer] * 9
    change(order, price="1420")
    dispatch.work(order.pk)
    hand.shift(timedelta(seconds=61))
    dispatch.work(order.pk)
    assert again(order).pending_action == "" and "could not be sent for 60 s" in order.events.last().text


def test_it_stops_at_the_brokers_number_of_changes(resting):
    broker, order = resting
    broker.caps = replace(broker.caps, modifications=2)
    Order.objects.update(modifications=2)
    change(order, price="1410")
    dispatch.work(order.pk)
    assert broker.changed == [] and "changed 2 times" in order.events.last().text


def test_it_sends_no_change_while_trading_is_stopped_but_a_smaller_quantity(resting, hand):
    broker, order = resting
    change(order, price="1410")
    halt.kill("GLOBAL", reason="test", actor="asha", cancel_open=False)
    dispatch.work(order.pk)
    assert broker.changed == [] and "trading is stopped" in order.events.last().text
    with pytest.raises(AppError, match="HALTED"):
        change(order, price="1410")
    hand.shift(timedelta(seconds=1))
    change(order, quantity="5")
    dispatch.work(order.pk)
    assert broker.changed[0][1] == {"quantity": D(5)}


def test_it_lets_a_cancel_go_before_a_change(resting):
    broker, order = resting
    change(order, price="1410")
    orders.cancel(again(order), actor="asha")
    dispatch.work(order.pk)
    assert (broker.changed, len(broker.cancelled)) == ([], 1)


# --------------------------------------------------------------------------- refused here
@pytest.mark.parametrize(("wanted", "code"), [
    ({"quantity": "100000"}, "RISK_ADVISORY_REJECT"), ({"price": "15000"}, "RISK_ADVISORY_REJECT"), ({"trigger_price": "1390"}, "INVALID_VALUE"),
    ({"price": "0.01"}, "PRICE_OFF_TICK"), ({"quantity": "30"}, "QTY_FREEZE"), ({"quantity": "4"}, "QUANTITY_FILLED"),
])  # fmt: skip
def test_it_refuses_a_change_that_no_new_order_could_be(resting, wanted, code):
    broker, order = resting
    RiskSettings.objects.update(max_order_value=D(100_000), max_quantity_per_order=D(500))
    if code == "QTY_FREEZE":
        Instrument.objects.update(freeze=D(25))
    if code == "QUANTITY_FILLED":
        broker.fill(D(4), D(1400), broker_id=order.broker_order_id)
        sync.pull(again(order))
    with pytest.raises(AppError) as refused:
        change(order, **wanted)
    assert (refused.value.code, refused.value.status, again(order).pending_action) == (code, 422, "")


def test_it_judges_what_is_left_and_lets_less_go_unasked(resting):
    broker, order = resting
    RiskSettings.objects.update(max_quantity_per_order=D(8))
    broker.fill(D(4), D(1400), broker_id=order.broker_order_id)
    sync.pull(again(order))
    change(order, quantity="12")
    assert again(order).pending_changes == {"quantity": "12"}


def test_it_changes_only_what_rests(desk, wire):
    order = desk.order("manual")
    with pytest.raises(AppError, match="Only an order that rests"):
        change(order, price="1410")


def test_it_changes_the_limit_of_a_market_order_that_was_sent_as_one(desk, wire, hand):
    desk.auto.max_slippage_pct = 1
    desk.auto.save()
    broker = wire()
    order = desk.filled("auto", trade={"order_type": "MARKET"})
    broker.show(order)
    sync.pull(again(order))
    assert modify.fields_of(again(order)) == ("quantity", "price") and again(order).order_type == OrderType.MARKET
    hand.shift(timedelta(seconds=1))
    change(order, price="1520")
    assert dispatch.work(order.pk) == "change asked" and broker.changed[0][1] == {"price": D(1520)}


# ------------------------------------------------------------------------------ by hand
def test_it_is_asked_for_on_the_page_and_over_the_api(desk):
    Quote.objects.create(instrument=desk.order("manual").instrument, ltp=D(1500), at=clock.now())
    order = desk.filled("auto", trade=LIMIT)
    client = Client()
    client.force_login(desk.owner)
    page = client.get(f"/orders/{order.pk}").content.decode()
    assert "Change it at the broker" in page and 'name="trigger_price"' not in page
    answer = client.post(f"/orders/{order.pk}/modify", {"page": "order", "quantity": "10", "price": "1410", "version": again(order).version}, follow=True)
    assert "Change asked of the broker" in answer.content.decode() and again(order).pending_changes == {"price": "1410"}
    dispatch.work(order.pk)
    assert (again(order).price, again(order).pending_action) == (1410, "")
    done = client.post(f"/api/orders/{order.pk}/modify", {"quantity": "7"}, content_type="application/json")
    assert (done.status_code, done.json()["pending_action"]) == (202, "MODIFY")
    dispatch.work(order.pk)
    assert again(order).quantity == 7
    refused = client.post(f"/api/orders/{order.pk}/modify", {"quantity": "1000000"}, content_type="application/json")
    assert (refused.status_code, refused.json()["code"]) == (422, "RISK_ADVISORY_REJECT")
    assert client.post(f"/api/orders/{order.pk}/modify", {"side": "SELL"}, content_type="application/json").json()["code"] == "UNKNOWN_FIELD"


__all__ = ["wire"]
