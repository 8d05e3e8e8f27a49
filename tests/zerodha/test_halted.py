"""While trading is stopped nothing new reaches the broker, on no road, and what only closes leaves where only entries are stopped."""

import pytest

from brokers import throttle
from risk.models import LiveArm
from tests import factories as make
from trading.models import AfterHours, Gtt, Order, Strategy, SystemEvent
from trading.services import dispatch, halt, modify
from tvapp.lib.errors import AppError

pytestmark = pytest.mark.django_db
GUARDED = {"stop_loss": {"points": 30}, "take_profit": {"points": 50}}


def stop(road, state: str = "HALTED") -> None:
    """Without cancelling what rests."""
    halt.kill("GLOBAL", reason="storm", actor="asha", cancel_open=False)
    if state != "HALTED":
        from risk.models import TradingState

        TradingState.objects.update(state=state)


def go_on(road) -> None:
    halt.release("GLOBAL", reason="over", actor="asha")
    road.go(0, 1, 5)


def writes(road) -> int:
    """Everything that was ever written to the broker: orders, changes and triggers."""
    return len([row for row in road.bench.get("log?event=request") if row["route"] in ("place", "modify", "gtt") and row["method"] != "GET"])


def between(monkeypatch, road) -> None:
    """The kill switch answers after the claim was committed and before the write."""
    claim = dispatch.claim

    def then_stopped(*args):
        done = claim(*args)
        stop(road)
        return done

    monkeypatch.setattr(dispatch, "claim", then_stopped)


@pytest.mark.parametrize("kind", ["plain", "trigger", "slice", "after hours"])
def test_it_writes_nothing_that_was_claimed_before_and_not_sent(road, monkeypatch, kind):
    if kind == "after hours":
        Strategy.objects.update(after_hours=AfterHours.AMO)
    if kind == "trigger":
        Strategy.objects.update(after_hours=AfterHours.GTT)
    order_id = road.alert(product="CNC", quantity=10)
    if kind == "trigger":
        Order.objects.filter(pk=order_id).update(gtt=True)
    if kind == "slice":
        type(road.order(order_id).instrument).objects.update(freeze=4)
    between(monkeypatch, road)
    road.go(0, 1, 5)
    states = set(Order.objects.values_list("status", "status_reason"))
    assert states == {("HELD", "STATE_HALTED")} and writes(road) == 0, road.story(order_id)


@pytest.mark.parametrize("trigger", [False, True])
def test_it_asks_once_more_after_the_wait_for_the_limiter(road, monkeypatch, trigger):
    acquire = throttle.acquire
    order_id = road.alert(product="CNC")
    Order.objects.filter(pk=order_id).update(gtt=trigger)

    def waits(account, kind, **more):
        acquire(account, kind, **more)
        if road.order(order_id).status == "SENDING":
            stop(road)

    monkeypatch.setattr(throttle, "acquire", waits)
    road.go(0, 1, 5)
    order = road.order(order_id)
    assert (order.status, order.status_reason, writes(road)) == ("HELD", "STATE_HALTED", 0), road.story(order_id)
    assert list(Gtt.objects.values_list("state", flat=True)) == (["FAILED"] if trigger else [])


def test_it_does_not_try_again_what_was_on_its_way_to_a_second_attempt(road):
    Strategy.objects.update(after_hours=AfterHours.AMO)
    road.bench.fault("place", "amo_hint")
    order_id = road.alert(product="CNC")
    dispatch.work(order_id)  # refused because the market is closed, and queued again as an after-market order
    assert road.order(order_id).status == "QUEUED", road.story(order_id)
    stop(road)
    road.go(0, 1, 5)
    assert road.order(order_id).status == "HELD" and road.truth(order_id) == []


def test_it_sends_no_change_and_carries_out_a_cancel(road):
    order_id = road.resting()
    road.change(order_id, price="1480")
    stop(road)
    before = writes(road)
    road.go(0, 1, 5)
    assert writes(road) == before and "trading is stopped" in road.story(order_id)
    road.cancel(order_id)
    road.go(0, 1, 5)
    assert road.order(order_id).status == "CANCELLED", road.story(order_id)


def test_it_says_loudly_that_a_fill_has_no_stop_and_places_it_after_the_release(road):
    order_id = road.alert(product="MIS", **GUARDED)
    road.go(0, 1, 5)
    assert road.order(order_id).status == "OPEN", road.story(order_id)
    stop(road)
    road.market(1490)  # it fills while trading is stopped
    road.read_books()
    road.go(0, 6)
    assert road.order(order_id).status == "COMPLETE", road.story(order_id)
    exits = list(Order.objects.filter(parent_id=order_id).order_by("id"))
    assert [(o.role, o.status, o.status_reason) for o in exits] == [("STOP", "HELD", "STATE_HALTED"), ("TARGET", "HELD", "STATE_HALTED")]
    said = SystemEvent.objects.filter(code="UNPROTECTED", level="ERROR", order=exits[0]).get().message
    assert "10 INFY are open without it" in said and said.endswith("or close the position.") and "placed by itself when trading is released" in said
    go_on(road)
    assert [road.order(o.pk).status for o in exits] == ["OPEN", "OPEN"], road.story(exits[0].pk)
    assert all(len(road.truth(o.pk)) == 1 for o in exits)


def test_it_asks_a_person_about_everything_else_after_the_release(road):
    order_id = road.alert()
    stop(road)
    road.go(0, 1, 5)
    go_on(road)
    assert (road.order(order_id).status, writes(road)) == ("WAITING", 0), road.story(order_id)


def test_it_changes_only_to_less_where_only_exits_leave(road):
    entry = road.resting()
    stop(road, "REDUCING")
    with pytest.raises(AppError, match="only exits pass"):
        modify.modify(road.order(entry), {"quantity": road.order(entry).quantity + 5}, actor="asha")
    road.change(entry, price="1480")
    road.go(0, 1, 5)
    assert road.truth(entry)[0]["price"] == 1490 and "lower the risk" in road.story(entry)
    road.change(entry, quantity="4")
    road.go(0, 1, 5)
    assert road.truth(entry)[0]["quantity"] == 4, road.story(entry)


def test_it_keeps_back_an_entry_that_was_claimed_before_and_lets_an_exit_go(road, monkeypatch):
    first = road.alert(price=1505)
    road.go(0, 1, 5)
    assert road.order(first).status == "COMPLETE"
    claim = dispatch.claim

    def then_reducing(*args):
        done = claim(*args)
        stop(road, "REDUCING")
        return done

    monkeypatch.setattr(dispatch, "claim", then_reducing)
    entry = road.alert(price=1485)
    road.work_off()
    assert (road.order(entry).status, road.order(entry).status_reason, road.truth(entry)) == ("HELD", "STATE_REDUCING", [])
    monkeypatch.undo()
    leaving = road.alert(order_action="SELL", price=1490)
    road.go(0, 1, 5)
    assert (road.order(leaving).status, road.order(entry).status) == ("COMPLETE", "REJECTED_RISK"), road.story(entry)


def test_it_cancels_what_was_on_the_wire_when_the_switch_was_pressed_and_rests_afterwards(road, monkeypatch):
    record = dispatch._record_ack

    def stopped_meanwhile(*args):
        monkeypatch.undo()
        halt.kill("GLOBAL", reason="storm", actor="asha")
        return record(*args)

    monkeypatch.setattr(dispatch, "_record_ack", stopped_meanwhile)
    order_id = road.alert()
    road.go(0, 1, 5)
    assert road.order(order_id).status == "CANCELLED" and "asha asked to cancel" in road.story(order_id)


def test_it_cancels_what_rests_also_when_whoever_pressed_the_switch_died(road, monkeypatch):
    order_id = road.resting()
    make.LiveArmFactory(strategy_key=road.auto.pk)
    monkeypatch.setattr(halt.sysevents, "record", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        halt.kill("GLOBAL", reason="storm", actor="asha")
    monkeypatch.undo()
    road.go(0, 1, 5)
    assert road.order(order_id).status == "CANCELLED" and LiveArm.objects.get().ended_at
