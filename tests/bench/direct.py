"""One alert in and worked in this very process: ingest, then dispatch, no web server and no queue. The yardstick of `latency`.

`python -m tests.bench.direct` reads a count a line, handles that many alerts, and answers with what each took as a line of JSON.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench import place


class Direct:
    """The process that does it, on any prepared home."""

    def __init__(self, process: subprocess.Popen):
        self.process = process

    def __call__(self, count: int) -> dict[str, list[float]]:
        """Milliseconds: `added` (receipt to the broker call, from the rows), `ingest` and `dispatch` (by the process's own clock)."""
        print(count, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise place.BenchmarkFailed("Handling alerts in one process failed; the lines above say why.")
        return json.loads(answer)


@contextmanager
def worker(home: Path) -> Iterator[Direct]:
    env = place.environment(home, LOG_LEVEL="WARNING")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-m", "tests.bench.direct"], cwd=place.ROOT, env=env, start_new_session=True, **pipes)
    try:
        yield Direct(process)
    finally:
        process.stdin.close()
        place.end(process)


def handle(count: int) -> dict[str, list[float]]:
    from tests.bench.load import alert
    from trading.services import dispatch, ingest
    from tvapp.lib import ids

    took: dict[str, list[float]] = {"ingest": [], "dispatch": [], "added": []}
    orders = []
    for _ in range(count):
        begun = time.perf_counter()
        answer = ingest.receive(alert(), token=None, source="127.0.0.1", correlation_id=ids.correlation_id())
        stored = time.perf_counter()
        dispatch.work(answer.order_ids[0])
        took["ingest"].append(1000 * (stored - begun))
        took["dispatch"].append(1000 * (time.perf_counter() - stored))
        orders += answer.order_ids
    took["added"] = [step.added for step in steps(os.environ["TVAPP_HOME"], min(orders))]
    if len(took["added"]) != count:  # a worker of other code, for one, sends nothing, and nothing is quickly done
        sys.exit(f"{count - len(took['added'])} of {count} orders were not sent.")
    return took


def main() -> None:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tvapp.settings")
    django.setup()
    for line in sys.stdin:
        print(json.dumps(handle(int(line))), flush=True)


if __name__ == "__main__":
    from tests.bench.road import steps

    main()
