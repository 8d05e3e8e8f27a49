"""Preparing a desk: everything is there after the first run, and nothing changes in the next ones."""

import os
import re
import sqlite3
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.utils.module_loading import import_string

from brokers.models import BrokerAccount
from risk.models import RiskSettings
from tests.tvapp.people import person
from trading.models import Strategy
from trading.services import strategies
from tvapp.management.commands import prepare
from tvapp.people import roles

PASSWORD = "check-Passw0rd-77"


@pytest.fixture
def run(db, settings, tmp_path, monkeypatch):
    """Runs the command on the test database with a data directory of its own; returns what it printed."""
    (tmp_path / "run").mkdir()
    settings.HOME, settings.STATIC_ROOT = tmp_path, tmp_path / "static"
    for name in ("TVAPP_ADMIN_USERNAME", "TVAPP_ADMIN_PASSWORD", "TVAPP_ADMIN_EMAIL"):
        monkeypatch.delenv(name, raising=False)

    def run() -> str:
        said = StringIO()
        call_command("prepare", stdout=said)
        return said.getvalue()

    return run


def _rows() -> dict[str, list]:
    models = [User, BrokerAccount, Strategy, RiskSettings, apps.get_model("django_q", "Schedule")]
    return {model.__name__: list(model.objects.order_by("pk").values()) for model in models}


def test_it_makes_the_first_admin_and_says_the_password_once(run):
    said = run()
    name, password = re.fullmatch(r"First admin: (\S+) / (\S+)\n", said).groups()
    admin = User.objects.get()
    assert (admin.username, name, roles.role_of(admin)) == ("admin", "admin", "admin")
    assert admin.check_password(password) and len(password) >= 12
    assert run() == ""


def test_it_takes_the_first_admin_from_the_environment_and_says_nothing(run, monkeypatch):
    for name, value in {"USERNAME": "asha", "PASSWORD": PASSWORD, "EMAIL": "asha@example.org"}.items():
        monkeypatch.setenv(f"TVAPP_ADMIN_{name}", value)
    assert run() == ""
    admin = User.objects.get()
    assert (admin.username, admin.email, admin.check_password(PASSWORD)) == ("asha", "asha@example.org", True)


def test_it_refuses_a_weak_password_where_strangers_can_come(run, settings, monkeypatch):
    settings.PRODUCTION = True
    monkeypatch.setenv("TVAPP_ADMIN_PASSWORD", "12345")
    with pytest.raises(CommandError, match="too short"):
        run()
    assert not User.objects.exists()


def test_it_warns_of_a_weak_password_at_home(run, monkeypatch, capsys):
    monkeypatch.setenv("TVAPP_ADMIN_PASSWORD", "12345")
    run()
    assert "is weak" in capsys.readouterr().err
    assert User.objects.get().check_password("12345")


def test_it_makes_no_admin_where_there_are_people(run):
    person("meera", roles.ADMIN)
    run()
    assert [user.username for user in User.objects.all()] == ["meera"]


def test_it_makes_a_paper_account_two_strategies_and_the_global_limits_only(run):
    run()
    account = BrokerAccount.objects.get()
    assert (account.name, account.environment, account.owner.username) == ("paper", "PAPER", "admin")
    assert {s.name: (s.mode, s.account, s.enabled) for s in Strategy.objects.all()} == {
        "demo-auto": ("AUTO", account, True),
        "demo-manual": ("MANUAL", account, True),
    }
    assert [(row.scope, row.max_quantity_per_order, row.max_order_value) for row in RiskSettings.objects.all()] == [("GLOBAL", 500, 100000)]


def test_it_changes_nothing_the_second_time(run):
    run()
    before = _rows()
    run()
    assert _rows() == before


def test_it_brings_no_deleted_demo_back(run):
    run()
    strategies.archive(Strategy.objects.get(name="demo-auto"), "admin")
    run()
    assert [s.name for s in Strategy.objects.standing()] == ["demo-manual"]


def test_it_keeps_to_its_list_of_schedules(run):
    run()
    model = apps.get_model("django_q", "Schedule")
    assert {(s.func, s.schedule_type, s.minutes, s.cluster) for s in model.objects.all()} == {
        ("trading.tasks.sweep_once", "I", 1, "batch"),
        ("trading.tasks.prune", "D", None, "batch"),
        ("trading.tasks.load_instruments", "I", 15, "batch"),
    }
    assert model.objects.get(name="instruments").next_run.minute % 15 == 0
    model.objects.filter(name="sweep").update(func="os.system")
    run()
    assert model.objects.get(name="sweep").func == "trading.tasks.sweep_once"


@pytest.mark.parametrize("path", [func for func, *_ in prepare.SCHEDULES.values()])
def test_it_schedules_only_functions_that_exist(path):
    assert callable(import_string(path))


def test_it_collects_static_files_again_only_when_a_source_changed(run, settings, tmp_path):
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "one.css").write_text("a{}")
    settings.STATICFILES_DIRS = [sources]
    run()
    collected = Path(settings.STATIC_ROOT) / "one.css"
    collected.write_text("kept")
    run()
    assert collected.read_text() == "kept"
    (sources / "two.css").write_text("b{}")
    run()
    assert (Path(settings.STATIC_ROOT) / "two.css").exists()


def test_it_refuses_a_setting_that_would_hurt(run, settings):
    settings.TRADINGVIEW_WEBHOOK_SECRET = "short"
    with pytest.raises(CommandError, match="shorter than 12"):
        run()
    assert not User.objects.exists()


COMMAND = [sys.executable, str(Path(prepare.__file__).parents[3] / "manage.py"), "prepare"]


@pytest.mark.process
def test_it_prepares_a_fresh_home_twice_at_once_and_then_quickly(tmp_path):
    env = {k: v for k, v in os.environ.items() if not k.startswith("TVAPP_ADMIN")} | {"TVAPP_HOME": str(tmp_path / "home")}
    both = [subprocess.Popen(COMMAND, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    passwords = re.findall(r"First admin: admin / (\S+)", said[0][0] + said[1][0])
    assert len(passwords) == 1
    stored = b"".join(file.read_bytes() for file in (tmp_path / "home").rglob("*") if file.is_file() and "static/" not in str(file))
    assert passwords[0].encode() not in stored
    began = time.monotonic()
    assert _again(env) == ""
    assert time.monotonic() - began < 20  # of it nearly all is the load of the machine
    _forget_a_migration(tmp_path / "home" / "tvapp.sqlite3")
    _again(env)
    assert _applied(tmp_path / "home" / "tvapp.sqlite3") == 1


def _again(env: dict[str, str]) -> str:
    return subprocess.run(COMMAND, env=env, capture_output=True, text=True, check=True, timeout=60).stdout


A_LEAF = "app = 'admin' AND name = '0003_logentry_add_action_flag_choices'"  # nothing builds on it, and doing it again changes nothing


def _forget_a_migration(file: Path) -> None:
    with sqlite3.connect(file) as database:
        database.execute(f"DELETE FROM django_migrations WHERE {A_LEAF}")


def _applied(file: Path) -> int:
    with sqlite3.connect(file) as database:
        return database.execute(f"SELECT COUNT(*) FROM django_migrations WHERE {A_LEAF}").fetchone()[0]
