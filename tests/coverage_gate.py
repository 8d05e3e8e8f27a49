"""Reads `coverage json`, prints the share of lines that ran for each app, and fails below the limits.

python tests/coverage_gate.py coverage.json
"""

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

WHOLE, PURE = 85.0, 95.0
PURE_ROOMS = (
    "tvapp/lib/",
    "trading/domain/",
    "risk/types.py",
    "risk/calendar.py",
    "risk/codes.py",
    "risk/codec.py",
    "risk/examples.py",
    "risk/loosening.py",
    "risk/phrases.py",
    "risk/replay.py",
    "risk/rules/",
    "risk/engine.py",
    "brokers/types.py",
    "brokers/errors.py",
    "brokers/charges.py",
    "brokers/paper/matching.py",
    "brokers/zerodha/errors.py",
    "brokers/zerodha/mapping.py",
)
APPS = ("tvapp/", "trading/", "brokers/", "risk/", "analytics/")
Lines = tuple[int, int]  # that ran, that there are


def share(lines: Iterable[Lines]) -> float:
    """Per cent of the lines that ran; nothing to run is all of it."""
    ran, there_are = (sum(column) for column in zip(*lines, (0, 0), strict=True))
    return 100.0 * ran / there_are if there_are else 100.0


def rows(files: dict[str, Lines]) -> list[tuple[str, float, float]]:
    """(what, per cent, the limit it must reach) for each app, the pure rooms and the whole."""

    def part(wanted: Callable[[str], bool]) -> float:
        return share(lines for name, lines in files.items() if wanted(name))

    apps = [(app.rstrip("/"), part(lambda name, app=app: name.startswith(app)), 0.0) for app in APPS]
    return [*apps, ("pure rooms", part(lambda name: name.startswith(PURE_ROOMS)), PURE), ("everything", share(files.values()), WHOLE)]


def main(report: str) -> int:
    measured = json.loads(Path(report).read_text())["files"]
    files = {name: (it["summary"]["covered_lines"], it["summary"]["num_statements"]) for name, it in measured.items()}
    failed = False
    for what, reached, limit in rows(files):
        short = reached < limit
        failed = failed or short
        print(f"coverage {what:<11} {reached:5.1f} %" + (f"  below the {limit:.0f} % it must reach" if short else ""))
    if failed:
        worst = sorted(((share([lines]), name) for name, lines in files.items() if lines[1] > lines[0]))[:10]
        print("least covered: " + ", ".join(f"{name} {reached:.0f} %" for reached, name in worst))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
