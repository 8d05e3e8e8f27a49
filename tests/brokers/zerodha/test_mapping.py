"""Kite's rows in the desk's words: every status, every missing field, times, tags, prices."""

import os
import time
import tracemalloc
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as D

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.types import TERMINAL, GttKind, GttStatus, Kind, OrderType, Product, Side, Status
from brokers.zerodha import mapping

NOW = datetime(2026, 1, 5, 4, 30, tzinfo=UTC)
OURS = "sabcdefghij234567"
ROW = {
    "placed_by": "AB1234", "order_id": "260105000000001", "exchange_order_id": "1100000000000001", "parent_order_id": None, "status": "OPEN",
    "status_message": None, "status_message_raw": None, "order_timestamp": "2026-01-05 09:59:00", "exchange_update_timestamp": "2026-01-05 10:00:01",
    "exchange_timestamp": "2026-01-05 10:00:00", "variety": "regular", "exchange": "NSE", "tradingsymbol": "INFY", "instrument_token": 408065,
    "order_type": "LIMIT", "transaction_type": "BUY", "validity": "DAY", "product": "MIS", "quantity": 100, "price": 1500.05, "trigger_price": 0,
    "average_price": 0, "filled_quantity": 0, "pending_quantity": 100, "cancelled_quantity": 0, "tag": OURS, "tags": [OURS], "meta": {},
}  # fmt: skip
# Kite's word, the desk's, whether it can still trade
STATUSES = [
    ("PUT ORDER REQ RECEIVED", "SUBMITTED"),
    ("PUT ORDER REQUEST RECEIVED", "SUBMITTED"),
    ("VALIDATION PENDING", "SUBMITTED"),
    ("OPEN PENDING", "SUBMITTED"),
    ("OPEN", "OPEN"),
    ("TRIGGER PENDING", "TRIGGER_PENDING"),
    ("MODIFY VALIDATION PENDING", "OPEN"),
    ("MODIFY PENDING", "OPEN"),
    ("MODIFIED", "OPEN"),
    ("CANCEL PENDING", "CANCEL_PENDING"),
    ("AMO REQ RECEIVED", "AMO_QUEUED"),
    ("AFTER MARKET ORDER REQ RECEIVED", "AMO_QUEUED"),
    ("MODIFY AMO REQ RECEIVED", "AMO_QUEUED"),
    ("CANCELLED AMO", "CANCELLED"),
    ("COMPLETE", "FILLED"),
    ("CANCELLED", "CANCELLED"),
    ("CANCEL", "CANCELLED"),
    ("REJECTED", "REJECTED"),
    ("UPDATE", "UNMAPPED"),
    ("SOMETHING NEW", "UNMAPPED"),
    ("", "UNMAPPED"),
]


def report(**changes):
    return mapping.order_report({**ROW, **changes}, NOW)


# ---------------------------------------------------------------------------- statuses
@pytest.mark.parametrize(("word", "ours"), STATUSES)
@pytest.mark.parametrize("spelt", [str.upper, str.lower, str.title, lambda w: w.replace(" ", "_"), lambda w: f"  {w.replace(' ', '   ')} "])
def test_it_knows_every_status_however_it_is_spelt(word, ours, spelt):
    assert mapping.status_of(spelt(word)) == ours


def test_it_names_every_status_of_its_table():
    assert {word for word, ours in STATUSES if ours != "UNMAPPED"} == set(mapping.STATUSES)


def test_it_counts_what_it_does_not_know_as_live():
    assert report(status="PARKED IN ORBIT").status not in TERMINAL
    assert report(status="PARKED IN ORBIT").raw_status == "PARKED IN ORBIT"


@pytest.mark.parametrize("word", ["OPEN", "MODIFIED", "MODIFY PENDING", "MODIFY VALIDATION PENDING"])
def test_it_calls_a_resting_order_with_fills_partial(word):
    assert report(status=word, filled_quantity=40, average_price=1500).status is Status.PARTIAL


@pytest.mark.parametrize("word", ["CANCELLED", "REJECTED", "CANCEL PENDING", "TRIGGER PENDING"])
def test_it_keeps_the_fills_of_any_other_status(word):
    found = report(status=word, filled_quantity=40, average_price=1500.25, cancelled_quantity=60)
    assert (found.status, found.filled, found.avg_price, found.cancelled) == (mapping.STATUSES[word], 40, D("1500.25"), 60)


def test_it_leaves_nothing_filled_at_nothing_filled():
    found = report(status="COMPLETE", filled_quantity=0, average_price=1500)
    assert (found.filled, found.avg_price) == (0, None)


# ---------------------------------------------------------------------------- tags
@pytest.mark.parametrize(("tag", "tags", "ref"), [
    (OURS, [OURS], OURS),
    (None, [OURS], OURS),
    (OURS, None, OURS),
    (None, ["mktp", "mktp:2.00", OURS], OURS),
    (None, ["autoslice", "autoslice:260105000000009", OURS], OURS),
    ("mine", ["mine", OURS], OURS),
    ("mine", None, "mine"),
    (None, ["mktp", "autoslice:1"], ""),
    (None, None, ""),
    (None, "odd", ""),
])  # fmt: skip
def test_it_finds_our_tag_in_both_places_and_skips_the_brokers_own(tag, tags, ref):
    assert report(tag=tag, tags=tags).key.ref == ref


def test_it_tells_the_family_of_a_slice():
    assert report(parent_order_id="260105000000009", tags=[OURS, "autoslice"]).parent_id == "260105000000009"
    assert report().parent_id is None


@pytest.mark.parametrize(("tags", "is_protected"), [(["mktp", "mktp:2.00"], True), ([OURS], False), (None, False), ("mktp", False)])
def test_it_sees_market_protection(tags, is_protected):
    assert mapping.protected({"tags": tags}) is is_protected


# ---------------------------------------------------------------------------- odd rows
@pytest.mark.parametrize("name", sorted(set(ROW) - {"order_id", "quantity", "exchange", "tradingsymbol", "transaction_type"}))
@pytest.mark.parametrize("value", ["missing", None])
def test_it_survives_a_field_that_is_not_there(name, value):
    row = {k: v for k, v in ROW.items() if k != name} if value == "missing" else {**ROW, name: None}
    [found], left = mapping.order_reports([row], NOW)
    assert found.key.broker_order_id == ROW["order_id"] and not left


@given(st.dictionaries(st.sampled_from(sorted(ROW)), st.one_of(st.none(), st.text(max_size=5), st.integers(), st.floats(), st.booleans(), st.lists(st.none(), max_size=2),
                       st.dictionaries(st.text(max_size=2), st.none(), max_size=1)), max_size=6))  # fmt: skip
@settings(max_examples=100)
def test_it_reads_a_row_of_anything_or_says_that_it_cannot(changes):
    try:
        found = mapping.order_report({**ROW, **changes}, NOW)
    except mapping.Unreadable:
        return
    assert found.placed_at.tzinfo is UTC and isinstance(found.quantity, D) and isinstance(found.product, Product)


@pytest.mark.parametrize("name", ["order_id", "quantity", "exchange", "tradingsymbol", "transaction_type"])
def test_it_gives_no_book_when_a_row_of_ours_cannot_be_read(name):
    with pytest.raises(mapping.Unreadable):
        mapping.order_reports([ROW, {**ROW, name: None}], NOW)


def test_it_gives_no_book_when_a_row_that_names_no_tag_cannot_be_read():
    with pytest.raises(mapping.Unreadable):
        mapping.order_reports([{"order_id": "1"}], NOW)


@pytest.mark.parametrize("tag", ["webapp", None])
def test_it_tells_of_a_strangers_row_it_cannot_read_and_goes_on(tag):
    reports, left = mapping.order_reports([ROW, {**ROW, "order_id": "7", "quantity": "many", "tag": tag, "tags": [tag] if tag else []}], NOW)
    assert len(reports) == 1 and left == ["7: no quantity"]


@pytest.mark.parametrize("data", [None, {}, "", 5, [None], [[]], {"data": []}])
def test_it_never_takes_something_else_for_an_empty_book(data):
    for read in (lambda d: mapping.order_reports(d, NOW), lambda d: mapping.fills(d, NOW), mapping.holdings, lambda d: mapping.gtts(d, NOW)):
        with pytest.raises(mapping.Unreadable):
            read(data)


@pytest.mark.parametrize("data", [None, {}, [], {"net": None}, {"day": []}, {"net": [None]}])
def test_it_never_takes_something_else_for_no_positions(data):
    with pytest.raises(mapping.Unreadable):
        mapping.positions(data)


@pytest.mark.parametrize(("word", "ours"), [("MIS", "MIS"), ("CNC", "CNC"), ("NRML", "NRML"), ("MTF", "MTF"), ("CO", "MIS"), ("BO", "MIS"), ("XYZ", "NRML"), (None, "NRML")])
def test_it_survives_a_product_it_does_not_trade(word, ours):
    assert report(product=word).product == ours


@pytest.mark.parametrize(("word", "price", "ours"), [("SL-M", 0, "SL_M"), ("SLM", 0, "SL_M"), ("SL", 5, "SL"), ("ODD", 5, "LIMIT"), (None, 0, "MARKET")])
def test_it_survives_a_type_it_does_not_know(word, price, ours):
    assert report(order_type=word, price=price).order_type == OrderType(ours)


def test_it_hides_the_clients_id_in_what_it_keeps():
    found = report(status_message="RMS:Margin Exceeds for entity account-AB1234 across exchange")
    assert "AB1234" not in str(found.raw) and "AB1234" not in found.message


# ---------------------------------------------------------------------------- money and time
@given(st.decimals(min_value=0, max_value=10**6, places=2))
def test_it_reads_a_price_exactly(price):
    assert mapping.number(float(price)) == price == mapping.number(str(price))


@pytest.mark.parametrize("value", [None, "", "x", True, float("nan"), float("inf"), [], {}])
def test_it_does_not_take_nonsense_for_a_number(value):
    assert mapping.number(value) is None


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/New_York"])
def test_it_reads_times_as_indias_wherever_the_machine_stands(zone, monkeypatch):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        found = report()
    finally:
        monkeypatch.undo()
        time.tzset()
    assert found.placed_at == datetime(2026, 1, 5, 4, 29, tzinfo=UTC)
    assert found.updated_at == datetime(2026, 1, 5, 4, 30, 1, tzinfo=UTC)
    assert os.environ.get("TZ") != "America/New_York"


@pytest.mark.parametrize("text", ["2026-01-05 10:00:00", "2026-01-05T10:00:00", "2026-01-05T10:00:00+05:30", "2026-01-05T04:30:00+00:00"])
def test_it_reads_every_spelling_of_a_time(text):
    assert mapping.moment(text) == NOW


@pytest.mark.parametrize("value", [None, "", "yesterday", 5, "2026-13-45 10:00:00"])
def test_it_does_not_take_nonsense_for_a_time(value):
    assert mapping.moment(value) is None


# ---------------------------------------------------------------------------- trades, positions, money
TRADE = {"trade_id": "10000000", "order_id": "1", "exchange": "NSE", "average_price": 420.65, "quantity": 1, "fill_timestamp": "2026-01-05 10:00:00"}


def test_it_reads_a_fill():
    [found] = mapping.fills([TRADE], NOW)
    assert (found.trade_id, found.price, found.quantity, found.at, found.fee) == ("10000000", D("420.65"), 1, NOW, None)
    assert found.raw["exchange"] == "NSE"


@pytest.mark.parametrize("name", ["trade_id", "order_id", "average_price", "quantity"])
def test_it_gives_no_trade_book_with_a_hole_in_it(name):
    with pytest.raises(mapping.Unreadable):
        mapping.fills([TRADE, {**TRADE, name: None}], NOW)


POSITION = {
    "tradingsymbol": "CRUDEOIL26JANFUT", "exchange": "MCX", "product": "NRML", "quantity": 3, "overnight_quantity": 2, "multiplier": 100, "last_price": 5500,
    "day_buy_quantity": 2, "day_buy_price": 5490.5, "day_sell_quantity": 1, "day_sell_price": 5510, "realised": 1950, "unrealised": 2850,
}  # fmt: skip


def test_it_reads_a_position_with_its_multiplier():
    [found] = mapping.positions({"net": [POSITION], "day": []})
    assert (found.net_qty, found.multiplier, found.buy_avg, found.sell_avg) == (3, 100, D("5490.5"), 5510)
    assert found.net_qty == found.overnight_qty + found.buy_qty - found.sell_qty


def test_it_leaves_out_a_position_without_quantity_and_trades_and_keeps_a_flat_one_that_was_traded():
    idle = {**POSITION, "quantity": 0, "day_buy_quantity": 0, "day_sell_quantity": 0}
    flat = {**POSITION, "quantity": 0, "day_buy_quantity": 0, "day_sell_quantity": 2}
    [found] = mapping.positions({"net": [idle, flat]})
    assert (found.net_qty, found.sell_qty) == (0, 2)


def test_it_knows_no_gain_without_a_price():
    [found] = mapping.positions({"net": [{**POSITION, "last_price": 0}]})
    assert (found.ltp, found.unrealised) == (None, None)


def test_it_tells_shares_that_arrive_tomorrow_apart():
    row = {"tradingsymbol": "INFY", "exchange": "NSE", "quantity": 10, "t1_quantity": 5, "used_quantity": 2, "collateral_quantity": 1, "average_price": 1400, "last_price": 0}
    [found] = mapping.holdings([row])
    assert (found.quantity, found.t1_quantity, found.used_quantity, found.collateral_qty, found.ltp) == (10, 5, 2, 1, None)


def test_it_reads_the_money_of_each_segment():
    segment = {"enabled": True, "net": 900.5, "available": {"cash": 1000}, "utilised": {"debits": 99.5}}
    [equity] = mapping.funds({"equity": segment, "commodity": {**segment, "enabled": False}})
    assert (equity.segment, equity.available, equity.used, equity.total) == ("equity", D("900.5"), D("99.5"), 1000)


@pytest.mark.parametrize("data", [None, [], {}, {"equity": {"net": None}}])
def test_it_never_makes_money_up(data):
    with pytest.raises(mapping.Unreadable):
        mapping.funds(data)


# ---------------------------------------------------------------------------- triggers and prices
def trigger(**changes):
    leg = {"transaction_type": "SELL", "quantity": 10, "product": "CNC", "price": 1390.5, "result": None}
    failed = {"order_result": {"status": "failed", "order_id": "", "rejection_reason": "Insufficient stock holding"}}
    condition = {"exchange": "NSE", "tradingsymbol": "INFY", "trigger_values": [1391, 1600.05], "last_price": 1500}
    row = {"id": 123, "type": "two-leg", "status": "active", "created_at": "2026-01-05 10:00:00", "condition": condition}
    return {**row, "orders": [leg, {**leg, "result": failed}], **changes}


def test_it_reads_a_trigger_with_the_result_of_each_leg():
    [found] = mapping.gtts([trigger()], NOW)
    assert (found.id, found.kind, found.status, found.triggers) == ("123", GttKind.OCO, GttStatus.ACTIVE, (1391, D("1600.05")))
    assert (found.legs[0].side, found.legs[0].price, found.created_at) == (Side.SELL, D("1390.5"), NOW)
    assert found.results[0] is None and not found.results[1].ok and "holding" in found.results[1].message


@pytest.mark.parametrize("word", ["active", "triggered", "disabled", "expired", "cancelled", "rejected", "deleted", "asleep", None])
def test_it_knows_every_status_of_a_trigger(word):
    [found] = mapping.gtts([trigger(status=word)], NOW)
    assert found.status == (word.upper() if word not in ("asleep", None) else "UNMAPPED")


def test_it_reads_prices_with_the_best_of_the_depth():
    depth = {"buy": [{"price": 1499.95, "quantity": 10}], "sell": [{"price": 0, "quantity": 0}]}
    row = {"last_price": 1500, "timestamp": "2026-01-05 10:00:00", "volume": 12, "depth": depth}
    ticks = mapping.quotes({"NSE:INFY": row, "NSE:TCS": {"last_price": 3000}, "NSE:NONE": {"last_price": 0}}, NOW + timedelta(hours=1))
    assert [tick.key for tick in ticks] == ["NSE:INFY", "NSE:TCS"]
    assert (ticks[0].bid, ticks[0].bid_qty, ticks[0].ask, ticks[0].at) == (D("1499.95"), 10, None, NOW)


# ---------------------------------------------------------------------------- instruments
HEADER = "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,instrument_type,segment,exchange"
LINES = {
    "share": "408065,1594,INFY,INFOSYS,0,,0,0.05,1,EQ,NSE,NSE",
    "future": '1,2,NIFTY26JANFUT,"NIFTY",0,2026-01-27,0,0.1,65,FUT,NFO-FUT,NFO',
    "option": "3,4,NIFTY26JAN24500CE,NIFTY,0,2026-01-27,24500,0.05,65,CE,NFO-OPT,NFO",
    "index": "256265,1001,NIFTY 50,NIFTY 50,0,,0,0,0,EQ,INDICES,NSE",
    "expires today": "5,6,NIFTY26105FUT,NIFTY,0,2026-01-05,0,0.1,65,FUT,NFO-FUT,NFO",
}


def read(*lines):
    rows = mapping.InstrumentRows(iter([HEADER, *lines]), NOW)
    return list(rows), rows


def test_it_reads_the_list():
    (share, future, option, index, today), _ = read(*LINES.values())
    assert (share.key, share.kind, share.tick, share.lot, share.native["token"], share.expiry) == ("NSE:INFY", Kind.EQ, D("0.05"), 1, "408065", None)
    assert (future.kind, future.lot, future.expiry, future.native["name"], future.tick) == (Kind.FUT, 65, date(2026, 1, 27), "NIFTY", D("0.1"))
    assert (option.kind, option.strike, index.kind, today.key) == (Kind.CE, 24500, Kind.IDX, "NFO:NIFTY26105FUT")


@pytest.mark.parametrize("line", [
    "", "1,2,3", "1,2,X,X,0,,0,abc,1,EQ,NSE,NSE", "1,2,X,X,0,,0,0.05,0,EQ,NSE,NSE", "1,2,X,X,0,,0,0,1,EQ,NSE,NSE", "1,2,,X,0,,0,0.05,1,EQ,NSE,NSE",
    "1,2,X,X,0,tomorrow,0,0.05,1,EQ,NSE,NSE", "1,2,X,X,0,,0,0.05,1,BOND,NSE,NSE", ",2,X,X,0,,0,0.05,1,EQ,NSE,NSE",
])  # fmt: skip
def test_it_leaves_out_and_counts_a_line_that_makes_no_sense(line):
    found, rows = read(line, LINES["share"])
    assert [i.symbol for i in found] == ["INFY"]
    assert rows.malformed == (1 if line else 0)


def test_it_leaves_out_and_counts_what_has_expired():
    found, rows = read(LINES["expires today"].replace("2026-01-05", "2026-01-04"), LINES["share"])
    assert (len(found), rows.expired, rows.malformed) == (1, 1, 0)


def test_it_reads_a_list_without_lines_as_empty():
    assert read()[0] == []


def test_it_keeps_nothing_of_what_it_has_read():
    """A list of any length takes no more memory than a few lines."""
    lines = (line for n in range(10_000) for line in (f"{n},1,S{n},X,0,,0,0.05,1,EQ,NSE,NSE", f"{n},1,O{n},X,0,2020-01-01,0,0.05,1,FUT,NFO-FUT,NFO"))
    tracemalloc.start()
    rows = mapping.InstrumentRows((line for source in ([HEADER], lines) for line in source), NOW)
    count = sum(1 for _ in rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (count, rows.expired) == (10_000, 10_000)
    assert peak < 300_000
