"""The cancel of an order that is live at its broker: asked once for each wish, and how the order ends is read, never assumed."""

import logging

from brokers import registry
from brokers.errors import BrokerError, RejectCode
from trading.models import AttemptKind, AttemptOutcome, Order, OrderAttempt
from trading.services import asks, gtt, halt, sync
from tvapp.lib import clock

logger = logging.getLogger("tvapp.cancels")
AGAIN_AFTER_S = 15


def work(order: Order) -> str:
    """Asks the broker when this wish has not reached it yet, then reads. Asked again too soon it would refuse a cancel that is under way."""
    if order.gtt and not order.broker_order_id:
        return gtt.delete_for(order, registry.adapter_for(order.account))
    last = asks.last(order, AttemptKind.CANCEL)
    if asks.unheard(order, last, "CANCEL_ASKED") or (last and _led_to_nothing(order, last)):
        adapter, payload = registry.adapter_for(order.account), {"cancel": order.broker_order_id, "variety": order.variety}
        last = asks.ask(order, AttemptKind.CANCEL, payload, lambda: adapter.cancel(sync.key_of(order)))
    try:
        sync.pull(order)
    except BrokerError as exc:
        logger.warning("order %s could not be read after its cancel: %s", order.pk, exc, extra={"order_id": order.pk})
        return "not read yet"
    if last and last.outcome == AttemptOutcome.REFUSED and not _insists(order, last):
        sync.cancel_settled(order.pk)
    return "cancel asked"


def _insists(order: Order, last: OrderAttempt) -> bool:
    """While trading is stopped, "it is being processed" is no answer: the order is asked for again until the broker shows its end."""
    busy = last.outcome == AttemptOutcome.REFUSED and last.answer.get("code") == RejectCode.ORDER_BUSY
    return busy and halt.halted(order) is not None


def _led_to_nothing(order: Order, last: OrderAttempt) -> bool:
    heard = last.outcome in (AttemptOutcome.ACCEPTED, AttemptOutcome.UNKNOWN, AttemptOutcome.PENDING) or _insists(order, last)
    return heard and clock.now() - last.started_at > clock.seconds(AGAIN_AFTER_S)
