"""Reads: complete or an error, and never evidence when they fail."""

from datetime import timedelta
from decimal import Decimal as D

import pytest

from brokers.errors import Ambiguous, AuthExpired, BrokerError, RateLimited, RejectCode, Rejected, Unavailable
from brokers.registry import adapter_for
from brokers.types import GttKind, GttLeg, GttRequest, GttStatus, OrderKey, OrderRequest, OrderType, Product, Side
from brokers.zerodha.mapping import InstrumentRows
from tests.brokers.zerodha.conftest import INFY, login, make_account
from tvapp.lib import clock

pytestmark = pytest.mark.django_db
READS = {
    "orders": lambda adapter: adapter.list_orders(),
    "trades": lambda adapter: adapter.list_fills(),
    "positions": lambda adapter: adapter.positions(),
    "holdings": lambda adapter: adapter.holdings(),
    "margins": lambda adapter: adapter.funds(),
    "gtt": lambda adapter: adapter.list_gtts(),
    "profile": lambda adapter: adapter.check_session(),
    "quote": lambda adapter: adapter.quote(["NSE:INFY"]),
}
BODIES = ("{oops", "", "[]", "null", '{"status":"success"}', '{"status":"success","data":null}', '{"status":"success","data":"x"}', '{"status":"success","data":[1]}')


@pytest.mark.parametrize("route", READS)
@pytest.mark.parametrize("mode", ["drop_before", "drop_after", "html_502", "5xx_before", "redirect_307"])
def test_it_calls_a_failed_read_no_evidence(sim, adapter, route, mode):
    sim.fault(route, mode)
    with pytest.raises(Unavailable):
        READS[route](adapter)
    assert len(sim.requests("GET", route)) == 1


@pytest.mark.parametrize("route", READS)
@pytest.mark.parametrize("body", BODIES)
def test_it_calls_an_odd_body_no_evidence(sim, adapter, route, body):
    sim.fault(route, "malformed", body=body)
    with pytest.raises(Unavailable) as failed:
        READS[route](adapter)
    assert failed.value.message


def test_it_never_takes_a_book_that_is_null_for_an_empty_one(sim, adapter, order):
    request = order()
    adapter.place(request)
    sim.fault("orders", "malformed", body='{"status":"success","data":null}')
    with pytest.raises(Unavailable):
        adapter.find_by_ref(request.ref)


@pytest.mark.parametrize("route", READS)
@pytest.mark.parametrize(("mode", "kind"), [("403_token", AuthExpired), ("429", RateLimited)])
def test_it_knows_a_dead_session_and_a_full_budget_on_every_read(sim, adapter, route, mode, kind):
    sim.fault(route, mode)
    with pytest.raises(kind) as refused:
        READS[route](adapter)
    assert kind is AuthExpired or refused.value.retry_after >= 1


def test_it_gives_up_on_a_silent_broker_in_time(sim, adapter, monkeypatch):
    monkeypatch.setenv("TVAPP_TIME_SCALE", "0.1")
    sim.fault("orders", "hang_before", delay_s=20)
    start = clock.now()
    with pytest.raises(Unavailable) as failed:
        adapter.list_orders()
    assert failed.value.code == "TIMEOUT" and clock.now() - start < timedelta(seconds=5)


def test_it_looks_an_order_up_in_its_history_when_the_book_lacks_it(sim, adapter, order):
    ack = adapter.place(order(price=D(1490)))
    sim.fault("orders", "empty_book")
    report = adapter.get_order(ack.key)
    assert (report.key.ref, report.quantity) == (ack.key.ref, 100)


def test_it_does_not_call_an_order_missing_because_two_reads_failed(sim, adapter):
    sim.fault("orders", "empty_book")
    sim.fault("orders", "5xx_before")
    with pytest.raises(Unavailable):
        adapter.get_order(OrderKey("1", "s1"))


def test_it_asks_for_the_fills_of_one_order(sim, adapter, order):
    first, second = (adapter.place(order(price=D(1510))) for _ in range(2))
    [fill] = adapter.list_fills(first.key)
    assert fill.broker_order_id == first.key.broker_order_id and fill.quantity == 100
    assert len(adapter.list_fills()) == 2 and second.key != first.key


def test_it_reads_holdings(adapter):
    held = {h.native["tradingsymbol"]: h for h in adapter.holdings()}
    assert (held["INFY"].quantity, held["INFY"].avg_price, held["INFY"].ltp) == (5000, 1320, 1500)


def test_it_reads_the_money_of_both_segments(adapter):
    assert {row.segment: row.available for row in adapter.funds()} == {"equity": 100_000_000, "commodity": 10_000_000}


# ---------------------------------------------------------------------------- prices
@pytest.mark.parametrize(("order_type", "price", "needs"), [(OrderType.LIMIT, D(1400), 2800), (OrderType.MARKET, None, 3000)])
def test_it_asks_what_an_order_needs_and_sends_nothing(sim, adapter, order_type, price, needs):
    asked = OrderRequest("t1", INFY, Side.BUY, D(10), order_type, Product.MIS, price)
    assert adapter.margin(asked) == needs
    assert not sim.requests("POST", "place") and not adapter.list_orders()


def test_it_gives_prices_with_depth_and_leaves_out_what_it_does_not_know(sim, adapter):
    sim.price("NSE:INFY", 1501.5)
    [tick] = adapter.quote(["NSE:INFY", "NSE:NOSUCH"])
    assert (tick.key, tick.ltp, tick.bid, tick.ask) == ("NSE:INFY", D("1501.5"), D("1501.5"), D("1501.5"))
    assert abs(tick.at - clock.now()) < timedelta(seconds=10)


def test_it_asks_for_prices_in_batches(sim, adapter):
    keys = [f"NSE:X{n}" for n in range(1100)] + ["NSE:INFY"]
    assert [tick.key for tick in adapter.quote(keys)] == ["NSE:INFY"]
    assert len(sim.requests("GET", "quote")) == 3
    assert adapter.quote([]) == ()


def test_it_says_that_the_plan_has_no_prices(sim, adapter):
    sim.post("accounts", api_key="simkey", plan="personal")
    with pytest.raises(Rejected) as refused:
        adapter.quote(["NSE:INFY"])
    assert refused.value.code == RejectCode.NOT_PERMITTED


# ---------------------------------------------------------------------------- instruments
def test_it_streams_the_list_without_a_login(sim, owner, unlimited):
    rows = adapter_for(make_account(owner, "fresh")).iter_instruments()
    found = {row.key: row for row in rows}
    assert isinstance(rows, InstrumentRows) and (rows.malformed, rows.expired) == (0, 0)
    assert (found["NSE:INFY"].tick, found["NSE:INFY"].native["token"]) == (D("0.05"), "408065")
    assert {row.exchange for row in adapter_for(make_account(owner, "b")).iter_instruments("MCX")} == {"MCX"}


@pytest.mark.parametrize(("mode", "more"), [("html_502", {}), ("drop_before", {}), ("malformed", {"body": '{"status":"success"}'}), ("redirect_307", {}), ("429", {})])
def test_it_gives_no_list_in_place_of_a_broken_one(sim, adapter, mode, more):
    sim.fault("instruments", mode, **more)
    with pytest.raises(BrokerError):
        list(adapter.iter_instruments())


# ---------------------------------------------------------------------------- triggers
def stop(*triggers, last=D(1500), quantity=D(10)):
    legs = tuple(GttLeg(Side.SELL, quantity, Product.CNC, price=trigger - 1) for trigger in triggers)
    return GttRequest(INFY, GttKind.SINGLE if len(triggers) == 1 else GttKind.OCO, triggers, legs, last)


def test_it_places_reads_and_deletes_a_trigger(sim, adapter):
    single, pair = adapter.place_gtt(stop(D("1400.05"))), adapter.place_gtt(stop(D(1400), D(1600)))
    found = {row.id: row for row in adapter.list_gtts()}
    assert (found[single].kind, found[single].triggers, found[single].legs[0].price) == (GttKind.SINGLE, (D("1400.05"),), D("1399.05"))
    assert (found[pair].kind, len(found[pair].legs), found[pair].results) == (GttKind.OCO, 2, (None, None))
    adapter.delete_gtt(single)
    assert {row.id: row.status for row in adapter.list_gtts()} == {single: GttStatus.DELETED, pair: GttStatus.ACTIVE}


def test_it_shows_the_order_of_a_leg_that_fired_and_why_another_failed(sim, adapter):
    good, bad = adapter.place_gtt(stop(D(1400))), adapter.place_gtt(stop(D(1400), quantity=D(99_999)))
    sim.price("NSE:INFY", 1399)
    found = {row.id: row for row in adapter.list_gtts()}
    assert {row.status for row in found.values()} == {GttStatus.TRIGGERED}
    [fired], [failed] = found[good].results, found[bad].results
    assert fired.ok and fired.broker_order_id in {report.key.broker_order_id for report in adapter.list_orders()}
    assert not failed.ok and failed.broker_order_id == "" and "holding" in failed.message


@pytest.mark.parametrize("mode", ["drop_before", "drop_after", "malformed", "5xx_after"])
def test_it_is_unsure_about_a_trigger_and_sends_it_once(sim, adapter, mode):
    sim.fault("gtt", mode)
    with pytest.raises(Ambiguous):
        adapter.place_gtt(stop(D(1400)))
    assert len(sim.requests("POST", "gtt")) == 1


def test_it_knows_a_trigger_that_is_not_there_and_one_that_has_ended(adapter):
    with pytest.raises(Rejected) as missing:
        adapter.delete_gtt("424242")
    gone = adapter.place_gtt(stop(D(1400)))
    adapter.delete_gtt(gone)
    with pytest.raises(Rejected) as ended:
        adapter.delete_gtt(gone)
    assert (missing.value.code, ended.value.code) == (RejectCode.ORDER_NOT_FOUND, RejectCode.ORDER_BUSY)


def test_it_does_not_mix_two_accounts(sim, adapter, stranger, order):
    mine, theirs = adapter.place(order()), stranger.place(order())
    assert [r.key.broker_order_id for r in adapter.list_orders()] == [mine.key.broker_order_id]
    assert [r.key.broker_order_id for r in stranger.list_orders()] == [theirs.key.broker_order_id]


def test_it_uses_a_new_login_from_the_next_call_on(sim, adapter, account):
    adapter.list_orders()
    sim.post("expire", api_key="simkey")
    with pytest.raises(AuthExpired):
        adapter.list_orders()
    login(sim, account)
    assert adapter.list_orders() == ()
