"""Claim, send, record: what each outcome of a broker call becomes, and what two workers or a dead one can do."""

from datetime import timedelta
from decimal import Decimal

import pytest
import time_machine

from brokers import registry
from brokers.errors import Ambiguous, AuthExpired, RateLimited, Rejected, Unavailable
from brokers.models import BrokerAccount, Instrument, PaperOrder, Quote
from brokers.types import Status
from risk.models import Decision, RiskSettings
from tests.trading.services.broker import Wire
from trading.models import Fill, Order, OrderAttempt, Position, SystemEvent
from trading.services import advice, books, dispatch, halt, health, orders, recover, sweeper, sync
from tvapp.lib import clock
from tvapp.models import DeskSettings

pytestmark = pytest.mark.django_db
D = Decimal


@pytest.fixture
def wire(monkeypatch):
    """Replaces the broker at the registry, the one door to it."""

    def make(*answers, **caps):
        broker = Wire(*answers, **caps)
        monkeypatch.setattr(registry, "adapter_for", lambda account: broker)
        return broker

    return make


def again(order: Order) -> Order:
    return Order.objects.select_related("account", "strategy", "instrument", "owner").get(pk=order.pk)


# -------------------------------------------------------------------- outcome classes
OUTCOMES = [
    (Rejected("INSUFFICIENT_FUNDS", "Insufficient funds"), "FAILED", "INSUFFICIENT_FUNDS", "REFUSED"),
    (Ambiguous("OTHER", "timed out"), "UNKNOWN", "OUTCOME_UNKNOWN", "UNKNOWN"),
    (KeyError("order_id"), "UNKNOWN", "OUTCOME_UNKNOWN", "UNKNOWN"),
    (AuthExpired("OTHER", "token"), "HELD", "ACCOUNT_DISCONNECTED", "AUTH"),
    (RateLimited("TOO_MANY_REQUESTS", "slow down", retry_after=3), "QUEUED", "TOO_MANY_REQUESTS", "THROTTLED"),
    (Unavailable("OTHER", "refused"), "QUEUED", "OTHER", "NOT_SENT"),
]


@pytest.mark.parametrize(("answer", "status", "code", "outcome"), OUTCOMES, ids=lambda v: str(v)[:24])
def test_it_turns_every_answer_of_a_broker_into_its_own_state(desk, wire, answer, status, code, outcome):
    broker = wire(answer)
    order = desk.filled("auto")
    assert (order.status, order.status_reason) == (status, code)
    assert OrderAttempt.objects.get().outcome == outcome
    assert len(broker.placed) == 1


def test_it_says_sent_when_the_broker_took_it_and_nothing_more(desk, wire):
    wire()
    order = desk.filled("auto")
    assert (order.status, order.broker_order_id, order.filled_quantity) == ("SENT", "W1", 0)


def test_it_commits_the_intent_before_the_call(desk, wire, monkeypatch):
    broker, seen = wire(), {}
    place = broker.place
    monkeypatch.setattr(broker, "place", lambda r: (seen.update(Order.objects.values("status", "tag", "attempt").get()), place(r))[1])
    desk.filled("auto")
    assert (seen["status"], seen["attempt"], seen["tag"]) == ("SENDING", 1, broker.placed[0].ref)


def test_it_tells_once_that_the_session_ended(desk, wire):
    wire(AuthExpired("OTHER", "token"), AuthExpired("OTHER", "token"))
    desk.filled("auto")
    desk.filled("auto")
    assert BrokerAccount.objects.get().state == "DISCONNECTED"
    assert SystemEvent.objects.filter(code="ACCOUNT_DISCONNECTED").count() == 1


def test_it_tries_again_with_the_same_tag_after_the_pause_and_not_before(desk, wire):
    broker = wire(Unavailable("OTHER", "refused"))
    order = desk.filled("auto")
    assert dispatch.work(order.pk) == "not due"
    with time_machine.travel(clock.now() + timedelta(seconds=5)):
        dispatch.work(order.pk)
    assert [r.ref for r in broker.placed] == [order.tag, order.tag]
    assert again(order).status == "SENT"


def test_it_gives_up_after_the_retry_window_and_waits_for_a_person(desk, wire):
    broker = wire(Unavailable("OTHER", "down"), Unavailable("OTHER", "down"))
    order = desk.order("manual")
    orders.approve(order, actor="asha")
    dispatch.work(order.pk)
    with time_machine.travel(clock.now() + timedelta(seconds=301)):
        dispatch.work(order.pk)
    assert (again(order).status, again(order).status_reason) == ("HELD", "RETRY_EXHAUSTED")
    assert len(broker.placed) == 2


# ---------------------------------------------------------------------------- claims
def test_it_does_nothing_when_the_bell_rings_twice(desk, wire):
    broker = wire()
    order = desk.filled("auto")
    assert dispatch.work(order.pk) == "nothing"
    assert len(broker.placed) == 1


def test_it_drops_a_claim_that_lost_the_race(desk, wire):
    broker = wire()
    order = desk.order("auto")
    stale = again(order)
    orders.cancel(again(order), actor="asha")
    assert orders.move(stale, "SENDING", text="late", actor="desk") is False
    dispatch.work(order.pk)
    assert (again(order).status, broker.placed) == ("CANCELLED", [])


def test_it_parks_an_order_whose_work_never_ends(desk, wire):
    wire()
    order = desk.order("auto")
    Order.objects.filter(pk=order.pk).update(starts=3)
    dispatch.work(order.pk)
    assert again(order).status == "QUEUED"  # whoever started it last may be about to send it
    after_the_last_pause(order)
    assert (again(order).status, again(order).status_reason) == ("HELD", "POISON")
    sweeper.sweep()
    assert again(order).status == "HELD"


def test_it_parks_an_order_whose_worker_dies_each_time_it_sends(desk):
    order = desk.order("auto")
    for _ in range(3):
        assert dispatch._count_start(again(order)) and dispatch.claim(order.pk)
        Order.objects.filter(pk=order.pk).update(lease_until=clock.now() - timedelta(seconds=1))
        recover.recover_all()
    dispatch.work(order.pk)
    after_the_last_pause(order)
    assert (again(order).status_reason, PaperOrder.objects.count()) == ("POISON", 0)


def after_the_last_pause(order):
    Order.objects.filter(pk=order.pk, due_at__gt=clock.now()).update(due_at=clock.now())
    dispatch.work(order.pk)


def test_it_sends_an_order_that_many_workers_were_rung_for_at_once(desk, wire):
    broker = wire()
    order = desk.order("auto")
    started = [dispatch._count_start(again(order)) for _ in range(8)]
    assert started == [True] * 3 + [False] * 5
    assert dispatch._send(dispatch.claim(order.pk)) == "sent"
    assert (again(order).status, len(broker.placed)) == ("SENT", 1)


def test_it_counts_anew_when_a_person_sends_a_parked_order_back(desk):
    order = desk.order("auto")
    Order.objects.filter(pk=order.pk).update(starts=3)
    dispatch.work(order.pk)
    orders.back_to_queue(again(order), actor="asha")
    orders.approve(again(order), actor="asha")
    dispatch.work(order.pk)
    assert again(order).status == "COMPLETE"


def test_it_ends_alerts_nobody_decided_on_and_keeps_exits(desk):
    entry, leaving = desk.order("manual"), desk.order("manual")
    Order.objects.filter(pk=leaving.pk).update(reduce_only=True)
    with time_machine.travel(clock.now() + timedelta(hours=6, seconds=1)):
        sweeper.sweep()
    assert (again(entry).status, again(leaving).status) == ("STALE", "WAITING")


def test_it_sends_what_the_gate_left_and_says_what_was_asked(desk):
    RiskSettings.objects.filter(scope="GLOBAL").update(max_quantity_per_order=50, clamp_mode="CLAMP")
    order = desk.filled("auto", trade={"quantity": 120, "price": 100})
    assert (order.status, order.quantity, order.requested_quantity, order.verdict) == ("COMPLETE", 50, 120, "CLAMP")
    assert "Quantity clamped from 120 to 50" in order.events.get(to_status="SENDING").text


def test_it_never_lets_a_rejected_order_leave(desk, wire):
    broker = wire()
    order = desk.filled("auto", trade={"quantity": 501, "price": 10})
    assert (order.status, order.status_reason, broker.placed) == ("REJECTED_RISK", "QTY_MAX", [])
    assert Decision.objects.get().findings and order.decision_id == Decision.objects.get().pk


def test_it_keeps_the_inputs_of_a_decision(desk):
    desk.filled("auto")
    kept = Decision.objects.get().snapshot
    assert kept["intent"]["quantity"] == "10" and kept["limits"][0]["scope"] == "GLOBAL" and kept["snapshot"]["environment"] == "PAPER"


def test_it_calls_an_order_too_old_when_the_worker_was_away(desk, wire):
    broker = wire()
    order = desk.order("auto")
    with time_machine.travel(clock.now() + timedelta(minutes=10)):
        dispatch.work(order.pk)
    assert (again(order).status, broker.placed) == ("STALE", [])


def test_it_holds_orders_while_the_disk_is_full(desk, wire, monkeypatch):
    broker = wire()
    monkeypatch.setattr(health, "free_disk_mb", lambda: 10)
    order = desk.filled("auto")
    assert (order.status, order.status_reason, broker.placed) == ("HELD", "DISK_LOW", [])
    monkeypatch.setattr(health, "free_disk_mb", lambda: 10_000)
    sweeper.sweep()
    assert again(order).status == "QUEUED"


# ------------------------------------------------------------------------ kill switch
def test_it_parks_queued_orders_and_sends_nothing_after_the_kill(desk, wire):
    broker = wire()
    order = desk.order("auto")
    halt.kill("GLOBAL", reason="test", actor="asha")
    dispatch.work(order.pk)
    assert (again(order).status, again(order).status_reason, broker.placed) == ("HELD", "STATE_HALTED", [])


def test_it_reads_the_kill_row_once_more_right_before_the_write(desk, wire):
    broker = wire()
    order = desk.order("auto")
    claimed = dispatch.claim(order.pk)
    halt.kill("GLOBAL", reason="test", actor="asha")
    assert dispatch._send(claimed) == "halted"
    assert (again(order).status, broker.placed) == ("HELD", [])


@pytest.mark.parametrize(("age", "status"), [(timedelta(minutes=5), "WAITING"), (timedelta(hours=7), "STALE")])
def test_it_never_sends_a_held_order_by_itself_after_the_release(desk, wire, age, status):
    broker = wire()
    order = desk.order("auto")
    halt.kill("GLOBAL", reason="test", actor="asha")
    halt.release("GLOBAL", reason="over", actor="asha")
    with time_machine.travel(clock.now() + age):
        sweeper.sweep()
    assert (again(order).status, broker.placed) == (status, [])


def test_it_stops_only_its_own_account(desk, wire):
    wire()
    halt.kill(f"ACCOUNT:{desk.account.pk + 1}", reason="test", actor="asha")
    assert desk.filled("auto").status == "SENT"


# --------------------------------------------------------------------------- recovery
def sending(desk, *, process="elsewhere:1:1", lease=-1) -> Order:
    """An order whose worker died after the intent."""
    order = desk.order("auto")
    dispatch.claim(order.pk)
    Order.objects.filter(pk=order.pk).update(lease_process=process, lease_until=clock.now() + timedelta(seconds=lease))
    return again(order)


def test_it_queues_again_what_provably_never_reached_the_paper_book(desk):
    order = sending(desk)
    sweeper.sweep()
    assert again(order).status == "QUEUED"
    dispatch.work(order.pk)
    assert (again(order).status, PaperOrder.objects.count()) == ("COMPLETE", 1)


def test_it_adopts_what_reached_the_paper_book(desk):
    order = desk.order("auto")
    claimed = dispatch.claim(order.pk)
    registry.adapter_for(desk.account).place(claimed.request)
    Order.objects.update(lease_until=clock.now() - timedelta(seconds=1))
    sweeper.sweep()
    assert (again(order).status, again(order).filled_quantity, PaperOrder.objects.count()) == ("COMPLETE", 10, 1)


def test_it_does_not_touch_an_order_that_is_being_sent(desk):
    order = sending(desk, process=health.process(), lease=20)
    sweeper.sweep()
    assert again(order).status == "SENDING"


def test_it_takes_up_an_order_at_once_when_its_process_is_gone(desk):
    gone = health.process().rsplit(":", 1)[0] + ":1"
    order = sending(desk, process=gone, lease=20)
    sweeper.sweep()
    assert again(order).status == "QUEUED"


def test_it_adopts_an_unknown_order_that_shows_up_by_its_tag(desk, wire):
    broker = wire(Ambiguous("OTHER", "timed out"))
    order = desk.filled("auto")
    broker.show(order, Status.FILLED, filled=D(10))
    broker.fill(D(10), D(1500))
    with time_machine.travel(clock.now() + timedelta(seconds=2)):
        books.sync_account(desk.account.pk)
    assert (again(order).status, again(order).filled_quantity, len(broker.placed)) == ("COMPLETE", 10, 1)


def test_it_asks_a_person_after_three_clean_absences_and_never_sends_again(desk, wire):
    broker = wire(Ambiguous("OTHER", "timed out"))
    order = desk.filled("auto")
    for second in (2, 5, 10, 20, 40):
        with time_machine.travel(clock.now() + timedelta(seconds=second)):
            books.sync_account(desk.account.pk)
    assert (again(order).status, again(order).status_reason, len(broker.placed)) == ("NEEDS_REVIEW", "ABSENT_AFTER_SETTLE", 1)


def test_it_adopts_none_when_two_broker_orders_carry_one_tag(desk, wire):
    broker = wire(Ambiguous("OTHER", "timed out"))
    order = desk.filled("auto")
    broker.show(order, broker_id="W1")
    broker.show(order, broker_id="W2")
    with time_machine.travel(clock.now() + timedelta(seconds=2)):
        books.sync_account(desk.account.pk)
    assert (again(order).status, SystemEvent.objects.get(code="TAG_TWICE", category="risk").level) == ("NEEDS_REVIEW", "ERROR")
    assert halt.halted(again(order)).scope == f"ACCOUNT:{desk.account.pk}"


# -------------------------------------------------------------------------------- sync
def live(desk, wire):
    broker = wire()
    return broker, desk.filled("auto")


def test_it_applies_partial_fills_once_whatever_the_order_of_reports(desk, wire):
    broker, order = live(desk, wire)
    broker.fill(D(4), D(1499), trade_id="T1")
    partial = broker.show(order, Status.PARTIAL, filled=D(4))
    sync.apply_report(order.pk, partial, broker.list_fills())
    sync.apply_report(order.pk, partial, broker.list_fills())
    assert (again(order).status, again(order).filled_quantity) == ("PARTIAL", 4)
    broker.fill(D(6), D(1501), trade_id="T2")
    done = broker.show(order, Status.FILLED, filled=D(10))
    sync.apply_report(order.pk, done, broker.list_fills())
    sync.apply_report(order.pk, partial, broker.list_fills())
    assert (again(order).status, again(order).average_price, Fill.objects.count()) == ("COMPLETE", D("1500.2"), 2)
    assert Position.objects.get().quantity == 10


def test_it_books_a_fill_that_comes_after_the_cancel(desk, wire):
    broker, order = live(desk, wire)
    sync.apply_report(order.pk, broker.show(order, Status.CANCELLED), ())
    assert again(order).status == "CANCELLED"
    broker.fill(D(10), D(1500))
    sync.apply_report(order.pk, broker.show(order, Status.FILLED, filled=D(10)), broker.list_fills())
    assert (again(order).status, again(order).filled_quantity) == ("COMPLETE", 10)


def test_it_does_not_believe_in_complete_before_it_has_seen_the_fills(desk, wire):
    broker, order = live(desk, wire)
    sync.apply_report(order.pk, broker.show(order, Status.FILLED, filled=D(10)), ())
    assert again(order).status == "OPEN"


def test_it_never_goes_back_and_treats_an_unknown_word_as_still_working(desk, wire):
    broker, order = live(desk, wire)
    sync.apply_report(order.pk, broker.show(order, Status.OPEN), ())
    sync.apply_report(order.pk, broker.show(order, Status.SUBMITTED), ())
    sync.apply_report(order.pk, broker.show(order, Status.UNMAPPED), ())
    assert again(order).status == "OPEN"


def test_it_says_why_the_broker_refused_it_later(desk, wire):
    broker, order = live(desk, wire)
    sync.apply_report(order.pk, broker.show(order, Status.REJECTED, message="RMS: margin exceeds"), ())
    assert again(order).status == "REJECTED" and "RMS: margin exceeds" in again(order).why


# ------------------------------------------------------------------------------ cancels
def test_it_fills_a_resting_order_when_the_price_trades_through_it(desk):
    instrument = Instrument.objects.create(exchange="NSE", tradingsymbol="INFY")
    quote = Quote.objects.create(instrument=instrument, ltp=D(1600))
    order = desk.filled("auto")
    assert order.status == "OPEN"
    Quote.objects.filter(pk=quote.pk).update(ltp=D(1499), at=clock.now())
    books.sync_account(desk.account.pk)
    assert (again(order).status, again(order).average_price) == ("COMPLETE", 1500)


def test_it_cancels_a_resting_paper_order(desk):
    Quote.objects.create(instrument=Instrument.objects.create(exchange="NSE", tradingsymbol="INFY"), ltp=D(1600))
    order = desk.filled("auto")
    orders.cancel(again(order), actor="asha")
    dispatch.work(order.pk)
    assert (again(order).status, PaperOrder.objects.get().status) == ("CANCELLED", "CANCELLED")


def test_it_asks_the_broker_to_cancel_and_believes_only_what_it_reads(desk, wire):
    broker, order = live(desk, wire)
    sync.apply_report(order.pk, broker.show(order, Status.OPEN), ())
    orders.cancel(again(order), actor="asha")
    assert (again(order).status, again(order).pending_action) == ("OPEN", "CANCEL")
    broker.book.clear()
    broker.show(order, Status.CANCELLED)
    dispatch.work(order.pk)
    assert (again(order).status, again(order).pending_action, len(broker.cancelled)) == ("CANCELLED", "", 1)


def test_it_rings_again_for_a_bell_that_was_lost(desk, wire):
    from django_q.models import OrmQ

    wire()
    order = desk.order("auto")
    OrmQ.objects.all().delete()
    with time_machine.travel(clock.now() + timedelta(seconds=3)):
        sweeper.sweep()
    assert OrmQ.objects.filter(key="orders").exists()
    assert again(order).rings == 1


# ------------------------------------------------------------------------- desk settings
def test_it_sends_by_hand_what_the_desks_own_age_limit_allows(desk):
    DeskSettings(alert_dead_manual_h=12).save()
    order = desk.order("manual")
    with time_machine.travel(clock.now() + timedelta(hours=8)):
        orders.approve(again(order), actor="asha")
        dispatch.work(order.pk)
    assert again(order).status == "COMPLETE"


def test_it_warns_about_an_old_alert_as_the_desk_says(desk):
    DeskSettings(alert_old_manual_min=5).save()
    order = desk.order("manual")
    with time_machine.travel(clock.now() + timedelta(minutes=6)):
        ages = [f["verdict"] for f in advice.advise(again(order)).findings if f["code"] == "SIGNAL_TOO_OLD"]
    assert ages == ["WARN"]


@pytest.mark.parametrize(("age", "status"), [(50, "OPEN"), (70, "COMPLETE")])
def test_it_believes_a_price_for_as_long_as_the_desk_says(desk, age, status):
    DeskSettings(max_quote_age_s=60).save()
    instrument = Instrument.objects.create(exchange="NSE", tradingsymbol="INFY")
    Quote.objects.create(instrument=instrument, ltp=D(1600), at=clock.now() - timedelta(seconds=age))
    assert desk.filled("auto").status == status
