"""The broker's list of instruments, brought into our table: only what changed is written, in transactions so short that no alert waits.

The list is first read to its end into a temporary file: one that breaks off, or is suspiciously short, changes nothing at all. Then new and
changed rows are written a few at a time, and only at the very end what the list no longer names is switched off. Killed anywhere in
between, every row that was there is still there and active, and the next run completes the work. Rows of exchanges the list does not
name are left alone.
"""

import csv
import tempfile
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import islice
from typing import TextIO

from django.db import connection
from django.db.models import Q, QuerySet

from brokers import types
from brokers.models import FreezeLimit, Instrument
from tvapp.lib import clock, crash
from tvapp.lib.errors import AppError
from tvapp.lib.money import floor_to, plain

READ = 500  # rows compared at once
WRITE = 50  # rows in one transaction of new and changed ones
TOUCH = 400  # rows in one transaction that only dates or switches off
USUAL_CHECKPOINT = 1000  # pages; SQLite's own
FEWEST = Decimal("0.5")  # a list with a smaller share of the rows there were is not believed
ANY_ROOT = "*"
DERIVATIVES = frozenset({types.Kind.FUT, types.Kind.CE, types.Kind.PE})
KINDS = frozenset(types.Kind)
FACTS = ("name", "kind", "tick", "lot", "freeze", "multiplier", "expiry", "strike", "token", "active", "provisional")

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class LoadResult:
    """What a load did, in rows. `seen` the list named, `skipped` made no sense or named an instrument again."""

    added: int = 0
    changed: int = 0
    switched_off: int = 0
    seen: int = 0
    skipped: int = 0

    def __str__(self) -> str:
        text = f"{self.seen} instruments in the list: {self.added} new, {self.changed} changed, {self.switched_off} switched off"
        return f"{text}, {self.skipped} left out." if self.skipped else f"{text}."


class ListRefused(AppError):
    """The list is empty or far shorter than the one before; nothing was changed."""

    def __init__(self, message: str):
        super().__init__("INSTRUMENT_LIST_REFUSED", message, status=422)


def load(
    instruments: Iterable[types.Instrument], *, exchange: str = "", as_of: datetime, progress: Progress | None = None, force: bool = False
) -> LoadResult:
    """Brings the table to this list, which was made at `as_of`; with `exchange` only that one's rows.

    `native` of each instrument may carry `name` (the root) and `token`. `progress` is told (rows done, rows in all; 0: not known yet).
    ListRefused when the list is empty, or has less than half of the rows an exchange had before and `force` is not set.
    Whatever the iterable raises passes through, with nothing changed.
    """
    with tempfile.TemporaryFile("w+", newline="", encoding="utf-8", prefix="instruments-") as spool:
        counts, skipped = _spool(instruments, exchange, spool, progress)
        skipped += getattr(instruments, "malformed", 0)  # what the reader of a file left out itself
        _check(counts, skipped, exchange, clock.trading_day(as_of), force)
        crash.point("instruments.spooled")
        return _Load(as_of, counts, skipped, progress).run(spool)


# ---------------------------------------------------------------------------- reading
def _spool(instruments: Iterable[types.Instrument], exchange: str, spool: TextIO, progress: Progress | None) -> tuple[Counter[str], int]:
    """Writes the list's rows to the file as text; how many there are of each exchange, and how many were left out."""
    counts: Counter[str] = Counter()
    named: set[str] = set()
    skipped, write = 0, csv.writer(spool).writerow
    for number, item in enumerate(instruments, start=1):
        if exchange and item.exchange != exchange:
            continue
        if not _sensible(item) or item.key in named:
            skipped += 1
            continue
        named.add(item.key)
        counts[item.exchange] += 1
        write(_text_of(item))
        if progress and number % READ == 0:
            progress(number, 0)
    spool.seek(0)
    return counts, skipped


def _sensible(item: types.Instrument) -> bool:
    named = 0 < len(item.symbol) <= 64 and 0 < len(item.exchange) <= 12 and item.kind in KINDS
    return named and item.key == f"{item.exchange}:{item.symbol}" and (item.kind not in DERIVATIVES or item.expiry is not None)


def _text_of(item: types.Instrument) -> list[str]:
    native = item.native
    token = native.get("token") or native.get("instrument_token") or ""
    numbers = [plain(value) or "" for value in (item.tick, item.lot, item.multiplier, item.strike)]
    expiry = item.expiry.isoformat() if item.expiry else ""
    return [item.exchange, item.symbol, str(native.get("name", "")).strip()[:64], str(item.kind), *numbers, expiry, str(token)[:32]]


def _positive(text: str) -> Decimal | None:
    """A list writes 0 where it does not know."""
    value = Decimal(text) if text else None
    return value if value and value > 0 else None


def _chunks(spool: TextIO) -> Iterator[list[list[str]]]:
    rows = csv.reader(spool)
    while chunk := list(islice(rows, READ)):
        yield chunk


# ---------------------------------------------------------------------------- believing
def _listed(exchange: str) -> QuerySet[Instrument]:
    """The active rows of an exchange that came from a list."""
    return Instrument.objects.filter(exchange=exchange, active=True, provisional=False)


def _check(counts: Mapping[str, int], skipped: int, exchange: str, today: date, force: bool) -> None:
    if not counts:
        place = f" for {exchange}" if exchange else ""
        fault = f"has {skipped} rows and none makes sense" if skipped else "is empty"
        raise ListRefused(f"The instrument list{place} {fault}. The instruments stay as they were.")
    for name, count in sorted(counts.items()):
        before = _listed(name).exclude(expiry__lt=today).count()
        if count < before * FEWEST and not force:
            text = f"The list names {count} instruments of {name}, the one before named {before}. Nothing was changed."
            raise ListRefused(f"{text} If the short list is right, load it with --force.")


# ---------------------------------------------------------------------------- freeze quantities
class Freezes:
    """The largest quantity of one order on a day, by exchange and root; a root of * stands for all others of its exchange."""

    def __init__(self, today: date):
        rows = FreezeLimit.objects.filter(since__lte=today).order_by("since")
        self._limits = {(row.exchange, row.root): row.quantity for row in rows}

    def of(self, exchange: str, root: str, kind: str, lot: Decimal | None) -> Decimal | None:
        """In whole lots: 1800 at a lot of 65 is 1755. None where no limit is known, and for an index."""
        if kind not in (*DERIVATIVES, types.Kind.EQ):
            return None
        limit = self._limits.get((exchange, root)) or self._limits.get((exchange, ANY_ROOT))
        return (floor_to(limit, lot) or None) if limit and lot else limit


# ---------------------------------------------------------------------------- writing
class _Load:
    """One run over the spooled list."""

    def __init__(self, as_of: datetime, counts: Counter[str], skipped: int, progress: Progress | None):
        self.as_of, self.today = as_of, clock.trading_day(as_of)
        self.total, self.skipped, self.progress = counts.total(), skipped, progress
        self.freezes = Freezes(self.today)
        self.unnamed = {pk for ex in counts for pk in _listed(ex).values_list("pk", flat=True).iterator(READ)}
        self.unchanged: array[int] = array("q")
        self.added = self.changed = self.done = 0

    def run(self, spool: TextIO) -> LoadResult:
        with _checkpoints_between() as checkpoint:
            return self._all(spool, checkpoint)

    def _all(self, spool: TextIO, checkpoint: Callable[[], None]) -> LoadResult:
        for chunk in _chunks(spool):
            self._chunk(chunk)
            checkpoint()
            self.done += len(chunk)
            if self.progress:
                self.progress(self.done, self.total)
        crash.point("instruments.written")
        _in_parts(self.unchanged, Q(as_of__lt=self.as_of), as_of=self.as_of)
        crash.point("instruments.dated")
        off = _in_parts(array("q", sorted(self.unnamed)), Q(as_of__lte=self.as_of), active=False)  # not what a newer list named meanwhile
        return LoadResult(self.added, self.changed, off, self.total, self.skipped)

    def _chunk(self, chunk: list[list[str]]) -> None:
        wanted = {(exchange, symbol): self._row(exchange, symbol, *facts) for exchange, symbol, *facts in chunk}
        there = _there(wanted)
        to_write = []
        for key, row in wanted.items():
            old = there.get(key)
            if old is None:
                self.added += 1
                to_write.append(row)
                continue
            self.unnamed.discard(old.pk)
            if row.multiplier == types.ONE:
                row.multiplier = old.multiplier  # the list does not say it; somebody or a position did
            if all(getattr(old, name) == getattr(row, name) for name in FACTS):
                self.unchanged.append(old.pk)
            else:
                self.changed += 1
                to_write.append(row)
        for at in range(0, len(to_write), WRITE):
            self._write(to_write[at : at + WRITE])

    def _row(self, exchange: str, symbol: str, name: str, kind: str, tick: str, lot: str, multiplier: str, strike: str, *rest: str) -> Instrument:
        expiry, token = rest
        until, size = date.fromisoformat(expiry) if expiry else None, _positive(lot)
        return Instrument(
            exchange=exchange, tradingsymbol=symbol, name=name, kind=kind, tick=_positive(tick), lot=size, strike=_positive(strike), expiry=until,
            multiplier=_positive(multiplier) or types.ONE, freeze=self.freezes.of(exchange, name, kind, size), token=token,
            provisional=False, active=until is None or until >= self.today, as_of=self.as_of,
        )  # fmt: skip

    @staticmethod
    def _write(rows: list[Instrument]) -> None:
        """One statement, one short transaction; a row that is there keeps its id."""
        Instrument.objects.bulk_create(rows, update_conflicts=True, unique_fields=["exchange", "tradingsymbol"], update_fields=[*FACTS, "as_of"])
        crash.point("instruments.chunk")


def _in_parts(pks: "array[int]", still: Q, **values: object) -> int:
    """Sets `values` in these rows as far as `still` holds for them; returns how many."""
    done = 0
    for at in range(0, len(pks), TOUCH):
        done += Instrument.objects.filter(still, pk__in=pks[at : at + TOUCH].tolist()).update(**values)
        crash.point("instruments.part")
    return done


@contextmanager
def _checkpoints_between() -> Iterator[Callable[[], None]]:
    """SQLite moves its log into the file within whichever commit makes it long: here that is done between the commits, where nobody waits."""
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        yield lambda: None
        return
    try:
        _pragma("wal_autocheckpoint=0")
        yield lambda: _pragma("wal_checkpoint(PASSIVE)")
    finally:
        _pragma(f"wal_autocheckpoint={USUAL_CHECKPOINT}")


def _pragma(text: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA {text}")
        cursor.fetchall()


def _there(wanted: Mapping[tuple[str, str], Instrument]) -> dict[tuple[str, str], Instrument]:
    """The rows of these keys that the table has already."""
    found: dict[tuple[str, str], Instrument] = {}
    for exchange in {exchange for exchange, _ in wanted}:
        symbols = [symbol for ex, symbol in wanted if ex == exchange]
        rows = Instrument.objects.filter(exchange=exchange, tradingsymbol__in=symbols)
        found |= {(exchange, row.tradingsymbol): row for row in rows}
    return found


def value_of(row: Instrument) -> types.Instrument:
    """The row as adapters take it; a tick or lot that is not known counts as the smallest one."""
    return types.Instrument(
        key=row.key, exchange=row.exchange, symbol=row.tradingsymbol, kind=types.Kind(row.kind), tick=row.tick or Decimal("0.05"),
        lot=row.lot or Decimal(1), freeze=row.freeze, multiplier=row.multiplier, expiry=row.expiry, strike=row.strike,
        native={"id": str(row.pk)}, as_of=row.as_of,
    )  # fmt: skip
