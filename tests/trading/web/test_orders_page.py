"""Lists of orders and alerts: every filter, keyset pages, state in the URL."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests import factories as make
from tests.trading.web.pages import me, text, waiting
from trading.models import Order
from tvapp.lib import clock

__all__ = ["me"]


def ids_in(answer) -> list[int]:
    return [row.pk for row in answer.context["page"].rows]


@pytest.fixture
def two(me):
    """A plain order, and one that differs in everything a filter can ask for."""
    other = make.StrategyFactory(owner=me.user, name="Other")
    plain = waiting(me, created_at=clock.now() - timedelta(days=3))
    odd = make.OrderFactory(
        strategy=other, side="SELL", status="COMPLETE", mode="AUTO", instrument=make.InstrumentFactory(exchange="BSE", tradingsymbol="SBIN"), broker_order_id="B-77"
    )  # fmt: skip
    return plain, odd


@pytest.mark.parametrize("query", [
    "status=COMPLETE", "side=SELL", "mode=AUTO", "symbol=SBIN", "symbol=bse:sbin", "q=sb", "q=B-77", "strategy={odd.strategy_id}", "account={odd.account_id}",
    "q={odd.tag}", "q={odd.correlation_id}", "q={odd.pk}", "q=o-{odd.pk}", "from={today}", "from={today}&to={today}", "status=COMPLETE&side=SELL&q=SBIN",
])  # fmt: skip
def test_it_finds_the_one_order_a_filter_means(me, two, query):
    today = clock.trading_day(clock.now()).isoformat()
    assert ids_in(me.client.get("/orders?" + query.format(odd=two[1], today=today))) == [two[1].pk]


@pytest.mark.parametrize("query", ["symbol=NSE:SBIN", "status=OPEN", "q=nothing", "to=2020-01-01", "before=1"])
def test_it_finds_nothing_and_says_so(me, two, query):
    answer = me.client.get(f"/orders?{query}")
    assert ids_in(answer) == [] and "No order fits this filter" in text(answer)


def test_it_takes_a_bad_filter_for_none(me, two):
    query = "status=UP&side=1&strategy=x&account=999999999999999999999&from=yesterday&to=2026-99-99&before=abc&q=%00"
    assert ids_in(me.client.get(f"/orders?{query}")) == [two[1].pk, two[0].pk]


def test_it_pages_by_key_and_misses_nothing(me):
    orders = make.OrderFactory.create_batch(120, strategy=me.strategy, instrument=None)
    seen, url = [], "/orders?side=BUY"
    while url:
        answer = me.client.get(url)
        seen += ids_in(answer)
        older = answer.context["page"].older
        url = f"/orders?side=BUY&before={older}" if older else ""
    assert seen == sorted((o.pk for o in orders), reverse=True)


def test_it_keeps_the_filters_in_the_link_to_older_rows(me):
    make.OrderFactory.create_batch(51, strategy=me.strategy, instrument=None)
    answer = me.client.get("/orders?side=BUY&q=&status=WAITING")
    assert f'href="?side=BUY&amp;status=WAITING&amp;before={answer.context["page"].older}"' in text(answer)


def test_it_asks_the_database_the_same_few_questions_for_any_number_of_rows(me):
    counts = []
    for _ in range(2):
        make.OrderFactory.create_batch(10, strategy=me.strategy)
        with CaptureQueriesContext(connection, ) as caught:
            me.client.get("/orders")
        counts.append(len(caught))
        assert not any("OFFSET" in q["sql"] for q in caught)
    assert counts[0] == counts[1] < 15


# ---------------------------------------------------------------------------- alerts
@pytest.mark.parametrize("query", ["outcome=REJECTED", "symbol=SBIN", "symbol=bse:sbin", "strategy={other.pk}", "from={today}"])
def test_it_filters_alerts(me, query):
    other = make.StrategyFactory(owner=me.user)
    make.AlertFactory(strategy=me.strategy, received_at=clock.now() - timedelta(days=2))
    wanted = make.AlertFactory(strategy=other, symbol="BSE:SBIN", outcome="REJECTED", message="It names no price.", duplicate_count=3)
    today = clock.trading_day(clock.now()).isoformat()
    assert ids_in(me.client.get("/alerts?" + query.format(other=other, today=today))) == [wanted.pk]


def test_it_tells_what_became_of_an_alert(me):
    alert = make.AlertFactory(strategy=me.strategy, outcome="IGNORED", code="NO_ACTION", message="The position is already there.", duplicate_count=3)
    order = waiting(me, alert=alert)
    page = text(me.client.get(f"/alerts/{alert.pk}"))
    assert "The position is already there." in page and "NO_ACTION" in page and f"/orders/{order.pk}" in page and "3 <small>times" in page


def test_it_counts_repeats_in_the_list(me):
    make.AlertFactory(strategy=me.strategy, duplicate_count=41)
    assert ">41</td>" in text(me.client.get("/alerts"))


def test_it_cancels_all_slices_of_an_order_from_its_page(me):
    first = waiting(me, status="OPEN", quantity=25)
    slices = [waiting(me, status=status, quantity=25, parent=first, role="SLICE", source="SLICE") for status in ("OPEN", "QUEUED", "SENDING", "COMPLETE")]
    assert "Cancel all 4 open slices" in text(me.client.get(f"/orders/{slices[0].pk}"))
    said = me.client.post(f"/orders/{slices[0].pk}/cancel-slices", {"page": "order"}, follow=True)
    assert "Cancel asked for 3 of 4 open slices. 1 is being sent or looked up right now" in text(said)
    rows = Order.objects.filter(pk__in=[first.pk, *(o.pk for o in slices)]).order_by("pk").values_list("status", "pending_action")
    assert list(rows) == [("OPEN", "CANCEL"), ("OPEN", "CANCEL"), ("CANCELLED", ""), ("SENDING", ""), ("COMPLETE", "")]
