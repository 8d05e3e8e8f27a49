"""An order's story: every line in its place, the time between them, and no secret in the raw data."""

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import factories as make
from tests.trading.desk import desk
from tests.trading.web.pages import HTMX, me, text, waiting
from trading.models import Order
from trading.services import dispatch, orders
from trading.web import story
from tvapp.lib import clock

__all__ = ["desk", "me"]


@pytest.fixture
def told(desk):
    """An order executed by hand and filled on paper."""
    order = desk.order("manual")
    orders.approve(Order.objects.select_related("account", "strategy", "instrument", "owner").get(pk=order.pk), actor="asha")
    dispatch.work(order.pk)
    return Order.objects.get(pk=order.pk)


def test_it_tells_the_whole_way_in_order(told):
    nodes = story.timeline(told)
    titles = [n.title for n in nodes]
    assert titles[:4] == ["Alert received", "Waits for a decision", "Released to the worker", "Sending"] and "Complete" in titles and "Filled 10" in titles
    assert [n.at for n in nodes] == sorted(n.at for n in nodes) and nodes[0].gap is None and all(n.gap is not None for n in nodes[1:])


def test_it_hangs_the_request_and_the_rules_under_the_sending_line(told):
    sending = next(n for n in story.timeline(told) if n.title == "Sending")
    assert sending.decision and sending.raw[0][0] == "Request, attempt 1" and '"quantity": "10"' in sending.raw[0][1]


def test_it_hides_the_secret_of_the_raw_alert(told):
    title, body = story.timeline(told)[0].raw[0]
    assert title == "Raw alert" and "installation-secret-1" not in body and "hidden" in body


@settings(max_examples=100)
@given(st.recursive(st.text(max_size=5), lambda inner: st.dictionaries(st.sampled_from(["secret", "api_key", "Token", "a", "b"]), inner, max_size=3)))
def test_it_leaves_nothing_under_a_secret_name(data):
    def bad(value):
        return isinstance(value, dict) and any((k in ("secret", "api_key", "Token") and v != story.HIDDEN) or bad(v) for k, v in value.items())

    assert not bad(story.redacted(data))


def test_it_shows_where_the_time_went_within_the_bar(told):
    bars = story.waterfall(told)
    assert {"Receive and parse", "Waiting for you", "Queue and risk check", "Accepted by broker", "Seen by status sync"} <= {b.label for b in bars}
    assert all(float(b.x[:-1]) >= 0 and float(b.x[:-1]) + float(b.width[:-1]) <= 100.01 for b in bars)


def test_it_gives_a_wait_of_hours_no_more_room_than_one_of_seconds(me):
    order, at = waiting(me), clock.now() - timedelta(hours=5)
    for state, after in (("WAITING", 0), ("QUEUED", 4 * 3600)):
        make.OrderEventFactory(order=order, to_status=state, at=at + timedelta(seconds=after))
    bars = story.waterfall(order)
    assert next(b for b in bars if b.who == "gap").width == "16.00%"


def test_it_measures_the_way_with_and_without_the_wait_of_a_person(told):
    times = story.summary(told)
    assert times["whole"] >= times["own"] >= timedelta(0) and times["whole"] - times["human"] == times["own"]


def test_it_gives_a_cancel_call_a_line_of_its_own(me):
    order = waiting(me, status="OPEN")
    make.OrderAttemptFactory(order=order, kind="CANCEL", outcome="ACCEPTED", answer={"access_token": "s3cret", "ok": True})
    node = story.timeline(order)[-1]
    assert node.title == "Cancel sent to the broker" and node.chip == "Accepted" and "s3cret" not in node.raw[1][1]


def test_it_tells_the_story_on_the_page(told, client):
    client.force_login(told.owner)
    page = text(client.get(f"/orders/{told.pk}"))
    for said in ("Why it is complete", "Where the time went", "Raw alert", "Fills", "1 trade", "Order value", told.tag, f"A-{told.alert_id}"):
        assert said in page, said
    assert "installation-secret-1" not in page


def test_it_compares_the_average_with_the_alerts_price(me):
    order = waiting(me, status="COMPLETE", filled_quantity=10, average_price=Decimal("1499.50"), ref_price=Decimal(1500))
    assert "₹0.50 <small>a unit better" in text(me.client.get(f"/orders/{order.pk}"))
    Order.objects.filter(pk=order.pk).update(side="SELL")
    assert "₹0.50 <small>a unit worse" in text(me.client.get(f"/orders/{order.pk}"))
    Order.objects.filter(pk=order.pk).update(source="BRACKET", parent=waiting(me))
    assert "Against alert price" not in text(me.client.get(f"/orders/{order.pk}"))


def test_it_shows_the_risk_check_of_now_while_it_waits(me):
    order = waiting(me)
    assert "Risk check now" in text(me.client.get(f"/orders/{order.pk}"))


def test_it_says_unknown_as_unknown(me):
    order = waiting(me, status="UNKNOWN", why="The order may still be live.")
    page = text(me.client.get(f"/orders/{order.pk}"))
    assert "why-review" in page and "unknown <small>of 10" in page


def test_it_answers_a_poll_only_when_the_order_changed(me):
    order = waiting(me, status="OPEN")
    assert me.client.get(f"/orders/{order.pk}?v=1", headers=HTMX).status_code == 204
    assert 'hx-trigger="every 2s"' in text(me.client.get(f"/orders/{order.pk}?v=0", headers=HTMX))


def test_it_stops_asking_once_an_order_has_ended(me):
    order = waiting(me, status="COMPLETE")
    assert 'hx-trigger="every 2s"' not in text(me.client.get(f"/orders/{order.pk}"))
