"""The broker's figure and the books: exits never close more than is there, and a plan always makes them agree."""

from decimal import Decimal as D

from hypothesis import given, settings
from hypothesis import strategies as st

from trading.domain.drift import Books, held, plan

quantities = st.integers(-20, 20).map(D)
books = st.builds(Books, st.dictionaries(st.integers(1, 3), quantities, max_size=3), quantities)


def closable(them: Books, side: str, theirs: D) -> D:
    return sum((held(them, pk, side, theirs) for pk in them.strategies), D(0))


@given(books, quantities)
@settings(max_examples=100)
def test_it_lets_no_exits_of_one_sided_strategies_cross_zero(them, theirs):
    sides = {quantity > 0 for quantity in them.strategies.values() if quantity}
    if len(sides) < 2:
        assert closable(them, "SELL", theirs) <= max(theirs, 0) and closable(them, "BUY", theirs) <= max(-theirs, 0)


@given(books, quantities, st.booleans(), st.integers(1, 3))
@settings(max_examples=100)
def test_it_plans_what_makes_both_agree_and_turns_no_strategy_around(them, theirs, delivery, first):
    moves = plan(them, theirs, delivery, first)
    after = Books({pk: quantity + moves.get(pk, 0) for pk, quantity in them.strategies.items()}, them.outside + moves.get(None, 0))
    assert all(abs(after.strategies[pk]) <= abs(q) and after.strategies[pk] * q >= 0 for pk, q in them.strategies.items())
    if not delivery:
        assert after.total == theirs
    elif theirs >= 0:
        assert not after.differ(theirs, delivery)


def test_it_counts_trades_outside_against_the_strategies_as_a_difference():
    them = Books({1: D(10)}, D(-10))
    assert them.differ(D(0), delivery=False) and plan(them, D(0), delivery=False) == {1: -10, None: 10}
    assert not Books({1: D(10)}, D(7)).differ(D(17), delivery=False)
