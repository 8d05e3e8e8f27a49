from decimal import Decimal as D

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.domain.intents import Defaults, plan
from trading.domain.signal import Bracket, Signal
from trading.domain.sizing import Sizing, size
from trading.domain.types import Action, BracketKind, Effect, Intent, QuantityUnit, SizingMethod

CAPITAL = D(100000)
STOP = Bracket(BracketKind.PRICE, D(490))


def alert(action=Action.BUY, price="500", **fields):
    return Signal(action=action, intent=Intent.DELTA, effect=fields.pop("effect", Effect.UNKNOWN), ref_price=D(price) if price else None, **fields)


def sized(value, unit, signal=None, side="BUY", lot=1, **sizing):
    return size(D(str(value)), QuantityUnit(unit), signal or alert(), side, D(lot) if lot else None, Sizing(**{"capital": CAPITAL, **sizing}))


@pytest.mark.parametrize(
    ("value", "unit", "signal", "side", "lot", "quantity"),
    [
        (25, "UNITS", None, "BUY", 1, 25),
        (2, "LOTS", None, "BUY", 75, 150),
        (20000, "QUOTE", None, "BUY", 1, 40),
        (20000, "QUOTE", None, "BUY", 25, 25),
        (20000, "QUOTE", alert(price="2812.40"), "BUY", 1, 7),
        (10, "PCT_EQUITY", None, "BUY", 1, 20),
        (1, "RISK_PCT", alert(stop_loss=STOP), "BUY", 1, 100),
        (2000, "RISK_AMOUNT", alert(stop_loss=STOP), "BUY", 1, 200),
        (2000, "RISK_AMOUNT", alert(stop_loss=Bracket(BracketKind.PCT, D(2))), "BUY", 1, 200),
        (2000, "RISK_AMOUNT", alert(trail=Bracket(BracketKind.POINTS, D(20))), "SELL", 1, 100),
        (1, "RISK_PCT", alert(stop_loss=STOP), "BUY", 75, 75),
        (10000, "QUOTE", alert(limit_price=D(400)), "BUY", 1, 25),
    ],
)
def test_it_turns_every_unit_into_whole_lots(value, unit, signal, side, lot, quantity):
    assert sized(value, unit, signal, side, lot).quantity == quantity


def test_it_counts_the_value_of_a_contract():
    assert sized(1_000_000, "QUOTE", alert(price="24500"), lot=65, multiplier=D("0.5")).quantity == 65
    assert sized(10, "PCT_EQUITY", alert(price=None), price=D(250)).quantity == 40


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (sized(100, "QUOTE"), "₹100.00 at a price of ₹500.00 is less than one lot of 1."),
        (sized(10, "PCT_EQUITY", capital=None), "the capital is not known"),
        (sized(10, "PCT_EQUITY", alert(price=None)), "there is no price to count with"),
        (sized(1, "RISK_PCT"), "it names no stop"),
        (sized(1, "RISK_PCT", alert(stop_loss=STOP), "SELL"), "wrong side"),
        (sized(5000, "QUOTE", lot=None), "the lot is not known"),
    ],
)
def test_it_says_why_there_is_no_quantity(found, words):
    assert found.quantity is None and words in found.note


def planned(signal, sizing, position=0):
    return plan(signal, position=D(position), sellable=None, lot=D(1), tick=D("0.05"), sizing=sizing, defaults=Defaults("MIS"))


@pytest.mark.parametrize(
    ("method", "value", "quantity"), [("FIXED_QTY", 25, 25), ("LOTS", 3, 3), ("CAPITAL", 20000, 40), ("PCT_CAPITAL", 10, 20), ("RISK", 1, 100)]
)
def test_it_sizes_an_entry_by_the_strategy_whatever_the_alert_says(method, value, quantity):
    found = planned(alert(quantity=D(7), stop_loss=STOP), Sizing(SizingMethod(method), D(value), CAPITAL))
    assert (found.quantity, found.reasons) == (quantity, ())


def test_it_closes_all_of_what_was_sized_by_money():
    leaving = alert(Action.SELL, effect=Effect.EXIT, quantity=D(7))
    assert planned(leaving, Sizing(SizingMethod.CAPITAL, D(20000), CAPITAL), position=40).quantity == 40


def test_it_says_how_money_became_a_quantity():
    found = planned(alert(quantity=D(20000), quantity_unit=QuantityUnit.QUOTE), Sizing())
    assert found.notes == ("₹20,000.00 at a price of ₹500.00 makes 40.",)


@settings(max_examples=80, deadline=None)
@given(amount=st.integers(1, 10**8), price=st.integers(1, 10**5), lot=st.integers(1, 900))
def test_it_never_spends_more_than_was_asked_and_leaves_less_than_a_lot(amount, price, lot):
    quantity = sized(amount, "QUOTE", alert(price=str(price)), lot=lot).quantity or D(0)
    assert quantity * price <= amount < (quantity + lot) * price and quantity % lot == 0
