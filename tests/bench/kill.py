"""SIGKILL of each process below the supervisor, one after the other: when does work go on?

Right before the kill one alert is acknowledged, right after it the next one is sent, as TradingView sends it: again until it is
acknowledged. Work goes on when both are filled on paper.
"""

import os
import signal
import time
from collections import defaultdict

from tests.bench import place
from tests.bench.rows import Row, Size, row

GROUPS = {"gunicorn": "web server", "--name orders": "orders cluster", "sweep --loop": "sweeper", "--name batch": "batch cluster"}


def run(size: Size) -> list[Row]:
    worst: dict[str, list[float]] = defaultdict(list)
    with place.desk() as desk:
        crowd = _crowd(desk)
        for number, (group, where) in enumerate(crowd if size.repeats > 1 else list(crowd)[:1]):
            worst[group].append(_resumed(desk, _crowd(desk)[group, where], number))
            desk.wait(lambda: _crowd(desk).keys() >= crowd.keys(), 20, "all processes are back")
            time.sleep(1.5)  # what came back is at work again before the next one is killed
    every = [seconds for part in worst.values() for seconds in part]
    whole = row("kill", f"s until work goes on, worst of {len(every)} processes killed", max(every), goal="ours <= 2")
    return [whole, *(row("kill", f"s until work goes on, worst process of the {name}", max(part)) for name, part in worst.items())]


def _crowd(desk) -> dict[tuple[str, tuple[int, ...]], int]:
    """Every process below the supervisor by its place: the group it belongs to and its way down the tree, which outlives its pid."""
    found, lines = {}, desk.below()

    def walk(group: str, where: tuple[int, ...], pid: int) -> None:
        found[group, where] = pid
        for number, child in enumerate(sorted(place.children(pid, deep=False))):
            walk(group, (*where, number), child)

    for pid in place.children(desk.process.pid, deep=False):
        walk(_group(lines.get(pid, "")), (), pid)
    return found


def _group(line: str) -> str:
    return next((name for mark, name in GROUPS.items() if mark in line), "rest")


def _resumed(desk, pid: int, number: int) -> float:
    """Seconds from the kill to the later one of the two fills."""
    before = desk.persistent_alert(f"before-{number}")["order_id"]
    os.kill(pid, signal.SIGKILL)
    killed = time.monotonic()
    after = desk.persistent_alert(f"after-{number}")["order_id"]
    sql = "SELECT count(*) FROM trading_order WHERE id IN (?, ?) AND status = 'COMPLETE'"
    desk.wait(lambda: place.rows_of(desk.home, sql, before, after)[0][0] == 2, 60, "the orders around a kill are filled")
    return time.monotonic() - killed
