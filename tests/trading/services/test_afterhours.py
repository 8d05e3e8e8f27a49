"""Market closed: what the strategy's after-hours setting makes of a refusal, and of nothing else."""

import pytest

from brokers.errors import Ambiguous, RateLimited, Rejected
from brokers.models import Instrument
from tests.trading.services.test_dispatch import again
from tests.trading.services.test_refusals import wire
from trading.models import AfterHours, Order, OrderAttempt
from trading.services import afterhours, dispatch, halt, orders

pytestmark = pytest.mark.django_db
CLOSED = "Your order could not be converted to a After Market Order (AMO)."


def closed() -> Rejected:
    return Rejected("MARKET_CLOSED", CLOSED)


@pytest.fixture
def night(desk):
    desk.auto.after_hours = AfterHours.AMO
    desk.auto.save()
    return desk


def test_it_sends_the_same_order_once_more_as_an_after_market_order(night, wire):
    broker = wire(closed(), amo=True)
    order = night.filled("auto")
    assert (order.status, order.status_reason, order.variety) == ("QUEUED", "AMO_FALLBACK", "amo")
    assert "sent again as an after-market order (AMO)" in order.events.last().text
    dispatch.work(order.pk)
    assert [(r.ref, r.amo) for r in broker.placed] == [(order.tag, False), (order.tag, True)]
    assert again(order).status == "SENT" and "for the next session" in again(order).why
    assert list(OrderAttempt.objects.values_list("outcome", flat=True)) == ["REFUSED", "ACCEPTED"]
    assert OrderAttempt.objects.last().payload["amo"] == "True"


def test_it_tries_only_once(night, wire):
    broker = wire(closed(), closed(), amo=True)
    order = night.filled("auto")
    dispatch.work(order.pk)
    dispatch.work(order.pk)
    assert (again(order).status, again(order).status_reason, len(broker.placed)) == ("FAILED", "MARKET_CLOSED", 2)
    assert "It was an after-market order already." in again(order).why


@pytest.mark.parametrize("answer", [Ambiguous("OTHER", "timed out"), Rejected("PRICE_BAND", "outside the band")])
def test_it_does_so_after_no_other_answer(night, wire, answer):
    broker = wire(answer, amo=True)
    order = night.filled("auto")
    assert order.status in ("UNKNOWN", "FAILED") and order.variety == "regular" and len(broker.placed) == 1


@pytest.mark.parametrize(("policy", "amo", "said"), [("OFF", True, ""), ("AMO", False, "takes no after-market orders")])
def test_it_fails_when_nobody_wants_or_takes_after_market_orders(night, wire, policy, amo, said):
    night.auto.after_hours = policy
    night.auto.save()
    wire(closed(), amo=amo)
    order = night.filled("auto")
    assert (order.status, order.status_reason) == ("FAILED", "MARKET_CLOSED") and said in order.why


def test_it_sends_no_market_order_for_an_index_option(night, wire):
    night.order("manual")
    Instrument.objects.update(kind="CE", name="NIFTY", provisional=False)
    wire(closed(), closed(), amo=True)
    order = night.filled("auto", trade={"order_type": "MARKET"})
    assert order.status == "FAILED" and "An index option is not taken as a market order after hours" in order.why
    night.auto.max_slippage_pct = 1
    night.auto.save()
    assert night.filled("auto", trade={"order_type": "MARKET"}).variety == "amo"


def test_it_asks_the_gate_again_and_obeys_the_kill_switch(night, wire):
    broker = wire(closed(), amo=True)
    order = night.filled("auto")
    halt.kill("GLOBAL", reason="test", actor="asha", cancel_open=False)
    dispatch.work(order.pk)
    assert again(order).status == "HELD" and len(broker.placed) == 1
    halt.release("GLOBAL", reason="test", actor="asha")
    orders.back_to_queue(again(order), actor="asha")
    assert again(order).variety == "regular"


def test_it_stays_an_after_market_order_while_the_desk_keeps_to_limits(night, wire):
    broker = wire(closed(), RateLimited("TOO_MANY_REQUESTS", "no room", local=True, retry_after=0), amo=True)
    order = night.filled("auto")
    for _ in range(2):
        Order.objects.update(due_at=None)
        dispatch.work(order.pk)
    assert [r.amo for r in broker.placed] == [False, True, True] and again(order).status == "SENT"


def test_it_makes_no_iceberg_an_after_market_order(night, wire):
    order = again(night.order("manual"))
    order.strategy, order.iceberg_legs = night.auto, 3
    wire(amo=True)
    assert afterhours.why_not(order) == "An iceberg cannot be an after-market order."


@pytest.mark.parametrize(("trade", "gtt", "said"), [
    ({"product": "CNC", "order_type": "LIMIT"}, True, ""),
    ({"product": "CNC", "order_type": "MARKET"}, True, "Only a limit order can wait as a trigger (GTT)."),
    ({"product": "MIS", "order_type": "LIMIT"}, True, "A trigger (GTT) for shares needs the product CNC."),
    ({"product": "CNC", "order_type": "LIMIT"}, False, "keeps no triggers (GTT)."),
])  # fmt: skip
def test_it_turns_a_limit_order_into_a_trigger_where_that_is_wanted(night, wire, trade, gtt, said):
    night.auto.after_hours = AfterHours.GTT
    night.auto.save()
    wire(closed(), gtt=gtt)
    order = night.filled("auto", trade=trade)
    if said:
        assert (order.status, order.gtt) == ("FAILED", False) and said in order.why
    else:
        assert (order.status, order.status_reason, order.gtt) == ("QUEUED", "GTT_FALLBACK", True)
        assert afterhours.why_not(order) == "It was a trigger already."


__all__ = ["wire"]
