"""What a benchmark says: rows of figures, and how large it is to be."""

import operator
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_COMPARE = {"<=": operator.le, ">=": operator.ge}


class BenchmarkFailed(Exception):
    """A sentence about why there is no figure."""


@dataclass(frozen=True)
class Size:
    """`repeats` of each side, `seconds` of load, `alerts` of a series, `rows` of history."""

    repeats: int = 3
    seconds: float = 2.0
    alerts: int = 200
    rows: int = 100_000

    @classmethod
    def quick(cls, rows: int) -> "Size":
        """To see that it works; the figures mean little."""
        return cls(repeats=1, seconds=0.3, alerts=20, rows=rows)


@dataclass(frozen=True)
class Row:
    """One figure. The unit of `ours` and `yardstick` stands in `figure`; `goal` is a condition on `ours` or `ratio`, or None."""

    name: str
    figure: str
    ours: float
    yardstick: float | None = None
    ratio: float | None = None
    goal: str | None = None
    met: bool | None = None


def row(name: str, figure: str, ours: float, yardstick: float | None = None, goal: str | None = None) -> Row:
    """`goal` reads `ratio <= 1.3` or `ours <= 5`; whether it is met is found here."""
    ratio = ours / yardstick if yardstick else None
    return Row(name, figure, _short(ours), _short(yardstick), _short(ratio), goal, _met(goal, ours, ratio))


def _met(goal: str | None, ours: float, ratio: float | None) -> bool | None:
    if goal is None:
        return None
    subject, sign, limit = goal.split()
    value = {"ours": ours, "ratio": ratio}[subject]
    return value is not None and _COMPARE[sign](value, float(limit))


def _short(value: float | None) -> float | None:
    """Four digits that mean something; the rest is noise."""
    return None if value is None else float(f"{value:.4g}")


def alternate(ours: Callable, yardstick: Callable, repeats: int) -> tuple[list, list]:
    """A B B A A B …: what each side returned, in its own order. Drift of the machine then hits both alike."""
    first, second = [], []
    for number in range(repeats):
        sides = [(ours, first), (yardstick, second)]
        for side, kept in sides if number % 2 == 0 else reversed(sides):
            kept.append(side())
    return first, second


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that `percent` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
