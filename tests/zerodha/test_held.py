"""What must hold whatever happens: no exit beyond the position, no trigger or order twice, nothing lost from sight."""

from datetime import timedelta
from decimal import Decimal

import pytest

from brokers.models import Instrument
from tests.zerodha.test_books import outside
from tests.zerodha.test_gtt import active, entered, full_read, guard, losing_the_answer
from trading.models import Order, Position, SystemEvent
from trading.services import modify, orders, resolve
from tvapp.lib import clock
from tvapp.lib.errors import AppError


def quantities(road) -> list[list[int]]:
    return [[leg["quantity"] for leg in row["orders"]] for row in active(road)]


def test_it_makes_a_trigger_smaller_when_a_part_is_closed(road):
    order = entered(road)
    out = road.alert(order_action="SELL", quantity=4, order_type="LIMIT", price=1495, product="CNC")
    road.go(0, 1, 1, 2, 5, 5, 5)
    assert road.order(out).status == "COMPLETE", road.story(out)
    assert Position.objects.get().quantity == 6
    assert quantities(road) == [[6, 6]], [road.story(o.pk) for o in order.children.all()]
    assert [o.quantity for o in order.children.filter(status="OPEN")] == [6]
    assert not SystemEvent.objects.filter(code="UNPROTECTED").exists()


def test_it_refuses_to_change_a_trigger_as_if_it_were_an_order(road):
    child = guard(entered(road))
    with pytest.raises(AppError, match="trigger"):
        modify.modify(child, {"quantity": Decimal(5)}, actor="asha")


def test_it_says_when_an_old_trigger_was_ended_by_the_broker(road):
    order = entered(road)
    Order.objects.filter(pk=guard(order).pk).update(created_at=clock.now() - timedelta(days=9))
    active(road)[0]["status"] = "cancelled"
    full_read(road)
    road.go(5, 5)
    assert guard(order).status == "CANCELLED"
    assert SystemEvent.objects.filter(code="UNPROTECTED").count() == 1


def lost_trigger(road, monkeypatch) -> Order:
    """A buy that stands as a trigger at the broker, while the desk has no answer and cannot read the triggers."""
    order_id = road.alert(strategy="kite-manual", price=1400, product="CNC")
    Order.objects.filter(pk=order_id).update(gtt=True)
    losing_the_answer(road, monkeypatch, "drop_after")
    orders.approve(road.order(order_id), actor="asha")
    road.go(0)
    road.bench.fault("gtt", "5xx_before", times=0)
    road.go(*[30] * 12)
    assert (road.order(order_id).status, len(active(road))) == ("NEEDS_REVIEW", 1), road.story(order_id)
    return road.order(order_id)


def test_it_takes_the_order_book_for_no_proof_that_a_trigger_is_absent(road, monkeypatch):
    order = lost_trigger(road, monkeypatch)
    with pytest.raises(AppError, match="read once more"):
        resolve.resolve(order, "SEND_NOW", actor="asha")
    road.bench.fault("gtt", "ok")
    full_read(road)
    assert (road.order(order.pk).status, len(active(road))) == ("OPEN", 1)


def refused(road, monkeypatch, **facts) -> Order:
    order_id = road.alert(strategy="kite-manual", price=1400, product="CNC", **facts)
    Order.objects.filter(pk=order_id).update(status="FAILED", gtt=True)
    return road.order(order_id)


def test_it_copies_an_order_with_its_stop_and_as_the_trigger_it_was(road, monkeypatch):
    old = refused(road, monkeypatch, stop_loss={"points": 30})
    new = orders.resubmit(old, actor="asha")
    assert (new.gtt, new.brackets) == (True, old.brackets) and new.brackets


def test_it_guards_what_is_more_than_the_exchange_takes_at_once_in_pairs_that_fit(road):
    order_id = road.alert(price=1500, product="CNC", stop_loss={"points": 30}, take_profit={"points": 50})
    road.work_off()
    Instrument.objects.filter(tradingsymbol="INFY").update(freeze=4)  # an iceberg fills more than that
    road.go(0, 1, 5, 5)
    assert road.order(order_id).status == "COMPLETE", road.story(order_id)
    assert sorted(quantities(road)) == [[2, 2], [4, 4], [4, 4]]
    assert not Order.objects.filter(source="SLICE").exists()


def test_it_waits_until_the_broker_names_the_order_of_a_fired_trigger(road):
    order = entered(road)
    row = next(iter(next(iter(road.bench.state.accounts.values())).gtts.values()))
    facts = {"order_type": "LIMIT", "transaction_type": "SELL", "quantity": 10, "price": 1490, "product": "CNC"}
    placed = outside(road, **facts)
    row["status"] = "triggered"
    road.read_books()
    road.read_books()
    assert not Order.objects.filter(source="EXTERNAL").exists()
    row["orders"][0]["result"] = {"order_result": {"status": "success", "order_id": placed["order_id"], "rejection_reason": ""}}
    full_read(road)
    full_read(road)
    assert (guard(order).status, guard(order).broker_order_id) == ("COMPLETE", placed["order_id"]), road.story(guard(order).pk)
    assert Position.objects.get().quantity == 0
