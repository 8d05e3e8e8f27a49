"""`bin/doctor`: does this desk work, and if not, what is to be done. One line for each thing; exit status 1 when one is wrong."""

import stat
from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfoNotFoundError

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from brokers.secrets import SecretUnreadable, seal, unseal
from trading.models import OrderEvent
from trading.services import health
from tvapp import home, supervisor
from tvapp.lib import clock
from tvapp.models import Heartbeat

Finding = tuple[bool, str]


def port() -> Finding:
    try:
        if supervisor.role() == "workers":
            return _beats()
    except supervisor.CannotStart as why:
        return False, str(why)
    word = supervisor.health(settings.HOST, settings.PORT)
    if word != "down":
        return True, f"{settings.HOST}:{settings.PORT} answers, health is {word}."
    return False, f"{settings.HOST}:{settings.PORT} does not answer as a healthy desk: start it with bin/run, or see the other lines."


def _beats() -> Finding:
    """A machine that only works has no port."""
    if supervisor.pulse() == "ok":
        return True, "TVAPP_ROLE=workers: no port, and all groups of this machine are alive."
    return False, "TVAPP_ROLE=workers: a group of this machine shows no sign of life. Start it with bin/run, or see the other lines."


def data_directory() -> Finding:
    free, least = health.free_disk_mb(), _least_free_mb()
    if free < least:
        return False, f"{settings.HOME} has {free} MB free and {least} MB are needed: make room."
    return True, f"{settings.HOME} can be written, {free} MB free."


def _least_free_mb() -> int:
    from tvapp.models import DeskSettings

    try:
        return DeskSettings.current().min_free_disk_mb
    except DatabaseError:
        return DeskSettings().min_free_disk_mb


def keys() -> Finding:
    mode = stat.S_IMODE((home.path() / ".env").stat().st_mode)
    if mode & 0o077:
        return False, f".env can be read by others (mode {mode:o}): chmod 600 {home.path() / '.env'}."
    try:
        fine = unseal(seal("desk")) == "desk"
    except SecretUnreadable:
        fine = False
    return (True, f"{len(settings.FIELD_KEYS)} field key, .env is private.") if fine else (False, "FIELD_KEYS does not open what it sealed.")


def clock_and_zone() -> Finding:
    try:
        here = clock.now().astimezone(clock.IST)
    except ZoneInfoNotFoundError:
        return False, "The zone Asia/Kolkata is unknown: install tzdata."
    ahead = (_newest_record() - clock.now()).total_seconds()
    if ahead > 2:
        return False, f"The clock says {here:%d %b %Y %H:%M:%S} IST, {ahead:.0f} s before the newest record: set it (NTP) before trading."
    return True, f"{here:%d %b %Y %H:%M:%S} IST."


def _newest_record() -> datetime:
    try:
        beats = Heartbeat.objects.exclude(name__startswith="book ")  # these may stand ahead: a pause the broker asked for
        times = [beats.order_by("-at").values_list("at", flat=True).first()]
        times.append(OrderEvent.objects.order_by("-id").values_list("at", flat=True).first())
    except DatabaseError:
        times = []
    return max([t for t in times if t], default=clock.now())


def database() -> Finding:
    try:
        waiting = MigrationExecutor(connection).migration_plan(MigrationExecutor(connection).loader.graph.leaf_nodes())
    except DatabaseError as problem:
        return False, f"{connection.vendor} does not answer: {str(problem).strip()}."
    if waiting:
        return False, f"{len(waiting)} migrations are missing: bin/run applies them, or manage.py migrate."
    return True, f"{connection.vendor} answers, all migrations are applied."


def _beat(check: str) -> Callable[[], Finding]:
    def finding() -> Finding:
        try:
            found = health.report()["checks"].get(check)
        except DatabaseError:
            found = None
        return (found["ok"], found["text"]) if found else (False, "The database does not say.")

    return finding


CHECKS: dict[str, Callable[[], Finding]] = {
    "home": data_directory,
    "keys": keys,
    "clock": clock_and_zone,
    "database": database,
    "port": port,
    "worker": _beat("worker"),
    "queue": _beat("queue"),
    "sweeper": _beat("sync"),
    "brokers": _beat("brokers"),
}


class Command(BaseCommand):
    help = "Looks at the port, the data directory, the keys, the clock, the database and the workers. Exit status 0 when all are well, else 1."
    requires_system_checks = []

    def handle(self, *args, **options):
        findings = {name: check() for name, check in CHECKS.items()}
        for name, (fine, text) in findings.items():
            mark = self.style.SUCCESS("ok   ") if fine else self.style.ERROR("WRONG")
            self.stdout.write(f"{mark} {name:<9} {text}")
        wrong = sum(not fine for fine, _ in findings.values())
        if wrong:
            raise CommandError(f"{wrong} of {len(findings)} are not as they should be.")
