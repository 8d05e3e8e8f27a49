"""Any sequence of people, workers, faults and restarts keeps the promises: one tag one order, moves along the table, a story that replays."""

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
from brokers.types import Status
from tests.trading.desk import make_desk
from tests.trading.services.broker import Wire
from trading.domain import orderfsm
from trading.domain.orderfsm import State
from trading.models import Order, Position
from trading.services import books, dispatch, halt, modify, orders, sweeper, sync
from tvapp.lib import clock
from tvapp.lib.errors import AppError
from tvapp.models import DeskSettings

CHANGE_ANSWERS = [None, None, Rejected("ORDER_BUSY", "busy"), Ambiguous("OTHER", "timed out")]
ANSWERS = [None, None, Rejected("OTHER", "no"), Ambiguous("OTHER", "timed out"), Unavailable("OTHER", "refused"), AuthExpired("OTHER", "token")]


class Remembering(Wire):
    """A broker that keeps what it accepted, also when its answer was lost, and shows it in its book."""

    def place(self, request):
        answer = self.answers.pop(0) if self.answers else None
        if answer is None or isinstance(answer, Ambiguous):
            self.accepted.setdefault(request.ref, []).append(request)
        self.answers.insert(0, answer)
        return super().place(request)


class Desk(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.scene = transaction.atomic()  # each example plays in a transaction of its own that is rolled back
        self.scene.__enter__()
        DeskSettings.forget()
        self.desk = make_desk()
        self.wire = Remembering()
        self.wire.accepted = {}
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
        self.desk.send(strategy, trade={"order_action": side, "quantity": 5})

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
    @rule()
    def worker_that_dies_after_the_intent(self):
        order = Order.objects.filter(status=State.QUEUED).first()
        if dispatch.claim(order.pk):
            Order.objects.filter(pk=order.pk).update(lease_process="", lease_until=clock.now())

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

    @rule(seconds=st.sampled_from([1, 3, 20, 400]))
    def time_passes(self, seconds):
        self.clock.shift(timedelta(seconds=seconds))
        for ref, requests in self.wire.accepted.items():
            if not self.wire.book.get(ref):
                order = Order.objects.get(tag=ref)
                self.wire.show(order, broker_id=order.broker_order_id or f"L{order.pk}")
                assert len(requests) == 1
        sweeper.sweep()
        books.sync_account(self.desk.account.pk)

    @rule()
    def kill_switch_and_release(self):
        halt.kill("GLOBAL", reason="test", actor="asha", cancel_open=False)
        halt.release("GLOBAL", reason="test", actor="asha")

    @rule()
    def broker_is_connected_again(self):
        BrokerAccount.objects.update(state="READY")

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
        run_state_machine_as_test(Desk, settings=settings(max_examples=25, stateful_step_count=25, deadline=None))
