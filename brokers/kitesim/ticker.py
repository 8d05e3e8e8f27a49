"""The WebSocket: order updates as text, prices as binary ticks, by RFC 6455 as far as Kite's clients need it."""

import base64
import contextlib
import hashlib
import json
import queue
import socket
import struct
import threading
from collections.abc import Callable
from typing import BinaryIO

from brokers.kitesim import postback, quotes
from brokers.kitesim.answers import encode
from brokers.kitesim.books import Order
from brokers.kitesim.state import Simulator

MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
HEARTBEAT, HEARTBEAT_S = b"\x00", 1.0
LONGEST = 1 << 20
DIVISOR = {3: 10_000_000, 6: 10_000}
INDICES = 9


def accept_key(key: str) -> str:
    return base64.b64encode(hashlib.sha1(f"{key}{MAGIC}".encode(), usedforsecurity=False).digest()).decode()


def frame(kind: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((0x80 | kind, size)) + payload
    if size < 1 << 16:
        return struct.pack(">BBH", 0x80 | kind, 126, size) + payload
    return struct.pack(">BBQ", 0x80 | kind, 127, size) + payload


def read_frame(stream: BinaryIO) -> tuple[int, bytes] | None:
    """(kind, payload) of the next frame a client sent; None when it is gone or sends what no client may."""
    head = stream.read(2)
    if len(head) < 2 or not head[1] & 0x80:
        return None
    size = head[1] & 0x7F
    if size > 125:
        width = 2 if size == 126 else 8
        size = int.from_bytes(stream.read(width), "big")
    if size > LONGEST:
        return None
    mask = stream.read(4)
    payload = stream.read(size)
    if len(payload) < size:
        return None
    return head[0] & 0x0F, bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


class Socket:
    """One connected client. What it is to hear is queued under the simulator's lock and sent by a thread of its own."""

    def __init__(self, sim: Simulator, api_key: str, connection: socket.socket):
        self._sim, self._api_key, self._connection = sim, api_key, connection
        self._out: queue.Queue[bytes | None] = queue.Queue()
        self._modes: dict[int, str] = {}
        with sim.lock:  # from here on nothing is missed, so a client that is told "connected" may rely on it
            sim.listeners.append(self._heard)
            sim.tick_listeners.append(self._ticked)

    def serve(self, stream: BinaryIO) -> None:
        """Until the client or the simulator ends it."""
        writer = threading.Thread(target=self._write, name="kitesim-socket", daemon=True)
        writer.start()
        try:
            while (found := read_frame(stream)) is not None and found[0] != CLOSE:
                self._take(*found)
        except OSError:
            pass  # the client is gone
        finally:
            self.leave()
            writer.join(HEARTBEAT_S)

    def leave(self) -> None:
        """Hears no more."""
        with self._sim.lock:
            self._sim.listeners.remove(self._heard)
            self._sim.tick_listeners.remove(self._ticked)
        self._out.put(None)

    def close(self) -> None:
        """Ends it from this side, without a close frame."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    # ------------------------------------------------------------------ out
    def _write(self) -> None:
        """Sends what is queued, and a heartbeat whenever a second passes without anything."""
        try:
            self._connection.sendall(frame(BINARY, HEARTBEAT))
            while True:
                try:
                    message = self._out.get(timeout=HEARTBEAT_S)
                except queue.Empty:
                    message = frame(BINARY, HEARTBEAT)
                if message is None:
                    self._connection.sendall(frame(CLOSE, struct.pack(">H", 1000)))
                    return
                self._connection.sendall(message)
        except OSError:
            self.close()

    def _heard(self, api_key: str, order: Order, status: str) -> None:
        if api_key == self._api_key:
            data = postback.message(self._sim.accounts[api_key], order, status, with_checksum=False)
            self._out.put(frame(TEXT, encode({"type": "order", "data": data})))

    def _ticked(self, keys: list[str]) -> None:
        market = self._sim.market
        tokens = [market.by_key[key].token for key in keys if market.by_key[key].token in self._modes]
        self._send_ticks(tokens)

    def _send_ticks(self, tokens: list[int]) -> None:
        packets = [packet(self._sim, token, self._modes[token]) for token in tokens]
        if packets:
            self._out.put(frame(BINARY, struct.pack(">H", len(packets)) + b"".join(struct.pack(">H", len(p)) + p for p in packets)))

    # ------------------------------------------------------------------ in
    def _take(self, kind: int, payload: bytes) -> None:
        if kind == PING:
            self._out.put(frame(PONG, payload))
        if kind not in (TEXT, BINARY):
            return
        try:
            said = json.loads(payload)
            action, value = said["a"], said["v"]
            tokens, mode = (value[1], value[0]) if action == "mode" else (value, "quote")
            wanted = [int(token) for token in tokens]
        except (KeyError, TypeError, ValueError, IndexError):
            self._out.put(frame(TEXT, encode({"type": "error", "data": "Invalid message."})))
            return
        with self._sim.lock:
            self._subscribe(action, wanted, mode)

    def _subscribe(self, action: str, tokens: list[int], mode: str) -> None:
        known = [token for token in tokens if token in self._sim.market.by_token]
        for token in known:
            if action == "unsubscribe":
                self._modes.pop(token, None)
            else:
                self._modes[token] = mode if action == "mode" else self._modes.get(token, "quote")
        self._send_ticks([token for token in known if token in self._modes])


def packet(sim: Simulator, token: int, mode: str) -> bytes:
    """One tick: 8 bytes for ltp, 44 or 184 for quote and full, 28 or 32 for an index."""
    item = sim.market.by_token[token]
    quote = sim.market.quotes[item.key]
    divisor = DIVISOR.get(token & 0xFF, 100)

    def paise(value: object) -> int:
        return int(value * divisor)

    head, ohlc, now = (token, paise(quote.last)), quotes.day(quote), int(sim.clock.now().timestamp())
    if mode == "ltp":
        return struct.pack(">2I", *head)
    if token & 0xFF == INDICES:
        day = [paise(ohlc[name]) for name in ("high", "low", "open", "close")]
        change = paise(quote.last - quote.close)
        return struct.pack(">6Ii", *head, *day, change) + (struct.pack(">I", now) if mode == "full" else b"")
    day, depth = [paise(ohlc[name]) for name in ("open", "high", "low", "close")], quotes.book(item, quote)
    many = [sum(row["quantity"] for row in depth[side]) for side in ("buy", "sell")]
    body = struct.pack(">11I", *head, 1, head[1], quote.volume, *many, *day)
    if mode != "full":
        return body
    rows = b"".join(_level(row, paise) for side in ("buy", "sell") for row in depth[side])
    return body + struct.pack(">5I", now, 0, 0, 0, now) + rows


def _level(row: dict[str, object], paise: Callable[[object], int]) -> bytes:
    return struct.pack(">IIHH", row["quantity"], paise(row["price"]), row["orders"], 0)
