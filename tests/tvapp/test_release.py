"""A worker that runs other code than the desk sends nothing, says so, and falls silent until it is started again."""

import json

import pytest
from django.core.management import call_command

from tests.trading.desk import desk  # noqa: F401
from trading import tasks
from trading.models import OrderAttempt, SystemEvent
from trading.services import dispatch, settingsfile
from tvapp import release
from tvapp.models import DeskSettings, Heartbeat


@pytest.fixture
def updated(db):
    """The desk was prepared by other code than ours."""
    release.note()
    DeskSettings.objects.update(release="0.2.0-0123456789abcdef")
    DeskSettings.forget()


def test_it_sends_nothing_with_other_code_than_the_desks(desk, updated):  # noqa: F811
    order = desk.order("auto")
    assert [dispatch.work(order.pk) for _ in range(5)] == ["other code"] * 5
    order.refresh_from_db()
    assert (order.status, order.starts, OrderAttempt.objects.count()) == ("QUEUED", 0, 0)
    assert SystemEvent.objects.filter(code="OLD_CODE", level="ERROR").count() == 1


def test_it_falls_silent_so_that_the_watchdog_starts_it_again(updated):
    assert tasks.beat("now") == "other code" and not Heartbeat.objects.exists()


def test_it_sends_when_the_desk_was_prepared_with_this_code(desk, updated):  # noqa: F811
    release.note()
    assert desk.filled("auto").status == "COMPLETE" and tasks.beat("now") == "beat"


def test_it_sends_in_a_desk_that_was_never_prepared(desk):  # noqa: F811
    assert release.other() == "" and desk.filled("auto").status == "COMPLETE"


def test_it_notes_the_code_when_it_is_prepared(db, monkeypatch):
    monkeypatch.setattr("tvapp.management.commands.prepare._collect_static", lambda: None)
    call_command("prepare")
    assert DeskSettings.current().release == release.stamp()


def test_it_is_no_setting_that_is_read_back(desk, updated):  # noqa: F811
    assert "release" not in json.dumps(settingsfile.document())


def test_it_sees_every_change_of_a_module(tmp_path):
    def written(text: str) -> str:
        (tmp_path / "trading").mkdir(exist_ok=True)
        (tmp_path / "trading" / "gate.py").write_text(text)
        return release.fingerprint(tmp_path)

    assert written("a = 1") == written("a = 1") != written("a = 2")
