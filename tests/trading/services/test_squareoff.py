"""Square-off on paper: whatever dies, whoever works at the same time, and however often it is asked for, no position ever turns around."""

from contextlib import suppress
from decimal import Decimal as D
from unittest import mock

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brokers.models import Quote
from brokers.paper.adapter import PaperAdapter
from tests import factories as make
from tests.trading.desk import make_desk
from trading.models import Order, SquareOff
from trading.selectors import squareoff as read
from trading.services import books, dispatch, squareoff
from tvapp.lib import clock, crash

pytestmark = pytest.mark.django_db
START = "2026-11-23T10:00:00+05:30"


class Killed(BaseException):
    """A worker that dies at a crash point."""


class Death:
    """Kills at the n-th crash point from now."""

    def __init__(self):
        self.left = 0

    def point(self, name: str) -> None:
        if not self.left:
            return
        self.left -= 1
        if not self.left:
            raise Killed(name)


MOVES = st.lists(
    st.tuples(st.sampled_from(["work", "work", "work", "second", "orders", "orders", "stop", "exit", "price"]), st.integers(0, 12)),
    min_size=4, max_size=16,
)  # fmt: skip


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(size=st.integers(1, 40), freeze=st.sampled_from([None, 7, 15]), moves=MOVES)
def test_it_never_turns_a_position_around(time_machine_at, size, freeze, moves):
    with suppress(Rollback), transaction.atomic():
        _play(time_machine_at, size, freeze, moves)
        raise Rollback


class Rollback(Exception):
    """Each example leaves the database as it was."""


def _play(time, size: int, freeze: int | None, moves) -> None:
    desk, death, seen = make_desk(), Death(), []
    desk.filled(trade={"quantity": size, "stop_loss": {"points": 20}})
    traded = Order.objects.get(source="ALERT").instrument
    type(traded).objects.filter(pk=traded.pk).update(freeze=freeze)
    _price(traded, 1500)
    rows = [squareoff.start(desk.account, actor="asha", reason="x")]
    with mock.patch.object(crash, "point", death.point):
        for what, number in moves:
            death.left = number
            with suppress(Killed):
                _move(what, number, desk, traded, rows)
            death.left = 0
            time.shift(1)
            seen.append(_net(desk))
    for _ in range(90):
        _drain(rows)
        time.shift(1)
        seen.append(_net(desk))
        if not SquareOff.objects.filter(ended_at=None).exists():
            break
    assert min(seen) >= 0, "turned around"
    assert seen[-1] == 0 and {row.state for row in SquareOff.objects.all()} == {"DONE"}, [row.note for row in SquareOff.objects.all()]


def _move(what: str, number: int, desk, traded, rows: list[SquareOff]) -> None:
    if what == "work":
        squareoff.work(rows[number % len(rows)].pk)
    elif what == "second":  # past the door that would have given the first one
        rows.append(make.SquareOffFactory(account=desk.account))
    elif what == "orders":
        for pk in Order.objects.filter(status="QUEUED").values_list("pk", flat=True):
            dispatch.work(pk)
    elif what == "stop":
        _price(traded, 1470 if number % 2 else 1520)
        books.sync_account(desk.account.pk)
    elif what == "exit":
        desk.filled(trade={"order_action": "SELL", "quantity": number + 1})
    else:
        _price(traded, 1490 + number)


def _drain(rows: list[SquareOff]) -> None:
    for row in rows:
        squareoff.push(row)
    books.sync_account(rows[0].account_id)


def _price(traded, price: int) -> None:
    Quote.objects.update_or_create(instrument=traded, defaults={"ltp": D(price), "at": clock.now(), "source": "FEED"})


def _net(desk) -> D:
    return sum((p.net_qty for p in PaperAdapter(desk.account).positions()), D(0))


@pytest.fixture
def time_machine_at(monkeypatch):
    import time_machine

    with time_machine.travel(START, tick=False) as traveller:
        yield traveller


# ---------------------------------------------------------------------------- whose position is closed
def test_it_closes_each_strategys_share_in_its_name(desk):
    desk.filled(trade={"quantity": 10})
    desk.manual.mode = "AUTO"
    desk.manual.save()
    desk.filled("manual", trade={"quantity": 4})
    row = squareoff.start(desk.account, actor="asha", reason="x")
    for _ in range(3):
        squareoff.push(row)
    made = {(o.strategy.name, o.side, o.quantity) for o in read.orders_of(row)}
    assert made == {("auto", "SELL", 10), ("manual", "SELL", 4)}


def test_it_takes_the_same_tag_for_the_same_closing_and_so_only_one_of_them(desk):
    desk.filled()
    first, second = (make.SquareOffFactory(account=desk.account, state="READING") for _ in range(2))
    numbers = read.numbers(desk.account.pk)
    with mock.patch.object(read, "numbers", return_value=numbers):  # both looked before either placed
        assert squareoff._read(first) == "" and squareoff._read(second) == ""
    assert (read.orders_of(first).count(), read.orders_of(second).count()) == (1, 0)


def test_it_leaves_what_waits_for_a_person(desk):
    waiting = desk.order("manual")
    row = squareoff.start(desk.account, actor="asha", reason="x")
    squareoff.work(row.pk)
    waiting.refresh_from_db()
    row.refresh_from_db()
    assert (waiting.status, row.state) == ("WAITING", "DONE")
