"""Single values of an alert: text, numbers and times, checked strictly and refused by the name of their field."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from tvapp.lib.money import plain

from ..alertjson import bounded_decimal, refuse

MAX_TEXT = 128
UPPER = Decimal(10) ** 12
LOWER = Decimal(1).scaleb(-8)  # the smallest price and quantity that can be stored


def text_of(value: object, path: str) -> str:
    """Trimmed text of a text or number field."""
    if isinstance(value, Decimal):
        return plain(value) or ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise refuse("BAD_TEXT", f"{path} must be text.", field=path)
    text = str(value).strip()
    if len(text) > MAX_TEXT:
        raise refuse("TOO_LONG", f"{path} has {len(text)} characters; {MAX_TEXT} are allowed.", field=path)
    return text


_PLAIN = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_GROUPED = re.compile(r"[+-]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,2}(?:,[0-9]{2})*,[0-9]{3})(?:\.[0-9]+)?")
_EMPTY = frozenset({"", "nan", "na", "null", "none", "undefined", "∅"})


def number_of(value: object, path: str) -> Decimal:
    """The exact number of a JSON number or of its text; thousands separators only in well-formed groups (1,234.5 or 1,23,456)."""
    if isinstance(value, Decimal):
        return value
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise refuse("BAD_NUMBER", f"{path} must be a number.", field=path)
    text = str(value).strip().replace("\u2212", "-")  # charts print a real minus sign
    if text.lower() in _EMPTY:
        hint = "A placeholder resolved to nothing. Check that the chart gives this value."
        raise refuse("BAD_NUMBER", f"{path} holds no number.", field=path, hint=hint)
    number = None
    if _PLAIN.fullmatch(text) or _GROUPED.fullmatch(text):
        number = bounded_decimal(text.replace(",", ""))
    if number is None:
        hint = "Write it like 1234.5, 1,234.5 or 1,23,456."
        raise refuse("BAD_NUMBER", f"{path} is {text[:40]}, which is not a number the desk takes.", field=path, hint=hint)
    return number


def positive(value: Decimal, path: str, code: str) -> Decimal:
    if value <= 0:
        raise refuse(code, f"{path} is {plain(value)}; it must be above 0.", field=path)
    if not LOWER <= value <= UPPER:
        raise refuse(code, f"{path} is {plain(value)}; it must be between {plain(LOWER)} and {plain(UPPER)}.", field=path)
    return value


_ISO = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|z|[+-]\d\d:?\d\d)?)?", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECONDS = Decimal(10) ** 11  # above this an epoch is in milliseconds
_YEARS = range(2000, 2101)


def time_of(value: object, path: str) -> datetime:
    """ISO text (without a zone it is UTC) or epoch seconds or milliseconds, as an aware UTC moment between 2000 and 2100."""
    moment = _moment(value)
    if moment is None or moment.year not in _YEARS:
        hint = "Use {{time}} or {{timenow}}, like 2026-11-20T04:15:01Z, or epoch seconds."
        raise refuse("BAD_TIME", f"{path} is not a time the desk can read.", field=path, hint=hint)
    return moment


def _moment(value: object) -> datetime | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and _ISO.fullmatch(value.strip()):
        return _from_iso(value.strip().upper())
    if isinstance(value, str) and not re.fullmatch(r"[0-9]{9,14}(?:\.[0-9]{1,9})?", value.strip()):
        return None
    if isinstance(value, str | int | Decimal):
        return _from_epoch(Decimal(value.strip() if isinstance(value, str) else value))
    return None


def _from_iso(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _from_epoch(epoch: Decimal) -> datetime | None:
    milliseconds = epoch if abs(epoch) > _MILLISECONDS else epoch * 1000
    if not 0 < milliseconds < Decimal(10) ** 13:
        return None
    return _EPOCH + timedelta(microseconds=int(milliseconds * 1000))
