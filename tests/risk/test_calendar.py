"""When a market trades: the week, holidays, evenings, the American clock, and days nobody entered."""

from datetime import date, datetime, time

import pytest

from risk import calendar, holidays
from risk.calendar import Hours, Week
from risk.models import MarketHours, MarketSession
from tvapp.lib.clock import IST
from tvapp.lib.errors import AppError

NSE = Week("NSE", "12345", time(9, 15), time(15, 30), maintained_from=date(2025, 1, 1), maintained_to=date(2026, 12, 31))
MCX = Week("MCX", "12345", time(9), time(23, 30), time(23, 55), maintained_from=date(2025, 1, 1), maintained_to=date(2026, 12, 31))
DAYS = {
    date(2025, 10, 21): Hours(time(13, 45), time(14, 45)),  # Muhurat trading
    date(2025, 10, 22): None,
    date(2026, 2, 1): Hours(time(9, 15), time(15, 30)),  # a Sunday
}


def ist(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=IST)


@pytest.mark.parametrize(
    ("at", "open_"),
    [
        ("2026-11-23 09:14:59", False),
        ("2026-11-23 09:15", True),
        ("2026-11-23 15:29:59", True),
        ("2026-11-23 15:30", False),
        ("2026-11-21 11:00", False),  # a Saturday
        ("2025-10-21 13:44", False),
        ("2025-10-21 14:00", True),
        ("2025-10-22 11:00", False),
        ("2026-02-01 11:00", True),
        ("2024-12-31 11:00", None),
        ("2027-01-01 11:00", None),
    ],
)
def test_it_knows_when_a_market_is_open(at, open_):
    assert calendar.facts("NSE", ist(at), NSE, DAYS).open is open_


@pytest.mark.parametrize(("day", "closes"), [("2025-03-07", "23:55"), ("2025-03-10", "23:30"), ("2025-10-31", "23:30"), ("2025-11-03", "23:55")])
def test_it_closes_commodities_by_the_american_clock(day, closes):
    said = calendar.facts("MCX", ist(f"{day} 12:00"), MCX, {})
    assert said.closes_at == ist(f"{day} {closes}")


@pytest.mark.parametrize(
    ("at", "opens"),
    [
        ("2025-10-21 09:00", "2025-10-21 13:45"),
        ("2025-10-21 14:45", "2025-10-23 09:15"),
        ("2026-01-30 16:00", "2026-02-01 09:15"),
        ("2026-12-31 16:00", None),  # what comes then is not known
    ],
)
def test_it_says_when_it_opens_next(at, opens):
    assert calendar.facts("NSE", ist(at), NSE, DAYS).next_open == (opens and ist(opens))


def test_it_knows_nothing_without_a_week_and_everything_of_one_that_never_ends():
    assert calendar.facts("XYZ", ist("2026-11-23 11:00"), None, {}).open is None
    round_the_clock = Week("DELTA", "", time.min, time.max, always=True)
    assert (said := calendar.facts("DELTA", ist("2031-01-05 03:00"), round_the_clock, {})).open and said.always


def test_it_does_not_call_a_day_open_that_nobody_vouched_for():
    assert calendar.facts("NSE", ist("2026-11-23 11:00"), Week("NSE", "12345", time(9, 15), time(15, 30)), {}).open is None


@pytest.mark.parametrize(("at", "taken"), [("15:59", False), ("16:00", True), ("23:00", True), ("08:57", True), ("08:58", False)])
def test_it_takes_orders_for_the_morning_over_the_night(at, taken):
    week = Week("NSE", "12345", time(9, 15), time(15, 30), amo_from=time(16), amo_to=time(8, 58))
    assert calendar.takes_amo(week, ist(f"2026-11-23 {at}")) is taken


# ---------------------------------------------------------------------------- the list that comes with the desk
@pytest.fixture
def loaded(db):
    return holidays.load()


def test_it_fills_an_empty_calendar_once(loaded):
    assert MarketHours.objects.count() == 6 and loaded.added > 150
    again = holidays.load()
    assert (again.added, again.changed, again.kept) == (0, 0, [])


def test_it_knows_the_evening_of_a_holiday(loaded):
    row = MarketSession.objects.get(exchange="MCX", date=date(2025, 2, 26))
    assert (row.opens, row.closes) == (time(17), time(23, 55))
    assert MarketSession.objects.get(exchange="MCX", date=date(2025, 8, 27)).closes == time(23, 30)


def test_it_leaves_alone_what_a_person_entered_or_took_away(loaded):
    person = MarketSession.objects.get(exchange="NSE", date=date(2026, 11, 8))
    person.kind, person.opens, person.closes, person.source = "SPECIAL", time(18), time(19), "asha"
    person.save()
    MarketSession.objects.get(exchange="NSE", date=date(2026, 1, 15)).delete()
    assert holidays.load().kept == ["NSE 2026-01-15", "NSE 2026-11-08"]
    person.refresh_from_db()
    assert person.opens == time(18) and not MarketSession.objects.filter(exchange="NSE", date=date(2026, 1, 15)).exists()


def test_it_brings_up_to_date_what_came_with_an_older_list(loaded):
    MarketSession.objects.filter(exchange="NSE", date=date(2026, 11, 10)).update(kind="SPECIAL", opens=time(9), closes=time(10))
    MarketHours.objects.filter(exchange="NSE").update(maintained_to=date(2025, 12, 31))
    assert holidays.load().changed == 2
    assert MarketHours.objects.get(exchange="NSE").maintained_to == holidays.LAST


def test_it_takes_a_list_of_ones_own(loaded, tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text("exchanges,date,kind,opens,closes,name\nnse bse,2027-01-26,HOLIDAY,,,Republic Day\nNSE,2026-11-08,SPECIAL,18:00,19:00,Muhurat\n")
    result = holidays.load(file=file, to=date(2027, 12, 31))
    assert (result.added, MarketHours.objects.get(exchange="NSE").maintained_to) == (2, date(2027, 12, 31))
    assert MarketSession.objects.get(exchange="NSE", date=date(2026, 11, 8)).opens == time(18)
    assert holidays.load().kept[-1] == "NSE 2026-11-08"


@pytest.mark.parametrize("line", ["NSE,26-01-2027,HOLIDAY,,,x", "NSE,2027-01-26,OFF,,,x", "NSE,2027-01-26,SPECIAL,,,x", "NSE,2027-01-26,SPECIAL,25:00,,x"])
def test_it_refuses_a_line_that_makes_no_sense(db, tmp_path, line):
    file = tmp_path / "bad.csv"
    file.write_text(f"exchanges,date,kind,opens,closes,name\n{line}\n")
    with pytest.raises(AppError):
        holidays.load(file=file)
    assert not MarketSession.objects.exists()
