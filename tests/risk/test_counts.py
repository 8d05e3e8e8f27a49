"""Counts, rates and pauses: passed, on the boundary, violated, missing."""

from dataclasses import replace
from decimal import Decimal as D

import pytest

from risk.types import Counters, ScopeFacts
from tests.risk.cases import NOW, ask, counted, desk, judge, long, order, rows, says

BUY, EXIT = order("BUY", 10, 100), order("SELL", 10, 100)

# rule, code, the fact it counts, limit, value that passes, value on the boundary, value that is too much, the boundary is still fine
ONE_MORE = [
    ("max_open_positions", "COUNT_OPEN_POSITIONS", "open_symbols"),
    ("max_open_orders", "COUNT_OPEN_ORDERS", "open_orders"),
    ("max_orders_per_minute", "RATE_MINUTE", "orders_minute"),
    ("max_orders_per_day", "RATE_DAY", "orders_day"),
    ("max_trades_per_symbol_day", "RATE_SYMBOL_DAY", "symbol_trades_day"),
    ("max_repeats_per_minute", "RATE_REPEATED", "repeats_minute"),
]
TABLE = [(rule, code, fact, 5, so_far, said) for rule, code, fact in ONE_MORE for so_far, said in ((0, "PASS"), (4, "PASS"), (5, "REJECT"), (None, "REJECT"))]
TABLE += [("max_loss_streak", "RATE_LOSS_STREAK", "loss_streak", 3, so_far, said) for so_far, said in ((0, "PASS"), (2, "PASS"), (3, "REJECT"), (None, "REJECT"))]
TABLE += [
    ("min_bars_between", "RATE_MIN_BARS", "bars_since_entry", 3, D(bars) if bars else None, said)
    for bars, said in (("4", "PASS"), ("3", "PASS"), ("2.99", "REJECT"), ("NaN", "REJECT"), (None, "PASS"))
]
TABLE += [
    (rule, "RATE_COOLDOWN", fact, 10, D(ago) if ago else None, said)
    for rule, fact in (("cooldown_minutes", "closed_s_ago"), ("cooldown_after_loss", "loss_s_ago"))
    for ago, said in (("601", "PASS"), ("600", "PASS"), ("599.9", "REJECT"), ("NaN", "REJECT"), (None, "PASS"))
]
RULES = sorted({(rule, code) for rule, code, *_ in TABLE})


@pytest.mark.parametrize(("rule", "code", "fact", "limit", "so_far", "expected"), TABLE)
def test_it_counts_what_the_scope_did(rule, code, fact, limit, so_far, expected):
    counters = counted(**{fact: so_far})
    assert says(rule, BUY, rows(**{rule: limit}), counters=counters) == (expected, code)
    assert says(rule, EXIT, rows(**{rule: limit}), counters=counters, position=long(10))[0] == "EXEMPT"


@pytest.mark.parametrize(("rule", "code"), RULES)
def test_it_opens_nothing_when_it_does_not_know_the_facts_or_the_limit(rule, code):
    some = rows(**{rule: 5})
    for environment in ("LIVE", "PAPER"):
        for counters in (None, Counters(), Counters({"GLOBAL": ScopeFacts()})):
            assert says(rule, BUY, some, rows(scope="STRATEGY", target="breakout", **{rule: 5}), on=desk(environment, counters=counters)) == ("REJECT", code)
    assert says(rule, BUY, rows(**{rule: "many"})) == ("REJECT", code)
    assert says(rule, BUY, rows(**{rule: None})) == ("SKIP", code)


def test_it_does_not_take_an_entry_it_cannot_date_for_no_entry():
    assert says("min_bars_between", BUY, rows(min_bars_between=3), counters=counted(bars_known=False))[0] == "REJECT"


@pytest.mark.parametrize(("held", "expected"), [(False, "REJECT"), (True, "PASS")])
def test_it_lets_an_open_position_grow_when_there_is_no_room_for_another(held, expected):
    assert says("max_open_positions", BUY, rows(max_open_positions=2), counters=counted(open_symbols=2, holds_symbol=held))[0] == expected


def test_it_judges_each_row_by_the_facts_of_its_own_scope():
    facts = {"GLOBAL": ScopeFacts(orders_day=90), "ACCOUNT:paper": ScopeFacts(orders_day=9), "STRATEGY:breakout": ScopeFacts(orders_day=3)}
    limits = [rows(scope=scope, target=target, max_orders_per_day=10) for scope, target in (("ACCOUNT", "paper"), ("ACCOUNT", ""), ("STRATEGY", "breakout"))]
    counters = Counters(facts, as_of=NOW)
    assert {f.verdict: f.actual for f in ask("max_orders_per_day", BUY, *limits, counters=counters)} == {"PASS": "4"} | {"PASS": "4"}
    assert sorted(f.actual for f in ask("max_orders_per_day", BUY, *limits, counters=counters)) == ["10", "10", "4"]
    assert says("max_orders_per_day", BUY, rows(max_orders_per_day=90), *limits, counters=counters) == ("REJECT", "RATE_DAY")


@pytest.mark.parametrize(
    ("rule", "limit", "facts", "sentence"),
    [
        ("max_open_positions", 2, {"open_symbols": 2}, "max_open_positions=2 (GLOBAL), this would be number 3"),
        ("max_orders_per_minute", 30, {"orders_minute": 30}, "max_orders_per_minute=30 (GLOBAL), this would be order 31 within 60 s"),
        ("cooldown_minutes", 10, {"closed_s_ago": D(150)}, "cooldown_minutes asks for 10 min (GLOBAL), 2 min 30 s have passed"),
        ("max_loss_streak", 3, {"loss_streak": 3}, "max_loss_streak=3 (GLOBAL), losing trades in a row: 3"),
    ],
)
def test_it_says_both_numbers(rule, limit, facts, sentence):
    assert judge(BUY, rows(**{rule: limit}), counters=counted(**facts)).sentence == f"Rejected: {sentence}"


def test_it_counts_a_flip_as_an_entry():
    flip = replace(EXIT, quantity=D(20))
    limits = rows(max_orders_per_day=1, allow_short_selling=True)
    assert says("max_orders_per_day", flip, limits, counters=counted(orders_day=1), position=long(10))[0] == "REJECT"
