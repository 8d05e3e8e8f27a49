"""Stop and target of an intraday position are two orders at Zerodha: the other one goes at once, and when both filled that is put right."""

import json

import pytest
from django_q.models import OrmQ

from tests.tvapp.people import browser
from tests.zerodha.test_drift import entered, held, there
from trading.models import Order, SystemEvent
from trading.services import polling, turned
from tvapp.lib.errors import AppError


def exits(order) -> dict:
    return {child.role: child for child in order.children.order_by("id")}


def test_it_says_which_half_of_a_pair_filled(road):
    order = entered(road)
    road.market(1551)
    road.go(15, 5, 5)
    stop, target = exits(order)["STOP"], exits(order)["TARGET"]
    assert (target.status, stop.status) == ("COMPLETE", "CANCELLED"), road.story(stop.pk)
    assert f"because its target O-{target.pk} filled" in stop.why


def test_it_looks_at_stop_and_target_at_once_when_the_broker_hints(road):
    order = entered(road)
    road.read_books()
    OrmQ.objects.all().delete()
    road.market(1551)
    road.time.shift(1)
    polling.hinted(road.account.pk)
    for bell in OrmQ.objects.all():
        if bell.task["func"] != "trading.tasks.ring":  # the whole book comes later: the two are read by themselves
            bell.delete()
    assert OrmQ.objects.count() == 2
    road.work_off()
    assert exits(order)["TARGET"].status == "COMPLETE", road.story(exits(order)["TARGET"].pk)
    assert exits(order)["STOP"].pending_action == "CANCEL" or exits(order)["STOP"].status == "CANCELLED"


def both_filled(road) -> Order:
    """The market ran through the target and back through the stop before anybody looked."""
    order = entered(road)
    road.market(1551)
    road.market(1465)
    road.go(15, 5, 5)
    assert there(road) == -10 and held(road) == {"STRATEGY": -10}, [road.story(c.pk) for c in order.children.all()]
    return order


def test_it_says_that_both_filled_and_closes_it_on_one_click(road):
    order = both_filled(road)
    event = SystemEvent.objects.get(code="EXITS_CROSSED")
    assert event.level == "ERROR" and "both filled: 10 INFY (MIS) stand short now" in event.message
    client = browser(road.owner)
    assert "Close 10</button>" in client.get("/positions").content.decode()
    assert "Close 10</button>" in client.get(f"/orders/{event.order_id}").content.decode()
    client.post(f"/orders/{event.order_id}/close")
    road.go(0, 1, 5, 5)
    made = Order.objects.get(source="CLOSE")
    assert (made.status, made.side, made.reduce_only) == ("COMPLETE", "BUY", True), road.story(made.pk)
    assert (there(road), held(road)) == (0, {"STRATEGY": 0})
    assert "Close 10</button>" not in client.get("/positions").content.decode()
    assert json.loads(client.post(f"/api/orders/{event.order_id}/close").content)["code"] == "NOTHING_TO_CLOSE"
    assert SystemEvent.objects.filter(code="EXITS_CROSSED").count() == 1 and order.status == "COMPLETE"


def test_it_closes_it_once(road):
    both_filled(road)
    child = SystemEvent.objects.get(code="EXITS_CROSSED").order
    turned.close(child, actor="asha")
    with pytest.raises(AppError, match="closes it already"):
        turned.close(child, actor="asha")
