"""Who may do what: three groups with fixed permissions, written from this table after every migrate. Rows are limited by `for_user`.

An admin is a superuser (sees every row); the group is kept beside it so that each person has exactly one role.
"""

from collections.abc import Mapping

from django.apps import AppConfig, apps
from django.contrib.auth.models import Group, Permission, User
from django.db import transaction

VIEWER, TRADER, ADMIN = "viewer", "trader", "admin"
ROLES = (VIEWER, TRADER, ADMIN)

_SEEN = {
    "brokers": ("brokeraccount", "instrument", "quote", "freezelimit", "chargeschedule"),
    "risk": ("risksettings", "decision", "tradingstate", "trip", "livearm", "markethours", "marketsession"),
    "trading": ("strategy", "alert", "signal", "order", "orderattempt", "orderevent", "fill", "position", "systemevent", "tvsymboloverride"),
    "tvapp": ("apitoken",),
}
_VIEWER = frozenset(f"{app}.view_{model}" for app, models in _SEEN.items() for model in models)
_TRADER = _VIEWER | {
    "trading.add_strategy", "trading.change_strategy",
    "trading.add_tvsymboloverride", "trading.change_tvsymboloverride", "trading.delete_tvsymboloverride",
    "brokers.add_brokeraccount", "brokers.change_brokeraccount",
    "risk.add_risksettings", "risk.change_risksettings", "risk.delete_risksettings",
}  # fmt: skip
_ADMIN = _TRADER | {
    "brokers.add_instrument", "brokers.change_instrument", "brokers.add_quote", "brokers.change_quote",
    "brokers.add_freezelimit", "brokers.change_freezelimit", "brokers.delete_freezelimit",
    "brokers.add_chargeschedule", "brokers.change_chargeschedule", "brokers.delete_chargeschedule",
    "risk.add_markethours", "risk.change_markethours", "risk.add_marketsession", "risk.change_marketsession", "risk.delete_marketsession",
    "tvapp.view_desksettings", "tvapp.change_desksettings",
}  # fmt: skip
PERMISSIONS: Mapping[str, frozenset[str]] = {VIEWER: _VIEWER, TRADER: _TRADER, ADMIN: _ADMIN}


def role_of(user) -> str:
    """`admin`, `trader`, `viewer`, or empty for somebody without a role."""
    if user.is_superuser:
        return ADMIN
    names = set(user.groups.values_list("name", flat=True))
    return next((role for role in (TRADER, VIEWER) if role in names), "")


def may_trade(user) -> bool:
    """Whether the person may change and execute what is theirs; a viewer only looks."""
    return bool(user.is_active) and role_of(user) in (TRADER, ADMIN)


@transaction.atomic
def assign(user: User, role: str) -> None:
    """Gives the saved `user` exactly this role. Everybody with a role may enter the admin; rows and permissions limit it."""
    user.is_staff, user.is_superuser = True, role == ADMIN
    user.save(update_fields=["is_staff", "is_superuser"])
    user.groups.set([Group.objects.get_or_create(name=role)[0]])


def sync(labels: set[str] | None = None) -> bool:
    """Brings the groups to the table above, of the named apps or of all. Returns whether anything had to be written."""
    changed = False
    for role in ROLES:
        group, made = Group.objects.get_or_create(name=role)
        changed |= made | _bring(group, PERMISSIONS[role], labels)
    return changed


def _bring(group: Group, wanted: frozenset[str], labels: set[str] | None) -> bool:
    scope = {} if labels is None else {"content_type__app_label__in": labels}
    rows = Permission.objects.filter(**scope).select_related("content_type")
    has = {f"{p.content_type.app_label}.{p.codename}": p.pk for p in rows.filter(group=group)}
    lacks = {w for w in wanted if labels is None or w.partition(".")[0] in labels} - has.keys()
    extra = has.keys() - wanted
    if extra:
        group.permissions.remove(*(has[name] for name in extra))
    if lacks:
        codes = {name.partition(".")[2] for name in lacks}
        found = [p for p in rows.filter(codename__in=codes) if f"{p.content_type.app_label}.{p.codename}" in lacks]
        group.permissions.add(*found)
    return bool(extra or lacks)


def after_migrate(sender: AppConfig, apps=apps, **kwargs) -> None:
    """post_migrate: this app's permissions exist by now (auth made them a moment ago), so its part of the groups can follow."""
    try:
        apps.get_model("auth", "Group")
        apps.get_model("contenttypes", "ContentType")
    except LookupError:
        return  # migrated back to before the groups
    if sender.label in _SEEN:
        sync({sender.label})
