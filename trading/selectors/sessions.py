"""Whether a market trades now, from the calendar's rows. They are read every few seconds and not for each order."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import NamedTuple

from risk import calendar
from risk.calendar import Days, Hours, Week
from risk.models import MarketHours, MarketSession
from risk.types import SessionFacts
from trading.domain import symbols
from tvapp.lib import clock

KEEP_S = 2.0


class _Calendar(NamedTuple):
    weeks: Mapping[str, Week]
    days: Mapping[str, Days]


_kept: tuple[float, _Calendar | None] = (0.0, None)


def _calendar() -> _Calendar:
    """All rows, at most KEEP_S old."""
    global _kept
    at, rows = _kept
    if rows is None or clock.monotonic() - at > KEEP_S:
        rows = _read()
        _kept = (clock.monotonic(), rows)
    return rows


def _read() -> _Calendar:
    days: dict[str, dict[date, Hours | None]] = {}
    for exchange, day, kind, opens, closes in MarketSession.objects.values_list("exchange", "date", "kind", "opens", "closes"):
        days.setdefault(exchange, {})[day] = None if kind == MarketSession.Kind.HOLIDAY else Hours(opens, closes)
    return _Calendar({row.exchange: row.week for row in MarketHours.objects.all()}, days)


def forget() -> None:
    """The next question reads the rows again."""
    global _kept
    _kept = (0.0, None)


def facts(exchange: str, now: datetime) -> SessionFacts:
    """The market of this exchange at this moment. `open` None: nobody entered that day. Crypto venues without hours of their own never close."""
    rows = _calendar()
    week = rows.weeks.get(exchange)
    if week is None and symbols.is_crypto(exchange):
        return SessionFacts(exchange, True, always=True, as_of=now)
    return calendar.facts(exchange, now, week, rows.days.get(exchange, {}))


def last_close(exchanges: Iterable[str], day: date) -> datetime | None:
    """When the last of these markets closes on `day`. None: none of them trades then, or nobody entered the day."""
    rows = _calendar()
    known = (calendar.close_of(rows.weeks[name], rows.days.get(name, {}), day) for name in exchanges if name in rows.weeks)
    return max((close for close in known if close), default=None)


def takes_amo(exchange: str, now: datetime) -> bool:
    """Whether after-market orders of this exchange are taken now. On a day without a session, or where nobody entered a window, it is tried."""
    rows = _calendar()
    week = rows.weeks.get(exchange)
    if week is None or calendar.close_of(week, rows.days.get(exchange, {}), clock.trading_day(now)) is None:
        return True
    return calendar.takes_amo(week, now) is not False


def amo_window(exchange: str) -> str:
    """`16:00 to 08:58`; empty when nobody entered one."""
    week = _calendar().weeks.get(exchange)
    return f"{week.amo_from:%H:%M} to {week.amo_to:%H:%M}" if week and week.amo_from and week.amo_to else ""
