"""Positions, holdings, funds and what the next day makes of them."""

import pytest
from kiteconnect.exceptions import GeneralException, InputException

from tests.brokers.kitesim.conftest import book, order


def _future(kite, exchange="NFO", name="NIFTY") -> str:
    rows = [i for i in kite.instruments(exchange) if i["name"] == name and i["instrument_type"] == "FUT"]
    return min(rows, key=lambda i: i["expiry"])["tradingsymbol"]


def test_it_nets_positions_by_product(bench, kite):
    order(kite, price=1500, quantity=10)
    order(kite, price=1500, quantity=4, transaction_type="SELL", order_type="LIMIT")
    order(kite, price=1500, quantity=3, product="CNC")
    bench.price("NSE:INFY", 1510)
    rows = {row["product"]: row for row in kite.positions()["net"]}
    assert (rows["MIS"]["quantity"], rows["MIS"]["buy_quantity"], rows["MIS"]["sell_quantity"]) == (6, 10, 4)
    assert (rows["MIS"]["pnl"], rows["MIS"]["value"], rows["CNC"]["pnl"]) == (60, -9000, 30)


def test_it_keeps_the_row_of_a_closed_position(bench, kite):
    order(kite, price=1500)
    bench.price("NSE:INFY", 1520)
    order(kite, price=1520, transaction_type="SELL")
    row = kite.positions()["net"][0]
    assert (row["quantity"], row["average_price"], row["realised"], row["unrealised"], row["pnl"]) == (0, 0, 200, 0, 200)


def test_it_sells_short(bench, kite):
    order(kite, price=1500, transaction_type="SELL")
    bench.price("NSE:INFY", 1490)
    row = kite.positions()["day"][0]
    assert (row["quantity"], row["average_price"], row["pnl"]) == (-10, 1500, 100)


def test_it_counts_commodities_in_lots_with_a_multiplier(bench, kite):
    symbol = _future(kite, "MCX", "CRUDEOIL")
    order(kite, exchange="MCX", tradingsymbol=symbol, product="NRML", quantity=2, price=5500)
    bench.price(f"MCX:{symbol}", 5510)
    row = kite.positions()["net"][0]
    assert (row["quantity"], row["multiplier"], row["pnl"]) == (2, 100, 2000)
    assert kite.margins("commodity")["utilised"]["debits"] == 5500 * 2 * 100 * 0.15
    assert kite.margins("equity")["utilised"]["debits"] == 0


def test_it_uses_holdings_for_a_sale(kite):
    order(kite, product="CNC", transaction_type="SELL", quantity=100, price=1500)
    row = next(r for r in kite.holdings() if r["tradingsymbol"] == "INFY")
    assert (row["quantity"], row["used_quantity"]) == (5000, 100)
    assert kite.positions()["net"][0]["quantity"] == -100


def test_it_tells_funds_by_segment(kite):
    order(kite, product="CNC", quantity=10, price=1400)
    margins = kite.margins()
    assert margins["equity"]["net"] == margins["equity"]["available"]["live_balance"] == 100_000_000 - 14_000
    assert margins["commodity"] == kite.margins("commodity")
    with pytest.raises(InputException, match="Invalid `segment`"):
        kite.margins("gold")


def test_it_takes_an_options_premium(kite):
    symbol = next(i["tradingsymbol"] for i in kite.instruments("NFO") if i["instrument_type"] == "CE" and i["strike"] == 24500)
    order(kite, exchange="NFO", tradingsymbol=symbol, product="NRML", quantity=65, price=122.5)
    assert kite.margins("equity")["utilised"]["option_premium"] == 122.5 * 65


def test_it_converts_a_position(kite):
    order(kite, price=1500)
    assert kite.convert_position("NSE", "INFY", "BUY", "day", 4, "MIS", "CNC") is True
    assert {row["product"]: row["quantity"] for row in kite.positions()["net"]} == {"MIS": 6, "CNC": 4}
    with pytest.raises(InputException):
        kite.convert_position("NSE", "INFY", "BUY", "day", 7, "MIS", "CNC")


# ---------------------------------------------------------------------------- the next day
def _next_day(bench):
    bench.clock(at="2026-11-24T09:30:00+05:30")
    return bench.kite()


def test_it_delivers_shares_the_next_day_and_frees_them_the_day_after(bench, kite):
    order(kite, product="CNC", price=1500, quantity=10)
    client = _next_day(bench)
    row = next(r for r in client.holdings() if r["tradingsymbol"] == "INFY")
    assert (row["quantity"], row["t1_quantity"], client.positions()["net"]) == (5000, 10, [])
    assert client.margins("equity")["net"] == 100_000_000 - 15_000
    bench.clock(at="2026-11-25T09:30:00+05:30")
    row = next(r for r in bench.kite().holdings() if r["tradingsymbol"] == "INFY")
    assert (row["quantity"], row["t1_quantity"]) == (5010, 0)


def test_it_takes_sold_shares_out_of_the_holdings(bench, kite):
    order(kite, product="CNC", transaction_type="SELL", price=1500, quantity=5000)
    client = _next_day(bench)
    assert "INFY" not in [row["tradingsymbol"] for row in client.holdings()]
    assert client.margins("equity")["net"] == 100_000_000 + 7_500_000


def test_it_carries_nrml_over_and_closes_mis(bench, kite):
    symbol = _future(kite)
    bench.price(f"NFO:{symbol}", 24500)
    order(kite, exchange="NFO", tradingsymbol=symbol, product="NRML", quantity=65, price=24500)
    order(kite, price=1500)
    bench.price("NSE:INFY", 1510)
    client = _next_day(bench)
    rows = client.positions()["net"]
    assert [(r["product"], r["quantity"], r["overnight_quantity"], r["average_price"]) for r in rows] == [("NRML", 65, 65, 24500)]
    assert client.positions()["day"] == [] and client.margins("equity")["available"]["cash"] == 100_000_100


def test_it_settles_a_contract_that_has_expired(bench, kite):
    symbol = _future(kite)
    order(kite, exchange="NFO", tradingsymbol=symbol, product="NRML", quantity=65, price=24500)
    bench.price(f"NFO:{symbol}", 24510)
    bench.clock(at="2026-11-25T09:30:00+05:30")  # it expired the day before
    client = bench.kite()
    assert client.positions()["net"] == [] and symbol not in {i["tradingsymbol"] for i in client.instruments("NFO")}
    assert client.margins("equity")["net"] == 100_000_000 + 650


def test_it_keeps_an_old_contract_on_the_list_while_somebody_has_it(bench, kite):
    symbol = next(i["tradingsymbol"] for i in kite.instruments("NFO") if i["instrument_type"] == "CE" and i["expiry"].month == 12)
    order(kite, exchange="NFO", tradingsymbol=symbol, product="NRML", quantity=65, price=1000)
    bench.clock(at="2026-11-25T09:30:00+05:30")
    assert bench.kite().positions()["net"][0]["tradingsymbol"] == symbol


def test_it_starts_the_day_with_an_empty_book_but_keeps_the_truth(bench, kite):
    placed = order(kite)
    client = _next_day(bench)
    assert client.orders() == [] and client.trades() == []
    with pytest.raises(GeneralException):
        client.order_history(placed)
    assert [(row["order_id"], row["status"]) for row in bench.accepted()] == [(placed, "CANCELLED")]


def test_it_lists_the_new_days_contracts_and_keeps_prices(bench, kite):
    bench.price("NSE:INFY", 1555)
    before = {i["tradingsymbol"] for i in kite.instruments("NFO")}
    bench.clock(at="2026-12-30T10:00:00+05:30")
    client = bench.kite()
    assert {i["tradingsymbol"] for i in client.instruments("NFO")} != before
    assert client.ohlc("NSE:INFY")["NSE:INFY"]["ohlc"]["close"] == 1555


# ---------------------------------------------------------------------------- calculators and prices
def _row(**more):
    row = {"exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY", "variety": "regular", "product": "CNC", "order_type": "LIMIT"}
    return row | {"quantity": 10, "price": 1500} | more


def test_it_computes_margins_for_orders(kite):
    rows = kite.order_margins([_row(), _row(product="MIS")])
    assert [(r["total"], r["var"], r["type"]) for r in rows] == [(15000, 15000, "equity"), (3000, 3000, "equity")]
    assert kite.basket_order_margins([_row(), _row(product="MIS")])["initial"]["total"] == 18000


def test_it_computes_charges_by_the_schedule(kite):
    buy, sell = kite.get_virtual_contract_note([_row(average_price=1500), _row(average_price=1500, product="MIS", transaction_type="SELL")])
    assert (buy["charges"]["transaction_tax"], buy["charges"]["brokerage"], buy["charges"]["stamp_duty"]) == (15, 0, 2.25)
    assert (sell["charges"]["transaction_tax"], sell["charges"]["brokerage"], sell["charges"]["stamp_duty"]) == (3.75, 4.5, 0)
    gst = sell["charges"]["gst"]["total"]
    assert gst == pytest.approx((4.5 + 0.4605 + 0.015) * 0.18) and sell["charges"]["total"] == pytest.approx(3.75 + 4.5 + 0.4605 + 0.015 + gst)


def test_it_charges_each_segment_by_its_own_rates(kite):
    rows = {i["exchange"] + i["instrument_type"]: i["tradingsymbol"] for i in kite.instruments() if i["exchange"] in ("NFO", "MCX", "CDS")}
    wanted = [("NFO", "FUT", 65), ("NFO", "CE", 65), ("MCX", "FUT", 1), ("CDS", "FUT", 1)]
    asked = [_row(exchange=e, tradingsymbol=rows[e + k], product="NRML", transaction_type="SELL", quantity=q, average_price=100) for e, k, q in wanted]
    notes = [note["charges"] for note in kite.get_virtual_contract_note(asked)]
    assert [(n["transaction_tax"], n["transaction_tax_type"]) for n in notes][:2] == [(3.25, "stt"), (9.75, "stt")]
    assert [n["brokerage"] for n in notes][:2] == [1.95, 20] and notes[2]["transaction_tax_type"] == "ctt" and notes[3]["transaction_tax"] == 0


def test_it_refuses_to_compute_nonsense(kite):
    for wrong in ([_row(quantity=0)], [_row(tradingsymbol="NOSUCH")], {"a": 1}):
        with pytest.raises(InputException):
            kite.order_margins(wrong)


def test_it_quotes(bench, kite):
    bench.price("NSE:INFY", "1505.05")
    quote = kite.quote("NSE:INFY", "NSE:NOSUCH")
    assert list(quote) == ["NSE:INFY"]
    quote = quote["NSE:INFY"]
    assert (quote["last_price"], quote["ohlc"]["high"], quote["net_change"]) == (1505.05, 1505.05, 5.05)
    assert [row["price"] for row in quote["depth"]["buy"]][:2] == [1505.05, 1505.0] and len(quote["depth"]["sell"]) == 5
    assert kite.ltp("NSE:NIFTY 50")["NSE:NIFTY 50"]["last_price"] == 24500


def test_it_tells_the_same_history_twice(kite):
    asked = (408065, "2026-11-20 09:15:00", "2026-11-20 09:30:00", "5minute")
    candles = kite.historical_data(*asked)
    assert candles == kite.historical_data(*asked) and len(candles) == 4
    assert all(row["low"] <= min(row["open"], row["close"]) <= max(row["open"], row["close"]) <= row["high"] for row in candles)


def test_it_writes_orders_with_the_fields_of_kite(kite):
    names = """placed_by order_id exchange_order_id parent_order_id status status_message status_message_raw order_timestamp exchange_update_timestamp
    exchange_timestamp variety modified exchange tradingsymbol instrument_token order_type transaction_type validity validity_ttl product quantity
    disclosed_quantity price trigger_price average_price filled_quantity pending_quantity cancelled_quantity market_protection meta tag tags guid"""
    assert set(book(kite, order(kite))) == set(names.split())
