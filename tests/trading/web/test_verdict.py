"""A decision in the words of a page."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from risk.codes import Code
from risk.models import Decision
from trading.web import verdict


def finding(code="VALUE_MAX", said="PASS", limit="100000", actual="170232", unit="INR", **more):
    return {"rule": "max_order_value", "code": code, "scope": "GLOBAL:", "limit": limit, "actual": actual, "unit": unit, "verdict": said, **more}


def decision(said, *findings, code="", **more):
    return Decision(verdict=said, code=code, findings=list(findings), sentence="The whole sentence.", final=70, order_class="ENTRY", **more)


def test_it_says_how_many_rules_pass():
    assert verdict.shown(decision("ALLOW", finding(), finding(), finding(said="SKIP"))).short == "All 2 rules pass"


def test_it_gives_a_clamp_with_both_numbers():
    said = verdict.shown(decision("CLAMP", finding(said="CLAMP", after="70"), code="VALUE_MAX"))
    assert (said.kind, said.short, said.full, said.sendable) == ("CLAMP", "Order value limit ₹1,00,000 allows 70", "The whole sentence.", True)


def test_it_gives_a_rejection_with_both_numbers():
    said = verdict.shown(decision("REJECT", finding(said="REJECT"), code="VALUE_MAX"))
    assert (said.label, said.short, said.sendable) == ("Would be rejected", "Order value ₹1,70,232, limit ₹1,00,000", False)


def test_it_writes_the_rules_table_without_the_words_of_the_record():
    halted = finding(code="STATE_HALTED", said="DEFER", limit="ACTIVE", actual="HALTED, too fast", unit="")
    (row, *rest), _ = verdict.rules(decision("DEFER", halted, finding(code="SESSION_CLOSED", limit="WARN", actual="", unit=""), code="STATE_HALTED"))
    assert (row.scope, row.limit, row.actual) == ("desk-wide", "Active", "Stopped, too fast")
    assert [(one.limit, one.actual) for one in rest] == [("Warn only", "–")]


def test_it_turns_to_lakh_when_the_figures_are_long():
    said = verdict.short_reason(finding(said="REJECT", actual="123456789", limit="100000000"))
    assert said == "Order value ₹12.35 Cr, limit ₹10.00 Cr"


def test_it_says_a_warning_beside_a_pass():
    said = verdict.shown(decision("ALLOW", finding(), finding(code="SIGNAL_TOO_OLD", said="WARN", limit="900", actual="1163.4", unit="s")))
    assert (said.kind, said.short, said.sendable) == ("WARN", "Alert age 19 min 23 s, limit 15 min", True)


@pytest.mark.parametrize(
    ("environment", "codes", "label", "short"),
    [
        ("PAPER", ["INSTRUMENT_UNKNOWN", "PRICE_OUT_OF_COLLAR"], "Pass", "Tick and lot are assumed on paper"),
        ("PAPER", ["PRICE_OUT_OF_COLLAR"], "Pass", "Paper has no price to compare it with"),
        ("LIVE", ["PRICE_OUT_OF_COLLAR"], "Look first", "There is no market price to hold the…"),
        ("PAPER", ["PRICE_OUT_OF_COLLAR", "SESSION_CLOSED"], "Look first", "The market is closed"),
        ("PAPER", ["SESSION_CLOSED"], "Look first", "The market is closed"),
    ],
)
def test_it_asks_nobody_to_look_at_what_paper_always_lacks(environment, codes, label, short):
    warned = [finding(code=code, said="WARN", limit="WARN", actual="missing", unit="") for code in codes]
    said = verdict.shown(decision("ALLOW", *warned, snapshot={"snapshot": {"environment": environment}}))
    assert (said.label, said.short) == (label, short)


@pytest.mark.parametrize("code", list(Code))
@pytest.mark.parametrize("said", ["REJECT", "DEFER", "WARN", "CLAMP"])
def test_it_fits_forty_characters_for_every_code(code, said):
    text = verdict.short_reason(finding(code=code.value, said=said, limit="NSE:A-VERY-LONG-SYMBOL-NAME", actual="missing", unit="", after="7"))
    assert 0 < len(text) <= verdict.SHORT


@settings(max_examples=100)
@given(st.text(min_size=1, max_size=200))
def test_it_clips_any_text(text):
    assert len(verdict.clip(text)) <= verdict.SHORT


def test_it_shows_what_an_older_version_stored():
    assert verdict.short_reason(finding(code="NO_LONGER_KNOWN", said="REJECT", limit="", actual="", unit="")) == "Max_order_value"


def test_it_puts_the_rule_that_decided_first():
    loud = finding(said="REJECT")
    many = [finding(code="QTY_MAX", unit="qty") for _ in range(9)]
    first, rest = verdict.rules(decision("REJECT", *many, finding(code="PRICE_OFF_TICK", said="REJECT"), loud, code="VALUE_MAX"))
    assert (first[0].label, first[0].css, first[1].css) == ("Order value", "bad", "bad") and len(first) == 6 and len(rest) == 5


def test_it_names_the_scope_without_touching_the_name():
    row = verdict.rules(decision("ALLOW", {**finding(), "scope": "STRATEGY:ORB 15 Cash"}))[0][0]
    assert (row.scope, row.limit) == ("strategy ORB 15 Cash", "₹1,00,000.00")
