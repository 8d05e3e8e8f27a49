"""The only clock of the desk. Times are aware and UTC; a trading day is an IST date."""

import os
import time
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

IST = ZoneInfo("Asia/Kolkata")


def now() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC)


def monotonic() -> float:
    """Seconds for measuring a span; never goes back and means nothing by itself."""
    return time.monotonic()


def trading_day(at: datetime) -> date:
    """The IST calendar date of an aware moment: 18:30 UTC already belongs to the next day."""
    return at.astimezone(IST).date()


def day_start(day: date) -> datetime:
    """00:00 IST of a trading day, as UTC; `day_start(day + 1 day)` ends it."""
    return datetime(day.year, day.month, day.day, tzinfo=IST).astimezone(UTC)


def time_scale() -> float:
    """1.0, or TVAPP_TIME_SCALE when TVAPP_TEST=1: tests run the same timers, only shorter."""
    if os.environ.get("TVAPP_TEST") != "1":
        return 1.0
    return float(os.environ.get("TVAPP_TIME_SCALE") or 1)


def seconds(value: float) -> timedelta:
    """A timer of `value` seconds, scaled in tests."""
    return timedelta(seconds=value * time_scale())
