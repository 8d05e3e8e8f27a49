"""Square-off against the simulator, whose own book is the judge: everything is closed, and no position ever turns around."""

import pytest

from brokers.models import Instrument
from risk import holidays
from risk.models import RiskSettings
from tests import factories as make
from tests.zerodha.test_books import outside
from tests.zerodha.test_drift import entered, there
from trading.models import Order, Position, Source, SquareOff, Strategy, SystemEvent
from trading.selectors import sessions
from trading.services import halt, squareoff


def close(road, **more) -> SquareOff:
    row = squareoff.start(road.account, actor="asha", reason="the day is over", **more)
    road.go(0, 1, 1, 1, 5, 5, 15)
    row.refresh_from_db()
    return row


def ours(road) -> list[Order]:
    return list(Order.objects.filter(source=Source.SQUARE_OFF).order_by("id"))


def live_at_broker(road) -> int:
    return sum(row["status"] not in ("COMPLETE", "CANCELLED", "REJECTED") for row in road.bench.accepted())


def test_it_cancels_what_rests_and_closes_what_is_left(road):
    entered(road)
    road.alert(symbol="NSE:SBIN", price=700)
    road.go(0, 1, 5)
    row = close(road)
    assert (row.state, there(road), live_at_broker(road)) == ("DONE", 0, 0), row.note
    assert [(o.side, o.quantity, o.strategy.name, o.status) for o in ours(road)] == [("SELL", 10, "kite-auto", "COMPLETE")]
    assert {p.quantity for p in Position.objects.filter(account=road.account)} == {0}


def test_it_works_while_everything_is_halted(road):
    entered(road)
    halt.kill("GLOBAL", reason="storm", actor="asha", cancel_open=False)
    row = close(road)
    assert (row.state, there(road)) == ("DONE", 0), row.note


def test_it_closes_what_was_opened_outside_the_desk(road):
    entered(road)
    outside(road, transaction_type="BUY", quantity=7, price=1510)
    outside(road, tradingsymbol="SBIN", transaction_type="SELL", quantity=5, price=700)
    row = close(road)
    assert (row.state, there(road), live_at_broker(road)) == ("DONE", 0, 0), row.note


def test_it_has_nothing_to_do_a_second_time(road):
    entered(road)
    close(road)
    again = close(road)
    assert (again.state, again.note, there(road), len(ours(road))) == ("DONE", "There was nothing to close.", 0, 1)


def test_it_gives_the_one_under_way_to_whoever_asks_again(road):
    entered(road)
    first = squareoff.start(road.account, actor="asha", reason="x")
    assert squareoff.start(road.account, actor="ravi", reason="y") == first
    assert squareoff.start(road.account, actor="ravi", reason="y", products=["MIS"]) == first
    only = squareoff.start(road.account, actor="schedule", reason="z", products=["MIS"], schedule="2026-11-23 15:10 account 1")
    road.go(0, 1, 1, 1, 5, 5, 15)
    assert (SquareOff.objects.filter(state="DONE").count(), only != first, there(road)) == (2, True, 0)


def test_it_closes_only_what_the_strategy_holds(road):
    entered(road)
    other = Strategy.objects.create(owner=road.owner, name="other", account=road.account, mode="AUTO")
    road.alert("other", order_type="LIMIT", price=1500, quantity=4)
    road.go(0, 1, 5, 5)
    row = close(road, strategy=road.auto)
    assert (row.state, there(road), Position.objects.get(strategy=other).quantity) == ("DONE", 4, 4), row.note


def test_it_keeps_to_the_freeze_quantity(road):
    entered(road)
    Instrument.objects.filter(exchange="NSE", tradingsymbol="INFY").update(freeze=4)
    row = close(road)
    assert (row.state, [o.quantity for o in ours(road)], there(road)) == ("DONE", [2, 4, 4], 0)


@pytest.mark.parametrize("mode", ["drop_after", "hang_after", "drop_before", "400_timed_out_but_placed"])
def test_it_waits_for_an_order_whose_outcome_is_not_known(road, mode):
    entered(road)
    road.bench.fault("place", mode, times=1)
    row = close(road)
    road.go()
    row.refresh_from_db()
    assert there(road) in (0, 10) and live_at_broker(road) == 0
    assert (row.state, there(road)) == ("DONE", 0) or mode == "drop_before", row.note
    assert sum(o.filled_quantity for o in ours(road)) == 10 - there(road)


def test_it_waits_for_the_login_and_then_reads_anew(road):
    entered(road)
    road.bench.post("expire")
    row = squareoff.start(road.account, actor="asha", reason="x")
    road.go(0, 1, 5, 60)
    road.log_in()
    road.go(1, 1, 1, 5, 5, 15)
    row.refresh_from_db()
    assert (row.state, there(road)) == ("DONE", 0), row.note


def test_it_shows_a_person_what_it_could_not_close(road):
    entered(road)
    road.bench.fault("place", "400_margin", times=99)
    row = close(road)
    road.go()
    row.refresh_from_db()
    assert row.state == "NEEDS_REVIEW" and "INFY 10 MIS" in row.note and there(road) == 10
    assert SystemEvent.objects.filter(code="SQUARE_OFF_STUCK", level="ERROR").count() == 1
    assert len(ours(road)) == squareoff.ROUNDS


# ---------------------------------------------------------------------------- by the clock
@pytest.fixture
def timed(road):
    holidays.load()
    sessions.forget()
    RiskSettings.objects.create(scope="ACCOUNT", account=road.account, owner=road.owner, square_off_time={"MIS": "15:10", "MCX:MIS": "23:10"})
    entered(road)
    return road


def at(road, text: str) -> None:
    road.time.move_to(f"2026-11-23T{text}+05:30")
    road.log_in() if not road.is_connected() else None
    road.go(0, 1, 1, 1, 5, 5)


def test_it_closes_mis_at_its_time_and_not_before(timed):
    at(timed, "15:09:00")
    assert not SquareOff.objects.exists()
    at(timed, "15:10:00")
    assert (there(timed), SquareOff.objects.get().state, SquareOff.objects.get().products) == (0, "DONE", ["MIS"])
    timed.go(30, 30)
    assert SquareOff.objects.count() == 1


def test_it_makes_up_for_a_desk_that_was_down_at_the_time(timed):
    at(timed, "15:22:00")
    assert there(timed) == 0


def test_it_does_not_try_a_market_that_is_closed(timed):
    at(timed, "15:31:00")
    assert not SquareOff.objects.exists()


def test_it_closes_a_strategy_at_its_own_earlier_time(timed):
    limits = RiskSettings.objects.create(scope="STRATEGY", owner=timed.owner, square_off_time={"MIS": "14:00"})
    Strategy.objects.filter(pk=timed.auto.pk).update(limits=limits)
    at(timed, "14:00:00")
    assert (there(timed), SquareOff.objects.get().strategy) == (0, timed.auto)


def test_it_closes_by_the_clock_also_what_comes_to_light_later_in_another_market(timed):
    at(timed, "15:10:00")
    make.PositionFactory(account=timed.account, strategy=timed.auto, instrument=make.InstrumentFactory(exchange="BSE"), product="MIS", quantity=5)
    timed.go(0, 1, 1)
    assert [row.exchanges for row in SquareOff.objects.order_by("id")] == [["NSE"], ["BSE"]]
    timed.go(0, 1, 1, 5, 5)
    assert SquareOff.objects.count() == 2
