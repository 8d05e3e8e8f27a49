"""Reading the fields of an alert by name, whatever their spelling and level, and keeping what nobody read."""

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import TypeVar

from tvapp.lib.money import plain

from ..alertjson import redact, refuse, to_json
from .values import UPPER, number_of, positive, text_of, time_of

MAX_EXTRAS = 4 * 1024

_WORD = TypeVar("_WORD", bound=StrEnum)


def snake(key: str) -> str:
    """`tradeDetails` and `trade_details` are one name."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key).lower()


class Fields:
    """The fields of a body, camelCase or snake_case, read by name; an earlier layer wins over a later one.

    A layer is `(prefix, values)`; the prefix only serves to name a field in a refusal. null counts as absent.
    What nobody read ends up in `rest()`.
    """

    def __init__(self, *layers: tuple[str, Mapping[str, object]]):
        self._found: dict[str, tuple[str, object]] = {}
        self._spare: dict[str, object] = {}
        self._read: set[str] = set()
        for prefix, values in layers:
            for key in sorted(values, key=lambda k: k != snake(k)):  # the exact spelling first
                self._add(prefix + key, snake(key), values[key])

    def _add(self, path: str, name: str, value: object) -> None:
        if value is None:
            return
        if name in self._found:
            self._spare[path] = value
        else:
            self._found[name] = (path, value)

    def get(self, *names: str) -> tuple[str, object | None]:
        """Path and value of the first name present, else the first name and None."""
        for name in names:
            if name in self._found:
                self._read.add(name)
                return self._found[name]
        return names[0], None

    def skip(self, *names: str) -> None:
        """Fields that were dealt with elsewhere and are not kept."""
        self._read.update(names)

    def text(self, *names: str) -> str | None:
        """The first of these that is not empty, trimmed, at most 128 characters; numbers are taken as their text."""
        for name in names:
            path, value = self.get(name)
            text = text_of(value, path) if value is not None else ""
            if text:
                return text
        return None

    def quantity(self, *names: str) -> Decimal | None:
        """A quantity above zero."""
        return self._positive("BAD_QUANTITY", *names)

    def price(self, *names: str) -> Decimal | None:
        """A price above zero."""
        return self._positive("BAD_PRICE", *names)

    def percent(self, *names: str) -> Decimal | None:
        """A percentage above zero."""
        return self._positive("BAD_NUMBER", *names)

    def _positive(self, code: str, *names: str) -> Decimal | None:
        path, value = self.get(*names)
        return None if value is None else positive(number_of(value, path), path, code)

    def position(self, *names: str) -> Decimal | None:
        """A signed position; zero is flat."""
        path, value = self.get(*names)
        if value is None:
            return None
        size = number_of(value, path)
        if abs(size) > UPPER:
            raise refuse("BAD_QUANTITY", f"{path} is {plain(size)}; at most {plain(UPPER)} is taken.", field=path)
        return size

    def seconds(self, *names: str) -> int | None:
        """A whole number of seconds above zero."""
        return self.whole(1, 86400, "seconds", *names)

    def whole(self, least: int, most: int, unit: str, *names: str) -> int | None:
        """A whole number within bounds; `unit` names it in the refusal."""
        path, value = self.get(*names)
        if value is None:
            return None
        count = number_of(value, path)
        if count < least or count > most or count != int(count):
            raise refuse("BAD_NUMBER", f"{path} is {plain(count)}; whole {unit} from {least} to {most} are taken.", field=path)
        return int(count)

    def time(self, *names: str) -> datetime | None:
        """An aware UTC moment."""
        path, value = self.get(*names)
        return None if value is None else time_of(value, path)

    def word(self, kind: type[_WORD], aliases: Mapping[str, str], code: str, name: str) -> _WORD | None:
        """One of the words of `kind`, in any case and with the usual aliases; refused with `code` otherwise."""
        path, _ = self.get(name)
        text = self.text(name)
        if text is None:
            return None
        found = word_of(kind, aliases, text)
        if found is None:
            raise refuse(code, f"{path} is {text}; known are {', '.join(kind.__members__)}.", field=path)
        return found

    def rest(self) -> dict[str, object]:
        """What nobody read, JSON-ready and without secrets, at most 4 KiB."""
        unread = {name: value for name, (_, value) in self._found.items() if name not in self._read}
        return bounded(redact({**unread, **self._spare}))


def word_of(kind: type[_WORD], aliases: Mapping[str, str], text: str) -> _WORD | None:
    """The member of `kind` a text names, in any case, with spaces and hyphens as underscores."""
    name = re.sub(r"[\s-]", "_", text.strip().upper())
    return kind.__members__.get(aliases.get(name, name))


def bounded(extras: Mapping[str, object]) -> dict[str, object]:
    """Extras with Decimals as text, cut at 4 KiB: entries that no longer fit are left out and counted."""
    kept: dict[str, object] = {}
    room = MAX_EXTRAS - 40
    for key, value in extras.items():
        ready = json_ready(value)
        size = len(to_json({key: ready}).encode())
        if size <= room:
            kept[key] = ready
            room -= size
    left_out = len(extras) - len(kept)
    return {**kept, "left_out": left_out} if left_out else kept


def json_ready(value: object) -> object:
    """The same value with every Decimal as plain text."""
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, Mapping):
        return {str(key): json_ready(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(item) for item in value]
    return value
