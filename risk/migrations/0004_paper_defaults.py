"""The GLOBAL row gets the paper defaults of the limits that are new."""

from decimal import Decimal

from django.db import migrations

PAPER = {
    "max_lots_per_order": Decimal(10), "max_lots_per_day": Decimal(50), "max_symbol_exposure": Decimal(200000), "max_gross_exposure": Decimal(1000000),
    "warn_exposure_pct": Decimal(90), "max_open_positions": Decimal(20), "max_open_orders": Decimal(10), "max_orders_per_minute": Decimal(30),
    "max_orders_per_day": Decimal(300), "max_repeats_per_minute": Decimal(3), "max_daily_loss": Decimal(50000), "warn_loss_pct": Decimal(80),
    "on_loss_breach": "BLOCK_AND_CANCEL", "margin_buffer_pct": Decimal(0), "collar_aggressive_pct": Decimal(3), "collar_passive_pct": Decimal(20),
    "collar_without_quote": "WARN", "session_policy": "WARN", "defer_max_age": Decimal(15),
}


def fill(apps, schema_editor):
    row = apps.get_model("risk", "RiskSettings").objects.get(scope="GLOBAL")
    for name, value in PAPER.items():
        if getattr(row, name) in (None, ""):
            setattr(row, name, value)
    row.save()


class Migration(migrations.Migration):
    dependencies = [("risk", "0003_every_limit")]
    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
