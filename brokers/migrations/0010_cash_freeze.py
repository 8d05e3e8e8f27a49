from datetime import date
from decimal import Decimal

from django.db import migrations, models

SINCE = date(2000, 1, 1)


def add(apps, schema_editor):
    rows = apps.get_model("brokers", "FreezeLimit").objects.using(schema_editor.connection.alias)
    for exchange in ("NSE", "BSE"):
        rows.get_or_create(exchange=exchange, root="*", since=SINCE, defaults={"quantity": Decimal(100_000)})


class Migration(migrations.Migration):
    dependencies = [("brokers", "0009_charge_rates")]

    operations = [
        migrations.AlterField(
            model_name="freezelimit", name="exchange", field=models.CharField(help_text="NSE, BSE, NFO, BFO, CDS or MCX.", max_length=12)
        ),
        migrations.AlterField(
            model_name="freezelimit",
            name="root",
            field=models.CharField(
                help_text="NIFTY, BANKNIFTY, SENSEX. A * stands for everything else on the exchange.", max_length=32
            ),
        ),
        migrations.RunPython(add, migrations.RunPython.noop),
    ]
