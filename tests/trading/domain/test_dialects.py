"""What the formats have in common: numbers, times, words, symbols and stated positions."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.domain.alertjson import to_json
from trading.domain.dialects import Context, algodatta, detect, sigma_flat, sigma_v6
from trading.domain.dialects.common import timeframe
from trading.domain.dialects.values import number_of, time_of
from trading.domain.types import Action, BracketKind, Effect, Intent, OrderType, Product, Validity
from tvapp.lib.errors import AppError

D = Decimal
CONTEXT = Context(received_at=datetime(2026, 11, 20, 4, 15, 2, tzinfo=UTC))
BODY = {"symbol": "NSE:INFY", "order_action": "BUY", "quantity": D(10)}


def read(**changes):
    (signal,) = sigma_flat.to_signals({**BODY, **changes}, CONTEXT)
    return signal


def refused(dialect=sigma_flat, body=BODY, **changes):
    with pytest.raises(AppError) as error:
        dialect.to_signals({**body, **changes}, CONTEXT)
    assert error.value.status == 400
    return error.value.code, error.value.extra["field"]


# --- numbers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "number"),
    [
        ("10", "10"),
        (" 10.50 ", "10.5"),
        ("+10", "10"),
        ("1,234.5", "1234.5"),
        ("1,23,456", "123456"),
        ("12,34,56,789.25", "123456789.25"),
        ("1,234,567", "1234567"),
        ("1e3", "1000"),
        (".5", "0.5"),
        ("5.", "5"),
        ("\u22125", "-5"),
        (D("7.25"), "7.25"),
        (7, "7"),
    ],
)
def test_it_reads_a_number_quoted_or_not(given, number):
    assert number_of(given, "price") == D(number)


@pytest.mark.parametrize(
    "given",
    [
        "",
        " ",
        "NaN",
        "na",
        "null",
        "Infinity",
        "-inf",
        "1.5x",
        "12,34",
        "1,2345",
        "1,23,45",
        ",123",
        "1,234,56",
        "0x10",
        "1_000",
        "١٢",
        "1e13",
        "9" * 21,
        "--1",
        "1 000",
        True,
        [],
        {},
    ],
)
def test_it_refuses_what_is_no_number(given):
    with pytest.raises(AppError) as error:
        number_of(given, "trade_details.price")
    assert (error.value.code, error.value.extra["field"]) == ("BAD_NUMBER", "trade_details.price")


@settings(max_examples=100)
@given(st.text(max_size=24))
def test_it_reads_or_refuses_any_text_as_a_number(text):
    try:
        assert number_of(text, "price").is_finite()
    except AppError as error:
        assert error.code == "BAD_NUMBER"


def _indian(number):
    digits = str(number)
    head, tail = digits[:-3], digits[-3:]
    groups = [head[max(i - 2, 0) : i] for i in range(len(head), 0, -2)][::-1]
    return ",".join([*groups, tail]) if head else tail


@settings(max_examples=100)
@given(st.integers(min_value=0, max_value=10**15))
def test_it_reads_western_and_indian_groups_alike(number):
    assert number_of(f"{number:,}", "q") == number_of(_indian(number), "q") == number


@pytest.mark.parametrize("quantity", [0, -1, "0", "-5", "0.000000001", "1000000000001"])
def test_it_refuses_a_quantity_that_cannot_be_traded(quantity):
    assert refused(quantity=quantity) == ("BAD_QUANTITY", "quantity")


@pytest.mark.parametrize("price", [0, -1, "0", "1e12"[:3] + "3", "1,000,000,000,001"])
def test_it_refuses_a_price_that_cannot_be(price):
    code, field = refused(price=price)
    assert field == "price" and code in ("BAD_PRICE", "BAD_NUMBER")


def test_it_takes_the_largest_price_and_not_a_paisa_more():
    assert read(price="1000000000000").limit_price == D(10) ** 12
    assert refused(price="1000000000000.01") == ("BAD_PRICE", "price")


def test_it_names_the_nested_field_as_the_sender_wrote_it():
    body = {"symbol": "NSE:INFY", "tradeDetails": {"orderAction": "BUY", "orderContracts": "x"}}
    assert refused(body=body) == ("BAD_NUMBER", "tradeDetails.orderContracts")


# --- times ------------------------------------------------------------------------------------------------------

FIRED = datetime(2026, 11, 20, 4, 15, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "given",
    [
        "2026-11-20T04:15:01Z",
        "2026-11-20T04:15:01z",
        "2026-11-20T09:45:01+05:30",
        "2026-11-20T09:45:01+0530",
        "2026-11-20T04:15:01",
        "2026-11-20 04:15:01",
        D(1795148101),
        D(1795148101000),
        "1795148101",
        "1795148101000",
        1795148101,
    ],
)
def test_it_reads_times_as_utc(given):
    assert time_of(given, "timestamp") == FIRED
    assert time_of(given, "timestamp").tzinfo is UTC


def test_it_keeps_fractions_of_a_second():
    assert time_of(D("1795148101.25"), "t") - FIRED == timedelta(milliseconds=250)
    assert time_of(D(1795148101250), "t") - FIRED == timedelta(milliseconds=250)
    assert time_of("2026-11-20T04:15:01.250Z", "t") - FIRED == timedelta(milliseconds=250)


@pytest.mark.parametrize(
    "given",
    [
        "",
        "yesterday",
        "2026-13-01T00:00:00Z",
        "2026-11-20T25:00:00Z",
        "20-11-2026",
        "0001-01-01T00:00:00+14:00",
        "20261120",
        "5",
        D(5),
        D(-1),
        D("9e19"),
        True,
        [],
        "1999-12-31",
    ],
)
def test_it_refuses_what_is_no_time(given):
    assert refused(timestamp=given) == ("BAD_TIME", "timestamp")


@settings(max_examples=100)
@given(st.datetimes(datetime(2001, 1, 1), datetime(2099, 12, 31)), st.integers(-720, 840))
def test_it_reads_any_offset(moment, minutes):
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert time_of(aware.isoformat(), "t") == aware


@settings(max_examples=100)
@given(st.one_of(st.text(max_size=30), st.decimals(allow_nan=False, allow_infinity=False)))
def test_it_reads_or_refuses_anything_as_a_time(value):
    try:
        assert time_of(value, "t").tzinfo is UTC
    except AppError as error:
        assert error.code == "BAD_TIME"


def test_it_takes_the_fire_time_as_bar_time_when_there_is_none():
    signal = read(timestamp="2026-11-20T04:15:01Z")
    assert signal.bar_time == signal.fired_at == FIRED
    assert read(timenow="2026-11-20T04:15:01Z", time="2026-11-20T04:00:00Z").bar_time == datetime(2026, 11, 20, 4, tzinfo=UTC)


# --- words ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["HOLD", "", "  ", "BUYY", "EXIT"])
def test_it_refuses_what_is_neither_buy_nor_sell(action):
    assert refused(order_action=action) == ("BAD_ACTION", "order_action")


def test_it_reads_actions_in_any_case():
    assert read(order_action=" sElL ").action is Action.SELL


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ("market", "MARKET"),
        ("MKT", "MARKET"),
        ("lmt", "LIMIT"),
        ("SL", "SL"),
        ("SL-M", "SL_M"),
        ("slm", "SL_M"),
        ("stop limit", "SL"),
        ("TRAILING", "TRAILING"),
    ],
)
def test_it_reads_the_usual_order_types(given, kind):
    assert read(order_type=given, price=100, trigger_price=101).order_type == kind


@pytest.mark.parametrize(
    ("changes", "kind", "limit", "trigger", "ref"),
    [
        ({}, None, None, None, None),
        ({"price": 100}, OrderType.LIMIT, 100, None, 100),
        ({"price": 100, "order_type": "MARKET"}, OrderType.MARKET, None, None, 100),
        ({"price": 100, "trigger_price": 99}, OrderType.SL, 100, 99, 100),
        ({"trigger_price": 99}, OrderType.SL_M, None, 99, None),
        ({"price": 100, "trigger_price": 99, "order_type": "LIMIT"}, OrderType.LIMIT, 100, None, 100),
        ({"order_type": "MARKET"}, OrderType.MARKET, None, None, None),
    ],
)
def test_it_lets_a_named_type_win_and_reads_one_from_the_prices_otherwise(changes, kind, limit, trigger, ref):
    signal = read(**changes)
    assert (signal.order_type, signal.limit_price, signal.trigger_price, signal.ref_price) == (kind, limit, trigger, ref)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"order_type": "LIMIT"}, "price"),
        ({"order_type": "SL", "price": 1}, "trigger_price"),
        ({"order_type": "SL", "trigger_price": 1}, "price"),
        ({"order_type": "SL_M"}, "trigger_price"),
    ],
)
def test_it_refuses_a_type_without_its_price(changes, field):
    assert refused(**changes) == ("MISSING_FIELD", field)


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"order_type": "ICEBERG"}, ("BAD_ORDER_TYPE", "order_type")),
        ({"product": "CASH"}, ("BAD_PRODUCT", "product")),
        ({"validity": "GTC"}, ("BAD_VALIDITY", "validity")),
        ({"market_position": "up"}, ("BAD_POSITION", "market_position")),
        ({"market_position": "long", "position_size": -1}, ("BAD_POSITION", "market_position")),
        ({"position_size": "1000000000001"}, ("BAD_QUANTITY", "position_size")),
        ({"max_age_s": "1.5"}, ("BAD_NUMBER", "max_age_s")),
        ({"max_slippage_pct": 0}, ("BAD_NUMBER", "max_slippage_pct")),
        ({"comment": "x" * 129}, ("TOO_LONG", "comment")),
        ({"strategy_name": {"a": 1}}, ("BAD_TEXT", "strategy_name")),
        ({"order_id": True}, ("BAD_TEXT", "order_id")),
        ({"stop_loss": {}}, ("MISSING_FIELD", "stop_loss")),
        ({"stop_loss": {"percent": 0}}, ("BAD_PRICE", "stop_loss.percent")),
        ({"take_profit": "x%"}, ("BAD_NUMBER", "take_profit")),
    ],
)
def test_it_refuses_by_field(changes, refusal):
    assert refused(**changes) == refusal


@pytest.mark.parametrize(
    ("changes", "product"),
    [
        ({"product": "mis"}, Product.MIS),
        ({"product": "delivery"}, Product.CNC),
        ({"product": "", "trade_type": "cnc"}, Product.CNC),
        ({"trade_type": "cash_and_carry"}, Product.CNC),
        ({"trade_type": "Intraday"}, Product.MIS),
        ({"trade_type": "equity"}, None),
        ({"product": "NRML", "trade_type": "intraday"}, Product.NRML),
        ({}, None),
    ],
)
def test_it_reads_the_product_or_the_trade_type(changes, product):
    assert read(**changes).product is product


@pytest.mark.parametrize(
    ("given", "kind", "value"),
    [
        (95, BracketKind.PRICE, 95),
        ("95.5", BracketKind.PRICE, D("95.5")),
        ("2%", BracketKind.PCT, 2),
        ({"points": "12"}, BracketKind.POINTS, 12),
        ({"price": 90}, BracketKind.PRICE, 90),
    ],
)
def test_it_reads_stops_in_their_three_kinds(given, kind, value):
    given = D(given) if isinstance(given, int) else given
    stop = read(stop_loss=given).stop_loss
    assert (stop.kind, stop.value) == (kind, value)


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("5m", "5"),
        ("15", "15"),
        ("15min", "15"),
        ("1h", "60"),
        ("4H", "240"),
        ("1D", "D"),
        ("d", "D"),
        ("1w", "W"),
        ("M", "M"),
        ("1M", "M"),
        ("3M", "3M"),
        ("2D", "2D"),
        ("30s", "30S"),
        ("1S", "1S"),
        ("renko", "renko"),
        (None, None),
    ],
)
def test_it_normalises_timeframes(given, normal):
    assert timeframe(given) == normal


def test_it_takes_the_first_comment_that_is_not_empty():
    assert read(comment=" ", order_comment="second", alert_message="third").comment == "second"


def test_it_reads_ids_given_as_numbers():
    signal = read(strategy_name=D(7), order_id=D("1.50"), alert_id=D(99), validity="day")
    assert (signal.strategy_ref, signal.order_ref, signal.idempotency_key, signal.validity) == ("7", "1.5", "99", Validity.DAY)


# --- symbols ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "exchange", "symbol"),
    [
        ({"symbol": "nse:infy"}, "NSE", "INFY"),
        ({"symbol": "INFY", "exchange": "bse"}, "BSE", "INFY"),
        ({"symbol": "NSE:INFY", "exchange": "BSE"}, "NSE", "INFY"),
        ({"symbol": "INFY"}, "NSE", "INFY"),
        ({"symbol": None, "ticker": "M&M", "exchange": "NSE"}, "NSE", "M&M"),
        ({"symbol": "NIFTY1!"}, "NSE", "NIFTY1!"),
        ({"symbol": ":INFY"}, "NSE", "INFY"),
        ({"symbol": "BYBIT:BTCUSDT.P"}, "BYBIT", "BTCUSDT.P"),
    ],
)
def test_it_reads_symbol_and_exchange(changes, exchange, symbol):
    signal = read(**changes)
    assert (signal.tv_exchange, signal.tv_symbol) == (exchange, symbol)


@pytest.mark.parametrize("symbol", ["A B", "NSE:A+B", "x" * 65, "<script>", "NSE:", "A:B:C", "नि", "ınfy", "N-S:INFY"])
def test_it_refuses_what_is_no_symbol(symbol):
    assert refused(symbol=symbol) == ("BAD_SYMBOL", "symbol")


@pytest.mark.parametrize("symbol", [None, "", " "])
def test_it_refuses_a_missing_symbol(symbol):
    assert refused(symbol=symbol) == ("MISSING_FIELD", "symbol")


@pytest.mark.parametrize("changes", [{"symbol": "NSE_DL:INFY"}, {"symbol": "NSE_DLY:INFY"}, {"symbol": "INFY", "exchange": "NSE_DLY"}])
def test_it_strips_the_mark_of_delayed_data_and_keeps_the_fact(changes):
    signal = read(**changes)
    assert (signal.tv_exchange, signal.extras["delayed"]) == ("NSE", True)


def test_it_leaves_the_exchange_open_when_nobody_names_one():
    (signal,) = sigma_flat.to_signals({**BODY, "symbol": "INFY"}, Context(received_at=CONTEXT.received_at, default_exchange=""))
    assert signal.tv_exchange == ""


# --- positions and intent ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "target"),
    [
        ({"market_position": "long", "position_size": "5"}, 5),
        ({"market_position": "short", "market_position_size": "5"}, -5),
        ({"market_position": "short", "position_size": "-5"}, -5),
        ({"market_position": "flat", "position_size": "5"}, 0),
        ({"market_position": "FLAT"}, 0),
        ({"market_position": "long"}, None),
        ({"position_size": "-5"}, -5),
        ({"market_position": "", "position_size": "0"}, 0),
        ({}, None),
    ],
)
def test_it_reads_the_position_a_sender_states(changes, target):
    assert read(**changes).target_position == target


def test_it_keeps_a_stated_position_as_a_cross_check_unless_it_is_the_target():
    body = {**BODY, "position_size": "5"}
    assert read(position_size="5").intent is Intent.DELTA
    (signal,) = sigma_flat.to_signals(body, Context(received_at=CONTEXT.received_at, use_target=True))
    assert (signal.intent, signal.target_position) == (Intent.TARGET, 5)
    (signal,) = sigma_flat.to_signals(BODY, Context(received_at=CONTEXT.received_at, use_target=True))
    assert signal.intent is Intent.DELTA


def test_it_reads_a_buy_that_leaves_the_sender_flat_as_an_exit():
    assert read(market_position="flat").effect is Effect.EXIT
    assert read(market_position="flat", order_action="SELL").effect is Effect.UNKNOWN


@pytest.mark.parametrize(
    ("fields", "action", "effect"),
    [
        ({"side": "ENTRY_LONG"}, Action.BUY, Effect.ENTRY),
        ({"side": "entry_short"}, Action.SELL, Effect.ENTRY),
        ({"side": "EXIT_LONG"}, Action.SELL, Effect.EXIT),
        ({"side": "CLOSE_SHORT"}, Action.BUY, Effect.EXIT),
        ({"side": "SHORT"}, Action.SELL, Effect.ENTRY),
        ({"side": "BUY"}, Action.BUY, Effect.UNKNOWN),
        ({"action": "SELL"}, Action.SELL, Effect.UNKNOWN),
        ({"order_action": "SELL", "side": "EXIT_LONG"}, Action.SELL, Effect.EXIT),
        ({"order_action": "BUY", "action": "open"}, Action.BUY, Effect.UNKNOWN),
        ({"order_action": "BUY", "market_position": "flat"}, Action.BUY, Effect.EXIT),
    ],
)
def test_it_reads_the_side_of_a_script(fields, action, effect):
    (signal,) = sigma_v6.to_signals({"meta": {}, "signal": {"symbol": "INFY", "qty": 1, **fields}}, CONTEXT)
    assert (signal.action, signal.effect) == (action, effect)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"side": "HOLD"},
        {"order_action": "HOLD", "side": "LONG"},
        {"action": "EXIT_LONG", "side": "ENTRY_SHORT"},
        {"order_action": "BUY", "side": "EXIT_LONG"},
    ],
)
def test_it_refuses_a_script_whose_side_is_unclear(fields):
    body = {"meta": {}, "signal": {"symbol": "INFY", "qty": 1, **fields}}
    assert refused(sigma_v6, body) == ("BAD_ACTION", "signal.order_action")


@pytest.mark.parametrize(
    ("fields", "hints", "kind", "limit", "ref"),
    [
        ({"ref_price": 10, "price": 11}, {}, OrderType.MARKET, None, 10),
        ({"price": 11}, {"order_type": "LIMIT"}, OrderType.LIMIT, 11, 11),
        ({"ref_price": 10}, {"order_type": "LIMIT", "limit_price": 12, "price": 13}, OrderType.LIMIT, 12, 10),
        ({"order_type": "LIMIT"}, {"price": 13}, OrderType.LIMIT, 13, None),
        ({}, {"limit_price": 12}, None, None, None),
        ({}, {}, None, None, None),
    ],
)
def test_it_treats_a_scripts_price_as_a_reference(fields, hints, kind, limit, ref):
    body = {"meta": {}, "signal": {"symbol": "INFY", "side": "BUY", **fields}, "hints": hints}
    (signal,) = sigma_v6.to_signals(body, CONTEXT)
    assert (signal.order_type, signal.limit_price, signal.ref_price) == (kind, limit, ref)


def test_it_reads_stops_of_a_script_from_its_hints():
    body = {"meta": {}, "signal": {"symbol": "INFY", "side": "BUY"}, "hints": {"order_type": "SL", "price": 12, "trigger_price": 11}}
    (signal,) = sigma_v6.to_signals(body, CONTEXT)
    assert (signal.order_type, signal.limit_price, signal.trigger_price) == (OrderType.SL, 12, 11)


# --- what is left over ------------------------------------------------------------------------------------------


def test_it_keeps_unknown_keys_without_secrets():
    signal = read(indicator={"rsi": D("71.50")}, api_key="s3", apikey="s3", note=["a", D(1)])
    assert signal.extras == {"indicator": {"rsi": "71.5"}, "api_key": "hidden", "note": ["a", "1"]}


def test_it_keeps_the_outer_value_when_the_nested_one_wins():
    body = {
        "symbol": "NSE:INFY",
        "quantity": D(99),
        "trade_details": {"order_action": "BUY", "quantity": D(10), "price": None},
        "price": D(5),
    }
    (signal,) = sigma_flat.to_signals(body, CONTEXT)
    assert (signal.quantity, signal.limit_price, signal.extras) == (10, 5, {"quantity": "99"})


def test_it_prefers_the_exact_spelling_of_a_key():
    (signal,) = sigma_flat.to_signals({"symbol": "INFY", "orderAction": "SELL", "order_action": "BUY"}, CONTEXT)
    assert (signal.action, signal.extras) == (Action.BUY, {"orderAction": "SELL"})


def test_it_bounds_what_is_left_over():
    signal = read(**{f"note{n}": "x" * 900 for n in range(10)})
    assert len(to_json(signal.extras).encode()) <= 4096
    assert signal.extras["left_out"] == 6 and "note0" in signal.extras


# --- detection --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({"meta": {}, "signal": {}, "trade_details": {}}, "sigma_v6"),
        ({"trade_details": {}, "symbol": "x", "side": "BUY"}, "sigma_flat"),
        ({"tradeDetails": {}}, "sigma_flat"),
        ({"orderAction": ""}, "sigma_flat"),
        ({"symbol": None, "side": None}, "algodatta"),
        ({"meta": "x", "signal": {}, "symbol": "x", "side": "BUY"}, "algodatta"),
    ],
)
def test_it_detects_the_first_format_that_fits(body, name):
    detected = detect(body).NAME
    assert detected == name


@pytest.mark.parametrize("body", [{}, {"trade_details": "x"}, {"meta": {}, "signal": []}, {"symbol": "x"}])
def test_it_knows_when_no_format_fits(body):
    with pytest.raises(AppError) as error:
        detect(body)
    assert error.value.code == "UNKNOWN_DIALECT"


_values = st.one_of(
    st.none(),
    st.booleans(),
    st.decimals(allow_nan=False, allow_infinity=False, places=2),
    st.text(max_size=10),
    st.sampled_from(["BUY", "NSE:INFY", "LIMIT", "long"]),
)
_keys = st.sampled_from(
    [
        "symbol",
        "side",
        "qty",
        "price",
        "order_type",
        "order_action",
        "quantity",
        "timestamp",
        "position_size",
        "market_position",
        "stop_loss",
        "extras",
        "strategy_id",
        "x",
    ]
)
_flat = st.dictionaries(_keys, _values, max_size=9)


@settings(max_examples=100)
@given(_flat, _flat, st.sampled_from([sigma_flat, sigma_v6, algodatta]))
def test_it_reads_or_refuses_any_object(outer, inner, dialect):
    body = {**outer, "trade_details": inner, "meta": {}, "signal": inner, "hints": outer}
    try:
        for signal in dialect.to_signals(body, CONTEXT):
            assert signal.action in (Action.BUY, Action.SELL) and signal.tv_symbol
            assert signal.quantity is None or signal.quantity > 0
    except AppError as error:
        assert error.status == 400 and error.message
