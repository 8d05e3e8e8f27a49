"""Bar close: 200 alerts in 2 s. How long the slowest acknowledgement takes, and when the last paper fill is there."""

from datetime import UTC, datetime
from itertools import pairwise

from tests.bench import place
from tests.bench.load import post_on_time
from tests.bench.road import steps
from tests.bench.rows import Row, Size, percentile, row

WITHIN_S = 2.0


def run(size: Size) -> list[Row]:
    with place.desk() as desk:
        rounds = [_round(desk, size.alerts) for _ in range(size.repeats)]
    acks = [ms for took, _ in rounds for ms in took]
    late = [seconds for _, seconds in rounds]
    what = f"{size.alerts} alerts in {WITHIN_S:g} s"
    return [
        row("burst", f"{what}: ms to the slowest answer of {size.repeats} rounds", max(acks), goal="ours <= 1000"),
        row("burst", f"{what}: ms to the answer, p50", percentile(acks, 50)),
        row("burst", f"{what}: s from the last alert to the last fill, worst of {size.repeats} rounds", max(late), goal="ours <= 3"),
        row("burst", "orders sent and filled a second, while there are any", _rate(desk.home)),
    ]


def _round(desk, alerts: int) -> tuple[list[float], float]:
    first = place.rows_of(desk.home, "SELECT coalesce(max(id), 0) + 1 FROM trading_order")[0][0]
    took, last_sent = post_on_time(desk.port, alerts, WITHIN_S)
    done = "SELECT count(*) FROM trading_order WHERE id >= ? AND status = 'COMPLETE'"
    desk.wait(lambda: place.rows_of(desk.home, done, first)[0][0] == alerts, 60, f"{alerts} orders are filled")
    last_filled = max(step.filled for step in steps(desk.home, first))
    return took, (last_filled - datetime.fromtimestamp(last_sent, UTC).replace(tzinfo=None)).total_seconds()


def _rate(home) -> float:
    """By the median pause between two fills: the rounds themselves lie seconds apart."""
    filled = sorted(step.filled for step in steps(home, 1))
    pauses = [(b - a).total_seconds() for a, b in pairwise(filled)]
    return 1 / max(percentile(pauses, 50), 0.0001)
