"""The spare of the sweeper: one row a minute and account in the queue's own schedule, so that books are read also when no sweeper runs."""

from django.apps import apps
from django.db import transaction

from trading.services import polling

FUNC = "trading.tasks.sync_account"
EVERY_MIN = 1


def keep() -> int:
    """One row for each account at a real broker, none for any other. Returns how many rows were made or taken away."""
    model = apps.get_model("django_q", "Schedule")
    wanted = {f"sync account {account.pk}": str(account.pk) for account, _ in polling.remote_accounts()}
    with transaction.atomic():
        rows = dict(model.objects.filter(func=FUNC).order_by("-id").values_list("name", "id"))
        spare, _ = model.objects.filter(func=FUNC).exclude(id__in=[pk for name, pk in rows.items() if name in wanted]).delete()
        missing = wanted.keys() - rows.keys()
        for name in sorted(missing):
            facts = {"func": FUNC, "args": f"({wanted[name]},)", "schedule_type": "I", "minutes": EVERY_MIN, "cluster": "orders", "repeats": -1}
            model.objects.create(name=name, **facts)
    return spare + len(missing)
