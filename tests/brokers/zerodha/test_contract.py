"""The contract of every broker, with the official client against the simulator."""

import pytest

from brokers.types import OrderType
from tests.brokers.contract import AdapterContract

pytestmark = pytest.mark.django_db


class TestZerodhaAdapter(AdapterContract):
    KEPT_AS = {OrderType.MARKET: OrderType.LIMIT, OrderType.SL_M: OrderType.SL}
