"""What becomes of an order by the gate's word: held and resumed, asked about, refused; and what several claims at once may take."""

from datetime import timedelta
from decimal import Decimal as D

import pytest
import time_machine

from risk.models import MarketHours, RiskSettings
from tests.factories import QuoteFactory
from tests.trading.desk import wide_limits
from trading.models import Order
from trading.services import dispatch, orders, sweeper
from tvapp.lib import clock
from tvapp.lib.errors import AppError

pytestmark = pytest.mark.django_db
MONDAY = "2026-11-23T{}+05:30"


def at(time: str):
    return time_machine.travel(MONDAY.format(time), tick=False)


def limits(**values) -> None:
    RiskSettings.objects.filter(scope="GLOBAL").update(**values)


def again(order: Order) -> Order:
    return Order.objects.get(pk=order.pk)


@pytest.fixture
def closed(desk):
    """NSE opens at 9:15."""
    limits(session_policy="DEFER")
    MarketHours.objects.create(exchange="NSE", opens="09:15", closes="15:30", maintained_from="2026-01-01", maintained_to="2027-12-31")
    return desk


def test_it_holds_an_alert_of_the_last_minutes_for_the_open_and_sends_it_then(closed):
    with at("09:05"):
        order = closed.filled("auto")
        assert (order.status, order.status_reason) == ("HELD", "SESSION_CLOSED")
        sweeper.sweep()
        assert again(order).status == "HELD"
    with at("09:15:01"):
        sweeper.sweep()
        dispatch.work(order.pk)
        assert again(order).status == "COMPLETE", again(order).why


def test_it_refuses_an_alert_that_would_be_held_for_longer_than_allowed(closed):
    with at("08:30"):
        order = closed.filled("auto")
        assert (order.status, order.status_reason) == ("REJECTED_RISK", "SESSION_CLOSED")


def test_it_ends_what_was_held_too_long(closed):
    with at("09:05"):
        order = closed.filled("auto")
    with at("09:25"):  # nobody swept at the open
        sweeper.sweep()
        assert again(order).status == "STALE" and "15 min" in again(order).why


def test_it_holds_until_a_window_without_entries_ends(desk):
    limits(no_trade_windows=["12:00-12:10 DEFER", "14:00-14:10"])
    with at("12:05"):
        order = desk.filled("auto")
        assert (order.status, order.status_reason) == ("HELD", "SESSION_NO_TRADE_WINDOW")
    with at("12:10:01"):
        sweeper.sweep()
        dispatch.work(order.pk)
        assert again(order).status == "COMPLETE", again(order).why
    with at("14:05"):
        assert desk.filled("auto", symbol="NSE:SBIN").status == "REJECTED_RISK"


def test_it_asks_a_person_about_an_alert_that_was_overtaken(desk):
    now = clock.now()
    fired = [(now - timedelta(seconds=ago)).isoformat() for ago in (5, 20)]
    assert desk.filled("auto", timestamp=fired[0], trade={"price": 1501}).status == "COMPLETE"
    late = desk.filled("auto", timestamp=fired[1])
    assert (late.status, late.status_reason, late.mode) == ("WAITING", "SIGNAL_OUT_OF_ORDER", "MANUAL")


def test_it_refuses_one_order_more_than_may_rest_in_words(desk):
    limits(max_open_orders=D(2))
    QuoteFactory(ltp=D(1600))  # all of them rest below it
    orders = [desk.filled("auto", trade={"order_type": "LIMIT", "price": 1500 - n}) for n in range(3)]
    assert orders[2].status == "REJECTED_RISK" and "max_open_orders=2 (GLOBAL)" in orders[2].why, [o.why for o in orders]


def test_it_counts_a_change_at_its_larger_value_until_it_is_confirmed(desk):
    wide_limits(max_gross_exposure=D(31_000))
    resting = desk.filled("auto", trade={"order_type": "LIMIT", "price": 1000})
    Order.objects.filter(pk=resting.pk).update(status="OPEN", filled_quantity=0, pending_action="MODIFY", pending_changes={"quantity": "25"})
    second = desk.filled("auto", symbol="NSE:SBIN", trade={"order_type": "LIMIT", "price": 1000, "quantity": 7})
    assert (second.status, second.status_reason) == ("REJECTED_RISK", "EXPOSURE_GROSS"), second.why


def test_it_tells_the_slower_of_two_people_that_somebody_was_first_whatever_the_gate_says_by_then(desk):
    order = desk.order("manual")
    late = Order.objects.get(pk=order.pk)
    orders.approve(order, actor="asha")
    RiskSettings.objects.filter(scope="GLOBAL").update(symbol_deny_list=["INFY"])
    with pytest.raises(AppError) as lost:
        orders.approve(late, actor="ben")
    assert (lost.value.status, lost.value.code) == (409, "ORDER_NOT_WAITING")
