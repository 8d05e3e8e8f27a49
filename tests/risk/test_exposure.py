"""Lots, exposure, funds and drift: passed, on the boundary, violated, missing."""

from dataclasses import replace
from decimal import Decimal as D

import pytest

from risk.types import FundsFacts
from tests.risk.cases import FLAT, FUNDS, INFY, NIFTY, NOW, ask, counted, desk, judge, long, order, quoted, rows, says, seconds

BUY, EXIT = order("BUY", 10, 100), order("SELL", 10, 100)
FUTURE = {"instrument": NIFTY}


@pytest.mark.parametrize(("lots", "expected"), [(1, "PASS"), (2, "PASS"), (3, "REJECT")])
def test_it_limits_the_lots_of_an_order(lots, expected):
    intent = order("BUY", lots * 75, 100)
    assert says("max_lots_per_order", intent, rows(max_lots_per_order=2), **FUTURE) == (expected, "LOTS_ORDER")
    assert says("max_lots_per_order", intent, rows(max_lots_per_order=2))[0] == "SKIP"
    assert says("max_lots_per_order", intent, rows(max_lots_per_order=2), position=long(-300), **FUTURE)[0] == "EXEMPT"
    assert says("max_lots_per_order", intent, rows(max_lots_per_order="x"), **FUTURE)[0] == "REJECT"


def test_it_values_a_contract_by_its_multiplier():
    crude = replace(NIFTY, multiplier=D(100))
    assert says("max_order_value", order("BUY", 75, 100), rows(max_order_value=7500), **FUTURE)[0] == "PASS"
    assert says("max_order_value", order("BUY", 75, 100), rows(max_order_value=749_999), instrument=crude)[0] == "REJECT"
    assert says("max_order_value", order("BUY", 75, 100), rows(max_order_value=750_000), instrument=crude)[0] == "PASS"


@pytest.mark.parametrize(("before", "expected"), [(0, "PASS"), (8, "PASS"), (9, "REJECT"), (None, "REJECT")])
def test_it_limits_the_lots_of_the_day(before, expected):
    counters = counted(lots_day=None if before is None else D(before))
    assert says("max_lots_per_day", order("BUY", 150, 100), rows(max_lots_per_day=10), counters=counters, **FUTURE) == (expected, "LOTS_DAY")
    assert says("max_lots_per_day", BUY, rows(max_lots_per_day=10), counters=counters)[0] == "SKIP"
    assert says("max_lots_per_day", order("BUY", 150, 100), rows(max_lots_per_day=10), counters=None, **FUTURE)[0] == "REJECT"


def test_it_cuts_to_the_lots_that_are_left():
    found = ask("max_lots_per_day", order("BUY", 300, 100), rows("CLAMP", max_lots_per_day=10), counters=counted(lots_day=D(8)), **FUTURE)[0]
    assert (found.limit, found.actual, found.after) == ("10", "12", 150)


def book(net=0, buys=0, sells=0, others=0, **given):
    return counted(net_value=D(net), buys=D(buys), sells=D(sells), others=D(others), **given)


# BUY 10 at 100 is 1,000 rupees
EXPOSURE = [
    ({}, "PASS"), ({"net": 4000}, "PASS"), ({"net": "4000.01"}, "REJECT"), ({"buys": 4000}, "PASS"), ({"net": 2000, "buys": 2001}, "REJECT"),
    ({"net": -5000}, "PASS"), ({"net": -2000, "sells": 3001}, "REJECT"), ({"net": 4000, "sells": 4000}, "PASS"),
    ({"net": None}, "REJECT"), ({"unpriced": 1}, "REJECT"),
]


@pytest.mark.parametrize(("facts", "expected"), EXPOSURE)
def test_it_counts_the_worse_side_of_a_symbol(facts, expected):
    counters = counted(**{{"net": "net_value"}.get(k, k): v if v is None or k == "unpriced" else D(v) for k, v in facts.items()})
    assert says("max_symbol_exposure", BUY, rows(max_symbol_exposure=5000), counters=counters) == (expected, "EXPOSURE_SYMBOL")
    mirrored = counters.scopes["GLOBAL"]
    mirrored = counted(replace(mirrored, net_value=None if mirrored.net_value is None else -mirrored.net_value, buys=mirrored.sells, sells=mirrored.buys))
    assert says("max_symbol_exposure", order("SELL", 10, 100), rows(max_symbol_exposure=5000), counters=mirrored)[0] == expected
    assert says("max_symbol_exposure", EXIT, rows(max_symbol_exposure=5), counters=counters, position=long(10))[0] == "EXEMPT"


@pytest.mark.parametrize(
    ("facts", "expected"),
    [({}, "PASS"), ({"others": 7999}, "PASS"), ({"others": 8000}, "WARN"), ({"net": 4000, "others": 5000}, "WARN"), ({"net": 4000, "others": 5001}, "REJECT")],
)
def test_it_adds_up_all_symbols_and_warns_in_time(facts, expected):
    assert says("max_gross_exposure", BUY, rows(max_gross_exposure=10000), counters=book(**facts)) == (expected, "EXPOSURE_GROSS")


def test_it_takes_the_share_to_warn_from_its_row():
    assert says("max_gross_exposure", BUY, rows(max_gross_exposure=10000, warn_exposure_pct=10), counters=book())[0] == "WARN"


def test_it_opens_nothing_when_the_exposure_is_not_known():
    for rule, missing in (("max_gross_exposure", counted(others=None)), ("max_symbol_exposure", counted(buys=None)), ("max_gross_exposure", None)):
        assert says(rule, BUY, rows(**{rule: 10000}), on=desk("PAPER", counters=missing))[0] == "REJECT"
    blind = order("BUY", 10, ref_price=None)
    assert says("max_symbol_exposure", blind, rows(max_symbol_exposure=5000)) == ("REJECT", "PRICE_UNAVAILABLE")


def test_it_cuts_to_the_room_that_is_left():
    limits = rows("CLAMP", max_symbol_exposure=50000, max_gross_exposure=60000)
    found = [ask(rule, order("BUY", 20, 1000), limits, counters=book(20000, 15125, 0, 20000))[0] for rule in ("max_symbol_exposure", "max_gross_exposure")]
    assert [f.after for f in found] == [14, 4]
    crowded = ask("max_symbol_exposure", order("BUY", 20, 1000), limits, counters=book(-50001))[0]
    assert (crowded.verdict, crowded.after) == ("CLAMP", 0)


def test_it_counts_a_flip_by_what_it_leaves():
    limits, counters = rows("CLAMP", max_symbol_exposure=3000, allow_short_selling=True), book(2000)
    found = ask("max_symbol_exposure", order("SELL", 60, 100), limits, counters=counters, position=long(20))[0]
    assert (found.actual, found.after) == ("4000", 50)


# BUY 10 at 100 needs 1,000; 20 % of it in MIS
@pytest.mark.parametrize(
    ("product", "available", "expected"),
    [
        ("CNC", "1300", "PASS"), ("CNC", "1250", "PASS"), ("CNC", "1249.99", "REJECT"), ("MTF", "1249.99", "REJECT"), ("NRML", "1249.99", "REJECT"),
        ("MIS", "250", "PASS"), ("MIS", "249.99", "REJECT"), ("MIS", "-1", "REJECT"),
    ],
)
def test_it_keeps_to_the_usable_funds(product, available, expected):
    limits, funds = rows(margin_buffer_pct=20, mis_margin_pct=20), replace(FUNDS, available=D(available))
    assert says("margin_buffer_pct", replace(BUY, product=product), limits, funds=funds) == (expected, "MARGIN_INSUFFICIENT")


@pytest.mark.parametrize(("limits", "expected"), [([], "SKIP"), ([rows(margin_buffer_pct=0)], "PASS"), ([rows(margin_buffer_pct="x")], "REJECT")])
def test_it_reads_the_buffer(limits, expected):
    assert says("margin_buffer_pct", BUY, *limits, funds=replace(FUNDS, available=D(1000)))[0] == expected


UNKNOWN = [None, FundsFacts(available=None, as_of=NOW), FundsFacts(available=D("NaN"), as_of=NOW), replace(FUNDS, as_of=NOW - seconds(61)), replace(FUNDS, as_of=None)]


@pytest.mark.parametrize("funds", UNKNOWN)
@pytest.mark.parametrize(("environment", "expected"), [("LIVE", "REJECT"), ("SIM", "WARN"), ("PAPER", "WARN")])
def test_it_does_not_spend_funds_it_does_not_know(funds, environment, expected):
    local = environment == "PAPER" and funds is not None and funds.available == FUNDS.available
    said = ("PASS", "MARGIN_INSUFFICIENT") if local else (expected, "MARGIN_UNKNOWN")
    facts = desk(environment, funds=funds, position=long(10))
    assert says("margin_buffer_pct", BUY, rows(margin_buffer_pct=5), on=facts) == said
    exit_says = says("margin_buffer_pct", EXIT, rows(margin_buffer_pct=5), on=facts)[0]
    assert exit_says == ("WARN" if environment == "LIVE" else "EXEMPT")


@pytest.mark.parametrize(("margin", "age", "expected"), [
    (95000, 30, "PASS"), (95001, 30, "REJECT"), (95000, 31, "UNKNOWN"), (None, 1, "UNKNOWN"), (0, 1, "PASS"),
])
def test_it_takes_the_margin_of_a_derivative_from_the_broker(margin, age, expected):
    funds = FundsFacts(D(100000), None if margin is None else D(margin), NOW - seconds(age), NOW)
    said = says("margin_buffer_pct", order("BUY", 75, 100), rows(margin_buffer_pct=5), funds=funds, **FUTURE)
    assert said == (("REJECT", "MARGIN_UNKNOWN") if expected == "UNKNOWN" else (expected, "MARGIN_INSUFFICIENT"))


def test_it_cuts_to_what_the_funds_pay_for():
    funds = FundsFacts(D(100000), D(100000), NOW, NOW)
    assert ask("margin_buffer_pct", order("BUY", 150, 100), rows("CLAMP", margin_buffer_pct=5), funds=funds, **FUTURE)[0].after == 75
    assert ask("margin_buffer_pct", BUY, rows("CLAMP", margin_buffer_pct=5), funds=replace(FUNDS, available=D(-7)))[0].after == 0


@pytest.mark.parametrize(
    ("theirs", "closing", "quantity", "expected"),
    [(None, 0, 1, "REJECT"), (100, 0, 100, "EXEMPT"), (100, 0, 101, "REJECT"), (100, 20, 80, "EXEMPT"), (100, 20, 81, "REJECT"), (-5, 0, 1, "REJECT"), (200, 0, 120, "EXEMPT")],
)
def test_it_stays_within_the_brokers_position_while_the_two_differ(theirs, closing, quantity, expected):
    drifted = replace(long(120, closing), drifted=True, broker_net=None if theirs is None else D(theirs))
    assert says("position_drift", order("SELL", quantity, 100, reduce_only=True), position=drifted)[0] == expected
    assert says("position_drift", BUY, position=drifted) == ("REJECT", "POSITION_DRIFT")


def test_it_opens_nothing_while_the_position_differs():
    assert says("position_drift", BUY)[0] == "PASS"
    assert says("position_drift", BUY, position=None)[0] == "SKIP"
    decision = judge(BUY, position=replace(FLAT, drifted=True, broker_net=D(5)))
    assert decision.sentence == "Rejected: the broker's position is 5, the one here 0"


def test_it_names_the_limit_and_not_the_lot_when_both_leave_the_same():
    decision = judge(order("BUY", 200, 100), rows("CLAMP", max_lots_per_order=2), quote=quoted(100), instrument=replace(NIFTY, exchange=INFY.exchange))
    assert (decision.verdict, decision.final, decision.code) == ("CLAMP", 150, "LOTS_ORDER")
