"""The change of an order that is live at its broker (`orders.ask_change`): sent with a row of its own, done only when the broker shows it.

A change names the values to reach, so asking twice cannot do it twice; still it is looked up first and repeated only when it provably did not leave.
"""

import logging
from collections.abc import Mapping
from decimal import Decimal

from django.db.models import F

from brokers import registry
from brokers.base import Adapter, last_look
from brokers.errors import BrokerError, Unavailable
from brokers.types import OrderReport
from risk.models import TradingMode
from trading.models import AttemptKind, AttemptOutcome, Order, OrderAttempt, Pending
from trading.selectors.snapshot import scopes
from trading.selectors.stops import state_of
from trading.services import asks, halt, orders, sync
from tvapp.lib import clock

logger = logging.getLogger("tvapp.changes")
ACTOR = "desk"
GIVE_UP_S = 60


def work(order: Order) -> str:
    """Sends the change that was asked for, once, and sees whether the broker shows it. Safe to call twice."""
    adapter = registry.adapter_for(order.account)
    last = asks.last(order, AttemptKind.MODIFY)
    if asks.unheard(order, last, "CHANGE_ASKED"):
        if fault := _fault(order, adapter, last):
            _end(order, "CHANGE_REFUSED", f"Not changed: {fault}. The old values count.")
            return "not changed"
        last = _send(order, adapter)
    try:
        return _look(order, adapter, last)
    except BrokerError as exc:
        logger.warning("order %s could not be read after its change: %s", order.pk, exc, extra={"order_id": order.pk})
        return "change not seen yet"


def _fault(order: Order, adapter: Adapter, last: OrderAttempt | None) -> str:
    """Why it must not leave, or not any more; empty when it may."""
    most = adapter.caps.modifications
    if most is not None and order.modifications >= most:
        return f"the broker lets one order be changed {most} times, and this one was"
    if not only_less(order, order.pending_changes) and (why := _stopped(order)):
        return why
    wish = asks.wished_at(order, "CHANGE_ASKED")
    if wish and clock.now() - wish > clock.seconds(GIVE_UP_S):
        return f"it could not be sent for {GIVE_UP_S} s ({last.message or 'no answer'})" if last else "nobody sent it in time"
    return ""


def only_less(order: Order, wanted: Mapping[str, Decimal | str]) -> bool:
    """Whether a change does nothing but lower the quantity: that passes in every state, as a cancel does."""
    return set(wanted) == {"quantity"} and Decimal(wanted["quantity"]) <= (order.quantity or 0)


def _stopped(order: Order) -> str:
    """Read right before the change leaves. What only closes is changed while entries are stopped, too."""
    stop = state_of(scopes(order))
    closes = order.reduce_only or (order.decision is not None and order.decision.order_class == "EXIT")
    if stop is None or (stop.state != TradingMode.HALTED and closes):
        bar = halt.no_real_money(order, closes=closes)
        return bar.why if bar else ""
    return "trading is stopped" if stop.state == TradingMode.HALTED else "only changes that lower the risk leave now"


def _stand(order: Order) -> None:
    """Asked by the adapter right before the change leaves."""
    if not only_less(order, order.pending_changes) and (why := _stopped(order)):
        raise Unavailable("STATE_HALTED", why, sent=False)


def _send(order: Order, adapter: Adapter) -> OrderAttempt:
    wanted = {name: Decimal(value) for name, value in order.pending_changes.items()}
    payload = {"change": order.broker_order_id, "variety": order.variety, **order.pending_changes}
    with last_look(lambda: _stand(order)):
        attempt = asks.ask(order, AttemptKind.MODIFY, payload, lambda: adapter.modify(sync.key_of(order), **wanted))
    if attempt.outcome not in asks.UNSENT:
        Order.objects.filter(pk=order.pk).update(modifications=F("modifications") + 1)
    return attempt


def _look(order: Order, adapter: Adapter, attempt: OrderAttempt | None) -> str:
    """Raises BrokerError when the order cannot be read: then the next bell looks again."""
    found = adapter.get_order(sync.key_of(order))
    if _shows(order, found):
        _end(order, "CHANGED", f"{order.account.get_broker_display()} changed {_said(order)}.", done=True)
    elif attempt and attempt.outcome == AttemptOutcome.REFUSED:
        _end(order, "CHANGE_REFUSED", f"The broker did not change it: {attempt.message.rstrip('.')}. The old values count.")
    elif attempt and attempt.outcome not in asks.UNSENT and clock.now() - attempt.started_at > clock.seconds(GIVE_UP_S):
        _end(order, "CHANGE_REFUSED", "The broker does not show the change. The old values count.")
    sync.pull(order)
    return "change asked"


def _shows(order: Order, found: OrderReport) -> bool:
    return all(getattr(found, name) == Decimal(value) for name, value in order.pending_changes.items())


def _said(order: Order) -> str:
    return ", ".join(f"{name.replace('_', ' ')} to {value}" for name, value in order.pending_changes.items())


def _end(order: Order, kind: str, text: str, *, done: bool = False) -> None:
    """The change is settled. Somebody being first means that the order moved: the next look ends it."""
    values = {name: Decimal(value) for name, value in order.pending_changes.items()} if done else {}
    orders.note(order, kind, text, actor=ACTOR, pending_action=Pending.NONE, pending_changes={}, **values)
