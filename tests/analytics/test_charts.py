"""Figures are plain dicts that plotly itself accepts, with harmless labels."""

import json
from datetime import timedelta
from decimal import Decimal

import plotly.graph_objects as go
import pytest

from analytics import charts
from tests import factories as make
from trading.domain.orderfsm import State
from trading.selectors.queue import AGES, Heap, age_bucket, heaps
from tvapp.lib import clock
from tvapp.people import roles

HOSTILE = '<a href="javascript:alert(1)">pay</a>'
HEAPS = [Heap(3, "ORB 15", "1", Decimal("99334.20"), 1), Heap(3, "ORB 15", "old", Decimal("97534.80"), 2), Heap(None, HOSTILE, "5", Decimal(0), 1)]
FIGURES = {
    "orders by state": charts.orders_by_state([(State.WAITING, 3), (State.COMPLETE, 9), (State.REJECTED_RISK, 2)]),
    "no orders": charts.orders_by_state([]),
    "waiting": charts.waiting_value(HEAPS),
    "nothing waits": charts.waiting_value([]),
}


@pytest.mark.parametrize("name", FIGURES)
def test_it_is_a_figure_plotly_accepts(name):
    assert len(go.Figure(FIGURES[name]).data) == len(FIGURES[name]["data"])


@pytest.mark.parametrize("name", FIGURES)
def test_it_survives_the_way_through_json_unchanged(name):
    assert json.loads(json.dumps(FIGURES[name])) == FIGURES[name]


def test_plotly_would_refuse_a_wrong_figure():
    broken = {"data": [{**FIGURES["waiting"]["data"][0], "orientation": "sideways"}], "layout": {}}
    with pytest.raises(ValueError, match="orientation"):
        go.Figure(broken)


def test_it_escapes_names_that_people_chose():
    assert HOSTILE not in json.dumps(FIGURES["waiting"]) and "&lt;a href" in json.dumps(FIGURES["waiting"])


def test_it_tells_a_click_which_rows_are_meant():
    bars = {tuple(c) for trace in FIGURES["waiting"]["data"] for c in trace["customdata"]}
    assert bars == {(3, "1"), (3, "old"), ("", "5")}


def test_it_sums_what_waits_by_strategy_and_age(db):
    now = clock.now()
    strategy = make.StrategyFactory()
    for minutes in (0, 0, 20):
        make.OrderFactory(strategy=strategy, received_at=now - timedelta(minutes=minutes))
    found = heaps(strategy.orders.all(), now)
    assert [(h.age, h.orders, h.value) for h in found] == [("1", 2, Decimal(30_000)), ("old", 1, Decimal(15_000))]


@pytest.mark.parametrize(("minutes", "bucket"), [(0, "1"), (1, "5"), (5, "15"), (15, "old"), (600, "old")])
def test_it_puts_every_age_into_one_bucket(minutes, bucket):
    assert age_bucket(timedelta(minutes=minutes)) == bucket and bucket in AGES


@pytest.mark.parametrize("url", ["/charts/waiting", "/charts/orders-today"])
def test_it_serves_figures_of_own_rows_only(db, client, url):
    user = make.UserFactory()
    roles.assign(user, roles.TRADER)
    make.OrderFactory(strategy=make.StrategyFactory(name="Foreign"))
    client.force_login(user)
    answer = client.get(url)
    assert answer.status_code == 200 and "Foreign" not in answer.content.decode()
    go.Figure(answer.json())
