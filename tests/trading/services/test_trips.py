"""Automatic stops: what a trip is, how long it counts, and how it ends."""

from datetime import timedelta

import pytest
import time_machine

from risk.models import LiveArm, Trip
from tests import factories as make
from trading.models import SystemEvent
from trading.selectors.stops import standing, state_of
from trading.services import halt, limits, trips, tripwires
from tvapp.lib import clock
from tvapp.lib.errors import AppError


def test_it_keeps_one_open_trip_for_scope_and_code_and_says_it_once(desk):
    key = f"STRATEGY:{desk.auto.pk}"
    assert [trips.trip(key, "REFUSALS", "5 refusals in a row") for _ in range(3)] == [True, False, False]
    event = SystemEvent.objects.get(code="REFUSALS")
    assert (event.level, event.owner, event.message) == ("ERROR", desk.owner, "auto is stopped: 5 refusals in a row. Only exits leave until somebody releases it.")
    assert trips.release(key, reason="seen", actor="asha") == 1
    assert trips.trip(key, "REFUSALS", "again") and Trip.objects.count() == 2


def test_it_takes_the_most_restrictive_of_states_and_trips_of_all_scopes(desk):
    keys = ["GLOBAL", f"ACCOUNT:{desk.account.pk}", f"STRATEGY:{desk.auto.pk}"]
    assert state_of(keys) is None
    trips.trip(keys[2], "RATE_DAY", "too many")
    make.TradingStateFactory(scope=keys[1], state="REDUCING", reason="careful")
    found = state_of(keys)
    assert (found.scope, found.state, found.reason, found.code) == (keys[1], "REDUCING", "careful", "")
    trips.trip(keys[2], "TAG_TWICE", "two orders", effect="HALTED")
    assert (state_of(keys).state, state_of(keys).code) == ("HALTED", "TAG_TWICE")
    assert state_of([keys[0]]) is None and len(standing()) == 3


def test_it_reads_the_state_in_one_query(desk, django_assert_num_queries):
    trips.trip("GLOBAL", "X", "x")
    with django_assert_num_queries(1):
        assert state_of(["GLOBAL"]).state == "REDUCING"


def test_it_ends_by_itself_when_its_time_is_over_and_may_trip_again(desk):
    with time_machine.travel(clock.now(), tick=False) as time:
        trips.trip("GLOBAL", "LOSS_DAILY", "lost", until=clock.now() + timedelta(hours=1))
        assert not trips.trip("GLOBAL", "LOSS_DAILY", "lost") and state_of(["GLOBAL"])
        time.shift(timedelta(hours=1))
        assert state_of(["GLOBAL"]) is None and standing() == []
        assert trips.trip("GLOBAL", "LOSS_DAILY", "lost again")


def test_it_ends_the_live_arms_below_its_scope_and_no_others(desk):
    other = make.StrategyFactory()
    for pk in (desk.auto.pk, desk.manual.pk, other.pk):
        make.LiveArmFactory(strategy_key=pk, until=clock.now() + timedelta(hours=1))
    trips.trip(f"ACCOUNT:{desk.account.pk}", "UNKNOWN_STREAK", "2 unknown outcomes")
    assert list(LiveArm.objects.filter(ended_at=None).values_list("strategy_key", flat=True)) == [other.pk]
    assert SystemEvent.objects.filter(code="LIVE_DISARMED").count() == 2
    trips.trip("GLOBAL", "X", "x")
    assert not LiveArm.objects.filter(ended_at=None).exists()


def test_it_is_released_with_a_reason_alone_or_with_everything_of_its_scope(desk):
    key = f"ACCOUNT:{desk.account.pk}"
    trips.trip(key, "RATE_DAY", "too many")
    trips.trip(key, "DRIFT", "4 symbols differ")
    with pytest.raises(AppError, match="Say why"):
        halt.release(key, reason=" ", actor="asha")
    halt.release(key, code="DRIFT", reason="settled", actor="asha")
    assert [stop.code for stop in halt.status()] == ["RATE_DAY"]
    halt.kill(key, reason="stop", actor="asha")
    halt.release(key, reason="over", actor="asha")
    assert halt.status() == []


@pytest.mark.parametrize(("limit", "code", "ends"), [
    ("max_orders_per_minute", "RATE_MINUTE", False), ("max_repeats_per_minute", "RATE_REPEATED", False), ("max_orders_per_day", "RATE_DAY", True),
])  # fmt: skip
def test_it_stops_the_entries_of_the_scope_whose_rate_was_reached(desk, limit, code, ends):
    limits.create({"scope": "STRATEGY", "strategy_id": desk.auto, limit: 2}, actor="asha")
    with time_machine.travel("2026-11-23T10:00:00+05:30", tick=False):
        done = [desk.filled("auto") for _ in range(4)]
        assert [order.status_reason for order in done] == ["", "", code, "STATE_REDUCING"]
        trip = Trip.objects.get()
        assert (trip.scope, trip.code, trip.data["decision"]) == (f"STRATEGY:{desk.auto.pk}", code, done[2].decision_id)
        assert (trip.until == clock.day_start(clock.trading_day(clock.now()) + timedelta(days=1))) is ends and limit in trip.reason
        assert desk.filled("auto", trade={"order_action": "SELL"}).status == "COMPLETE"


def test_it_says_of_each_scope_which_limit_of_its_own_was_reached(desk):
    limits.create({"scope": "STRATEGY", "strategy_id": desk.auto, "max_orders_per_day": 2}, actor="asha")
    limits.create({"scope": "ACCOUNT", "account": desk.account, "max_orders_per_day": 2}, actor="asha")
    done = [desk.filled("auto") for _ in range(4)]
    said = dict(Trip.objects.values_list("scope", "reason"))
    assert "max_orders_per_day=2 (ACCOUNT paper)" in said[f"ACCOUNT:{desk.account.pk}"]
    assert "max_orders_per_day=2 (STRATEGY auto)" in said[f"STRATEGY:{desk.auto.pk}"]
    assert "(ACCOUNT paper), only exits pass" in done[3].why


def test_it_stops_the_desk_and_not_live_accounts_for_what_paper_did(desk):
    found = {"rule": "max_orders_per_day", "code": "RATE_DAY", "verdict": "REJECT", "scope": "GLOBAL", "limit": "300", "actual": "301", "unit": ""}
    decision = make.DecisionFactory(verdict="REJECT", findings=[found], sentence="Rejected: too many")
    order = desk.order("manual")
    tripwires.judged(order, decision)
    assert Trip.objects.get().scope == "GLOBAL"
    Trip.objects.all().delete()
    make.BrokerAccountFactory(broker="zerodha", environment="LIVE")
    tripwires.judged(order, decision)
    assert Trip.objects.get().scope == f"ACCOUNT:{desk.account.pk}"
