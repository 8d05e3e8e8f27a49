"""The ground floor: money, ids, clock, log, crash points."""

import json
import logging
import os
import re
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tvapp.lib import clock, crash, ids, log, money
from tvapp.lib.errors import AppError

steps = st.decimals("0.01", "1000", places=2)
values = st.decimals("-1000000", "1000000", places=4)


@given(values, steps)
def test_it_rounds_to_a_step_without_passing_the_value(value, step):
    low, high = money.floor_to(value, step), money.ceil_to(value, step)
    assert low <= value <= high and high - low in (0, step)
    assert money.on_step(low, step) and money.on_step(high, step)


def test_it_leaves_a_value_alone_without_a_step():
    assert (money.floor_to(D("1.23"), D(0)), money.ceil_to(D("1.23"), D(0)), money.on_step(D("1.23"), D(0))) == (D("1.23"), D("1.23"), True)


@pytest.mark.parametrize(("value", "text"), [(D("1E+2"), "100"), (D("1.50"), "1.5"), (D("0.000"), "0"), (D("-0"), "0"), (D("1500"), "1500"), (None, None)])
def test_it_writes_numbers_plainly(value, text):
    assert money.plain(value) == text


@pytest.mark.parametrize(("value", "text"), [(D("1013.4"), "₹1,013.40"), (D("12345678"), "₹1,23,45,678.00"), (D("-5.125"), "\u2212₹5.125"), (D(7), "₹7.00"), (None, "")])
def test_it_says_prices_as_traders_write_them(value, text):
    assert money.rupees(value) == text


@pytest.mark.parametrize(("environment", "letter"), [("LIVE", "t"), ("PAPER", "p"), ("SIM", "s")])
def test_it_makes_tags_every_broker_can_carry(environment, letter):
    tags = {ids.order_tag(environment) for _ in range(500)}
    assert len(tags) == 500 and all(re.fullmatch(letter + "[a-z2-7]{16}", tag) for tag in tags)


def test_it_knows_the_trading_day_by_the_indian_date():
    assert clock.trading_day(datetime(2026, 11, 20, 18, 29, 59, tzinfo=UTC)) == date(2026, 11, 20)
    assert clock.trading_day(datetime(2026, 11, 20, 18, 30, tzinfo=UTC)) == date(2026, 11, 21)
    assert clock.day_start(date(2026, 11, 21)) == datetime(2026, 11, 20, 18, 30, tzinfo=UTC)


def test_it_scales_timers_only_under_test(monkeypatch):
    monkeypatch.setenv("TVAPP_TIME_SCALE", "0.5")
    assert clock.seconds(10).total_seconds() == 5
    monkeypatch.setenv("TVAPP_TEST", "0")
    assert clock.seconds(10).total_seconds() == 10


def line(message, *args, **extra) -> dict:
    record = logging.getLogger("t").makeRecord("t", logging.INFO, "f", 1, message, args, None, extra=extra)
    log.ContextFilter().filter(record)
    return json.loads(log.JsonFormatter().format(record))


def test_it_cannot_be_made_to_forge_a_log_line():
    forged = line("alert %s", "x\r\n2026-01-01 INFO admin signed in\x1b[2J")
    assert "\n" not in forged["message"] and "\\x0a" in forged["message"] and "\x1b" not in forged["message"]


def test_it_hides_tokens_and_secrets_in_the_log():
    hidden = line("POST /webhook/tv/abc123def HTTP", api_secret="s3cret", order_id=7)
    assert "abc123def" not in str(hidden) and "s3cret" not in str(hidden) and hidden["order_id"] == 7


def test_it_puts_the_correlation_id_on_each_line():
    with log.bound("c0ffee"):
        assert line("x")["correlation_id"] == "c0ffee"
    assert line("x")["correlation_id"] == ""


def test_it_writes_for_people_too():
    record = logging.getLogger("t").makeRecord("t", logging.WARNING, "f", 1, "refused", (), None, extra={"code": "QTY_MAX"})
    assert "warning t refused code=QTY_MAX" in log.TextFormatter().format(record)


def test_it_keeps_an_exception_on_one_line():
    try:
        raise ValueError("two\nlines")
    except ValueError:
        record = logging.getLogger("t").makeRecord("t", logging.ERROR, "f", 1, "broke", (), sys.exc_info())
    assert "ValueError" in json.loads(log.JsonFormatter().format(record))["exception"]
    assert "ValueError" in log.TextFormatter().format(record)


def test_it_carries_code_sentence_and_detail():
    error = AppError("NAME_TAKEN", "There is one already.", status=409, extra={"field": "name"})
    assert (str(error), error.code, error.status, error.extra) == ("There is one already.", "NAME_TAKEN", 409, {"field": "name"})


def _pass_points(**env) -> int:
    code = "from tvapp.lib import crash\nfor _ in range(3): crash.point('a.b')\nprint('alive')"
    full = {k: v for k, v in os.environ.items() if not k.startswith("TVAPP_")} | env
    return subprocess.run([sys.executable, "-c", code], env=full, capture_output=True).returncode


def test_it_kills_exactly_at_the_named_pass_and_only_under_test():
    assert _pass_points() == 0
    assert _pass_points(TVAPP_CRASH_AT="a.b:2") == 0
    assert _pass_points(TVAPP_TEST="1", TVAPP_CRASH_AT="other") == 0
    assert _pass_points(TVAPP_TEST="1", TVAPP_CRASH_AT="a.b:2") == -9
    assert _pass_points(TVAPP_TEST="1", TVAPP_CRASH_AT="a.b:4") == 0


def test_it_counts_passes_in_this_process_too(monkeypatch):
    killed = []
    monkeypatch.setattr(os, "kill", lambda pid, sig: killed.append(sig))
    monkeypatch.setenv("TVAPP_CRASH_AT", "here")
    crash.point("here")
    crash.point("elsewhere")
    assert len(killed) == 1
