"""Receipt to the first byte of the broker call, for AUTO, through the real web server, queue and cluster; and what the desk costs idle."""

import time
from datetime import UTC, datetime
from pathlib import Path

from tests.bench import direct, place
from tests.bench.load import alert, post
from tests.bench.road import Step, steps
from tests.bench.rows import Row, Size, alternate, percentile, row

APART_S = 0.05  # one alert at a time: how long one takes is asked here, not how many fit beside each other


def run(size: Size) -> list[Row]:
    chunk = max(5, size.alerts // size.repeats)
    with place.desk() as desk:
        other = place.copy_of(Path(desk.home), "other")
        with direct.worker(other) as alone:
            through(desk, 5)
            alone(5)
            a, b = alternate(lambda: through(desk, chunk), lambda: alone(chunk), size.repeats)
        idle = _idle(desk, size)
    road = [step for part, _ in a for step in part]
    writes = [1000 * (step.placed - at).total_seconds() for part, posted in a for step, at in zip(part, posted, strict=True)]
    yardstick = [one for part in b for one in part["added"]]
    write = row("latency", "ms from the sender's POST to the broker call, p95", percentile(writes, 95), goal="ours <= 500")
    return [*_added(road, yardstick), write, *_parts(road), *idle]


def through(desk, count: int) -> tuple[list[Step], list[datetime]]:
    """So many alerts over HTTP, one after the other; the moments of their orders once all are filled, and when each was sent."""
    first, sent = place.rows_of(desk.home, "SELECT coalesce(max(id), 0) + 1 FROM trading_order")[0][0], []
    for _ in range(count):
        sent.append(datetime.now(UTC).replace(tzinfo=None))
        status = post(desk.port, alert())
        if status != 201:
            raise place.BenchmarkFailed(f"An alert was answered {status}.")
        time.sleep(APART_S)
    desk.wait(lambda: _filled(desk, first) == count, 30, f"{count} orders are filled")
    return steps(desk.home, first), sent


def _filled(desk, first: int) -> int:
    return place.rows_of(desk.home, "SELECT count(*) FROM trading_order WHERE id >= ? AND status = 'COMPLETE'", first)[0][0]


def _added(road: list[Step], yardstick: list[float]) -> list[Row]:
    ours = [step.added for step in road]
    return [
        row("latency", f"ms from receipt to the broker call, p{p}", percentile(ours, p), percentile(yardstick, p), f"ours <= {goal}")
        for p, goal in ((50, 5), (99, 10))
    ]


def _parts(road: list[Step]) -> list[Row]:
    parts = {"ingest up to the order's row": "ingest", "commit, wake-up and claim": "claim", "claim to the broker call": "hand_over"}
    return [row("latency", f"ms of it for {words}, p50", percentile([getattr(s, name) for s in road], 50)) for words, name in parts.items()]


def _idle(desk, size: Size) -> list[Row]:
    """CPU of the desk while nothing happens: of the orders cluster, which waits for the bell, and of everything."""
    time.sleep(1)
    orders = {pid for pid, line in desk.pids().items() if "--name orders" in line}
    before, begun = place.cpu_ms(list(desk.pids())), time.monotonic()
    time.sleep(max(1.0, 2.5 * size.seconds))
    after, seconds = place.cpu_ms(list(before)), time.monotonic() - begun
    spent = {pid: (after.get(pid, ms) - ms) / seconds for pid, ms in before.items()}
    return [
        row("latency", "idle CPU of the orders cluster, ms/s", sum(ms for pid, ms in spent.items() if pid in orders), goal="ours <= 5"),
        row("latency", "idle CPU of the whole desk, ms/s", sum(spent.values())),
    ]
