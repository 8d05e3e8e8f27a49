from decimal import Decimal

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from trading.domain.intents import Defaults, PlanAction, Sizing, plan, sender_drift
from trading.domain.signal import Bracket, Signal
from trading.domain.types import (
    Action,
    BracketKind,
    Effect,
    Intent,
    OrderSide,
    OrderType,
    Product,
    QuantityUnit,
    SizingMethod,
    Validity,
)
from tvapp.lib.money import on_step

D = Decimal
BUY, SELL = Action.BUY, Action.SELL


def dec(value):
    return None if value is None else D(str(value))


def planned(signal, position=0, sellable=None, lot=1, tick="0.05", sizing=None, **defaults):
    return plan(
        signal,
        position=dec(position),
        sellable=dec(sellable),
        lot=dec(lot),
        tick=dec(tick),
        sizing=sizing or Sizing(),
        defaults=Defaults(**{"product": "MIS", **defaults}),
    )


def delta(action, quantity=None, **fields):
    return Signal(action=action, intent=Intent.DELTA, effect=fields.pop("effect", Effect.UNKNOWN), quantity=dec(quantity), **fields)


def target(action, quantity, position, **fields):
    return Signal(
        action=action, intent=Intent.TARGET, effect=Effect.UNKNOWN, quantity=dec(quantity), target_position=dec(position), **fields
    )


def summary(result):
    return (result.action, result.side, result.quantity)


def order(side, quantity):
    return (PlanAction.ORDER, OrderSide(side), dec(quantity))


NOTHING = (PlanAction.NO_ACTION, None, None)


@pytest.mark.parametrize(
    ("signal", "position", "result"),
    [
        (target(BUY, 100, 100), -100, order("BUY", 200)),
        (target(BUY, 100, 100), 100, NOTHING),
        (target(BUY, 100, 200), 100, order("BUY", 100)),
        (target(SELL, 100, -100), 100, order("SELL", 200)),
        (target(BUY, 100, 0), -100, order("BUY", 100)),
        (target(BUY, 100, 0), 0, NOTHING),
        (target(SELL, 100, 0), 0, NOTHING),
        (target(SELL, 50, 50), 100, order("SELL", 50)),
        (target(Action.EXIT, None, 0), 30, order("SELL", 30)),
    ],
)
def test_it_reaches_a_target_from_where_the_strategy_stands(signal, position, result):
    found = planned(signal, position)
    assert summary(found) == result and found.reasons == ()


@pytest.mark.parametrize(
    ("signal", "position", "result", "reduce_only"),
    [
        (delta(BUY, 10), 0, order("BUY", 10), False),
        (delta(BUY, 10), -4, order("BUY", 10), False),
        (delta(SELL, 10), 25, order("SELL", 10), False),
        (delta(Action.EXIT), 25, order("SELL", 25), True),
        (delta(Action.EXIT), -25, order("BUY", 25), True),
        (delta(Action.EXIT), 0, NOTHING, False),
        (delta(Action.EXIT, 10), 25, order("SELL", 10), True),
        (delta(Action.EXIT, 40), 25, order("SELL", 25), True),
        (delta(SELL, 10, effect=Effect.EXIT), 25, order("SELL", 10), True),
        (delta(SELL, 40, effect=Effect.EXIT), 25, order("SELL", 25), True),
        (delta(SELL, 10, effect=Effect.EXIT), -25, NOTHING, False),
        (delta(SELL, 10, effect=Effect.EXIT), 0, NOTHING, False),
        (delta(SELL, effect=Effect.EXIT), 25, order("SELL", 25), True),
        (delta(BUY, 10, effect=Effect.EXIT), -4, order("BUY", 4), True),
        (Signal(action=Action.EXIT, intent=Intent.FLAT), -7, order("BUY", 7), True),
        (Signal(action=SELL, intent=Intent.FLAT, effect=Effect.EXIT), 7, order("SELL", 7), True),
        (Signal(action=SELL, intent=Intent.FLAT, effect=Effect.EXIT), -7, NOTHING, False),
        (Signal(action=SELL, intent=Intent.FLAT, quantity=D(3)), 7, order("SELL", 7), True),
        (Signal(action=Action.CANCEL), 7, (PlanAction.CANCEL, None, None), False),
    ],
)
def test_it_reads_a_change_an_exit_and_a_cancel(signal, position, result, reduce_only):
    found = planned(signal, position)
    assert summary(found) == result and found.reduce_only is reduce_only and found.reasons == ()


def test_it_marks_only_a_shrinking_target_as_reducing():
    assert planned(target(SELL, 50, 50), 100).reduce_only
    assert planned(target(SELL, 100, 0), 100).reduce_only
    assert not planned(target(SELL, 200, -100), 100).reduce_only
    assert not planned(target(BUY, 50, 150), 100).reduce_only


def test_it_says_why_there_is_nothing_to_do():
    assert planned(target(BUY, 100, 100), 100).notes == ("Nothing to do: the position is already 100.",)
    assert planned(delta(BUY, 1, effect=Effect.EXIT), 5).notes == ("Nothing to do: there is no open position that a BUY would close.",)


def test_it_lets_a_target_wait_when_the_action_contradicts_it():
    found = planned(target(SELL, 100, 100), 0)
    assert summary(found) == order("BUY", 100) and found.reasons == ("ACTION_TARGET_MISMATCH",)
    assert found.notes == ("The alert says SELL, but going from 0 to its target 100 takes a BUY.",)


def test_it_lets_an_order_without_a_side_wait():
    found = planned(Signal(intent=Intent.DELTA, quantity=D(1)))
    assert summary(found) == (PlanAction.ORDER, None, None) and found.reasons == ("ACTION_UNKNOWN",)


@pytest.mark.parametrize(
    ("signal", "side", "quantity", "reduce_only"),
    [
        (delta(BUY, 10), "BUY", 10, False),
        (delta(SELL, 10, target_position=D(0)), "SELL", 10, False),
        (delta(SELL, 10, effect=Effect.EXIT), "SELL", 10, True),
        (delta(SELL, effect=Effect.EXIT), "SELL", None, True),
        (Signal(action=BUY, intent=Intent.FLAT, effect=Effect.EXIT), "BUY", None, True),
        (delta(Action.EXIT), "SELL", None, True),
        (delta(Action.EXIT, 50, quantity_unit=QuantityUnit.PCT_POSITION), "SELL", None, True),
        (target(SELL, 10, 0), "SELL", None, False),
    ],
)
def test_it_lets_an_exit_wait_rather_than_drop_it_while_the_position_is_not_known(signal, side, quantity, reduce_only):
    found = planned(signal, None, lot=None, tick=None)
    assert summary(found) == order(side, quantity) and found.reduce_only is reduce_only
    assert found.reasons == (() if quantity else ("QUANTITY_UNKNOWN",))


def test_it_lets_a_signal_without_side_wait_without_a_position_too():
    assert planned(Signal(quantity=D(1)), None).reasons == ("ACTION_UNKNOWN",)


# --- selling what is held ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signal", "position", "sellable", "quantity"),
    [
        (delta(SELL, 30), 0, 25, 25),
        (delta(SELL, 20), 0, 25, 20),
        (delta(SELL, 200), 100, None, 100),
        (delta(SELL, 10), 0, None, 10),
        (delta(SELL, 10), 0, 0, 10),
        (delta(SELL, 10), 10, 0, 10),
        (delta(SELL, 10), 10, 4, 4),
        (delta(SELL, 10), -5, None, 10),
        (delta(SELL, 30, effect=Effect.ENTRY), 0, 25, 30),
        (delta(SELL, 30, effect=Effect.REVERSE), 10, None, 30),
        (delta(SELL, 20, target_position=D(-10)), 10, None, 20),
        (target(SELL, 110, -10), 100, None, 110),
        (target(SELL, 100, 0), 100, 60, 60),
        (delta(BUY, 10), -5, 0, 10),
    ],
)
def test_it_never_turns_a_sell_into_an_accidental_short(signal, position, sellable, quantity):
    assert planned(signal, position, sellable).quantity == quantity


def test_it_says_when_a_sell_was_cut():
    assert planned(delta(SELL, 30), 0, 25).notes == ("SELL 30 cut to 25: more is not held, and the alert does not ask for a short.",)


@settings(max_examples=100)
@given(st.integers(1, 500), st.integers(-300, 300), st.one_of(st.none(), st.integers(0, 300)))
def test_it_keeps_any_plain_sell_within_what_is_held(quantity, position, sellable):
    held = max(position, 0) if sellable is None else sellable
    assume(held > 0)
    assert planned(delta(SELL, quantity), position, sellable).quantity == min(quantity, held)


@settings(max_examples=100)
@given(st.sampled_from([BUY, SELL, Action.EXIT]), st.integers(-300, 300), st.one_of(st.none(), st.integers(1, 500)))
def test_it_never_exits_through_zero(action, position, quantity):
    found = planned(delta(action, quantity, effect=Effect.EXIT), position)
    change = (found.quantity or 0) * (1 if found.side is OrderSide.BUY else -1)
    assert abs(position + change) <= abs(position) and (position + change) * position >= 0


@settings(max_examples=100)
@given(st.integers(-300, 300), st.integers(-300, 300))
def test_it_stands_exactly_at_the_target_afterwards_and_then_rests(position, goal):
    signal = target(None, None, goal)
    found = planned(signal, position)
    change = (found.quantity or 0) * (1 if found.side is OrderSide.BUY else -1)
    assert position + change == goal
    assert summary(planned(signal, goal)) == NOTHING


# --- how much ---------------------------------------------------------------------------------------------------

FIXED, LOTS = Sizing(SizingMethod.FIXED_QTY, D(50)), Sizing("LOTS", D(2))


@pytest.mark.parametrize(
    ("signal", "sizing", "quantity"),
    [
        (delta(BUY, 10), Sizing(), 10),
        (delta(BUY, 10), FIXED, 50),
        (delta(BUY), FIXED, 50),
        (delta(BUY, 10), LOTS, 130),
        (delta(BUY), Sizing("FROM_SIGNAL", D(7)), 7),
        (delta(BUY, 10), Sizing("FROM_SIGNAL", D(7)), 10),
        (delta(BUY, 3, quantity_unit=QuantityUnit.LOTS), Sizing(), 195),
        (target(BUY, 10, 10), FIXED, 50),
        (target(BUY, 10, 10), LOTS, 130),
    ],
)
def test_it_sizes_by_the_signal_or_by_the_strategy(signal, sizing, quantity):
    found = planned(signal, lot=65, sizing=sizing)
    assert (found.quantity, found.reasons) == (quantity, ())


def test_it_keeps_only_the_side_of_a_target_when_the_strategy_sizes():
    assert summary(planned(target(SELL, 10, -10), 50, sizing=FIXED)) == order("SELL", 100)
    assert summary(planned(target(SELL, 10, 0), 50, sizing=FIXED)) == order("SELL", 50)
    assert summary(planned(target(BUY, 10, 10), 50, sizing=FIXED)) == NOTHING


def test_it_closes_everything_when_the_sender_is_flat_and_the_strategy_sizes():
    closing = delta(BUY, 10, effect=Effect.EXIT, target_position=D(0))
    assert summary(planned(closing, -120, sizing=FIXED)) == order("BUY", 120)
    assert summary(planned(closing, -120)) == order("BUY", 10)
    assert summary(planned(delta(BUY, 10, effect=Effect.EXIT), -120, sizing=FIXED)) == order("BUY", 50)


@pytest.mark.parametrize(
    ("signal", "lot", "sizing"),
    [
        (delta(BUY), 1, Sizing()),
        (delta(BUY, 10), 1, Sizing("FIXED_QTY")),
        (delta(BUY, 10), 1, Sizing("LOTS", D(0))),
        (delta(BUY, 10), None, LOTS),
        (delta(BUY, 10, quantity_unit=QuantityUnit.LOTS), None, Sizing()),
        (delta(BUY, 10, quantity_unit=QuantityUnit.QUOTE), 1, Sizing()),
        (delta(BUY, 10, quantity_unit=QuantityUnit.PCT_EQUITY), 1, Sizing()),
        (delta(BUY, 10, quantity_unit=QuantityUnit.RISK_AMOUNT), 1, Sizing()),
        (delta(BUY, 10, quantity_unit=QuantityUnit.RISK_PCT), 1, Sizing()),
        (delta(BUY, 10, quantity_unit=QuantityUnit.PCT_POSITION), 1, Sizing()),
        (delta(BUY, 1, effect=Effect.EXIT, quantity_unit=QuantityUnit.QUOTE), 1, Sizing()),
        (delta(BUY, "0.0005"), "0.001", Sizing()),
        (target(BUY, 1, 1), None, LOTS),
    ],
)
def test_it_waits_when_the_quantity_is_not_known(signal, lot, sizing):
    found = planned(signal, lot=lot, sizing=sizing)
    assert summary(found) == (PlanAction.ORDER, OrderSide.BUY, None)
    assert found.reasons == ("QUANTITY_UNKNOWN",) and len(found.notes) == 1


def test_it_takes_the_side_of_the_target_when_only_the_size_is_missing():
    assert planned(target(None, 1, 1), sizing=Sizing("LOTS")).side is OrderSide.BUY
    assert planned(target(None, 1, -1), sizing=Sizing("LOTS")).side is OrderSide.SELL


@pytest.mark.parametrize(
    ("percent", "position", "quantity"), [(50, 130, 65), (60, 130, 65), (100, 130, 130), (250, -130, 130), (99, 120, 65)]
)
def test_it_exits_a_share_of_the_position_in_whole_lots(percent, position, quantity):
    signal = delta(Action.EXIT, percent, quantity_unit=QuantityUnit.PCT_POSITION)
    assert planned(signal, position, lot=65).quantity == quantity


def test_it_waits_when_a_share_is_less_than_one_lot():
    found = planned(delta(Action.EXIT, 30, quantity_unit=QuantityUnit.PCT_POSITION), 65, lot=65)
    assert found.reasons == ("QUANTITY_UNKNOWN",) and found.notes == ("30 % of 65 is less than one lot.",)
    assert planned(delta(Action.EXIT, 30, quantity_unit=QuantityUnit.PCT_POSITION), 0, lot=65).action is PlanAction.NO_ACTION


def test_it_floors_to_a_fractional_step_and_leaves_whole_lots_to_the_gate():
    found = planned(delta(BUY, "0.0129"), lot="0.001")
    assert (found.quantity, found.notes) == (D("0.012"), ("Quantity 0.0129 moved to the step: 0.012",))
    assert planned(delta(BUY, 100), lot=65).quantity == 100
    assert planned(delta(BUY, "0.012"), lot="0.001").notes == ()


def test_it_says_when_the_sender_expects_another_position_afterwards():
    found = planned(delta(BUY, 10, target_position=D(10)), 5)
    assert (found.quantity, found.reasons) == (10, ())
    assert found.notes == ("After this order the desk holds 15; the sender expects 10.",)
    assert planned(delta(BUY, 10, target_position=D(10)), 0).notes == ()


@pytest.mark.parametrize(
    ("stated", "position", "drift"), [(None, 5, ""), (5, 5, ""), (0, 5, "The sender held 0 before this alert; the desk holds 5.")]
)
def test_it_says_when_the_sender_stood_elsewhere(stated, position, drift):
    assert sender_drift(Signal(prev_position=dec(stated)), D(position)) == drift


# --- at what price ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "kind", "limit", "trigger", "result", "notes"),
    [
        (BUY, OrderType.LIMIT, "320.29", None, ("320.25", None), ("Price 320.29 -> 320.25, the tick is 0.05.",)),
        (SELL, OrderType.LIMIT, "320.29", None, ("320.30", None), ("Price 320.29 -> 320.3, the tick is 0.05.",)),
        (BUY, OrderType.LIMIT, "320.25", None, ("320.25", None), ()),
        (BUY, OrderType.SL_M, None, "320.21", (None, "320.25"), ("Trigger price 320.21 -> 320.25, the tick is 0.05.",)),
        (SELL, OrderType.SL_M, None, "320.29", (None, "320.25"), ("Trigger price 320.29 -> 320.25, the tick is 0.05.",)),
        (BUY, OrderType.SL, "321.00", "320.00", ("321", "320"), ()),
        (BUY, OrderType.MARKET, None, None, (None, None), ()),
    ],
)
def test_it_moves_prices_to_the_tick_and_says_so(action, kind, limit, trigger, result, notes):
    found = planned(delta(action, 1, order_type=kind, limit_price=dec(limit), trigger_price=dec(trigger)))
    assert (found.price, found.trigger_price) == (dec(result[0]), dec(result[1]))
    assert (found.order_type, found.notes, found.reasons) == (kind, notes, ())


@settings(max_examples=100)
@given(
    st.sampled_from([BUY, SELL]),
    st.decimals("0.10", 100000, places=4),
    st.sampled_from(["0.01", "0.05", "0.1", "0.0025"]),
)
def test_it_never_moves_a_price_in_the_harmful_direction(action, price, tick):
    found = planned(delta(action, 1, order_type=OrderType.SL, limit_price=price, trigger_price=price), tick=tick)
    assert on_step(found.price, D(tick)) and on_step(found.trigger_price, D(tick))
    assert abs(found.price - price) < D(tick) and abs(found.trigger_price - price) < D(tick)
    assert found.price <= price <= found.trigger_price if action is BUY else found.trigger_price <= price <= found.price


def test_it_leaves_prices_alone_while_the_tick_is_not_known():
    assert planned(delta(BUY, 1, order_type=OrderType.LIMIT, limit_price=D("320.29")), tick=None).price == D("320.29")


def test_it_waits_when_a_price_is_below_one_tick():
    found = planned(delta(BUY, 1, order_type=OrderType.LIMIT, limit_price=D("0.02")))
    assert (found.price, found.reasons) == (D("0.02"), ("PRICE_OFF_TICK",))


def test_it_waits_when_limit_and_trigger_cross_on_the_tick():
    crossing = delta(BUY, 1, order_type=OrderType.SL, limit_price=D("100.02"), trigger_price=D("100.02"))
    found = planned(crossing)
    assert (found.price, found.trigger_price, found.reasons) == (100, D("100.05"), ("PRICE_OFF_TICK",))
    level = delta(SELL, 1, order_type=OrderType.SL, limit_price=D(100), trigger_price=D(100))
    assert planned(level, 5).reasons == ()


def test_it_uses_the_strategys_type_only_when_the_alert_names_none():
    assert planned(delta(BUY, 1)).order_type == "MARKET"
    assert planned(delta(BUY, 1, ref_price=D(100)), order_type="LIMIT").price == 100
    assert planned(delta(BUY, 1, order_type=OrderType.MARKET, ref_price=D(100)), order_type="LIMIT").order_type == "MARKET"


@pytest.mark.parametrize("order_type", ["LIMIT", "SL_M"])
def test_it_waits_when_the_strategys_type_needs_a_price_nobody_gave(order_type):
    found = planned(delta(BUY, 1), order_type=order_type)
    assert (found.order_type, found.reasons) == (order_type, ("PRICE_UNAVAILABLE",))


def test_it_carries_the_reference_price_and_the_validity():
    found = planned(delta(BUY, 1, ref_price=D(100), validity=Validity.IOC))
    assert (found.ref_price, found.validity) == (100, "IOC")
    assert planned(delta(BUY, 1, order_type=OrderType.LIMIT, limit_price=D(99))).ref_price == 99
    assert planned(delta(BUY, 1)).validity == "DAY"


@pytest.mark.parametrize(
    ("given", "from_signal", "product", "notes"),
    [
        (None, True, "MIS", ()),
        (Product.CNC, True, "CNC", ()),
        (Product.MIS, False, "MIS", ()),
        (Product.CNC, False, "MIS", ("The alert asks for CNC; the strategy always uses MIS.",)),
    ],
)
def test_it_takes_the_product_from_whom_the_strategy_trusts(given, from_signal, product, notes):
    found = planned(delta(BUY, 1, product=given), product_from_signal=from_signal)
    assert (found.product, found.notes) == (product, notes)


# --- stops ------------------------------------------------------------------------------------------------------


def test_it_never_lets_an_order_go_without_its_stop():
    stop, goal = Bracket(BracketKind.PRICE, D(95)), Bracket(BracketKind.PCT, D("1.5"))
    found = planned(delta(BUY, 1, stop_loss=stop, take_profit=goal, ref_price=D(100)))
    assert (found.quantity, found.reasons) == (1, ())
    assert (found.brackets.stop, found.brackets.target) == (stop, goal)
    wrong = planned(delta(BUY, 1, stop_loss=stop, ref_price=D(90)))
    assert wrong.reasons == ("BRACKET_UNSUPPORTED",)
    assert wrong.notes == ("The stop of a BUY must be below its price 90, not at 95. The order waits rather than go without.",)


def test_it_lets_an_exit_go_without_a_stop():
    stop = Bracket(BracketKind.PRICE, D(95))
    assert planned(delta(SELL, 5, effect=Effect.EXIT, stop_loss=stop), 5).reasons == ()


def test_it_lets_a_trailing_order_wait():
    assert planned(delta(BUY, 1, order_type=OrderType.TRAILING)).reasons == ("BRACKET_UNSUPPORTED",)
