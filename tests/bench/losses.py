"""What one look at the day's result costs with 200 and with 2,000 open positions: for the pages (P&L of every scope) and for the loss watch.

`python -m tests.bench.losses COUNT` opens COUNT positions in the home it is given, then answers each line it reads with the milliseconds of one
look at each.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

from tests.bench import place
from tests.bench.rows import Row, Size, alternate, median, row

FEW, MANY = 200, 2_000
LOOKS = 5


def run(size: Size) -> list[Row]:
    few = place.home()
    many = place.copy_of(few, "many")
    with _open(many, MANY) as a, _open(few, FEW) as b:
        a(), b()
        ours, yardstick = alternate(a, b, LOOKS * size.repeats)
    return [one for what in ("P&L of every scope", "loss watch") for one in _compared(what, ours, yardstick)]


def _compared(what: str, ours: list[dict[str, float]], yardstick: list[dict[str, float]]) -> list[Row]:
    many, few = (median([one[what] for one in side]) for side in (ours, yardstick))
    return [
        row("losses", f"ms of one look, {what}, {MANY:,} open positions against {FEW}", many, few),
        row("losses", f"µs a position, {what}, {MANY:,} against {FEW}", 1000 * many / MANY, 1000 * few / FEW, "ratio <= 1.3"),
    ]


@contextmanager
def _open(home: Path, count: int) -> Iterator:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    command = [sys.executable, "-m", "tests.bench.losses", str(count)]
    process = subprocess.Popen(command, cwd=place.ROOT, env=place.environment(home, LOG_LEVEL="WARNING"), start_new_session=True, **pipes)

    def look() -> dict[str, float]:
        print(file=process.stdin, flush=True)
        answer = process.stdout.readline()
        if not answer:
            raise place.BenchmarkFailed(f"{count} positions could not be looked at; the lines above say why.")
        return json.loads(answer)

    try:
        yield look
    finally:
        process.stdin.close()
        place.end(process)


def fill(count: int) -> None:
    """Open positions on paper, bought today at 100 and worth 101, each of a symbol of its own."""
    from brokers.models import Instrument, Quote
    from trading.models import Position, PositionDay, Strategy
    from tvapp.lib import clock

    strategy, price = Strategy.objects.select_related("account").get(name="demo-auto"), Decimal(100)
    named = Instrument.objects.bulk_create(Instrument(exchange="NSE", tradingsymbol=f"P{n}", name=f"P{n}") for n in range(count))
    Quote.objects.bulk_create(Quote(instrument=one, ltp=price + 1) for one in named)
    whose = {"owner": strategy.owner, "account": strategy.account, "strategy": strategy, "book": f"STRATEGY:{strategy.pk}", "product": "CNC"}
    held = Position.objects.bulk_create(Position(**whose, instrument=one, quantity=10, average=price) for one in named)
    PositionDay.objects.bulk_create(PositionDay(position=one, day=clock.trading_day(clock.now()), quantity=10, average=price) for one in held)


def look() -> dict[str, float]:
    from trading.selectors.results import results
    from trading.services import losswatch
    from tvapp.lib import clock

    return {"P&L of every scope": _ms(lambda: results(clock.now(), simulated=True)), "loss watch": _ms(losswatch.watch)}


def _ms(work) -> float:
    begun = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - begun)


def main(count: int) -> None:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tvapp.settings")
    django.setup()
    fill(count)
    for _ in sys.stdin:
        print(json.dumps(look()), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
