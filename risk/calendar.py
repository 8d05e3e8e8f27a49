"""When an exchange trades: its week, the days that differ from it, and how far that is known. Values in, values out; hours are IST."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from risk.types import SessionFacts
from tvapp.lib.clock import IST, day_start, trading_day

NEW_YORK = ZoneInfo("America/New_York")
LOOK_AHEAD_DAYS = 31


class Hours(NamedTuple):
    """One session of a day."""

    opens: time
    closes: time


Days = Mapping[date, Hours | None]  # days that differ from the week; None: closed


@dataclass(frozen=True, slots=True)
class Week:
    """The usual week of an exchange: `days` are its weekdays, Monday is "1". Days are known up to `maintained_to`; None: none are.

    `us_winter_closes` is the close while New York is on winter time; `always` never closes (24x7).
    `amo_from` to `amo_to` is when its after-market orders are taken, mostly over midnight.
    """

    exchange: str
    days: str
    opens: time
    closes: time
    us_winter_closes: time | None = None
    always: bool = False
    maintained_from: date | None = None
    maintained_to: date | None = None
    amo_from: time | None = None
    amo_to: time | None = None


def us_winter(day: date) -> bool:
    """Whether New York is on winter time: the commodity exchange then closes later."""
    return not datetime(day.year, day.month, day.day, 12, tzinfo=NEW_YORK).dst()


def is_known(week: Week, days: Days, day: date) -> bool:
    """Whether it is known if `day` is traded. A day that is entered by itself is known, whatever the maintained span says."""
    if week.always or day in days:
        return True
    began = week.maintained_from is None or week.maintained_from <= day
    return began and week.maintained_to is not None and day <= week.maintained_to


def hours(week: Week, days: Days, day: date) -> Hours | None:
    """The session of `day`; None when it is not traded. Only for a day that is known."""
    if day in days:
        return days[day]
    if week.always:
        return Hours(time.min, time.max)
    if str(day.isoweekday()) not in week.days:
        return None
    late = week.us_winter_closes if us_winter(day) else None
    return Hours(week.opens, late or week.closes)


def moment(day: date, at: time) -> datetime:
    """That time of day in India, as UTC."""
    return day_start(day) + timedelta(hours=at.hour, minutes=at.minute, seconds=at.second, microseconds=at.microsecond)


def facts(exchange: str, now: datetime, week: Week | None, days: Days) -> SessionFacts:
    """The market of `exchange` at `now`. Without a week, or on a day nobody entered, `open` is None: that is no yes."""
    if week is None:
        return SessionFacts(exchange, None, as_of=now)
    if week.always:
        return SessionFacts(exchange, True, always=True, as_of=now)
    day = trading_day(now)
    if not is_known(week, days, day):
        return SessionFacts(exchange, None, as_of=now)
    today = hours(week, days, day)
    opens_at, closes_at = (moment(day, today.opens), moment(day, today.closes)) if today else (None, None)
    is_open = opens_at is not None and closes_at is not None and opens_at <= now < closes_at
    return SessionFacts(exchange, is_open, opens_at, closes_at, next_open(week, days, now), as_of=now)


def next_open(week: Week, days: Days, now: datetime) -> datetime | None:
    """When the next session begins. None: not within a month, or a day before it is not known."""
    for day in _from(trading_day(now)):
        if not is_known(week, days, day):
            return None
        session = hours(week, days, day)
        if session and (opens_at := moment(day, session.opens)) > now:
            return opens_at
    return None


def _from(day: date) -> Iterator[date]:
    return (day + timedelta(days=ahead) for ahead in range(LOOK_AHEAD_DAYS))


def close_of(week: Week, days: Days, day: date) -> datetime | None:
    """When the session of `day` ends. None: it is not traded then, or that is not known."""
    if not is_known(week, days, day):
        return None
    if week.always and day not in days:
        return day_start(day + timedelta(days=1))
    session = hours(week, days, day)
    return moment(day, session.closes) if session else None


def takes_amo(week: Week, now: datetime) -> bool | None:
    """Whether after-market orders are taken now, by the clock alone. None: the window is not known."""
    if week.amo_from is None or week.amo_to is None:
        return None
    at = now.astimezone(IST).time()
    if week.amo_from <= week.amo_to:
        return week.amo_from <= at < week.amo_to
    return at >= week.amo_from or at < week.amo_to
