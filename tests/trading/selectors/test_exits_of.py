"""Every fill asks which exits stand near it: that must not cost more with each order there ever was."""

import pytest
from django.db import connection

from tests import factories as make
from trading.models import Source
from trading.selectors import brackets

pytestmark = pytest.mark.django_db


def test_it_finds_them_oldest_first_without_walking_the_history():
    entry = make.OrderFactory()
    same = {name: getattr(entry, name) for name in ("owner", "strategy", "account", "instrument", "product")}
    exits = [make.OrderFactory(**same, source=Source.BRACKET, status=status) for status in ("OPEN", "QUEUED", "COMPLETE")]
    assert list(brackets.exits_of(entry)) == exits[:2]
    plan = brackets.exits_of(entry).explain() if connection.vendor == "sqlite" else "order_account_instrument"  # a few rows: PostgreSQL reads them all
    assert "order_account_instrument" in plan
