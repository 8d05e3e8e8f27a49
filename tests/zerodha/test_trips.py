"""What stops by itself, seen end to end: real client, real simulator, and an order after it that does not reach the broker."""

from dataclasses import replace
from datetime import timedelta

import pytest

from brokers import registry
from risk.models import Trip
from tests import factories as make
from tests.zerodha.test_books import outside
from trading.models import SystemEvent
from trading.services import books, halt, sync
from tvapp.lib import clock

pytestmark = pytest.mark.django_db


def stopped(road, scope: str, code: str, effect: str = "REDUCING") -> Trip:
    """The one open trip, said once and loudly; an entry after it stays here and says why."""
    trip = Trip.objects.get(released_at=None)
    assert (trip.scope, trip.code, trip.effect) == (scope, code, effect)
    assert SystemEvent.objects.filter(code=code, level="ERROR").count() == 1
    order_id = road.alert(price=1485)
    road.go(0, 1)
    order = road.order(order_id)
    wanted = ("REJECTED_RISK", "STATE_REDUCING") if effect == "REDUCING" else ("HELD", "STATE_HALTED")
    assert ((order.status, order.status_reason), road.truth(order_id)) == (wanted, []), road.story(order_id)
    assert trip.reason in order.why
    return trip


def account(road) -> str:
    return f"ACCOUNT:{road.account.pk}"


def refused(road, how: str, price) -> None:
    """An order the broker refuses; a person acknowledges what was said about it."""
    road.bench.fault("place", how)
    road.alert(price=price)
    road.go(0, 1, 5)
    type(road.auto).objects.update(refusal={})


@pytest.mark.parametrize("how", ["amo_hint", "reject_after_accept"])
def test_it_stops_the_entries_of_a_strategy_whose_orders_the_broker_refuses(road, how):
    make.DeskSettingsFactory(refusals_trip=3)
    for number in range(3):
        assert not Trip.objects.exists()
        refused(road, how, 1490 - number)
    stopped(road, f"STRATEGY:{road.auto.pk}", "REFUSAL_STREAK")
    halt.release(f"STRATEGY:{road.auto.pk}", reason="seen", actor="asha")
    refused(road, how, 1480)
    assert not Trip.objects.filter(released_at=None).exists()  # counted anew


def test_it_counts_a_taken_order_as_the_end_of_a_row_of_refusals(road):
    make.DeskSettingsFactory(refusals_trip=2)
    refused(road, "amo_hint", 1490)
    road.resting()
    refused(road, "amo_hint", 1489)
    assert not Trip.objects.exists()


def test_it_stops_the_entries_of_an_account_after_two_unknown_outcomes(road):
    for price in (1490, 1489):
        assert not Trip.objects.exists()
        road.go()  # the one before was looked up meanwhile
        road.bench.fault("place", "drop_after")
        road.alert(price=price)
        road.go(0)
    stopped(road, account(road), "UNKNOWN_STREAK")


def bought(road, **trade) -> int:
    """An entry that filled at the market."""
    order_id = road.alert(price=1505, **trade)
    road.go(0, 1, 5)
    assert road.order(order_id).status == "COMPLETE", road.story(order_id)
    return order_id


def test_it_lets_exits_leave_where_entries_are_stopped(road):
    bought(road)
    Trip.objects.create(scope=account(road), code="UNKNOWN_STREAK", reason="2 unknown outcomes")
    exit_id = road.alert(order_action="SELL", price=1490)
    road.go(0, 1, 5)
    assert (road.order(exit_id).status, len(road.truth(exit_id))) == ("COMPLETE", 1), road.story(exit_id)


def test_it_stops_the_account_when_more_is_filled_than_was_ordered(road):
    order_id = bought(road)
    adapter = registry.adapter_for(road.account)
    report, fills = adapter.get_order(sync.key_of(road.order(order_id))), adapter.list_fills()
    more = replace(fills[0], trade_id="again")  # no broker does this, so the simulator does not either
    for _ in range(2):
        sync.apply_report(order_id, report, [*fills, more])
    stopped(road, account(road), "OVERFILLED", "HALTED")


def test_it_stops_the_account_when_an_exit_turns_the_position_around(road):
    bought(road)
    road.alert(order_action="SELL", price=1510)
    road.go(0, 1, 5)
    outside(road, transaction_type="SELL", quantity=10, price=1490)  # somebody closes it in the broker's app, too
    road.read_books()
    road.market(1510)
    road.read_books()
    assert "10 are short" in stopped(road, account(road), "CROSSED_ZERO", "HALTED").reason


def differs(road, *names: str) -> None:
    """The desk booked what the broker does not have, and read so often that it counts."""
    for name in names:
        held = make.InstrumentFactory(tradingsymbol=name)
        make.PositionFactory(account=road.account, strategy=road.auto, book=f"STRATEGY:{road.auto.pk}", instrument=held, quantity=10)
    for _ in range(3):
        books.read_all(road.account.pk)
        road.go(20)


def test_it_stops_the_entries_of_an_account_that_holds_something_else_in_many_symbols(road):
    differs(road, "S1", "S2", "S3", "S4")
    assert "in 4 symbols" in stopped(road, account(road), "DRIFT_SPREAD").reason
    halt.release(account(road), reason="seen", actor="asha")
    differs(road)
    assert not Trip.objects.filter(released_at=None).exists()  # the same differences were seen by a person
    differs(road, "S5")
    assert "in 5 symbols" in Trip.objects.get(released_at=None).reason


@pytest.mark.parametrize(("seconds", "trips"), [(10, True), (-10, True), (1, False)])
def test_it_stops_the_entries_of_a_live_account_whose_brokers_clock_is_another(road, settings, seconds, trips):
    settings.TEST_MODE = True
    type(road.account).objects.update(environment="LIVE")
    road.bench.clock(at=(clock.now() + timedelta(seconds=seconds)).isoformat())
    books.read_all(road.account.pk)
    assert list(Trip.objects.values_list("code", "scope")) == ([("CLOCK_OFF", account(road))] if trips else [])
