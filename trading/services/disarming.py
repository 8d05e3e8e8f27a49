"""Ends live arms: a person takes the word back, or something happened under which it was not given."""

from django.db import transaction
from django.db.models import F

from risk.models import LiveArm, Scope
from trading.models import Level, Strategy
from trading.services import sysevents
from tvapp.lib import clock


def disarm(strategy: Strategy, why: str, *, actor: str) -> bool:
    """Ends the arm of this strategy. False: it had none."""
    return _end(LiveArm.objects.filter(strategy_key=strategy.pk), why, actor) > 0


def disarm_scope(scope_key: str, why: str, *, actor: str) -> int:
    """Ends every arm under GLOBAL, ACCOUNT:3 or STRATEGY:7. Returns how many."""
    kind, _, pk = scope_key.partition(":")
    rows = LiveArm.objects.all()
    if kind == Scope.STRATEGY:
        rows = rows.filter(strategy_key=pk)
    elif kind == Scope.ACCOUNT:
        rows = rows.filter(strategy_key__in=Strategy.objects.filter(account_id=pk).values("pk"))
    return _end(rows, why, actor)


def close_expired(strategy: Strategy) -> None:
    """Makes room for a new arm where the last one ended by itself."""
    now = clock.now()
    LiveArm.objects.filter(strategy_key=strategy.pk, ended_at=None, until__lte=now).update(ended_at=F("until"), ended_why="its session was over")


def _end(rows, why: str, actor: str) -> int:
    """Those whose time is over are closed along, without a word: they ended by themselves."""
    now, ended = clock.now(), 0
    for arm in rows.filter(ended_at=None).order_by("pk"):
        with transaction.atomic():
            if not LiveArm.objects.filter(pk=arm.pk, ended_at=None).update(ended_at=min(now, arm.until), ended_why=why[:200]) or arm.until <= now:
                continue
            strategy = Strategy.objects.select_related("owner").filter(pk=arm.strategy_key).first()
            name, owner = (strategy.name, strategy.owner) if strategy else (f"Strategy {arm.strategy_key}", None)
            text = f"{name} is disarmed: {why.rstrip('.')}. Its live entries are refused; exits still leave."
            sysevents.record("risk", "LIVE_DISARMED", text, level=Level.WARNING, owner=owner, data={"strategy_id": arm.strategy_key, "by": actor})
            ended += 1
    return ended
