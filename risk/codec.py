"""A decision's inputs as they are kept, and back: numbers as text, times as ISO. What an older row lacks was not known then either: missing."""

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from risk.types import Limits, OrderIntent, Snapshot
from tvapp.lib.money import plain

T = TypeVar("T")


def to_data(value: object) -> object:
    """A value of the gate as JSON."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_data(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): to_data(part) for key, part in value.items()}
    return [to_data(part) for part in value] if isinstance(value, list | tuple) else value


def from_data(data: Mapping[str, Any]) -> tuple[OrderIntent, Snapshot, list[Limits]]:
    """Intent, snapshot and limits of a stored decision (`Decision.snapshot`). Raises KeyError or ValueError when it holds something else."""
    limits = [Limits(row["scope"], row.get("target", ""), row.get("clamp_mode", "REJECT"), row.get("values", {})) for row in data["limits"]]
    return _make(OrderIntent, data["intent"]), _make(Snapshot, data["snapshot"]), limits


def _make(kind: type[T], data: Mapping[str, Any]) -> T:
    hints = get_type_hints(kind)
    known = {f.name: _read(hints[f.name], data[f.name]) for f in _fields(kind) if f.name in data}
    lacking = {f.name: None for f in _fields(kind) if f.name not in data and f.default is MISSING and f.default_factory is MISSING}
    return kind(**known, **lacking)


def _fields(kind: type) -> tuple[Field[Any], ...]:
    return fields(kind)


def _read(hint: Any, value: Any) -> Any:
    """`value` as the type says it: Decimal, aware time, date, another dataclass, or a mapping of them."""
    if value is None:
        return None
    if get_origin(hint) is UnionType:
        return _read(next(part for part in get_args(hint) if part is not type(None)), value)
    if isinstance(hint, type) and is_dataclass(hint):
        return _make(hint, value)
    if hint is Decimal:
        return Decimal(value)
    if hint in (datetime, date):
        return hint.fromisoformat(value)
    if get_origin(hint) is Mapping and is_dataclass(get_args(hint)[1]):
        return {key: _make(get_args(hint)[1], part) for key, part in value.items()}
    return value
