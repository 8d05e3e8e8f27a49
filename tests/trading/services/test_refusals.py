"""What a broker's refusal means beyond its one order: entries wait until it is acknowledged, an account stops, a day is over."""

from datetime import timedelta

import pytest
import time_machine

from brokers import registry
from brokers.errors import Ambiguous, RateLimited, Rejected, Unavailable
from risk.models import RiskSettings, Trip
from tests.trading.services.broker import Wire
from tests.trading.services.test_dispatch import again
from trading.models import Order, OrderAttempt, SystemEvent
from trading.services import dispatch, orders, refusals, sweeper
from tvapp.lib import clock
from tvapp.lib.errors import AppError

pytestmark = pytest.mark.django_db
NO_FUNDS = "Insufficient funds. Required margin is 95417.84 but available margin is 74251.80."
MORNING = "2026-11-23T04:30:00Z"  # a Monday, 10:00 IST


@pytest.fixture
def wire(monkeypatch):
    def make(*answers, **caps):
        broker = Wire(*answers, **caps)
        monkeypatch.setattr(registry, "adapter_for", lambda account: broker)
        return broker

    return make


def events(code: str) -> list[str]:
    return list(SystemEvent.objects.filter(code=code).values_list("message", flat=True))


@pytest.mark.parametrize("code", ["INSUFFICIENT_FUNDS", "INSUFFICIENT_HOLDINGS", "NOT_PERMITTED"])
def test_it_lets_further_entries_of_the_strategy_wait_after_a_lasting_refusal(desk, wire, code):
    broker = wire(Rejected(code, NO_FUNDS))
    first, second = desk.filled("auto"), desk.filled("auto")
    assert (first.status, first.status_reason) == ("FAILED", code)
    assert (second.status, second.status_reason, second.mode) == ("WAITING", "REFUSAL_OPEN", "MANUAL")
    assert len(broker.placed) == 1 and "95417.84" in events(code)[0] and "74251.80" in events(code)[0]


def test_it_lets_an_exit_pass_a_refusal_nobody_acknowledged(desk, wire):
    desk.filled("auto")
    desk.auto.refresh_from_db()
    broker = wire(Rejected("INSUFFICIENT_FUNDS", NO_FUNDS))
    desk.filled("auto")
    sold = desk.filled("auto", trade={"order_action": "SELL", "quantity": 10})
    assert sold.status == "SENT" and [r.side for r in broker.placed] == ["BUY", "SELL"]
    assert broker.placed[1].reduce_only


def test_it_lets_entries_go_again_once_somebody_acknowledged(desk, wire):
    wire(Rejected("INSUFFICIENT_FUNDS", NO_FUNDS))
    desk.filled("auto")
    waiting = desk.filled("auto")
    with pytest.raises(AppError, match="refused an order of this strategy before"):
        orders.approve(again(waiting), actor="asha")
    desk.auto.refresh_from_db()
    refusals.acknowledge(desk.auto, actor="asha")
    orders.approve(again(waiting), actor="asha")
    assert dispatch.work(waiting.pk) == "sent"
    with pytest.raises(AppError, match="Nothing of auto waits"):
        refusals.acknowledge(desk.auto, actor="asha")


def test_it_keeps_a_refusal_when_a_form_opened_before_it_is_saved(desk, wire):
    wire(Rejected("INSUFFICIENT_FUNDS", NO_FUNDS))
    opened = type(desk.auto).objects.get(pk=desk.auto.pk)
    desk.filled("auto")
    opened.description = "typed meanwhile"
    opened.save()
    assert type(opened).objects.get(pk=opened.pk).refusal["code"] == "INSUFFICIENT_FUNDS"


def test_it_does_not_pause_a_strategy_for_a_passing_refusal_or_for_another_one(desk, wire):
    wire(Rejected("PRICE_BAND", "outside the band"))
    desk.filled("auto")
    assert desk.filled("auto").status == "SENT"


@pytest.mark.parametrize("answer", [Rejected("IP_NOT_ALLOWED", "IP 203.0.113.7 is not allowed"), Unavailable("TLS_CERT", "certificate has expired")])
def test_it_stops_the_account_when_the_broker_or_its_certificate_is_not_to_be_trusted(desk, wire, answer):
    broker = wire(answer)
    first, second = desk.filled("auto"), desk.filled("auto")
    assert first.status in ("FAILED", "HELD") and (second.status, second.status_reason) == ("HELD", "STATE_HALTED")
    trip = Trip.objects.get()
    assert (trip.scope, trip.code, trip.effect) == (f"ACCOUNT:{desk.account.pk}", answer.code, "HALTED") and answer.message in trip.reason
    assert len(broker.placed) == 1 and len(events(answer.code)) == 1


def test_it_keeps_an_answer_it_does_not_know_with_its_body(desk, wire):
    raw = {"unclassified": True, "http_status": 400, "body": {"message": "Markets are in a funny mood"}}
    wire(Ambiguous("OTHER", "Markets are in a funny mood", raw=raw))
    order = desk.filled("auto")
    event = SystemEvent.objects.get(code="ANSWER_UNCLASSIFIED")
    assert (event.level, event.order, event.data["body"]) == ("WARNING", order, raw["body"])
    assert order.status == "UNKNOWN" and OrderAttempt.objects.get().answer == raw


# ------------------------------------------------------------------------ too many orders
def test_it_holds_orders_until_tomorrow_when_the_day_is_spent(desk, wire):
    with time_machine.travel(MORNING, tick=False) as hand:
        spent = [RateLimited("DAILY_ORDER_CAP", "Maximum allowed order requests exceeded") for _ in range(2)]
        wire(*spent)
        first, second = desk.filled("auto"), desk.filled("auto")
        assert (first.status, second.status, first.status_reason) == ("HELD", "HELD", "DAILY_ORDER_CAP")
        assert len(events("DAILY_ORDER_CAP")) == 1
        hand.shift(timedelta(hours=1))
        sweeper.sweep()
        assert again(first).status == "HELD"


def test_it_asks_a_person_on_the_next_day_about_what_was_held(desk, wire):
    with time_machine.travel("2026-11-23T18:00:00Z", tick=False) as hand:  # 23:30 IST
        wire(RateLimited("DAILY_ORDER_CAP", "Maximum allowed order requests exceeded"))
        held = desk.filled("auto")
        hand.shift(timedelta(minutes=45))
        sweeper.sweep()
        assert (again(held).status, again(held).status_reason) == ("WAITING", "HOLD_ENDED")


def test_it_does_not_count_its_own_limiter_as_a_broker_that_cannot_be_reached(desk, wire):
    with time_machine.travel(MORNING, tick=False) as hand:
        RiskSettings.objects.update(clamp_mode="REJECT")
        desk.auto.max_age_s = 3600
        desk.auto.save()
        wire(*[RateLimited("TOO_MANY_REQUESTS", "no room", local=True, retry_after=30) for _ in range(8)])
        order = desk.order("auto")
        for _ in range(8):
            dispatch.work(order.pk)
            assert (again(order).status, again(order).due_at) == ("QUEUED", clock.now() + timedelta(seconds=30))
            assert dispatch.work(order.pk) == "not due"
            hand.shift(timedelta(seconds=31))
        assert dispatch.work(order.pk) == "sent" and Order.objects.get().attempt == 9
