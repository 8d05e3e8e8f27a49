"""Slices: they add up, none is above the freeze quantity, all but the first are whole lots."""

from decimal import Decimal as D

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.domain.slicing import sizes


@pytest.mark.parametrize(
    ("total", "freeze", "lot", "expected"),
    [
        (1800, 1800, 65, [45, 1755]),  # within the freeze quantity, not within whole lots of it
        (1755, 1800, 65, [1755]),
        (3510, 1800, 65, [1755, 1755]),
        (4000, 1800, 65, [490, 1755, 1755]),
        (5400, 1800, 75, [1800, 1800, 1800]),
        (10, None, 1, [10]),
        (10, 5, 65, [10]),  # not even one lot fits: refused by the gate
    ],
)
def test_it_cuts(total, freeze, lot, expected):
    assert sizes(D(total), None if freeze is None else D(freeze), D(lot)) == expected


@settings(max_examples=100)
@given(st.integers(1, 50000), st.integers(1, 5000), st.integers(1, 100))
def test_it_adds_up_and_keeps_the_limit_and_the_lot(total, freeze, lot):
    found = sizes(D(total), D(freeze), D(lot))
    assert sum(found) == total and all(part > 0 for part in found)
    if freeze >= lot and len(found) > 1:
        assert all(part <= freeze for part in found) and all(part % lot == 0 for part in found[1:])
        assert total % lot or found[0] % lot == 0
