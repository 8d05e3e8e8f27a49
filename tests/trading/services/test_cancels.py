"""The cancel of a live order: asked once for each wish, and only the broker's book says how it ended."""

from datetime import timedelta

import pytest
import time_machine

from brokers.errors import Ambiguous, RateLimited, Rejected, Unavailable
from brokers.types import Status
from tests.trading.services.test_dispatch import again
from tests.trading.services.test_refusals import MORNING, wire
from trading.models import OrderAttempt
from trading.services import dispatch, halt, orders

pytestmark = pytest.mark.django_db


@pytest.fixture
def hand():
    with time_machine.travel(MORNING, tick=False) as traveller:
        yield traveller


@pytest.fixture
def resting(desk, wire, hand):
    """An order at the broker whose cancel was asked for, and a broker that answers cancels from a list."""
    broker = wire()
    order = desk.filled("auto")
    broker.show(order)
    broker.refusals = []
    broker.cancel = lambda key: (broker.cancelled.append(key), _raise(broker.refusals))
    orders.cancel(again(order), actor="asha")
    return broker, order


def _raise(answers):
    if answers:
        raise answers.pop(0)


def test_it_does_not_ask_again_while_a_cancel_is_under_way(resting, hand):
    broker, order = resting
    for _ in range(3):
        dispatch.work(order.pk)
        hand.shift(timedelta(seconds=2))
    assert len(broker.cancelled) == 1 and again(order).pending_action == "CANCEL"
    hand.shift(timedelta(seconds=15))
    dispatch.work(order.pk)
    assert len(broker.cancelled) == 2


def test_it_says_when_the_broker_did_not_cancel_and_asks_for_a_new_wish(resting, hand):
    broker, order = resting
    broker.refusals = [Rejected("ORDER_BUSY", "being processed")]
    dispatch.work(order.pk)
    assert (again(order).status, again(order).pending_action) == ("OPEN", "")
    hand.shift(timedelta(seconds=1))
    orders.cancel(again(order), actor="asha")
    dispatch.work(order.pk)
    assert len(broker.cancelled) == 2


@pytest.mark.parametrize(("answer", "outcome", "asked"), [
    (RateLimited("TOO_MANY_REQUESTS", "slow down"), "THROTTLED", 2), (Unavailable("OTHER", "refused"), "NOT_SENT", 2), (Ambiguous("OTHER", "timed out"), "UNKNOWN", 1),
])  # fmt: skip
def test_it_asks_again_only_when_the_first_never_left(resting, hand, answer, outcome, asked):
    broker, order = resting
    broker.refusals = [answer]
    dispatch.work(order.pk)
    hand.shift(timedelta(seconds=2))
    dispatch.work(order.pk)
    assert (OrderAttempt.objects.filter(kind="CANCEL").first().outcome, len(broker.cancelled)) == (outcome, asked)


def test_it_insists_on_a_cancel_the_broker_is_too_busy_for_while_trading_is_stopped(resting, hand):
    broker, order = resting
    halt.kill("GLOBAL", reason="test", actor="asha")
    broker.refusals = [Rejected("ORDER_BUSY", "being processed") for _ in range(2)]
    for asked in (1, 2, 3):
        dispatch.work(order.pk)
        dispatch.work(order.pk)
        assert (len(broker.cancelled), again(order).pending_action) == (asked, "CANCEL")
        hand.shift(timedelta(seconds=16))


def test_it_waits_for_a_read_that_works(resting, hand):
    broker, order = resting
    broker.book = {}
    assert dispatch.work(order.pk) == "not read yet"
    broker.show(order, Status.CANCELLED)
    dispatch.work(order.pk)
    assert again(order).status == "CANCELLED" and len(broker.cancelled) == 1


__all__ = ["wire"]
