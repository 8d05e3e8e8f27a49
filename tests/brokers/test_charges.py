"""Charges by the sheet the desk ships, example by example, and what holds for every cut of an order."""

from datetime import date
from decimal import Decimal as D

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.charges import NoRate, Rate, estimate, rate_of, segment_of
from brokers.models import ChargeSchedule

NOW = date(2026, 5, 4)
MIS = Rate("MIS", "NSE", date(2026, 3, 1), brokerage_pct=D("0.03"), brokerage_cap=D(20), stt_sell_pct=D("0.025"), exchange_pct=D("0.00307"),
           sebi_pct=D("0.0001"), stamp_pct=D("0.003"), gst_pct=D(18))  # fmt: skip


@pytest.fixture
def sheet(db) -> list[Rate]:
    return [row.rate for row in ChargeSchedule.objects.filter(broker="zerodha")]


EXAMPLES = [
    ("MIS", "NSE", "BUY", 100, "1500", "20 0 4.6050 0.1500 4.5000 4.4559", "33.7109"),
    ("MIS", "NSE", "SELL", 100, "1510", "20 37.7500 4.6357 0.1510 0 4.4616", "66.9983"),
    ("CNC", "NSE", "BUY", 10, "2812.40", "0 28.1240 0.8634 0.0281 4.2186 0.1605", "33.3946"),
    ("CNC", "NSE", "SELL", 10, "2900", "0 29.0000 0.8903 0.0290 0 0.1655", "30.0848"),
    ("FUT", "NFO", "BUY", 65, "24500", "20 0 29.1428 1.5925 31.8500 9.1324", "91.7177"),
    ("FUT", "NFO", "SELL", 65, "24600", "20 799.5000 29.2617 1.5990 0 9.1549", "859.5156"),
    ("OPT", "NFO", "BUY", 65, "120", "20 0 2.7713 0.0078 0.2340 4.1002", "27.1133"),
    ("OPT", "NFO", "SELL", 65, "150", "20 14.6250 3.4642 0.0098 0 4.2253", "42.3243"),
]


@pytest.mark.parametrize(("segment", "exchange", "side", "quantity", "price", "parts", "total"), EXAMPLES)
def test_it_charges_the_worked_examples(sheet, segment, exchange, side, quantity, price, parts, total):
    found = estimate(segment, exchange, side, D(quantity), D(price), on=NOW, schedule=sheet)
    assert list(found.parts().values()) == [*map(D, parts.split()), D(0)]
    assert found.total == D(total)


def test_it_adds_the_depositorys_charge_when_it_is_due(sheet):
    rate = rate_of(sheet, "CNC", "NSE", NOW)
    found = estimate("CNC", "NSE", "SELL", D(10), D(2900), on=NOW, schedule=sheet).with_dp(rate)
    assert (found.dp, found.total) == (D("15.34"), D("45.4248"))


def test_it_caps_the_brokerage_once_an_order():
    first = estimate("MIS", "NSE", "BUY", D(100), D(500), on=NOW, schedule=[MIS])
    rest = estimate("MIS", "NSE", "BUY", D(200), D(500), on=NOW, schedule=[MIS], turnover_before=D(50000))
    assert (first.total, rest.total) == (D("21.0703"), D("12.6406"))


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 500), st.decimals("0.05", "3000", places=2)), min_size=1, max_size=8), st.sampled_from(["BUY", "SELL"]))
def test_it_charges_the_same_however_the_order_was_cut(fills, side):
    before, parts = D(0), []
    for quantity, price in fills:
        parts.append(estimate("MIS", "NSE", side, D(quantity), price, on=NOW, schedule=[MIS], turnover_before=before))
        before += quantity * price
    whole = estimate("MIS", "NSE", side, D(1), before, on=NOW, schedule=[MIS])
    assert sum((p.total for p in parts), D(0)) == whole.total
    assert all(value >= 0 for part in parts for name, value in part.parts().items() if name != "gst")


@pytest.mark.parametrize(("on", "stt", "exchange"), [
    (date(2024, 9, 30), "0.0125", "0.00173"), (date(2024, 10, 1), "0.02", "0.00173"), (date(2026, 2, 28), "0.02", "0.00173"),
    (date(2026, 3, 31), "0.02", "0.00183"), (date(2026, 4, 1), "0.05", "0.00183"),
])  # fmt: skip
def test_it_takes_the_rates_of_the_day(sheet, on, stt, exchange):
    rate = rate_of(sheet, "FUT", "NFO", on)
    assert (rate.stt_sell_pct, rate.exchange_pct) == (D(stt), D(exchange))


def test_it_says_when_nothing_is_known():
    with pytest.raises(NoRate, match="CNC at NSE"):
        estimate("CNC", "NSE", "BUY", D(1), D(100), on=NOW, schedule=[MIS])


def test_it_knows_the_segment_of_what_is_traded():
    kinds = [("EQ", "MIS"), ("EQ", "CNC"), ("EQ", "MTF"), ("FUT", "MIS"), ("CE", "NRML")]
    assert [segment_of(*pair) for pair in kinds] == ["MIS", "CNC", "CNC", "FUT", "OPT"]


def test_it_refuses_two_rows_for_one_day(db):
    new = {"broker": "paper", "segment": "FUT", "exchange": "NFO", "valid_from": date(2027, 4, 1)}
    with pytest.raises(ValidationError, match="covered by the row from 2026-04-01"):
        ChargeSchedule.objects.create(**new)
    ChargeSchedule.objects.get(broker="paper", segment="FUT", exchange="NFO", valid_to=None).delete()
    ChargeSchedule.objects.create(**new)


def test_it_charges_paper_like_the_broker(db):
    ours, theirs = ([row.rate for row in ChargeSchedule.objects.filter(broker=name)] for name in ("paper", "zerodha"))
    assert set(ours) == set(theirs)
