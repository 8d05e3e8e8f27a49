"""The WebSocket, heard by a client of a few lines; frames are parsed by the official ticker's own code."""

import base64
import hashlib
import json
import os
import socket
import struct
import subprocess
import sys

import pytest
from kiteconnect import KiteTicker

from brokers.kitesim.ticker import MAGIC
from tests.brokers.kitesim.conftest import order


class Listener:
    def __init__(self, bench, api_key: str, token: str):
        self.raw = socket.create_connection(("127.0.0.1", bench.server.server_port), timeout=5)
        key = base64.b64encode(os.urandom(16)).decode()
        head = f"GET /?api_key={api_key}&access_token={token} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        self.raw.sendall(f"{head}Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        self.stream = self.raw.makefile("rb")
        self.status = int(self.stream.readline().split()[1])
        self.head = dict(line.split(": ", 1) for line in iter(lambda: self.stream.readline().decode().strip(), ""))
        self.expected = base64.b64encode(hashlib.sha1((key + MAGIC).encode()).digest()).decode()

    def frame(self) -> tuple[int, bytes]:
        head = self.stream.read(2)
        if len(head) < 2:
            return 8, b""
        size = head[1]
        if size == 126:
            size = struct.unpack(">H", self.stream.read(2))[0]
        return head[0] & 15, self.stream.read(size)

    def next(self, kind: int) -> bytes:
        """The next frame of this kind that is more than a heartbeat."""
        while True:
            found, payload = self.frame()
            if found == kind and payload != b"\x00":
                return payload

    def say(self, message: object, kind: int = 1) -> None:
        payload, mask = json.dumps(message).encode(), b"abcd"
        size = bytes((0x80 | len(payload),)) if len(payload) < 126 else struct.pack(">BH", 0x80 | 126, len(payload))
        self.raw.sendall(bytes((0x80 | kind,)) + size + mask + bytes(b ^ mask[n % 4] for n, b in enumerate(payload)))

    def close(self) -> None:
        self.stream.close()
        self.raw.close()


@pytest.fixture
def hear(bench, kite):
    opened = []

    def connect(api_key="simkey", token=None) -> Listener:
        opened.append(Listener(bench, api_key, token or kite.access_token))
        return opened[-1]

    yield connect
    for listener in opened:
        listener.close()


def test_it_opens_for_a_session_and_beats(hear):
    listener = hear()
    assert (listener.status, listener.head["Sec-WebSocket-Accept"]) == (101, listener.expected)
    assert listener.frame() == (2, b"\x00") == listener.frame()


def test_it_refuses_without_a_session(bench, hear):
    assert hear(token="wrong").status == 403
    bench.post("accounts", plan="personal")
    assert hear().status == 403


def test_it_tells_of_an_order_that_completes(kite, hear):
    listener = hear()
    listener.frame()
    placed = order(kite, price=1500, tag="w1")
    said = json.loads(listener.next(1))
    assert (said["type"], said["data"]["order_id"], said["data"]["status"], said["data"]["tag"]) == ("order", placed, "COMPLETE", "w1")
    assert said["data"]["checksum"] == ""


def test_it_tells_of_parts_and_cancels_but_not_of_placing(bench, kite, hear):
    listener = hear()
    listener.frame()
    placed = order(kite)
    bench.price("NSE:INFY", 1490, quantity=3)
    kite.cancel_order("regular", placed)
    said = [json.loads(listener.next(1))["data"] for _ in range(2)]
    assert [(s["status"], s["filled_quantity"]) for s in said] == [("UPDATE", 3), ("CANCELLED", 3)]


def test_it_tells_each_account_its_own(bench, kite, hear):
    other = bench.kite("otherkey")
    listener = hear("otherkey", other.access_token)
    listener.frame()
    order(kite, price=1500)
    placed = order(other, price=1500)
    assert json.loads(listener.next(1))["data"]["order_id"] == placed


@pytest.mark.parametrize(("mode", "size"), [("ltp", 8), ("quote", 44), ("full", 184)])
def test_it_sends_ticks_that_the_official_ticker_reads(bench, kite, hear, mode, size):
    listener, reader = hear(), KiteTicker("simkey", "x")
    listener.say({"a": "subscribe", "v": [408065]})
    listener.next(2)
    listener.say({"a": "mode", "v": [mode, [408065]]})
    assert len(listener.next(2)) == 4 + size
    bench.price("NSE:INFY", "1505.05")
    tick = reader._parse_binary(listener.next(2))[0]
    assert (tick["instrument_token"], tick["last_price"], tick["mode"]) == (408065, 1505.05, mode)
    if mode != "ltp":
        assert tick["ohlc"] == {"open": 1500, "high": 1505.05, "low": 1500, "close": 1500}
    if mode == "full":
        assert [row["price"] for row in tick["depth"]["buy"]][:2] == [1505.05, 1505.0]


def test_it_sends_index_ticks_and_stops_when_told(bench, kite, hear):
    listener, reader = hear(), KiteTicker("simkey", "x")
    listener.say({"a": "subscribe", "v": [256265]})
    tick = reader._parse_binary(listener.next(2))[0]
    assert (tick["last_price"], tick["tradable"], tick["mode"]) == (24500, False, "quote")
    listener.say({"a": "unsubscribe", "v": [256265]})
    listener.say({"a": "subscribe", "v": [408065]})
    listener.next(2)
    bench.post("price", **{"NSE:NIFTY 50": 24600, "NSE:INFY": 1501})
    assert [t["instrument_token"] for t in reader._parse_binary(listener.next(2))] == [408065]


def test_it_answers_a_ping_and_says_what_it_does_not_understand(hear):
    listener = hear()
    listener.say("hello", kind=9)
    assert listener.next(10) == b'"hello"'
    listener.say({"a": "mode"})
    assert json.loads(listener.next(1))["type"] == "error"


def test_it_closes_when_asked(hear):
    listener = hear()
    listener.say("", kind=8)
    assert listener.next(8) == struct.pack(">H", 1000)


def test_it_drops_the_connection_on_a_fault_and_loses_what_happens_meanwhile(bench, kite, hear):
    bench.fault("ws", "ws_drop")
    assert hear().next(8) == b""
    order(kite, price=1500)
    again = hear()
    again.frame()
    placed = order(kite, price=1500)
    assert json.loads(again.next(1))["data"]["order_id"] == placed


OFFICIAL = """
import json, sys
from kiteconnect import KiteTicker
ticker = KiteTicker("simkey", sys.argv[2], root=sys.argv[1])
ticker.on_connect = lambda ws, answer: print("connected", flush=True)
def told(ws, data):
    print(json.dumps([data["order_id"], data["status"]]), flush=True)
    ws.stop()
ticker.on_order_update = told
ticker.connect()
"""


def test_it_is_understood_by_the_official_ticker(bench, kite):
    words = [sys.executable, "-c", OFFICIAL, bench.url.replace("http", "ws"), kite.access_token]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "connected\n"
        placed = order(kite, price=1500)
        said, _ = process.communicate(timeout=20)
    assert json.loads(said) == [placed, "COMPLETE"]


def test_it_refuses_the_upgrade_on_a_fault(bench, hear):
    bench.fault("ws", "403_token")
    assert (hear().status, hear().status) == (403, 101)
