"""Sizing by money from the webhook to the order."""

from decimal import Decimal as D

import pytest

from brokers.models import BrokerAccount, Instrument, Quote
from trading.models import Order, Strategy

TRADE = {"price": 500, "stop_loss": 490}


def ordered(desk, trade=None, **strategy) -> Order:
    Strategy.objects.filter(pk=desk.manual.pk).update(**strategy)
    return desk.order("manual", trade={**TRADE, **(trade or {})})


@pytest.mark.parametrize(("method", "value", "quantity"), [("CAPITAL", 20000, 40), ("PCT_CAPITAL", 10, 20), ("RISK", 1, 100)])
def test_it_sizes_an_order_by_the_strategys_money(desk, method, value, quantity):
    order = ordered(desk, sizing=method, sizing_value=value, capital=100000)
    assert (order.quantity, order.status_reason) == (quantity, "")
    assert f"makes {quantity}" in order.why


def test_it_counts_from_the_accounts_capital_when_the_strategy_has_none(desk):
    BrokerAccount.objects.filter(pk=desk.account.pk).update(capital=50000)
    assert ordered(desk, sizing="PCT_CAPITAL", sizing_value=10).quantity == 10


def test_it_counts_with_the_markets_price_when_the_alert_has_none(desk):
    Quote.objects.create(instrument=Instrument.objects.create(exchange="NSE", tradingsymbol="INFY"), ltp=D(250))
    assert ordered(desk, trade={"price": None, "stop_loss": None}, sizing="CAPITAL", sizing_value=20000).quantity == 80


def test_it_waits_for_a_person_when_the_money_buys_no_lot(desk):
    order = ordered(desk, sizing="CAPITAL", sizing_value=100)
    assert (order.status, order.status_reason, order.quantity) == ("WAITING", "QUANTITY_UNKNOWN", None)
    assert "less than one lot" in order.why
