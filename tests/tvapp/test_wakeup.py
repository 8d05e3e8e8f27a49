"""The queue's bell: rung by a commit, heard at once, never in the way."""

import os
import subprocess
import sys
import threading
import time
from datetime import timedelta

import pytest
from django.db import OperationalError, transaction
from django.utils import timezone
from django_q.models import OrmQ

from tvapp import home, wakeup

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def desk(tmp_path, monkeypatch):
    monkeypatch.setenv("TVAPP_HOME", str(tmp_path))
    monkeypatch.setattr(wakeup, "POLL", 0.05)
    monkeypatch.setattr(wakeup, "AFTER_TROUBLE", 0.01)
    return home.ensure()


@pytest.fixture
def broker():
    return wakeup.Broker("orders")


def _heard(bell) -> bool:
    begun = time.monotonic()
    wakeup.wait(bell, 5)
    return time.monotonic() - begun < 4


def test_it_hands_out_the_oldest_task_first(broker):
    first, second = broker.enqueue("a"), broker.enqueue("b")
    OrmQ.objects.filter(pk=first).update(lock=timezone.now() - timedelta(seconds=1))
    assert [broker.dequeue(), broker.dequeue()] == [[(first, "a")], [(second, "b")]]


def test_it_hands_out_a_task_once_until_its_retry_is_due(broker):
    broker.enqueue("a")
    assert broker.dequeue()
    assert broker.dequeue() is None
    OrmQ.objects.update(lock=timezone.now())
    assert broker.dequeue()


def test_it_takes_up_at_once_what_a_dead_cluster_had_taken(broker):
    pk = broker.enqueue("a")
    assert broker.dequeue()
    assert wakeup.Broker("orders").dequeue() == [(pk, "a")]


def test_it_lets_a_long_task_of_another_queue_be(broker):
    wakeup.Broker("batch").enqueue("a")
    assert wakeup.Broker("batch").dequeue()
    assert wakeup.Broker("batch").dequeue() is None


def test_it_leaves_the_tasks_of_other_queues_alone(broker):
    wakeup.Broker("batch").enqueue("a")
    assert broker.dequeue() is None


def test_it_gives_a_task_to_only_one_of_two_clusters(broker):
    pk = broker.enqueue("a")
    seen = OrmQ.objects.get(pk=pk).lock
    now = timezone.now()
    assert [broker._lock(pk, seen, now), broker._lock(pk, seen, now)] == [1, 0]


def test_it_takes_a_task_at_once_although_the_clock_was_set_back(broker, time_machine):
    time_machine.move_to("2026-03-02T04:00:00Z")
    broker.enqueue("a")
    time_machine.move_to("2026-03-02T03:55:00Z")
    assert broker.dequeue()


def test_it_rings_after_the_commit_and_not_before(broker):
    bell = wakeup.listen("orders")
    with transaction.atomic():
        broker.enqueue("a")
        bell.setblocking(False)
        with pytest.raises(BlockingIOError):
            bell.recv(1)
    assert _heard(bell)


def test_it_keeps_neither_task_nor_ring_of_a_rollback(broker):
    bell = wakeup.listen("orders")
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        broker.enqueue("a")
        raise ZeroDivisionError
    bell.setblocking(False)
    with pytest.raises(BlockingIOError):
        bell.recv(1)
    assert not OrmQ.objects.exists()


def test_it_wakes_a_waiting_cluster(broker, monkeypatch):
    bell = wakeup.listen("orders")
    threading.Timer(0.05, wakeup.ring, ["orders"]).start()
    assert _heard(bell)


def test_it_counts_piled_up_rings_as_one(broker):
    bell = wakeup.listen("orders")
    for _ in range(50):
        wakeup.ring("orders")
    wakeup.wait(bell, 5)
    with pytest.raises(BlockingIOError):
        bell.recv(1)


def test_it_rings_without_harm_where_nobody_listens(broker, desk):
    wakeup.ring("nobody")
    (desk / "run").rmdir()
    wakeup.ring("nobody")
    assert broker.enqueue("a")


def test_it_replaces_the_bell_a_killed_cluster_left(broker):
    old = wakeup.listen("orders")
    old.close()
    bell = wakeup.listen("orders")
    wakeup.ring("orders")
    assert _heard(bell)


def test_it_rings_through_a_path_too_long_for_a_socket(tmp_path, monkeypatch):
    monkeypatch.setenv("TVAPP_HOME", str(tmp_path / ("long" * 30)))
    home.ensure()
    bell = wakeup.listen("orders")
    wakeup.ring("orders")
    assert _heard(bell)
    assert os.listdir(home.run_dir()) == ["orders.sock"]


def test_it_only_polls_where_no_bell_can_hang(broker, desk):
    (desk / "run").rmdir()
    pk = broker.enqueue("a")
    assert broker.dequeue() == [(pk, "a")]
    assert broker.dequeue() is None


def test_it_survives_a_busy_database(broker, monkeypatch):
    def busy():
        raise OperationalError("database is locked")

    pk = broker.enqueue("a")
    with monkeypatch.context() as during:
        during.setattr(broker, "get_connection", busy)
        assert broker.dequeue() is None
    assert broker.dequeue() == [(pk, "a")]


def test_it_costs_two_queries_to_take_a_task(broker, django_assert_num_queries):
    broker.dequeue()
    broker.enqueue("a")
    with django_assert_num_queries(2):
        broker.dequeue()


def test_it_imports_the_tasks_before_the_workers_are_forked():
    code = "import django, sys; django.setup(); from tvapp.wakeup import Broker; Broker('orders').ping(); print('trading.tasks' in sys.modules)"
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tvapp.settings"}
    done = subprocess.run([sys.executable, "-c", code], cwd=home.ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout == "True\n"


def test_it_takes_what_is_meant_for_this_machine_and_leaves_what_is_meant_for_another(broker, monkeypatch, tmp_path):
    bell = wakeup.listen("orders")
    pk = wakeup.Broker(wakeup.here("orders")).enqueue("a")
    assert _heard(bell)
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TVAPP_HOME", str(tmp_path / "elsewhere"))
        home.ensure()
        assert wakeup.Broker("orders").dequeue() is None
    assert broker.dequeue() == [(pk, "a")]
