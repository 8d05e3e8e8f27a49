"""What the whole road must do beside placing: each a story from an alert to what the simulator holds."""

from django.db import connection


def test_it_sends_though_the_api_secret_cannot_be_read(road):
    """Only a login needs it; an order that no key keeps from being sent must not end as unknown."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE brokers_brokeraccount SET credentials = %s WHERE id = %s", [b"no key opens this", road.account.pk])
    order_id = road.resting()
    assert [row["status"] for row in road.truth(order_id)] == ["OPEN"]
