"""The broker's result of the day beside the desk's: equal on the real road, told when it is not."""

from datetime import timedelta
from decimal import Decimal as D

import pytest
import time_machine
from django.urls import reverse

from brokers.models import BrokerAccount, BrokerPosition, SyncState
from tests.trading.desk import make_desk
from tests.trading.money import MONDAY, at, price, trade
from trading.models import PositionDay, SystemEvent
from trading.selectors import connections
from trading.services import books, daycheck
from tvapp.lib import clock

pytestmark = pytest.mark.django_db


def test_it_counts_what_the_broker_counts(road, client):
    road.alert(order_type="MARKET", price=1500)
    road.go()
    road.alert(order_action="SELL", quantity=4, order_type="MARKET", price=1500)
    road.go()
    road.market(1487)
    books.read_all(road.account.pk)
    found = SyncState.objects.get()
    assert found.result_ours == found.result_theirs < 0 and found.result_off == 0

    PositionDay.objects.update(realised=D(100))
    for _ in range(3):
        road.time.shift(clock.seconds(61))
        books.read_all(road.account.pk)
    (event,) = SystemEvent.objects.filter(code="DAY_RESULT_DIFFERS")
    shown = connections.card(connections.accounts(road.owner).get(pk=road.account.pk)).result_text
    assert SyncState.objects.get().result_off == 3 and event.message == f"zerodha: {shown}" and "Zerodha \u2212₹" in shown
    client.force_login(road.owner)
    assert "Limits go by the desk&#x27;s; compare the trades." in client.get(reverse("desk:brokers")).content.decode()


@pytest.fixture
def carried(db):
    """Ten carried, four of them sold today: the close was 110, the last price is 112."""
    desk = make_desk()
    BrokerAccount.objects.filter(pk=desk.account.pk).update(broker="zerodha", environment="SIM")
    desk.account.refresh_from_db()
    with time_machine.travel(at(), tick=False) as moment:
        trade(desk.auto, "BUY", 10, 100, product="NRML")
        moment.move_to(at(MONDAY + timedelta(days=1)))
        price("INFY", 112, close=110)
        trade(desk.auto, "SELL", 4, 115, product="NRML")
        SyncState.objects.create(account=desk.account)
        yield BrokerPosition.objects.create(
            account=desk.account, exchange="NSE", tradingsymbol="INFY", product="NRML", net_qty=6, overnight_qty=10, sell_qty=4, sell_avg=D(115),
            ltp=D(112), close_price=D(110), realised=D(60), unrealised=D(72), at=clock.now(),
        )  # fmt: skip


def figures(row) -> tuple:
    daycheck.check(row.account, clock.now())
    found = SyncState.objects.get(account=row.account)
    return found.result_ours, found.result_theirs, found.result_off


def test_it_counts_what_was_carried_from_the_close(carried):
    assert figures(carried) == (32, 32, 0)


@pytest.mark.parametrize(("close", "off"), [("110.1", 0), ("110.11", 1)])
def test_it_takes_a_rupee_for_nothing(carried, close, off):
    BrokerPosition.objects.update(close_price=D(close))
    assert figures(carried)[2] == off


@pytest.mark.parametrize("facts", [{"net_qty": 5}, {"product": "CNC"}, {"close_price": None}, {"ltp": None}])
def test_it_compares_nothing_that_is_not_known_to_both(carried, facts):
    BrokerPosition.objects.update(**facts)
    assert figures(carried) == (None, None, 0)
