"""HTTP load on loopback, cheap enough not to be what is measured: keep-alive connections that never wait, or alerts at fixed times."""

import asyncio
import http.client
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count

from tests.bench.place import SECRET, BenchmarkFailed
from tests.bench.rows import percentile

_numbers = count(1)
MOST_SENDERS = 200  # alerts on their way at once
LONGEST_S = 60  # for an answer


def alert(strategy: str = "demo-auto", symbol: str = "", price: int = 1500) -> bytes:
    """One TradingView alert with a key of its own, on this symbol or on one of 50."""
    number = next(_numbers)
    trade = {"order_action": "BUY", "quantity": 1, "price": price, "product": "CNC"}
    body = {"secret": SECRET, "platform": "TRADINGVIEW", "strategy_name": strategy, "symbol": symbol or f"NSE:S{number % 50}"}
    body |= {"idempotency_key": f"bench-{time.time_ns()}-{number}", "trade_details": trade}
    return json.dumps(body).encode()


@dataclass
class Load:
    """What came of one stretch of load: milliseconds of each answer, and answers by status."""

    seconds: float
    took: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        return len(self.took) / self.seconds

    def p(self, percent: float) -> float:
        return percentile(self.took, percent)


class _Caller(asyncio.Protocol):
    """One connection: posts, waits for the answer, posts again until the time is over."""

    def __init__(self, load: Load, body: Callable[[], bytes], until: float, done: asyncio.Future):
        self.load, self.body, self.until, self.done = load, body, until, done
        self.data = b""

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.post()

    def post(self) -> None:
        body = self.body()
        head = f"POST /webhook/tradingview HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.data, self.sent = b"", time.perf_counter()
        self.transport.write(head.encode() + body)

    def data_received(self, data: bytes) -> None:
        self.data += data
        head, _, rest = self.data.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]
        if not length or len(rest) < int(length):
            return
        now, status = time.perf_counter(), int(head[9:12])
        self.load.took.append(1000 * (now - self.sent))
        self.load.statuses[status] = self.load.statuses.get(status, 0) + 1
        if now < self.until:
            self.post()
        else:
            self.transport.close()

    def connection_lost(self, problem) -> None:
        if not self.done.done():
            self.done.set_result(None)


def keep_posting(port: int, connections: int, seconds: float, body: Callable[[], bytes]) -> Load:
    """As many alerts as `connections` senders get rid of in `seconds`. Raises BenchmarkFailed when one is not answered 201."""
    load = asyncio.run(_post_for(port, connections, seconds, body))
    if set(load.statuses) != {201}:
        raise BenchmarkFailed(f"{connections} connections were answered {load.statuses or 'not at all'}; only 201 counts.")
    return load


async def _post_for(port: int, connections: int, seconds: float, body: Callable[[], bytes]) -> Load:
    loop, load, begun = asyncio.get_running_loop(), Load(seconds), time.perf_counter()
    until, waiting = begun + seconds, []
    for _ in range(connections):
        done = loop.create_future()
        waiting.append(done)
        await loop.create_connection(lambda done=done: _Caller(load, body, until, done), "127.0.0.1", port)
    await asyncio.wait(waiting, timeout=seconds + 15)
    load.seconds = time.perf_counter() - begun  # the last answers of each connection come after the time was over, and count
    return load


@dataclass(frozen=True)
class Sent:
    """One alert: milliseconds from the moment it was due to its answer, the answer's status and its order's id (0: none)."""

    took: float
    status: int
    order_id: int


def send_on_time(port: int, number: int, seconds: float, body: Callable[[], bytes] = alert) -> tuple[list[Sent], float]:
    """`number` alerts spread evenly over `seconds`, each on a connection of its own and each sent when its time has come, whatever the
    others do. Returns what came of each, and the wall clock when the last one was due."""
    begun, wall, over = time.perf_counter() + 0.2, time.time() + 0.2, threading.Event()

    def one(index: int) -> Sent:
        due, made = begun + index * seconds / number, body()
        if over.wait(max(0.0, due - time.perf_counter())):
            raise BenchmarkFailed("It was ended before all alerts were sent.")
        status, answer = told(port, made)
        return Sent(1000 * (time.perf_counter() - due), status, answer.get("order_id") or 0)

    with ThreadPoolExecutor(min(number, MOST_SENDERS)) as pool:
        try:
            return list(pool.map(one, range(number))), wall + seconds * (number - 1) / number
        except BaseException:  # Ctrl-C and the like: nobody sleeps until an alert is due that is not sent any more
            over.set()
            raise


def post_on_time(port: int, number: int, seconds: float) -> tuple[list[float], float]:
    """The same, where only 201 will do: milliseconds of each, and the wall clock when the last one was due."""
    sent, last = send_on_time(port, number, seconds)
    if bad := {one.status for one in sent} - {201}:
        raise BenchmarkFailed(f"Alerts were answered {bad}; only 201 counts.")
    return [one.took for one in sent], last


def post(port: int, body: bytes) -> int:
    return told(port, body)[0]


def told(port: int, body: bytes) -> tuple[int, dict]:
    """Status and answer of one alert."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LONGEST_S)
    try:
        connection.request("POST", "/webhook/tradingview", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()
