"""Stops and targets on paper: made with each filled part, one cancels the other, never more than is held."""

from datetime import timedelta
from decimal import Decimal as D

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brokers.models import PaperOrder, Quote
from trading import tasks
from trading.domain import orderfsm
from trading.models import Order, Position, Source, SystemEvent
from trading.services import brackets, dispatch, orders, sweeper
from tvapp.lib import clock

pytestmark = pytest.mark.django_db
STOP, TARGET = {"stop_loss": {"percent": 1}}, {"take_profit": {"points": 30}}
BOTH = STOP | TARGET


@pytest.fixture(autouse=True)
def _exact(desk):
    """Market orders fill at the price itself."""
    desk.account.slippage_bps = 0
    desk.account.save()


def quote(order, ltp):
    """A price of this moment; paper matches what rests against it at the next look."""
    Quote.objects.update_or_create(instrument=order.instrument, defaults={"ltp": D(ltp), "at": clock.now(), "source": "FEED"})


def tick(order, ltp):
    """The market moves, and the desk sees it."""
    quote(order, ltp)
    look(order)


def look(order):
    tasks.sync_account(order.account_id)
    work()


def work():
    """What the workers would do about every bell."""
    for _ in range(20):
        waiting = Order.objects.filter(status="QUEUED") | Order.objects.exclude(pending_action="").filter(status__in=orderfsm.LIVE)
        for pk in list(waiting.order_by("id").values_list("id", flat=True)):
            Order.objects.filter(pk=pk).update(due_at=None)
            dispatch.work(pk)
        if not waiting.exists():
            return


def entry(desk, strategy="auto", **changes):
    trade = {"order_type": "MARKET", **changes.pop("trade", {})}
    order = desk.order(strategy, trade=trade, **{**BOTH, **changes})
    if order.status == "QUEUED":
        dispatch.work(order.pk)
    work()
    order.refresh_from_db()
    return order


def exits(order):
    return {child.role: child for child in order.children.order_by("id")}


def held():
    return sum(Position.objects.values_list("quantity", flat=True), D(0))


def test_it_guards_a_fill_with_a_stop_and_a_target(desk):
    order = entry(desk)
    assert (order.status, order.average_price, order.covered) == ("COMPLETE", D(1500), 10)
    stop, target = exits(order)["STOP"], exits(order)["TARGET"]
    assert (stop.side, stop.order_type, stop.trigger_price, stop.quantity, stop.reduce_only) == ("SELL", "SL_M", D(1485), 10, True)
    assert (target.order_type, target.price, target.quantity, target.source) == ("LIMIT", D(1530), 10, Source.BRACKET)
    assert (stop.status, target.status) == ("OPEN", "OPEN")
    assert stop.tag != target.tag
    assert "10 filled at ₹1,500.00 are guarded: stop trigger ₹1,485.00, target limit ₹1,530.00." in [e.text for e in order.events.all()]


def test_it_guards_a_short_the_other_way_round(desk):
    from risk.models import RiskSettings

    RiskSettings.objects.update(allow_short_selling=True)
    order = entry(desk, trade={"order_action": "SELL"})
    assert order.status == "COMPLETE", order.why
    stop, target = exits(order)["STOP"], exits(order)["TARGET"]
    assert (stop.side, stop.trigger_price, target.price) == ("BUY", D(1515), D(1470))


def test_it_releases_the_exits_of_a_manual_entry_by_themselves(desk):
    order = entry(desk, "manual")
    assert not exits(order)
    orders.approve(order, actor="asha")
    work()
    assert {c.status for c in order.children.all()} == {"OPEN"}


def test_it_makes_nothing_for_an_entry_without_a_fill(desk):
    quote(entry(desk), 1500)
    order = entry(desk, trade={"order_type": "LIMIT", "price": 1400})
    assert order.status == "OPEN"
    orders.cancel(order, actor="asha")
    work()
    assert not order.children.exists()


def test_it_covers_each_part_of_a_fill_exactly(desk):
    desk.account.liquidity = "DEPTH"
    desk.account.save()
    order = entry(desk, "manual")
    Quote.objects.create(instrument=order.instrument, ltp=D(1500), bid=D(1499), ask=D(1500), ask_qty=D(4), bid_qty=D(100), source="FEED")
    Order.objects.filter(pk=order.pk).update(order_type="LIMIT", price=D(1501))
    order.refresh_from_db()
    orders.approve(order, actor="asha")
    work()
    order.refresh_from_db()
    assert (order.status, order.filled_quantity) == ("PARTIAL", 4)
    assert [(c.role, c.quantity) for c in order.children.order_by("id")] == [("STOP", 4), ("TARGET", 4)]
    Quote.objects.update(ask=D("1500.5"), ask_qty=D(100), at=clock.now())
    look(order)
    order.refresh_from_db()
    assert (order.status, order.filled_quantity, order.covered) == ("COMPLETE", 10, 10)
    assert [(c.role, c.quantity, c.covered) for c in order.children.order_by("id")] == [
        ("STOP", 4, 4), ("TARGET", 4, 4), ("STOP", 6, 10), ("TARGET", 6, 10),
    ]  # fmt: skip
    assert {c.status for c in order.children.all()} == {"OPEN"}


def test_it_cancels_the_target_when_the_stop_is_hit(desk):
    order = entry(desk)
    tick(order, 1480)
    stop, target = exits(order)["STOP"], exits(order)["TARGET"]
    assert (stop.status, target.status, held()) == ("COMPLETE", "CANCELLED", 0)


def test_it_cancels_the_stop_when_the_target_is_hit(desk):
    order = entry(desk)
    tick(order, 1535)
    stop, target = exits(order)["STOP"], exits(order)["TARGET"]
    assert (target.status, target.average_price, stop.status, held()) == ("COMPLETE", D(1530), "CANCELLED", 0)
    tick(order, 1400)
    assert held() == 0


def test_it_cuts_the_other_exit_by_what_one_filled(desk):
    order = entry(desk)
    desk.account.liquidity = "DEPTH"
    desk.account.save()
    Quote.objects.create(instrument=order.instrument, ltp=D(1530), bid=D(1531), ask=D(1532), ask_qty=D(5), bid_qty=D(3), source="FEED")
    look(order)
    stop, target = exits(order)["STOP"], exits(order)["TARGET"]
    assert (target.status, target.filled_quantity, stop.status, stop.quantity) == ("PARTIAL", 3, "OPEN", 7)
    assert PaperOrder.objects.get(ref=stop.tag).quantity == 7


def test_it_removes_the_exits_when_another_exit_closes_the_position(desk):
    order = entry(desk)
    out = desk.order("auto", trade={"order_action": "SELL", "quantity": 10, "order_type": "MARKET"})
    dispatch.work(out.pk)
    out.refresh_from_db()
    assert (out.status, out.quantity) == ("QUEUED", 10), out.why
    assert "cancelled" in out.events.last().text
    work()
    out.refresh_from_db()
    assert (out.status, held()) == ("COMPLETE", 0)
    assert {c.status for c in order.children.all()} == {"CANCELLED"}


def test_it_says_when_the_order_that_exits_made_room_for_was_not_filled(desk):
    order = entry(desk)
    out = desk.order("auto", trade={"order_action": "SELL", "quantity": 10, "order_type": "LIMIT", "price": 1600})
    quote(order, 1500)
    work()
    assert {c.status for c in order.children.all()} == {"CANCELLED"}
    sweeper.sweep()
    assert not SystemEvent.objects.filter(code="UNPROTECTED").exists()
    orders.cancel(Order.objects.select_related("account").get(pk=out.pk), actor="asha")
    work()
    sweeper.sweep()
    sweeper.sweep()
    assert "10 INFY are open without them" in SystemEvent.objects.get(code="UNPROTECTED").message


def test_it_keeps_the_rest_guarded_when_a_part_is_closed(desk):
    order = entry(desk)
    out = desk.order("auto", trade={"order_action": "SELL", "quantity": 4, "order_type": "MARKET"})
    work()
    out.refresh_from_db()
    assert (out.status, held()) == ("COMPLETE", 6)
    assert [(c.status, c.quantity) for c in order.children.order_by("id")] == [("OPEN", 6), ("OPEN", 6)]


def test_it_removes_the_exits_of_the_part_whose_target_was_hit(desk):
    first = entry(desk)
    second = entry(desk, take_profit={"points": 10})
    tick(first, 1520)
    assert (exits(second)["TARGET"].status, exits(second)["STOP"].status) == ("COMPLETE", "CANCELLED")
    assert {c.status for c in first.children.all()} == {"OPEN"}
    assert held() == 10


def test_it_guards_nothing_when_the_fill_only_closed_a_short(desk):
    from risk.models import RiskSettings

    RiskSettings.objects.update(allow_short_selling=True)
    desk.filled("auto", trade={"order_action": "SELL", "order_type": "MARKET"})
    order = entry(desk)
    assert (held(), order.covered, order.children.count()) == (0, 10, 0)


def test_it_waits_when_the_stop_would_lie_on_the_wrong_side(desk):
    order = entry(desk, stop_loss=1600)
    assert (order.status, order.status_reason) == ("WAITING", "BRACKET_UNSUPPORTED")
    assert "The stop of a BUY must be below its price 1500, not at 1600." in order.why
    with pytest.raises(Exception, match="It cannot be executed: The stop of a BUY"):
        orders.approve(order, actor="asha")


def test_it_waits_when_the_broker_cannot_keep_the_exits(desk, monkeypatch):
    from dataclasses import replace

    from brokers.paper.adapter import PaperAdapter
    from brokers.types import OrderType

    monkeypatch.setattr(PaperAdapter, "caps", replace(PaperAdapter.caps, order_types=frozenset({OrderType.MARKET, OrderType.LIMIT})))
    order = entry(desk)
    assert (order.status, order.status_reason) == ("WAITING", "BRACKET_UNSUPPORTED")
    assert "Paper cannot keep a stop of 1 % and a target of 30 points for MIS on NSE." in order.why


def test_it_sends_a_queued_entry_back_when_its_stop_can_no_longer_be_placed(desk):
    order = desk.order("auto", trade={"order_type": "MARKET"}, **BOTH)
    Order.objects.filter(pk=order.pk).update(brackets={"stop": {"kind": "PRICE", "value": "1600"}})
    dispatch.work(order.pk)
    order.refresh_from_db()
    assert (order.status, order.status_reason) == ("WAITING", "BRACKET_UNSUPPORTED")
    assert PaperOrder.objects.count() == 0


def test_it_says_when_a_position_stands_without_its_stop(desk):
    order = entry(desk)
    stop = exits(order)["STOP"]
    PaperOrder.objects.filter(ref=stop.tag).update(status="REJECTED", message="Trigger too far")
    look(order)
    sweeper.sweep()
    sweeper.sweep()
    event = SystemEvent.objects.get(code="UNPROTECTED")
    assert event.level == "ERROR"
    assert "Trigger too far" in event.message and "10 INFY are open without it" in event.message
    assert order.events.filter(kind="UNPROTECTED").count() == 1


def test_it_places_a_stop_that_is_requeued_days_later(desk):
    order = desk.order("auto", trade={"order_type": "MARKET"}, **STOP)
    dispatch.work(order.pk)
    stop = exits(order)["STOP"]
    assert orders.move(stop, orderfsm.State.HELD, code="RETRY_EXHAUSTED", text="On hold: it could not be sent for 300 s.", actor="desk")
    Order.objects.filter(pk=stop.pk).update(received_at=clock.now() - timedelta(days=2))
    orders.requeue(exits(order)["STOP"], actor="asha")
    work()
    assert exits(order)["STOP"].status == "OPEN", exits(order)["STOP"].why


def test_it_places_a_stop_that_a_person_put_back_into_the_queue_and_executes_days_later(desk):
    order = desk.order("auto", trade={"order_type": "MARKET"}, **STOP)
    dispatch.work(order.pk)
    orders.back_to_queue(exits(order)["STOP"], actor="asha")
    Order.objects.filter(parent=order).update(received_at=clock.now() - timedelta(days=2))
    sweeper.sweep()
    orders.approve(exits(order)["STOP"], actor="asha")
    work()
    assert exits(order)["STOP"].status == "OPEN", exits(order)["STOP"].why


def test_it_says_nothing_when_a_person_cancelled_the_stop(desk):
    order = entry(desk)
    orders.cancel(exits(order)["STOP"], actor="asha")
    work()
    sweeper.sweep()
    assert exits(order)["STOP"].status == "CANCELLED" and exits(order)["TARGET"].status == "OPEN"
    assert not SystemEvent.objects.filter(code="UNPROTECTED").exists()


def test_it_keeps_the_stop_when_trading_is_stopped(desk):
    from trading.services import halt

    order = entry(desk)
    halt.kill("GLOBAL", reason="test", actor="asha")
    work()
    assert (exits(order)["STOP"].status, exits(order)["TARGET"].status) == ("OPEN", "CANCELLED")


@pytest.mark.parametrize(("what", "status"), [("stopped", "HELD"), ("far", "REJECTED_RISK"), ("unpriced", "WAITING")])
def test_it_keeps_the_stop_when_the_order_that_would_close_does_not_leave(desk, what, status):
    from trading.services import halt

    order, price = entry(desk), 1500
    if what == "stopped":
        halt.kill("GLOBAL", reason="test", actor="asha", cancel_open=False)
    elif what == "far":
        quote(order, price := 1300)
    else:
        Quote.objects.all().delete()
    kind = {"order_type": "MARKET", "max_slippage_pct": "1", "price": None} if what == "unpriced" else {"order_type": "LIMIT", "price": price - 100}
    out = desk.order("auto", trade={"order_action": "SELL", "quantity": 10, **kind})
    work()
    out.refresh_from_db()
    assert (out.status, {c.status for c in order.children.all()}) == (status, {"OPEN"}), out.why


def test_it_makes_the_exits_once_whatever_calls_it(desk):
    order = entry(desk)
    assert brackets.follow(order.pk) == 0
    assert sweeper.sweep() is not None
    assert order.children.count() == 2


def test_it_finds_fills_that_got_no_exits(desk, monkeypatch):
    monkeypatch.setattr(brackets, "after", lambda order, filled: None)
    order = entry(desk)
    assert (order.status, order.covered, order.children.count()) == ("COMPLETE", 0, 0)
    monkeypatch.undo()
    sweeper.sweep()
    order.refresh_from_db()
    assert (order.covered, order.children.count()) == (10, 2)


def test_it_stores_the_fill_even_when_its_exits_fail(desk, monkeypatch):
    def broken(order_id):
        raise RuntimeError("no")

    monkeypatch.setattr(brackets, "follow", broken)
    order = entry(desk)
    assert (order.status, order.filled_quantity, order.covered) == ("COMPLETE", 10, 0)


TRAIL = {"stop_loss": None, "trail": "1%", "take_profit": None}


def test_it_trails_the_best_price_and_never_back(desk):
    order = entry(desk, **TRAIL)
    stop = exits(order)["TRAIL"]
    assert (stop.trigger_price, stop.status) == (D(1485), "OPEN")
    for price, trigger in ((1520, "1504.8"), (1510, "1504.8"), (1521, "1505.75")):
        quote(order, price)
        sweeper.sweep()
        work()
        stop.refresh_from_db()
        assert (stop.trigger_price, stop.pending_action) == (D(trigger), ""), price
    tick(order, 1505)
    assert (exits(order)["TRAIL"].status, held()) == ("COMPLETE", 0)


def test_it_leaves_a_trailing_stop_alone_without_a_fresh_price(desk):
    order = entry(desk, **TRAIL)
    quote(order, 1600)
    Quote.objects.update(at=clock.now() - timedelta(minutes=5))
    sweeper.sweep()
    assert exits(order)["TRAIL"].trigger_price == D(1485)


def test_it_stops_trailing_when_the_broker_takes_no_more_changes(desk, monkeypatch):
    from dataclasses import replace

    from brokers.paper.adapter import PaperAdapter

    order = entry(desk, **TRAIL)
    monkeypatch.setattr(PaperAdapter, "caps", replace(PaperAdapter.caps, modifications=1))
    for price in (1520, 1560, 1580):
        quote(order, price)
        sweeper.sweep()
        work()
    assert exits(order)["TRAIL"].trigger_price == D("1504.8")
    assert SystemEvent.objects.filter(code="TRAIL_ENDED").count() == 1


def test_it_lets_a_trailing_stop_wait_where_orders_end_with_the_day(desk):
    desk.account.broker = "zerodha"
    desk.account.save()
    order = entry(desk, **TRAIL, trade={"product": "CNC"})
    assert (order.status, order.status_reason) == ("WAITING", "BRACKET_UNSUPPORTED")


MARKET = st.lists(
    st.one_of(
        st.tuples(st.just("price"), st.sampled_from([1440, 1470, 1484, 1495, 1500, 1512, 1529, 1531, 1560])),
        st.tuples(st.just("enter"), st.sampled_from([1, 3, 10])),
        st.tuples(st.just("exit"), st.sampled_from([1, 4, 50])),
        st.tuples(st.just("depth"), st.sampled_from([2, 7])),
        st.tuples(st.just("bell"), st.integers(0, 5)),
        st.tuples(st.just("sweep"), st.just(0)),
    ),
    max_size=14,
)


def act(desk, what, value):
    """One thing that may happen, with the bells left lying."""
    anchor = Order.objects.order_by("id").first()
    if what == "enter":
        desk.send("auto", trade={"quantity": value, "order_type": "MARKET"}, **BOTH)
    elif what == "exit":
        desk.send("auto", trade={"quantity": value, "order_action": "SELL", "order_type": "MARKET"})
    elif what == "bell":
        queued = Order.objects.filter(status__in=["QUEUED", *orderfsm.LIVE]).order_by("id")[value : value + 1]
        for order in queued:
            dispatch.work(order.pk)
    elif what == "sweep":
        sweeper.sweep()
    elif anchor is not None and what == "price":
        quote(anchor, value)
        tasks.sync_account(anchor.account_id)
    elif anchor is not None:
        Quote.objects.filter(instrument=anchor.instrument).update(bid_qty=value, ask_qty=value, bid=D(1525), ask=D(1526), ltp=D(1525), at=clock.now())


def standing():
    """What the exits that stand could still close: of each pair the larger."""
    pairs = {}
    for child in Order.objects.filter(source=Source.BRACKET, status__in=["QUEUED", *orderfsm.LIVE]):
        key = child.parent_id, child.covered
        pairs[key] = max(pairs.get(key, D(0)), child.remaining)
    return sum(pairs.values(), D(0))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(MARKET)
def test_it_never_guards_more_than_is_held_and_never_turns_a_position_around(desk, happenings):
    from django.db import transaction

    with transaction.atomic():
        desk.account.liquidity = "DEPTH"
        desk.account.save()
        for what, value in happenings:
            act(desk, what, value)
            assert held() >= 0, (what, value)
            dispatch_cancels()
        work()
        sweeper.sweep()
        work()
        assert 0 <= standing() <= held()
        transaction.set_rollback(True)


def dispatch_cancels():
    """A worker hears the bells of cancels and changes before the market moves on."""
    for pk in Order.objects.exclude(pending_action="").filter(status__in=orderfsm.LIVE).values_list("pk", flat=True):
        dispatch.work(pk)
