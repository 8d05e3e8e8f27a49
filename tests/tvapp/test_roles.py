"""Three roles, each with exactly the permissions of the table, whatever was done to the groups before."""

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission, User

from tests.tvapp.people import person
from tvapp.people import roles

pytestmark = pytest.mark.django_db


def _has(role: str) -> set[str]:
    rows = Permission.objects.filter(group__name=role).select_related("content_type")
    return {f"{p.content_type.app_label}.{p.codename}" for p in rows}


@pytest.mark.parametrize("role", roles.ROLES)
def test_it_gives_each_group_its_table_after_migrate(role):
    assert _has(role) == roles.PERMISSIONS[role]


def test_it_names_only_permissions_that_exist():
    known = {f"{p.content_type.app_label}.{p.codename}" for p in Permission.objects.select_related("content_type")}
    assert set().union(*roles.PERMISSIONS.values()) <= known


def test_it_takes_back_what_somebody_added_and_gives_back_what_was_taken():
    group = Group.objects.get(name="viewer")
    group.permissions.set(Permission.objects.filter(codename="delete_user"))
    roles.sync()
    assert _has("viewer") == roles.PERMISSIONS["viewer"]


def test_it_writes_nothing_when_the_groups_are_right():
    roles.sync()
    assert roles.sync() is False


def test_it_makes_groups_that_were_deleted():
    Group.objects.all().delete()
    for config in apps.get_app_configs():
        roles.after_migrate(config)
    assert _has("trader") == roles.PERMISSIONS["trader"]


def test_it_never_lets_a_viewer_write():
    assert all(name.partition(".")[2].startswith("view_") for name in roles.PERMISSIONS["viewer"])


def test_it_gives_traders_no_hand_on_people_orders_or_the_desk():
    writes = {name for name in roles.PERMISSIONS["trader"] if ".view_" not in name}
    assert not {name for name in writes if "order" in name or "user" in name or "desksettings" in name or "alert" in name}


@pytest.mark.parametrize("role", roles.ROLES)
def test_it_assigns_exactly_one_role(role):
    user = person("asha", roles.TRADER)
    roles.assign(user, role)
    again = User.objects.get(pk=user.pk)
    assert [g.name for g in again.groups.all()] == [role]
    assert (roles.role_of(again), again.is_superuser, again.is_staff) == (role, role == roles.ADMIN, True)


def test_it_knows_who_may_trade():
    assert [roles.may_trade(person(name, name)) for name in roles.ROLES] == [False, True, True]


def test_it_lets_nobody_trade_who_was_switched_off():
    user = person("asha", roles.ADMIN)
    user.is_active = False
    assert not roles.may_trade(user)


def test_it_gives_somebody_without_a_group_no_role():
    assert roles.role_of(User.objects.create_user("nobody")) == ""
