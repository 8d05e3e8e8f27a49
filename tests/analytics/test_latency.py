"""How long orders took: each stage from the times that are stored, for the person they belong to, on the page and in the API."""

from datetime import timedelta

import pytest

from analytics import latency
from tests import factories as make
from tests.trading.desk import desk  # noqa: F401
from trading.models import Fill, Order, OrderAttempt
from tvapp.lib import clock


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


@pytest.fixture
def timed(desk):  # noqa: F811
    """A filled automatic order with known moments: 10 ms to disk, 20 ms to leave, 300 ms at the broker, 2 s until its fill was seen."""
    order = desk.filled()
    at = clock.now()
    order.alert.received_at = at
    order.alert.save()
    Order.objects.filter(pk=order.pk).update(created_at=at + seconds(0.01), queued_at=at + seconds(0.01))
    OrderAttempt.objects.filter(order=order).update(started_at=at + seconds(0.03), finished_at=at + seconds(0.33))
    Fill.objects.filter(order=order).update(seen_at=at + seconds(2.33))
    return order


def test_it_measures_each_stage_of_an_order(timed, desk):  # noqa: F811
    found = latency.of(desk.owner, {})
    assert {stage.name: stage.worst for stage in found.stages} == {
        "stored": seconds(0.01), "sent": seconds(0.02), "answered": seconds(0.3), "filled": seconds(2), "whole": seconds(0.03),
    }  # fmt: skip
    assert (found.count, found.cut, found.slowest) == (1, False, [(timed, seconds(0.03))])


def test_it_counts_a_person_out_who_decided_in_between(timed, desk):  # noqa: F811
    Order.objects.update(mode="MANUAL", queued_at=timed.alert.received_at + seconds(0.02))
    found = {stage.name: stage.worst for stage in latency.of(desk.owner, {}).stages}
    assert "whole" not in found and found["sent"] == seconds(0.01)


@pytest.mark.parametrize(("held", "no", "missing"), [(True, 1, {"whole"}), (False, 2, {"sent", "whole"})])
def test_it_calls_neither_a_hold_nor_a_failed_try_the_desks_time(timed, desk, held, no, missing):  # noqa: F811
    if held:
        Order.objects.update(queued_at=timed.alert.received_at + seconds(0.02))
        make.OrderEventFactory(order=timed, to_status="HELD", seq=99)
    OrderAttempt.objects.update(no=no)
    assert set(latency.STAGES) - {stage.name for stage in latency.of(desk.owner, {}).stages} == missing


def test_it_has_nothing_to_say_before_the_first_order(desk):  # noqa: F811
    assert latency.of(desk.owner, {}) == latency.Latency(0, False, [], [])


@pytest.mark.parametrize(("share", "rank"), [(50, 50), (95, 95), (99, 99), (100, 100), (1, 1)])
def test_it_takes_the_nearest_rank(share, rank):
    assert latency.percentile([seconds(n) for n in range(1, 101)], share) == seconds(rank)
    assert latency.percentile([seconds(7)], share) == seconds(7)


def test_it_filters_by_day_strategy_and_paper(timed, desk):  # noqa: F811
    today = clock.trading_day(clock.now())

    def count(**values) -> int:
        return latency.of(desk.owner, values).count

    assert count(**{"from": today}) == count(strategy=desk.auto, account=desk.account) == 1
    assert count(to=today - timedelta(days=1)) == count(strategy=desk.manual) == count(live="1") == 0


def test_it_shows_page_and_api_the_same_and_nobody_elses(timed, desk, client, django_user_model):  # noqa: F811
    client.force_login(desk.owner)
    page = client.get("/latency").content.decode()
    assert "300 ms" in page and f"/orders/{timed.pk}" in page
    said = client.get("/api/analytics/latency").json()
    assert {stage["name"]: stage["p50_ms"] for stage in said["stages"]}["answered"] == 300
    assert said["slowest"] == [{"order_id": timed.pk, "ms": 30}]
    client.force_login(django_user_model.objects.create_user("somebody", password="x"))
    assert client.get("/api/analytics/latency").json() == {"orders": 0, "cut": False, "stages": [], "slowest": []}
    assert "Nothing was sent yet" in client.get("/latency").content.decode()


@pytest.mark.parametrize(("query", "code"), [("colour=red", "UNKNOWN_FILTER"), ("from=soon", "INVALID_VALUE"), ("include_simulated=maybe", "INVALID_VALUE"),
                                             ("strategy=999", "INVALID_VALUE")])  # fmt: skip
def test_it_refuses_a_filter_it_cannot_read_by_name(desk, client, query, code):  # noqa: F811
    client.force_login(desk.owner)
    answer = client.get(f"/api/analytics/latency?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, code)
