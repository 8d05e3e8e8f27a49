"""The market's hours, the windows without entries, the last time for entries: passed, on the boundary, violated, missing."""

from dataclasses import replace
from datetime import timedelta

import pytest

from risk.types import SessionFacts
from tests.risk.cases import NOW, OPEN, ask, desk, judge, long, order, rows, says, seconds

BUY, EXIT = order("BUY", 10, 100), order("SELL", 10, 100)
MINUTE = timedelta(minutes=1)
CLOSED = SessionFacts("NSE", False, next_open=NOW + 10 * MINUTE, as_of=NOW)
ALWAYS = SessionFacts("BINANCE", True, always=True, as_of=NOW)
UNKNOWN = SessionFacts("NSE", None, as_of=NOW)


@pytest.mark.parametrize("session", [OPEN, ALWAYS])
@pytest.mark.parametrize("policy", ["REJECT", "DEFER", "WARN", None])
def test_it_passes_while_the_market_is_open(session, policy):
    assert says("session_policy", BUY, rows(session_policy=policy), sessions=session) == ("PASS", "SESSION_CLOSED")


@pytest.mark.parametrize("intent", [BUY, EXIT])
@pytest.mark.parametrize(
    ("environment", "policies", "expected"),
    [
        ("LIVE", [], "REJECT"), ("PAPER", [], "WARN"), ("SIM", [], "WARN"), ("PAPER", ["REJECT"], "REJECT"), ("LIVE", ["WARN"], "WARN"),
        ("PAPER", ["WARN", "DEFER"], "DEFER"), ("PAPER", ["DEFER", "REJECT"], "REJECT"), ("LIVE", ["DEFER", None], "DEFER"), ("PAPER", ["later"], "REJECT"),
    ],
)
def test_it_takes_the_strictest_word_about_a_closed_market(environment, policies, expected, intent):
    limits = [rows(scope=scope, session_policy=policy) for scope, policy in zip(("GLOBAL", "STRATEGY"), policies, strict=False)]
    facts = desk(environment, sessions=CLOSED, position=long(10))
    assert says("session_policy", intent, *limits, on=facts)[0] == expected
    assert next(f.verdict for f in ask("session_policy", intent, *limits, on=facts)) == expected


@pytest.mark.parametrize(
    ("wait", "most", "expected"),
    [(60, None, "DEFER"), (61, None, "REJECT"), (30, 30, "DEFER"), (31, "30", "REJECT"), (1, "soon", "REJECT"), (None, 30, "REJECT")],
)
def test_it_holds_for_an_open_that_is_near(wait, most, expected):
    session = replace(CLOSED, next_open=None if wait is None else NOW + wait * MINUTE)
    intent, limits = replace(BUY, received_at=NOW), (rows(session_policy="DEFER", defer_max_age=most), rows(scope="ACCOUNT", defer_max_age=60))
    assert says("session_policy", intent, *limits, sessions=session) == (expected, "SESSION_CLOSED")


@pytest.mark.parametrize(("sessions", "environment", "expected"), [
    (None, "LIVE", "REJECT"), (UNKNOWN, "LIVE", "REJECT"), (None, "PAPER", "WARN"), (UNKNOWN, "SIM", "WARN"),
])
def test_it_takes_a_day_nobody_entered_as_closed_where_money_is_real(sessions, environment, expected):
    assert says("session_policy", BUY, rows(session_policy="WARN"), on=desk(environment, sessions=sessions)) == (expected, "SESSION_CALENDAR_MISSING")


@pytest.mark.parametrize(("after", "product", "expected"), [
    ("AMO", "CNC", "WARN"), ("GTT", "NRML", "WARN"), ("AMO", "MIS", "REJECT"), ("OFF", "CNC", "REJECT"),
])
def test_it_lets_orders_pass_that_are_meant_for_after_hours(after, product, expected):
    assert says("session_policy", replace(BUY, off_hours=after, product=product), sessions=CLOSED)[0] == expected


def test_it_says_when_the_market_opens():
    rule = ask("session_policy", replace(BUY, received_at=NOW - 6 * MINUTE), rows(session_policy="DEFER"), sessions=CLOSED)
    assert (rule[0].actual, rule[0].verdict) == ("NSE is closed, it opens on Mon 2 Mar at 10:01, more than 15 min after the alert", "REJECT")


# 09:51:07 in India
@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        (["09:15-09:20"], "PASS"), (["09:51-09:52"], "REJECT"), (["09:15-09:51"], "PASS"), (["09:52-10:00"], "PASS"),
        (["09:15-09:20", "09:50-10:00 DEFER"], "DEFER"), (["09:50-10:00 defer", "09:51-09:52"], "REJECT"),
        ([], "SKIP"), (None, "SKIP"), (["noon"], "REJECT"), ("09:50-10:00", "REJECT"), (["10:00-09:00"], "REJECT"), (["09:50-10:00 LATER"], "REJECT"),
    ],
)
def test_it_opens_nothing_in_a_window(windows, expected):
    limits = rows(no_trade_windows=windows)
    assert says("no_trade_windows", BUY, limits) == (expected, "SESSION_NO_TRADE_WINDOW")
    assert says("no_trade_windows", EXIT, limits, position=long(10))[0] == ("EXEMPT" if windows else "SKIP")


def test_it_joins_the_windows_of_all_rows_and_the_stricter_speaks_first():
    limits = rows(no_trade_windows=["09:50-10:00 DEFER"]), rows(scope="STRATEGY", no_trade_windows=["09:50-10:00"])
    decision = judge(BUY, *limits)
    assert (decision.verdict, decision.code) == ("REJECT", "SESSION_NO_TRADE_WINDOW")
    assert decision.sentence == "Rejected: it is 09:51:07, nothing is opened from 09:50-10:00 (STRATEGY)"


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({"MIS": "09:52"}, "PASS"), ({"MIS": "09:51"}, "REJECT"), ({"CNC": "09:00"}, "SKIP"), ({"MIS": "09:00", "NSE:MIS": "15:00"}, "PASS"),
        ({"MIS": "15:00", "NSE:MIS": "09:00"}, "REJECT"), ({"MIS": "15:00", "MCX:MIS": "09:00"}, "PASS"), ({}, "SKIP"), (None, "SKIP"),
        ({"MIS": "late"}, "REJECT"), ("15:00", "REJECT"),
    ],
)
def test_it_opens_nothing_after_the_cutoff_of_the_product(times, expected):
    limits = rows(entry_cutoff=times)
    assert says("entry_cutoff", BUY, limits) == (expected, "SESSION_ENTRY_CUTOFF")
    assert says("entry_cutoff", EXIT, limits, position=long(10))[0] in ("EXEMPT", "SKIP")


@pytest.mark.parametrize(("session", "expected"), [(CLOSED, "SKIP"), (UNKNOWN, "REJECT"), (None, "REJECT"), (ALWAYS, "REJECT")])
def test_it_leaves_a_closed_market_to_the_session_rule(session, expected):
    assert says("entry_cutoff", BUY, rows(entry_cutoff={"MIS": "09:00"}), sessions=session)[0] == expected


def test_it_stands_on_the_second_of_the_cutoff():
    limit = rows(entry_cutoff={"MIS": "09:51"})
    assert says("entry_cutoff", BUY, limit, on=desk(now=NOW - seconds(7)))[0] == "REJECT"
    assert says("entry_cutoff", BUY, limit, on=desk(now=NOW - seconds(8)))[0] == "PASS"
