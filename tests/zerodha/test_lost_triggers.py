"""Triggers (GTT) of which the broker says too little: fired without an order, gone from the list, not to be deleted, made for nothing."""

from datetime import timedelta

import pytest

from brokers.models import BrokerAccount
from tests.zerodha.test_books import outside
from tests.zerodha.test_gtt import BOTH, active, entered, full_read, guard
from trading.models import Gtt, Order, SystemEvent
from trading.selectors import gtts
from trading.services import brackets, gtt, orders, resolve
from trading.web import rows
from tvapp.lib import clock
from tvapp.lib.errors import AppError


def there(road) -> dict:
    return next(iter(road.bench.state.accounts.values())).gtts


def fired(road) -> Order:
    """The trigger of an entry fired, and the broker names no order for it."""
    child = guard(entered(road))
    next(iter(there(road).values()))["status"] = "triggered"
    full_read(road)
    assert (road.order(child.pk).status, Gtt.objects.get().state) == ("OPEN", "TRIGGERED")
    return child


@pytest.mark.parametrize("leaves", [True, False])
def test_it_asks_a_person_when_a_fired_trigger_names_no_order_in_time(road, leaves):
    child = fired(road)
    if leaves:
        there(road).clear()
    road.go(60)
    full_read(road)
    assert road.order(child.pk).status == "OPEN"
    road.go(90)
    full_read(road)
    order = road.order(child.pk)
    assert (order.status, order.status_reason) == ("NEEDS_REVIEW", "GTT_UNNAMED"), road.story(child.pk)
    assert SystemEvent.objects.filter(code="GTT_UNNAMED", level="ERROR").count() == 1


def test_it_takes_the_order_of_a_trigger_that_is_named_late(road):
    child = fired(road)
    road.go(130)
    full_read(road)
    assert road.order(child.pk).status == "NEEDS_REVIEW"
    placed = outside(road, transaction_type="SELL", quantity=10, price=1490, product="CNC")
    result = {"status": "success", "order_id": placed["order_id"], "rejection_reason": ""}
    next(iter(there(road).values()))["orders"][0]["result"] = {"order_result": result}
    full_read(road)
    road.go(5, 5)
    assert (road.order(child.pk).status, road.order(child.pk).broker_order_id) == ("COMPLETE", placed["order_id"]), road.story(child.pk)
    assert not Order.objects.filter(source="EXTERNAL").exists()


def test_it_offers_no_new_order_for_a_trigger_that_fired_on_an_earlier_day(road):
    child = fired(road)
    road.go(130)
    full_read(road)
    assert resolve.may_send_again(road.order(child.pk))
    road.time.shift(86400)
    assert not resolve.may_send_again(road.order(child.pk))
    with pytest.raises(AppError, match="earlier day"):
        resolve.resolve(road.order(child.pk), "SEND_NOW", actor="asha")


def left(road, **facts) -> Order:
    """The trigger of an entry is no longer in the broker's list."""
    child = guard(entered(road))
    Gtt.objects.update(**facts)
    there(road).clear()
    road.time.shift(2)
    full_read(road)
    return road.order(child.pk)


def test_it_says_that_a_trigger_was_deleted_elsewhere(road):
    order = left(road)
    assert (order.status, order.status_reason) == ("CANCELLED", "GTT_DELETED") and "deleted at Zerodha, not from this desk" in order.why


def test_it_says_that_a_trigger_is_over(road):
    order = left(road, created_at=clock.now() - timedelta(days=366))
    assert (order.status, order.status_reason) == ("EXPIRED", "GTT_EXPIRED") and "for a year" in order.why


def test_it_asks_when_a_trigger_may_have_fired_unseen(road):
    order = left(road, seen_at=clock.now() - timedelta(days=3))
    assert (order.status, order.status_reason, Gtt.objects.get().state) == ("NEEDS_REVIEW", "GTT_GONE", "GONE")
    assert "it was deleted there, or it fired" in order.why


def test_it_tells_a_person_when_an_old_trigger_cannot_be_deleted(road, monkeypatch):
    order = entered(road)
    refuse = lambda name: road.bench.fault("gtt", "400_margin") if name == "asks.intent" else None  # noqa: E731
    monkeypatch.setattr(gtt.crash, "point", refuse)
    road.alert(order_action="SELL", quantity=4, order_type="LIMIT", price=1495, product="CNC")
    road.go(0, 1, *[31] * 4)
    old, new = order.children.order_by("id")
    assert (old.status, new.status, new.status_reason) == ("OPEN", "WAITING", "GTT_STANDS"), road.story(new.pk)
    event = SystemEvent.objects.get(code="GTT_STANDS")
    assert event.level == "ERROR" and "delete it in your broker's app" in event.message
    asked = old.attempts.filter(kind="GTT").count()
    road.go(*[31] * 4)
    assert old.attempts.filter(kind="GTT").count() == asked


def test_it_guards_an_entry_whose_trigger_fires_after_days(road, monkeypatch):
    order_id = road.alert(strategy="kite-manual", order_type="LIMIT", price=1450, product="CNC", **BOTH)
    Order.objects.filter(pk=order_id).update(gtt=True)
    orders.approve(road.order(order_id), actor="asha")
    road.go(0, 1)
    assert road.order(order_id).status == "OPEN", road.story(order_id)
    Order.objects.filter(pk=order_id).update(created_at=clock.now() - timedelta(days=9))
    monkeypatch.setattr(brackets, "follow", lambda order_id: 0)
    road.market(1449)
    full_read(road)
    road.go(5, 5)
    assert road.order(order_id).status == "COMPLETE" and not road.order(order_id).children.exists()
    monkeypatch.undo()
    road.go(1, 5)
    assert road.order(order_id).children.count() == 1


def test_it_offers_no_change_of_a_standing_trigger(road):
    assert "modify" not in rows.actions(guard(entered(road)))


def test_it_names_a_trigger_from_outside_that_closes_nothing(road):
    leg = {"transaction_type": "SELL", "quantity": 1, "order_type": "LIMIT", "product": "CNC", "price": 1600}
    facts = {"tradingsymbol": "INFY", "exchange": "NSE", "trigger_values": [1600], "last_price": 1500, "orders": [leg]}
    road.bench.kite().place_gtt(trigger_type="single", **facts)
    road.log_in()
    full_read(road)
    assert gtts.orphans(road.account) == []
    next(iter(road.bench.state.accounts.values())).holdings.clear()
    full_read(road)
    (text,) = gtts.orphans(BrokerAccount.objects.get(pk=road.account.pk))
    assert "would sell 1 INFY (CNC), and Zerodha holds nothing of it" in text
    assert len(active(road)) == 1
