"""Reading a broker's books: what one read proves, what a bad one changes (nothing), and when the next one comes."""

from datetime import timedelta
from decimal import Decimal as D

import pytest
import time_machine
from django.apps import apps
from django_q.models import OrmQ
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brokers import registry
from brokers.errors import Ambiguous, AuthExpired, RateLimited, Rejected, Unavailable
from brokers.models import BrokerAccount, BrokerFunds, BrokerPosition, Instrument, SyncState
from brokers.types import Capabilities, Funds, OrderKey, OrderReport, OrderType, Position, Product, Side, Status
from tests import factories as make
from tests.trading.services.broker import Wire
from trading.models import Order, SystemEvent
from trading.models import Position as Held
from trading.selectors import snapshot
from trading.services import books, dispatch, halt, orders, polling, recover, resolve, schedules, sweeper, sync
from tvapp.lib import clock

pytestmark = pytest.mark.django_db
CAPS = Capabilities("wire", "BOOK", 20)


@pytest.fixture
def wire(monkeypatch):
    broker = Wire()
    monkeypatch.setattr(registry, "adapter_for", lambda account: broker)
    return broker


@pytest.fixture
def remote(desk, wire, monkeypatch):
    """The desk's account at a real broker, ready to trade."""
    monkeypatch.setattr(registry, "caps_for", lambda broker: CAPS)
    BrokerAccount.objects.filter(pk=desk.account.pk).update(broker="zerodha", environment="SIM")
    desk.account.refresh_from_db()
    Instrument.objects.create(exchange="NSE", tradingsymbol="INFY")
    just_read(desk.account)
    return desk.account


def just_read(account) -> None:
    """The gate opens nothing on positions that were never read, or a minute ago."""
    SyncState.objects.update_or_create(account=account, defaults={"positions_at": clock.now(), "holdings_at": clock.now()})


def again(order: Order) -> Order:
    return Order.objects.select_related("account", "strategy", "instrument", "owner").get(pk=order.pk)


def sent(desk, **changes) -> Order:
    just_read(desk.account)
    order = desk.filled("auto", trade={"order_type": "LIMIT", **changes.pop("trade", {})}, **changes)
    assert order.status == "SENT"
    return order


def unknown(desk, wire, symbol="INFY") -> Order:
    just_read(desk.account)
    wire.answers = [Ambiguous("OTHER", "timed out")]
    Instrument.objects.get_or_create(exchange="NSE", tradingsymbol=symbol)
    order = desk.filled("auto", symbol=f"NSE:{symbol}", trade={"order_type": "LIMIT"})
    assert order.status == "UNKNOWN"
    return order


def after(seconds: float):
    return time_machine.travel(clock.now() + timedelta(seconds=seconds))


def report(ref="", *, broker_id="X1", status=Status.OPEN, quantity=10, filled=0, side="BUY", symbol="NSE:INFY", price=1500, at=None, **more) -> OrderReport:
    at, prices = at or clock.now(), {"price": D(price) if price else None, "trigger_price": None, "avg_price": None}
    facts = {"order_type": OrderType.LIMIT, "product": Product.MIS, "quantity": D(quantity), "filled": D(filled), "cancelled": D(0), **prices}
    facts |= {"parent_id": None, "raw_status": str(status), "message": "", "placed_at": at, "updated_at": at, **more}
    return OrderReport(key=OrderKey(broker_id, ref, variety="regular", symbol=symbol), status=status, side=Side(side), **facts)


def shows(wire, *reports) -> None:
    wire.book = {str(i): [r] for i, r in enumerate(reports)}


# ------------------------------------------------------------------------- the gate
def test_it_sends_nothing_at_a_real_broker_before_its_books_were_compared(desk, wire, remote):
    assert books.shut_gates() == 1
    order = desk.filled("auto")
    assert (order.status, order.status_reason, wire.placed) == ("HELD", "ACCOUNT_RECOVERING", [])
    sweeper.sweep()
    assert again(order).status == "HELD"
    assert books.sync_account(remote.pk) == "0 changed"
    sweeper.sweep()
    assert (again(order).status, BrokerAccount.objects.get().state) == ("QUEUED", "READY")


@pytest.mark.parametrize("book", ["list_orders", "list_fills", "positions", "funds", "holdings"])
def test_it_keeps_the_gate_shut_while_one_book_cannot_be_read(desk, wire, remote, monkeypatch, book):
    def broken(*args):
        raise Unavailable("OTHER", "maintenance")

    books.shut_gates()
    monkeypatch.setattr(wire, book, broken)
    assert books.sync_account(remote.pk) == "unread"
    assert BrokerAccount.objects.get().state == "RECOVERING"
    assert "maintenance" in SyncState.objects.get().error


def test_it_keeps_the_gate_shut_while_the_book_lacks_an_order_of_the_day(desk, wire, remote):
    order = sent(desk)
    books.shut_gates()
    books.sync_account(remote.pk)
    assert (BrokerAccount.objects.get().state, SyncState.objects.get().error_code) == ("RECOVERING", "BOOK_INCOMPLETE")
    wire.show(order)
    books.sync_account(remote.pk)
    assert (BrokerAccount.objects.get().state, SyncState.objects.get().error) == ("READY", "")


def test_it_looks_for_every_order_of_a_worker_that_died_before_it_opens(desk, wire, remote):
    order = desk.order("auto")
    dispatch.claim(order.pk)
    books.shut_gates()
    books.sync_account(remote.pk)
    assert BrokerAccount.objects.get().state == "RECOVERING"
    Order.objects.update(lease_until=clock.now() - timedelta(seconds=1))
    wire.show(order)
    books.sync_account(remote.pk)
    assert (again(order).status, BrokerAccount.objects.get().state) == ("OPEN", "READY")


def test_it_leaves_paper_accounts_open(desk):
    assert books.shut_gates() == 0
    assert desk.filled("auto").status == "COMPLETE"


# ------------------------------------------------------------------------- failed reads
def test_it_changes_nothing_but_the_note_when_a_read_fails(desk, wire, remote, monkeypatch):
    order = sent(desk)

    def broken():
        raise Unavailable("BAD_BODY", "no list of rows")

    monkeypatch.setattr(wire, "list_orders", broken)
    version = again(order).version
    assert books.sync_account(remote.pk) == "unread"
    state = SyncState.objects.get()
    assert (again(order).version, state.orders_at, state.error_code) == (version, None, "BAD_BODY")


def test_it_says_once_that_the_session_ended_and_reads_no_more(desk, wire, remote, monkeypatch):
    def ended():
        raise AuthExpired("TOKEN", "Incorrect api_key or access_token")

    monkeypatch.setattr(wire, "list_orders", ended)
    assert [books.sync_account(remote.pk) for _ in range(2)] == ["session ended", "not connected"]
    assert SystemEvent.objects.filter(code="ACCOUNT_DISCONNECTED").count() == 1


def test_it_waits_as_long_as_the_broker_asked(desk, wire, remote, monkeypatch):
    def slow_down():
        raise RateLimited("TOO_MANY_REQUESTS", "slow down", retry_after=20)

    monkeypatch.setattr(wire, "list_orders", slow_down)
    assert books.sync_due(remote.pk) == "unread"
    for seconds, said in ((10, "just read"), (21, "unread")):
        with after(seconds):
            assert books.sync_due(remote.pk) == said


def test_it_reads_one_book_at_most_every_three_seconds(desk, wire, remote):
    assert [books.sync_due(remote.pk) for _ in range(2)] == ["0 changed", "just read"]
    with after(3.1):
        assert books.sync_due(remote.pk) == "0 changed"


# ------------------------------------------------------------------------- looks
def test_it_counts_no_look_at_a_book_that_lacks_a_known_order(desk, wire, remote):
    known, order = sent(desk), unknown(desk, wire)
    for second in (2, 6, 12, 20, 40):
        with after(second):
            books.sync_account(remote.pk)
    assert (again(order).status, again(order).looks, again(order).clean_look_at) == ("UNKNOWN", 0, None)
    wire.show(known)
    for second in (50, 60, 80):
        with after(second):
            books.sync_account(remote.pk)
    assert again(order).status == "NEEDS_REVIEW" and again(order).clean_look_at


def test_it_reads_the_book_once_for_all_orders_it_looks_for(desk, wire, remote, monkeypatch):
    make.DeskSettingsFactory(unknowns_trip=100)
    lost = [unknown(desk, wire, name) for name in ("INFY", "TCS", "SBIN", "ITC")]
    calls = []
    for name in ("list_orders", "find_by_ref"):
        inner = getattr(wire, name)
        monkeypatch.setattr(wire, name, lambda *a, inner=inner, name=name: (calls.append(name), inner(*a))[1])
    for order in lost[:2]:
        wire.show(order, broker_id=f"W{order.pk}")
    with after(2):
        recover.recover_all()
        books.sync_account(remote.pk)
    assert calls == ["list_orders"]
    assert [again(o).status for o in lost] == ["OPEN", "OPEN", "UNKNOWN", "UNKNOWN"]


def test_it_adopts_an_order_under_review_without_asking(desk, wire, remote):
    order = unknown(desk, wire)
    orders.move(again(order), "NEEDS_REVIEW", text="Absent.", actor="test", code="ABSENT_AFTER_SETTLE", look_at=None)
    wire.show(order, Status.FILLED, filled=D(10))
    wire.fill(D(10), D(1500))
    with after(600):
        books.sync_account(remote.pk)
    assert (again(order).status, again(order).filled_quantity) == ("COMPLETE", 10)


@pytest.mark.parametrize("odd", [{"side": "SELL"}, {"symbol": "NSE:TCS"}, {"product": Product.CNC}])
def test_it_does_not_take_an_order_for_something_else_by_its_tag(desk, wire, remote, odd):
    order = unknown(desk, wire)
    shows(wire, report(order.tag, **odd))
    with after(2):
        books.sync_account(remote.pk)
    assert (again(order).status, again(order).status_reason, again(order).broker_order_id) == ("NEEDS_REVIEW", "TAG_FOREIGN", "")


def test_it_stops_the_account_when_a_second_order_carries_the_tag_of_one_it_knows(desk, wire, remote):
    order = sent(desk)
    shows(wire, report(order.tag, broker_id="W1"), report(order.tag, broker_id="W2"))
    for _ in range(2):
        books.sync_account(remote.pk)
    assert halt.halted(again(order)).scope == f"ACCOUNT:{remote.pk}"
    assert SystemEvent.objects.filter(code="TAG_TWICE").count() == 1
    assert Order.objects.get(broker_order_id="W2").source == "EXTERNAL"
    halt.release(f"ACCOUNT:{remote.pk}", reason="seen", actor="asha")
    books.sync_account(remote.pk)
    assert halt.halted(again(order)) is None


def test_it_takes_the_slices_a_broker_made_of_one_order_for_that_order(desk, wire, remote):
    order = unknown(desk, wire)
    parts = [report(order.tag, broker_id=f"W{i}", quantity=5, filled=5, status=Status.FILLED, parent_id="P") for i in (1, 2)]
    shows(wire, *parts)
    for i in (1, 2):
        wire.fill(D(5), D(1500), trade_id=f"T{i}", broker_id=f"W{i}")
    with after(2):
        books.sync_account(remote.pk)
    assert (again(order).status, again(order).filled_quantity) == ("COMPLETE", 10)
    assert books.sync_account(remote.pk) == "0 changed" and not SystemEvent.objects.filter(code="TAG_TWICE").exists()


def test_it_follows_an_order_that_was_called_refused_and_is_live_after_all(desk, wire, remote):
    wire.answers = [Rejected("OTHER", "no")]
    order = desk.filled("auto", trade={"order_type": "LIMIT"})
    shows(wire, report(order.tag))
    books.sync_account(remote.pk)
    assert (again(order).status, SystemEvent.objects.get(code="FOUND_AT_BROKER").level) == ("OPEN", "ERROR")


def test_it_holds_an_order_in_the_queue_that_the_broker_has_already(desk, wire, remote):
    wire.answers = [Unavailable("OTHER", "refused")]
    order = desk.filled("auto", trade={"order_type": "LIMIT"})
    assert order.status == "QUEUED"
    shows(wire, report(order.tag))
    books.sync_account(remote.pk)
    with after(10):
        sweeper.sweep()
    assert (again(order).status, again(order).status_reason) == ("HELD", "FOUND_AT_BROKER")
    assert Order.objects.get(source="EXTERNAL").status == "OPEN"


# ------------------------------------------------------------------------- what a person attached
def attached(desk, wire, said) -> Order:
    """An order under review that a person called X1, after the next read of the book."""
    order = unknown(desk, wire)
    orders.move(again(order), "NEEDS_REVIEW", text="Absent.", actor="test", look_at=None)
    resolve.resolve(again(order), "SENT", actor="asha", broker_order_id="X1")
    shows(wire, *said)
    with after(4):
        books.sync_account(order.account_id)
    return again(order)


def test_it_attaches_the_order_a_person_named_when_the_book_shows_it(desk, wire, remote):
    wire.fill(D(10), D(1500), broker_id="X1")
    order = attached(desk, wire, [report("", status=Status.FILLED, filled=10)])
    assert (order.status, order.broker_order_id, order.filled_quantity, order.pending_changes) == ("COMPLETE", "X1", 10, {})
    assert Held.objects.get().strategy == desk.auto and Order.objects.count() == 1


@pytest.mark.parametrize(
    ("said", "why"), [([], "does not show"), ([{"side": "SELL"}], "something else"), ([{"symbol": "NSE:TCS"}], "something else")]
)
def test_it_says_why_it_does_not_attach_an_order(desk, wire, remote, said, why):
    order = attached(desk, wire, [report("", **facts) for facts in said])
    assert (order.status, order.pending_changes) == ("NEEDS_REVIEW", {})
    assert why in order.events.last().text


def test_it_does_not_attach_what_carries_the_tag_of_another_order(desk, wire, remote):
    other = sent(desk)
    order = attached(desk, wire, [report(other.tag, broker_id="W1"), report(other.tag, broker_id="X1")])
    assert order.status == "NEEDS_REVIEW" and order.broker_order_id == ""


# ------------------------------------------------------------------------- notices
def test_it_warns_once_about_a_word_it_does_not_know(desk, wire, remote):
    order = sent(desk)
    shows(wire, report(order.tag, broker_id="W1", status=Status.UNMAPPED, raw_status="ON THE MOON"))
    for _ in range(3):
        books.sync_account(remote.pk)
    assert again(order).status == "SENT"
    assert "ON THE MOON" in SystemEvent.objects.get(code="STATUS_UNMAPPED").message


def test_it_says_when_a_live_order_is_missing_three_times(desk, wire, remote):
    order = sent(desk)
    for second in (5, 10):
        with after(second):
            books.sync_account(remote.pk)
    assert not SystemEvent.objects.filter(code="ORDER_MISSING").exists()
    for second in (15, 20, 25):
        with after(second):
            books.sync_account(remote.pk)
    assert (again(order).status, SystemEvent.objects.filter(code="ORDER_MISSING").count()) == ("SENT", 1)


def test_it_ends_an_order_whose_session_is_over_and_says_that_nobody_saw_how(desk, wire, remote):
    with time_machine.travel("2026-11-23T10:00:00+05:30"):
        order = sent(desk)
    with time_machine.travel("2026-11-24T09:20:00+05:30"):
        for _ in range(3):
            books.sync_account(remote.pk)
    assert (again(order).status, SystemEvent.objects.get(code="ENDED_UNSEEN").order_id) == ("EXPIRED", order.pk)


def test_it_writes_down_what_somebody_changed_at_the_broker(desk, wire, remote):
    order = sent(desk)
    shows(wire, report(order.tag, broker_id="W1", quantity=4, price=1490))
    books.sync_account(remote.pk)
    now = again(order)
    assert (now.status, now.quantity, now.price) == ("OPEN", 4, 1490)
    assert "quantity 10 to 4, price 1500 to 1490" in now.events.last().text


def test_it_takes_the_cap_of_a_market_order_for_no_change(desk, wire, remote):
    order = desk.filled("auto")
    Order.objects.filter(pk=order.pk).update(order_type="MARKET", price=None)
    shows(wire, report(order.tag, broker_id="W1", price=1515))
    books.sync_account(remote.pk)
    assert (again(order).order_type, again(order).price) == ("MARKET", None)


# ------------------------------------------------------------------------- strangers
def test_it_shows_an_order_placed_elsewhere_and_counts_it(desk, wire, remote):
    shows(wire, report("", status=Status.PARTIAL, filled=4), report("otherapp", broker_id="X2", symbol="NFO:NIFTY26DEC24000CE", quantity=75))
    wire.fill(D(4), D(1500), broker_id="X1")
    assert books.sync_account(remote.pk) == "2 changed"
    assert books.sync_account(remote.pk) == "0 changed"
    first, second = Order.objects.filter(source="EXTERNAL").order_by("id")
    assert (first.status, first.filled_quantity, first.strategy, first.owner, first.mode) == ("PARTIAL", 4, None, desk.owner, "MANUAL")
    assert (second.status, second.instrument.kind, second.instrument.tick) == ("OPEN", "CE", None)
    assert Held.objects.get().book == "UNASSIGNED"
    assert SystemEvent.objects.filter(code="EXTERNAL_ORDER").count() == 1
    exit_ = desk.order("manual", trade={"order_action": "SELL"})
    facts = snapshot.question(again(exit_), clock.now()).snapshot.position
    assert facts.net == 4


def test_it_never_touches_a_stranger_but_lets_a_person_cancel_it(desk, wire, remote):
    shows(wire, report(""))
    books.sync_account(remote.pk)
    order = Order.objects.get()
    with after(30):
        sweeper.sweep()
    assert wire.cancelled == []
    orders.cancel(again(order), actor="asha")
    shows(wire, report("", status=Status.CANCELLED))
    dispatch.work(order.pk)
    assert ([k.broker_order_id for k in wire.cancelled], again(order).status) == (["X1"], "CANCELLED")


def test_it_does_not_count_twice_what_may_be_an_order_under_review(desk, wire, remote):
    order = unknown(desk, wire)
    shows(wire, report(""))
    with after(2):
        books.sync_account(remote.pk)
    assert Order.objects.count() == 1
    orders.move(again(order), "NEEDS_REVIEW", text="Absent.", actor="test", look_at=None)
    orders.move(again(order), "FAILED", text="Not sent.", actor="asha")
    with after(4):
        books.sync_account(remote.pk)
    assert Order.objects.get(source="EXTERNAL").broker_order_id == "X1"


# ------------------------------------------------------------------------- other books
def test_it_keeps_what_the_broker_says_of_positions_and_money(desk, wire, remote):
    native = {"exchange": "NSE", "tradingsymbol": "INFY"}
    wire.positions = lambda: (Position(native, Product.MIS, D(10), D(0), D(1), D(10), D(1500), D(0), None, D(0), D(50), D(1505)),)
    wire.funds = lambda: (Funds("equity", "INR", D(1000), D(200), D(1200)),)
    books.read_all(remote.pk)
    books.read_all(remote.pk)
    assert (BrokerPosition.objects.get().average, BrokerFunds.objects.get().total) == (1500, 1200)
    wire.positions = lambda: ()
    books.read_all(remote.pk)
    assert not BrokerPosition.objects.exists()


def test_it_reads_the_other_books_with_every_change_and_before_they_are_too_old(desk, wire, remote, monkeypatch):
    asked = []
    SyncState.objects.all().delete()
    monkeypatch.setattr(wire, "positions", lambda: asked.append(1) or ())
    for second in (0, 5, 15, 21, 25):
        with after(second):
            books.sync_account(remote.pk)
    assert len(asked) == 2
    order = sent(desk)
    wire.show(order)
    with after(26):
        books.sync_account(remote.pk)
    assert len(asked) == 3


# ------------------------------------------------------------------------- the pace
@pytest.mark.parametrize(
    ("status", "pending", "seconds"),
    [("SENT", "", 5), ("PARTIAL", "", 5), ("UNKNOWN", "", 5), ("NEEDS_REVIEW", "", 5), ("OPEN", "CANCEL", 5), ("OPEN", "", 15), (None, "", 25)],
)
def test_it_reads_as_often_as_something_moves(desk, remote, status, pending, seconds):
    now = clock.now()
    rows = [polling.Watched(remote.pk, status, pending, now + timedelta(seconds=9), now)] if status else []
    assert polling.pace_s(remote, CAPS, rows) == seconds


def test_it_reads_at_once_when_a_look_is_due_or_somebody_asked(desk, remote):
    now = clock.now()
    due = polling.Watched(remote.pk, "UNKNOWN", "", now - timedelta(seconds=1), now)
    assert polling.pace_s(remote, CAPS, [due]) == 3
    polling.ring_due()
    OrmQ.objects.all().delete()
    polling.want(remote.pk)
    assert not OrmQ.objects.exists()
    with after(3.1):
        assert polling.ring_due() == 1
        books.sync_account(remote.pk)
    assert SyncState.objects.get().wanted_at is None


def test_it_does_not_read_an_account_that_is_not_connected(desk, remote):
    BrokerAccount.objects.update(state="DISCONNECTED")
    assert polling.ring_due() == 0


def test_it_keeps_one_schedule_for_each_account_at_a_real_broker(desk, remote):
    model = apps.get_model("django_q", "Schedule")
    assert [schedules.keep(), schedules.keep()] == [1, 0]
    row = model.objects.get(func=schedules.FUNC)
    assert (row.name, row.minutes, row.args) == (f"sync account {remote.pk}", 1, f"({remote.pk},)")
    BrokerAccount.objects.update(broker="paper")
    assert (schedules.keep(), model.objects.filter(func=schedules.FUNC).count()) == (1, 0)


# ------------------------------------------------------------------------- any order of reports
STEPS = st.permutations(range(6)).flatmap(lambda order: st.lists(st.sampled_from(order), max_size=6).map(lambda more: [*more, *order]))


@given(STEPS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_ends_in_the_same_state_whatever_the_order_and_repetition_of_reports(desk, wire, steps):
    from django.db import transaction

    with transaction.atomic():
        order = desk.filled("auto", trade={"order_type": "LIMIT"})
        at = clock.now()
        story = [
            (Status.SUBMITTED, 0, 10, 1500), (Status.OPEN, 0, 10, 1500), (Status.PARTIAL, 4, 10, 1500),
            (Status.PARTIAL, 4, 8, 1490), (Status.UNMAPPED, 6, 8, 1490), (Status.CANCELLED, 6, 8, 1490),
        ]  # fmt: skip
        wire.fills = []
        wire.fill(D(4), D(1500), trade_id="A")
        wire.fill(D(2), D(1490), trade_id="B")
        for step in steps:
            status, filled, quantity, price = story[step]
            said = report(order.tag, broker_id="W1", status=status, filled=filled, quantity=quantity, price=price, at=at + timedelta(seconds=step))
            sync.apply_report(order.pk, said, wire.fills[: {0: 0, 4: 1, 6: 2}[filled]])
        end = again(order)
        assert (end.status, end.filled_quantity, end.quantity, end.price) == ("CANCELLED", 6, 8, 1490)
        assert sum(p.quantity for p in Held.objects.all()) == 6
        transaction.set_rollback(True)


