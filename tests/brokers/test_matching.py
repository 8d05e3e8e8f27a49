from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal as D

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.paper.matching import (
    NO_PRICE,
    FillStep,
    Level,
    Liquidity,
    MatchParams,
    PaperOrderState,
    PaperQuote,
    PricedBy,
    StateStep,
    advance,
    match,
    protection_pct,
    usable,
)
from brokers.types import TERMINAL, Kind, OrderType, Side, Status, Validity

NOW = datetime(2026, 1, 5, 4, 0, tzinfo=UTC)
TICK = D("0.05")
PLAIN = MatchParams()
DEPTH = MatchParams(liquidity=Liquidity.DEPTH)
ASKS = (Level(D("812.40"), D(60)), Level(D("812.60"), D(25)), Level(D("830.00"), D(500)))


def _order(side="BUY", order_type="LIMIT", quantity=100, price=None, trigger=None, **more):
    return PaperOrderState(Side(side), OrderType(order_type), D(quantity), tick=more.pop("tick", TICK), lot=D(more.pop("lot", 1)),
                           price=price and D(price), trigger_price=trigger and D(trigger), **more)  # fmt: skip


def _quote(ltp, *, s=0, **more):
    decimals = {k: D(v) if isinstance(v, str | int) and not isinstance(v, bool) else v for k, v in more.items()}
    return PaperQuote(D(ltp), NOW + timedelta(seconds=s), **decimals)


def _alert(price):
    return PaperQuote(D(price), NOW, priced_by=PricedBy.ALERT)


def _meet(order, *quotes, params=PLAIN):
    """The order after the quotes, and the (quantity, price) of its fills."""
    fills = []
    for quote in quotes:
        now = quote.at or NOW
        steps = match(order, quote, params, now)
        fills += [(step.quantity, step.price) for step in steps if isinstance(step, FillStep)]
        order = advance(order, steps, quote, params, now)
    return order, fills


def _fills(order, *quotes, params=PLAIN):
    return _meet(order, *quotes, params=params)[1]


def _refused(order, quote=NO_PRICE):
    steps = match(order, quote, MatchParams(), NOW)
    assert [step.status for step in steps] == [Status.REJECTED]
    return steps[0]


# ---------------------------------------------------------------------------- market orders
def test_it_buys_at_the_last_price_made_worse_by_the_slippage():
    assert _fills(_order("BUY", "MARKET", 10), _quote("812.35")) == [(10, D("812.80"))]


def test_it_sells_at_the_last_price_made_worse_by_the_slippage():
    assert _fills(_order("SELL", "MARKET", 10), _quote("812.35")) == [(10, D("811.90"))]


def test_it_walks_the_book_up_to_the_cap_and_rests_the_remainder_there():
    quote = _quote("812.35", bid="812.30", asks=ASKS)
    after, fills = _meet(_order("BUY", "MARKET"), quote, params=DEPTH)
    assert fills == [(60, D("812.40")), (25, D("812.60"))]
    assert (after.status, after.cap, after.rest) == (Status.OPEN, D("816.45"), 15)


def test_it_fills_the_rest_of_a_market_order_at_its_cap():
    after, _ = _meet(_order("BUY", "MARKET"), _quote("812.35", asks=ASKS), params=DEPTH)
    after, fills = _meet(after, _quote("815.00", s=1), params=DEPTH)
    assert fills == [(15, D("816.45"))]
    assert after.status == Status.FILLED


def test_it_takes_the_ask_for_buys_and_the_bid_for_sells():
    quote = _quote("812.35", bid="812.10", ask="812.60")
    assert _fills(_order("BUY", "MARKET", 1), quote) == [(1, D("812.60"))]
    assert _fills(_order("SELL", "MARKET", 1), quote) == [(1, D("812.10"))]


def test_it_adds_extra_slippage_to_book_prices_only_when_asked():
    params = MatchParams(extra_bps=D(10))
    assert _fills(_order("BUY", "MARKET", 1), _quote("500", bid="499", ask="500"), params=params) == [(1, D("500.50"))]


def test_it_waits_for_a_first_price_and_then_fills_a_market_order():
    after, fills = _meet(_order("BUY", "MARKET", 1), NO_PRICE)
    assert (after.status, fills) == (Status.OPEN, [])
    assert _fills(after, _quote("812.35")) == [(1, D("812.80"))]


def test_it_never_sells_below_one_tick():
    assert _fills(_order("SELL", "MARKET", 1), _quote("0.05")) == [(1, TICK)]


@pytest.mark.parametrize(
    ("kind", "price", "pct"),
    [
        (Kind.EQ, "99.95", "2"), (Kind.EQ, "100", "1"), (Kind.EQ, "500", "1"), (Kind.EQ, "500.05", "0.5"), (Kind.FUT, "24500", "0.5"),
        (Kind.CE, "9.95", "5"), (Kind.PE, "10", "3"), (Kind.CE, "100", "2"), (Kind.PE, "500", "2"), (Kind.CE, "500.05", "1"),
    ],
)  # fmt: skip
def test_it_protects_by_price_and_kind(kind, price, pct):
    assert protection_pct(kind, D(price)) == D(pct)


@pytest.mark.parametrize(
    ("order", "params", "cap"),
    [
        (_order("BUY", "MARKET", protection=D(3)), MatchParams(market_protection=D(2)), "206.00"),
        (_order("BUY", "MARKET"), MatchParams(market_protection=D(2)), "204.00"),
        (_order("BUY", "MARKET", protection=D(-1)), MatchParams(), "202.00"),
        (_order("SELL", "MARKET"), MatchParams(market_protection=D("0.33")), "199.35"),
    ],
)
def test_it_caps_by_the_order_then_the_account_then_the_table(order, params, cap):
    after, _ = _meet(order, _quote("200", bid="200", ask="200"), params=params)
    assert after.cap == D(cap)


# ---------------------------------------------------------------------------- limit orders
def test_it_rests_a_limit_until_the_market_trades_through_it():
    resting, fills = _meet(_order(price="810"), _quote("812"), _quote("810.00", s=1))
    assert (resting.status, fills) == (Status.OPEN, [])
    assert _fills(resting, _quote("809.95", s=2)) == [(100, D(810))]


def test_it_gives_the_better_opening_price_of_a_new_session():
    resting, _ = _meet(_order(price="810"), _quote("812"))
    assert _fills(resting, _quote("802", s=60, first_of_session=True)) == [(100, D(802))]


def test_it_opens_a_session_at_the_ask_when_only_the_ask_is_beyond():
    resting, _ = _meet(_order(price="810"), _quote("812"))
    opening = _quote("811", s=60, bid="803", ask="804", first_of_session=True)
    assert _fills(resting, opening) == [(100, D(804))]


def test_it_marks_resting_fills_as_maker_and_arriving_ones_as_taker():
    resting, _ = _meet(_order(price="810"), _quote("812"))
    [maker, _] = match(resting, _quote("809", s=1), MatchParams(), NOW)
    [_, taker, _] = match(_order(price="810"), _quote("809"), MatchParams(), NOW)
    assert (maker.maker, taker.maker) == (True, False)


def test_it_fills_on_a_mere_touch_only_when_the_account_says_so():
    quotes = _quote("812"), _quote("810", s=1)
    assert _fills(_order(price="810"), *quotes) == []
    assert _fills(_order(price="810"), *quotes, params=MatchParams(fill_on_touch=True)) == [(100, D(810))]


def test_it_fills_a_resting_limit_when_the_ask_falls_below_it():
    resting, _ = _meet(_order(price="810"), _quote("812", bid="811", ask="812"))
    assert _fills(resting, _quote("812", s=1, bid="809", ask="809.50")) == [(100, D(810))]


def test_it_takes_the_ask_when_a_limit_is_marketable_on_arrival():
    assert _fills(_order(price="815"), _quote("812.35", bid="812.10", ask="812.60")) == [(100, D("812.60"))]


def test_it_does_not_take_an_ask_above_the_limit_even_when_the_last_price_is_below():
    assert _fills(_order(price="812.50"), _quote("812.35", bid="812.10", ask="812.60")) == []


@pytest.mark.parametrize("side", ["BUY", "SELL"])
def test_it_fills_a_limit_at_the_alerts_own_price_at_once(side):
    steps = match(_order(side, price="1500"), _alert("1500"), MatchParams(), NOW)
    assert FillStep(D(100), D(1500), False, PricedBy.ALERT) in steps
    assert steps[-1] == StateStep(Status.FILLED)


def test_it_rests_a_limit_that_the_alerts_price_does_not_reach():
    assert _fills(_order(price="1490"), _alert("1500")) == []


def test_it_meets_the_same_quote_only_once():
    quote = _quote("809.95", bid="809", ask="811")
    resting, fills = _meet(_order(price="810"), quote, quote, _quote("800", s=-1))
    assert (resting.rest, fills) == (100, [])


# ---------------------------------------------------------------------------- stop orders
def test_it_fills_a_triggered_stop_market_at_the_bid_and_not_at_the_trigger():
    stop = _order("SELL", "SL_M", trigger="805")
    assert _fills(stop, _quote("807"), _quote("798", s=1, bid="797.90", ask="798.10")) == [(100, D("797.90"))]


def test_it_leaves_a_stop_resting_when_the_price_jumped_over_its_limit():
    stop, fills = _meet(_order("SELL", "SL", price="804", trigger="805"), _quote("807"), _quote("798", s=1, bid="797.90"))
    assert fills == []
    assert (stop.status, stop.triggered, stop.limit) == (Status.OPEN, True, D(804))
    assert _fills(stop, _quote("804.05", s=2)) == [(100, D(804))]


def test_it_triggers_a_buy_stop_when_the_last_price_reaches_it():
    stop, fills = _meet(_order("BUY", "SL", price="811", trigger="810"), _quote("808"), _quote("809.95", s=1))
    assert (stop.status, fills) == (Status.TRIGGER_PENDING, [])
    assert _fills(stop, _quote("810", s=2)) == [(100, D("810.45"))]


def test_it_triggers_on_the_first_price_when_none_was_known_at_acceptance():
    stop, _ = _meet(_order("SELL", "SL_M", trigger="805"), NO_PRICE)
    assert stop.status == Status.TRIGGER_PENDING
    assert _fills(stop, _quote("800", bid="800", ask="800.05")) == [(100, D(800))]


# ---------------------------------------------------------------------------- liquidity
def test_it_limits_a_resting_order_to_the_sizes_beyond_its_limit():
    resting, _ = _meet(_order(price="812.50"), _quote("813"), params=DEPTH)
    after, fills = _meet(resting, _quote("813", s=1, asks=ASKS), params=DEPTH)
    assert fills == [(60, D("812.50"))]
    assert after.rest == 40


def test_it_fills_the_whole_resting_order_when_a_trade_went_beyond_it():
    resting, _ = _meet(_order(price="812.50"), _quote("813"), params=DEPTH)
    assert _fills(resting, _quote("812", s=1, asks=ASKS), params=DEPTH) == [(100, D("812.50"))]


def test_it_knows_one_level_from_the_best_price_and_its_size():
    assert _fills(_order("SELL", price="800"), _quote("812", bid="811", bid_qty=30), params=DEPTH) == [(30, D(811))]


def test_it_takes_from_the_last_level_only_what_is_left_to_fill():
    assert _fills(_order("BUY", "MARKET", 70), _quote("812.35", asks=ASKS), params=DEPTH) == [(60, D("812.40")), (10, D("812.60"))]


def test_it_fills_at_once_in_depth_mode_when_no_size_is_known():
    assert _fills(_order(price="815"), _quote("812", bid="811", ask="812"), params=DEPTH) == [(100, D(812))]


def test_it_remembers_what_it_took_from_a_quote_however_often_it_arrives():
    quote = _quote("812.35", asks=ASKS)
    order, taken = _order(price="812.50"), []
    for price in ("812.50", "812.60", "812.60"):
        order, fills = _meet(replace(order, price=D(price), met_at=None), quote, params=DEPTH)
        taken += fills
    assert taken == [(60, D("812.40")), (25, D("812.60"))]


def test_it_floors_every_partial_fill_to_the_lot():
    order = _order("BUY", "MARKET", 150, lot=50)
    assert _fills(order, _quote("812", asks=ASKS[:1]), params=DEPTH) == [(50, D("812.40"))]


def test_it_takes_at_most_its_share_of_the_traded_volume():
    params = MatchParams(liquidity=Liquidity.PARTICIPATION, participation_pct=D(10))
    after, fills = _meet(_order("BUY", "MARKET", 100, lot=5), _quote("500", ask="500", volume=390), params=params)
    assert fills == [(35, D(500))]
    assert _fills(after, _quote("500", s=1, volume=200), params=params) == [(20, D(505))]


def test_it_counts_the_share_once_when_the_order_arrives_again():
    params = MatchParams(liquidity=Liquidity.PARTICIPATION, participation_pct=D(10))
    quote = _quote("500", ask="500", volume=390)
    after, _ = _meet(_order(price="501"), quote, params=params)
    assert _fills(replace(after, met_at=None), quote, params=params) == []


def test_it_waits_without_a_volume_when_the_account_fills_by_volume():
    params = MatchParams(liquidity=Liquidity.PARTICIPATION)
    assert _fills(_order("BUY", "MARKET"), _quote("500", ask="500"), params=params) == []


@pytest.mark.parametrize("liquidity", list(Liquidity))
def test_it_fills_all_at_the_alerts_price_whatever_the_liquidity(liquidity):
    order, fills = _meet(_order("BUY", "MARKET"), _alert("1500"), params=MatchParams(liquidity=liquidity))
    assert (fills, order.status) == ([(100, D("1500.75"))], Status.FILLED)


def test_it_cancels_the_rest_of_an_ioc_order_at_once():
    order = _order("BUY", "LIMIT", price="812.50", validity=Validity.IOC)
    after, fills = _meet(order, _quote("812", asks=ASKS), params=DEPTH)
    assert fills == [(60, D("812.40"))]
    assert (after.status, after.rest) == (Status.CANCELLED, 40)


def test_it_cancels_an_ioc_order_when_no_price_is_known():
    [_, end] = match(_order(price="810", validity=Validity.IOC), NO_PRICE, MatchParams(), NOW)
    assert (end.status, end.code) == (Status.CANCELLED, "IOC")
    assert "0 of 100" in end.message and "no price was known" in end.message


def test_it_keeps_an_ioc_stop_until_it_triggers():
    stop, _ = _meet(_order("SELL", "SL", price="804", trigger="805", validity=Validity.IOC), _quote("807"))
    assert stop.status == Status.TRIGGER_PENDING
    assert _meet(stop, _quote("798", s=1))[0].status == Status.CANCELLED


# ---------------------------------------------------------------------------- quotes that fill nothing
@pytest.mark.parametrize(
    "quote",
    [
        NO_PRICE,
        replace(_quote("812"), at=None),
        _quote("812", s=-11),
        _quote("812", s=11),
        _quote("0"),
        _quote("-1"),
        _quote("812", bid="0", ask="812"),
        _quote("812", bid="812.10", ask="812.05"),
        _quote("812", asks=(Level(D(812), D(1)), Level(D(0), D(1)))),
        _quote("812", band_low="820"),
        _quote("812", band_high="811"),
        _quote("812", bid="700", ask="813", band_low="750"),
    ],
)
def test_it_fills_nothing_on_an_unusable_quote(quote):
    assert not usable(quote, MatchParams(), NOW)
    assert match(_order("BUY", "MARKET"), quote, MatchParams(), NOW) == [StateStep(Status.OPEN)]


def test_it_takes_a_quote_inside_its_band():
    assert usable(_quote("812", bid="811", ask="813", band_low="800", band_high="820"), MatchParams(), NOW)


def test_it_still_uses_the_alerts_price_an_hour_later():
    assert usable(_alert("1500"), MatchParams(), NOW + timedelta(hours=1))


# ---------------------------------------------------------------------------- refusals
@pytest.mark.parametrize(
    ("order", "code", "words"),
    [
        (_order(price="812.37"), "INVALID_PRICE", "Price 812.37 is not a multiple of the tick 0.05"),
        (_order(), "INVALID_PRICE", "Price is missing"),
        (_order(price="-5"), "INVALID_PRICE", "Price -5 must be above 0"),
        (_order("BUY", "SL_M", trigger="812.37"), "INVALID_PRICE", "Trigger price 812.37"),
        (_order("BUY", "MARKET", 120, lot=50), "INVALID_FIELD", "Quantity 120 is not a multiple of the lot 50"),
        (_order("BUY", "MARKET", 0), "INVALID_FIELD", "Quantity 0 must be above 0"),
        (_order("BUY", "MARKET", 101, freeze=D(100)), "FREEZE_QTY", "Quantity 101 is above the freeze quantity 100"),
        (_order("BUY", "SL", price="809", trigger="810"), "TRIGGER_SIDE", "BUY price 809 must be at or above the trigger 810"),
        (_order("SELL", "SL", price="811", trigger="810"), "TRIGGER_SIDE", "SELL price 811 must be at or below the trigger 810"),
    ],
)
def test_it_refuses_with_the_reason_a_broker_would_give(order, code, words):
    step = _refused(order)
    assert step.code == code
    assert words in step.message


@pytest.mark.parametrize(("side", "trigger"), [("BUY", "807"), ("BUY", "806"), ("SELL", "807"), ("SELL", "808")])
def test_it_refuses_a_trigger_on_the_wrong_side_of_the_last_price(side, trigger):
    step = _refused(_order(side, "SL_M", trigger=trigger), _quote("807"))
    assert step.code == "TRIGGER_SIDE"
    assert f"trigger {trigger}" in step.message and "last price 807" in step.message


@pytest.mark.parametrize("status", sorted(TERMINAL))
def test_it_does_nothing_to_an_order_that_has_ended(status):
    assert match(_order("BUY", "MARKET", status=status), _quote("812"), MatchParams(), NOW) == []


# ---------------------------------------------------------------------------- laws
ticks = st.integers(1, 4000).map(lambda n: n * TICK)
sizes = st.integers(1, 300).map(D)


@st.composite
def quotes(draw, s):
    levels = sorted(draw(st.lists(ticks, max_size=4, unique=True)))
    asks = tuple(Level(p, draw(sizes)) for p in levels)
    best = asks[0].price if asks else D(200)
    bid = draw(st.none() | st.integers(0, 40).map(lambda n: max(best - n * TICK, TICK)))
    return PaperQuote(draw(st.integers(1, 40_000)) / D(100), NOW + timedelta(seconds=s), bid=bid, bid_qty=draw(st.none() | sizes), asks=asks,
                      volume=draw(st.none() | sizes), first_of_session=draw(st.booleans()),
                      priced_by=draw(st.sampled_from([PricedBy.QUOTE, PricedBy.QUOTE, PricedBy.ALERT])))  # fmt: skip


@st.composite
def orders(draw):
    lot = draw(st.sampled_from([1, 5, 50]))
    return PaperOrderState(draw(st.sampled_from(Side)), draw(st.sampled_from(OrderType)), D(lot * draw(st.integers(1, 20))), TICK, D(lot),
                           price=draw(ticks), trigger_price=draw(ticks), validity=draw(st.sampled_from(Validity)))  # fmt: skip


params_of = st.builds(MatchParams, slippage_bps=st.integers(0, 200).map(D), extra_bps=st.integers(0, 50).map(D), liquidity=st.sampled_from(Liquidity),
                      participation_pct=st.integers(0, 100).map(D), fill_on_touch=st.booleans())  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(orders(), st.tuples(*(quotes(s=s) for s in range(5))), params_of)
def test_it_keeps_the_laws_of_the_book(order, path, params):
    for quote in path:
        steps = match(order, quote, params, quote.at)
        assert steps == match(order, quote, params, quote.at)
        after = advance(order, steps, quote, params, quote.at)
        for fill in (step for step in steps if isinstance(step, FillStep)):
            assert fill.quantity > 0 and fill.quantity % order.lot == 0
            assert fill.price > 0 and fill.price % TICK == 0
            assert (after.limit - fill.price) * order.side.sign >= 0
        assert order.filled <= after.filled <= order.quantity
        assert (after.status == Status.FILLED) == (after.rest == 0)
        assert after.status in TERMINAL or match(after, quote, params, quote.at) == []
        order = after


@settings(max_examples=100, deadline=None)
@given(orders(), quotes(s=0), params_of)
def test_it_takes_no_level_twice(order, quote, params):
    quote = replace(quote, priced_by=PricedBy.QUOTE)
    sizes_of = {level.price.normalize(): level.quantity for level in quote.asks}
    taken = {}
    for _ in range(3):  # each time as if it had just been modified
        steps = match(order, quote, params, quote.at)
        for step in (s for s in steps if isinstance(s, FillStep) and s.level and s.level != "volume"):
            taken[D(step.level).normalize()] = taken.get(D(step.level).normalize(), 0) + step.quantity
        order = replace(advance(order, steps, quote, params, quote.at), met_at=None)
    assert all(quantity <= sizes_of.get(price, quote.bid_qty) for price, quantity in taken.items())
