"""What must hold whatever happens: no exit beyond the position, no trigger or order twice, nothing lost from sight."""

from datetime import timedelta
from decimal import Decimal

import pytest

from tests.zerodha.test_gtt import active, entered, full_read, guard
from trading.models import Order, Position, SystemEvent
from trading.services import modify
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
