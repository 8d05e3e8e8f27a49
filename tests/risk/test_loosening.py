"""Which change of a limit lets more through."""

from decimal import Decimal as D

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from risk.loosening import LADDERS, LEAST, MOST, WARNINGS, is_looser
from risk.models import RiskSettings

FIGURES = st.one_of(st.none(), st.decimals(min_value=0, max_value=10**6, places=2))
ANY = {
    **dict.fromkeys(MOST | LEAST, FIGURES),
    **{name: st.sampled_from(ladder) for name, ladder in LADDERS.items()},
    **{name: st.lists(st.sampled_from(["NSE:A", "NSE:B", "NSE:C"]), unique=True) for name in ("symbol_allow_list", "symbol_deny_list")},
    "entry_cutoff": st.dictionaries(st.sampled_from(["MIS", "CNC", "MCX:MIS"]), st.sampled_from(["10:00", "15:00"])),
}
CASES = st.sampled_from(sorted(ANY)).flatmap(lambda name: st.tuples(st.just(name), ANY[name], ANY[name], ANY[name]))


def test_it_knows_every_limit_there_is():
    known = MOST | LEAST | WARNINGS | LADDERS.keys() | {"symbol_allow_list", "symbol_deny_list", *RiskSettings.TIMES}
    assert set(RiskSettings.PARAMETERS) | {"clamp_mode"} == known


@settings(max_examples=100)
@given(CASES)
def test_it_never_calls_two_tightenings_in_a_row_a_loosening(case):
    name, first, second, third = case
    assert not is_looser(name, first, first)
    if not is_looser(name, first, second) and not is_looser(name, second, third):
        assert not is_looser(name, first, third)


@pytest.mark.parametrize(("name", "tight", "mild"), [
    ("max_order_value", D(100), D(101)), ("max_order_value", D(100), None), ("margin_buffer_pct", D(5), D(4)), ("min_bars_between", D(3), None),
    ("allow_short_selling", False, True), ("allow_short_selling", False, None), ("clamp_mode", "REJECT", "CLAMP"), ("session_policy", "DEFER", ""),
    ("on_loss_breach", "", "BLOCK"), ("symbol_allow_list", ["NSE:A"], []), ("symbol_allow_list", ["NSE:A"], ["NSE:A", "NSE:B"]),
    ("symbol_deny_list", ["NSE:A"], []), ("no_trade_windows", ["09:15-09:20"], []), ("entry_cutoff", {"MIS": "15:00"}, {"MIS": "15:05"}),
    ("entry_cutoff", {"MIS": "15:00"}, {}), ("entry_cutoff", {"MIS": "15:00"}, {"MIS": "15:00", "MCX:MIS": "23:00"}), ("unlimited", [], ["max_order_value"]), ("a_limit_of_tomorrow", 1, 2),
])  # fmt: skip
def test_it_tells_milder_from_stricter(name, tight, mild):
    assert is_looser(name, tight, mild)
    assert not is_looser(name, mild, tight) or name == "a_limit_of_tomorrow"


@pytest.mark.parametrize(("name", "old", "new"), [("warn_loss_pct", D(80), D(90)), ("max_order_value", None, D(5)), ("symbol_allow_list", [], ["NSE:A"])])
def test_it_calls_nothing_looser_that_stops_as_much_as_before(name, old, new):
    assert not is_looser(name, old, new)
