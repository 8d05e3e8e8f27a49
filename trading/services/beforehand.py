"""What an order's claim must know from its broker, asked before the claim's transaction: fresh positions and funds, and the margin it needs.

Nothing here stops an order. What could not be learned is missing or too old, and the gate says so. An exit does not wait for any of it.
"""

import logging

from brokers import registry
from brokers.base import Adapter
from brokers.errors import BrokerError
from brokers.instruments import value_of
from brokers.models import AccountState, BrokerAccount, SyncState
from brokers.types import OrderRequest, OrderType, Product, Side, Validity
from trading.models import Order
from trading.selectors import pricing
from trading.selectors.facts import DERIVATIVES
from trading.selectors.funds import Margin
from trading.services import books
from tvapp.lib import clock

logger = logging.getLogger("tvapp.beforehand")
OLD_S = 45  # the gate takes positions and funds for missing after a minute


def ask(order: Order) -> Margin | None:
    """Reads the account's positions and funds again when they are about to be too old, and the order's margin where only the broker knows it."""
    account = order.account
    adapter = registry.adapter_for(account)
    if adapter.caps.local or account.state != AccountState.READY or order.reduce_only:
        return None
    if _old(account):
        books.freshen(account, adapter)
    return _margin(order, adapter) if order.instrument and order.instrument.kind in DERIVATIVES else None


def _old(account: BrokerAccount) -> bool:
    row = SyncState.objects.filter(account=account).first()
    return row is None or row.positions_at is None or clock.now() - row.positions_at > clock.seconds(OLD_S)


def _margin(order: Order, adapter: Adapter) -> Margin | None:
    """The broker's own figure for the whole order; None when it gave none."""
    at = clock.now()
    offer = pricing.offer(order, at)
    request = OrderRequest(
        ref=order.tag, instrument=value_of(order.instrument), side=Side(order.side), quantity=order.quantity,
        order_type=OrderType(offer.order_type), product=Product(order.product), price=offer.price or pricing.reference(order, at),
        trigger_price=offer.trigger_price, validity=Validity(order.validity), ref_price=order.ref_price,
    )  # fmt: skip
    try:
        return Margin(adapter.margin(request), at)
    except BrokerError as exc:
        logger.warning("the margin of order %s is not known: %s", order.pk, exc, extra={"order_id": order.pk})
        return None
