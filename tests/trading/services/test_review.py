"""Corners of the road where an order could be lost, doubled or spoken of wrongly: each was a mistake once."""

from datetime import timedelta
from decimal import Decimal as D

import pytest
import time_machine
from django.db.models import QuerySet
from django_q.models import OrmQ

from brokers import registry
from brokers.errors import Ambiguous, Rejected
from brokers.models import Instrument, PaperOrder, Quote
from brokers.types import Status
from risk.models import RiskLedger, TradingState
from tests.trading.desk import make_desk
from tests.trading.services.broker import Wire
from trading.domain.orderfsm import State
from trading.models import Alert, Order, Position, Strategy
from trading.selectors import snapshot
from trading.services import advice, books, dispatch, halt, orders, recover, sweeper, sync
from tvapp.lib import clock
from tvapp.lib.errors import AppError
from tvapp.models import Heartbeat

pytestmark = pytest.mark.django_db


def strategy(desk, name: str, **fields) -> Strategy:
    return Strategy.objects.create(owner=desk.owner, name=name, account=desk.account, mode="AUTO", **fields)


# -------------------------------------------------------------------------- alerts in
def test_it_reads_the_alert_as_the_strategy_says_whichever_secret_named_it(desk):
    strategy(desk, "target", use_target=True, default_exchange="BSE")
    order = desk.order("target", symbol="INFY", position_size=4)
    assert (order.quantity, order.exchange) == (4, "BSE")


def test_it_never_sends_for_somebody_else_of_the_same_strategy_name(desk):
    ravi = make_desk("ravi")
    Strategy.objects.filter(pk=ravi.auto.pk).update(name="ravis")
    order = desk.order("auto", st_user_id="ravi")
    assert (order.strategy, order.status) == (None, "WAITING")


def test_it_takes_a_chart_users_name_for_no_person_of_the_desk(desk):
    assert desk.order("auto", st_user_id="tv_user_77").strategy == desk.auto


@pytest.mark.parametrize("size", ["0.123456789", "1e-12"])
def test_it_refuses_a_target_finer_than_a_quantity_can_be(desk, size):
    strategy(desk, "target", use_target=True)
    Instrument.objects.create(exchange="NSE", tradingsymbol="FINE", lot=D("0.00000001"))
    with pytest.raises(AppError) as refused:
        desk.send("target", symbol="NSE:FINE", position_size=size)
    assert (refused.value.status, refused.value.code) == (400, "BAD_NUMBER") and Alert.objects.get().outcome == "REJECTED"


def test_it_refuses_more_digits_than_the_desk_can_keep(desk):
    with pytest.raises(AppError) as refused:
        desk.send(trade={"quantity": "123456789.12345678"})
    assert refused.value.code == "BAD_NUMBER"


def test_it_lets_a_quantity_wait_that_no_order_can_have(desk):
    strategy(desk, "lots", sizing="LOTS", sizing_value=10**12)
    Instrument.objects.create(exchange="NSE", tradingsymbol="WIDE", lot=7500)
    order = desk.order("lots", symbol="NSE:WIDE")
    assert (order.status, order.status_reason, order.quantity) == ("WAITING", "QUANTITY_UNKNOWN", None)
    assert Order.objects.count() == 1


# -------------------------------------------------------------------------- the kill switch
def resting(desk, **changes) -> Order:
    """An automatic limit order that rests at the paper broker."""
    order = desk.order("auto", trade={"order_type": "LIMIT", "price": 1400}, **changes)
    Quote.objects.create(instrument=order.instrument, ltp=D(1500))
    dispatch.work(order.pk)
    order.refresh_from_db()
    assert order.status == "OPEN"
    return order


def test_it_cancels_a_resting_order_that_filled_in_part_just_while_the_switch_was_pressed(desk, monkeypatch):
    order, original, news = resting(desk), orders.cancel, [lambda: orders.note(Order.objects.get(pk=order.pk), "FILL", "4 filled.", actor="sync")]

    def cancel_behind_a_fill(*args, **kwargs):
        if news:
            news.pop()()
        return original(*args, **kwargs)

    monkeypatch.setattr(orders, "cancel", cancel_behind_a_fill)
    assert halt.kill("GLOBAL", reason="test", actor="asha")["cancelled"] == 1
    order.refresh_from_db()
    assert order.pending_action == "CANCEL"


def test_it_is_on_for_both_when_two_people_press_it_at_once(desk, monkeypatch):
    original, others = QuerySet._fetch_all, [TradingState(scope="GLOBAL", state="HALTED", actor="ravi")]

    def read_before_another_writes(self):
        original(self)
        if self.model is TradingState and others:
            TradingState.objects.bulk_create([others.pop()])

    monkeypatch.setattr(QuerySet, "_fetch_all", read_before_another_writes)
    halt.kill("GLOBAL", reason="test", actor="asha")
    assert [(row.state, row.actor) for row in halt.status()] == [("HALTED", "asha")]


# -------------------------------------------------------------------------- what waits for a person can be decided by one
@pytest.mark.parametrize("way", ["put back", "released"])
def test_it_lets_a_person_execute_an_automatic_order_that_came_back_to_wait(desk, way):
    order = desk.order("auto")
    if way == "put back":
        orders.back_to_queue(order, actor="asha")
    else:
        halt.kill("GLOBAL", reason="test", actor="asha")
        halt.release("GLOBAL", reason="test", actor="asha")
        sweeper.sweep()
    with time_machine.travel(clock.now() + timedelta(minutes=10), tick=False):
        order.refresh_from_db()
        assert order.status == "WAITING"
        orders.approve(order, actor="asha")
        dispatch.work(order.pk)
    order.refresh_from_db()
    assert order.status == "COMPLETE"


def test_it_copies_an_order_as_a_person_corrected_it(desk):
    order = desk.order("manual")
    orders.edit(order, {"quantity": D(4)}, actor="asha")
    orders.move(order, State.STALE, text="Too old.", actor="test")
    assert orders.resubmit(order, actor="asha").quantity == 4


# -------------------------------------------------------------------------- one sender
def test_it_sends_nothing_for_a_worker_that_slept_through_its_lease(desk):
    order = desk.order("auto")
    asleep = dispatch.claim(order.pk)
    Order.objects.filter(pk=order.pk).update(lease_until=clock.now())
    sweeper.sweep()
    orders.cancel(Order.objects.get(pk=order.pk), actor="asha")
    dispatch._send(asleep)
    order.refresh_from_db()
    assert order.status == "CANCELLED" and not PaperOrder.objects.exists()


@pytest.fixture
def wire(monkeypatch):
    broker = Wire()
    monkeypatch.setattr(registry, "adapter_for", lambda account: broker)
    return broker


def test_it_takes_the_answer_of_a_slow_call_also_when_its_outcome_was_already_called_unknown(desk, wire, monkeypatch):
    order, original = desk.order("auto"), Wire.place

    def slow(self, request):
        Order.objects.filter(pk=order.pk).update(lease_until=clock.now())
        recover.recover_all()
        return original(self, request)

    monkeypatch.setattr(Wire, "place", slow)
    dispatch.work(order.pk)
    order.refresh_from_db()
    assert (order.status, order.broker_order_id) == ("SENT", "W1")


# -------------------------------------------------------------------------- late news
def ended(desk, wire, status: str) -> Order:
    order = desk.order("auto")
    wire.answers = [Rejected("OTHER", "no")] if status == "FAILED" else []
    dispatch.work(order.pk)
    order.refresh_from_db()
    if status != "FAILED":
        sync.apply_report(order.pk, wire.show(order, Status(status)), ())
        order.refresh_from_db()
    assert order.status == status
    return order


@pytest.mark.parametrize("status", ["CANCELLED", "EXPIRED", "FAILED"])
def test_it_applies_a_fill_that_the_broker_reports_after_the_end(desk, wire, status):
    order = ended(desk, wire, status)
    wire.book = {}
    wire.show(order, Status.FILLED, filled=10)
    wire.fill(D(10), D(1500))
    books.sync_account(order.account_id)
    order.refresh_from_db()
    assert (order.status, order.filled_quantity, Position.objects.get().quantity) == ("COMPLETE", 10, 10)


def test_it_leaves_ended_orders_alone_when_the_broker_says_nothing_new(desk, wire):
    order = ended(desk, wire, "CANCELLED")
    version = order.version
    assert books.sync_account(order.account_id) == "0 changed"
    order.refresh_from_db()
    assert order.version == version


def test_it_goes_on_watching_the_tag_of_an_order_that_needs_review(desk, wire):
    wire.answers = [Ambiguous("OTHER", "timed out")]
    order = desk.order("auto")
    dispatch.work(order.pk)
    order.refresh_from_db()
    orders.move(order, State.NEEDS_REVIEW, text="Decide.", actor="test")
    wire.show(order)
    OrmQ.objects.all().delete()
    sweeper.sweep()
    assert f"sync {order.account_id}" in [task.name() for task in OrmQ.objects.all()]


# -------------------------------------------------------------------------- the sweeper
def test_it_settles_the_other_orders_when_one_breaks_the_sweep(desk, monkeypatch):
    bad, lost = desk.order("auto"), desk.order("auto")
    dispatch.claim(lost.pk)
    Order.objects.filter(pk=lost.pk).update(lease_until=clock.now())
    orders.move(bad, State.HELD, code="ACCOUNT_DISCONNECTED", text="On hold.", actor="test")
    monkeypatch.setattr(advice, "advise", lambda order: 1 / 0)
    sweeper.sweep()
    lost.refresh_from_db()
    assert lost.status == "QUEUED" and Heartbeat.objects.filter(name="sweeper").exists()


# -------------------------------------------------------------------------- bodies of the API
@pytest.mark.parametrize("body", ['{"name": "x", "account_id": 1e999}', r'{"\ud800": 1}', r'{"mode": "\ud800"}', '{"name": ["\\udfff"]}'])
def test_it_refuses_a_body_it_could_not_repeat(desk, client, body):
    client.force_login(desk.owner)
    answer = client.post("/api/strategies", body, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (400, "NOT_JSON")


def test_it_gives_no_more_rows_than_a_page_has_however_the_number_is_written(desk, client):
    client.force_login(desk.owner)
    assert client.get("/api/orders?limit=00000000000000000019999").status_code == 400


# -------------------------------------------------------------------------- claims see each other
def test_it_never_counts_a_closing_order_neither_as_working_nor_as_filled(desk, monkeypatch):
    desk.filled("auto")
    second, first = [desk.order("auto", trade={"order_action": "SELL"}) for _ in range(2)]
    fills, original = [dispatch.claim(first.pk)], QuerySet._fetch_all

    def read_before_the_other_fills(self):
        original(self)
        if self.model is Position and fills:
            dispatch._send(fills.pop())

    order = dispatch._read(second.pk)
    monkeypatch.setattr(QuerySet, "_fetch_all", read_before_the_other_fills)
    facts = snapshot.question(order, clock.now()).snapshot.position
    assert not fills and facts.net - facts.closing <= 0


def test_it_bumps_a_ledger_also_when_it_is_the_first_to_use_it(desk):
    RiskLedger.objects.all().delete()
    dispatch.claim(desk.order("auto").pk)
    assert set(RiskLedger.objects.values_list("version", flat=True)) == {1}
