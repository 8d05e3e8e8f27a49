"""The road to Zerodha from outside: the real desk, the real client, the real simulator; judged by what the simulator holds."""

import time

import pytest

from tests.process.kite import HURRY, kite_desk

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def road():
    with kite_desk(**HURRY) as road:
        road.connect()
        road.load_instruments()
        yield road


@pytest.fixture(autouse=True)
def quiet_market(road):
    """Any quantity trades at 1500 again, and nothing goes wrong by itself."""
    road.kite.fault("*", "ok", times=0)
    road.kite.price("NSE:INFY", 1500)


def test_it_is_connected_through_the_login_page(road):
    status = road.status()
    assert (status["connected"], status["user_id"]) == (True, "AB1234")
    assert road.account["environment"] == "SIM"
    assert road.desk.call("GET", "/health")[1]["status"] == "ok"


def test_it_takes_an_automatic_alert_to_the_broker_through_a_partial_fill_to_its_position(road):
    road.kite.price("NSE:INFY", 1500, quantity=4)
    order_id = road.alert("partial", quantity=10)
    part = road.until(order_id, "PARTIAL")
    assert (part["filled_quantity"], part["average_price"]) == ("4", "1500")
    assert part["broker_order_id"] == road.truth(order_id)[0]["order_id"]
    road.kite.price("NSE:INFY", 1500)
    done = road.until(order_id, "COMPLETE")
    assert (done["filled_quantity"], len(road.truth(order_id))) == ("10", 1)
    road.desk.wait(lambda: road.position("NSE:INFY")["broker"] == "10", 60, "the position was read")
    position = road.position("NSE:INFY")
    assert (position["ours"], position["drift"], position["unrealised"]) == ("10", False, "0")


def test_it_sends_a_manual_alert_when_it_is_executed_and_not_before(road):
    order_id = road.alert("manual", "kite-manual")
    assert road.order(order_id)["status"] == "WAITING" and road.truth(order_id) == []
    assert road.desk.call("POST", f"/api/orders/{order_id}/execute")[0] == 202
    road.until(order_id, "COMPLETE")
    assert len(road.truth(order_id)) == 1


def test_it_cancels_what_rests_at_the_broker(road):
    order_id = road.alert("cancel", order_type="LIMIT", price=1400)
    road.until(order_id, "OPEN")
    assert road.desk.call("POST", f"/api/orders/{order_id}/cancel")[0] == 202
    road.until(order_id, "CANCELLED")
    assert [row["status"] for row in road.truth(order_id)] == ["CANCELLED"]


def test_it_adopts_an_order_whose_answer_was_lost(road):
    road.kite.fault("place", "drop_after")
    order_id = road.alert("lost-answer")
    road.until(order_id, "COMPLETE")
    assert len(road.truth(order_id)) == 1


def test_it_shows_what_was_placed_outside_and_leaves_it_alone(road):
    placed = road.kite.post("outside", {"tradingsymbol": "SBIN", "exchange": "NSE", "transaction_type": "BUY", "quantity": 3, "product": "CNC",
                                        "order_type": "LIMIT", "price": 700})  # fmt: skip
    road.read_now()
    road.desk.wait(lambda: road.known(placed["order_id"]), 60, "the order placed outside is shown")
    assert road.known(placed["order_id"])["status"] == "OPEN"
    assert [row["status"] for row in road.kite.orders() if row["order_id"] == placed["order_id"]] == ["OPEN"]


def test_it_holds_orders_when_the_session_ends_and_after_the_next_login_sends_the_fresh_one_and_asks_about_the_old_one(road):
    brief = {"name": "kite-brief", "mode": "AUTO", "account_id": road.account["id"], "max_age_s": 5}
    assert road.desk.call("POST", "/api/strategies", brief)[0] == 201
    road.kite.post("expire")
    old, fresh = road.alert("held-old", "kite-brief"), road.alert("held-fresh")
    assert "log in" in road.until(old, "HELD")["why"].lower()
    road.until(fresh, "HELD")
    assert road.status()["connected"] is False
    assert (road.told("ACCOUNT_DISCONNECTED"), road.truth(old), road.truth(fresh)) == (1, [], [])
    time.sleep(5)  # the old one's five seconds
    road.connect()
    road.until(fresh, "COMPLETE")
    assert "waits for your decision" in road.until(old, "WAITING")["why"]
    assert (len(road.truth(fresh)), road.truth(old)) == (1, [])


def test_it_sends_nothing_once_the_kill_switch_is_on(road):
    resting = road.alert("resting", order_type="LIMIT", price=1400)
    road.until(resting, "OPEN")
    assert road.desk.call("POST", "/api/risk/kill", {"reason": "storm", "scope": "GLOBAL", "cancel_open": True})[0] == 200
    late = road.alert("late")
    road.until(late, "HELD")
    road.until(resting, "CANCELLED")
    assert road.truth(late) == []
    assert road.desk.call("POST", "/api/risk/release", {"reason": "over", "scope": "GLOBAL"})[0] == 200
    road.until(late, "WAITING")


def test_it_doubled_nothing_and_can_explain_all_of_it(road):
    """Last: over everything above, the broker holds at most one order for each tag, and the desk knows all of them."""
    truth = road.kite.orders()
    tags = [row["tag"] for row in truth if row["tag"]]
    assert len(tags) == len(set(tags))
    known = {row["broker_order_id"] for row in road.desk.orders()}
    assert {row["order_id"] for row in truth} <= known
    assert all(row["why"] for row in road.desk.orders())
