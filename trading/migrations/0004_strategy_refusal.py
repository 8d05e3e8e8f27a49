from django.db import migrations, models

HELP = "What the broker refused last for a reason that stays: code, text, order, at. Entries wait until a person acknowledges it."


class Migration(migrations.Migration):
    dependencies = [
        ("trading", "0003_zerodha"),
    ]

    operations = [
        migrations.AddField("historicalstrategy", "refusal", models.JSONField(blank=True, default=dict, editable=False, help_text=HELP)),
        migrations.AddField("strategy", "refusal", models.JSONField(blank=True, default=dict, editable=False, help_text=HELP)),
    ]
