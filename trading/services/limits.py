"""Writes limits: made, changed and deleted here, whoever asks; each change leaves an event with old and new."""

from collections.abc import Collection, Mapping
from decimal import Decimal

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from brokers.models import BrokerAccount, Environment
from risk import defaults
from risk.loosening import is_looser
from risk.models import RiskSettings, Scope
from trading.models import Level
from trading.services import disarming, sysevents
from tvapp.lib.errors import AppError
from tvapp.lib.money import plain
from tvapp.people import stepup


def create(data: Mapping[str, object], *, actor: str) -> RiskSettings:
    """A row for an account or a strategy (`strategy_id` is the strategy itself), owned by whoever owns that target."""
    fields = dict(data)
    strategy = fields.pop("strategy_id", None)
    owner = strategy.owner if strategy else fields["account"].owner
    with transaction.atomic():
        row = _insert(owner, fields)
        if strategy and not type(strategy).objects.filter(pk=strategy.pk, limits=None).update(limits=row):
            raise _taken()  # somebody made limits for it a moment ago; the row above is rolled back
        sysevents.record("risk", "LIMITS_MADE", f"{actor} made {row}.", level=Level.WARNING, owner=owner, data={"id": row.pk})
    return row


def _insert(owner, fields: Mapping[str, object]) -> RiskSettings:
    try:
        with transaction.atomic():
            return RiskSettings.objects.create(owner=owner, **fields)
    except IntegrityError as clash:
        raise _taken() from clash


def _taken() -> AppError:
    return AppError("LIMITS_EXIST", "There are limits for this target already; change those.", status=409)


def for_live(account: BrokerAccount) -> RiskSettings | None:
    """The limits a live account starts with, when it has none of its own yet. None: it has some, or is not live."""
    if account.environment != Environment.LIVE or RiskSettings.objects.filter(scope=Scope.ACCOUNT, account=account).exists():
        return None
    row = RiskSettings.objects.create(owner=account.owner, scope=Scope.ACCOUNT, account=account, **defaults.LIVE)
    text = f"{account.name} has the limits a live account starts with. Look at them before anything is armed."
    sysevents.record("risk", "LIMITS_MADE", text, level=Level.WARNING, owner=account.owner, data={"id": row.pk})
    return row


# ------------------------------------------------------------------------------------------------------------ loosening
def loosened(row: RiskSettings, changes: Mapping[str, object]) -> list[str]:
    """Names of the limits that would let more through with these values."""
    known = (*RiskSettings.PARAMETERS, "clamp_mode", "unlimited")
    return [name for name, value in changes.items() if name in known and is_looser(name, getattr(row, name), value)]


def ask_who(user, looser: Collection[str], *, password: str = "", otp: str = "") -> None:
    """Where real money can move, somebody who loosens a limit proves who they are. Raises AppError 403."""
    if looser and settings.ALLOW_LIVE:
        stepup.confirm(user, password=password, otp=otp)


def after_loosening(row: RiskSettings, looser: Collection[str], *, actor: str) -> None:
    """Live arms under the scope of this row end: whoever armed did it under the limits that were."""
    if looser and (key := scope_of(row)):
        disarming.disarm_scope(key, f"{actor} loosened {', '.join(looser)} of the {row}", actor=actor)


def scope_of(row: RiskSettings) -> str:
    """GLOBAL, ACCOUNT:3 or STRATEGY:7; empty when no strategy points at it."""
    if row.scope == Scope.STRATEGY:
        strategy = getattr(row, "strategy", None)
        return f"STRATEGY:{strategy.pk}" if strategy else ""
    return f"ACCOUNT:{row.account_id}" if row.scope == Scope.ACCOUNT else "GLOBAL"


def update(row: RiskSettings, changes: Mapping[str, object], *, actor: str) -> RiskSettings:
    """Changes limits in place; loosening one disarms. A GLOBAL rail without a value and without its name in `unlimited` is refused."""
    before, looser = {name: _show(getattr(row, name)) for name in changes}, loosened(row, changes)
    for name, value in changes.items():
        setattr(row, name, value)
    try:
        row.clean()
    except ValidationError as refused:
        name, texts = next(iter(refused.message_dict.items()))
        raise AppError("LIMIT_MISSING", texts[0], extra={"field": name}) from refused
    with transaction.atomic():
        row.save()
        after = {name: [before[name], _show(getattr(row, name))] for name in changes}
        did = f"loosened {', '.join(looser)} of the" if looser else "changed"
        sysevents.record("risk", "LIMITS_CHANGED", f"{actor} {did} {row}.", level=Level.WARNING, owner=row.owner, data=after)
        after_loosening(row, looser, actor=actor)
    return row


def _show(value: object) -> str:
    return plain(value) or "" if isinstance(value, Decimal) else str(value)


def delete(row: RiskSettings, *, actor: str) -> None:
    """Takes away the limits of an account or strategy; the GLOBAL row stays."""
    if row.scope == Scope.GLOBAL:
        raise AppError("GLOBAL_REQUIRED", "The GLOBAL limits cannot be deleted, only changed.", status=409)
    with transaction.atomic():
        sysevents.record("risk", "LIMITS_DELETED", f"{actor} deleted {row}.", level=Level.WARNING, owner=row.owner, data={"id": row.pk})
        after_loosening(row, ["every limit"], actor=actor)
        row.delete()
