"""Any sequence of people, workers, deaths, faults, clocks and restarts keeps the promises: one tag one order, a story that replays, an end to everything.

`MACHINE_EXAMPLES=2000 MACHINE_STEPS=50 pytest -n0 tests/trading/services/test_machine.py` is the long run (docs/crashtest.md).
"""

import json
import os
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal as D

import time_machine
from django.db import transaction
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from brokers import registry
from brokers.errors import Ambiguous, AuthExpired, Rejected, Unavailable
from brokers.models import BrokerAccount, Instrument
from brokers.types import LIVE, Status
from risk.models import RiskSettings
from tests.trading.desk import make_desk
from tests.trading.services.broker import Wire
from trading.domain import orderfsm
from trading.domain.orderfsm import State
from trading.models import Level, Order, Position, SystemEvent
from trading.services import books, connect, dispatch, halt, hints, modify, orders, polling, recover, sweeper, sync
from tvapp.lib import clock, crash
from tvapp.lib.errors import AppError
from tvapp.models import DeskSettings

CHANGE_ANSWERS = [None, None, Rejected("ORDER_BUSY", "busy"), Ambiguous("OTHER", "timed out")]
ANSWERS = [None, None, Rejected("OTHER", "no"), Ambiguous("OTHER", "timed out"), Unavailable("OTHER", "refused"), AuthExpired("OTHER", "token")]


STILL_MOVING = (State.QUEUED, State.SENDING, State.UNKNOWN, State.SENT)
EXAMPLES, STEPS = int(os.environ.get("MACHINE_EXAMPLES", "40")), int(os.environ.get("MACHINE_STEPS", "30"))


class Killed(BaseException):
    """A worker's SIGKILL: nothing of the desk catches it."""


class Remembering(Wire):
    """A broker that keeps what it accepted, also when its answer was lost. Its book shows it when a test says so."""

    def __init__(self):
        super().__init__()
        self.accepted, self.gone = {}, set()

    def place(self, request):
        may_leave(request)
        answer = self.answers.pop(0) if self.answers else None
        if answer is None or isinstance(answer, Ambiguous):
            self.accepted.setdefault(request.ref, []).append(request)
        self.answers.insert(0, answer)
        return super().place(request)

    def cancel(self, key):
        self.gone.add(key.ref)
        super().cancel(key)

    def show_all(self) -> None:
        """Everything accepted is in the book, and what was cancelled there is so; what fills say comes with it."""
        for ref in self.accepted:
            order = Order.objects.get(tag=ref)
            broker_id = order.broker_order_id or f"L{order.pk}"
            filled = sum((f.quantity for f in self.list_fills() if f.broker_order_id == broker_id), D(0))
            done = filled >= order.quantity
            status = Status.FILLED if done else Status.CANCELLED if ref in self.gone else Status.PARTIAL if filled else Status.OPEN
            before = self.book.get(ref, [None])[-1]
            if before is None or before.status in LIVE:
                self.book[ref] = []
                self.show(order, status, filled=filled, broker_id=broker_id)


def may_leave(request) -> None:
    """What nothing may ever do, looked at where the bytes would leave."""
    order = Order.objects.select_related("account", "strategy").get(tag=request.ref)
    assert order.status == State.SENDING and order.account.state == "READY", (order.status, order.account.state)
    most = RiskSettings.objects.get(scope="GLOBAL").max_quantity_per_order
    if not request.reduce_only:
        assert halt.bars(order, closes=False) is None
        assert most is None or request.quantity <= most


@contextmanager
def death_at(passes: int):
    """The process dies when it passes so many of its crash points; 0: it lives."""
    left, point = passes, crash.point

    def count(name):
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed(name)

    crash.point = count
    try:
        yield
    except Killed:
        pass
    finally:
        crash.point = point


class Desk(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.scene = transaction.atomic()  # each example plays in a transaction of its own that is rolled back
        self.scene.__enter__()
        DeskSettings.forget()
        self.desk = make_desk()
        self.wire = Remembering()
        self.sent: list[bytes] = []
        self.original, registry.adapter_for = registry.adapter_for, lambda account: self.wire
        self.hand = time_machine.travel(clock.now(), tick=False)
        self.clock = self.hand.start()

    def teardown(self):
        self.hand.stop()
        registry.adapter_for = self.original
        transaction.set_rollback(True)
        self.scene.__exit__(None, None, None)

    def any_order(self, number: int) -> Order:
        rows = list(Order.objects.select_related("account", "strategy", "instrument", "owner").order_by("id"))
        return rows[number % len(rows)]

    @initialize()
    def begins_with_an_alert(self):
        self.alert("auto", "BUY")

    @rule(strategy=st.sampled_from(["auto", "auto", "manual"]), side=st.sampled_from(["BUY", "BUY", "SELL"]))
    def alert(self, strategy, side):
        self.sent.append(json.dumps(self.desk.body(strategy, trade={"order_action": side, "quantity": 5})).encode())
        assert not self.desk.send(raw=self.sent[-1]).duplicate

    @rule(number=st.integers(0, 20))
    def alert_comes_again(self, number):
        known = set(Order.objects.values_list("id", flat=True))
        answer = self.desk.send(raw=self.sent[number % len(self.sent)])
        assert answer.duplicate and set(answer.order_ids) <= known == set(Order.objects.values_list("id", flat=True))

    @rule(number=st.integers(0, 20), quantity=st.integers(1, 4), late=st.booleans())
    def person_edits(self, number, quantity, late):
        order = self.any_order(number)
        try:
            orders.edit(order, {"quantity": D(quantity)}, actor="asha", version=order.version - late)
        except AppError as refused:
            assert refused.code and refused.message
        else:
            assert order.status == State.WAITING and not late

    @rule(number=st.integers(0, 20))
    def two_people_execute(self, number):
        first, second = self.any_order(number), self.any_order(number)
        done = 0
        for order, who in ((first, "asha"), (second, "ravi")):
            try:
                orders.approve(order, actor=who, version=first.version)
                done += 1
            except AppError as refused:
                assert refused.code and refused.message
        assert done <= 1

    @rule(number=st.integers(0, 20))
    def person_sends_a_held_one_on(self, number):
        try:
            orders.requeue(self.any_order(number), actor="asha")
        except AppError as refused:
            assert refused.code and refused.message

    @rule(number=st.integers(0, 20), act=st.sampled_from(["approve", "cancel", "back_to_queue", "resubmit"]))
    def person(self, number, act):
        try:
            getattr(orders, act)(self.any_order(number), actor="asha")
        except AppError as refused:
            assert refused.code and refused.message

    @rule(number=st.integers(0, 20), quantity=st.integers(1, 4), answer=st.sampled_from(CHANGE_ANSWERS))
    def person_changes_what_rests(self, number, quantity, answer):
        order = self.any_order(number)
        try:
            modify.modify(order, {"quantity": D(quantity)}, actor="asha")
        except AppError as refused:
            assert refused.code and refused.message
            return
        self.wire.refusals = [answer] if answer else []
        dispatch.work(order.pk)

    @rule(freeze=st.sampled_from([None, D(2)]))
    def exchange_takes_less_or_more_at_once(self, freeze):
        Instrument.objects.update(freeze=freeze)

    @rule(number=st.integers(0, 20))
    def bell_that_nobody_needed(self, number):
        dispatch.work(self.any_order(number).pk)

    @precondition(lambda self: Order.objects.filter(status=State.QUEUED).exists())
    @rule(answer=st.sampled_from(ANSWERS))
    def worker(self, answer):
        self.wire.answers = [answer]
        dispatch.work(Order.objects.filter(status=State.QUEUED).first().pk)

    @precondition(lambda self: Order.objects.filter(status=State.QUEUED).exists())
    @rule(answer=st.sampled_from(ANSWERS), passes=st.integers(1, 9))
    def worker_that_dies(self, answer, passes):
        self.wire.answers = [answer]
        with death_at(passes):
            dispatch.work(Order.objects.filter(status=State.QUEUED).first().pk)

    @precondition(lambda self: Order.objects.filter(status__in=orderfsm.LIVE).exists())
    @rule(part=st.integers(1, 5), status=st.sampled_from([Status.OPEN, Status.PARTIAL, Status.FILLED, Status.CANCELLED, Status.UNMAPPED]))
    def broker_reports(self, part, status):
        order = Order.objects.filter(status__in=orderfsm.LIVE).first()
        left = int(order.remaining)
        if status in (Status.PARTIAL, Status.FILLED) and left:
            quantity = left if status == Status.FILLED else min(part, left)
            self.wire.fill(D(quantity), D(1500), trade_id=f"T{len(self.wire.fills)}", broker_id=order.broker_order_id)
        self.wire.book[order.tag] = []
        report = self.wire.show(order, status, broker_id=order.broker_order_id)
        sync.apply_report(order.pk, report, self.wire.list_fills(report.key))

    @rule(seconds=st.sampled_from([1, 3, 20, 400]), shown=st.booleans(), passes=st.sampled_from([0, 0, 1, 2, 3, 5]))
    def time_passes(self, seconds, shown, passes):
        self.clock.shift(timedelta(seconds=seconds))
        if shown:
            self.wire.show_all()
        with death_at(passes):
            sweeper.sweep()
            books.sync_account(self.desk.account.pk)

    @rule(seconds=st.sampled_from([-300, -2, 300, 86_400]))
    def clock_jumps(self, seconds):
        self.clock.shift(timedelta(seconds=seconds))
        sweeper.sweep()

    @rule(true=st.booleans())
    def postback(self, true):
        before = list(Order.objects.values_list("status", "version"))
        if true:
            polling.hinted(self.desk.account.pk)
        else:
            assert not hints.postback("nobody-s-token", b'{"status": "COMPLETE"}')
        assert before == list(Order.objects.values_list("status", "version"))

    @rule(stays=st.booleans())
    def kill_switch(self, stays):
        halt.kill("GLOBAL", reason="test", actor="asha", cancel_open=stays)
        if not stays:
            halt.release("GLOBAL", reason="test", actor="asha")

    @rule()
    def kill_switch_is_released(self):
        halt.release("GLOBAL", reason="test", actor="asha")

    @rule(most=st.sampled_from([None, D(3), D(5)]))
    def limit_changes(self, most):
        RiskSettings.objects.filter(scope="GLOBAL").update(max_quantity_per_order=most)

    @rule()
    def session_ends(self):
        connect.session_lost(self.desk.account, "the broker no longer accepts the session")

    @rule()
    def desk_starts_again(self):
        BrokerAccount.objects.filter(state="READY").update(state="RECOVERING")
        DeskSettings.forget()
        recover.recover_all()

    @rule()
    def broker_is_connected_again(self):
        BrokerAccount.objects.update(state="RECOVERING")
        books.sync_account(self.desk.account.pk)

    @rule()
    def everything_comes_to_rest(self):
        """Nothing dies, the broker is well, nobody stops anything: then nothing is on its way for long, and both tell the same."""
        halt.release("GLOBAL", reason="over", actor="asha")
        self.wire.answers, self.wire.refusals = [], []
        BrokerAccount.objects.filter(state="DISCONNECTED").update(state="RECOVERING")
        for _ in range(60):
            self.clock.shift(timedelta(seconds=5))
            self.wire.show_all()
            sweeper.sweep()
            books.sync_account(self.desk.account.pk)
            for order in self.moving():
                dispatch.work(order.pk)
            if not self.moving():
                break
        assert not [(order.pk, order.status, order.pending_action, order.why) for order in self.moving()]
        for ref in self.wire.accepted:
            assert Order.objects.get(tag=ref).status in (*orderfsm.LIVE, State.COMPLETE, State.CANCELLED)
        assert not SystemEvent.objects.filter(level=Level.ERROR, code="TAG_TWICE").exists()

    def moving(self) -> list[Order]:
        return [order for order in Order.objects.order_by("id") if order.status in STILL_MOVING or order.pending_action]

    @invariant()
    def one_tag_is_at_most_one_accepted_order(self):
        assert all(len(requests) == 1 for requests in self.wire.accepted.values())

    @invariant()
    def an_accepted_order_is_never_called_failed_or_unsent(self):
        unsent = (State.FAILED, State.WAITING, State.QUEUED, State.HELD, State.STALE, State.REJECTED_RISK)
        assert not Order.objects.filter(tag__in=self.wire.accepted, status__in=unsent).exists()

    @invariant()
    def the_story_replays_to_the_state(self):
        for order in Order.objects.prefetch_related("events"):
            events = list(order.events.all())
            state = ""
            for event in events:
                if event.to_status:
                    assert event.from_status == state and (not state or orderfsm.may_move(State(state), State(event.to_status)))
                    state = event.to_status
            assert state == order.status and events[-1].seq == order.version == len(events)

    @invariant()
    def slices_add_up_to_what_was_decided(self):
        for first in Order.objects.filter(children__role="SLICE").distinct():
            parts = [first, *first.children.filter(role="SLICE")]
            changed = any(event.kind in ("CHANGED", "EDITED") for part in parts for event in part.events.all())
            assert changed or any(part.verdict == "CLAMP" for part in parts) or sum(part.quantity for part in parts) == first.requested_quantity

    @invariant()
    def fills_never_pass_the_quantity_and_make_the_position(self):
        held = D(0)
        for order in Order.objects.prefetch_related("fills"):
            filled = sum((f.quantity for f in order.fills.all()), D(0))
            assert filled == order.filled_quantity <= (order.quantity or 0)
            held += filled if order.side == "BUY" else -filled
        assert sum((p.quantity for p in Position.objects.all()), D(0)) == held


class TestDesk(TestCase):
    def test_it_keeps_its_promises_through_any_sequence(self):
        run_state_machine_as_test(Desk, settings=settings(max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None))
