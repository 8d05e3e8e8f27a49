"""What bin/doctor and bin/demo say about a desk that is not well."""

import io
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection

from tvapp import home, supervisor
from tvapp.lib import clock
from tvapp.management.commands import doctor
from tvapp.models import DeskSettings, Heartbeat

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def silent_port(settings):
    settings.PORT = 9  # nothing answers there
    home.ensure()


@pytest.fixture
def up(monkeypatch):
    monkeypatch.setattr(supervisor, "health", lambda host, port: "ok")
    for name in ("orders", "sweeper"):
        Heartbeat.objects.create(name=name, at=clock.now(), process="here:1:1")


def _lines(command: str = "doctor") -> tuple[list[str], str]:
    """What it wrote, and the sentence it ended with (empty: all is well)."""
    out = io.StringIO()
    try:
        call_command(command, stdout=out, no_color=True)
    except CommandError as wrong:
        return out.getvalue().splitlines(), str(wrong)
    return out.getvalue().splitlines(), ""


def test_it_finds_nothing_wrong_with_a_desk_that_runs(up):
    lines, end = _lines()
    assert end == ""
    assert len(lines) == len(doctor.CHECKS)
    assert all(line.startswith("ok") for line in lines)


def test_it_says_that_nothing_runs():
    lines, end = _lines()
    wrong = [line.split()[1] for line in lines if line.startswith("WRONG")]
    assert wrong == ["port", "worker", "sweeper"]
    assert end == f"3 of {len(doctor.CHECKS)} are not as they should be."


def test_it_asks_a_machine_that_only_works_for_no_port(monkeypatch):
    monkeypatch.setenv("TVAPP_ROLE", "workers")
    monkeypatch.setenv("DATABASE_URL", "postgres://desk")
    for word, fine in (("ok", True), ("down", False)):
        monkeypatch.setattr(supervisor, "pulse", lambda word=word: word)
        assert doctor.port()[0] is fine
    monkeypatch.setenv("TVAPP_ROLE", "both")
    assert doctor.port() == (False, "TVAPP_ROLE is 'both': use all, web or workers.")


def test_it_takes_no_pause_of_a_broker_for_a_clock_that_was_set_back(up):
    Heartbeat.objects.create(name="book 1", at=clock.now() + timedelta(seconds=50), process="here:1:1")
    assert doctor.clock_and_zone()[0]


def test_it_sees_a_clock_that_was_set_back(up):
    Heartbeat.objects.update(at=clock.now() + timedelta(minutes=5))
    fine, text = doctor.clock_and_zone()
    assert not fine
    assert "before the newest record" in text


def test_it_sees_a_disk_without_room(up):
    DeskSettings(min_free_disk_mb=10**9).save()
    fine, text = doctor.data_directory()
    assert (fine, "1000000000 MB are needed" in text) == (False, True)


def test_it_sees_keys_that_others_can_read(up):
    (home.path() / ".env").chmod(0o644)
    fine, text = doctor.keys()
    home.ensure()
    assert (fine, "chmod 600" in text) == (False, True)
    assert doctor.keys()[0]


def test_it_sees_a_database_that_does_not_answer(up, monkeypatch):
    def silent(*args):
        raise OperationalError("unable to open database file")

    monkeypatch.setattr(connection, "cursor", silent)
    assert doctor.database() == (False, "sqlite does not answer: unable to open database file.")
    assert doctor._beat("worker")() == (False, "The database does not say.")


def test_it_shows_the_demo_only_where_a_desk_runs():
    assert "start bin/run" in _lines("demo")[1]


def test_it_names_the_demo_strategy_that_is_missing(up):
    assert _lines("demo")[1] == "There is no strategy demo-auto: manage.py prepare makes it."
