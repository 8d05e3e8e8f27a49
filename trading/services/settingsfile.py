"""All settings as one JSON document, and back: strategies, limits, calendar, overrides, charges, the desk's own. Never a secret, never an order.

Rows are named by what people call them (owner, account, strategy, symbol), never by their ids, so that a document fits another desk too.
Reading a document back changes and adds; what the document does not name stays. Accounts are never made: their keys are not in it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import date, time
from decimal import Decimal
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction

from brokers.models import BrokerAccount, ChargeSchedule, FreezeLimit, Instrument
from risk.models import MarketHours, MarketSession, RiskSettings, Scope
from trading.models import Level, Strategy, TvSymbolOverride
from trading.services import disarming, limits, strategies, sysevents
from tvapp.lib import clock
from tvapp.lib.errors import AppError
from tvapp.lib.money import plain
from tvapp.models import DeskSettings

FORMAT, VERSION = "tvapp settings", 1
SECRETS = ("secret_digest", "old_secret_digest", "old_secret_until", "secret_made_at")
NEVER = (*SECRETS, "id", "version", "updated_at", "created_at", "created_by", "refusal")
Row = dict[str, Any]


@dataclass(frozen=True)
class Section:
    """One kind of row: `key` names it, `skip` is what the document does not carry besides NEVER."""

    name: str
    model: type[models.Model]
    key: tuple[str, ...]
    skip: tuple[str, ...] = ()

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(f.name for f in self.model._meta.concrete_fields if f.name not in (*NEVER, *self.skip))


# paper_only is a switch in force, which nobody turns off by reading a document; release is what runs here
DESK = Section("desk", DeskSettings, (), skip=("paper_only", "release"))
STRATEGIES = Section("strategies", Strategy, ("owner", "name"), skip=("limits", "archived_at"))
LIMITS = Section("limits", RiskSettings, ("scope", "owner", "account", "strategy"))
SECTIONS = (
    DESK,
    Section("market_hours", MarketHours, ("exchange",)),
    Section("market_sessions", MarketSession, ("exchange", "date")),
    Section("freeze_limits", FreezeLimit, ("exchange", "root", "since")),
    Section("charges", ChargeSchedule, ("broker", "segment", "exchange", "valid_from")),
    STRATEGIES,
    LIMITS,
    Section("symbol_overrides", TvSymbolOverride, ("scope", "owner", "account", "strategy", "tv_symbol")),
)


@dataclass(frozen=True)
class Change:
    """What reading a document back does to one row: `fields` maps each name to its old and new value as text; `new`: it is made."""

    section: Section
    label: str
    new: bool
    values: Row = field(repr=False)
    instance: models.Model = field(repr=False)
    fields: Mapping[str, tuple[str, str]]

    def lines(self) -> Iterator[str]:
        yield f"{'+' if self.new else '~'} {self.section.name}: {self.label}"
        for name, (old, new) in self.fields.items():
            yield f"    {name}: {new}" if self.new else f"    {name}: {old or 'nothing'} -> {new or 'nothing'}"


# --- out ---------------------------------------------------------------------------------------------------------


def document() -> dict[str, Any]:
    """The whole of the settings, ready for JSON."""
    head = {"format": FORMAT, "version": VERSION, "made_at": clock.now().isoformat()}
    return head | {section.name: [_row_of(section, row) for row in _rows(section)] for section in SECTIONS}


def _rows(section: Section) -> Sequence[models.Model]:
    if section is DESK:
        return [DeskSettings.objects.filter(id=1).first() or DeskSettings(id=1)]
    rows = section.model._default_manager.order_by("pk")
    if section is LIMITS:  # a row whose strategy is gone limits nothing
        return [row for row in rows if row.scope != Scope.STRATEGY or _strategy_of(row) is not None]
    return [row for row in rows if not getattr(row if section is STRATEGIES else getattr(row, "strategy", None), "archived_at", None)]


def _row_of(section: Section, row: models.Model) -> Row:
    found = {name: _plain(getattr(row, name)) for name in section.fields}
    return {**found, "strategy": _plain(_strategy_of(row))} if section is LIMITS else found


def _strategy_of(row: models.Model) -> Strategy | None:
    return Strategy.objects.standing().filter(limits_id=row.pk).first() if row.pk else None


def _plain(value: object) -> object:
    """As the document has it: numbers exact as text, rows by the name people use."""
    if isinstance(value, models.Model):
        return value.get_username() if isinstance(value, get_user_model()) else value.key if isinstance(value, Instrument) else value.name
    if isinstance(value, Decimal):
        return plain(value)
    return value.isoformat() if isinstance(value, date | time) else value


# --- in ----------------------------------------------------------------------------------------------------------


def load(data: object, *, actor: str, keep: bool = True) -> list[Change]:
    """Reads the document back in one transaction, all of it or nothing; not `keep`: only says what it would change.

    Leaves an event with every change, and ends every live arm. Raises AppError, naming the row and what is wrong with it.
    """
    parts = _parts(data)
    with transaction.atomic(), nullcontext() if keep else sysevents.rehearsal():
        done = []
        for section in SECTIONS:  # one after the other: limits name strategies that were just made
            for change in _of_section(section, parts.get(section.name, [])):
                _write(change, actor)
                done.append(change)
        if done:
            _record(done, actor)
        transaction.set_rollback(not keep)
    DeskSettings.forget()
    return done


def _record(done: Sequence[Change], actor: str) -> None:
    disarming.disarm_scope("GLOBAL", "settings were read back", actor=actor)
    text = f"{actor} read settings back: {len(done)} {'row' if len(done) == 1 else 'rows'} made or changed. No strategy is armed any more."
    sysevents.record("settings", "SETTINGS_LOADED", text, level=Level.WARNING, data={"changes": [line for c in done for line in c.lines()]})


def _parts(data: object) -> Mapping[str, object]:
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise AppError("NOT_SETTINGS", "This is no settings document of this desk.")
    if data.get("version") != VERSION:
        raise AppError("NOT_SETTINGS", f"The document is of version {data.get('version')}; this desk reads version {VERSION}.")
    unknown = data.keys() - {"format", "version", "made_at", *(section.name for section in SECTIONS)}
    if unknown:
        raise AppError("UNKNOWN_FIELD", f"The document has a part the desk does not know: {min(unknown)}.", extra={"field": min(unknown)})
    return data


def _of_section(section: Section, rows: object) -> Iterator[Change]:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise AppError("NOT_SETTINGS", f"{section.name} must be a list of rows.", extra={"field": section.name})
    for row in rows:
        change = _change(section, row)
        if change.new or change.fields:
            yield change


def _change(section: Section, row: Row) -> Change:
    label = " ".join(str(row[name]) for name in section.key if row.get(name)) or "settings"
    allowed = {*section.fields, *(["strategy"] if section is LIMITS else [])}
    for name in row.keys() - allowed:
        raise AppError("UNKNOWN_FIELD", f"{section.name}, {label}: there is no setting called {name}.", extra={"field": name})
    for name in set(section.key) - row.keys():
        raise AppError("NOT_SETTINGS", f"{section.name}, {label}: {name} is missing.", extra={"field": name})
    values = _values(section, row, label)
    there = _find(section, values)
    instance = there or section.model(**{name: value for name, value in values.items() if name in section.fields})
    before = _row_of(section, there) if there else {}
    wanted = {name: _plain(value) for name, value in values.items()}
    fields = {name: (_text(before.get(name)), _text(new)) for name, new in wanted.items() if there is None or before.get(name) != new}
    return Change(section, label, there is None, values, instance, fields)


def _text(value: object) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, default=str)


def _values(section: Section, row: Row, label: str) -> Row:
    """The row's values as the model takes them, rows looked up by name."""
    found: Row = {}
    for name, value in row.items():
        try:
            found[name] = _value(section, name, value, row)
        except ValidationError as refused:
            raise AppError("INVALID_VALUE", f"{section.name}, {label}: {name}: {refused.messages[0]}", extra={"field": name}) from refused
        except LookupError as refused:
            text = f"{section.name}, {label}: there is no {name} called {value}."
            raise AppError("NOT_FOUND", text, extra={"field": name}) from refused
    return _limits_of_one(found, label) if section is LIMITS else found


def _limits_of_one(values: Row, label: str) -> Row:
    """The values of a row of limits as they are kept; AppError when they are not about exactly one scope."""
    named = {name for name in ("owner", "account", "strategy") if values[name] is not None}
    meant = {Scope.GLOBAL: set(), Scope.ACCOUNT: {"owner", "account"}, Scope.STRATEGY: {"owner", "strategy"}}.get(values["scope"], named)
    if named != meant:
        whom = " and ".join(sorted(meant)) or "neither owner nor account nor strategy"
        raise AppError("INVALID_VALUE", f"limits, {label}: limits of the scope {values['scope']} name {whom}.", extra={"field": "scope"})
    try:
        return values | RiskSettings.cleaned(values)
    except ValidationError as refused:
        name, texts = next(iter(refused.message_dict.items()))
        raise AppError("INVALID_VALUE", f"limits, {label}: {name}: {texts[0]}", extra={"field": name}) from refused


def _value(section: Section, name: str, value: object, row: Row) -> object:
    if value is None or name not in ("owner", "account", "strategy", "instrument"):
        return value if section is LIMITS and name == "strategy" else _cleaned(section.model._meta.get_field(name), value)
    found = _named(name, str(value), row.get("owner"))
    if found is None:
        raise LookupError(name)
    return found


def _cleaned(column: models.Field, value: object) -> object:
    if value is None and not column.null:  # a column that may be empty is not checked for it by itself
        raise ValidationError(column.error_messages["null"])
    return column.to_python(value)


def _named(name: str, value: str, owner: object) -> models.Model | None:
    if name == "owner":
        return get_user_model().objects.filter(username=value).first()
    if name == "instrument":
        exchange, _, symbol = value.partition(":")
        return Instrument.objects.filter(exchange=exchange, tradingsymbol=symbol).first()
    rows = BrokerAccount.objects.all() if name == "account" else Strategy.objects.standing()
    return rows.filter(name=value, owner__username=owner).first()


def _find(section: Section, values: Row) -> models.Model | None:
    if section is DESK:
        return DeskSettings.objects.filter(id=1).first() or DeskSettings(id=1)
    key = {name: values[name] for name in section.key}
    if section is LIMITS:
        strategy = key.pop("strategy")
        key |= {"strategy": strategy} if strategy else {}
        key = {"scope": Scope.GLOBAL} if key["scope"] == Scope.GLOBAL else key
    return section.model._default_manager.filter(**key, **({"archived_at": None} if section is STRATEGIES else {})).first()


def _write(change: Change, actor: str) -> None:
    """Through the same services as the pages, where there is one, so that the same rules hold."""
    try:
        if change.section is STRATEGIES:
            _write_strategy(change, actor)
        elif change.section is LIMITS:
            _write_limits(change, actor)
        else:
            for name in change.fields:
                setattr(change.instance, name, change.values[name])
            change.instance.full_clean(exclude=["id"])
            change.instance.save()
    except ValidationError as refused:
        name, texts = next(iter(refused.message_dict.items()))
        raise AppError("INVALID_VALUE", f"{change.section.name}, {change.label}: {name}: {texts[0]}", extra={"field": name}) from refused
    except AppError as refused:
        raise AppError(refused.code, f"{change.section.name}, {change.label}: {refused.message}", extra=refused.extra) from refused
    except IntegrityError as refused:
        raise AppError("INVALID_VALUE", f"{change.section.name}, {change.label}: there cannot be such a row.") from refused


def _write_strategy(change: Change, actor: str) -> None:
    values = {name: change.values[name] for name in change.fields}
    Strategy(**change.values).clean_fields(exclude=["limits"])
    if change.new:
        strategies.create(actor=actor, **values)
    else:
        strategies.update(change.instance, values, actor=actor)


def _write_limits(change: Change, actor: str) -> None:
    values = {name: change.values[name] for name in change.fields}
    RiskSettings(**{name: value for name, value in change.values.items() if name != "strategy"}).clean_fields()
    if change.new:
        given = {**values, "scope": change.values["scope"], "account": change.values["account"], "strategy_id": change.values["strategy"]}
        limits.create({name: value for name, value in given.items() if name not in ("owner", "strategy")}, actor=actor)
    else:
        limits.update(change.instance, values, actor=actor)
