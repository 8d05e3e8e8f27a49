"""What needs a person: the list on the dashboard and the queue, and sending on what is on hold."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django_q.models import OrmQ

from tests import factories as make
from tests.trading.desk import wide_limits
from tests.trading.web.pages import me, text, waiting
from trading.models import Order, OrderEvent
from trading.selectors import stranded
from trading.services import dispatch, orders
from tvapp.lib import clock
from tvapp.lib.errors import AppError
from tvapp.people import roles

pytestmark = pytest.mark.django_db
HELD = {"status": "HELD", "why": "On hold: it could not be sent for 300 s."}


def held(me, reason: str = "RETRY_EXHAUSTED", **changes) -> Order:
    return waiting(me, **{**HELD, "status_reason": reason, **changes})


def over_api(me, order: Order, **headers: str):
    return me.client.post(f"/api/orders/{order.pk}/requeue", content_type="application/json", headers=headers)


def disconnected(me) -> Order:
    me.strategy.account.state = "DISCONNECTED"
    me.strategy.account.save()
    return held(me, "ACCOUNT_DISCONNECTED")


def test_it_shows_on_both_pages_what_only_a_person_can_send_on(me):
    assert all("Needs attention" not in text(me.client.get(page)) for page in ("/", "/queue"))
    order, review = held(me, attempt=2), waiting(me, status="NEEDS_REVIEW", why="It cannot be proven.")
    make.OrderAttemptFactory(order=order, no=1, message="Connection refused", outcome="NOT_SENT")
    itself = held(me, "SESSION_CLOSED", why="On hold: the market is closed.")
    for page in (text(me.client.get("/")), text(me.client.get("/queue"))):
        needs = page[page.index('id="needs-h"') :].partition("</section>")[0]
        assert "2 calls" in needs and "Last error: Connection refused" in needs and "300 s" in needs
        assert f'action="/orders/{order.pk}/requeue"' in needs and f'action="/orders/{order.pk}/cancel"' in needs
        assert f'href="/orders/{review.pk}#rv-h"' in needs and f"/orders/{review.pk}/cancel" not in needs
        assert f"/orders/{itself.pk}" not in needs and "the market is closed" in page


def test_it_sends_a_requeued_order_through_the_whole_gate_as_one_a_person_decided_on(me):
    wide_limits()
    long_ago = clock.now() - timedelta(minutes=10)  # older than an automatic order may be
    order, dead = held(me, starts=3, mode="AUTO", received_at=long_ago), held(me, received_at=clock.now() - timedelta(days=2))
    for row in (order, dead):
        answer = me.client.post(f"/orders/{row.pk}/requeue", {"page": "dashboard", "version": row.version})
        assert answer["Location"] == "/"
    row = Order.objects.get(pk=order.pk)
    assert (row.status, row.starts, row.status_reason, OrmQ.objects.filter(key="orders").count()) == ("QUEUED", 0, "", 2)
    assert OrderEvent.objects.get(order=order, to_status="QUEUED").actor == me.user.username
    for each in (order, dead):
        dispatch.work(each.pk)
    sent, stale = Order.objects.get(pk=order.pk), Order.objects.get(pk=dead.pk)
    assert (sent.status, sent.mode, sent.decision.verdict, stale.status) == ("OPEN", "MANUAL", "ALLOW", "STALE"), sent.why


def test_it_tells_the_slower_of_two_people_that_somebody_was_first(me):
    order = held(me)
    late, key = Order.objects.get(pk=order.pk), {"Idempotency-Key": "k1"}
    assert over_api(me, order, **key).status_code == 202
    again = over_api(me, order)
    assert (again.status_code, again.json()["code"]) == (409, "ORDER_NOT_HELD") and "Somebody else was first" in again.json()["message"]
    assert over_api(me, order, **key).status_code == 202
    with pytest.raises(AppError) as lost:
        orders.requeue(late, actor="ben")
    assert (lost.value.status, lost.value.code) == (409, "ORDER_NOT_HELD")
    assert OrderEvent.objects.filter(order=order).count() == 1


def test_it_offers_the_login_while_the_account_is_not_connected_and_the_requeue_after_it(me):
    order = disconnected(me)
    page = text(me.client.get("/queue"))
    assert f'aria-label="Log in to {order.account.name}"' in page and "/requeue" not in page
    assert over_api(me, order).json()["code"] == "NOT_REQUEUED"
    order.account.state = "READY"
    order.account.save()
    assert f'action="/orders/{order.pk}/requeue"' in text(me.client.get(f"/orders/{order.pk}"))
    assert over_api(me, order).json()["status"] == "QUEUED"


def test_it_asks_for_no_second_login_while_the_books_are_read(me):
    wide_limits()
    order = disconnected(me)
    order.account.state = "RECOVERING"
    order.account.save()
    assert "Log in to" not in text(me.client.get("/queue"))
    assert over_api(me, order).status_code == 202
    dispatch.work(order.pk)
    row = Order.objects.get(pk=order.pk)
    assert (row.status, row.status_reason) == ("HELD", "ACCOUNT_RECOVERING")


@pytest.mark.parametrize(("reason", "source", "said"), [
    ("FOUND_AT_BROKER", "ALERT", "with its tag already"), ("RETRY_EXHAUSTED", "SQUARE_OFF", "square-off"), ("STATE_HALTED", "ALERT", "goes on by itself"),
])  # fmt: skip
def test_it_sends_nothing_on_that_would_be_doubled_or_goes_on_by_itself(me, reason, source, said):
    order = held(me, reason, source=source)
    answer = over_api(me, order)
    assert (answer.status_code, Order.objects.get(pk=order.pk).status) == (409, "HELD") and said in answer.json()["message"]
    assert f"/orders/{order.pk}/requeue" not in text(me.client.get("/queue"))


def test_it_shows_twenty_and_how_many_more_and_asks_no_more_for_many(me):
    held(me)
    with CaptureQueriesContext(connection) as few:
        assert stranded.standing(me.user).count == 1
    for _ in range(22):
        held(me)
    with CaptureQueriesContext(connection) as many:
        found = stranded.standing(me.user)
    assert (len(found.rows), found.more, len(few), len(many)) == (20, 3, 1, 2)
    assert found.rows[0].order.pk > found.rows[-1].order.pk and "3 more" in text(me.client.get("/"))


def test_it_shows_nobody_elses_and_lets_a_viewer_only_look(me):
    foreign, order = make.OrderFactory(**HELD, status_reason="POISON"), held(me, "POISON", starts=4)
    roles.assign(me.user, roles.VIEWER)
    page = text(me.client.get("/queue"))
    assert f"/orders/{order.pk}" in page and "3 starts" in page and f"/orders/{foreign.pk}" not in page and "/requeue" not in page
    assert me.client.post(f"/orders/{order.pk}/requeue").status_code == 403
    assert over_api(me, order).status_code == 403


__all__ = ["me"]
