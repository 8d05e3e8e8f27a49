"""Triggers (GTT) for pages and API, and whether an order can be one."""

from collections.abc import Mapping

from django.db.models import QuerySet

from brokers import registry
from trading.models import Gtt, Order, OrderType
from trading.selectors.brackets import TRIGGERS_ON


def of_user(user) -> QuerySet[Gtt]:
    return Gtt.objects.for_user(user).select_related("account", "order", "instrument")


def last_of(order: Order) -> Gtt | None:
    """The trigger of an order, the latest of them."""
    return order.gtts.order_by("-id").first() if order.gtt else None


def fault(order: Order, changes: Mapping[str, object] | None = None) -> str:
    """Why this order, with these changes, cannot be sent as a trigger; empty when it can, or when it is not to be one."""
    now = {name: getattr(order, name) for name in ("gtt", "order_type", "product", "exchange")} | dict(changes or {})
    if not now["gtt"]:
        return ""
    if not registry.caps_for(order.account.broker).gtt:
        return f"{order.account.get_broker_display()} keeps no triggers (GTT)."
    if now["order_type"] != OrderType.LIMIT:
        return "A trigger (GTT) places a limit order: make it LIMIT with a price."
    if TRIGGERS_ON.get(now["exchange"]) != now["product"]:
        return f"A trigger (GTT) is for CNC on NSE and BSE and for NRML on NFO and BFO, not for {now['product']} on {now['exchange']}."
    return ""
