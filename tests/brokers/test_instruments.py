"""The instrument list in the table: what changed is written, what is gone is switched off, and a broken or doubtful list changes nothing."""

import tracemalloc
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokers import instruments
from brokers.instruments import ListRefused, LoadResult, load
from brokers.models import FreezeLimit, Instrument
from tests.brokers.listing import MONDAY, item, of_day, without
from tvapp.lib import clock, crash

D = Decimal
AT = datetime.combine(MONDAY, datetime.min.time(), clock.IST) + timedelta(hours=8, minutes=15)

pytestmark = pytest.mark.django_db


class Killed(BaseException):
    """What a kill looks like from inside."""


def table() -> dict[str, tuple]:
    """Every row by its key, without its dates and ids."""
    return {row.key: tuple(getattr(row, name) for name in instruments.FACTS) for row in Instrument.objects.all()}


def row(key: str) -> Instrument:
    exchange, _, symbol = key.partition(":")
    return Instrument.objects.get(exchange=exchange, tradingsymbol=symbol)


def test_it_takes_over_every_fact_of_the_list():
    load(of_day(), as_of=AT)
    call = row("NFO:NIFTY26NOV24500CE")
    assert (call.name, call.kind, call.tick, call.lot) == ("NIFTY", "CE", D("0.05"), 65)
    assert (call.expiry, call.strike, call.active, call.provisional, call.as_of) == (date(2026, 11, 24), 24500, True, False, AT)
    assert row("NSE:INFY").token == str(1594 * 256 + 1)
    assert (row("NSE:NIFTY 50").kind, row("NSE:NIFTY 50").tick, row("NSE:INFY").strike) == ("IDX", None, None)


def test_it_counts_what_it_did():
    first = load(of_day(), as_of=AT)
    assert first == LoadResult(added=len(of_day()), seen=len(of_day()))
    changed = [replace(r, tick=D("0.10")) if r.symbol == "SBIN" and r.exchange == "NSE" else r for r in without(of_day(), "IDEA")]
    again = load([*changed, item("NSE", "NEW")], as_of=AT + timedelta(days=1))
    assert (again.added, again.changed, again.switched_off, again.seen) == (1, 1, 1, len(of_day()))
    assert str(again) == f"{len(of_day())} instruments in the list: 1 new, 1 changed, 1 switched off."


def test_it_writes_only_the_date_of_a_row_that_did_not_change(django_assert_max_num_queries):
    load(of_day(), as_of=AT)
    later = AT + timedelta(days=1)
    with django_assert_max_num_queries(60) as asked:
        load(without(of_day(), "NIFTY26NOVFUT"), as_of=later)
    assert not [q for q in asked.captured_queries if q["sql"].startswith("INSERT")]
    assert row("NSE:INFY").as_of == later
    assert (row("NFO:NIFTY26NOVFUT").as_of, row("NFO:NIFTY26NOVFUT").active) == (AT, False)


def test_it_leaves_the_exchanges_alone_that_are_not_in_the_list():
    load(of_day(), as_of=AT)
    before = table()
    load([r for r in of_day() if r.exchange == "NSE"], as_of=AT + timedelta(days=1))
    assert table() == before and row("NFO:NIFTY26NOVFUT").as_of == AT


def test_it_takes_one_exchange_out_of_a_whole_list():
    result = load(of_day(), exchange="MCX", as_of=AT)
    assert result.seen == 3 and set(Instrument.objects.values_list("exchange", flat=True)) == {"MCX"}


def test_it_makes_a_provisional_share_a_real_one_and_leaves_an_unlisted_one():
    for symbol in ("INFY", "UNHEARD"):
        Instrument.objects.create(exchange="NSE", tradingsymbol=symbol, name=symbol, provisional=True)
    known = row("NSE:INFY").pk
    load(of_day(), as_of=AT)
    assert (row("NSE:INFY").pk, row("NSE:INFY").provisional, row("NSE:INFY").name) == (known, False, "INFOSYS")
    assert row("NSE:UNHEARD").provisional and row("NSE:UNHEARD").active


def test_it_switches_on_again_what_comes_back():
    load(of_day(), as_of=AT)
    load(without(of_day(), "IDEA"), as_of=AT + timedelta(days=1))
    assert not row("NSE:IDEA").active
    load(of_day(), as_of=AT + timedelta(days=2))
    assert row("NSE:IDEA").active


def test_it_switches_off_what_has_expired_even_if_the_list_still_names_it():
    load(of_day(), as_of=AT)
    load(of_day(), as_of=AT + timedelta(days=2))
    assert not row("NFO:NIFTY26NOVFUT").active and row("NFO:NIFTY26DECFUT").active


def test_it_keeps_a_multiplier_the_list_does_not_know():
    load(of_day(), as_of=AT)
    Instrument.objects.filter(name="CRUDEOIL").update(multiplier=100)
    assert load(of_day(), as_of=AT + timedelta(days=1)).changed == 0
    assert Instrument.objects.get(name="CRUDEOIL").multiplier == 100


def test_it_leaves_out_what_makes_no_sense_and_says_how_many():
    odd = [item("NSE", ""), item("NSE", "X" * 65), item("NFO", "NIFTYFUT", "FUT"), item("NSE", "INFY", tick=D(7))]
    result = load([*of_day(), *odd], as_of=AT)
    assert result.skipped == 4 and row("NSE:INFY").tick == D("0.05")
    assert str(result).endswith(", 4 left out.")


# ---------------------------------------------------------------------------- freeze
@pytest.mark.parametrize(("key", "units"), [
    ("NFO:NIFTY26NOVFUT", 1755), ("NFO:NIFTY26NOV24500CE", 1755), ("NFO:BANKNIFTY26NOVFUT", 600), ("MCX:CRUDEOIL26NOVFUT", 100_000), ("NSE:INFY", 100_000), ("NSE:NIFTY 50", None),
])  # fmt: skip
def test_it_knows_the_freeze_quantity_in_whole_lots(key, units):
    load(of_day(), as_of=AT)
    assert row(key).freeze == units


def test_it_takes_the_freeze_quantity_of_the_day():
    FreezeLimit.objects.create(exchange="NFO", root="NIFTY", quantity=D(1300), since=MONDAY + timedelta(days=1))
    load(of_day(), as_of=AT)
    assert row("NFO:NIFTY26DECFUT").freeze == 1755
    assert load(of_day(), as_of=AT + timedelta(days=1)).changed > 2
    assert row("NFO:NIFTY26DECFUT").freeze == 1300


# ---------------------------------------------------------------------------- doubtful and broken lists
def test_it_refuses_a_list_with_less_than_half_of_an_exchange():
    load(of_day(), as_of=AT)
    before = table()
    short = [r for r in of_day() if r.exchange != "NFO"] + [r for r in of_day() if r.exchange == "NFO"][:5]
    count = sum(r.exchange == "NFO" for r in of_day())
    with pytest.raises(ListRefused, match=f"names 5 instruments of NFO, the one before named {count}. Nothing was changed"):
        load(short, as_of=AT + timedelta(days=1))
    assert table() == before
    assert load(short, as_of=AT + timedelta(days=1), force=True).switched_off == count - 5


def test_it_does_not_miss_what_has_expired_meanwhile():
    weekly = [item("NFO", f"W{n}", "CE", name="W", expiry=MONDAY, strike=D(n)) for n in range(1, 9)]
    monthly = [item("NFO", f"M{n}", "CE", name="M", expiry=date(2026, 12, 29), strike=D(n)) for n in range(1, 5)]
    load([*weekly, *monthly], as_of=AT)
    assert load(monthly, as_of=AT + timedelta(days=1)).switched_off == 8


@pytest.mark.parametrize("force", [False, True])
def test_it_refuses_an_empty_list(force):
    load(of_day(), as_of=AT)
    with pytest.raises(ListRefused, match="for NSE is empty"):
        load([], exchange="NSE", as_of=AT + timedelta(days=1), force=force)
    assert row("NSE:INFY").active


def test_it_changes_nothing_when_the_list_breaks_off():
    load(of_day(), as_of=AT)
    before = table()

    def broken():
        yield from [replace(r, tick=D(5)) for r in of_day()[:30]]
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        load(broken(), as_of=AT + timedelta(days=1))
    assert table() == before


# ---------------------------------------------------------------------------- killed in between
OLD = [item("NSE", f"S{n}", tick=D("0.05")) for n in range(12)]
OLD_NAMES = [r.symbol for r in OLD]
BEFORE_THE_END = ("instruments.spooled", "instruments.chunk", "instruments.written", "instruments.dated")
CHANGES = st.lists(st.tuples(st.integers(0, 20), st.sampled_from(["0.01", "0.05", "1"]), st.booleans()), max_size=25, unique_by=lambda c: c[0])


@settings(max_examples=40, deadline=None)
@given(changes=CHANGES, kill_at=st.integers(1, 30))
def test_it_may_be_killed_anywhere_and_run_again(changes, kill_at):
    """The rows that were there stay active until the end; a second run completes; a third one changes nothing."""
    new = {r.symbol: r for r in OLD}
    for number, tick, gone in changes:
        new.pop(f"S{number}", None) if gone and len(new) > 6 else new.update({f"S{number}": item("NSE", f"S{number}", tick=D(tick))})
    Instrument.objects.all().delete()
    load(OLD, as_of=AT)
    later = AT + timedelta(days=1)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("READ", "WRITE", "TOUCH"):
            patch.setattr(instruments, name, 2)
        patch.setattr(crash, "point", _killer(kill_at))
        try:
            load(new.values(), as_of=later)
        except Killed as killed:
            kept = set(OLD_NAMES) if str(killed) in BEFORE_THE_END else set(OLD_NAMES) & set(new)
            assert kept <= set(Instrument.objects.filter(active=True).values_list("tradingsymbol", flat=True))
        patch.setattr(crash, "point", lambda name: None)
        load(new.values(), as_of=later)
    rows = Instrument.objects.filter(active=True)
    assert {r.tradingsymbol: (r.tick, r.as_of) for r in rows} == {r.symbol: (r.tick, later) for r in new.values()}
    assert set(Instrument.objects.values_list("tradingsymbol", flat=True)) == set(OLD_NAMES) | set(new)
    third = load(new.values(), as_of=later + timedelta(days=1))
    assert (third.added, third.changed, third.switched_off) == (0, 0, 0)


def _killer(kill_at: int):
    passes = iter(range(1, 10_000))

    def point(name: str) -> None:
        if next(passes) == kill_at:
            raise Killed(name)

    return point


# ---------------------------------------------------------------------------- large
def test_it_streams_a_long_list_in_little_memory():
    rows = (item("NFO", f"ROOT{n}CE", "CE", name=f"ROOT{n % 150}", expiry=date(2026, 12, 29), strike=D(n + 1)) for n in range(10_000))
    tracemalloc.start()
    try:
        assert load(rows, as_of=AT).added == 10_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5_000_000  # 60 MB for 200,000 rows: the part that does not grow with the list counts in full here
