"""The alert formats. A new one is a module with NAME, KEYS, NEEDS, `matches` and `to_signals`, and one line in DIALECTS."""

from collections.abc import Mapping
from typing import Final, Protocol

from ..alertjson import refuse
from ..signal import Signal
from . import algodatta, sigma_flat, sigma_v6
from .common import Context, ignored_platform
from .fields import snake

__all__ = ["DIALECTS", "Context", "Dialect", "detect", "ignored_platform"]


class Dialect(Protocol):
    """NAME is stable; KEYS are its usual top-level keys; NEEDS says in words what it is recognised by.

    `matches` never raises. `to_signals` gives 1..n signals or raises AppError with status 400.
    """

    NAME: str
    KEYS: frozenset[str]
    NEEDS: str

    def matches(self, body: Mapping[str, object]) -> bool: ...

    def to_signals(self, body: Mapping[str, object], context: Context) -> list[Signal]: ...


# the order of detection: the more particular shape first
DIALECTS: Final[tuple[Dialect, ...]] = (
    sigma_v6,
    sigma_flat,
    algodatta,
)


def detect(body: Mapping[str, object], wanted: str = "") -> Dialect:
    """The format of a body: the one its `dialect` key or `wanted` names, else the first that matches; else 400 UNKNOWN_DIALECT."""
    named = body.get("dialect") or wanted
    if named:
        return _named(named)
    for dialect in DIALECTS:
        if dialect.matches(body):
            return dialect
    raise _unknown(body)


def _named(name: object) -> Dialect:
    for dialect in DIALECTS:
        if isinstance(name, str) and name.strip().lower() == dialect.NAME:
            return dialect
    known = ", ".join(dialect.NAME for dialect in DIALECTS)
    raise refuse("UNKNOWN_DIALECT", f"There is no alert format {str(name)[:40]}.", field="dialect", hint=f"Known formats: {known}.")


def _unknown(body: Mapping[str, object]) -> Exception:
    seen = [key[:40] for key in list(body)[:20]]
    names = {snake(key) for key in body}
    nearest = max(DIALECTS, key=lambda dialect: len(dialect.KEYS & names))
    hint = f"Nearest is {nearest.NAME}, which needs {nearest.NEEDS}."
    error = refuse("UNKNOWN_DIALECT", f"No alert format has these keys: {', '.join(seen) or 'none'}.", hint=hint)
    error.extra.update(keys=seen, nearest=nearest.NAME)
    return error
