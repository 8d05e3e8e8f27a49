"""Signs of life: who beat last, how old the queue is, and what that means in one word."""

import os
import shutil
import socket
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import Q

from brokers.models import AccountState, BrokerAccount, BrokerName, SessionState
from trading.domain.orderfsm import State
from trading.models import Order
from tvapp.lib import clock
from tvapp.models import DeskSettings, Heartbeat

BEAT_EVERY_S = 5
BEAT_DEAD_S = 30
QUEUE_OLD_S = 30
SYNC_OLD = 3  # an idle account's book is read every sync_idle_s: three such pauses are too many


def _stat(pid: int) -> list[str]:
    """State and the rest of what Linux says about a process; empty when there is none, or on another system."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _started(pid: int) -> str:
    """When a process started, in clock ticks; tells a reused pid from the old one. Empty where the system does not say."""
    return next(iter(_stat(pid)[19:20]), "")


@lru_cache(maxsize=4)
def _process(pid: int) -> str:
    return f"{socket.gethostname()}:{pid}:{_started(pid)}"


def process() -> str:
    """`host:pid:start` of this very process, right also after a fork."""
    return _process(os.getpid())


def is_gone(name: str) -> bool:
    """Proof that the named process no longer runs: same host, and its pid is free or belongs to another start."""
    host, pid_text, start = name.rsplit(":", 2)
    if host != socket.gethostname() or not pid_text.isdigit():
        return False
    try:
        os.kill(int(pid_text), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    dead = _stat(int(pid_text))[:1] in (["Z"], ["X"])  # ended, only not yet taken note of by its parent
    return dead or (bool(start) and _started(int(pid_text)) != start)


def beat(name: str) -> str:
    """Writes the sign of life of a process group, as a row for everybody and as a file for the watchdog on this machine."""
    Heartbeat.objects.update_or_create(name=name, defaults={"at": clock.now(), "process": process()})
    touch(name)
    return "beat"


def touch(name: str) -> None:
    """The file alone, for a group that only the watchdog asks after."""
    path = Path(settings.HOME) / "run" / f"{name}.beat"
    path.parent.mkdir(exist_ok=True)
    path.touch()


def free_disk_mb() -> int:
    """Of the data directory; none where it is gone or can only be read."""
    if not os.access(settings.HOME, os.W_OK):
        return 0
    return shutil.disk_usage(settings.HOME).free // (1024 * 1024)


def _disk() -> dict[str, object]:
    free, least = free_disk_mb(), DeskSettings.current().min_free_disk_mb
    if not os.access(settings.HOME, os.W_OK):
        return {"ok": False, "text": "The data directory is gone or can only be read."}
    return {"ok": free >= least, "text": f"{free} MB free, {least} MB needed."}


def _age(at: datetime | None) -> float | None:
    return None if at is None else (clock.now() - at).total_seconds()


def _workers() -> tuple[bool, bool]:
    beats = dict(Heartbeat.objects.values_list("name", "at"))
    ages = [_age(beats.get(name)) for name in ("orders", "sweeper")]
    alive = [a is not None and a < BEAT_DEAD_S for a in ages]
    return alive[0], alive[1]


def oldest_queued_s() -> float:
    """Age of the oldest order a worker should have taken by now, in seconds; 0 when there is none."""
    now = clock.now()
    row = Order.objects.filter(status=State.QUEUED).exclude(due_at__gt=now).order_by("id").values_list("queued_at", flat=True).first()
    return _age(row) or 0.0


def _brokers() -> dict[str, object]:
    """Accounts that were logged in and are no longer, or whose books are being read. Who never logged in, or logged out, wants nothing."""
    rows = BrokerAccount.objects.filter(enabled=True).exclude(broker=BrokerName.PAPER).exclude(session__state=SessionState.NONE)
    found = list(rows.filter(session__isnull=False).values_list("state", "session__expires_at"))
    if not found:
        return {"ok": True, "text": "No broker is connected; paper needs no session."}
    now = clock.now()
    ready = sum(state == AccountState.READY and bool(end) and end > now for state, end in found)
    reading = sum(state == AccountState.RECOVERING for state, _ in found)
    lost = len(found) - ready - reading
    words = [(ready, "connected"), (reading, "being read"), (lost, "not logged in")]
    return {"ok": ready == len(found), "text": f"Broker accounts: {', '.join(f'{n} {word}' for n, word in words if n)}."}


def _sync(sweeper: bool) -> dict[str, object]:
    """The sweeper lives, and the books of every connected account were read completely not long ago. Names nobody's account."""
    if not sweeper:
        return {"ok": False, "text": f"No beat of the sweeper for {BEAT_DEAD_S} s."}
    bound = clock.now() - clock.seconds(SYNC_OLD * DeskSettings.current().sync_idle_s)
    rows = BrokerAccount.objects.filter(enabled=True, state=AccountState.READY).exclude(broker=BrokerName.PAPER)
    old = rows.filter(Q(sync=None) | Q(sync__orders_at=None) | Q(sync__orders_at__lt=bound)).count()
    return {"ok": not old, "text": f"Accounts whose order book was not read completely for a while: {old}." if old else "Sweeper is alive."}


def report() -> dict[str, object]:
    """`status` ok, degraded or down, and the checks behind it (database, worker, queue, brokers, sync, disk)."""
    try:
        connection.ensure_connection()
        worker, sweeper = _workers()
        queue_age = oldest_queued_s()
    except DatabaseError:
        return {"status": "down", "checks": {"database": {"ok": False, "text": "The database does not answer."}}}
    checks = {
        "database": {"ok": True, "text": "Answers."},
        "worker": {"ok": worker, "text": "Order worker is alive." if worker else f"No beat of the order worker for {BEAT_DEAD_S} s."},
        "queue": {"ok": queue_age < QUEUE_OLD_S, "text": f"Oldest queued order waits {queue_age:.0f} s."},
        "sync": _sync(sweeper),
        "brokers": _brokers(),
        "disk": _disk(),
    }
    down = any(not checks[name]["ok"] for name in ("database", "worker", "queue", "disk"))
    status = "down" if down else "ok" if all(c["ok"] for c in checks.values()) else "degraded"
    return {"status": status, "checks": checks}
