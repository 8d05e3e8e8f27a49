"""The road of an alert, from the body to the fill."""

import pytest

from trading.models import Fill, Order, OrderEvent, Position

pytestmark = pytest.mark.django_db


def test_it_fills_an_automatic_alert_on_paper_and_explains_it(desk):
    order = desk.filled("auto")
    assert (order.status, order.filled_quantity, order.average_price) == ("COMPLETE", 10, 1500)
    assert [e.to_status for e in order.events.all()] == ["QUEUED", "SENDING", "SENT", "COMPLETE"]
    assert order.why == "All 10 are filled at ₹1,500.00 on average. Nothing is left to do."
    assert Position.objects.get().quantity == 10
    assert Fill.objects.get().price == 1500


def test_it_lets_a_manual_alert_wait(desk):
    order = desk.order("manual")
    assert (order.status, order.mode, order.status_reason) == ("WAITING", "MANUAL", "")
    assert OrderEvent.objects.get().to_status == "WAITING"
    assert Order.objects.count() == 1


def test_it_tells_of_one_share_as_one(desk):
    order = desk.filled("auto", trade={"quantity": 1})
    assert order.why == "1 is filled at ₹1,500.00 on average. Nothing is left to do."
