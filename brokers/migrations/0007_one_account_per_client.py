from django.db import migrations, models
from django.db.models.functions import Upper


def keep_the_first(apps, schema_editor):
    """Of several accounts with one client id the first keeps it; the others say who they are at their next login."""
    accounts = apps.get_model("brokers", "BrokerAccount").objects.filter(broker="zerodha").exclude(client_id="").order_by("id")
    seen = set()
    for account in accounts.defer("credentials"):
        key = (account.environment, account.client_id.upper())
        if key in seen:
            accounts.filter(pk=account.pk).update(client_id="")
        seen.add(key)


class Migration(migrations.Migration):
    dependencies = [("brokers", "0006_key_out_of_history")]

    operations = [
        migrations.AlterField(
            model_name="brokersession",
            name="nonce_digest",
            field=models.CharField(
                blank=True, help_text="Hash of the state value of the last login that came back; each is used once.", max_length=64
            ),
        ),
        migrations.RunPython(keep_the_first, migrations.RunPython.noop),
        migrations.AddConstraint(
            model_name="brokeraccount",
            constraint=models.UniqueConstraint(
                Upper("client_id"),
                models.F("environment"),
                condition=models.Q(("broker", "zerodha"), models.Q(("client_id", ""), _negated=True)),
                name="account_once_per_client",
            ),
        ),
    ]
