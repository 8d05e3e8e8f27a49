"""The kill switch under load, judged by the broker's simulator: what is written after its answer was on the wire before."""

import os
import random
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from tests.process.kite import HURRY, kite_desk

pytestmark = pytest.mark.process
TRIALS, WORKERS = 200, 8
FEEDERS, FEED_EVERY_S = 2, 0.2
ON_THE_WIRE_S = 0.25  # a request that had left before the answer is read by the simulator at the latest then
RAILS = (
    "max_quantity_per_order", "max_lots_per_order", "max_lots_per_day", "max_order_value", "max_symbol_exposure", "max_gross_exposure",
    "max_open_positions", "max_open_orders", "max_orders_per_minute", "max_orders_per_day", "max_repeats_per_minute", "max_daily_loss",
)  # fmt: skip


@pytest.fixture(scope="module")
def road():
    with kite_desk(**HURRY, Q_WORKERS=str(WORKERS)) as road:
        road.connect()
        road.load_instruments()
        road.kite.price("NSE:INFY", 1500)
        everything = dict.fromkeys(RAILS) | {"unlimited": list(RAILS)}
        row = road.desk.call("GET", "/api/risk-settings?scope=GLOBAL")[1]["results"][0]
        assert road.desk.call("PATCH", f"/api/risk-settings/{row['id']}", everything)[0] == 200
        yield road


def stop(road) -> datetime:
    """When the answer was read."""
    status, said = road.desk.call("POST", "/api/risk/kill", {"reason": "storm", "cancel_open": False})
    assert (status, said["state"]) == (200, "HALTED")
    return datetime.now(UTC)


def go_on(road) -> datetime:
    """When it was asked for."""
    asked = datetime.now(UTC)
    assert road.desk.call("POST", "/api/risk/release", {"reason": "next trial"})[0] == 200
    return asked


@contextmanager
def feeding(road):
    """Alerts that never stop coming, so that at any moment some are at every step of their road."""
    done = threading.Event()

    def feed(hand: int) -> set[int]:
        number, answers = 0, set()
        while not done.is_set():
            number += 1
            answers.add(road.desk.alert(f"{hand}-{number}", "kite-auto")[0])
            done.wait(FEED_EVERY_S)
        return answers

    with ThreadPoolExecutor(FEEDERS) as pool:
        hands = [pool.submit(feed, hand) for hand in range(FEEDERS)]
        try:
            yield
        finally:
            done.set()
        assert set().union(*(hand.result() for hand in hands)) == {201}


def pace(road) -> float:
    """Seconds from an alert to the write at the broker, on this machine at this moment."""
    took = []
    for number in range(5):
        began = datetime.now(UTC)
        road.until(road.alert(f"pace-{number}"), "SENT", "COMPLETE")
        took.append((placed(road)[-1] - began).total_seconds())
    return sorted(took)[2]


def trial(road, usual: float) -> tuple[datetime, datetime]:
    """The span in which nothing new may be written, after a little of the day has gone by."""
    time.sleep(usual * random.uniform(0.5, 2))
    stopped = stop(road)
    time.sleep(0.06)
    return stopped, go_on(road)


def placed(road) -> list[datetime]:
    return [datetime.fromisoformat(row["at"]) for row in road.kite.calls("place")]


def test_it_writes_nothing_new_after_its_answer_in_two_hundred_trials(road):
    usual = pace(road)
    with feeding(road):
        spans = [trial(road, usual) for _ in range(TRIALS)]
    writes, late, worst = placed(road), 0, 0.0
    for stopped, asked in spans:
        after = [(at - stopped).total_seconds() for at in writes if stopped < at < asked]
        late, worst = late + len(after), max([worst, *after])
        assert len(after) <= WORKERS
    assert len(writes) > TRIALS / 2, f"the trials raced against nothing: {Counter((o['status'], o['status_reason']) for o in road.desk.orders())}"
    assert worst <= ON_THE_WIRE_S and late <= TRIALS / 10, f"{late} of {len(writes)} orders came up to {worst:.3f} s after the answer"
    tags = [row["tag"] for row in road.kite.orders()]
    assert len(tags) == len(set(tags))


def test_it_stays_on_when_everything_is_killed_and_started_anew(road):
    stop(road)
    before = len(placed(road))
    road.desk.kill_everything_below()
    os.kill(road.desk.process.pid, signal.SIGKILL)
    road.desk.process.wait()
    end = time.monotonic() + 4
    while road.desk.pids() and time.monotonic() < end:
        time.sleep(0.05)
    road.desk.start()
    road.desk.wait(lambda: road.state() == "READY", 30, "the account is compared again")
    held = road.alert("after-the-restart")
    road.until(held, "HELD")
    assert len(placed(road)) == before
    go_on(road)
    road.until(held, "WAITING", seconds=40)
