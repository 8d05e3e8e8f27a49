"""How money, quantities, ages and times are written."""

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace

import pytest
import time_machine
from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.models import Quote
from trading.domain.orderfsm import State
from trading.templatetags import desk
from tvapp.lib import clock

MINUS = "\u2212"
TICK_10 = SimpleNamespace(tick=Decimal("0.10000000"))
TICK_4 = SimpleNamespace(tick=Decimal("0.0025"))
NOW = datetime(2026, 11, 20, 6, 12, 18, 345000, tzinfo=UTC)


@pytest.mark.parametrize(("value", "shown"), [
    (Decimal("123456"), "₹1,23,456.00"), (Decimal("12345678.905"), "₹1,23,45,678.91"), (Decimal("999.995"), "₹1,000.00"), (0, "₹0.00"),
    (Decimal("-1403.5"), f"{MINUS}₹1,403.50"), (None, "–"), ("", "–"), ("abc", "–"), (Decimal("NaN"), "–"),
])  # fmt: skip
def test_it_writes_money_in_indian_groups(value, shown):
    assert desk.money(value) == shown


def test_it_leaves_paise_out_when_asked():
    assert desk.money(Decimal("351966.49"), 0) == "₹3,51,966"


@pytest.mark.parametrize(("value", "shown"), [(Decimal("2318.4"), "+₹2,318.40"), (Decimal(-304), f"{MINUS}₹304.00"), (0, "₹0.00"), (Decimal("-0.001"), "₹0.00")])
def test_it_gives_profit_and_loss_its_sign(value, shown):
    assert desk.signed_money(value) == shown


@pytest.mark.parametrize(("value", "shown"), [(396_000, "₹3.96 L"), (12_500_000, "₹1.25 Cr"), (99_999, "₹99,999"), (-150_000, f"{MINUS}₹1.50 L")])
def test_it_shortens_limits_to_lakh_and_crore(value, shown):
    assert desk.lakh(Decimal(value)) == shown


@pytest.mark.parametrize(("value", "instrument", "shown"), [
    (Decimal("1418.6"), TICK_10, "1,418.60"), (Decimal("58412"), None, "58,412.00"), (Decimal("83.4525"), TICK_4, "83.4525"), (Decimal("83.5"), TICK_4, "83.5000"),
    (Decimal("1418.613"), TICK_10, "1,418.613"), (None, TICK_10, "–"),
])  # fmt: skip
def test_it_keeps_a_price_at_its_tick_and_never_hides_a_digit(value, instrument, shown):
    assert desk.price(value, instrument) == shown


def test_it_rounds_an_average_and_types_a_price_without_groups():
    assert desk.average(Decimal("1418.53571429"), TICK_10) == "1,418.54"
    assert desk.typed_price(Decimal("1012.4"), TICK_10) == "1012.40"


@pytest.mark.parametrize(("value", "shown"), [(Decimal("120.00000000"), "120"), (Decimal("125000"), "1,25,000"), (Decimal("0.00005"), "0.00005"), (None, "–")])
def test_it_writes_quantities_exactly(value, shown):
    assert desk.qty(value) == shown


@settings(max_examples=100)
@given(st.decimals(min_value=-(10**12), max_value=10**12, allow_nan=False, allow_infinity=False, places=8))
def test_it_never_changes_a_number_by_writing_it(value):
    shown = desk.qty(value).replace(",", "").replace(MINUS, "-")
    assert Decimal(shown) == value


@settings(max_examples=100)
@given(st.integers(min_value=0, max_value=10**15))
def test_it_groups_three_then_twos(number):
    parts = desk.grouped(str(number)).split(",")
    assert "".join(parts) == str(number) and all(len(p) == 2 for p in parts[1:-1]) and (len(parts) == 1 or len(parts[-1]) == 3)


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0:00"), (17, "0:17"), (857, "14:17"), (3599, "59:59"), (3600, "1:00"), (7500, "2:05"), (90_000, "25:00")])
def test_it_writes_ages_as_minutes_then_hours(seconds, shown):
    assert desk.age(seconds) == shown


@time_machine.travel(NOW, tick=False)
def test_it_gives_an_age_in_words_as_title_and_its_start_to_the_script():
    tag = desk.age_of(NOW - timedelta(seconds=857))
    assert tag == f'<span class="age" data-since="{int(NOW.timestamp()) - 857}" title="14 min 17 s">14:17</span>'


@pytest.mark.parametrize(("gap", "shown"), [(6, "6 ms"), (1090, "1,090 ms"), (42_100, "42.1 s"), (120_000, "120 s"), (720_000, "12 min 0 s"), (7_260_000, "2 h 1 min")])
def test_it_writes_gaps_as_long_as_they_are(gap, shown):
    assert desk.span_ms(timedelta(milliseconds=gap)) == shown


@time_machine.travel(NOW, tick=False)
def test_it_shows_times_in_ist_with_utc_in_the_title():
    assert desk.ist(NOW) == '<time datetime="2026-11-20T06:12:18Z" title="2026-11-20 06:12:18 UTC">11:42:18</time>'
    assert ">11:42:18.345</time>" in desk.ist_ms(NOW)
    assert ">19 Nov 23:30</time>" in desk.ist(datetime(2026, 11, 19, 18, 0, tzinfo=UTC))


@time_machine.travel(NOW, tick=False)
def test_it_names_the_year_only_when_it_is_another_one():
    assert (desk.day(date(2026, 11, 20)), desk.day(date(2025, 3, 1))) == ("20 Nov", "1 Mar 2025")


@pytest.mark.parametrize("state", list(State))
def test_it_has_a_word_and_a_drawing_for_every_state(state):
    chip = desk.state_chip(state)
    assert desk.state_word(state) in chip and f"#i-{desk.state_icon(state)}" in chip


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("seconds", "source", "said"),
    [
        (4, "FEED", "0:04 ago"), (59, "FEED", "0:59 ago"), (4, "WALK", "0:04 ago, random walk"), (4, "FILE", "0:04 ago, from a file"),
        (61, "FEED", "no price since 10:28:59"), (86400, "WALK", "no price since 22 Nov 10:30"),
    ],
)  # fmt: skip
def test_it_says_how_old_a_price_is_or_since_when_there_is_none(seconds, source, said):
    with time_machine.travel("2026-11-23T10:30:00+05:30", tick=False):
        at = clock.now() - timedelta(seconds=seconds)
        shown = desk.price_age(Quote(source=source, at=at))
        assert re.sub(r"<[^>]+>", "", shown) == said
        assert re.sub(r"<[^>]+>", "", desk.price_age(at)) == said.partition(",")[0]


def test_it_says_that_there_was_never_a_price():
    assert desk.price_age(None) == "no price yet"


@pytest.mark.parametrize(("said", "shown"), [
    ("On hold: ACCOUNT zerodha is not connected to its broker", "On hold: Account zerodha is not connected to its broker"),
    ("STRATEGY:Breakout is switched off", "Strategy Breakout is switched off"), ("Cut from 67 to 50: max_quantity_per_order=50 (GLOBAL)",
     "Cut from 67 to 50: max_quantity_per_order=50 (desk-wide)"), ("it is over the limit (ACCOUNT zerodha)", "it is over the limit (account zerodha)"),
    ("ACCOUNTS and STRATEGYX", "ACCOUNTS and STRATEGYX"), (None, ""),
    ("Rejected: trading is REDUCING, lost enough (GLOBAL), only exits pass", "Rejected: trading is limited, lost enough (desk-wide), only exits pass"),
])  # fmt: skip
def test_it_writes_the_scopes_of_the_gate_as_words(said, shown):
    assert desk.worded(said) == shown


@pytest.mark.parametrize(("said", "shown"), [("too fast", "Too fast."), ("max_order_value=5 (GLOBAL).", "max_order_value=5 (desk-wide)."), ("", "")])
def test_it_writes_why_something_is_stopped_as_a_sentence(said, shown):
    assert desk.as_reason(said) == shown


@pytest.mark.parametrize(("status", "said"), [("NEEDS_REVIEW", "Why it needs review"), ("UNKNOWN", "Why its outcome is unknown"), ("HELD", "Why it is on hold")])
def test_it_heads_a_reason_in_grammar(status, said):
    assert desk.why_word(status) == said


@pytest.mark.parametrize(("value", "shown"), [("0.416", "+0.42"), ("-1.2", f"{MINUS}1.20"), (0, "0.00"), (None, "–")])
def test_it_gives_a_change_its_sign(value, shown):
    assert desk.signed(value) == shown
