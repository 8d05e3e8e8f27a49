"""The worked examples a trader can check by hand."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal as D

import pytest

from risk.types import FundsFacts, InstrumentFacts, OrdersFacts, PositionFacts, SessionFacts
from tests.risk.cases import NIFTY, NOW, READY, counted, desk, found, judge, long, order, quoted, rows, seconds

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


@pytest.mark.parametrize(("quantity", "verdict", "final", "code"), [(200, "CLAMP", 150, "LOTS_ORDER"), (100, "CLAMP", 75, "QTY_LOT"), (60, "REJECT", 0, "QTY_LOT")])
def test_it_keeps_to_two_lots(quantity, verdict, final, code):
    decision = judge(order("BUY", quantity, 100, exchange="NFO", symbol="NIFTY26MARFUT"), rows("CLAMP", max_lots_per_order=2), instrument=NIFTY)
    assert (decision.verdict, decision.final, decision.code) == (verdict, final, code)


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


CAP = rows("CLAMP", max_symbol_exposure=50000)


def test_it_counts_what_is_held_what_rests_and_what_is_unknown():
    under_way = counted(net_value=D(20000), buys=D(10 * 1010 + 5 * 1005), open_symbols=1, holds_symbol=True)
    asked = order("BUY", 20, 1000)
    unknown = judge(asked, CAP, position=long(20), counters=under_way, orders=OrdersFacts(1, NOW))
    assert (unknown.verdict, unknown.code) == ("REJECT", "ORDER_UNRESOLVED")
    resolved = judge(asked, CAP, position=long(20), counters=under_way)
    assert (resolved.verdict, resolved.final, resolved.code) == ("CLAMP", 14, "EXPOSURE_SYMBOL")


def test_it_lets_parallel_alerts_see_each_other():
    first = judge(order("BUY", 30, 1000), CAP)
    second = judge(order("BUY", 30, 1000), CAP, counters=counted(buys=D(first.final * 1000)))
    assert (first.verdict, first.final, second.verdict, second.final) == ("ALLOW", 30, "CLAMP", 20)


@pytest.mark.parametrize(("holds", "verdict", "code"), [(False, "REJECT", "COUNT_OPEN_POSITIONS"), (True, "ALLOW", "")])
def test_it_opens_no_third_symbol_but_adds_to_an_open_one(holds, verdict, code):
    decision = judge(order("BUY", 1, 100), rows(max_open_positions=2), counters=counted(open_symbols=2, holds_symbol=holds))
    assert (decision.verdict, decision.code) == (verdict, code)


@pytest.mark.parametrize(("realised", "verdict", "code"), [(-1800, "REJECT", "LOSS_DAILY"), (-850, "ALLOW", "")])
def test_it_ends_the_day_at_its_loss_and_warns_before(realised, verdict, code):
    counters = counted(realised=D(realised), unrealised=D(-2900), charges=D(350))
    decision = judge(order("BUY", 1, 100), rows(max_daily_loss=5000), counters=counters)
    assert (decision.verdict, decision.code) == (verdict, code)
    assert found(decision, "max_daily_loss").verdict == ("REJECT" if code else "WARN")


@pytest.mark.parametrize(("product", "verdict", "final"), [("CNC", "CLAMP", 76), ("MIS", "ALLOW", 200)])
def test_it_spends_the_usable_funds_only(product, verdict, final):
    limits = rows("CLAMP", margin_buffer_pct=5, mis_margin_pct=20)
    decision = judge(order("BUY", 200, 500, product=product), limits, funds=FundsFacts(D(40000), as_of=NOW))
    assert (decision.verdict, decision.final) == (verdict, final)


@pytest.mark.parametrize(("price", "verdict"), [(104, "REJECT"), (96, "ALLOW")])
def test_it_refuses_what_is_too_dear_and_lets_the_rest_be(price, verdict):
    decision = judge(order("BUY", 1, price), rows(collar_aggressive_pct=3, collar_passive_pct=20), quote=quoted(100))
    assert (decision.verdict, decision.code) == (verdict, "PRICE_OUT_OF_COLLAR" if verdict == "REJECT" else "")


def test_it_lets_only_exits_through_while_reducing():
    states = replace(READY, state="REDUCING")
    entry = judge(order("BUY", 1, 100), position=long(120), states=states)
    assert (entry.verdict, entry.code) == ("REJECT", "STATE_REDUCING")
    assert judge(order("SELL", 50, 100), position=long(120), states=states).verdict == "ALLOW"


PAPER = {
    "max_quantity_per_order": 500, "max_order_value": 100000, "max_lots_per_order": 10, "max_lots_per_day": 50, "max_symbol_exposure": 200000,
    "max_gross_exposure": 1000000, "warn_exposure_pct": 90, "max_open_positions": 20, "max_open_orders": 10, "max_orders_per_minute": 30,
    "max_orders_per_day": 300, "max_repeats_per_minute": 3, "max_daily_loss": 50000, "warn_loss_pct": 80, "on_loss_breach": "BLOCK_AND_CANCEL",
    "margin_buffer_pct": 0, "collar_aggressive_pct": 3, "collar_passive_pct": 20, "collar_without_quote": "WARN", "session_policy": "WARN",
    "defer_max_age": 15, "allow_short_selling": False, "symbol_allow_list": [], "symbol_deny_list": [],
}


def test_it_lets_a_newcomer_buy_on_paper_on_a_sunday_evening():
    sunday = datetime(2026, 3, 1, 15, 30, tzinfo=UTC)
    infy = InstrumentFacts("INFY", "NSE", "EQ", tick=D("0.05"), lot=D(1), provisional=True)
    intent = order("BUY", 10, None, mode="MANUAL", ref_price=D(1500), received_at=sunday - seconds(2))
    closed = SessionFacts("NSE", False, next_open=sunday + timedelta(hours=12, minutes=15), as_of=sunday)
    facts = desk("PAPER", now=sunday, instrument=infy, position=PositionFacts(D(0)), sessions=closed, funds=FundsFacts(D(10) ** 6))
    decision = judge(intent, rows(market_buffer_pct=1, mis_margin_pct=20, max_signal_age=60, **PAPER), on=facts)
    assert (decision.verdict, decision.final, decision.code) == ("ALLOW", 10, "")
    assert found(decision, "max_order_value").actual == "15150"
    assert found(decision, "reference_price").scope == "ALERT"
    warnings = decision.sentence.partition(", 3 warnings: ")[2].split("; ")
    assert warnings[0].startswith("NSE:INFY is not in the instrument list")
    assert warnings[1:] == [
        "NSE is closed, it opens on Mon 2 Mar at 09:15, session_policy=WARN (GLOBAL)", "there is no market price to hold the price against",
    ]
