from django.db import migrations, models

import brokers.models


def give_tokens(apps, schema_editor):
    """Each account that is there gets its own; a default of the column would give all of them the same."""
    accounts = apps.get_model("brokers", "BrokerAccount")
    for pk in accounts.objects.values_list("pk", flat=True):
        accounts.objects.filter(pk=pk).update(postback_token=brokers.models.new_path_token())


class Migration(migrations.Migration):
    dependencies = [("brokers", "0002_zerodha")]

    operations = [
        migrations.AddField(
            model_name="brokeraccount",
            name="postback_token",
            field=models.CharField(max_length=43, null=True, editable=False),
        ),
        migrations.RunPython(give_tokens, migrations.RunPython.noop),
        migrations.AlterField(
            model_name="brokeraccount",
            name="postback_token",
            field=models.CharField(
                default=brokers.models.new_path_token, editable=False, max_length=43, unique=True,
                help_text="Path of the address the broker posts to.",
            ),
        ),
        migrations.AddField(
            model_name="quote",
            name="day_volume",
            field=brokers.models.Price(
                blank=True, decimal_places=8, editable=False, help_text="Traded in the day so far, as the feed counts it.", max_digits=22, null=True
            ),
        ),
        migrations.CreateModel(
            name="PriceFeed",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("rung_at", models.DateTimeField(help_text="When a read was asked of the batch cluster.", null=True)),
                ("read_at", models.DateTimeField(help_text="When the last read that was asked for ended, well or not.", null=True)),
                ("priced_at", models.DateTimeField(help_text="When prices came last.", null=True)),
                (
                    "refused_on",
                    models.DateField(
                        help_text="The day the broker said that this account gets no prices; it is asked again on another day.", null=True
                    ),
                ),
                ("error", models.CharField(blank=True, help_text="In words, why the last read gave no prices.", max_length=300)),
                (
                    "account",
                    models.OneToOneField(on_delete=models.deletion.CASCADE, related_name="feed", to="brokers.brokeraccount"),
                ),
            ],
        ),
        migrations.CreateModel(
            name="WatchedKey",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(help_text="NSE:INFY", max_length=80, unique=True)),
                ("until", models.DateTimeField()),
            ],
        ),
    ]
