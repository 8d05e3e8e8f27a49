"""Benchmarks: figure, yardstick and their ratio from one run. `manage.py bench` starts them; none of them is a timed test.

Each module named here has `run(size) -> list[Row]`. The command starts one process a benchmark, with a home of its own under a
temporary folder and an environment that holds nothing of the user's settings.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict

from tests.bench.rows import BenchmarkFailed, Row, Size
from tests.process.postgres import programs as postgres_programs

NAMES = ("webhook", "postgres", "latency", "burst", "steady", "hang", "kill", "pages", "admin", "losses", "risk", "start", "memory")
ONLY_NAMED = ("steady",)  # takes ten minutes
LATER = {
    "analytics": "there are no stored results yet",
    "fill": "there are no stored results yet",
    "charts": "no page carries its own chart data yet",
    "ticks": "nothing triggers on price ticks yet",
}
_READS_PROC = ("latency", "burst", "steady", "hang", "kill", "memory")


def left_out(name: str) -> str:
    """Why there is no figure of this name on this machine; empty when there is one."""
    if name in _READS_PROC and not os.path.isdir("/proc/self"):
        return "it reads /proc, which this system does not have"
    if name == "postgres" and postgres_programs() is None:
        return "PostgreSQL's server programs are not installed (Debian and Ubuntu: apt install postgresql)"
    return LATER.get(name, "")


def run(names: Sequence[str], size: Size, say: Callable[[str], None]) -> list[dict[str, object]]:
    """The rows of these benchmarks, in the order asked for. Raises BenchmarkFailed with a sentence."""
    from tests.bench import place

    found: list[Row] = []
    with place.temporary_home() as home:
        for name in names:
            say(f"{name} ...")
            found += place.run_apart(name, size, home)
    return [asdict(row) for row in found]


__all__ = ["LATER", "NAMES", "ONLY_NAMED", "BenchmarkFailed", "Row", "Size", "left_out", "run"]
