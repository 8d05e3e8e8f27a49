"""The broker's books as they can be: late, short, empty, broken, and with orders of other people's making. Judged by the broker's own truth."""

from dataclasses import replace

import pytest

from brokers import registry
from brokers.models import BrokerAccount, BrokerFunds, BrokerHolding, BrokerPosition, BrokerSession, SyncState
from brokers.types import Status
from trading.models import Order, Position, SystemEvent
from trading.services import books, dispatch, halt, orders, recover, sync

pytestmark = pytest.mark.django_db


def lost(road, **trade) -> int:
    """An order the broker took and whose answer never came."""
    road.bench.fault("place", "drop_after")
    return road.alert(**trade)


def outside(road, **fields) -> dict:
    wanted = {"do": "place", "variety": "regular", "exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY", "quantity": 7}
    wanted |= {"product": "MIS", "order_type": "LIMIT", "price": 1490, "validity": "DAY", "api_key": "simkey", **fields}
    said = road.bench.post("outside", **wanted)
    assert said["http"] == 200, said
    return said


def reads(road, route: str) -> int:
    return len([row for row in road.bench.get("log?event=request") if row["route"] == route])


def test_it_adopts_by_its_tag_what_a_timeout_left_behind(road):  # K01
    road.bench.fault("place", "400_timed_out_but_placed", delay_s=0)
    order_id = road.alert()
    road.go(0)
    assert road.order(order_id).status == "UNKNOWN"
    road.go()
    assert (road.order(order_id).status, len(road.truth(order_id))) == ("OPEN", 1), road.story(order_id)


def test_it_looks_for_every_order_of_a_desk_that_died(road):  # K02
    order_id = lost(road)
    assert dispatch.claim(order_id)
    Order.objects.filter(pk=order_id).update(lease_process="elsewhere:1:1")
    assert books.shut_gates() == 1
    road.go(0, 1)
    assert road.order(order_id).status == "SENDING" and road.order(order_id).account.state == "RECOVERING"
    road.go(30, 1, 1, 5, 5, 5, 15)
    assert road.order(order_id).status == "NEEDS_REVIEW" and road.truth(order_id) == []
    assert road.order(order_id).account.state == "READY"


def test_it_tells_two_equal_alerts_apart(road):  # K03
    first = road.resting()
    second = lost(road)
    road.go()
    assert [road.order(i).status for i in (first, second)] == ["OPEN", "OPEN"]
    for order_id in (first, second):
        (truth,) = road.truth(order_id)
        assert truth["order_id"] == road.order(order_id).broker_order_id


def test_it_books_the_fills_of_an_order_that_was_cancelled(road):  # K05
    order_id = road.resting()
    road.bench.price("NSE:INFY", 1490, quantity=4)
    road.cancel(order_id)
    road.go(0, 1, 5, 5)
    order = road.order(order_id)
    assert (order.status, order.filled_quantity, Position.objects.get().quantity) == ("CANCELLED", 4, 4), road.story(order_id)


def test_it_keeps_nothing_filled_at_nothing(road):  # K06, K18
    order = road.order(road.resting())
    assert (order.filled_quantity, order.average_price, Position.objects.count()) == (0, None, 0)


def test_it_reads_one_book_for_many_orders(road):  # K19
    for price in (1490, 1489, 1488):
        road.alert(price=price)
    road.go(0, 1, 5)
    before = reads(road, "orders")
    road.go(15)
    assert reads(road, "orders") - before == 1


def test_it_does_not_reopen_what_is_complete(road):  # K33
    order_id = road.resting()
    road.market(1489)
    road.go(15, 5)
    assert road.order(order_id).status == "COMPLETE"
    version = road.order(order_id).version
    (row,) = (r for r in books.fetch(road.account, registry.adapter_for(road.account)).reports)
    assert sync.apply_report(order_id, replace(row, status=Status.OPEN), ()) is False
    assert road.order(order_id).version == version


@pytest.mark.parametrize("fault", ["empty_book", "partial_book"])
def test_it_takes_a_book_that_lost_orders_for_no_evidence(road, fault):  # K34
    road.resting()
    road.bench.fault("place", "hang_before", delay_s=3)
    order_id = road.alert(price=1488)
    road.go(0)
    road.bench.fault("orders", fault, times=0)
    road.go(*[5] * 12)
    order = road.order(order_id)
    assert (order.status, order.clean_look_at) == ("UNKNOWN", None), road.story(order_id)
    assert SyncState.objects.get().error_code == "BOOK_INCOMPLETE"
    road.bench.fault("orders", "ok")
    road.go(*[5] * 8)
    assert road.order(order_id).status == "NEEDS_REVIEW" and road.truth(order_id) == []


@pytest.mark.parametrize("body", ['{"status": "success", "data": null}', '{"status": "success", "data": {}}', "<html>"])
def test_it_takes_a_broken_answer_for_no_book_at_all(road, body):  # K39
    order_id = road.resting()
    version = road.order(order_id).version
    road.bench.fault("orders", "malformed", times=1, body=body)
    assert road.read_books() == "unread"
    assert (road.order(order_id).version, road.order(order_id).account.state) == (version, "READY")
    assert SyncState.objects.get().error
    assert road.read_books() == "0 changed" and SyncState.objects.get().error == ""


def test_it_finds_an_order_that_the_book_shows_late(road):
    road.resting()
    road.bench.fault("orders", "lag_orderbook", times=0)
    order_id = lost(road, price=1488)
    road.go(0, 1, 2, 4)
    assert road.order(order_id).status == "UNKNOWN"
    road.bench.fault("orders", "ok")
    road.go(8, 15)
    assert (road.order(order_id).status, len(road.truth(order_id))) == ("OPEN", 1)


def test_it_adopts_an_order_that_comes_while_a_person_is_asked(road):
    road.resting()
    road.bench.fault("place", "hang_before", delay_s=3)
    order_id = road.alert(price=1488)
    road.go()
    order = road.order(order_id)
    assert order.status == "NEEDS_REVIEW" and order.clean_look_at
    outside(road, tag=order.tag, quantity=10, price=1488)
    road.go(15, 15)
    assert road.order(order_id).status == "OPEN", road.story(order_id)


def test_it_stops_the_account_when_the_broker_has_an_order_twice(road):
    order = road.order(road.resting())
    outside(road, tag=order.tag, quantity=10)
    road.go(15, 5)
    assert halt.halted(road.order(order.pk)).scope == f"ACCOUNT:{road.account.pk}"
    assert SystemEvent.objects.get(code="TAG_TWICE").level == "ERROR"
    assert Order.objects.filter(source="EXTERNAL").count() == 1


def test_it_shows_and_counts_what_was_placed_in_the_brokers_own_app(road):
    outside(road, quantity=7)
    road.bench.price("NSE:INFY", 1490, quantity=3)
    road.read_books()
    order = Order.objects.get(source="EXTERNAL")
    assert (order.status, order.filled_quantity, order.quantity, order.price, order.simulated) == ("PARTIAL", 3, 7, 1490, True)
    assert Position.objects.get().book == "UNASSIGNED"
    orders.cancel(order, actor="asha")
    road.go(0, 1, 5)
    assert (road.order(order.pk).status, road.order(order.pk).filled_quantity) == ("CANCELLED", 3), road.story(order.pk)


def test_it_sees_what_somebody_changed_in_the_brokers_own_app(road):
    order = road.order(road.resting())
    road.bench.post("outside", do="modify", api_key="simkey", order_id=order.broker_order_id, price=1485, quantity=6)
    road.go(15, 5)
    now = road.order(order.pk)
    assert (now.price, now.quantity, now.status) == (1485, 6, "OPEN"), road.story(order.pk)


def test_it_keeps_positions_holdings_and_money_as_the_broker_says(road):
    road.resting()
    road.market(1489)
    road.go(15, 5)
    assert BrokerPosition.objects.get(tradingsymbol="INFY").net_qty == 10
    assert BrokerHolding.objects.filter(tradingsymbol="SBIN").exists() and BrokerFunds.objects.filter(segment="equity").exists()
    state = SyncState.objects.get()
    assert state.orders_at and state.positions_at and state.holdings_at and state.funds_at


def test_it_backs_off_when_the_broker_says_too_many_requests(road):
    road.resting()
    road.bench.fault("orders", "429", times=1)
    assert road.read_books() == "unread"
    before = reads(road, "orders")
    assert books.sync_due(road.account.pk) == "just read"
    assert reads(road, "orders") == before


def test_it_recovers_by_command_as_by_itself(road):
    order_id = lost(road)
    road.work_off()
    assert road.order(order_id).status == "UNKNOWN"
    recover.recover_all()
    books.look_now()
    assert road.order(order_id).status == "OPEN"


def test_it_leaves_what_was_placed_elsewhere_alone_when_trading_is_stopped(road):
    mine, other = road.resting(), outside(road)
    road.read_books()
    done = halt.kill("GLOBAL", reason="test", actor="asha")
    road.go(0, 1, 5)
    assert (done["cancelled"], done["external"], "1 placed outside this desk rests as before" in halt.told(done)) == (1, 1, True)
    assert road.order(mine).status == "CANCELLED"
    assert [o["status"] for o in road.bench.accepted() if o["order_id"] == other["order_id"]] == ["OPEN"]


def test_it_takes_nothing_from_the_books_of_another_client(road):
    road.resting()
    BrokerAccount.objects.filter(pk=road.account.pk).update(state="RECOVERING", client_id="ZZ9999")
    before = reads(road, "orders")
    assert road.read_books() == "session ended"
    row = BrokerSession.objects.get()
    assert (reads(road, "orders"), row.state, row.access_token) == (before, "EXPIRED", None)
    assert "AB1234 logged in, and this account belongs to ZZ9999" in row.error


def test_it_proves_a_new_session_once(road):
    assert BrokerSession.objects.get().checked_at and reads(road, "profile") == 1
    road.resting()
    road.read_books()
    assert reads(road, "profile") == 1
