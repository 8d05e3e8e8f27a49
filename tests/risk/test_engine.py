"""How findings become one decision, and what it says."""

import string
from dataclasses import FrozenInstanceError, fields, replace
from decimal import Decimal as D

import pytest

from risk.codes import Code, Group, table
from risk.engine import case_of, decide
from risk.examples import EXAMPLES
from risk.phrases import money, phrase, span
from risk.rules import RULES, Rule, max_quantity_per_order, say
from risk.types import Decision, Finding, Limits, Verdict
from tests.risk.cases import INFY, READY, desk, found, judge, order, rows

BUY = order("BUY", 10, 100)
HALTED = replace(READY, state="HALTED")


def test_it_ends_at_the_first_stop_and_keeps_what_was_said_before():
    decision = judge(BUY, states=replace(READY, account_enabled=False), instrument=None)
    assert [f.rule for f in decision.findings] == ["trading_state", "reducing_state", "account_gate", "account_enabled"]
    assert (decision.code, decision.final) == ("ACCOUNT_DISABLED", 0)


def test_it_asks_every_rule_when_asked_for_advice_and_decides_alike():
    facts = {"states": replace(READY, account_enabled=False), "instrument": None}
    advice = judge(BUY, rows(max_order_value=1), advisory=True, **facts)
    assert {"INSTRUMENT_UNKNOWN", "VALUE_MAX"} <= {f.code for f in advice.findings if f.verdict == "REJECT"}
    assert len({f.rule for f in advice.findings}) >= len(RULES)
    assert (advice.verdict, advice.code) == ("REJECT", "ACCOUNT_DISABLED")


def test_it_holds_before_it_rejects_when_the_hold_comes_first():
    assert judge(BUY, states=HALTED, instrument=None, advisory=True).verdict == "DEFER"
    assert judge(BUY, states=replace(READY, state="REDUCING"), instrument=replace(INFY, tick=None), advisory=True).verdict == "REJECT"


def test_it_says_how_many_rules_passed():
    decision = judge(BUY, rows(max_quantity_per_order=500, max_order_value=100000))
    passed = len({f.rule for f in decision.findings if f.verdict == "PASS"})
    assert decision.sentence == f"Allowed: all {passed} rules pass"
    assert (decision.verdict, decision.code, decision.final, decision.order_class) == ("ALLOW", "", 10, "ENTRY")


def test_it_names_its_warnings():
    facts = desk("PAPER", instrument=replace(INFY, provisional=True, tick=None))
    sentence = judge(BUY, on=facts).sentence
    assert ", 2 warnings: NSE:INFY is not in the instrument list, provisional tick 0.05 and lot 1 are used; NSE:INFY has no tick" in sentence


def test_it_applies_only_the_rows_of_this_account_and_strategy():
    others = rows(scope="ACCOUNT", target="live-2", max_quantity_per_order=1), rows(scope="STRATEGY", target="scalp", max_quantity_per_order=1)
    assert judge(BUY, *others).verdict == "ALLOW"
    assert judge(BUY, rows(scope="ACCOUNT", target="paper", max_quantity_per_order=1)).code == "QTY_MAX"
    assert judge(BUY, rows(scope="STRATEGY", max_quantity_per_order=1)).code == "QTY_MAX"


def test_it_does_not_lose_a_limit_to_a_misspelt_scope():
    assert judge(BUY, rows(scope="Global", target="x", max_quantity_per_order=1)).code == "QTY_MAX"


def test_it_lets_the_smallest_room_bind_across_rows_and_rules():
    limits = rows("CLAMP", max_quantity_per_order=8, max_order_value=500), rows("CLAMP", "STRATEGY", "breakout", max_quantity_per_order=6)
    decision = judge(BUY, *limits)
    assert (decision.final, decision.code) == (5, "VALUE_MAX")
    assert [f.after for f in decision.findings if f.verdict == "CLAMP"] == [8, 6, 5]


def test_it_names_the_first_rule_when_two_leave_the_same():
    decision = judge(BUY, rows("CLAMP", max_quantity_per_order=5, max_order_value=500))
    assert (decision.final, decision.code) == (5, "QTY_MAX")


def test_it_rejects_by_the_rejecting_row_even_when_another_could_cut():
    limits = rows("CLAMP", max_quantity_per_order=5), rows("REJECT", "STRATEGY", max_order_value=900)
    assert judge(BUY, *limits).code == "VALUE_MAX"


def test_it_marks_the_cut_that_left_nothing_as_the_refusal():
    decision = judge(BUY, rows("CLAMP", max_order_value=99))
    finding = found(decision, "max_order_value")
    assert (finding.verdict, finding.before, finding.after) == ("REJECT", 10, 0)
    assert decision.sentence == "Rejected: max_order_value=99 (GLOBAL), order value 1,000.00, cannot be clamped to one lot"


def test_it_puts_the_smaller_quantity_before_every_size_rule_again():
    def no_fives(case):
        yield say("no_fives", Code.QTY_LOT, Verdict.REJECT if case.quantity == 5 else Verdict.PASS, "ORDER", 5, case.quantity)

    rules = (Rule(max_quantity_per_order, sized=True), Rule(no_fives, sized=True))
    decision = decide(case_of(BUY, desk(), [rows("CLAMP", max_quantity_per_order=5)]), rules, advisory=False)
    assert (decision.verdict, decision.code, decision.final) == ("REJECT", "QTY_LOT", 0)


def test_it_stops_when_a_cutting_rule_is_not_content_with_its_own_cut():
    def never_enough(case):
        found = say("never_enough", Code.QTY_MAX, Verdict.CLAMP, "ORDER", 1, case.quantity)
        yield replace(found, before=case.quantity, after=case.quantity - 1)

    decision = decide(case_of(BUY, desk(), []), (Rule(never_enough, sized=True),), advisory=False)
    assert (decision.verdict, decision.final) == ("REJECT", 0)
    assert [f.verdict for f in decision.findings] == ["CLAMP", "REJECT"]


@pytest.mark.parametrize("quantity", [D("1E+12"), D("1E-8"), D("123456789012.12345678"), D("1E+400"), D("1E-400"), D("Infinity"), D("NaN")])
@pytest.mark.parametrize("price", [D("1E+12"), D("1E-8"), D("1E+99"), None])
def test_it_never_raises_on_extreme_figures(quantity, price):
    intent = order("BUY", quantity, price)
    coin = replace(INFY, lot=D("1E-8"), tick=D("1E-8"), min_notional=D("1E-8"))
    decision = judge(intent, rows("CLAMP", max_order_value=D("1E+12"), max_quantity_per_order="1e-7"), instrument=coin, advisory=True)
    assert decision.verdict in ("ALLOW", "CLAMP", "REJECT", "DEFER")
    assert decision.final <= D("1E-7")


def test_it_counts_exactly_where_ordinary_precision_would_round():
    coin = replace(INFY, exchange="BINANCE", lot=D("1E-20"), tick=D("1E-8"), freeze=None)
    limit = rows("CLAMP", max_quantity_per_order=D("999999999999.999999999999999999999"))
    assert judge(order("BUY", 10**12, 1), limit, instrument=coin).final == D("999999999999.99999999999999999999")


def test_it_hands_out_values_nobody_can_change():
    decision = judge(BUY)
    with pytest.raises(FrozenInstanceError):
        decision.final = D(1)
    assert [f.name for f in fields(Decision)] == ["verdict", "code", "final", "order_class", "findings", "sentence"]
    assert [f.name for f in fields(Finding)] == ["rule", "code", "scope", "limit", "actual", "unit", "verdict", "before", "after"]


def test_it_takes_a_row_of_limits_without_values():
    assert judge(BUY, Limits("GLOBAL")).verdict == "ALLOW"


# --- codes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", Code)
def test_it_explains_every_code(code):
    assert code.value == code.name
    assert code.about and code.effect and code.sentence and code.todo.endswith(".")
    assert "!" not in code.sentence + code.todo + code.measured + code.missing + code.example
    assert code.example.endswith(".") or code.group is not Group.RISK


def test_it_has_no_example_of_a_code_that_is_gone():
    assert EXAMPLES.keys() <= Code.__members__.keys()


@pytest.mark.parametrize("code", Code)
def test_it_can_say_every_finding(code):
    for actual in ("", "7", "missing", "unreadable"):
        for unit in ("", "qty", "INR", "s"):
            said = phrase(Finding("rule", code.value, "STRATEGY:breakout", "50", actual, unit, "REJECT"))
            assert said != "" or actual == "", (code, actual, unit)
            assert not set(said) & set("{}")


def test_it_uses_only_words_a_finding_has():
    for code in Code:
        for template in (code.sentence, code.measured, code.missing):
            assert {name for _, name, _, _ in string.Formatter().parse(template) if name} <= {"rule", "scope", "limit", "actual"}


def test_it_lists_every_code_once_in_the_table():
    lines = table().splitlines()
    assert len(lines) == 2 + len(Code)
    assert all(line.count(" | ") == 5 for line in lines[2:])
    assert lines[2].startswith("| `STATE_HALTED` | RISK | Trading state | holds | trading is *actual* (*scope*) |")


def test_it_knows_the_reasons_of_the_routing_and_of_the_road():
    assert {c.name for c in Code if c.group is Group.ROUTE} >= {"SYMBOL_OTHER", "OUTSIDE_HOURS", "QUANTITY_UNKNOWN", "NO_ACTION"}
    assert {c.name for c in Code if c.group is Group.ROAD} >= {"POISON", "RETRY_EXHAUSTED", "MARKET_CLOSED"}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [("0.4", "0.4 s"), ("60.01", "60.1 s"), ("119", "119 s"), ("120", "2 min"), ("150.9", "2 min 30 s"), ("21660", "6 h 1 min"), ("", "")],
)
def test_it_says_how_long(seconds, words):
    assert span(seconds) == words


def test_it_never_lets_a_value_above_its_limit_look_equal():
    assert money(D("100000.0001")) == "100,000.01"
    assert money(D("1E+12")) == "1,000,000,000,000.00"
