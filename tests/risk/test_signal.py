"""An alert's place in the sequence and its price against the market's."""

from dataclasses import replace
from decimal import Decimal as D

import pytest

from risk.types import Quote
from tests.risk.cases import NOW, ask, counted, desk, judge, long, order, quoted, rows, says, seconds

BUY, EXIT = order("BUY", 10, 100, fired_at=NOW), order("SELL", 10, 100, fired_at=NOW)


@pytest.mark.parametrize(("ahead", "expected"), [(None, "PASS"), (-1, "PASS"), (0, "PASS"), (1, "DEFER")])
def test_it_holds_an_alert_that_a_newer_one_overtook(ahead, expected):
    counters = counted(last_signal_at=None if ahead is None else NOW + seconds(ahead))
    assert says("signal_order", BUY, counters=counters) == (expected, "SIGNAL_OUT_OF_ORDER")
    assert says("signal_order", EXIT, counters=counters, position=long(10))[0] == ("EXEMPT" if ahead == 1 else "PASS")
    assert says("signal_order", replace(BUY, mode="MANUAL"), counters=counters)[0] == ("WARN" if ahead == 1 else "PASS")


def test_it_opens_nothing_when_the_last_alert_is_not_known():
    assert says("signal_order", BUY, counters=None)[0] == "REJECT"
    assert says("signal_order", EXIT, counters=None, position=long(10))[0] == "EXEMPT"


def test_it_counts_from_the_receipt_where_the_alert_has_no_time():
    intent = replace(BUY, fired_at=None, received_at=NOW - seconds(60))
    found = ask("signal_order", intent, counters=counted(last_signal_at=NOW))[0]
    assert (found.verdict, found.limit, found.actual) == ("DEFER", "2 Mar 09:51:07", "2 Mar 09:50:07")


COLLAR = {"collar_aggressive_pct": 3, "collar_passive_pct": 20}
MARKET = {"quote": quoted(100)}


@pytest.mark.parametrize(
    ("side", "price", "expected"),
    [
        ("BUY", 103, "PASS"), ("BUY", "103.05", "REJECT"), ("BUY", 104, "REJECT"), ("BUY", 96, "PASS"), ("BUY", 80, "PASS"), ("BUY", "79.95", "REJECT"),
        ("SELL", 97, "PASS"), ("SELL", "96.95", "REJECT"), ("SELL", 120, "PASS"), ("SELL", "120.05", "REJECT"),
    ],
)
def test_it_holds_a_price_against_the_markets(side, price, expected):
    assert says("price_collar", order(side, 10, price), rows(**COLLAR), **MARKET) == (expected, "PRICE_OUT_OF_COLLAR")


@pytest.mark.parametrize(("price", "expected"), [(120, "PASS"), ("120.05", "REJECT"), (80, "PASS"), ("79.95", "REJECT")])
def test_it_gives_stops_the_wide_band_on_both_sides(price, expected):
    stop = order("BUY", 10, price, order_type="SL", trigger_price=D(79))
    market = order("BUY", 10, order_type="SL-M", trigger_price=D(price))
    assert {says("price_collar", intent, rows(**COLLAR), **MARKET)[0] for intent in (stop, market)} == {expected}


@pytest.mark.parametrize(("ref_price", "expected"), [(103, "PASS"), (104, "REJECT"), (None, "SKIP")])
def test_it_judges_a_market_entry_by_the_alerts_price(ref_price, expected):
    intent = order("BUY", 10, ref_price=None if ref_price is None else D(ref_price))
    assert says("price_collar", intent, rows(**COLLAR), **MARKET)[0] == expected


@pytest.mark.parametrize(("price", "expected"), [(95, "PASS"), ("94.95", "REJECT"), (300, "PASS")])
def test_it_gives_exits_five_percent_on_the_dear_side(price, expected):
    assert says("price_collar", order("SELL", 10, price), rows(**COLLAR), position=long(10), **MARKET)[0] == expected


@pytest.mark.parametrize(
    "given", [{"order_type": "SL-M"}, {"order_type": "SL", "price": D("89.5")}, {"order_type": "LIMIT", "price": D("89.5"), "off_hours": "GTT"}]
)
def test_it_lets_a_protective_stop_rest_as_far_away_as_it_was_set(given):
    stop = order("SELL", 10, trigger_price=D(90), reduce_only=True, **given)
    assert says("price_collar", stop, rows(**COLLAR), position=long(10), **MARKET)[0] == "EXEMPT"


def test_it_never_stops_a_market_exit_for_its_price():
    assert says("price_collar", order("SELL", 10, ref_price=D(50)), rows(**COLLAR), position=long(10), **MARKET)[0] == "EXEMPT"


BLIND = [None, quoted(100, age=11), quoted(100, source="ALERT"), replace(quoted(100, source="MARK"), independent=False), Quote(ltp=None, as_of=NOW)]


@pytest.mark.parametrize("quote", BLIND)
@pytest.mark.parametrize(
    ("environment", "words", "expected"),
    [("LIVE", [], "REJECT"), ("PAPER", [], "WARN"), ("SIM", [], "WARN"), ("LIVE", ["WARN"], "WARN"), ("PAPER", ["WARN", "REJECT"], "REJECT"), ("PAPER", ["?"], "REJECT")],
)
def test_it_needs_a_price_that_is_not_the_alerts_own(quote, environment, words, expected):
    limits = [rows(**COLLAR), *(rows(scope=scope, collar_without_quote=word) for scope, word in zip(("GLOBAL", "STRATEGY"), words, strict=False))]
    facts = desk(environment, quote=quote, position=long(10))
    assert says("price_collar", BUY, *limits, on=facts) == (expected, "PRICE_OUT_OF_COLLAR")
    assert says("price_collar", EXIT, *limits, on=facts)[0] == "EXEMPT"


def test_it_takes_the_mark_of_the_broker():
    assert says("price_collar", order("BUY", 10, 104), rows(**COLLAR), quote=quoted(100, source="MARK"))[0] == "REJECT"


@pytest.mark.parametrize(("limits", "expected"), [([], "SKIP"), ([rows(collar_aggressive_pct=3)], "REJECT"), ([rows(collar_passive_pct=3)], "PASS"), ([rows(collar_aggressive_pct="x")], "REJECT")])
def test_it_judges_only_the_sides_that_are_set(limits, expected):
    assert says("price_collar", order("BUY", 10, 104), *limits, **MARKET)[0] == expected


def test_it_says_how_far_off_the_price_is():
    found = ask("price_collar", order("BUY", 10, 104), rows(**COLLAR), **MARKET)
    assert [(f.rule, f.limit, f.actual, f.verdict) for f in found] == [
        ("collar_aggressive_pct", "3", "4", "REJECT"), ("collar_passive_pct", "20", "0", "PASS"),
    ]


def test_it_says_why_live_orders_are_not_allowed():
    states = replace(desk().states, live_allowed=False, live_word="the desk is set to paper only")
    assert judge(BUY, states=states).sentence == "Rejected: live orders are not allowed: the desk is set to paper only"
    assert judge(BUY, states=replace(states, live_word="")).sentence == "Rejected: live orders are not allowed: this installation does not allow them"
