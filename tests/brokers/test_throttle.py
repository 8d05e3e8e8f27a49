"""The shared budget of calls."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.contrib.auth import get_user_model

from brokers import throttle
from brokers.errors import LimitCode, RateLimited
from brokers.models import BrokerAccount, RateBucket
from tvapp.lib import clock

MONDAY_10 = datetime(2026, 1, 5, 4, 30, tzinfo=UTC)  # 10:00 IST


@pytest.fixture
def at():
    with time_machine.travel(MONDAY_10, tick=False) as traveller:
        yield traveller


@pytest.fixture
def account(db):
    owner = get_user_model().objects.create_user("limited")
    return BrokerAccount.objects.create(owner=owner, name="kite", broker="zerodha", environment="SIM", api_key="simkey")


def taken(account, kind="order", tries=50, **more) -> int:
    """How many of `tries` calls are granted at this moment."""
    done = 0
    for _ in range(tries):
        try:
            throttle.acquire(account, kind, **more)
        except RateLimited:
            break
        done += 1
    return done


def test_it_lets_entries_take_eighty_percent_of_eighty_percent(account, at):
    assert taken(account) == 6
    assert taken(account, closing=True) == 2


def test_it_lets_exits_take_the_whole_budget(account, at):
    assert taken(account, closing=True) == 8


def test_it_counts_reads_and_orders_apart(account, at):
    assert (taken(account), taken(account, "read")) == (6, 8)


def test_it_never_refuses_the_only_call_of_a_second(account, at):
    assert taken(account, "quote") == 1


def test_it_keeps_two_accounts_apart(account, at):
    second = BrokerAccount.objects.create(owner=account.owner, name="b", broker="zerodha", environment="SIM", api_key="k2")
    taken(account)
    assert taken(second) == 6


def test_it_says_how_long_to_wait_and_that_nothing_was_sent(account, at):
    taken(account)
    with pytest.raises(RateLimited) as refused:
        throttle.acquire(account, "order")
    assert (refused.value.local, refused.value.sent, refused.value.code) == (True, False, LimitCode.TOO_MANY_REQUESTS)
    assert 0 < refused.value.retry_after <= 1


def test_it_never_puts_more_than_the_brokers_figure_into_two_seconds_side_by_side(account, at):
    assert taken(account, closing=True) == 8
    at.shift(timedelta(seconds=1))
    assert taken(account, closing=True) == 2
    at.shift(timedelta(seconds=2))
    assert taken(account, closing=True) == 8


def test_it_holds_the_minute(account, at):
    granted = 0
    for _ in range(59):
        granted += taken(account, closing=True)
        at.shift(timedelta(seconds=1))
    assert 250 < granted <= 320


def used_today(account, used: int) -> RateBucket:
    day = clock.trading_day(clock.now()).toordinal()
    return RateBucket.objects.create(account=account, kind="order", window_s=86400, slot=day, used=used)


def test_it_stops_entries_at_their_part_of_the_day_and_exits_later(account, at):
    used_today(account, 3199)
    assert (taken(account), taken(account, closing=True)) == (1, 7)


def test_it_stops_everything_at_eighty_percent_of_the_day_until_midnight_in_india(account, at):
    used_today(account, 4000)
    with pytest.raises(RateLimited) as refused:
        throttle.acquire(account, "order", closing=True)
    assert (refused.value.code, refused.value.retry_after) == (LimitCode.DAILY_ORDER_CAP, 14 * 3600)
    at.shift(timedelta(hours=14))
    assert taken(account) == 6


def test_it_burns_nothing_of_a_wider_window_when_a_narrow_one_refuses(account, at):
    taken(account, tries=20)
    taken(account, tries=20)
    assert dict(RateBucket.objects.values_list("window_s", "used")) == {1: 6, 60: 6, 86400: 6}


def test_it_waits_as_long_as_the_broker_says(account, at):
    assert throttle.penalise(account, "read", 5) == 5
    with pytest.raises(RateLimited) as refused:
        throttle.acquire(account, "read")
    assert refused.value.retry_after == 5
    at.shift(timedelta(seconds=5))
    assert taken(account, "read") == 8


def test_it_waits_twice_as_long_each_time_in_a_row_and_never_more_than_a_minute(account, at):
    waits = []
    for _ in range(9):
        waits.append(throttle.penalise(account, "order"))
        at.shift(timedelta(seconds=waits[-1]))
    assert all(1 * 2**n <= wait <= 1.25 * 2**n for n, wait in enumerate(waits[:6]))
    assert waits[7:] == [60, 60]


def test_it_forgets_old_penalties(account, at):
    for _ in range(4):
        throttle.penalise(account, "order")
    at.shift(timedelta(minutes=10))
    assert throttle.penalise(account, "order") < 1.3


def test_it_stops_exits_too_while_the_broker_wants_silence(account, at):
    throttle.penalise(account, "order", 2)
    assert taken(account, closing=True) == 0


def test_it_tries_nothing_but_exits_once_the_broker_took_its_last_order_of_the_day(account, at):
    assert throttle.block_day(account) == 14 * 3600
    assert (taken(account), taken(account, closing=True)) == (0, 8)
    at.shift(timedelta(hours=14))
    assert taken(account) == 6


def test_it_lives_on_when_the_clock_was_set_back(account, at):
    taken(account)
    at.shift(timedelta(hours=-1))
    assert taken(account) == 6


def test_it_writes_in_one_short_transaction(account, at, django_assert_max_num_queries):
    throttle.acquire(account, "order")
    with django_assert_max_num_queries(12):
        throttle.acquire(account, "order")


def test_it_waits_for_its_place_when_nothing_waits_behind_it(account, at, monkeypatch):
    monkeypatch.setattr(throttle.time, "sleep", lambda seconds: at.shift(seconds))
    assert taken(account, "read") == 8
    throttle.wait(account, "read")
    assert MONDAY_10 + timedelta(seconds=1) <= clock.now() < MONDAY_10 + timedelta(seconds=2)


def test_it_does_not_wait_longer_than_a_person_would(account, at):
    throttle.penalise(account, "read", retry_after=30)
    with pytest.raises(RateLimited, match="asked to wait"):
        throttle.wait(account, "read")
