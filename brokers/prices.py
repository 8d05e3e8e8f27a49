"""Prices of paper accounts that need no broker: read from a file of the data directory, or walked at random."""

import logging
import random
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from pathlib import Path

from django.conf import settings

from brokers.types import QuoteTick
from tvapp.lib import clock
from tvapp.lib.money import floor_to

logger = logging.getLogger("brokers.prices")

LARGEST = 2 * 1024 * 1024
STEP = 0.0004  # of the price, about a minute's swing of a share
MOST = Decimal(10) ** 12
UNKNOWN_TICK = Decimal("0.05")


class NoFile(Exception):
    """The file of prices cannot be used; the text says why."""


def data_directory() -> Path:
    return Path(settings.HOME).resolve()


def file_of(name: str) -> Path:
    """The CSV file of that name inside the data directory. Raises NoFile for any path that leads out of it, by whatever way."""
    home = data_directory()
    try:
        place = (home / name).resolve()
    except (OSError, ValueError, RuntimeError) as wrong:
        raise NoFile("This is no name of a file.") from wrong
    if not name or Path(name).is_absolute() or not place.is_relative_to(home) or place.suffix.lower() != ".csv":
        raise NoFile("Give the name of a .csv file inside the data directory, for example prices.csv.")
    return place


def from_file(name: str, keys: Iterable[str], now: datetime) -> list[QuoteTick]:
    """The prices of `keys` in the file, as old as the file's last change: a file nobody writes any more fills nothing. Raises NoFile."""
    place = file_of(name)
    try:
        facts = place.stat()
        if not place.is_file() or facts.st_size > LARGEST:
            raise NoFile(f"{place.name} is larger than 2 MB or no file.")
        found = _read(str(place), facts.st_mtime_ns, facts.st_size)
    except OSError as gone:
        raise NoFile(f"{place.name} is not in the data directory, or cannot be read.") from gone
    at = min(now, datetime.fromtimestamp(facts.st_mtime, UTC))
    return [QuoteTick(key, found[key], at) for key in keys if key in found]


@lru_cache(maxsize=8)
def _read(place: str, changed: int, size: int) -> Mapping[str, Decimal]:
    """Read again only when the file changed: its time and size are part of the question."""
    lines = Path(place).read_text(encoding="utf-8", errors="replace").splitlines()
    rows = [row for row in (_row(line) for line in lines) if row]
    logger.info("%s prices read from %s", len(rows), Path(place).name)
    return dict(rows)


def _row(line: str) -> tuple[str, Decimal] | None:
    """`NSE:INFY,1500.05`; anything else, a heading for one, is left out."""
    key, _, rest = line.partition(",")
    try:
        price = Decimal(rest.partition(",")[0].strip())
    except InvalidOperation:
        return None
    key = key.strip().upper()
    return (key, price) if ":" in key and price.is_finite() and 0 < price < MOST else None


def walk(last: Decimal, tick: Decimal | None, chance: random.Random | None = None) -> Decimal:
    """The next price of a random walk from `last`: on tick, never below one tick."""
    tick = tick or UNKNOWN_TICK
    by = Decimal(str(round((chance or random).gauss(0, STEP), 8)))
    return max(tick, floor_to(last * (1 + by) + tick / 2, tick))


def walked(key: str, last: Decimal, tick: Decimal | None) -> QuoteTick:
    """A tick of the walk, as of now."""
    return QuoteTick(key, walk(last, tick), clock.now())
