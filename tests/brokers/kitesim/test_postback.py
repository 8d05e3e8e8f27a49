"""Postbacks, received by a small server as the app would."""

import json
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.brokers.kitesim.conftest import order, sha


@pytest.fixture
def inbox(bench):
    """What the app's postback address is sent, one after the other."""
    received: queue.Queue = queue.Queue()

    class App(BaseHTTPRequestHandler):
        def do_POST(self):
            received.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), App)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    assert bench.post("postback", url=f"http://127.0.0.1:{server.server_port}/postback")["http"] == 200
    yield received
    server.shutdown()
    server.server_close()


def test_it_posts_a_completed_order_with_a_checksum_in_the_body(kite, inbox):
    placed = order(kite, price=1500, tag="p1")
    said = inbox.get(timeout=5)
    assert (said["order_id"], said["status"], said["filled_quantity"], said["unfilled_quantity"], said["tag"]) == (placed, "COMPLETE", 10, 0, "p1")
    assert said["checksum"] == sha(placed, said["order_timestamp"], "simsecret") and said["user_id"] == "AB1234"


def test_it_posts_parts_changes_cancels_and_rejections_in_order(bench, kite, inbox):
    placed = order(kite)
    kite.modify_order("regular", placed, price=1495)
    bench.price("NSE:INFY", 1495, quantity=4)
    kite.cancel_order("regular", placed)
    bench.fault("place", "reject_after_accept")
    order(kite)
    said = [inbox.get(timeout=5) for _ in range(4)]
    assert [(s["status"], s["filled_quantity"]) for s in said] == [("UPDATE", 0), ("UPDATE", 4), ("CANCELLED", 4), ("REJECTED", 0)]


def test_it_posts_nothing_for_placing_or_for_amo(kite, inbox):
    order(kite)
    amo = order(kite, variety="amo", product="CNC")
    kite.cancel_order("amo", amo)
    order(kite, price=1500)
    assert inbox.get(timeout=5)["status"] == "COMPLETE" and inbox.empty()


def test_it_posts_only_to_the_app_that_placed(bench, kite, inbox):
    order(bench.kite("otherkey"), price=1500)
    placed = order(kite, price=1500)
    assert inbox.get(timeout=5)["order_id"] == placed and inbox.empty()


def test_it_forges_replays_and_repeats_by_hand(bench, kite, inbox):
    placed = order(kite)
    assert bench.post("postback", order_id=placed, status="COMPLETE", fields={"filled_quantity": 10}, times=2)["answers"] == [204, 204]
    first, second = inbox.get(timeout=5), inbox.get(timeout=5)
    assert first == second and (first["status"], first["filled_quantity"]) == ("COMPLETE", 10)
    assert first["checksum"] == sha(placed, first["order_timestamp"], "simsecret")
    bench.post("postback", order_id=placed, checksum="wrong")
    assert inbox.get(timeout=5)["checksum"] == "0" * 64
    assert kite.orders()[0]["status"] == "OPEN"


def test_it_does_not_mind_that_nobody_takes_it(bench, kite):
    bench.post("postback", url="http://127.0.0.1:1/")
    placed = order(kite, price=1500)
    assert bench.post("postback", order_id=placed)["answers"] == [0]
    assert kite.orders()[0]["status"] == "COMPLETE"


@pytest.mark.parametrize("url", ["https://example.com/x", "http://192.0.2.1/", "file:///etc/passwd", ""])
def test_it_posts_to_this_machine_only(bench, kite, url):
    said = bench.post("postback", order_id=order(kite), url=url)
    assert said["http"] == 400 and "this machine" in said["error"]


def test_it_wants_an_order_that_exists(bench):
    assert bench.post("postback", order_id="1")["http"] == 400
