"""Fills the market calendar from the lists that come with the desk, or from a file. What a person entered or took away stays as it is."""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, time
from pathlib import Path

from django.db import transaction

from risk import calendar
from risk.calendar import Week
from risk.models import MarketHours, MarketSession
from tvapp.lib.errors import AppError

SEED = "SEED"
LIST = Path(__file__).parent / "data" / "calendar.csv"
COLUMNS = ("exchanges", "date", "kind", "opens", "closes", "name")
FIRST, LAST = date(2025, 1, 1), date(2026, 12, 31)  # the exchanges publish a year's list in the December before it
_SHARES = {"days": "12345", "opens": time(9, 15), "closes": time(15, 30)}
_AMO_SHARES, _AMO_CONTRACTS = {"amo_from": time(16), "amo_to": time(8, 58)}, {"amo_from": time(15, 45), "amo_to": time(9, 10)}
_SPAN = {"maintained_from": FIRST, "maintained_to": LAST}
WEEKS = {
    "NSE": {**_SHARES, **_AMO_SHARES, **_SPAN},
    "BSE": {**_SHARES, **_AMO_SHARES, **_SPAN},
    "NFO": {**_SHARES, **_AMO_CONTRACTS, **_SPAN},
    "BFO": {**_SHARES, **_AMO_CONTRACTS, **_SPAN},
    "CDS": {"days": "12345", "opens": time(9), "closes": time(17), "amo_from": time(17), "amo_to": time(8, 59), **_SPAN},
    "MCX": {
        "days": "12345", "opens": time(9), "closes": time(23, 30), "us_winter_closes": time(23, 55), "amo_from": time(23, 30), "amo_to": time(8, 58),
        **_SPAN,
    },
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One line of a list. A special session without an end has the usual one of its day."""

    exchange: str
    date: date
    kind: str
    opens: time | None
    closes: time | None
    name: str


@dataclass
class Result:
    """What a run did; `kept` are days and exchanges that a person had changed, and that were left alone."""

    added: int = 0
    changed: int = 0
    kept: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        left = f" Left as a person set them: {', '.join(self.kept)}." if self.kept else ""
        return f"Market calendar: {self.added} entries added, {self.changed} brought up to date.{left}"


def load(*, file: Path | None = None, year: int | None = None, to: date | None = None) -> Result:
    """Hours of the exchanges and the days of the list, or of `file`. `to`: the last day this file is complete for. AppError for a bad file."""
    rows = [row for row in read(file or LIST) if year is None or row.date.year == year]
    result, source = Result(), file.name[:80] if file else SEED
    with transaction.atomic():
        for exchange, values in WEEKS.items():
            _keep_week(exchange, {**values, **({"maintained_to": max(to, LAST)} if to else {})}, result)
        weeks = {row.exchange: row.week for row in MarketHours.objects.all()}
        there = {(row.exchange, row.date): row for row in MarketSession.objects.all()}
        gone = set(MarketSession.history.filter(history_type="-").values_list("exchange", "date")) if source == SEED else set()
        for row in rows:
            key = (row.exchange, row.date)
            if key in gone and key not in there:
                result.kept.append(f"{row.exchange} {row.date}")  # somebody took it out
            else:
                _keep_day(there.get(key), _ended(row, weeks.get(row.exchange)), source, result)
    return result


def _keep_week(exchange: str, values: dict[str, object], result: Result) -> None:
    """Made when it is missing; later only the span grows, and not where a person changed the row."""
    row, made = MarketHours.objects.get_or_create(exchange=exchange, defaults=values)
    result.added += made
    if made or row.maintained_to == values["maintained_to"]:
        return
    if row.history.exclude(history_user=None).exists():
        result.kept.append(f"hours of {exchange}")
    elif row.maintained_to and row.maintained_to < values["maintained_to"]:
        row.maintained_to = values["maintained_to"]
        row.save()
        result.changed += 1


def _ended(row: Row, week: Week | None) -> dict[str, object]:
    closes = row.closes
    if row.kind == MarketSession.Kind.SPECIAL and closes is None and week is not None:
        late = week.us_winter_closes if calendar.us_winter(row.date) else None
        closes = late or week.closes
    if row.kind == MarketSession.Kind.SPECIAL and (row.opens is None or closes is None or row.opens >= closes):
        raise AppError("INVALID_VALUE", f"{row.exchange} {row.date}: a special session needs a time to open and a later one to close.")
    return {"exchange": row.exchange, "date": row.date, "kind": row.kind, "opens": row.opens, "closes": closes, "name": row.name}


def _keep_day(row: MarketSession | None, values: dict[str, object], source: str, result: Result) -> None:
    if row is None:
        MarketSession.objects.create(**values, source=source)
        result.added += 1
    elif all(getattr(row, name) == value for name, value in values.items()):
        return
    elif row.source == source or (row.source == SEED and source != SEED):
        for name, value in {**values, "source": source}.items():
            setattr(row, name, value)
        row.save()
        result.changed += 1
    else:
        result.kept.append(f"{row.exchange} {row.date}")


def read(file: Path) -> list[Row]:
    """The rows of a list: exchanges (between blanks), date, kind, opens, closes, name. AppError with the number of a line that makes no sense."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:
            return list(_rows(csv.DictReader(opened)))
    except (OSError, UnicodeDecodeError) as exc:
        raise AppError("INVALID_VALUE", f"{file} cannot be read: {exc}") from exc


def _rows(lines: Iterable[dict[str, str]]) -> Iterator[Row]:
    for number, line in enumerate(lines, 2):
        try:
            given = {name: (line[name] or "").strip() for name in COLUMNS}
            day, kind = date.fromisoformat(given["date"]), MarketSession.Kind(given["kind"].upper())
            opens, closes = (time.fromisoformat(given[name]) if given[name] else None for name in ("opens", "closes"))
        except (KeyError, ValueError) as exc:
            said = f"Line {number} makes no sense ({exc}). It has {', '.join(COLUMNS)}, for example: NSE BSE,2027-01-26,HOLIDAY,,,Republic Day"
            raise AppError("INVALID_VALUE", said) from exc
        for exchange in given["exchanges"].upper().split():
            yield Row(exchange, day, kind.value, opens, closes, given["name"][:80])
