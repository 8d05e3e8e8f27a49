"""An ordinary busy day: 100 alerts a minute for ten minutes. Whether answers and fills stay where they were in the first minute."""

from datetime import UTC, datetime
from functools import partial

from tests.bench import place
from tests.bench.load import alert, send_on_time
from tests.bench.road import Step, steps
from tests.bench.rows import BenchmarkFailed, Row, Size, percentile, row

A_MINUTE = 100
MINUTES = 10.0
PRICE = 100  # a thousand of them are paid from the capital of paper
A_FEW = 0.1  # minutes, to see that it works


def run(size: Size) -> list[Row]:
    minutes = MINUTES if size.repeats > 1 else A_FEW
    number = round(A_MINUTE * minutes)
    with place.desk() as desk:
        sent, last_due = send_on_time(desk.port, number, 60 * minutes, partial(alert, price=PRICE))
        if bad := {one.status for one in sent} - {201}:
            raise BenchmarkFailed(f"Alerts were answered {bad}; only 201 counts.")
        done = "SELECT count(*) FROM trading_order WHERE status = 'COMPLETE'"
        desk.wait(lambda: place.rows_of(desk.home, done)[0][0] == number, 60, f"{number} orders are filled")
        road = steps(desk.home, 1)
    return _rows(f"{A_MINUTE} alerts a minute for {minutes:g} minutes", [one.took for one in sent], road, last_due)


def _rows(what: str, took: list[float], road: list[Step], last_due: float) -> list[Row]:
    fills = [(step.filled - step.received).total_seconds() for step in road]
    last = max(step.filled for step in road).replace(tzinfo=UTC) - datetime.fromtimestamp(last_due, UTC)
    tenth = max(1, len(fills) // 10)
    return [
        row("steady", f"{what}: ms to the slowest answer", max(took), goal="ours <= 1000"),
        row("steady", f"{what}: ms to the answer, p95", percentile(took, 95)),
        row("steady", f"{what}: s from the last alert to the last fill", last.total_seconds(), goal="ours <= 3"),
        row("steady", f"{what}: s from an alert to its fill, p95, last tenth against first", percentile(fills[-tenth:], 95), percentile(fills[:tenth], 95)),
        row("steady", f"{what}: s from an alert to its fill, slowest", max(fills)),
    ]
