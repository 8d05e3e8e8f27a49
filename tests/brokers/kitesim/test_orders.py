"""Life cycles: what becomes of an order, in Kite's own words."""

import re

import pytest
from kiteconnect.exceptions import GeneralException, InputException

from tests.brokers.kitesim.conftest import book, order, path_of

ACCEPTED = ["PUT ORDER REQ RECEIVED", "VALIDATION PENDING", "OPEN PENDING"]


def test_it_rests_a_limit_order_and_fills_it_when_the_price_comes(bench, kite, buy):
    placed = buy(price=1490)
    bench.price("NSE:INFY", "1490.05")
    assert path_of(kite, placed) == [*ACCEPTED, "OPEN"]
    bench.price("NSE:INFY", 1489)
    assert path_of(kite, placed) == [*ACCEPTED, "OPEN", "COMPLETE"]
    assert book(kite, placed)["average_price"] == 1490


def test_it_fills_a_limit_order_that_crosses_at_the_market(kite, buy):
    assert book(kite, buy(price=1510))["average_price"] == 1500


def test_it_fills_a_protected_market_order_as_a_limit_at_its_cap(kite, buy):
    row = book(kite, buy(order_type="MARKET", price=None, market_protection=-1))
    assert (row["status"], row["order_type"], row["price"], row["market_protection"]) == ("COMPLETE", "LIMIT", 1507.5, 0)
    assert (row["tag"], row["tags"], row["average_price"]) == ("t1", ["t1", "mktp", "mktp:0.50"], 1500)


@pytest.mark.parametrize(("side", "cap"), [("BUY", 1530), ("SELL", 1470)])
def test_it_leaves_the_rest_of_a_market_order_at_the_cap(bench, kite, buy, side, cap):
    bench.price("NSE:INFY", 1500, quantity=4)
    placed = buy(order_type="MARKET", price=None, market_protection=2, transaction_type=side)
    row = book(kite, placed)
    assert (row["status"], row["filled_quantity"], row["pending_quantity"], row["price"]) == ("OPEN", 4, 6, cap)
    bench.price("NSE:INFY", cap)
    assert book(kite, placed)["status"] == "COMPLETE"


def test_it_fills_in_parts_and_keeps_each_trade(bench, kite, buy):
    placed = buy(price=1500, quantity=10)
    first = buy(price=1490, quantity=10, tag="t2")
    bench.price("NSE:INFY", 1490, quantity=3)
    bench.price("NSE:INFY", 1490, quantity=20)
    assert [t["quantity"] for t in kite.order_trades(first)] == [3, 7]
    assert [(t["order_id"], t["quantity"]) for t in kite.trades()] == [(placed, 10), (first, 3), (first, 7)]
    assert len({t["trade_id"] for t in kite.trades()}) == 3


def test_it_writes_trades_as_kite_does(kite, buy):
    trade = kite.order_trades(buy(price=1500))[0]
    assert (trade["order_timestamp"], str(trade["fill_timestamp"])) == ("10:00:00", "2026-11-23 10:00:00")
    assert (trade["average_price"], trade["quantity"], trade["exchange_order_id"][0]) == (1500, 10, "1")


def test_it_triggers_a_stop_and_then_matches_it(bench, kite, buy):
    placed = buy(order_type="SL", trigger_price=1510, price=1512)
    assert path_of(kite, placed) == [*ACCEPTED, "TRIGGER PENDING"]
    bench.price("NSE:INFY", 1511)
    assert path_of(kite, placed)[3:] == ["TRIGGER PENDING", "OPEN", "COMPLETE"]


def test_it_gives_a_stop_at_market_a_cap(bench, kite, buy):
    placed = buy(order_type="SL-M", transaction_type="SELL", price=None, trigger_price=1480, market_protection=1)
    assert (book(kite, placed)["status"], book(kite, placed)["price"]) == ("TRIGGER PENDING", 1465.2)
    bench.price("NSE:INFY", 1479)
    assert (book(kite, placed)["status"], book(kite, placed)["average_price"]) == ("COMPLETE", 1479)


def test_it_cancels_the_rest_of_an_ioc_order(bench, kite, buy):
    bench.price("NSE:INFY", 1500, quantity=4)
    row = book(kite, buy(price=1500, validity="IOC"))
    assert (row["status"], row["filled_quantity"], row["cancelled_quantity"], row["pending_quantity"]) == ("CANCELLED", 4, 6, 0)


def test_it_ends_a_ttl_order_after_its_minutes(bench, kite, buy):
    placed = buy(validity="TTL", validity_ttl=2)
    bench.clock(advance_s=119)
    assert book(kite, placed)["status"] == "OPEN"
    bench.clock(advance_s=1)
    assert book(kite, placed)["status"] == "CANCELLED"


def test_it_cancels(kite, buy):
    placed = buy()
    assert kite.cancel_order("regular", placed) == placed
    assert path_of(kite, placed)[3:] == ["OPEN", "CANCEL PENDING", "CANCELLED"]


def test_it_lets_a_fill_overtake_a_cancel(bench, kite, buy):
    placed = buy()
    bench.fault("cancel", "fill_before_cancel")
    assert kite.cancel_order("regular", placed) == placed
    assert path_of(kite, placed)[3:] == ["OPEN", "CANCEL PENDING", "COMPLETE"]


def test_it_modifies(bench, kite, buy):
    placed = buy()
    kite.modify_order("regular", placed, price=1495, quantity=5)
    row = book(kite, placed)
    assert (row["price"], row["quantity"], row["modified"], row["tag"]) == (1495, 5, True, "t1")
    assert path_of(kite, placed)[4:] == ["MODIFY VALIDATION PENDING", "MODIFY PENDING", "MODIFIED", "OPEN"]


def test_it_modifies_to_market_only_with_protection(kite, buy):
    placed = buy()
    with pytest.raises(InputException, match="Market orders without market protection"):
        kite.modify_order("regular", placed, order_type="MARKET")
    kite.modify_order("regular", placed, order_type="MARKET", market_protection=-1)
    assert (book(kite, placed)["status"], book(kite, placed)["average_price"]) == ("COMPLETE", 1500)


@pytest.mark.parametrize("wanted", [{"price": 1490.03}, {"quantity": 0}, {"price": 1}, {"validity": "GTC"}])
def test_it_changes_nothing_with_a_modification_it_refuses(kite, buy, wanted):
    placed = buy()
    before = book(kite, placed)
    with pytest.raises(InputException):
        kite.modify_order("regular", placed, **wanted)
    assert book(kite, placed) == before


def test_it_takes_25_modifications(kite, buy):
    placed = buy()
    for n in range(25):
        kite.modify_order("regular", placed, price=1480 + n % 2)
    with pytest.raises(InputException, match="modifications"):
        kite.modify_order("regular", placed, price=1482)


def test_it_says_that_a_finished_order_is_being_processed(kite, buy):
    placed = buy(price=1500)
    with pytest.raises(InputException, match="cannot be cancelled as it is being processed"):
        kite.cancel_order("regular", placed)
    with pytest.raises(InputException, match="cannot be modified as it is being processed"):
        kite.modify_order("regular", placed, price=1495)


def test_it_wants_the_orders_own_variety_and_id(kite, buy):
    placed = buy()
    with pytest.raises(InputException, match="variety"):
        kite.cancel_order("amo", placed)
    with pytest.raises(GeneralException, match="order_id"):
        kite.cancel_order("regular", "1")


def test_it_works_off_an_iceberg_leg_by_leg(bench, kite, buy):
    first = buy(variety="iceberg", quantity=30, iceberg_legs=3, iceberg_quantity=10)
    bench.price("NSE:INFY", 1480, quantity=10)
    rows = kite.orders()
    assert [(r["status"], r["quantity"], r["parent_order_id"]) for r in rows] == [("COMPLETE", 10, None), ("OPEN", 10, first)]
    bench.price("NSE:INFY", 1480)
    assert [r["meta"]["iceberg"]["remaining_quantity"] for r in kite.orders()] == [20, 10, 0]
    assert sum(t["quantity"] for t in kite.trades()) == 30


def test_it_modifies_the_leg_of_an_iceberg(kite, buy):
    first = buy(variety="iceberg", quantity=30, iceberg_legs=3, iceberg_quantity=10)
    kite.modify_order("iceberg", first, price=1500)
    assert [(r["status"], r["quantity"], r["average_price"]) for r in kite.orders()] == [("COMPLETE", 10, 1500)] * 3


def test_it_modifies_a_sale_within_what_is_held(bench, kite, buy):
    bench.post("accounts", holdings={"NSE:INFY": 10})
    placed = buy(product="CNC", transaction_type="SELL", price=1600, quantity=8)
    kite.modify_order("regular", placed, quantity=10)
    with pytest.raises(GeneralException, match="Insufficient stock holding"):
        kite.modify_order("regular", placed, quantity=11)
    assert book(kite, placed)["quantity"] == 10


def test_it_refuses_to_grow_an_order_beyond_the_funds(bench, kite, buy):
    bench.post("accounts", cash=15000)
    placed = buy(product="CNC")
    with pytest.raises(GeneralException, match="Insufficient funds"):
        kite.modify_order("regular", placed, quantity=11)
    kite.modify_order("regular", placed, quantity=9)
    assert kite.margins("equity")["net"] == 15000 - 9 * 1490


def test_it_puts_a_stop_behind_a_cover_order_and_closes_it_on_exit(kite, buy):
    first = buy(variety="co", order_type="MARKET", price=None, trigger_price=1480, market_protection=-1)
    stop = kite.orders()[1]
    assert (stop["parent_order_id"], stop["status"], stop["transaction_type"], stop["trigger_price"]) == (first, "TRIGGER PENDING", "SELL", 1480)
    kite.exit_order("co", stop["order_id"], parent_order_id=first)
    assert kite.positions()["net"][0]["quantity"] == 0


def _future(kite) -> str:
    rows = [i for i in kite.instruments("NFO") if i["name"] == "NIFTY" and i["instrument_type"] == "FUT"]
    return min(rows, key=lambda i: i["expiry"])["tradingsymbol"]


def test_it_slices_what_is_above_the_freeze_quantity(bench, kite):
    wanted = {"variety": "regular", "exchange": "NFO", "tradingsymbol": _future(kite), "transaction_type": "BUY", "product": "NRML", "tag": "s1"}
    said = kite.place_autoslice_order(**wanted, quantity=65 * 60, order_type="MARKET", market_protection=-1)
    rows = kite.orders()
    assert [r["quantity"] for r in rows] == [1755, 1755, 390]
    assert [{"order_id": r["order_id"]} for r in rows] == said["children"]
    assert all(f"autoslice:{said['order_id']}" in r["tags"] and r["tag"] == "s1" for r in rows)


def test_it_may_refuse_some_of_the_slices(bench, kite):
    bench.post("accounts", cash=24500 * 1755 * 0.16)
    wanted = {"variety": "regular", "exchange": "NFO", "tradingsymbol": _future(kite), "transaction_type": "BUY", "product": "NRML", "tag": "s1"}
    children = kite.place_autoslice_order(**wanted, quantity=65 * 60, order_type="LIMIT", price=24500)["children"]
    assert [sorted(c) for c in children] == [["order_id"], ["error"], ["error"]]
    assert children[1]["error"]["error_type"] == "MarginException" and len(bench.accepted("s1")) == 1


def test_it_rejects_what_is_above_the_freeze_quantity_after_accepting_it(kite, bench):
    placed = order(kite, exchange="NFO", tradingsymbol=_future(kite), product="NRML", quantity=65 * 28, price=24500)
    row = book(kite, placed)
    assert (row["status"], row["exchange_order_id"]) == ("REJECTED", None) and "freeze quantity" in row["status_message"]
    assert path_of(kite, placed) == ["PUT ORDER REQ RECEIVED", "VALIDATION PENDING", "REJECTED"]
    assert len(bench.accepted()) == 1


def test_it_numbers_orders_with_15_digits_that_go_on_after_a_reset(bench, kite, buy):
    first = buy()
    bench.post("reset")
    second = order(kite)
    assert re.fullmatch(r"\d{15}", first) and re.fullmatch(r"\d{15}", second)
    assert int(second[6:]) > int(first[6:])


def test_it_reads_back_the_time_an_order_was_placed(bench, kite, buy):
    placed = buy()
    bench.clock(advance_s=90)
    kite.cancel_order("regular", placed)
    row = book(kite, placed)
    assert (str(row["order_timestamp"]), row["exchange_update_timestamp"]) == ("2026-11-23 10:00:00", "2026-11-23 10:01:30")
