"""A disk that is full, at every point: an alert is stored or refused for now, and an order that left is found again."""

import json
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta

import pytest
import time_machine
from django.apps import apps
from django.db import OperationalError, connection

from brokers import registry
from brokers.types import Status
from tests.trading.services.broker import Wire
from trading.models import Order
from trading.services import books, dispatch, sweeper
from tvapp.lib import clock

pytestmark = pytest.mark.django_db(transaction=True)
ROOMY = 2**30


class Disk:
    """How many pages the database may have."""

    def _pragma(self, text: str) -> int:
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA {text}")
            return cursor.fetchone()[0]

    def fill(self, *, but: int = 0) -> None:
        """No page is left but so many."""
        with connection.cursor() as cursor, suppress(OperationalError):
            cursor.execute("CREATE TABLE IF NOT EXISTS ballast (bytes BLOB)")
            self._pragma(f"max_page_count = {self._pragma('page_count')}")
            while True:  # pages that were used once and are free
                cursor.execute("INSERT INTO ballast VALUES (zeroblob(4000))")
        self._pragma(f"max_page_count = {self._pragma('page_count') + but}")

    @contextmanager
    def but(self, pages: int):
        self.fill(but=pages)
        yield
        self.free()

    def free(self) -> None:
        self._pragma(f"max_page_count = {ROOMY}")


@pytest.fixture
def disk(db):
    disk = Disk()
    yield disk
    disk.free()
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS ballast")


def _rows() -> dict[str, int]:
    return {model._meta.db_table: model.objects.count() for model in apps.get_models()}


@contextmanager
def full_at(write: int):
    """The disk is full when the alert's n-th row is written."""
    left = [write]

    def no_room(execute, sql, *rest):
        left[0] -= sql.startswith(("INSERT", "UPDATE"))
        if left[0] == 0:
            raise OperationalError("database or disk is full")
        return execute(sql, *rest)

    with connection.execute_wrapper(no_room):
        yield


def _refused(client, body: str, circumstances) -> int:
    """How often it was refused until it was stored; each time it left nothing behind."""
    before = _rows()
    for refused, one in enumerate(circumstances):
        with one:
            answer = client.post("/webhook/tradingview", body, content_type="application/json")
        if answer.status_code == 201:
            assert answer.json()["duplicate"] is False and Order.objects.get().status == "QUEUED"
            return refused
        assert (answer.status_code, answer.json()["code"]) == (503, "DATABASE_BUSY")
        assert _rows() == before
    raise AssertionError("it was never stored")


def test_it_stores_an_alert_whole_or_not_at_all_whichever_row_has_no_room(desk, client):
    assert _refused(client, json.dumps(desk.body("auto")), (full_at(write) for write in range(1, 50))) >= 4


def test_it_stores_an_alert_when_there_is_room_again(desk, disk, client):
    body = json.dumps(desk.body("auto", filler="x" * 9000))
    assert _refused(client, body, (disk.but(pages) for pages in range(50))) >= 1


class Filling(Wire):
    """Accepts, and then there is no room for its answer."""

    def __init__(self, disk: Disk):
        super().__init__()
        self.disk = disk

    def place(self, request):
        ack = super().place(request)
        self.disk.fill()
        return replace(ack, raw={"status": "x" * 20_000})


def test_it_finds_an_order_again_whose_acceptance_had_no_room_on_the_disk(desk, disk, monkeypatch):
    broker = Filling(disk)
    monkeypatch.setattr(registry, "adapter_for", lambda account: broker)
    order = desk.order("auto")
    with pytest.raises(OperationalError, match="full"):
        dispatch.work(order.pk)
    order.refresh_from_db()
    assert (order.status, len(broker.placed)) == ("SENDING", 1)
    disk.free()
    broker.show(order, Status.OPEN)
    for seconds in (30, 35):
        with time_machine.travel(clock.now() + timedelta(seconds=seconds)):
            sweeper.sweep()
            books.sync_account(desk.account.pk)
    order.refresh_from_db()
    assert (order.status, order.broker_order_id, len(broker.placed)) == ("OPEN", "W1", 1)
