"""Where stops and targets stand, and how much they may close."""

from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.domain import brackets
from trading.domain.brackets import Brackets, Levels
from trading.domain.signal import Bracket, Signal
from trading.domain.types import BracketKind, OrderType
from tvapp.lib.money import on_step

PRICE, PCT, POINTS = BracketKind.PRICE, BracketKind.PCT, BracketKind.POINTS
TICK = D("0.05")
TICKS = st.sampled_from([D("0.01"), D("0.05"), D("0.1"), D("0.5"), D(1)])
PRICES = st.decimals(min_value=100, max_value=5000, places=2)
DISTANCES = st.one_of(
    st.decimals(min_value=D("0.1"), max_value=50, places=2).map(lambda v: Bracket(PCT, v)),
    st.decimals(min_value=D("0.1"), max_value=50, places=2).map(lambda v: Bracket(POINTS, v)),
)


@pytest.mark.parametrize(
    "side, stop, target, expected",
    [
        ("BUY", Bracket(PRICE, D(1480)), Bracket(PRICE, D(1530)), Levels(D(1480), D(1530))),
        ("BUY", Bracket(PCT, D("1.5")), Bracket(POINTS, D("20.03")), Levels(D("1477.5"), D("1520.05"))),
        ("BUY", Bracket(POINTS, D("10.01")), None, Levels(D("1489.95"), None)),
        ("SELL", Bracket(PCT, D("1.001")), Bracket(PCT, D("2.001")), Levels(D("1515.05"), D("1469.95"))),
        ("SELL", None, Bracket(PRICE, D("1450.02")), Levels(None, D(1450))),
    ],
)
def test_it_counts_from_the_fill_and_snaps_to_the_tick(side, stop, target, expected):
    assert brackets.levels(Brackets(stop, target), side, D(1500), TICK) == expected


def test_it_begins_a_trailing_stop_at_the_closer_of_stop_and_trail():
    asked = Brackets(stop=Bracket(POINTS, D(30)), trail=Bracket(POINTS, D(20)))
    assert brackets.levels(asked, "BUY", D(1500), TICK).stop == 1480
    assert brackets.levels(asked, "SELL", D(1500), TICK).stop == 1520


@given(st.sampled_from(["BUY", "SELL"]), DISTANCES, DISTANCES, PRICES, TICKS)
def test_it_puts_the_stop_on_the_losing_side_and_the_target_on_the_winning_one(side, stop, target, price, tick):
    found = brackets.levels(Brackets(stop, target), side, price, tick)
    away = 1 if side == "BUY" else -1
    assert on_step(found.stop, tick) and on_step(found.target, tick)
    assert (price - found.stop) * away >= brackets.distance(stop, price)
    assert (found.target - price) * away >= brackets.distance(target, price)
    assert abs(price - found.stop) < brackets.distance(stop, price) + tick
    assert abs(found.target - price) < brackets.distance(target, price) + tick


@given(st.sampled_from(["BUY", "SELL"]), DISTANCES, st.lists(PRICES, min_size=1, max_size=12), TICKS)
def test_it_trails_only_in_favour_of_the_trader(side, trail, prices, tick):
    best = prices[0]
    stop = brackets.levels(Brackets(trail=trail), side, best, tick).stop
    for price in prices:
        best = brackets.better(side, best, price)
        after = brackets.trailed(side, trail, best, stop, tick)
        assert brackets.better(side, after, stop) == after
        assert on_step(after, tick)
        assert abs(best - after) <= brackets.distance(trail, best) + tick
        stop = after


@pytest.mark.parametrize(
    "side, asked, words",
    [
        ("BUY", Brackets(stop=Bracket(PRICE, D(1510))), "The stop of a BUY must be below its price 1500, not at 1510."),
        ("SELL", Brackets(stop=Bracket(PRICE, D(1490))), "The stop of a SELL must be above its price 1500, not at 1490."),
        ("BUY", Brackets(target=Bracket(PRICE, D(1500))), "The target of a BUY must be above its price 1500, not at 1500."),
        ("BUY", Brackets(stop=Bracket(PCT, D(100))), "The stop would lie at 0, below one tick."),
        ("BUY", Brackets(trail=Bracket(PRICE, D(10))), "A trailing stop needs a distance, in percent or points, not a price."),
        ("BUY", Brackets(trailing_order=True), "The alert asks for a trailing stop order, which the desk does not place."),
        ("BUY", Brackets(stop=Bracket(PCT, D(1)), target=Bracket(POINTS, D(5))), ""),
    ],
)
def test_it_says_what_cannot_be_placed(side, asked, words):
    assert brackets.fault(asked, side, D(1500), TICK) == words


def test_it_needs_a_tick_but_no_price_to_judge():
    asked = Brackets(stop=Bracket(PRICE, D(1600)))
    assert brackets.fault(asked, "BUY", None, TICK) == ""
    assert "tick" in brackets.fault(asked, "BUY", D(1500), None)


def test_it_survives_being_stored():
    asked = Brackets(Bracket(PCT, D("1.5")), Bracket(PRICE, D(1600)), Bracket(POINTS, D(3)))
    assert brackets.from_data(brackets.to_data(asked)) == asked
    assert brackets.to_data(Brackets()) == {}
    signal = Signal(stop_loss=Bracket(PCT, D(1)), order_type=OrderType.TRAILING)
    assert brackets.from_data(brackets.to_data(brackets.of(signal))) == Brackets(Bracket(PCT, D(1)), trailing_order=True)
    assert not Brackets()


def test_it_says_when_a_trigger_is_too_near():
    assert brackets.too_near(D(1500), D(1502)) == "The trigger 1500 is 0.13 % from the last price 1502; a GTT needs at least 0.25 %."
    assert brackets.too_near(D("1496.25"), D(1500)) == ""


def test_it_lets_the_stop_of_a_trigger_fill_beyond_it():
    assert brackets.stop_limit("BUY", D(1485), TICK) == D("1470.15")
    assert brackets.stop_limit("SELL", D(1515), TICK) == D("1530.15")


FILLS = st.lists(st.tuples(st.integers(1, 20).map(D), PRICES), min_size=1, max_size=6)


@given(FILLS, st.data())
def test_it_prices_a_part_of_the_fills(fills, data):
    total = int(sum(q for q, _ in fills))
    start = data.draw(st.integers(0, total - 1))
    end = data.draw(st.integers(start + 1, total))
    units = [price for quantity, price in fills for _ in range(int(quantity))][start:end]
    assert abs(brackets.price_between(fills, D(start), D(end)) - sum(units) / len(units)) < D("1e-20")


@given(st.lists(st.integers(0, 50).map(D), max_size=6), st.integers(-20, 120).map(D))
def test_it_never_shares_out_more_than_is_open(rests, open_quantity):
    kept = brackets.shares(rests, open_quantity)
    assert sum(kept) == min(sum(rests), max(open_quantity, D(0)))
    assert all(0 <= k <= r for k, r in zip(kept, rests, strict=True))


def test_it_cuts_the_oldest_first():
    assert brackets.shares([D(10), D(5)], D(8)) == [D(3), D(5)]
