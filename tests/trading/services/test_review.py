"""Corners of the road where an order could be lost, doubled or spoken of wrongly: each was a mistake once."""

from decimal import Decimal as D

import pytest

from brokers.models import Instrument
from tests.trading.desk import make_desk
from trading.models import Alert, Order, Strategy
from tvapp.lib.errors import AppError

pytestmark = pytest.mark.django_db


def strategy(desk, name: str, **fields) -> Strategy:
    return Strategy.objects.create(owner=desk.owner, name=name, account=desk.account, mode="AUTO", **fields)


# -------------------------------------------------------------------------- alerts in
def test_it_reads_the_alert_as_the_strategy_says_whichever_secret_named_it(desk):
    strategy(desk, "target", use_target=True, default_exchange="BSE")
    order = desk.order("target", symbol="INFY", position_size=4)
    assert (order.quantity, order.exchange) == (4, "BSE")


def test_it_never_sends_for_somebody_else_of_the_same_strategy_name(desk):
    ravi = make_desk("ravi")
    Strategy.objects.filter(pk=ravi.auto.pk).update(name="ravis")
    order = desk.order("auto", st_user_id="ravi")
    assert (order.strategy, order.status) == (None, "WAITING")


def test_it_takes_a_chart_users_name_for_no_person_of_the_desk(desk):
    assert desk.order("auto", st_user_id="tv_user_77").strategy == desk.auto


@pytest.mark.parametrize("size", ["0.123456789", "1e-12"])
def test_it_refuses_a_target_finer_than_a_quantity_can_be(desk, size):
    strategy(desk, "target", use_target=True)
    Instrument.objects.create(exchange="NSE", tradingsymbol="FINE", lot=D("0.00000001"))
    with pytest.raises(AppError) as refused:
        desk.send("target", symbol="NSE:FINE", position_size=size)
    assert (refused.value.status, refused.value.code) == (400, "BAD_NUMBER") and Alert.objects.get().outcome == "REJECTED"


def test_it_refuses_more_digits_than_the_desk_can_keep(desk):
    with pytest.raises(AppError) as refused:
        desk.send(trade={"quantity": "123456789.12345678"})
    assert refused.value.code == "BAD_NUMBER"


def test_it_lets_a_quantity_wait_that_no_order_can_have(desk):
    strategy(desk, "lots", sizing="LOTS", sizing_value=10**12)
    Instrument.objects.create(exchange="NSE", tradingsymbol="WIDE", lot=7500)
    order = desk.order("lots", symbol="NSE:WIDE")
    assert (order.status, order.status_reason, order.quantity) == ("WAITING", "QUANTITY_UNKNOWN", None)
    assert Order.objects.count() == 1
