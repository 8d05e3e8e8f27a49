"""What the whole road must do beside placing: each a story from an alert to what the simulator holds."""

from datetime import timedelta

import pytest
from django.db import connection

from trading.web import story


def test_it_sends_though_the_api_secret_cannot_be_read(road):
    """Only a login needs it; an order that no key keeps from being sent must not end as unknown."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE brokers_brokeraccount SET credentials = %s WHERE id = %s", [b"no key opens this", road.account.pk])
    order_id = road.resting()
    assert [row["status"] for row in road.truth(order_id)] == ["OPEN"]


@pytest.mark.parametrize("path", ["/", "/brokers", "/queue", "/orders", "/positions", "/holdings", "/orders/{}", "/alerts"])
def test_it_shows_every_page_of_a_day_with_orders(road, client, path):
    """Pages are asked when there is something on them: a budget that was used, a position, an order on hold."""
    filled, resting = road.alert(price=1510), road.resting()
    road.bench.post("expire")
    road.alert()
    road.go(60)
    client.force_login(road.owner)
    page = client.get(path.format(filled))
    assert page.status_code == 200
    assert road.order(filled).status == "COMPLETE" and road.order(resting).status == "OPEN"


def test_it_tells_a_fill_after_the_order_was_taken_though_the_broker_cuts_its_seconds(road):
    road.time.shift(0.6)
    order_id = road.alert(price=1510)
    road.go(0, 1)
    order = road.order(order_id)
    assert order.status == "COMPLETE" and order.fills.get().at < order.alert.received_at
    titles = [node.title for node in story.timeline(order)]
    assert titles.index("Sent") < titles.index("Filled 10") < titles.index("Complete")
    assert story.summary(order)["whole"] >= timedelta(0)


def test_it_shows_the_money_at_the_broker_and_no_starting_capital(road, client):
    road.go(60)
    client.force_login(road.owner)
    page = client.get("/").content.decode()
    assert page.count("starting capital") == 1, "of the paper account"
    assert "₹10,00,00,000" in page and "available" in page
