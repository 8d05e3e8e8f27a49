"""An order above the freeze quantity: cut in one transaction, each slice an order with its own tag, gate and end."""

from decimal import Decimal as D

import pytest

from brokers.errors import Ambiguous, RateLimited, Rejected
from brokers.models import Instrument
from risk.models import RiskSettings
from tests.trading.desk import wide_limits
from tests.trading.services.test_dispatch import again
from tests.trading.services.test_refusals import wire
from trading.models import Order, Position
from trading.services import dispatch, halt, orders, slicing

pytestmark = pytest.mark.django_db


@pytest.fixture
def frozen(desk):
    """25 of INFY are what the exchange takes at once; 250 would be ten slices."""
    desk.order("manual")
    Instrument.objects.update(freeze=D(25), lot=D(5))
    Order.objects.all().delete()
    wide_limits()
    return desk


def bought(desk, quantity, strategy="auto", **trade):
    return desk.filled(strategy, trade={"quantity": quantity, **trade})


def work_all() -> None:
    for order in Order.objects.filter(status="QUEUED").order_by("id"):
        dispatch.work(order.pk)


def test_it_sends_a_large_order_in_slices_that_add_up(frozen, wire):
    broker = wire()
    first = bought(frozen, 60)
    others = list(first.children.order_by("id"))
    assert (first.quantity, first.requested_quantity, [o.quantity for o in others]) == (10, 60, [25, 25])
    assert {(o.source, o.role, o.status, o.alert_id) for o in others} == {("SLICE", "SLICE", "QUEUED", first.alert_id)}
    work_all()
    assert [r.quantity for r in broker.placed] == [10, 25, 25] and len({r.ref for r in broker.placed}) == 3
    assert "60 is more than the exchange takes in one order (25): sent as 10 + 25 + 25." in first.events.get(to_status="SENDING").text


def test_it_commits_all_slices_before_the_first_leaves(frozen, wire, monkeypatch):
    broker, seen = wire(), []
    place = broker.place
    monkeypatch.setattr(broker, "place", lambda r: (seen.append(sorted(Order.objects.values_list("status", "quantity"))), place(r))[1])
    bought(frozen, 60)
    assert seen[0] == [("QUEUED", 25), ("QUEUED", 25), ("SENDING", 10)]


def test_it_makes_no_slice_when_the_claim_breaks_off(frozen, wire, monkeypatch):
    wire()
    monkeypatch.setattr(slicing.crash, "point", lambda name: (_ for _ in ()).throw(RuntimeError(name)) if name == "slicing.made" else None)
    order = frozen.order("auto", trade={"quantity": 60})
    with pytest.raises(RuntimeError):
        dispatch.work(order.pk)
    assert Order.objects.values_list("status", "quantity").get() == ("QUEUED", 60)


def test_it_judges_the_whole_and_not_only_the_slices(frozen, wire):
    broker = wire()
    RiskSettings.objects.update(max_quantity_per_order=D(50))
    assert (bought(frozen, 60).status_reason, broker.placed) == ("QTY_MAX", [])
    RiskSettings.objects.update(max_quantity_per_order=D(1000), max_order_value=D(1500 * 60))
    assert bought(frozen, 60, price=1400, order_type="LIMIT").status == "SENT"
    work_all()
    assert sum(r.quantity for r in broker.placed) == 60


def test_it_refuses_more_than_ten_slices(frozen, wire):
    broker = wire()
    assert bought(frozen, 250).status == "SENT"
    refused = bought(frozen, 255)
    assert (refused.status, refused.status_reason, len(broker.placed)) == ("REJECTED_RISK", "QTY_FREEZE", 1)


def test_it_asks_about_an_exit_of_more_than_ten_slices(frozen):
    bought(frozen, 250)
    bought(frozen, 10)
    work_all()
    held = bought(frozen, 260, order_action="SELL")
    assert (held.status, held.status_reason, held.mode) == ("WAITING", "QTY_FREEZE", "MANUAL")


def test_it_does_not_send_a_slice_again_or_the_whole_after_a_wait(frozen, wire):
    broker = wire(RateLimited("TOO_MANY_REQUESTS", "slow down", retry_after=0))
    first = bought(frozen, 60)
    assert (first.status, first.quantity, first.children.count()) == ("QUEUED", 10, 2)
    Order.objects.update(due_at=None)
    work_all()
    assert sorted(r.quantity for r in broker.placed) == [10, 10, 25, 25] and Order.objects.count() == 3
    assert {o.status for o in Order.objects.all()} == {"SENT"}


def test_it_keeps_the_other_slices_from_leaving_when_the_first_is_refused_or_lost(frozen, wire):
    broker = wire(Rejected("INSUFFICIENT_FUNDS", "no funds"))
    first = bought(frozen, 60)
    work_all()
    assert first.status == "FAILED" and {o.status_reason for o in first.children.all()} == {"REFUSAL_OPEN"}
    type(frozen.auto).objects.update(refusal={})
    broker.answers = [Ambiguous("OTHER", "timed out")]
    lost = bought(frozen, 60)
    work_all()
    assert lost.status == "UNKNOWN" and {o.status_reason for o in lost.children.all()} == {"ORDER_UNRESOLVED"}


def test_it_copies_only_the_slice_that_failed(frozen, wire):
    wire(Rejected("OTHER", "no"))
    first = bought(frozen, 60)
    assert orders.resubmit(again(first), actor="asha").quantity == 10


def test_it_parks_every_slice_with_the_kill_switch(frozen, wire):
    wire()
    first = bought(frozen, 60)
    halt.kill("GLOBAL", reason="test", actor="asha", cancel_open=False)
    assert {o.status for o in first.children.all()} == {"HELD"}


def test_it_fills_all_slices_on_paper_and_closes_them_again(frozen):
    bought(frozen, 60)
    work_all()
    assert Position.objects.get().quantity == 60
    bought(frozen, 60, order_action="SELL")
    work_all()
    assert Position.objects.get().quantity == 0 and set(Order.objects.values_list("status", flat=True)) == {"COMPLETE"}


def test_it_closes_an_odd_position_completely(frozen, wire):
    """The odd rest goes first, under the decision about the whole; a slice of whole lots needs no exception."""
    Instrument.objects.update(lot=D(1))
    bought(frozen, 58)
    work_all()
    Instrument.objects.update(lot=D(5))
    broker = wire()
    bought(frozen, 58, order_action="SELL")
    work_all()
    assert [r.quantity for r in broker.placed] == [8, 25, 25]


def test_it_shows_its_slices_with_their_sums(frozen, client):
    first = bought(frozen, 60)
    work_all()
    client.force_login(frozen.owner)
    for order in (first, first.children.first()):
        page = client.get(f"/orders/{order.pk}").content.decode()
        assert "Slices" in page and page.count('href="/orders/') >= 2
        assert '<td class="num">60</td><td class="num">60</td>' in page


__all__ = ["wire"]
