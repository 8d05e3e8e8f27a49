"""Signs of life: who is gone, who beat, what the one word is."""

import os
import subprocess
from datetime import timedelta

import pytest
from django.db import DatabaseError
from django_q.models import OrmQ

from trading.models import Order
from trading.services import health, sweeper
from tvapp.lib import clock
from tvapp.models import Heartbeat

pytestmark = pytest.mark.django_db


def beats(**ages) -> None:
    for name, age in ages.items():
        Heartbeat.objects.create(name=name, at=clock.now() - timedelta(seconds=age), process="here:1:1")


def test_it_knows_itself_and_another_host_as_not_gone():
    assert not health.is_gone(health.process())
    assert not health.is_gone("elsewhere:1:1")


def test_it_knows_an_ended_process_as_gone_also_before_its_parent_noticed():
    child = subprocess.Popen(["true"])
    name = health._process(child.pid)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert health.is_gone(name)
    child.wait()
    assert health.is_gone(name)


def test_it_is_not_fooled_by_a_reused_pid():
    host, pid, start = health.process().rsplit(":", 2)
    assert health.is_gone(f"{host}:{pid}:{int(start) - 1}")


def test_it_writes_a_beat_as_a_row_and_as_a_file(settings, tmp_path):
    settings.HOME = tmp_path
    health.beat("orders")
    assert Heartbeat.objects.get(name="orders").process == health.process()
    assert (tmp_path / "run" / "orders.beat").exists()


def test_it_is_down_and_sends_nothing_when_its_data_directory_is_gone(desk, settings, tmp_path):
    beats(orders=1, sweeper=1)
    kept, settings.HOME = settings.HOME, tmp_path / "gone"
    report, order = health.report(), desk.filled("auto")
    assert (report["status"], report["checks"]["disk"]["text"]) == ("down", "The data directory is gone or can only be read.")
    assert (order.status, order.status_reason) == ("HELD", "DISK_LOW")
    settings.HOME = kept
    assert health.report()["status"] == "ok"


def test_it_has_each_machine_beat_for_its_own_watchdog(monkeypatch, tmp_path):
    for name in ("one", "two", "one", "two"):
        monkeypatch.setenv("TVAPP_HOME", str(tmp_path / name))
        sweeper._beat()
    assert len(set(OrmQ.objects.values_list("key", flat=True))) == OrmQ.objects.count() == 2


def test_it_goes_on_beating_when_the_clock_is_set_back(time_machine):
    time_machine.move_to("2026-03-02T04:00:00Z")
    sweeper._beat()
    time_machine.move_to("2026-03-02T03:55:00Z")
    sweeper._beat()
    assert OrmQ.objects.count() == 2 and Heartbeat.objects.get(name="sweeper").at.minute == 55


@pytest.mark.parametrize(("ages", "status"), [({"orders": 1, "sweeper": 1}, "ok"), ({"orders": 31, "sweeper": 1}, "down"), ({"sweeper": 1}, "down"), ({"orders": 1}, "degraded")])
def test_it_says_in_one_word_how_the_desk_is(ages, status):
    beats(**ages)
    assert health.report()["status"] == status


def test_it_is_down_when_an_order_waits_for_a_worker_too_long(desk):
    beats(orders=1, sweeper=1)
    order = desk.order("auto")
    Order.objects.filter(pk=order.pk).update(queued_at=clock.now() - timedelta(seconds=31))
    assert health.report()["checks"]["queue"]["ok"] is False
    Order.objects.filter(pk=order.pk).update(due_at=clock.now() + timedelta(seconds=60))
    assert health.report()["status"] == "ok"


def test_it_is_down_when_the_disk_is_full(monkeypatch):
    beats(orders=1, sweeper=1)
    monkeypatch.setattr(health, "free_disk_mb", lambda: 5)
    assert health.report()["status"] == "down"


def test_it_is_down_and_says_so_when_the_database_does_not_answer(monkeypatch):
    def broken():
        raise DatabaseError

    monkeypatch.setattr(health, "_workers", broken)
    assert health.report() == {"status": "down", "checks": {"database": {"ok": False, "text": "The database does not answer."}}}
