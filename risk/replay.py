"""Stored decisions under other limits: which orders would have gone another way. Values in, values out; an answer is never an approval."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from risk.codec import from_data
from risk.engine import evaluate
from risk.types import EQUITY, RESULT, TRADES, D, Limits

Override = Mapping[str, Mapping[str, object]]  # GLOBAL, ACCOUNT:paper or STRATEGY:breakout -> parameter -> value; None takes it away


@dataclass(frozen=True, slots=True)
class Stored:
    """One decision as it was kept. `inputs` is its intent, snapshot and limits as data."""

    id: int
    order: int
    verdict: str
    code: str
    final: D
    inputs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """What one decision was, and what it would be."""

    stored: Stored
    verdict: str
    code: str
    final: D
    sentence: str


def override(rows: Sequence[Limits], other: Override) -> list[Limits]:
    """The rows with other values. A scope without a row gets one; it counts where its account or strategy is meant."""
    left = {label: dict(values) for label, values in other.items()}
    found = []
    for row in rows:
        values = left.pop(row.label, {})
        mode = str(values.pop("clamp_mode", row.clamp_mode))
        found.append(replace(row, clamp_mode=mode, values={**row.values, **values}))
    for label, values in left.items():
        scope, _, target = label.partition(":")
        found.append(Limits(scope, target, str(values.pop("clamp_mode", "REJECT")), values))
    return found


def what_changes(decisions: Iterable[Stored], other: Override) -> Iterable[Change]:
    """Those whose verdict, binding code or final quantity would differ, in the order given. Raises KeyError or ValueError for unreadable inputs,
    and where a limit that is new looks at figures nobody read then.

    Each is judged by itself: what an order refused or cut would have left to later ones is not replayed.
    """
    for stored in decisions:
        intent, snapshot, limits = from_data(stored.inputs)
        _must_be_read(limits, other)
        then, said = evaluate(intent, snapshot, limits), evaluate(intent, snapshot, override(limits, other))
        if (said.verdict, said.code, said.final) != (then.verdict, then.code, then.final):  # by the rules of today on both sides
            yield Change(stored, said.verdict, said.code, said.final, said.sentence)


def _must_be_read(limits: Sequence[Limits], other: Override) -> None:
    known = {name for row in limits for name in row.values}
    new = {name for values in other.values() for name, value in values.items() if value is not None}
    for group in (RESULT, TRADES, EQUITY):
        if not group.isdisjoint(new) and group.isdisjoint(known):
            raise ValueError(f"nobody read what {min(group & new)} looks at")
