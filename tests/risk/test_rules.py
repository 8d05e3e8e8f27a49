"""Each rule: it passes, it stands on its boundary, it is violated, its data is missing."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal as D

import pytest

from risk.types import OrdersFacts, PositionFacts, Quote
from tests.risk.cases import FLAT, INFY, NIFTY, NOW, READY, desk, found, judge, long, order, quoted, rows, seconds

BUY = order("BUY", 10, 100)
EXIT = order("SELL", 10, 100)
HELD = {"position": long(10)}
STOCK_FUTURE = {"exchange": "NFO", "symbol": "NIFTY26MARFUT", "quantity": D(75)}


def verdict(rule, intent, *limits, **facts):
    """(what the rule said, its code); every rule is asked."""
    finding = found(judge(intent, *limits, advisory=True, **facts), rule)
    return finding.verdict, finding.code


# --- trading state, account, switches --------------------------------------------------------------------------------


def test_it_passes_while_the_desk_is_active():
    assert verdict("trading_state", BUY)[0] == "PASS"
    assert verdict("reducing_state", BUY)[0] == "PASS"


def test_it_holds_entries_and_exits_while_halted():
    halted = replace(READY, state="HALTED", reason="kill switch")
    assert verdict("trading_state", BUY, states=halted) == ("DEFER", "STATE_HALTED")
    decision = judge(EXIT, states=halted, **HELD)
    assert (decision.verdict, decision.code, decision.final) == ("DEFER", "STATE_HALTED", 0)
    assert decision.sentence == "On hold: trading is HALTED, kill switch (GLOBAL)"


def test_it_lets_a_square_off_through_while_halted():
    intent = order("SELL", 10, 100, mode="SQUARE_OFF", reduce_only=True)
    decision = judge(intent, states=replace(READY, state="HALTED"), **HELD)
    assert (decision.verdict, found(decision, "trading_state").verdict) == ("ALLOW", "EXEMPT")


def test_it_takes_square_off_at_its_word_only_when_it_cannot_open():
    intent = order("SELL", 10, 100, mode="SQUARE_OFF")
    assert verdict("trading_state", intent, states=replace(READY, state="HALTED"), **HELD)[0] == "DEFER"


@pytest.mark.parametrize("states", [None, replace(READY, state=None), replace(READY, state="RESTING")])
def test_it_refuses_when_the_trading_state_is_not_known(states):
    assert verdict("trading_state", BUY, states=states) == ("REJECT", "STATE_HALTED")
    assert judge(BUY, states=states).sentence == "Rejected: the trading state is not known"


def test_it_stops_entries_and_flips_while_reducing_but_no_exit():
    reducing = replace(READY, state="REDUCING", reason="daily loss")
    assert verdict("reducing_state", BUY, states=reducing) == ("REJECT", "STATE_REDUCING")
    assert verdict("reducing_state", order("SELL", 11, 100), states=reducing, **HELD)[0] == "REJECT"
    assert verdict("reducing_state", EXIT, states=reducing, **HELD)[0] == "EXEMPT"
    assert judge(BUY, states=reducing).sentence == "Rejected: trading is REDUCING, daily loss (GLOBAL), only exits pass"


@pytest.mark.parametrize("intent", [BUY, EXIT])
@pytest.mark.parametrize(
    ("state", "code"),
    [("RECOVERING", "ACCOUNT_RECOVERING"), ("DISCONNECTED", "ACCOUNT_DISCONNECTED"), (None, "ACCOUNT_DISCONNECTED")],
)
def test_it_holds_everything_until_the_account_is_ready(intent, state, code):
    states = replace(READY, account_state=state)
    assert verdict("account_gate", intent, states=states, **HELD) == ("DEFER", code)


def test_it_passes_an_account_that_is_ready_and_on():
    assert verdict("account_gate", BUY)[0] == "PASS"
    assert verdict("account_enabled", BUY)[0] == "PASS"
    assert verdict("strategy_enabled", BUY)[0] == "PASS"


@pytest.mark.parametrize("on", [False, None])
def test_it_refuses_what_is_switched_off_but_lets_the_strategy_exit(on):
    assert verdict("account_enabled", EXIT, states=replace(READY, account_enabled=on), **HELD) == ("REJECT", "ACCOUNT_DISABLED")
    states = replace(READY, strategy_enabled=on)
    assert verdict("strategy_enabled", BUY, states=states) == ("REJECT", "STRATEGY_DISABLED")
    assert verdict("strategy_enabled", EXIT, states=states, **HELD)[0] == "EXEMPT"


def test_it_says_which_strategy_is_off_and_when_that_is_not_known():
    off, unknown = replace(READY, strategy_enabled=False), replace(READY, strategy_enabled=None)
    assert judge(BUY, states=off).sentence == "Rejected: STRATEGY breakout is switched off"
    assert judge(BUY, states=unknown).sentence == "Rejected: it is not known whether STRATEGY breakout is switched on"


@pytest.mark.parametrize("states", [None, replace(READY, live_allowed=False), replace(READY, live_allowed=None)])
def test_it_needs_the_environments_yes_for_every_live_order(states):
    assert verdict("live_allowed", BUY, states=states) == ("REJECT", "LIVE_NOT_ALLOWED")
    assert verdict("live_allowed", EXIT, states=states, **HELD) == ("REJECT", "LIVE_NOT_ALLOWED")


@pytest.mark.parametrize("armed", [False, None])
def test_it_needs_an_arm_for_live_entries_but_not_for_exits(armed):
    states = replace(READY, armed=armed)
    assert verdict("live_armed", BUY, states=states) == ("REJECT", "LIVE_NOT_ARMED")
    assert verdict("live_armed", EXIT, states=states, **HELD)[0] == "EXEMPT"


@pytest.mark.parametrize(("environment", "expected"), [("PAPER", "SKIP"), ("SIM", "SKIP"), ("LIVE", "REJECT"), ("", "REJECT")])
def test_it_asks_for_live_permission_wherever_money_could_be_real(environment, expected):
    facts = desk(environment, states=replace(READY, live_allowed=False, armed=False))
    assert verdict("live_allowed", BUY, on=facts)[0] == expected
    assert verdict("live_armed", BUY, on=facts)[0] == expected


def test_it_passes_a_live_entry_with_both_permissions():
    assert verdict("live_allowed", BUY)[0] == verdict("live_armed", BUY)[0] == "PASS"


def test_it_keeps_entries_back_until_a_refusal_was_acknowledged():
    refused = replace(READY, refusal="INSUFFICIENT_FUNDS")
    assert verdict("broker_refusal", BUY) == ("PASS", "REFUSAL_OPEN")
    assert verdict("broker_refusal", BUY, states=refused) == ("DEFER", "REFUSAL_OPEN")
    assert verdict("broker_refusal", order("SELL", 11, 100), states=refused, **HELD)[0] == "DEFER"
    assert verdict("broker_refusal", EXIT, states=refused, **HELD)[0] == "EXEMPT"
    assert judge(BUY, states=refused).sentence == "On hold: the broker refused an order of this strategy before (INSUFFICIENT_FUNDS)"
    assert judge(BUY, states=None).code == "STATE_HALTED"


# --- instrument ------------------------------------------------------------------------------------------------------


def test_it_passes_the_one_instrument():
    assert verdict("instrument", BUY)[0] == "PASS"


@pytest.mark.parametrize("reason", ["INSTRUMENT_UNKNOWN", "INSTRUMENT_AMBIGUOUS", "INSTRUMENT_EXPIRED", "INSTRUMENT_NOT_TRADABLE"])
@pytest.mark.parametrize("intent", [BUY, EXIT])
def test_it_refuses_an_unresolved_instrument_with_the_resolvers_reason(reason, intent):
    facts = replace(INFY, resolved=False, reason=reason)
    assert verdict("instrument", intent, instrument=facts, **HELD) == ("REJECT", reason)


@pytest.mark.parametrize("reason", ["INSTRUMENT_STALE", "INSTRUMENT_META_MISSING"])
def test_it_holds_what_the_next_import_can_mend(reason):
    facts = replace(INFY, resolved=False, reason=reason)
    assert verdict("instrument", BUY, instrument=facts) == ("DEFER", reason)
    assert verdict("instrument", BUY, on=desk("PAPER"), instrument=replace(INFY, reason=reason)) == ("WARN", reason)


@pytest.mark.parametrize("facts", [None, replace(INFY, resolved=False), replace(INFY, resolved=False, reason="odd")])
def test_it_refuses_an_instrument_nobody_knows(facts):
    assert verdict("instrument", BUY, instrument=facts) == ("REJECT", "INSTRUMENT_UNKNOWN")


def test_it_trades_a_contract_on_its_last_day_and_not_after():
    on_last_day, past = replace(NIFTY, expiry=date(2026, 3, 2)), replace(NIFTY, expiry=date(2026, 3, 1))
    assert verdict("instrument", BUY, instrument=on_last_day)[0] == "PASS"
    assert verdict("instrument", BUY, instrument=past) == ("REJECT", "INSTRUMENT_EXPIRED")


def test_it_counts_the_last_day_in_indian_time():
    late = NOW.replace(hour=18, minute=30)  # 00:00 IST of 3 March
    facts = desk(now=late, instrument=replace(NIFTY, expiry=date(2026, 3, 2)))
    assert verdict("instrument", BUY, on=facts) == ("REJECT", "INSTRUMENT_EXPIRED")


def test_it_never_trades_an_index_itself():
    assert verdict("instrument", BUY, instrument=replace(INFY, kind="IDX")) == ("REJECT", "INSTRUMENT_NOT_TRADABLE")


@pytest.mark.parametrize(
    ("environment", "change", "expected"),
    [
        ("PAPER", {}, "WARN"),
        ("LIVE", {}, "REJECT"),
        ("SIM", {}, "REJECT"),
        ("PAPER", {"kind": "FUT"}, "REJECT"),
        ("PAPER", {"exchange": "NASDAQ"}, "REJECT"),
    ],
)
def test_it_takes_a_provisional_share_on_paper_only(environment, change, expected):
    facts = desk(environment, instrument=replace(INFY, provisional=True, **change))
    assert verdict("instrument", BUY, on=facts) == (expected, "INSTRUMENT_UNKNOWN")


@pytest.mark.parametrize("change", [{"tick": None}, {"lot": None}, {"lot": D(0)}, {"tick": D("NaN")}])
def test_it_holds_a_live_order_without_tick_or_lot_and_assumes_them_on_paper(change):
    facts = replace(INFY, **change)
    assert verdict("instrument_data", BUY, instrument=facts) == ("DEFER", "INSTRUMENT_META_MISSING")
    assert verdict("instrument_data", EXIT, instrument=facts, **HELD)[0] == "DEFER"
    assert verdict("instrument_data", BUY, on=desk("PAPER", instrument=facts))[0] == "WARN"
    assert judge(BUY, on=desk("PAPER", instrument=facts)).verdict == "ALLOW"


def test_it_says_what_the_instrument_lacks():
    decision = judge(BUY, instrument=replace(INFY, tick=None, lot=None))
    assert decision.sentence == "On hold: NSE:INFY has no tick and no lot"
    assert judge(BUY, instrument=None, advisory=True).verdict == "REJECT"


def test_it_wants_the_freeze_quantity_of_derivatives_only():
    intent = replace(BUY, **STOCK_FUTURE)
    assert verdict("instrument_data", intent, instrument=replace(NIFTY, freeze=None))[0] == "DEFER"
    assert verdict("instrument_data", BUY, instrument=replace(INFY, freeze=None))[0] == "PASS"


@pytest.mark.parametrize(("age", "expected"), [(timedelta(hours=36), "PASS"), (timedelta(hours=36, seconds=1), "DEFER"), (None, "DEFER")])
def test_it_wants_an_instrument_list_of_the_last_36_hours(age, expected):
    facts = replace(INFY, as_of=None if age is None else NOW - age)
    assert verdict("instrument_data", BUY, instrument=facts)[0] == expected


@pytest.mark.parametrize(("age", "expected"), [(timedelta(hours=9), "PASS"), (timedelta(hours=10), "DEFER")])
def test_it_wants_derivatives_of_the_same_trading_day(age, expected):
    assert verdict("instrument_data", BUY, instrument=replace(NIFTY, as_of=NOW - age))[0] == expected


# --- order, tick, price ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"order_type": "MARKET", "price": None},
        {"order_type": "SL", "trigger_price": D(100)},
        {"order_type": "SL", "trigger_price": D(99), "side": "BUY"},
        {"order_type": "SL", "trigger_price": D(101), "side": "SELL"},
        {"order_type": "SL-M", "price": None, "trigger_price": D(100)},
        {"order_type": "SL_M", "price": None, "trigger_price": D(100)},
    ],
)
def test_it_passes_every_order_that_makes_sense(change):
    assert verdict("order_form", replace(BUY, **change))[0] == "PASS"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"side": "HOLD"}, "side 'HOLD'"),
        ({"order_type": "ICEBERG"}, "order type 'ICEBERG'"),
        ({"product": ""}, "product ''"),
        ({"quantity": D(0)}, "quantity 0"),
        ({"quantity": D(-1)}, "quantity -1"),
        ({"quantity": D("Infinity")}, "quantity Infinity"),
        ({"price": D(0)}, "price 0"),
        ({"price": None}, "LIMIT order needs a price"),
        ({"order_type": "SL"}, "SL order needs a trigger price"),
        ({"order_type": "SL", "price": None, "trigger_price": D(1)}, "SL order needs a price"),
        ({"order_type": "SL-M", "price": None}, "SL-M order needs a trigger price"),
        ({"order_type": "SL", "trigger_price": D(101)}, "price 100 of a BUY SL is below its trigger price 101"),
        ({"order_type": "SL", "side": "SELL", "trigger_price": D(99)}, "price 100 of a SELL SL is above its trigger price 99"),
    ],
)
def test_it_refuses_an_order_that_makes_no_sense_and_says_why(change, words):
    decision = judge(replace(BUY, **change))
    assert (decision.verdict, decision.code, decision.final) == ("REJECT", "ORDER_INVALID", 0)
    assert words in decision.sentence


@pytest.mark.parametrize(("price", "expected"), [("100.05", "PASS"), ("100.00", "PASS"), ("100.01", "REJECT"), ("0.05", "PASS")])
def test_it_takes_prices_on_the_tick_only(price, expected):
    assert verdict("price_tick", order("BUY", 10, price)) == (expected, "PRICE_OFF_TICK")
    assert verdict("price_tick", order("SELL", 10, price), **HELD)[0] == expected


def test_it_wants_the_trigger_price_on_the_tick_too():
    intent = order("BUY", 10, 100, order_type="SL", trigger_price=D("99.99"))
    decision = judge(intent)
    assert (decision.code, decision.sentence) == ("PRICE_OFF_TICK", "Rejected: 99.99 is not a multiple of the tick 0.05")


def test_it_does_not_judge_a_tick_without_price_or_tick():
    assert verdict("price_tick", order("BUY", 10))[0] == "SKIP"
    assert verdict("price_tick", BUY, instrument=None)[0] == "SKIP"
    assert verdict("price_tick", order("BUY", 10, "100.01"), on=desk("PAPER"), instrument=replace(INFY, tick=None))[0] == "REJECT"


@pytest.mark.parametrize(
    ("quote", "source", "price"),
    [
        (quoted(200, age=10), "QUOTE", "200"),
        (quoted(200, age=10.5), "ALERT", "100"),
        (quoted(200, age=-31), "ALERT", "100"),
        (quoted(200, age=60, source="MARK"), "MARK", "200"),
        (quoted(200, age=61, source="MARK"), "ALERT", "100"),
        (quoted(200, source="ALERT"), "ALERT", "100"),
        (quoted(0), "ALERT", "100"),
        (Quote(ltp=None, as_of=NOW), "ALERT", "100"),
        (replace(quoted(200), as_of=None), "ALERT", "100"),
        (None, "ALERT", "100"),
    ],
)
def test_it_takes_the_first_usable_price(quote, source, price):
    finding = found(judge(order("BUY", 10), quote=quote), "reference_price")
    assert (finding.verdict, finding.scope, finding.actual) == ("PASS", source, price)


def test_it_refuses_entries_it_cannot_value():
    blind = {"ref_price": None}
    assert verdict("reference_price", order("BUY", 10, **blind)) == ("REJECT", "PRICE_UNAVAILABLE")
    assert verdict("reference_price", order("SELL", 10, 100, **blind)) == ("REJECT", "PRICE_UNAVAILABLE")
    assert verdict("max_order_value", order("BUY", 10, **blind), rows(max_order_value=1)) == ("REJECT", "PRICE_UNAVAILABLE")


def test_it_values_a_buy_limit_by_its_limit_alone():
    assert verdict("reference_price", order("BUY", 10, 100, ref_price=None))[0] == "PASS"


def test_it_lets_exits_go_without_a_price():
    assert verdict("reference_price", order("SELL", 10, 100, ref_price=None), **HELD)[0] == "EXEMPT"
    market = judge(order("SELL", 10, ref_price=None), **HELD)
    assert market.verdict == "ALLOW"
    assert "price protection" in market.sentence


# --- lists -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entries", "listed"),
    [
        (["NSE:INFY"], True),
        (["nse:infy "], True),
        (["INFY"], True),
        ("NSE:SBIN, NSE:INFY", True),
        (["BSE:INFY"], False),
        (["NSE:INFYS"], False),
    ],
)
def test_it_reads_the_lists_by_exchange_and_symbol(entries, listed):
    deny, allow = rows(symbol_deny_list=entries), rows(symbol_allow_list=entries)
    assert verdict("symbol_deny_list", BUY, deny) == ("REJECT" if listed else "PASS", "SYMBOL_DENIED")
    assert verdict("symbol_allow_list", BUY, allow) == ("PASS" if listed else "REJECT", "SYMBOL_NOT_ALLOWED")


def test_it_takes_an_empty_list_as_no_list():
    limits = rows(symbol_deny_list=[], symbol_allow_list=[])
    assert verdict("symbol_deny_list", BUY, limits)[0] == "SKIP"
    assert verdict("symbol_allow_list", BUY, limits)[0] == "SKIP"


def test_it_lets_denied_symbols_be_closed():
    limits = rows(symbol_deny_list=["INFY"], symbol_allow_list=["SBIN"])
    assert judge(EXIT, limits, **HELD).verdict == "ALLOW"
    assert verdict("symbol_deny_list", EXIT, limits, **HELD)[0] == "EXEMPT"


def test_it_wants_the_symbol_on_every_allow_list_and_on_no_deny_list():
    both = rows(symbol_allow_list=["INFY"]), rows(scope="STRATEGY", symbol_allow_list=["SBIN"])
    assert judge(BUY, *both).sentence == "Rejected: NSE:INFY is not on symbol_allow_list (STRATEGY)"
    mixed = rows(symbol_allow_list=["INFY"], symbol_deny_list=["INFY"])
    assert judge(BUY, mixed).code == "SYMBOL_DENIED"


def test_it_stops_entries_at_a_list_it_cannot_read():
    decision = judge(BUY, rows(symbol_deny_list=7))
    assert (decision.verdict, decision.code) == ("REJECT", "SYMBOL_DENIED")
    assert decision.sentence == "Rejected: symbol_deny_list=7 (GLOBAL) cannot be read as a limit"


def test_it_knows_symbols_that_already_name_their_exchange():
    assert verdict("symbol_deny_list", order("BUY", 10, 100, symbol="NSE:INFY"), rows(symbol_deny_list=["NSE:INFY"]))[0] == "REJECT"


# --- signal ----------------------------------------------------------------------------------------------------------


def aged(age, mode="AUTO", **given):
    return order("BUY", 10, 100, mode=mode, received_at=NOW - seconds(0), fired_at=NOW - seconds(age), **given)


@pytest.mark.parametrize(
    ("mode", "age", "expected"),
    [
        ("AUTO", 59, "PASS"),
        ("AUTO", 60, "PASS"),
        ("AUTO", 60.2, "REJECT"),
        ("MANUAL", 899, "PASS"),
        ("MANUAL", 900, "WARN"),
        ("MANUAL", 21599, "WARN"),
        ("MANUAL", 21600, "REJECT"),
    ],
)
def test_it_judges_the_age_of_the_alert_by_mode(mode, age, expected):
    assert verdict("max_signal_age", aged(age, mode)) == (expected, "SIGNAL_TOO_OLD")


def test_it_counts_from_the_receipt_when_the_alert_has_no_time():
    intent = replace(aged(0), fired_at=None, received_at=NOW - seconds(150))
    assert judge(intent).sentence == "Rejected: the alert is 2 min 30 s old, the limit is 60 s (GLOBAL)"


def test_it_takes_the_shortest_age_of_all_rows():
    limits = rows(max_signal_age=300), rows(scope="STRATEGY", target="breakout", max_signal_age="90")
    assert judge(aged(90), *limits).verdict == "ALLOW"
    assert judge(aged(91), *limits).sentence.endswith("old, the limit is 90 s (STRATEGY breakout)")


def test_it_refuses_when_the_age_limit_cannot_be_read():
    decision = judge(aged(1), rows(max_signal_age="soon"))
    assert (decision.verdict, decision.code) == ("REJECT", "SIGNAL_TOO_OLD")


def test_it_stops_old_exits_too():
    decision = judge(replace(EXIT, fired_at=NOW - seconds(61)), **HELD)
    assert (decision.code, decision.order_class) == ("SIGNAL_TOO_OLD", "EXIT")


@pytest.mark.parametrize(("ahead", "expected"), [(0, "PASS"), (30, "PASS"), (30.5, "REJECT")])
def test_it_refuses_alerts_from_the_future(ahead, expected):
    assert verdict("signal_clock", aged(-ahead)) == (expected, "SIGNAL_IN_FUTURE")
    assert verdict("signal_clock", replace(aged(0), fired_at=None, received_at=NOW + seconds(ahead)))[0] == expected


# --- direction -------------------------------------------------------------------------------------------------------


def test_it_cuts_an_exit_to_what_is_open_in_every_mode():
    decision = judge(order("SELL", 50, 100, reduce_only=True), rows("REJECT"), position=long(120, closing=100))
    assert (decision.verdict, decision.final, decision.code, decision.order_class) == ("CLAMP", 20, "EXIT_REDUCED", "EXIT")
    assert decision.sentence == "Quantity clamped from 50 to 20: only 20 can still be closed"


@pytest.mark.parametrize("position", [FLAT, long(10, closing=10), long(10, closing=25), long(-10)])
def test_it_refuses_an_exit_with_nothing_to_close(position):
    decision = judge(order("SELL", 10, 100, reduce_only=True), position=position)
    assert (decision.verdict, decision.code, decision.final) == ("REJECT", "EXIT_NOTHING_OPEN", 0)


def test_it_leaves_an_exit_alone_that_fits():
    assert verdict("reduce_only", order("SELL", 10, 100, reduce_only=True), **HELD)[0] == "PASS"
    assert verdict("reduce_only", order("BUY", 10, 100, reduce_only=True), position=long(-10))[0] == "PASS"


def test_it_refuses_an_exit_whose_position_is_not_known():
    decision = judge(order("SELL", 10, 100, reduce_only=True), position=None)
    assert (decision.verdict, decision.code) == ("REJECT", "POSITION_UNKNOWN")


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ([], "REJECT"),
        ([rows()], "REJECT"),
        ([rows(allow_short_selling=True)], "PASS"),
        ([rows(allow_short_selling="true")], "PASS"),
        ([rows(allow_short_selling="maybe")], "REJECT"),
        ([rows(allow_short_selling=True), rows(scope="STRATEGY", allow_short_selling=None)], "PASS"),
    ],
)
def test_it_needs_a_yes_to_go_short(limits, expected):
    assert verdict("allow_short_selling", order("SELL", 10, 100), *limits) == (expected, "SHORT_NOT_ALLOWED")


def test_it_needs_every_yes_to_go_short():
    limits = rows(allow_short_selling=True), rows(scope="ACCOUNT", target="paper", allow_short_selling=False)
    decision = judge(order("SELL", 10, 100), *limits)
    assert decision.sentence == "Rejected: short selling is disabled (ACCOUNT paper), 10 would be short"


@pytest.mark.parametrize(("quantity", "final"), [(10, 10), (11, 10)])
def test_it_lets_a_long_be_sold_to_the_last_share(quantity, final):
    decision = judge(order("SELL", quantity, 100), rows("CLAMP"), **HELD)
    assert decision.final == final


def test_it_lets_a_short_grow_only_with_permission():
    assert judge(order("SELL", 5, 100), position=long(-10)).code == "SHORT_NOT_ALLOWED"
    assert judge(order("SELL", 5, 100), rows(allow_short_selling=True), position=long(-10)).verdict == "ALLOW"
    assert judge(order("BUY", 10, 100), position=long(-10)).order_class == "EXIT"


def test_it_does_not_ask_about_shorts_when_buying():
    assert verdict("allow_short_selling", BUY)[0] == "PASS"
    assert verdict("short_product", replace(BUY, product="CNC"))[0] == "PASS"


def test_it_sells_delivery_shares_from_what_is_sellable():
    held = PositionFacts(net=D(-5), sellable=D(25), as_of=NOW)
    assert judge(order("SELL", 25, 100, product="CNC"), position=held).order_class == "EXIT"
    assert judge(order("SELL", 26, 100, product="CNC"), rows(allow_short_selling=True), position=held).code == "SHORT_PRODUCT"


@pytest.mark.parametrize("mode", ["CLAMP", "REJECT"])
def test_it_takes_the_clamp_mode_of_short_rules_from_the_strategy_first(mode):
    other = "REJECT" if mode == "CLAMP" else "CLAMP"
    limits = rows(other), rows(mode, "STRATEGY", "breakout")
    assert judge(order("SELL", 11, 100), *limits, **HELD).verdict == mode


def test_it_cuts_a_short_only_when_every_strategy_row_says_so():
    limits = rows("CLAMP", "STRATEGY", "breakout"), rows("REJECT", "STRATEGY")
    assert judge(order("SELL", 11, 100), *limits, **HELD).verdict == "REJECT"


@pytest.mark.parametrize("position", [None, PositionFacts(D("NaN"), as_of=NOW)])
def test_it_refuses_when_the_position_is_not_known(position):
    assert verdict("position_known", BUY, position=position) == ("REJECT", "POSITION_UNKNOWN")
    assert judge(BUY, position=position).sentence == "Rejected: the position in this symbol is not known"
    assert judge(EXIT, position=position).code == "POSITION_UNKNOWN"


@pytest.mark.parametrize(("age", "expected"), [(60, "PASS"), (61, "REJECT"), (None, "REJECT")])
def test_it_opens_nothing_on_a_stale_position(age, expected):
    old = replace(long(10), as_of=None if age is None else NOW - seconds(age))
    assert verdict("position_known", BUY, position=old)[0] == expected
    assert verdict("position_known", EXIT, position=old)[0] == ("PASS" if age == 60 else "WARN")
    assert verdict("position_known", BUY, on=desk("PAPER"), position=old)[0] == "PASS"


def test_it_says_how_old_the_position_is():
    assert judge(BUY, position=replace(FLAT, as_of=NOW - seconds(75))).sentence == (
        "Rejected: the position was last read 75 s ago, the limit is 60 s"
    )
    assert judge(BUY, position=replace(FLAT, as_of=None)).sentence == "Rejected: it is not known when the position was last read"


@pytest.mark.parametrize(("orders", "expected"), [(OrdersFacts(0, NOW), "PASS"), (OrdersFacts(1, NOW), "REJECT"), (None, "REJECT")])
def test_it_opens_nothing_beside_an_unresolved_order(orders, expected):
    assert verdict("order_unresolved", BUY, orders=orders) == (expected, "ORDER_UNRESOLVED")
    assert verdict("order_unresolved", EXIT, orders=orders, **HELD)[0] == ("PASS" if expected == "PASS" else "EXEMPT")


# --- size ------------------------------------------------------------------------------------------------------------

FUTURE = {"instrument": NIFTY}


@pytest.mark.parametrize(("quantity", "expected"), [(75, "PASS"), (150, "PASS"), (76, "REJECT"), ("0.5", "REJECT")])
def test_it_takes_whole_lots_only(quantity, expected):
    assert verdict("quantity_lot", order("BUY", quantity, 100), **FUTURE) == (expected, "QTY_LOT")


def test_it_cuts_to_whole_lots_or_says_which_lot():
    assert judge(order("BUY", 100, 100), rows("CLAMP"), **FUTURE).sentence == "Quantity clamped from 100 to 75: the lot is 75"
    assert judge(order("BUY", 100, 100), **FUTURE).sentence == "Rejected: the lot is 75, quantity 100 is not a multiple of it"


def test_it_closes_an_odd_lot_whole_but_not_in_part():
    odd = {"position": long(100), **FUTURE}
    assert judge(order("SELL", 100, 100), **odd).verdict == "ALLOW"
    assert judge(order("SELL", 80, 100), **odd).code == "QTY_LOT"
    assert judge(order("SELL", 80, 100), rows("CLAMP"), **odd).final == 75
    assert judge(order("SELL", 60, 100), rows("CLAMP"), **odd).verdict == "REJECT"


def test_it_does_not_know_a_lot_without_an_instrument():
    assert verdict("quantity_lot", BUY, instrument=None)[0] == "SKIP"


@pytest.mark.parametrize(("quantity", "expected"), [("0.002", "PASS"), ("0.001", "PASS"), ("0.0009", "REJECT")])
def test_it_wants_the_least_quantity(quantity, expected):
    coin = replace(INFY, lot=D("0.0001"), min_quantity=D("0.001"))
    for mode in ("REJECT", "CLAMP"):  # a quantity is never rounded up
        assert verdict("quantity_min", order("BUY", quantity, 100), rows(mode), instrument=coin) == (expected, "QTY_MIN")


@pytest.mark.parametrize(("quantity", "expected"), [(5, "PASS"), (4, "REJECT")])
def test_it_wants_the_least_value(quantity, expected):
    coin = replace(INFY, min_notional=D(500))
    decision = judge(order("BUY", quantity, 100), instrument=coin)
    assert found(decision, "quantity_min").verdict == expected
    if expected == "REJECT":
        assert decision.sentence == "Rejected: the smallest order is 500, this one has 400.00"


def test_it_never_cuts_below_the_least_order():
    coin = replace(INFY, min_quantity=D(20))
    decision = judge(order("BUY", 50, 100), rows("CLAMP", max_quantity_per_order=10), instrument=coin)
    assert (decision.verdict, decision.code) == ("REJECT", "QTY_MAX")
    assert decision.sentence.endswith("cannot be clamped to one lot")


def test_it_closes_less_than_the_least_order_when_that_is_all():
    coin = replace(INFY, min_quantity=D(20), min_notional=D(5000))
    assert judge(EXIT, instrument=coin, **HELD).verdict == "ALLOW"
    assert judge(order("SELL", 20, ref_price=None), instrument=coin, position=long(50)).verdict == "ALLOW"


@pytest.mark.parametrize(("quantity", "expected"), [(49, "PASS"), (50, "PASS"), (51, "REJECT")])
def test_it_limits_the_quantity_of_an_order(quantity, expected):
    limit = rows(max_quantity_per_order="50")
    assert verdict("max_quantity_per_order", order("BUY", quantity, 100), limit) == (expected, "QTY_MAX")
    assert verdict("max_quantity_per_order", order("SELL", quantity, 100), limit, position=long(60))[0] == "EXEMPT"


@pytest.mark.parametrize(("price", "expected"), [("99.95", "PASS"), ("100", "PASS"), ("100.05", "REJECT")])
def test_it_limits_the_value_of_an_order(price, expected):
    assert verdict("max_order_value", order("BUY", 10, price), rows(max_order_value=1000)) == (expected, "VALUE_MAX")


@pytest.mark.parametrize("value", [None, ""])
def test_it_takes_an_empty_limit_as_no_limit(value):
    limits = rows(max_quantity_per_order=value, max_order_value=value)
    assert verdict("max_quantity_per_order", BUY, limits)[0] == "SKIP"
    assert verdict("max_order_value", BUY)[0] == "SKIP"


@pytest.mark.parametrize("value", ["many", True, [1], "NaN", D("Infinity"), D("1E+40")])
def test_it_stops_entries_at_a_limit_it_cannot_read(value):
    decision = judge(BUY, rows("CLAMP", max_quantity_per_order=value))
    assert (decision.verdict, decision.code, decision.final) == ("REJECT", "QTY_MAX", 0)
    assert decision.sentence.endswith("(GLOBAL) cannot be read as a limit")
    assert judge(EXIT, rows(max_quantity_per_order=value), **HELD).verdict == "ALLOW"


@pytest.mark.parametrize("value", [0, -5])
def test_it_lets_nothing_through_a_limit_of_nothing(value):
    assert judge(BUY, rows("CLAMP", max_quantity_per_order=value)).verdict == "REJECT"


def test_it_judges_only_the_opening_part_of_a_flip():
    limits = rows("CLAMP", allow_short_selling=True, max_quantity_per_order=30)
    exact = judge(order("SELL", 50, 100), limits, position=long(20))
    assert (exact.verdict, exact.final, exact.order_class) == ("ALLOW", 50, "FLIP")
    assert judge(order("SELL", 70, 100), limits, position=long(20)).final == 50


def test_it_keeps_the_close_when_a_flip_may_open_nothing():
    decision = judge(order("SELL", 50, 100), rows("CLAMP", max_order_value=50, allow_short_selling=True), position=long(20))
    assert (decision.verdict, decision.final, decision.code) == ("CLAMP", 20, "VALUE_MAX")


def test_it_puts_an_odd_flip_on_the_lot():
    limits = rows("CLAMP", allow_short_selling=True, max_quantity_per_order=150)
    decision = judge(order("SELL", 225, 100), limits, position=long(50), **FUTURE)
    assert (decision.verdict, decision.final) == ("CLAMP", 150)


@pytest.mark.parametrize("limit", [10, 0, -20])
def test_it_closes_an_odd_lot_whole_when_a_flip_has_no_room_for_a_lot(limit):
    limits = rows("CLAMP", allow_short_selling=True, max_quantity_per_order=limit)
    decision = judge(order("SELL", 225, 100), limits, position=long(100), **FUTURE)
    assert (decision.verdict, decision.final) == ("CLAMP", 100)


@pytest.mark.parametrize(
    ("intent", "value"),
    [
        (order("BUY", 1, 90), "90"),
        (order("SELL", 1, 90), "200"),
        (order("SELL", 1, 210), "210"),
        (order("BUY", 1), "202"),
        (order("BUY", 1, 100, order_type="SL", trigger_price=D(99)), "101"),
        (order("BUY", 1, order_type="SL-M", trigger_price=D(300)), "303"),
    ],
)
def test_it_values_one_unit_at_its_worst(intent, value):
    decision = judge(intent, rows(allow_short_selling=True, max_order_value=1000), quote=quoted(200))
    assert found(decision, "max_order_value").actual == value


@pytest.mark.parametrize(("buffer", "value"), [("5", "210"), (0, "200"), ("x", "202"), (-3, "202"), (None, "202")])
def test_it_takes_the_market_buffer_from_the_global_row(buffer, value):
    limits = rows(max_order_value=1000, market_buffer_pct=buffer), rows(scope="STRATEGY", market_buffer_pct=50)
    assert found(judge(order("BUY", 1), *limits, quote=quoted(200)), "max_order_value").actual == value


@pytest.mark.parametrize(("age", "expected"), [(59, "PASS"), (60, "WARN"), (119, "WARN"), (120, "REJECT")])
def test_it_takes_the_ages_of_a_manual_alert_from_the_rows(age, expected):
    limits = rows(old_after_s=D(60), dead_after_s="120", future_skew_s="nonsense")
    asked = order(mode="MANUAL", fired_at=NOW - seconds(age))
    assert verdict("max_signal_age", asked, limits) == (expected, "SIGNAL_TOO_OLD")


@pytest.mark.parametrize(("quantity", "expected"), [(18000, "PASS"), (18075, "REJECT"), (1800, "PASS")])
def test_it_takes_up_to_ten_slices_of_the_freeze_quantity(quantity, expected):
    intent = order(price=100, **STOCK_FUTURE | {"quantity": D(quantity)})
    assert verdict("freeze_quantity", intent, instrument=NIFTY) == (expected, "QTY_FREEZE")


def test_it_takes_whole_lots_of_the_freeze_quantity_only():
    intent = order(price=100, **STOCK_FUTURE | {"quantity": D(17625)})
    assert verdict("freeze_quantity", intent, instrument=replace(NIFTY, freeze=D(1810)))[0] == "PASS"
    assert verdict("freeze_quantity", intent, instrument=replace(NIFTY, freeze=D(1799)))[0] == "REJECT"


@pytest.mark.parametrize(("quantity", "expected"), [(10**6, "PASS"), (10**6 + 1, "REJECT")])
def test_it_slices_shares_without_a_freeze_quantity_by_100000(quantity, expected):
    assert verdict("freeze_quantity", order("BUY", quantity, 1), instrument=replace(INFY, freeze=None))[0] == expected


def test_it_leaves_the_freeze_quantity_out_where_none_is_known():
    assert verdict("freeze_quantity", BUY, on=desk("PAPER"), instrument=replace(NIFTY, freeze=None)) == ("SKIP", "QTY_FREEZE")
    assert judge(order("SELL", 11 * 100000, 100), position=long(11 * 100000), instrument=INFY).code == "QTY_FREEZE"
