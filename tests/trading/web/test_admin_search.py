"""The settings pages look for an order as the orders page does."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.tvapp.people import browser, person
from trading.models import Order
from tvapp.people import roles

pytestmark = pytest.mark.django_db
ORDERS = "/admin/trading/order/"


def test_it_looks_for_an_order_by_one_thing_and_by_its_index(desk):
    desk.order()
    order, client = Order.objects.get(), browser(person("boss", roles.ADMIN))
    for text in ("", order.tag, order.correlation_id, f" {order.pk} ", order.tradingsymbol[:2].lower()):
        assert f"/{order.pk}/change/" in client.get(ORDERS, {"q": text}).content.decode(), text
    with CaptureQueriesContext(connection) as asked:
        assert f"/{order.pk}/change/" not in client.get(ORDERS, {"q": "paaaaaaaaaaaaaaaa"}).content.decode()
    assert any('"tag" = ' in q["sql"] and "LIKE" not in q["sql"] for q in asked.captured_queries)
