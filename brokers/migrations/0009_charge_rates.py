"""Charges of Zerodha, and of paper accounts, which are to cost the same, as they were published. Nobody has verified them for this desk yet.

Before October 2024 the exchanges' fee is taken to be what it was from then on. Commodities and currency are the roughest: their fees are not
published in one place.
"""

from datetime import date, timedelta
from decimal import Decimal as D

from django.db import migrations

BEGINNING, OCT_24, MAR_26, APR_26 = date(2000, 1, 1), date(2024, 10, 1), date(2026, 3, 1), date(2026, 4, 1)
EVERYWHERE = {"sebi_pct": D("0.0001"), "gst_pct": D(18)}
CAPPED = {"brokerage_pct": D("0.03"), "brokerage_cap": D(20)}
CNC = {"stt_buy_pct": D("0.1"), "stt_sell_pct": D("0.1"), "stamp_pct": D("0.015"), "dp": D("15.34")}
MIS = {**CAPPED, "stt_sell_pct": D("0.025"), "stamp_pct": D("0.003")}
FUT = {**CAPPED, "stamp_pct": D("0.002")}
OPT = {"brokerage_flat": D(20), "stamp_pct": D("0.003")}
STT_FUT = {BEGINNING: D("0.0125"), OCT_24: D("0.02"), APR_26: D("0.05")}
STT_OPT = {BEGINNING: D("0.0625"), OCT_24: D("0.1"), APR_26: D("0.15")}
NSE = {BEGINNING: D("0.00297"), MAR_26: D("0.00307")}
NFO_FUT = {BEGINNING: D("0.00173"), MAR_26: D("0.00183")}
NFO_OPT = {BEGINNING: D("0.03503"), MAR_26: D("0.03553")}
SHEET = [  # segment, exchange, what stays, what changed when
    ("CNC", "NSE", CNC, {"exchange_pct": NSE}),
    ("CNC", "BSE", CNC, {"exchange_pct": {BEGINNING: D("0.00375")}}),
    ("MIS", "NSE", MIS, {"exchange_pct": NSE}),
    ("MIS", "BSE", MIS, {"exchange_pct": {BEGINNING: D("0.00375")}}),
    ("FUT", "NFO", FUT, {"exchange_pct": NFO_FUT, "stt_sell_pct": STT_FUT}),
    ("FUT", "BFO", FUT, {"exchange_pct": {BEGINNING: D(0)}, "stt_sell_pct": STT_FUT}),
    ("OPT", "NFO", OPT, {"exchange_pct": NFO_OPT, "stt_sell_pct": STT_OPT}),
    ("OPT", "BFO", OPT, {"exchange_pct": {BEGINNING: D("0.0325")}, "stt_sell_pct": STT_OPT}),
    ("FUT", "MCX", FUT, {"exchange_pct": {BEGINNING: D("0.0021")}, "stt_sell_pct": {BEGINNING: D("0.01")}}),
    ("OPT", "MCX", OPT, {"exchange_pct": {BEGINNING: D("0.0418")}, "stt_sell_pct": {BEGINNING: D("0.05")}}),
    ("FUT", "CDS", {**FUT, "stamp_pct": D("0.0001")}, {"exchange_pct": {BEGINNING: D("0.00035")}}),
    ("OPT", "CDS", {**OPT, "stamp_pct": D("0.0001")}, {"exchange_pct": {BEGINNING: D("0.0311")}}),
]


def periods(changing):
    """(first day, last day, the changing rates then), one for each day on which something changed."""
    starts = sorted({day for dated in changing.values() for day in dated})
    for start, following in zip(starts, [*starts[1:], None], strict=True):
        then = {name: dated[max(day for day in dated if day <= start)] for name, dated in changing.items()}
        yield start, following and following - timedelta(days=1), then


def seed(apps, schema_editor):
    model = apps.get_model("brokers", "ChargeSchedule")
    for broker in ("zerodha", "paper"):
        for segment, exchange, same, changing in SHEET:
            for first, last, then in periods(changing):
                key = {"broker": broker, "segment": segment, "exchange": exchange, "valid_from": first}
                model.objects.create(**key, valid_to=last, **EVERYWHERE, **same, **then)


class Migration(migrations.Migration):
    dependencies = [("brokers", "0008_charges_and_closes")]
    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
