"""The whole push: an order fills at the simulated Kite while the desk listens, and what it missed while the stream was down."""

import pytest

from trading.models import Order
from trading.services.streams import Streams

pytestmark = pytest.mark.django_db


@pytest.fixture
def listening(road):
    streams = Streams()
    assert streams.keep() == [road.account.pk]
    assert streams.hear(10) == 1  # opened
    road.go(5)
    yield streams
    streams.close()


def test_it_reads_a_fill_as_soon_as_the_stream_tells_of_it(road, listening):
    order_id = road.resting()
    road.time.shift(4)  # no read was rung for in the last seconds, and no sweeper comes by
    road.market(1489)
    assert listening.hear(10) == 1
    assert Order.objects.get(pk=order_id).status == "OPEN"  # a word alone moves nothing
    road.work_off()
    assert Order.objects.get(pk=order_id).status == "COMPLETE"


def test_it_reads_what_it_missed_after_the_connection_broke(road, listening):
    order_id = road.resting()
    for link in list(road.bench.server._sockets):
        link.close()
    road.market(1489)
    assert listening.hear(10) >= 1  # opened again, whatever was told meanwhile
    road.go(3)
    assert Order.objects.get(pk=order_id).status == "COMPLETE"


def test_it_gives_up_a_dead_login_and_listens_again_after_the_next(road, listening):
    road.bench.post("expire")
    for link in list(road.bench.server._sockets):
        link.close()
    assert listening.hear(10) == 1
    road.go(3)
    assert listening.keep() == []
    road.account.refresh_from_db()
    assert road.account.state == "DISCONNECTED"
    road.log_in()
    assert listening.keep() == [road.account.pk] and listening.hear(10) == 1
