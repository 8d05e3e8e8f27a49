"""What is refused, with Kite's texts, and never reaches the truth."""

import pytest
import requests
from kiteconnect.exceptions import GeneralException, InputException

from tests.brokers.kitesim.conftest import book, order

CASES = [
    ({"variety": "auction"}, "Invalid `variety`"),
    ({"exchange": "XSE"}, "Invalid `exchange`"),
    ({"tradingsymbol": "NOSUCH"}, "has either expired or does not exist"),
    ({"tradingsymbol": "NIFTY 50"}, "has either expired or does not exist"),
    ({"transaction_type": "HOLD"}, "Invalid `transaction_type`"),
    ({"order_type": "STOP"}, "Invalid `order_type`"),
    ({"product": "NRML"}, "Invalid `product`"),
    ({"validity": "GTC"}, "Invalid `validity`"),
    ({"validity": "TTL"}, "Invalid `validity_ttl`"),
    ({"quantity": 0}, "Invalid `quantity`"),
    ({"quantity": -5}, "Invalid `quantity`"),
    ({"quantity": "ten"}, "Invalid `quantity`"),
    ({"quantity": 1.5}, "Invalid `quantity`"),
    ({"quantity": "1_0"}, "Invalid `quantity`"),
    ({"quantity": "9" * 30}, "Invalid `quantity`"),
    ({"price": "1e9"}, "Invalid `price`"),
    ({"price": None}, "Invalid `price`"),
    ({"price": "nan"}, "Invalid `price`"),
    ({"price": 1490.03}, "Tick size for this script is 0.05. Kindly enter price in the multiple"),
    ({"order_type": "SL"}, "Invalid `trigger_price`"),
    ({"order_type": "SL", "trigger_price": 1509.99, "price": 1515}, "Kindly enter trigger price in the multiple"),
    ({"order_type": "SL", "trigger_price": 1515, "price": 1510}, "Invalid `trigger_price`"),
    ({"order_type": "MARKET", "price": None}, "Market orders without market protection"),
    ({"order_type": "SL-M", "price": None, "trigger_price": 1510}, "Market orders without market protection"),
    ({"order_type": "MARKET", "price": None, "market_protection": "True"}, "failed to decode market_protection"),
    ({"order_type": "MARKET", "price": None, "market_protection": 101}, "Invalid `market_protection`"),
    ({"tag": "a" * 21}, "`tag` should be max 20 characters"),
    ({"tag": "not-good"}, "Invalid `tag`"),
    ({"variety": "iceberg", "iceberg_legs": 3}, "Invalid `iceberg_legs`"),
    ({"variety": "co", "product": "CNC", "trigger_price": 1480}, "Invalid `product`"),
]


@pytest.mark.parametrize(("wanted", "text"), CASES, ids=[f"{n}-{text[:30]}" for n, (_, text) in enumerate(CASES)])
def test_it_refuses_an_order_no_broker_would_take(bench, kite, wanted, text):
    with pytest.raises(InputException) as refused:
        order(kite, **wanted)
    assert text in str(refused.value) and refused.value.code == 400
    assert bench.accepted() == [] and kite.orders() == []


def test_it_refuses_a_body_it_cannot_read(bench, kite):
    head = {"Authorization": f"token simkey:{kite.access_token}", "Content-Type": "application/x-www-form-urlencoded"}
    for path in ("orders/regular", "margins/orders", "gtt/triggers"):
        assert requests.post(f"{bench.url}/{path}", data=b"\xff{", headers=head, timeout=5).json()["error_type"] == "InputException"
    assert bench.accepted() == []


def test_it_takes_a_tag_of_20_characters(bench, kite):
    order(kite, tag="a2" * 10)
    assert len(bench.accepted("a2" * 10)) == 1


def test_it_wants_whole_lots(bench, kite):
    symbol = next(i["tradingsymbol"] for i in kite.instruments("NFO") if i["lot_size"] == 65)
    with pytest.raises(InputException, match="Invalid `quantity`"):
        order(kite, exchange="NFO", tradingsymbol=symbol, product="NRML", quantity=66)


def test_it_refuses_without_funds_and_says_how_much(bench, kite):
    bench.post("accounts", cash=900)
    with pytest.raises(GeneralException) as refused:
        order(kite, product="CNC", quantity=1, price=1000)
    assert str(refused.value) == "Insufficient funds. Required margin is 1000.00 but available margin is 900.00."
    assert refused.value.code == 400 and bench.accepted() == []


def test_it_lets_go_of_blocked_funds_when_an_order_ends(bench, kite):
    bench.post("accounts", cash=20000)
    placed = order(kite, product="CNC", quantity=10, price=1490)
    with pytest.raises(GeneralException, match="Insufficient funds"):
        order(kite, product="CNC", quantity=10, price=1490)
    kite.cancel_order("regular", placed)
    assert order(kite, product="CNC", quantity=10, price=1490)


def test_it_needs_no_funds_to_close_what_is_open(bench, kite):
    order(kite, price=1500, quantity=100)
    bench.post("accounts", cash=1)
    placed = order(kite, price=1500, quantity=100, transaction_type="SELL")
    assert book(kite, placed)["status"] == "COMPLETE"


def test_it_refuses_to_sell_shares_that_are_not_there(bench, kite):
    bench.post("accounts", holdings={"NSE:INFY": 10})
    order(kite, product="CNC", transaction_type="SELL", quantity=6, price=1600)
    with pytest.raises(GeneralException, match="Insufficient stock holding"):
        order(kite, product="CNC", transaction_type="SELL", quantity=5, price=1600)
    assert len(bench.accepted()) == 1


def test_it_refuses_prices_outside_the_circuit(bench, kite):
    bench.price("NSE:INFY", 1500, lower=1350, upper=1650)
    with pytest.raises(InputException, match="lower than the current lower circuit limit of 1350"):
        order(kite, price=1349.95)
    with pytest.raises(InputException, match="higher than the current upper circuit limit of 1650"):
        order(kite, price=1650.05)
    with pytest.raises(InputException, match=r"stoploss sell orders cannot be below the lower circuit price.*above 1350"):
        order(kite, order_type="SL", transaction_type="SELL", trigger_price=1340, price=1340)
    assert order(kite, price=1350)


def test_it_can_be_rejected_by_risk_management_after_it_was_accepted(bench, kite):
    bench.fault("place", "reject_after_accept")
    row = book(kite, order(kite, tag="r1"))
    assert (row["status"], row["exchange_order_id"]) == ("REJECTED", None) and row["status_message"].startswith("RMS:Margin Exceeds")
    assert bench.accepted("r1")[0]["status"] == "REJECTED"


def test_it_refuses_a_batch_that_is_too_large(kite):
    with pytest.raises(InputException, match=r"Too many tokens requested\. Max permitted is 500"):
        kite.quote([f"NSE:X{n}" for n in range(501)])


# ---------------------------------------------------------------------------- hours
def test_it_trades_at_any_time_unless_asked_for_hours(bench, kite):
    bench.clock(at="2026-11-28T23:00:00+05:30")
    assert book(bench.kite(), order(bench.kite(), price=1500))["status"] == "COMPLETE"


@pytest.mark.parametrize(("product", "text"), [("MIS", "Try placing an AMO order"), ("CNC", "could not be converted to a After Market Order")])
def test_it_refuses_regular_orders_out_of_hours_and_hints_at_amo(bench, product, text):
    bench.clock(at="2026-11-28T11:00:00+05:30", hours=True)
    with pytest.raises(InputException, match=text):
        order(bench.kite(), product=product)
    assert bench.accepted() == []


def test_it_refuses_fresh_intraday_orders_late_in_the_day(bench, kite):
    bench.clock(at="2026-11-23T15:12:00+05:30", hours=True)
    with pytest.raises(InputException, match=r"Intraday orders \(MIS\) are allowed only till 3:12 PM"):
        order(kite)
    assert order(kite, product="CNC")


def test_it_takes_amo_only_out_of_hours(bench, kite):
    bench.clock(hours=True)
    with pytest.raises(InputException, match="Invalid `variety`"):
        order(kite, variety="amo", product="CNC")


def test_it_keeps_an_amo_until_the_next_session(bench, kite):
    bench.clock(at="2026-11-27T18:00:00+05:30", hours=True)  # a Friday evening
    client = bench.kite()
    placed = order(client, variety="amo", product="CNC", price=1495)
    assert book(client, placed)["status"] == "AMO REQ RECEIVED"
    client.modify_order("amo", placed, price=1500)
    bench.clock(at="2026-11-30T08:59:59+05:30")
    client = bench.kite()
    assert book(client, placed)["status"] == "MODIFY AMO REQ RECEIVED"
    bench.clock(at="2026-11-30T09:15:00+05:30")
    assert book(client, placed)["status"] == "COMPLETE"


def test_it_cancels_an_amo(bench):
    bench.clock(at="2026-11-28T18:00:00+05:30", hours=True)
    client = bench.kite()
    placed = order(client, variety="amo", product="CNC")
    client.cancel_order("amo", placed)
    bench.clock(at="2026-11-30T10:00:00+05:30")
    assert bench.accepted()[0]["status"] == "CANCELLED"


def test_it_ends_day_orders_at_the_close(bench, kite):
    bench.clock(hours=True)
    placed = order(kite, product="CNC")
    bench.clock(at="2026-11-23T15:30:00+05:30")
    assert book(kite, placed)["status"] == "CANCELLED"
