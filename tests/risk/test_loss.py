"""The loss of the day and the fall from the best equity: passed, on the boundary, violated, missing."""

from dataclasses import replace
from decimal import Decimal as D

import pytest

from tests.risk.cases import NIFTY, ask, counted, desk, judge, long, order, rows, says

BUY, EXIT = order("BUY", 10, 100), order("SELL", 10, 100)
LIMIT = rows(max_daily_loss=5000)


def day(realised=0, unrealised=0, charges=0, **given):
    return counted(realised=D(realised), unrealised=D(unrealised), charges=D(charges), **given)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ((9000, 0, 0), "PASS"), ((-3999, 0, 0), "PASS"), ((-4000, 0, 0), "WARN"), ((-1500, -2300, 300), "WARN"), ((-4999, 0, 0), "WARN"),
        ((-1800, -2900, 300), "REJECT"), ((-1800, -2900, 350), "REJECT"), ((9000, -14000, 0), "REJECT"),
    ],
)
def test_it_stops_entries_at_the_loss_of_the_day(result, expected):
    assert says("max_daily_loss", BUY, LIMIT, counters=day(*result)) == (expected, "LOSS_DAILY")
    assert says("max_daily_loss", EXIT, LIMIT, counters=day(*result), position=long(10))[0] == "EXEMPT"


@pytest.mark.parametrize("missing", ["realised", "unrealised", "charges"])
def test_it_opens_nothing_when_the_result_is_not_known(missing):
    for environment in ("LIVE", "PAPER"):
        assert says("max_daily_loss", BUY, LIMIT, on=desk(environment, counters=counted(**{missing: None}))) == ("REJECT", "LOSS_DATA_STALE")
    assert says("max_daily_loss", BUY, LIMIT, counters=None)[0] == "REJECT"


@pytest.mark.parametrize(("environment", "expected"), [("LIVE", "REJECT"), ("SIM", "REJECT"), ("PAPER", "PASS")])
def test_it_needs_fresh_prices_where_there_is_a_feed(environment, expected):
    stale = desk(environment, counters=day(-100, marks_stale=2, estimated=True))
    assert says("max_daily_loss", BUY, LIMIT, on=stale) == (expected, "LOSS_DAILY" if expected == "PASS" else "LOSS_DATA_STALE")
    assert says("max_daily_loss", BUY, LIMIT, on=replace(stale, counters=day(-6000, marks_stale=2))) == ("REJECT", "LOSS_DAILY")


@pytest.mark.parametrize(("share", "expected"), [(50, "WARN"), (51, "PASS"), ("x", "PASS"), (0, "WARN")])
def test_it_warns_from_the_share_that_is_set(share, expected):
    assert says("max_daily_loss", BUY, rows(max_daily_loss=5000, warn_loss_pct=share), counters=day(-2500))[0] == expected


def test_it_does_not_warn_of_a_day_without_loss():
    assert says("max_daily_loss", BUY, rows(max_daily_loss=5000, warn_loss_pct=0), counters=day())[0] == "PASS"
    assert says("max_daily_loss", BUY, rows(max_daily_loss="x"))[0] == "REJECT"
    assert says("max_daily_loss", BUY, rows())[0] == "SKIP"


def test_it_says_the_loss_and_the_limit():
    assert judge(BUY, LIMIT, counters=day(-1800, -2900, 350)).sentence == "Rejected: max_daily_loss=5000 (GLOBAL), the day stands at a loss of 5,050.00"


@pytest.mark.parametrize(
    ("fall", "mode", "expected", "after"),
    [
        ("4.99", "CLAMP", "PASS", None), ("5", "CLAMP", "CLAMP", 5), ("9.99", "CLAMP", "CLAMP", 5), ("10", "CLAMP", "REJECT", None),
        ("5", "REJECT", "REJECT", None), (None, "CLAMP", "REJECT", None), ("NaN", "CLAMP", "REJECT", None),
    ],
)
def test_it_halves_entries_from_half_of_the_fall_and_ends_them_at_all_of_it(fall, mode, expected, after):
    counters = counted(drawdown_pct=None if fall is None else D(fall))
    found = ask("max_drawdown_pct", BUY, rows(mode, max_drawdown_pct=10), counters=counters)[0]
    assert (found.verdict, found.code, found.after) == (expected, "LOSS_DRAWDOWN", after)
    assert says("max_drawdown_pct", EXIT, rows(mode, max_drawdown_pct=10), counters=counters, position=long(10))[0] == "EXEMPT"


def test_it_halves_what_was_asked_and_not_its_own_half():
    limits, counters = rows("CLAMP", max_drawdown_pct=10, allow_short_selling=True), counted(drawdown_pct=D(6))
    cut = judge(BUY, limits, counters=counters)
    assert (cut.verdict, cut.final, cut.code) == ("CLAMP", 5, "LOSS_DRAWDOWN")
    assert cut.sentence == "Quantity clamped from 10 to 5: equity is 6 % below its best, max_drawdown_pct=10 (GLOBAL)"
    assert judge(replace(BUY, quantity=cut.final, asked=D(10)), limits, counters=counters).verdict == "ALLOW"
    assert judge(order("SELL", 30, 100), limits, counters=counters, position=long(10)).final == 20
    assert judge(order("BUY", 75, 100), limits, counters=counters, instrument=NIFTY).verdict == "REJECT"
