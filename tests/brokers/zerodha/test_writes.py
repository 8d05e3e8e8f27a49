"""What the adapter makes of everything that can go wrong with a write: doubt is told as doubt, and nothing is sent twice."""

from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.base import UnsupportedFeature
from brokers.errors import Ambiguous, AuthExpired, BrokerError, RateLimited, RejectCode, Rejected
from brokers.registry import adapter_for
from brokers.types import OrderKey, OrderRequest, OrderType, Product, Side, Status, Validity
from brokers.zerodha.adapter import _order_fields
from tests.brokers.zerodha.conftest import INFY
from tvapp.models import DeskSettings

pytestmark = pytest.mark.django_db
# fault, whether the broker accepted the order all the same
UNSURE = [
    ("hang_before", {"delay_s": 1.6}, False),
    ("hang_after", {"delay_s": 1.6}, True),
    ("slow", {"delay_s": 1.6}, True),
    ("drop_before", {}, False),
    ("drop_after", {}, True),
    ("html_502", {}, False),
    ("5xx_before", {}, False),
    ("5xx_after", {}, True),
    ("redirect_307", {}, False),
    ("400_timed_out_but_placed", {}, True),
    *(("malformed", {"body": body}, True) for body in (
        "{oops", "", "[]", "null", "{}", '{"status":"success"}', '{"status":"success","data":null}', '{"status":"success","data":{}}',
        '{"status":"success","data":{"order_id":null}}', '{"status":"success","data":{"order_id":""}}', '{"status":"success","data":[1]}',
        '{"status":"error"}', '{"status":"error","error_type":"InputException"}', '{"status":"error","message":null,"error_type":null}',
        '{"status":"error","message":"Invalid `price`.","error_type":"InputException"}',
    )),
]  # fmt: skip


@pytest.fixture
def quick(monkeypatch):
    """Timers a tenth as long: a write is given up after 1.5 s."""
    monkeypatch.setenv("TVAPP_TIME_SCALE", "0.1")


@pytest.mark.parametrize(("mode", "more", "accepted"), UNSURE, ids=[f"{row[0]}-{row[1].get('body', '')}" for row in UNSURE])
def test_it_is_unsure_whether_or_not_the_order_was_placed_and_sends_it_once(sim, adapter, order, quick, mode, more, accepted):
    sim.fault("place", mode, **more)
    request = order(price=D(1490))
    with pytest.raises(Ambiguous) as doubt:
        adapter.place(request)
    assert doubt.value.message and "Exception" not in doubt.value.message
    assert len(sim.requests("POST", "place")) == 1
    assert len(sim.accepted(request.ref)) == len(adapter.find_by_ref(request.ref)) == (1 if accepted else 0)


@pytest.mark.parametrize(("mode", "more", "accepted"), [row for row in UNSURE if row[0] not in ("400_timed_out_but_placed", "slow")][:10])
def test_it_is_unsure_about_a_cancel_in_the_same_way(sim, adapter, order, quick, mode, more, accepted):
    ack = adapter.place(order(price=D(1490)))
    sim.fault("cancel", mode, **more)
    with pytest.raises(Ambiguous):
        adapter.cancel(ack.key)
    assert len(sim.requests("DELETE", "cancel")) == 1
    assert adapter.get_order(ack.key).status is (Status.CANCELLED if accepted else Status.OPEN)


@pytest.mark.parametrize(("mode", "changed"), [("drop_before", False), ("drop_after", True), ("5xx_after", True), ("html_502", False)])
def test_it_is_unsure_about_a_change_in_the_same_way(sim, adapter, order, mode, changed):
    ack = adapter.place(order(price=D(1490)))
    sim.fault("modify", mode)
    with pytest.raises(Ambiguous):
        adapter.modify(ack.key, price=D(1480))
    assert len(sim.requests("PUT", "modify")) == 1
    assert adapter.get_order(ack.key).price == (1480 if changed else 1490)


@pytest.mark.parametrize(("mode", "kind", "code"), [
    ("400_margin", Rejected, "INSUFFICIENT_FUNDS"), ("amo_hint", Rejected, "MARKET_CLOSED"), ("403_token", AuthExpired, "TOKEN"),
    ("429", RateLimited, "TOO_MANY_REQUESTS"),
])  # fmt: skip
def test_it_tells_a_proven_refusal_from_doubt(sim, adapter, order, mode, kind, code):
    sim.fault("place", mode)
    with pytest.raises(kind) as refused:
        adapter.place(order())
    assert (refused.value.code, refused.value.sent) == (code, True)
    assert sim.accepted() == []


def test_it_ends_in_time_however_slow_the_broker_is(sim, adapter, order, quick):
    sim.fault("place", "hang_before", delay_s=20)
    start = datetime.now(UTC)
    with pytest.raises(Ambiguous):
        adapter.place(order())
    assert (datetime.now(UTC) - start).total_seconds() < 6


@pytest.mark.parametrize(("rejects", "kind"), [(False, Ambiguous), (True, Rejected)])
def test_it_takes_unknown_words_for_a_refusal_only_where_the_desk_says_so(sim, adapter, order, rejects, kind):
    DeskSettings(unmatched_4xx_rejects=rejects).save()
    with pytest.raises(kind) as found:
        adapter.cancel(OrderKey("1", "s1", variety="no-such-variety"))  # answered by 404 "Route not found"
    assert (found.value.http_status, found.value.raw["unclassified"], found.value.message) == (404, True, "Route not found")


# ---------------------------------------------------------------------------- what is sent
def test_it_protects_every_market_order(sim, adapter, order):
    for request in (order(order_type=OrderType.MARKET, price=None), order(order_type=OrderType.SL_M, price=None, trigger_price=D(1510))):
        report = adapter.get_order(adapter.place(request).key)
        assert "mktp" in report.raw["tags"] and report.price


def test_it_sends_the_protection_that_was_asked_for(adapter, order):
    report = adapter.get_order(adapter.place(order(order_type=OrderType.MARKET, price=None, protection=D("2.5"))).key)
    assert "mktp:2.50" in report.raw["tags"]


def test_it_protects_an_order_that_becomes_a_market_order(sim, adapter, order):
    ack = adapter.place(order(price=D(1490)))
    adapter.modify(ack.key, order_type=OrderType.MARKET)
    assert adapter.get_order(ack.key).status is Status.FILLED


def test_it_gives_a_moved_stop_a_cap_at_its_new_trigger(sim, adapter, order):
    ack = adapter.place(order(order_type=OrderType.SL_M, side=Side.SELL, price=None, trigger_price=D(1450)))
    adapter.modify(ack.key, trigger_price=D(1480))
    report = adapter.get_order(ack.key)
    assert report.trigger_price == 1480 and D(1450) < report.price < D(1480)


def test_it_leaves_the_limit_of_a_plain_stop_alone(adapter, order):
    ack = adapter.place(order(order_type=OrderType.SL, side=Side.SELL, price=D(1440), trigger_price=D(1450)))
    adapter.modify(ack.key, trigger_price=D(1480))
    assert adapter.get_order(ack.key).price == 1440


@pytest.mark.parametrize("known", [True, False])
def test_it_changes_and_cancels_an_after_market_order_in_its_own_variety(adapter, order, known):
    ack = adapter.place(order(amo=True, price=D(1490)))
    key = ack.key if known else OrderKey(ack.key.broker_order_id, ack.key.ref)
    adapter.modify(key, price=D(1480))
    assert (adapter.get_order(key).status, adapter.get_order(key).price) == (Status.AMO_QUEUED, 1480)
    adapter.cancel(key)
    assert adapter.get_order(key).status is Status.CANCELLED


def test_it_tells_an_iceberg_as_the_one_order_it_is(sim, adapter, order):
    sim.price("NSE:INFY", 1500, quantity=60)
    ack = adapter.place(order(iceberg_legs=4, price=D(1510)))
    [report] = adapter.find_by_ref(ack.key.ref)
    assert (ack.key.variety, report.key.broker_order_id, report.parent_id) == ("iceberg", ack.key.broker_order_id, None)
    assert (report.status, report.quantity, report.filled, report.cancelled) == (Status.PARTIAL, 100, 60, 0)
    assert adapter.get_order(ack.key) == report and report.avg_price == 1500
    assert {fill.broker_order_id for fill in adapter.list_fills()} == {ack.key.broker_order_id}
    assert sum(fill.quantity for fill in adapter.list_fills(ack.key)) == 60
    assert sum(fill.quantity for fill in adapter_for(adapter.account).list_fills(report.key)) == 60
    assert len({row["order_id"] for row in sim.accepted(ack.key.ref)}) == 3


def test_it_changes_and_cancels_the_leg_of_an_iceberg_that_is_at_work(sim, adapter, order):
    sim.price("NSE:INFY", 1500, quantity=60)
    ack = adapter.place(order(iceberg_legs=4, price=D(1510)))
    adapter.modify(ack.key, price=D(1490))
    assert adapter.get_order(ack.key).price == 1490
    adapter.cancel(ack.key)
    report = adapter.get_order(ack.key)
    assert (report.status, report.filled, report.cancelled) == (Status.CANCELLED, 60, 40)
    with pytest.raises(Rejected) as refused:
        adapter.cancel(ack.key)
    assert refused.value.code == RejectCode.ORDER_BUSY


def test_it_fills_an_iceberg_to_its_end(adapter, order):
    ack = adapter.place(order(iceberg_legs=4, price=D(1510)))
    report = adapter.get_order(ack.key)
    assert (report.status, report.quantity, report.filled) == (Status.FILLED, 100, 100)


def test_it_does_not_change_the_quantity_of_an_iceberg(adapter, order):
    ack = adapter.place(order(iceberg_legs=4, price=D(1490)))
    with pytest.raises(UnsupportedFeature):
        adapter.modify(ack.key, quantity=D(50))


def test_it_sends_minutes_with_an_order_that_lives_for_minutes(adapter, order):
    report = adapter.get_order(adapter.place(order(validity=Validity.TTL, validity_minutes=5, price=D(1490))).key)
    assert (report.raw["validity"], report.raw["validity_ttl"]) == ("TTL", 5)


def test_it_buys_on_margin_for_delivery(adapter, order):
    assert adapter.get_order(adapter.place(order(product=Product.MTF, price=D(1490))).key).product is Product.MTF


@pytest.mark.parametrize(("changes", "code"), [
    ({"ref": "x" * 21}, RejectCode.INVALID_TAG), ({"ref": ""}, RejectCode.INVALID_TAG), ({"ref": "a-b"}, RejectCode.INVALID_TAG),
    ({"quantity": D("1.5")}, RejectCode.INVALID_FIELD), ({"quantity": D(0)}, RejectCode.INVALID_FIELD),
    ({"amo": True, "iceberg_legs": 3}, RejectCode.NOT_PERMITTED),
])  # fmt: skip
def test_it_refuses_by_itself_what_kite_cannot_be_asked(sim, adapter, order, changes, code):
    with pytest.raises(Rejected) as refused:
        adapter.place(order(**changes))
    assert (refused.value.code, refused.value.sent) == (code, False)
    assert sim.requests("POST", "place") == []
    assert isinstance(refused.value, UnsupportedFeature) is (code == RejectCode.NOT_PERMITTED)


@given(st.decimals(min_value=D("0.0025"), max_value=D(10**6), places=4), st.integers(1, 10**7))
def test_it_writes_money_exactly_and_moves_nothing(price, quantity):
    request = OrderRequest("sabc", INFY, Side.BUY, D(quantity), OrderType.SL, Product.MIS, price=price, trigger_price=price.normalize())
    fields = _order_fields(request)
    assert D(fields["price"]) == price == D(fields["trigger_price"]) and fields["quantity"] == str(quantity)
    assert "E" not in fields["price"] + fields["trigger_price"]


# ---------------------------------------------------------------------------- races
def test_it_keeps_the_words_of_an_order_refused_after_it_was_taken(sim, adapter, order):
    sim.fault("place", "reject_after_accept")
    report = adapter.get_order(adapter.place(order()).key)
    assert report.status is Status.REJECTED and "Margin Exceeds" in report.message


def test_it_lets_a_fill_overtake_a_cancel(sim, adapter, order):
    ack = adapter.place(order(price=D(1490)))
    sim.fault("cancel", "fill_before_cancel")
    adapter.cancel(ack.key)
    assert (adapter.get_order(ack.key).status, adapter.get_order(ack.key).filled) == (Status.FILLED, 100)


@pytest.mark.parametrize("do", ["cancel", "modify"])
def test_it_says_that_an_ended_order_is_busy(adapter, order, do):
    ack = adapter.place(order(price=D(1510)))
    with pytest.raises(Rejected) as refused:
        adapter.cancel(ack.key) if do == "cancel" else adapter.modify(ack.key, quantity=D(50))
    assert refused.value.code == RejectCode.ORDER_BUSY


def test_it_lets_no_fault_place_two_orders(sim, adapter, order):
    """Every fault in turn, and the broker never has more orders of a reference than one."""
    for mode in ("5xx_after", "drop_after", "429", "403_token", "400_margin", "malformed", "redirect_307", "html_502", "ok"):
        sim.fault("place", mode)
        request = order(price=D(1490))
        with suppress(BrokerError):
            adapter.place(request)
        assert len(sim.accepted(request.ref)) <= 1
    assert len(sim.requests("POST", "place")) == 9


def test_it_finds_the_slices_of_an_order_the_broker_cut_up(sim, adapter, order):
    """One reference, one family: the slices that were taken are there one by one, the refused one is not."""
    kite = adapter._client().kite
    request = order(price=D(1490))
    fields = {**_order_fields(request), "quantity": "250000", "product": "CNC"}
    sim.state.account("simkey").cash = D(1490 * 210_000)
    answer = kite.place_autoslice_order(**fields)
    reports = adapter.find_by_ref(request.ref)
    assert [report.quantity for report in reports] == [100_000, 100_000]
    assert {report.parent_id for report in reports} == {answer["order_id"]}
    assert "error" in answer["children"][2]
