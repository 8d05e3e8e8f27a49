"""Writes limits: made, changed and deleted here, whoever asks; each change leaves an event with old and new."""

from collections.abc import Mapping
from decimal import Decimal

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from risk.models import RiskSettings, Scope
from trading.models import Level
from trading.services import sysevents
from tvapp.lib.errors import AppError
from tvapp.lib.money import plain


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


def update(row: RiskSettings, changes: Mapping[str, object], *, actor: str) -> RiskSettings:
    """Changes limits in place. A GLOBAL rail without a value and without its name in `unlimited` is refused."""
    before = {name: _show(getattr(row, name)) for name in changes}
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
        sysevents.record("risk", "LIMITS_CHANGED", f"{actor} changed {row}.", level=Level.WARNING, owner=row.owner, data=after)
    return row


def _show(value: object) -> str:
    return plain(value) or "" if isinstance(value, Decimal) else str(value)


def delete(row: RiskSettings, *, actor: str) -> None:
    """Takes away the limits of an account or strategy; the GLOBAL row stays."""
    if row.scope == Scope.GLOBAL:
        raise AppError("GLOBAL_REQUIRED", "The GLOBAL limits cannot be deleted, only changed.", status=409)
    with transaction.atomic():
        sysevents.record("risk", "LIMITS_DELETED", f"{actor} deleted {row}.", level=Level.WARNING, owner=row.owner, data={"id": row.pk})
        row.delete()
