"""`manage.py prepare`: everything between the packages and a desk that can start. Running it again, or twice at once, changes nothing but
that accounts at real brokers are compared with their books once more."""

import fcntl
import hashlib
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import django
from django.apps import apps
from django.conf import settings
from django.core.checks import ERROR
from django.core.checks.registry import registry
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection, transaction

from tvapp import home, release
from tvapp.lib import clock

SCHEDULES = {  # name: (function, kind, minutes); the closed list, brought back to these values at each start
    "sweep": ("trading.tasks.sweep_once", "I", 1),
    "prune": ("trading.tasks.prune", "D", None),
    "instruments": ("trading.tasks.load_instruments", "I", 15),  # loads once a day, from 08:15 IST on; what failed is tried again
}
LOCK = 0x74766170  # of the server, shared by all who prepare this database
DEMO = {"demo-auto": "AUTO", "demo-manual": "MANUAL"}


class Command(BaseCommand):
    help = "Prepares the database, static files, the first admin with a paper account and two demo strategies, and the schedules."
    requires_system_checks = []  # the desk's own checks run below, when the tables they read are there

    def handle(self, *args, **options):
        with _alone():
            _migrate()
            _check()
            _collect_static()
            _roles()
            password = _people()
            _schedules()
            _calendar()
            _brokers()
            release.note()
        if password:
            self.stdout.write(f"First admin: {_username()} / {password}")


@contextmanager
def _alone() -> Iterator[None]:
    """One preparation of this data directory and of this database at a time; both locks are freed however the process ends."""
    handle = os.open(settings.HOME / "run" / "prepare.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with _alone_on_the_server() if connection.vendor == "postgresql" else nullcontext():
            yield
    finally:
        os.close(handle)


@contextmanager
def _alone_on_the_server() -> Iterator[None]:
    """Another machine may prepare the same database now, and its migrations may take long."""
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0; SET lock_timeout = 0")
        cursor.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        cursor.execute("RESET statement_timeout; RESET lock_timeout")
    try:
        yield
    finally:
        with suppress(DatabaseError), connection.cursor() as cursor:  # a connection that broke has let go of it
            cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])


# ---------------------------------------------------------------------------- tables
def _migrate() -> None:
    """Nothing is imported or planned when each migration file is already applied: that is nearly every start."""
    if not _files_on_disk() <= _applied():
        call_command("migrate", interactive=False, verbosity=0)


def _files_on_disk() -> set[tuple[str, str]]:
    folders = {config.label: Path(config.path) / "migrations" for config in apps.get_app_configs()}
    return {(label, file.stem) for label, folder in folders.items() for file in folder.glob("[0-9]*.py")}


def _applied() -> set[tuple[str, str]]:
    with connection.cursor() as cursor:
        if "django_migrations" not in connection.introspection.table_names(cursor):
            return set()
        cursor.execute("SELECT app, name FROM django_migrations")
        return set(cursor.fetchall())


# ---------------------------------------------------------------------------- static files
def _collect_static() -> None:
    """Only when a source or a package changed; the stamp is written last, so that a broken run is done again."""
    stamp, wanted = settings.HOME / "static.stamp", _static_fingerprint()
    manifest = Path(settings.STATIC_ROOT) / "staticfiles.json"
    if manifest.exists() and stamp.exists() and stamp.read_text() == wanted:
        return
    call_command("collectstatic", interactive=False, verbosity=0)
    draft = stamp.with_suffix(f".{os.getpid()}")
    draft.write_text(wanted)
    draft.replace(stamp)


def _static_fingerprint() -> str:
    """Names and versions of the installed packages, and name, size and time of our own files."""
    site = Path(django.__file__).parent.parent
    facts = [str(settings.STATIC_ROOT), settings.STORAGES["staticfiles"]["BACKEND"], *sorted(p.name for p in site.glob("*.dist-info"))]
    for folder in settings.STATICFILES_DIRS:
        for file in sorted(Path(folder).rglob("*")):
            known = file.stat()
            facts.append(f"{file} {known.st_size} {known.st_mtime_ns}")
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()


# ---------------------------------------------------------------------------- people and their first things
def _roles() -> None:
    from tvapp.people import roles

    roles.sync()


def _username() -> str:
    return home.setting("TVAPP_ADMIN_USERNAME", "admin")


@transaction.atomic
def _people() -> str:
    """The first admin while there is nobody, the paper account while there is none, the demo strategies while there never was one.
    Returns the password when it had to be made up; it is stored nowhere but as a hash."""
    from django.contrib.auth.models import User

    password = ""
    if not User.objects.exists():
        password = _first_admin()
    owner = User.objects.filter(is_superuser=True, is_active=True).order_by("id").first()
    if owner is not None:
        _demo(owner)
    return password


def _first_admin() -> str:
    from django.contrib.auth.models import User

    from tvapp.people import roles

    given = home.setting("TVAPP_ADMIN_PASSWORD")
    password = given or secrets.token_urlsafe(15)
    user = User(username=_username(), email=home.setting("TVAPP_ADMIN_EMAIL"))
    _judge(password, user)
    user.set_password(password)
    user.save()
    roles.assign(user, roles.ADMIN)
    return "" if given else password


def _judge(password: str, user) -> None:
    """A weak password is refused where strangers can reach the desk, and warned about on one's own machine."""
    from django.contrib.auth.password_validation import validate_password
    from django.core.exceptions import ValidationError

    try:
        user.full_clean(exclude=["password"])
        validate_password(password, user)
    except ValidationError as problem:
        words = " ".join(problem.messages)
        if settings.PRODUCTION or hasattr(problem, "error_dict"):
            raise CommandError(f"The first admin cannot be made from TVAPP_ADMIN_USERNAME, _PASSWORD and _EMAIL: {words}") from problem
        sys.stderr.write(f"TVAPP_ADMIN_PASSWORD is weak: {words} Change it soon.\n")


def _demo(owner) -> None:
    from brokers.models import BrokerAccount
    from trading.models import Strategy

    if not BrokerAccount.objects.exists():
        BrokerAccount.objects.create(owner=owner, name="paper", capital=Decimal(1000000))
    account = BrokerAccount.objects.filter(owner=owner).order_by("id").first()
    if account is None or Strategy.objects.exists():
        return
    for name, mode in DEMO.items():
        Strategy.objects.create(owner=owner, name=name, mode=mode, account=account, description="Made at the first start, to try the desk with.")


# ---------------------------------------------------------------------------- schedules
@transaction.atomic
def _schedules() -> None:
    model = apps.get_model("django_q", "Schedule")
    for name, (func, kind, minutes) in SCHEDULES.items():
        wanted = {"func": func, "schedule_type": kind, "minutes": minutes, "cluster": "batch", "repeats": -1}
        rows = list(model.objects.filter(name=name).order_by("id"))
        if not rows:
            model.objects.create(name=name, **wanted, **({"next_run": _quarter()} if minutes == 15 else {}))
        elif any(getattr(rows[0], field) != value for field, value in wanted.items()):
            model.objects.filter(pk=rows[0].pk).update(**wanted)
        model.objects.filter(pk__in=[row.pk for row in rows[1:]]).delete()


def _calendar() -> None:
    """Hours and holidays of the exchanges; a list that came with a new version is taken up."""
    from risk import holidays

    holidays.load()


def _brokers() -> None:
    """A desk that starts does not know what happened at its brokers: their books are compared before anything is sent."""
    from trading.services import books, schedules

    books.shut_gates()
    schedules.keep()


def _quarter() -> datetime:
    """The next full quarter of an hour, so that what is due at 08:15 runs at 08:15."""
    now = clock.now()
    return now.replace(minute=now.minute - now.minute % 15, second=0, microsecond=0) + timedelta(minutes=15)


# ---------------------------------------------------------------------------- the desk's own checks
def _check() -> None:
    """A setting that would hurt ends the start here, with its own words."""
    ours = [check for check in registry.get_checks() if check.__module__ == "tvapp.checks"]
    found = [message for check in ours for message in check(app_configs=None, databases=["default"])]
    errors = [f"{message.msg} {message.hint or ''}".strip() for message in found if message.level >= ERROR]
    if errors:
        raise CommandError("\n".join(errors))
