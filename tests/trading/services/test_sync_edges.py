"""One bad answer costs one look, not the pass; what a book cannot show is not absent."""


import pytest
import time_machine

from brokers.errors import AuthExpired, Rejected, Unavailable
from brokers.models import BrokerAccount, SyncState
from brokers.types import Status
from tests.trading.services.test_books import after, again, remote, report, sent, shows, unknown, wire  # noqa: F401 - fixtures
from trading.models import Order, SystemEvent
from trading.services import books, gtt, resolve
from tvapp.lib.errors import AppError


@pytest.mark.parametrize(("error", "word", "state"), [(Unavailable, "unread", "READY"), (AuthExpired, "session ended", "DISCONNECTED")])
def test_it_notes_that_triggers_could_not_be_read_before_a_stranger_is_judged(desk, wire, remote, monkeypatch, error, word, state):  # noqa: F811
    def broken(*args):
        raise error("OTHER", "maintenance")

    monkeypatch.setattr(gtt, "claim_strangers", broken)
    shows(wire, report(broker_id="S1"))
    assert books.sync_account(remote.pk) == word
    assert (BrokerAccount.objects.get().state, SyncState.objects.get().error) == (state, "The triggers could not be read: maintenance")
    assert not Order.objects.filter(source="EXTERNAL").exists()


def test_it_takes_the_refused_row_of_a_refused_order_for_no_news(desk, wire, remote):  # noqa: F811
    wire.answers = [Rejected("INSUFFICIENT_FUNDS", "no money")]
    order = desk.filled("auto", trade={"order_type": "LIMIT"})
    shows(wire, report(order.tag, status=Status.REJECTED))
    for _ in range(3):
        books.sync_account(remote.pk)
    assert (again(order).status, SystemEvent.objects.filter(code="FOUND_AT_BROKER").count()) == ("FAILED", 0)
    assert not Order.objects.filter(source="EXTERNAL").exists()


def test_it_takes_the_book_of_a_new_day_for_no_proof_about_yesterday(desk, wire, remote):  # noqa: F811
    with time_machine.travel("2026-11-23T11:00:00+05:30", tick=False):
        order = unknown(desk, wire)
    with time_machine.travel("2026-11-24T09:20:00+05:30", tick=False) as time:
        for _ in range(8):
            books.sync_account(remote.pk)
            time.shift(60)
        assert again(order).status == "NEEDS_REVIEW"
        books.sync_account(remote.pk)
        with pytest.raises(AppError, match="day"):
            resolve.resolve(again(order), "SEND_NOW", actor="asha")
        assert again(order).status == "NEEDS_REVIEW"


def test_it_does_not_end_an_order_that_a_trigger_placed_today(desk, wire, remote):  # noqa: F811
    with time_machine.travel("2026-11-20T10:00:00+05:30", tick=False):
        order = sent(desk)
    with time_machine.travel("2026-11-24T09:20:00+05:30", tick=False) as time:
        row = again(order)
        row.attempts.update(kind="GTT")
        gtt.orders.note(row, "TRIGGERED", "fired", actor="gtt", gtt=True, broker_order_id="W1")
        for _ in range(4):
            time.shift(5)
            books.sync_account(remote.pk)
    assert (again(order).status, SystemEvent.objects.filter(code="ORDER_MISSING").count()) == ("SENT", 1)
