"""A GLOBAL limits row exists from the first day, with the paper defaults."""

from decimal import Decimal

from django.db import migrations


def make(apps, schema_editor):
    apps.get_model("risk", "RiskSettings").objects.get_or_create(
        scope="GLOBAL", defaults={"max_quantity_per_order": Decimal(500), "max_order_value": Decimal(100000), "allow_short_selling": False}
    )


class Migration(migrations.Migration):
    dependencies = [("risk", "0001_initial")]
    operations = [migrations.RunPython(make, migrations.RunPython.noop)]
