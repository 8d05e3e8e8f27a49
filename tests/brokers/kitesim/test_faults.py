"""Every fault mode, judged by the truth: accepted exactly when the mode says so, whatever the client saw."""

import socket
import threading
import time
from contextlib import suppress

import pytest
import requests
from kiteconnect.exceptions import DataException, GeneralException, InputException, NetworkException, TokenException

from brokers.kitesim import faults
from tests.brokers.kitesim.conftest import book, order

DROPPED, SILENT = requests.exceptions.ConnectionError, requests.exceptions.ReadTimeout
# mode: (accepted, what the client sees, its code)
PLACE = {
    "ok": (True, None, None),
    "slow": (True, None, None),
    "hang_before": (False, SILENT, None),
    "hang_after": (True, SILENT, None),
    "drop_before": (False, DROPPED, None),
    "drop_after": (True, DROPPED, None),
    "html_502": (False, DataException, 502),
    "5xx_before": (False, NetworkException, 503),
    "5xx_after": (True, NetworkException, 503),
    "429": (False, NetworkException, 429),
    "403_token": (False, TokenException, 403),
    "400_margin": (False, GeneralException, 400),
    "400_timed_out_but_placed": (True, Exception, 400),
    "amo_hint": (False, InputException, 400),
    "malformed": (True, DataException, 502),
    "lag_orderbook": (True, None, None),
    "reject_after_accept": (True, None, None),
    "redirect_307": (False, requests.exceptions.TooManyRedirects, None),
}
NOT_FOR_PLACE = {"empty_book", "partial_book", "fill_before_cancel", "ws_drop"}
DELAYS = {"slow": 0.1, "hang_before": 30, "hang_after": 30, "400_timed_out_but_placed": 0}


def test_it_knows_every_mode_and_route_of_the_contract():
    assert set(PLACE) | NOT_FOR_PLACE == set(faults.MODES)
    wanted = {"place", "modify", "cancel", "orders", "trades", "token", "positions", "holdings", "margins", "instruments", "gtt", "*"}
    assert wanted <= set(faults.ROUTES)


@pytest.fixture
def hasty(bench):
    """A client that waits half a second and follows no redirect."""
    client = bench.kite(timeout=0.5)
    client.reqsession.max_redirects = 0
    return client


@pytest.mark.parametrize("mode", sorted(PLACE))
def test_it_accepts_an_order_exactly_when_the_mode_says_so(bench, hasty, mode):
    accepted, seen, code = PLACE[mode]
    bench.fault("place", mode, delay_s=DELAYS.get(mode))
    if seen is None:
        assert order(hasty, tag="f1")
    else:
        with pytest.raises(seen) as raised:
            order(hasty, tag="f1")
        assert getattr(raised.value, "code", None) == code
    assert [row["tag"] for row in bench.accepted("f1")] == (["f1"] if accepted else [])
    assert order(hasty, tag="f2") and len(bench.accepted("f2")) == 1  # once only


@pytest.mark.parametrize("mode", sorted(set(PLACE) - {"reject_after_accept", "lag_orderbook"}))
def test_it_changes_an_order_exactly_when_the_mode_says_so(bench, hasty, mode):
    placed = order(hasty)
    bench.fault("modify", mode, delay_s=DELAYS.get(mode))
    with suppress(Exception):
        hasty.modify_order("regular", placed, price=1480)
    assert bench.accepted()[0]["price"] == (1480 if PLACE[mode][0] else 1490)


@pytest.mark.parametrize("mode", ["drop_before", "drop_after", "5xx_before", "5xx_after", "400_timed_out_but_placed"])
def test_it_cancels_an_order_exactly_when_the_mode_says_so(bench, hasty, mode):
    placed = order(hasty)
    bench.fault("cancel", mode)
    with pytest.raises(Exception):  # noqa: B017 - each mode raises its own; the truth is what counts
        hasty.cancel_order("regular", placed)
    assert bench.accepted()[0]["status"] == ("CANCELLED" if PLACE[mode][0] else "OPEN")


READS = {
    "orders": lambda k: k.orders(),
    "trades": lambda k: k.trades(),
    "positions": lambda k: k.positions(),
    "holdings": lambda k: k.holdings(),
    "margins": lambda k: k.margins(),
    "instruments": lambda k: k.instruments("NSE"),
    "gtt": lambda k: k.get_gtts(),
    "profile": lambda k: k.profile(),
    "quote": lambda k: k.ltp("NSE:INFY"),
}


@pytest.mark.parametrize("route", sorted(READS))
def test_it_spoils_the_reads_of_a_route_and_no_others(bench, hasty, route):
    bench.fault(route, "429")
    for name in sorted(READS, key=lambda name: name == route):  # the spoiled one last
        if name != route:
            READS[name](hasty)
    with pytest.raises(NetworkException, match="Too many requests"):
        READS[route](hasty)
    assert READS[route](hasty) is not None


def test_it_spoils_the_token_exchange(bench):
    bench.fault("token", "403_token")
    with pytest.raises(TokenException):
        bench.kite()
    assert bench.kite().profile()


def test_it_spoils_everything_when_asked(bench, hasty):
    bench.fault("*", "html_502", times=0)
    for read in READS.values():
        with pytest.raises(DataException):
            read(hasty)
    bench.fault("*", "ok")
    assert hasty.orders() == []


# ---------------------------------------------------------------------------- the details of a mode
def test_it_says_that_an_order_timed_out_and_places_it_later(bench, kite):
    bench.fault("place", "400_timed_out_but_placed", delay_s=0.4)
    with pytest.raises(Exception, match="Order request timed out") as raised:
        order(kite, tag="late")
    assert raised.value.code == 400 and bench.accepted("late") == []
    _until(lambda: bench.accepted("late"))
    assert len(bench.accepted("late")) == 1


def test_it_forgets_a_late_order_at_a_reset(bench, kite):
    bench.fault("place", "400_timed_out_but_placed", delay_s=0.2)
    with pytest.raises(Exception, match="timed out"):
        order(kite, tag="late")
    timers = list(bench.server._timers)
    bench.post("reset")
    for timer in timers:
        timer.join(5)
    assert bench.accepted() == []


def test_it_answers_a_slow_order_late_but_places_it_at_once(bench, kite):
    bench.fault("place", "slow", delay_s=0.6)
    asked = threading.Thread(target=order, args=(kite,), kwargs={"tag": "slow"})
    asked.start()
    _until(lambda: bench.accepted("slow"))
    assert asked.is_alive()
    asked.join(5)


def test_it_lets_go_of_who_hangs_at_a_reset(bench):
    client = bench.kite(timeout=20)
    bench.fault("place", "hang_before", delay_s=15)
    began, ended = time.monotonic(), []

    def ask():
        with pytest.raises(DROPPED):
            order(client)
        ended.append(time.monotonic())

    asked = threading.Thread(target=ask)
    asked.start()
    _until(lambda: bench.get("log?event=request")[-1]["mode"] == "hang_before")
    bench.post("reset")
    asked.join(10)
    assert ended[0] - began < 10 and bench.accepted() == []


def test_it_hides_new_orders_from_the_book(bench, kite):
    old = order(kite)
    bench.fault("orders", "lag_orderbook", times=2)
    new = order(kite, price=1500)
    seen = [[row["order_id"] for row in kite.orders()] for _ in range(3)]
    assert seen == [[old], [old], [old, new]] and len(bench.accepted()) == 2


def test_it_hides_orders_of_the_last_seconds_from_the_book(bench, kite):
    order(kite)
    bench.fault("orders", "lag_orderbook", times=0, delay_s=0.3)
    order(kite)
    assert len(kite.orders()) < 2
    _until(lambda: len(kite.orders()) == 2)


def test_it_hides_one_order_for_some_seconds(bench, kite):
    bench.fault("place", "lag_orderbook", delay_s=0.3)
    hidden, shown = order(kite, price=1500), order(kite)
    assert [row["order_id"] for row in kite.orders()] == [shown] and kite.trades() == []
    with pytest.raises(GeneralException, match="order_id"):
        kite.order_history(hidden)
    _until(lambda: len(kite.orders()) == 2)
    assert len(kite.trades()) == 1


def test_it_gives_wrong_evidence(bench, kite):
    placed = [order(kite) for _ in range(4)]
    bench.fault("orders", "empty_book")
    bench.fault("orders", "partial_book")
    assert kite.orders() == []
    assert [row["order_id"] for row in kite.orders()] == placed[2:]
    assert [row["order_id"] for row in kite.orders()] == placed


def test_it_sends_any_broken_body(bench, kite):
    bench.fault("orders", "malformed", body='{"status":"success","data":null}')
    with pytest.raises(UnboundLocalError):
        kite.orders()
    bench.fault("place", "malformed", body="[]")
    with pytest.raises(AttributeError):
        order(kite, tag="b1")
    assert len(bench.accepted("b1")) == 1


def test_it_hints_at_amo_in_data(bench, kite):
    bench.fault("place", "amo_hint")
    answer = requests.post(f"{bench.url}/orders/regular", headers={"Authorization": f"token simkey:{kite.access_token}"}, timeout=5)
    assert answer.json()["data"] == {"hints": ["switch_to_amo"]} and "AMO" in answer.json()["message"]


def test_it_places_one_order_for_a_client_that_follows_its_redirect(bench, kite):
    bench.fault("place", "redirect_307")
    assert order(kite, tag="again")
    assert len(bench.accepted("again")) == 1


# ---------------------------------------------------------------------------- the list
def test_it_works_off_its_list_in_order(bench, kite):
    bench.fault("place", "ok", times=1)
    bench.fault("place", "400_margin")
    bench.fault("place", "429", times=2)
    said = []
    for n in range(5):
        try:
            said.append(bool(order(kite, tag=f"n{n}")))
        except (GeneralException, NetworkException) as refused:
            said.append(refused.code)
    assert said == [True, 400, 429, 429, True]
    assert [row["tag"] for row in bench.accepted()] == ["n0", "n4"]


def test_it_ends_an_endless_fault_when_the_next_comes(bench, kite):
    bench.fault("place", "429", times=0)
    bench.fault("place", "400_margin")
    with pytest.raises(GeneralException, match="Insufficient funds"):
        order(kite)
    assert order(kite)


def test_it_narrows_a_fault_to_an_account_or_a_tag(bench, kite):
    other = bench.kite("otherkey")
    bench.fault("place", "429", api_key="otherkey")
    bench.fault("place", "400_margin", tag="bad1")
    assert order(kite, tag="good1")
    with pytest.raises(GeneralException, match="Insufficient funds"):
        order(kite, tag="bad1")
    with pytest.raises(NetworkException):
        order(other)
    assert book(other, order(other))["status"] == "OPEN"


@pytest.mark.parametrize(
    "wrong",
    [{"route": "nowhere", "mode": "429"}, {"route": "place", "mode": "no"}, {"mode": "429", "times": -1}, {"mode": "429", "times": "x"}, {"mode": "429", "x": 1}],
)
def test_it_refuses_a_fault_it_does_not_know(bench, wrong):
    said = bench.post("faults", **wrong)
    assert said["http"] == 400 and said["error"]
    assert bench.get("faults")["set"] == []


def test_it_does_nothing_of_a_request_that_breaks_off(bench, kite):
    head = f"POST /orders/regular HTTP/1.1\r\nHost: x\r\nAuthorization: token simkey:{kite.access_token}\r\nContent-Length: 500\r\n\r\n"
    body = "exchange=NSE&tradingsymbol=INFY&transaction_type=BUY&quantity=1&product=MIS&order_type=LIMIT&price=1490&tag=cut"
    with socket.create_connection(("127.0.0.1", bench.server.server_port)) as raw:
        raw.sendall((head + body).encode())
        raw.shutdown(socket.SHUT_WR)
        assert b"400" in raw.recv(100)
    assert bench.accepted() == []


def _until(true, seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)
