"""Stops and targets as triggers at the broker (GTT), on the simulator: placed, fired, refused, lost and found, deleted."""

import pytest

from brokers.models import Quote
from trading.models import Gtt, Order, OrderAttempt, Position, Strategy, SystemEvent
from trading.services import gtt, orders
from tvapp.lib.errors import AppError

BOTH = {"stop_loss": {"points": 30}, "take_profit": {"points": 50}}


def entered(road, **more) -> Order:
    """A delivery buy of 10 INFY at 1500, filled, with its stop and target."""
    order_id = road.alert(order_type="LIMIT", price=1500, product="CNC", **{**BOTH, **more})
    road.go(0, 1, 5)
    order = road.order(order_id)
    assert order.status == "COMPLETE", road.story(order_id)
    return order


def guard(order) -> Order:
    return order.children.get()


def active(road) -> list[dict]:
    return [row for row in next(iter(road.bench.state.accounts.values())).gtts.values() if row["status"] == "active"]


def full_read(road) -> None:
    from trading.services import books

    books.read_all(road.account.pk)
    road.work_off()


def test_it_places_one_trigger_for_stop_and_target(road):
    order = entered(road)
    child, row = guard(order), Gtt.objects.get()
    assert (child.role, child.gtt, child.status, child.broker_order_id) == ("OCO", True, "OPEN", ""), road.story(child.pk)
    assert (row.kind, row.state, row.triggers, row.order) == ("OCO", "ACTIVE", ["1470", "1550"], child)
    assert f"GTT {row.broker_gtt_id}" in child.why
    there = active(road)
    assert [str(t) for t in there[0]["condition"]["trigger_values"]] == ["1470.0", "1550.0"]
    assert [(leg["quantity"], str(leg["price"])) for leg in there[0]["orders"]] == [(10, "1455.3"), (10, "1550.0")]
    assert OrderAttempt.objects.filter(order=child, kind="GTT", outcome="ACCEPTED").count() == 1


def test_it_follows_the_order_that_the_trigger_placed(road):
    order = entered(road)
    road.market(1551)
    full_read(road)
    road.go(5, 5, 5, 5)
    child, row = guard(order), Gtt.objects.get()
    assert (row.state, row.results[1]["ok"]) == ("TRIGGERED", True)
    assert (child.status, child.filled_quantity) == ("COMPLETE", 10), road.story(child.pk)
    assert child.broker_order_id == row.results[1]["broker_order_id"]
    assert Position.objects.get().quantity == 0
    assert not Order.objects.filter(source="EXTERNAL").exists()


def test_it_knows_its_own_order_in_the_book_before_it_reads_the_triggers(road):
    order = entered(road)
    road.market(1551)
    road.read_books()
    road.go(5, 5, 5, 5)
    assert guard(order).status == "COMPLETE", road.story(guard(order).pk)
    assert not Order.objects.filter(source="EXTERNAL").exists()


def test_it_says_when_a_leg_fails(road):
    order = entered(road)
    account = next(iter(road.bench.state.accounts.values()))
    row = next(iter(account.gtts.values()))
    row["status"] = "triggered"
    row["orders"][0]["result"] = {"order_result": {"status": "failed", "order_id": "", "rejection_reason": "Authorise the sale at the depository first."}}
    full_read(road)
    child = guard(order)
    assert (child.status, child.status_reason) == ("REJECTED", "GTT_LEG_FAILED")
    event = SystemEvent.objects.get(code="GTT_LEG_FAILED")
    assert event.level == "ERROR" and "Authorise the sale" in event.message
    assert Strategy.objects.get(name="kite-auto").refusal == {}
    road.go(5, 5)
    assert SystemEvent.objects.filter(code="UNPROTECTED").count() == 1


def losing_the_answer(road, monkeypatch, mode):
    """The broker's answer to the next placing of a trigger is spoiled; reads before it are not."""
    monkeypatch.setattr(gtt.crash, "point", lambda name: road.bench.fault("gtt", mode) if name == "gtt.intent" else None)


@pytest.mark.parametrize("mode", ["drop_after", "5xx_after", "malformed"])
def test_it_finds_a_trigger_whose_placing_got_no_answer(road, monkeypatch, mode):
    losing_the_answer(road, monkeypatch, mode)
    order_id = road.alert(order_type="LIMIT", price=1500, product="CNC", **BOTH)
    road.go(0, 1, 5, 5)
    child = guard(road.order(order_id))
    road.go(1, 2, 4, 8, 15, 30)
    child.refresh_from_db()
    assert child.status == "OPEN", road.story(child.pk)
    assert len(active(road)) == 1
    assert [row.state for row in Gtt.objects.all()] == ["ACTIVE"]
    assert "the only new one" in child.why


def test_it_asks_a_person_when_a_lost_trigger_is_not_there_and_sends_nothing_again(road, monkeypatch):
    losing_the_answer(road, monkeypatch, "drop_before")
    order_id = road.alert(order_type="LIMIT", price=1500, product="CNC", **BOTH)
    road.go()
    child = guard(road.order(order_id))
    assert (child.status, active(road)) == ("NEEDS_REVIEW", []), road.story(child.pk)
    assert [row.state for row in Gtt.objects.all()] == ["UNKNOWN"]
    assert SystemEvent.objects.filter(code="UNPROTECTED").count() == 1


def test_it_deletes_the_trigger_when_the_position_is_closed(road):
    order = entered(road)
    out = road.alert(order_action="SELL", order_type="LIMIT", price=1495, product="CNC")
    road.go(0, 1, 2, 5, 5)
    assert road.order(out).status == "COMPLETE", road.story(out)
    assert (guard(order).status, Gtt.objects.get().state, active(road)) == ("CANCELLED", "DELETED", [])


def test_it_deletes_a_trigger_for_a_person_once(road):
    order = entered(road)
    gtt.ask_delete(Gtt.objects.get(), actor="asha")
    road.go(1)
    assert (guard(order).status, active(road)) == ("CANCELLED", [])
    with pytest.raises(AppError, match="There is nothing to delete"):
        gtt.ask_delete(Gtt.objects.get(), actor="asha")


def test_it_shows_triggers_placed_outside_and_deletes_them_on_wish(road):
    client = road.bench.kite()
    leg = {"transaction_type": "SELL", "quantity": 1, "order_type": "LIMIT", "product": "CNC", "price": 1600}
    facts = {"tradingsymbol": "INFY", "exchange": "NSE", "trigger_values": [1600], "last_price": 1500, "orders": [leg]}
    client.place_gtt(trigger_type="single", **facts)
    road.log_in()
    full_read(road)
    row = Gtt.objects.get()
    assert (row.order, row.state, row.triggers, row.legs[0]["side"]) == (None, "ACTIVE", ["1600"], "SELL")
    gtt.ask_delete(row, actor="asha")
    full_read(road)
    row.refresh_from_db()
    assert (row.state, active(road)) == ("DELETED", [])


def test_it_waits_without_a_real_price(road):
    order_id = road.alert(strategy="kite-manual", price=1400, product="CNC")
    Order.objects.filter(pk=order_id).update(status="QUEUED", gtt=True)
    Quote.objects.all().delete()
    assert gtt.prepare(road.order(order_id), _NoPrices()) is None
    assert (road.order(order_id).status, road.order(order_id).status_reason) == ("WAITING", "PRICE_UNAVAILABLE")


class _NoPrices:
    def quote(self, keys):
        return ()

    def list_gtts(self):
        return ()


def test_it_sends_a_waiting_limit_order_as_a_trigger(road):
    order_id = road.alert(strategy="kite-manual", order_type="LIMIT", price=1450, product="CNC")
    orders.edit(road.order(order_id), {"gtt": True}, actor="asha")
    orders.approve(road.order(order_id), actor="asha")
    road.go(0, 1)
    order, row = road.order(order_id), Gtt.objects.get()
    assert (order.status, row.kind, row.triggers) == ("OPEN", "SINGLE", ["1450"]), road.story(order_id)
    road.market(1449)
    full_read(road)
    road.go(5, 5, 5, 5)
    assert road.order(order_id).status == "COMPLETE", road.story(order_id)


class Killed(BaseException):
    """SIGKILL."""


@pytest.fixture
def dies(road, monkeypatch):
    """What is done meanwhile ends at once, right after a row of a trigger was written; what had not been committed is gone."""

    def at_its_row(act):
        write = gtt._write

        def written_last(row, **values):
            monkeypatch.setattr(gtt, "_write", write)
            write(row, **values)
            raise Killed

        monkeypatch.setattr(gtt, "_write", written_last)
        with pytest.raises(Killed):
            act()

    return at_its_row


def test_it_keeps_its_trigger_when_it_dies_before_the_order_says_so(road, dies):
    order_id = road.alert(order_type="LIMIT", price=1500, product="CNC", **BOTH)
    dies(lambda: road.go(0, 1, 5))
    road.go(30, 1, 2, 4, 8, 15, 30)
    child = guard(road.order(order_id))
    assert (child.status, len(active(road)), [row.state for row in Gtt.objects.all()]) == ("OPEN", 1, ["ACTIVE"]), road.story(child.pk)


def test_it_ends_the_order_of_a_deleted_trigger_when_it_dies_in_between(road, dies):
    order = entered(road)
    gtt.ask_delete(Gtt.objects.get(), actor="asha")
    dies(lambda: road.go(1))
    road.go(5, 5, 30)
    assert (guard(order).status, guard(order).pending_action, active(road)) == ("CANCELLED", "", []), road.story(guard(order).pk)


def test_it_follows_a_trigger_that_fired_when_it_dies_in_between(road, dies):
    order = entered(road)
    road.market(1551)
    dies(lambda: full_read(road))
    road.go(5, 5, 5, 60, 5)
    assert (guard(order).status, Position.objects.get().quantity) == ("COMPLETE", 0), road.story(guard(order).pk)
    assert not Order.objects.filter(source="EXTERNAL").exists()
