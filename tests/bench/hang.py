"""How long an alert's sender waits while something hangs: the broker, or whoever holds the database's writer.

The broker is the simulator of Kite beside a real desk; it says nothing to any order. The writer is SQLite's write lock, held by a process that
is not the desk's. An answer may be 503 then: nothing was stored, TradingView sends it again. What was acknowledged must be there.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from tests.bench import place
from tests.bench.load import Sent, alert, send_on_time
from tests.bench.rows import Row, Size, percentile, row
from tests.process.kite import KiteDesk, kite_desk

BROKER_PER_S, WRITER_PER_S = 10, (5, 20)
HELD_S = 8.0
_HOLD = """
import sqlite3, sys, time
link = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
link.execute("BEGIN IMMEDIATE")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
link.rollback()
"""


def run(size: Size) -> list[Row]:
    seconds = HELD_S * min(1.0, size.alerts / 200)
    return [*_silent_broker(seconds), *_held_writer(seconds)]


# ---------------------------------------------------------------------------- the broker
def _silent_broker(seconds: float) -> list[Row]:
    with _road() as road:
        road.kite.fault("place", "hang_before", times=0, delay_s=60)
        first, _ = send_on_time(road.desk.port, 1, 0, partial(alert, "kite-auto", "NSE:INFY"))
        road.desk.wait(lambda: road.kite.calls("place"), 30, f"order {first[0].order_id} waits for the broker")
        sent, _ = send_on_time(road.desk.port, int(BROKER_PER_S * seconds), seconds, partial(alert, "kite-auto", "NSE:INFY"))
        missing = _missing(road.desk.home, sent)
        road.kite.fault("*", "ok", times=0)
    what = f"broker silent, {BROKER_PER_S} alerts a second"
    return [*_waits(what, sent, {99: 1000, 100: 3000}), row("hang", f"{what}: acknowledged alerts without an order", missing, goal="ours <= 0")]


@contextmanager
def _road() -> Iterator[KiteDesk]:
    """Logged in, with its instruments read."""
    done = False
    try:
        with kite_desk() as road:
            road.connect()
            road.load_instruments()
            yield road
            done = True
    except (AssertionError, subprocess.TimeoutExpired) as wrong:
        if not done:  # one that is slow to end afterwards has been killed by now
            raise place.BenchmarkFailed(str(wrong)) from wrong


# ---------------------------------------------------------------------------- the writer
def _held_writer(seconds: float) -> list[Row]:
    with place.desk() as desk:
        return [one for rate in WRITER_PER_S for one in _while_held(desk, rate, seconds)]


def _while_held(desk, rate: int, seconds: float) -> list[Row]:
    before = _stored(desk.home)
    with _holding(desk.home, seconds):
        sent, _ = send_on_time(desk.port, int(rate * seconds), seconds)
    if bad := {one.status for one in sent} - {201, 503}:
        raise place.BenchmarkFailed(f"Alerts were answered {bad} while the writer was held; only 201 and 503 are right.")
    acked = sum(one.status == 201 for one in sent)
    what = f"writer held {seconds:g} s, {rate} alerts a second"
    rows = [
        row("hang", f"{what}: acknowledged alerts without an order", _missing(desk.home, sent), goal="ours <= 0"),
        row("hang", f"{what}: alerts stored without an acknowledgement", _stored(desk.home) - before - acked, goal="ours <= 0"),
        row("hang", f"{what}: share answered 503, %", 100 * (1 - acked / len(sent))),
    ]
    desk.wait(lambda: _unfilled(desk.home) == 0, 60, "the acknowledged orders are filled")
    return [*_waits(what, sent, {100: 3000}), *rows]


@contextmanager
def _holding(home: str, seconds: float) -> Iterator[None]:
    """Another process has the write lock from the first moment on, for so long."""
    command = [sys.executable, "-c", _HOLD, f"{home}/tvapp.sqlite3", str(seconds)]
    holder = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        if holder.stdout.readline().strip() != "held":
            raise place.BenchmarkFailed("The write lock could not be had.")
        yield
        holder.wait(seconds + 10)
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()


def _stored(home: str) -> int:
    return place.rows_of(home, "SELECT count(*) FROM trading_alert")[0][0]


def _unfilled(home: str) -> int:
    return place.rows_of(home, "SELECT count(*) FROM trading_order WHERE status <> 'COMPLETE'")[0][0]


# ---------------------------------------------------------------------------- both
def _missing(home: str, sent: list[Sent]) -> int:
    """Alerts answered 2xx whose order is not in the database."""
    there = {pk for (pk,) in place.rows_of(home, "SELECT id FROM trading_order")}
    return sum(200 <= one.status < 300 and one.order_id not in there for one in sent)


def _waits(what: str, sent: list[Sent], goals: dict[int, int]) -> list[Row]:
    took, word = [one.took for one in sent], {50: "p50", 99: "p99", 100: "slowest"}
    return [row("hang", f"{what}: ms to the answer, {word[p]}", percentile(took, p), goal=f"ours <= {goals[p]}" if p in goals else None) for p in word]
