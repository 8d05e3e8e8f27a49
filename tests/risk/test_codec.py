"""What a decision was made from is kept as data and gives the same decision again."""

import json
from dataclasses import fields
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.codec import from_data, to_data
from risk.engine import evaluate
from risk.replay import Stored, what_changes
from risk.types import Snapshot
from tests.risk.cases import desk, order, rows
from tests.risk.test_properties import calm_desks, calm_intents, calm_rows, desks, intents, limit_rows, many


def kept(intent, facts, limits):
    """As the row has it: through JSON."""
    return json.loads(json.dumps({"intent": to_data(intent), "snapshot": to_data(facts), "limits": [to_data(row) for row in limits]}))


@many
@given(st.one_of(calm_intents, intents), st.one_of(calm_desks, desks), st.one_of(calm_rows, limit_rows))
def test_it_gives_the_same_findings_from_what_was_kept(intent, facts, limits):
    back = from_data(kept(intent, facts, limits))
    assert back[:2] == (intent, facts)
    assert evaluate(*back, advisory=True) == evaluate(intent, facts, limits, advisory=True)


def test_it_asks_rows_of_one_scope_in_the_same_order_when_they_are_text():
    limits = [rows(max_order_value=D(1000)), rows(max_order_value=D("1E-8"))]
    intent, facts = order("BUY", 1, 100), desk("PAPER")
    assert evaluate(*from_data(kept(intent, facts, limits))).findings == evaluate(intent, facts, limits).findings


def test_it_reads_a_row_from_before_the_newer_facts():
    data = kept(order("BUY", 10, 100), desk("PAPER"), [rows(max_order_value=D(1000))])
    for name in ("counters", "funds", "sessions"):
        del data["snapshot"][name]
    del data["intent"]["asked"], data["snapshot"]["position"]["drifted"], data["snapshot"]["states"]["live_word"]
    intent, facts, limits = from_data(data)
    assert (facts.counters, facts.funds, facts.sessions, intent.asked) == (None, None, None, None)
    assert evaluate(intent, facts, limits).code == "SIGNAL_OUT_OF_ORDER"  # what was not kept is not known


@pytest.mark.parametrize("data", [{}, {"intent": {}, "snapshot": {}, "limits": [{}]}])
def test_it_refuses_what_is_no_decision(data):
    with pytest.raises((KeyError, ValueError)):
        from_data(data)


@many
@given(st.one_of(calm_intents, intents), st.one_of(calm_desks, desks), st.one_of(calm_rows, limit_rows), st.integers(1, 90))
def test_it_shows_exactly_what_other_limits_would_have_changed(intent, facts, limits, most):
    said = evaluate(intent, facts, limits)
    stored = Stored(1, 7, said.verdict, said.code, said.final, kept(intent, facts, limits))
    assert list(what_changes([stored], {})) == []
    changes = list(what_changes([stored], {"ACCOUNT:paper": {"max_quantity_per_order": str(most)}}))
    opened = said.final > 0 and said.order_class == "ENTRY"
    assert all(change.final <= said.final for change in changes)
    assert not opened or bool(changes) == (intent.quantity > most)


def test_it_keeps_every_part_of_the_snapshot():
    assert set(to_data(desk())) == {f.name for f in fields(Snapshot)}
