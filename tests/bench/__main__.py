"""`python -m tests.bench NAME SIZE`: one benchmark, its rows as JSON on stdout. Started by the command, with a home in its environment."""

import json
import signal
import sys
from dataclasses import asdict
from importlib import import_module

from tests.bench.place import BenchmarkFailed
from tests.bench.rows import Size


def main(name: str, size: str) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that every `finally` ends what it started
    try:
        rows = import_module(f"tests.bench.{name}").run(Size(**json.loads(size)))
    except BenchmarkFailed as why:
        print(why, file=sys.stderr)
        return 1
    print(json.dumps([asdict(row) for row in rows]))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
