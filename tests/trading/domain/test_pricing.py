"""The price an order is sent at: on the tick, never worse than allowed, never moved against the trader."""

from decimal import Decimal as D

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trading.domain.test_intents import BUY, SELL
from trading.domain.pricing import slippage_limit, snap
from trading.domain.types import OrderType
from tvapp.lib.money import on_step

TICKS = st.sampled_from([D("0.01"), D("0.05"), D("0.1"), D("0.5"), D(5)])
PRICES = st.decimals("0.05", 100000, places=2)


@pytest.mark.parametrize(
    ("side", "reference", "pct", "tick", "limit"),
    [
        (BUY, "812.35", "0.3", "0.05", "814.75"),
        (SELL, "812.35", "0.3", "0.05", "809.95"),
        (BUY, "100", "1", "0.05", "101"),
        (SELL, "100", "1", "0.05", "99"),
        (BUY, "0.04", "1", "0.05", None),
        (SELL, "0.04", "1", "0.05", "0.05"),
    ],
)
def test_it_limits_a_market_order(side, reference, pct, tick, limit):
    assert slippage_limit(side, D(reference), D(pct), D(tick)) == (None if limit is None else D(limit))


@settings(max_examples=100)
@given(st.sampled_from([BUY, SELL]), PRICES, st.decimals("0.001", 20, places=3), TICKS)
def test_it_never_allows_more_than_the_percentage_and_gives_away_less_than_a_tick(side, reference, pct, tick):
    limit = slippage_limit(side, reference, pct, tick)
    bound = reference * (100 + pct if side is BUY else 100 - pct) / 100
    if limit is None:
        assert side is BUY and bound < tick
        return
    assert on_step(limit, tick) and abs(limit - bound) < tick
    assert limit <= bound if side is BUY else limit >= bound


@settings(max_examples=100)
@given(st.sampled_from([BUY, SELL]), st.sampled_from(list(OrderType)), PRICES, PRICES, TICKS)
def test_it_snaps_to_the_traders_side_and_twice_is_once(side, kind, price, trigger, tick):
    snapped = snap(kind, side, price, trigger, tick)
    assert not (snapped.fault and snapped.notes)
    if "below one tick" in snapped.fault:
        assert (snapped.price, snapped.trigger_price) == (price, trigger)
        return
    better, away = (snapped.price <= price, snapped.trigger_price >= trigger) if side is BUY else (snapped.price >= price, snapped.trigger_price <= trigger)
    assert better and away
    assert on_step(snapped.price, tick) or kind not in ("LIMIT", "SL")
    assert on_step(snapped.trigger_price, tick) or kind not in ("SL", "SL_M")
    again = snap(kind, side, snapped.price, snapped.trigger_price, tick)
    assert (again.price, again.trigger_price, again.notes) == (snapped.price, snapped.trigger_price, ())


def test_it_says_what_it_moved():
    assert snap("LIMIT", BUY, D("320.29"), None, D("0.05")).notes == ("Price 320.29 -> 320.25, the tick is 0.05.",)
    assert snap("SL", SELL, D("320.21"), D("320.29"), D("0.05")).notes == (
        "Price 320.21 -> 320.25, the tick is 0.05.", "Trigger price 320.29 -> 320.25, the tick is 0.05.",
    )  # fmt: skip


def test_it_does_not_snap_what_would_change_the_order():
    assert snap("LIMIT", BUY, D("0.02"), None, D("0.05")).fault == "Price 0.02 is below one tick, 0.05."
    crossing = snap("SL", BUY, D("100.02"), D("100.02"), D("0.05"))
    assert crossing.fault == "A BUY with trigger 100.05 needs its limit beyond it, not 100."
    assert snap("LIMIT", BUY, D("320.29"), None, None).price == D("320.29")
