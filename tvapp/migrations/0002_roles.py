"""The roles viewer, trader and admin as groups with fixed permissions."""

from django.db import migrations

ROLES = ("viewer", "trader", "admin")


def make(apps, schema_editor):
    for name in ROLES:
        apps.get_model("auth", "Group").objects.get_or_create(name=name)


class Migration(migrations.Migration):
    dependencies = [("tvapp", "0001_initial"), ("auth", "0012_alter_user_first_name_max_length")]
    operations = [migrations.RunPython(make, migrations.RunPython.noop)]
