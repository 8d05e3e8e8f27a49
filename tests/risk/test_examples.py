"""The worked examples a trader can check by hand."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal as D

import pytest

from risk.types import InstrumentFacts, PositionFacts
from tests.risk.cases import NIFTY, NOW, READY, desk, found, judge, long, order, quoted, rows, seconds

OFF = {"allow_short_selling": False}


def test_it_cuts_120_to_50_by_the_quantity_limit():
    decision = judge(order("BUY", 120, 100), rows("CLAMP", max_quantity_per_order=50, max_order_value=100000))
    assert (decision.verdict, decision.final, decision.code) == ("CLAMP", 50, "QTY_MAX")
    assert decision.sentence == "Quantity clamped from 120 to 50: max_quantity_per_order=50 (GLOBAL)"


def test_it_shows_the_value_of_the_quantity_that_is_left():
    decision = judge(order("BUY", 120, 100), rows("CLAMP", max_quantity_per_order=50, max_order_value=100000))
    assert (found(decision, "max_quantity_per_order").before, found(decision, "max_quantity_per_order").after) == (120, 50)
    assert (found(decision, "max_order_value").verdict, found(decision, "max_order_value").actual) == ("PASS", "5000")


def test_it_cuts_a_limit_order_by_its_value():
    decision = judge(order("BUY", 120, "2812.40"), rows("CLAMP", max_order_value=100000))
    assert (decision.verdict, decision.final, decision.code) == ("CLAMP", 35, "VALUE_MAX")


def test_it_refuses_one_share_that_is_worth_too_much():
    decision = judge(order("BUY", 1, 150000), rows("CLAMP", max_order_value=100000))
    assert (decision.verdict, decision.final, decision.code) == ("REJECT", 0, "VALUE_MAX")
    assert decision.sentence.endswith("order value 150,000.00, cannot be clamped to one lot")


def test_it_values_a_market_order_with_one_percent_on_top():
    decision = judge(order("BUY", 120), rows("CLAMP", max_order_value=100000), quote=quoted("2812.40"))
    assert (decision.verdict, decision.final) == ("CLAMP", 35)
    assert found(decision, "max_order_value").actual == "340862.88"


def test_it_refuses_instead_of_cutting_where_the_row_says_so():
    limit = rows("REJECT", "STRATEGY", "breakout", max_order_value=100000)
    decision = judge(order("BUY", 120, "2812.40"), limit)
    assert (decision.verdict, decision.code, decision.final) == ("REJECT", "VALUE_MAX", 0)
    assert decision.sentence == "Rejected: max_order_value=100000 (STRATEGY breakout), order value 337,488.00"


@pytest.mark.parametrize(("quantity", "verdict", "final", "scope"), [(120, "REJECT", 0, "GLOBAL"), (80, "CLAMP", 50, "STRATEGY:breakout")])
def test_it_judges_the_asked_quantity_by_reject_rows_and_cuts_by_the_others(quantity, verdict, final, scope):
    limits = rows("REJECT", max_quantity_per_order=100), rows("CLAMP", "STRATEGY", "breakout", max_quantity_per_order=50)
    decision = judge(order("BUY", quantity, 100), *limits)
    assert (decision.verdict, decision.final) == (verdict, final)
    assert [f.scope for f in decision.findings if f.code == "QTY_MAX" and f.verdict == verdict] == [scope]


@pytest.mark.parametrize(("quantity", "verdict", "final"), [(100, "CLAMP", 75), (60, "REJECT", 0), (150, "ALLOW", 150)])
def test_it_floors_to_the_lot(quantity, verdict, final):
    decision = judge(order("BUY", quantity, 100, exchange="NFO", symbol="NIFTY26MARFUT"), rows("CLAMP"), instrument=NIFTY)
    assert (decision.verdict, decision.final) == (verdict, final)
    assert decision.code == ("" if verdict == "ALLOW" else "QTY_LOT")


@pytest.mark.parametrize("mode", ["CLAMP", "REJECT"])
def test_it_lets_a_long_be_closed_whatever_its_size(mode):
    decision = judge(order("SELL", 120, 100), rows(mode, max_quantity_per_order=50, **OFF), position=long(120))
    assert (decision.verdict, decision.final, decision.order_class, decision.code) == ("ALLOW", 120, "EXIT", "")


@pytest.mark.parametrize(("mode", "verdict", "final"), [("CLAMP", "CLAMP", 20), ("REJECT", "REJECT", 0)])
def test_it_counts_what_other_orders_already_close(mode, verdict, final):
    decision = judge(order("SELL", 50, 100), rows(mode, **OFF), position=long(120, closing=100))
    assert (decision.verdict, decision.final, decision.code) == (verdict, final, "SHORT_NOT_ALLOWED")
    assert found(decision, "allow_short_selling").actual == "30"


@pytest.mark.parametrize("mode", ["CLAMP", "REJECT"])
def test_it_does_not_sell_what_nobody_has(mode):
    decision = judge(order("SELL", 10, 100), rows(mode, **OFF))
    assert (decision.verdict, decision.code) == ("REJECT", "SHORT_NOT_ALLOWED")
    assert decision.sentence == "Rejected: short selling is disabled (GLOBAL), 10 would be short"


@pytest.mark.parametrize(("mode", "verdict", "final"), [("CLAMP", "CLAMP", 25), ("REJECT", "REJECT", 0)])
def test_it_never_goes_short_with_delivery_shares(mode, verdict, final):
    held = PositionFacts(net=D(0), sellable=D(25), as_of=NOW)
    decision = judge(order("SELL", 30, 100, product="CNC"), rows(mode, allow_short_selling=True), position=held)
    assert (decision.verdict, decision.final, decision.code) == (verdict, final, "SHORT_PRODUCT")


def test_it_lets_only_exits_through_while_reducing():
    states = replace(READY, state="REDUCING")
    entry = judge(order("BUY", 1, 100), position=long(120), states=states)
    assert (entry.verdict, entry.code) == ("REJECT", "STATE_REDUCING")
    assert judge(order("SELL", 50, 100), position=long(120), states=states).verdict == "ALLOW"


def test_it_lets_a_newcomer_buy_on_paper_on_a_sunday_evening():
    sunday = datetime(2026, 3, 1, 15, 30, tzinfo=UTC)
    infy = InstrumentFacts("INFY", "NSE", "EQ", tick=D("0.05"), lot=D(1), provisional=True)
    intent = order("BUY", 10, None, mode="MANUAL", ref_price=D(1500), received_at=sunday - seconds(2))
    paper = rows(
        max_quantity_per_order=500, max_order_value=100000, allow_short_selling=False, max_signal_age=60,
        symbol_allow_list=[], symbol_deny_list=[],
    )
    decision = judge(intent, paper, on=desk("PAPER", now=sunday, instrument=infy, position=PositionFacts(D(0))))
    assert (decision.verdict, decision.final, decision.code) == ("ALLOW", 10, "")
    assert found(decision, "max_order_value").actual == "15150"
    assert found(decision, "reference_price").scope == "ALERT"
    assert "1 warning: NSE:INFY is not in the instrument list" in decision.sentence
