"""System checks: a setting that would hurt is refused before the desk starts."""

from django.conf import settings
from django.core import checks


@checks.register
def webhook_secret_is_long_enough(**kwargs):
    secret = settings.TRADINGVIEW_WEBHOOK_SECRET
    if secret and len(secret) < 12:
        return [checks.Error("TRADINGVIEW_WEBHOOK_SECRET is shorter than 12 characters.", hint="Empty switches it off.", id="tvapp.E001")]
    return []


@checks.register
def queue_times_fit(**kwargs):
    q = settings.Q_CLUSTER
    clusters = {q["name"]: q, **q["ALT_CLUSTERS"]}
    needed = {name: c["timeout"] * (1 + c["queue_limit"] / c["workers"]) for name, c in clusters.items()}
    return [
        checks.Error(f"Queue {name}: retry must be above {needed[name]:.0f} s.", id="tvapp.E003")
        for name, c in clusters.items()
        if c["retry"] <= needed[name]
    ]


@checks.register
def field_keys_stand_alone(**kwargs):
    if not settings.FIELD_KEYS or settings.SECRET_KEY in settings.FIELD_KEYS:
        return [checks.Error("FIELD_KEYS is missing or equal to SECRET_KEY.", id="tvapp.E004")]
    return []


@checks.register
def live_and_debug_never_meet(**kwargs):
    if settings.ALLOW_LIVE and settings.DEBUG:
        return [checks.Error("TVAPP_ALLOW_LIVE and DEBUG are both on.", id="tvapp.E005")]
    return []


@checks.register
def requests_are_not_transactions(**kwargs):
    if settings.DATABASES["default"].get("ATOMIC_REQUESTS"):
        return [checks.Error("ATOMIC_REQUESTS must be off: every GET would take the write lock.", id="tvapp.E006")]
    return []


@checks.register
def redis_address_can_be_read(**kwargs):
    """Else every request that is counted would fail, and with it the API and the password asked for before a stop is released."""
    if not settings.REDIS_URL:
        return []
    from redis.connection import parse_url

    try:
        parse_url(settings.REDIS_URL)
    except ValueError:  # the address is not repeated: it may hold a password
        return [checks.Error("REDIS_URL is no address of a Redis.", hint="Write redis://host:6379/0, or leave it empty.", id="tvapp.E007")]
    return []


@checks.register(checks.Tags.database)
def global_limits_stand(databases=None, **kwargs):
    from django.db import OperationalError, ProgrammingError

    from risk.models import RiskSettings, Scope

    try:
        row = RiskSettings.objects.filter(scope=Scope.GLOBAL).first()
    except (OperationalError, ProgrammingError):
        return []  # not migrated yet
    if row is None:
        return [checks.Error("There is no GLOBAL risk row.", hint="Run manage.py migrate.", id="tvapp.E002")]
    missing = [n for n in row.RAILS if getattr(row, n) is None and n not in row.unlimited]
    return [checks.Error(f"GLOBAL {n} is empty and not named in 'unlimited'.", id="tvapp.E002") for n in missing]
