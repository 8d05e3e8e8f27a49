"""Once a day: what nobody needs any more goes, in small transactions so that no alert waits for it. Orders and their stories stay for ever."""

from datetime import timedelta

from django.apps import apps
from django.contrib.sessions.models import Session
from django.db.models import QuerySet

from risk.models import RiskLedger
from trading.models import Alert, Outcome
from tvapp import wakeup
from tvapp.lib import clock
from tvapp.models import DeskSettings, Heartbeat

BATCH = 500
BEAT_DAYS = 1
TASK_DAYS = 30


def prune() -> str:
    """Deletes what is past its time and says how much of each kind."""
    now = clock.now()
    refused = now - timedelta(days=DeskSettings.current().rejected_keep_days)
    tasks = apps.get_model("django_q", "Task").objects.filter(stopped__lt=now - timedelta(days=TASK_DAYS))
    queued = apps.get_model("django_q", "OrmQ").objects
    gone = {
        "refused alerts": _delete(Alert.objects.filter(outcome=Outcome.REJECTED, received_at__lt=refused, orders=None)),
        "beats": _delete(Heartbeat.objects.filter(at__lt=now - timedelta(days=BEAT_DAYS))),
        "task rows": _delete(tasks),
        "beats of lost machines": _delete(queued.filter(key__contains=wakeup.HERE, lock__lt=now - timedelta(days=BEAT_DAYS))),
        "sessions": _delete(Session.objects.filter(expire_date__lt=now)),
        "ingest locks": _delete(RiskLedger.objects.filter(scope__startswith="INGEST:")),  # only locks: the next equal body makes its own
    }
    return ", ".join(f"{count} {what}" for what, count in gone.items() if count) or "nothing to prune"


def _delete(rows: QuerySet) -> int:
    """In batches by key: one long delete would hold the only write lock of SQLite."""
    count = 0
    while ids := list(rows.values_list("pk", flat=True)[:BATCH]):
        rows.model._default_manager.filter(pk__in=ids).delete()
        count += len(ids)
    return count
