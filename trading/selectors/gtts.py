"""Triggers (GTT) for pages and API, and whether an order can be one."""

from collections.abc import Mapping
from decimal import Decimal

from django.db.models import QuerySet

from brokers import registry
from brokers.models import BrokerAccount, BrokerHolding, BrokerPosition
from brokers.types import GttKind
from trading.models import Gtt, GttState, Order, OrderType, Position, Product
from trading.selectors.brackets import TRIGGERS_ON
from tvapp.lib.money import ZERO, plain


def of_user(user) -> QuerySet[Gtt]:
    return Gtt.objects.for_user(user).select_related("account", "order", "instrument")


def last_of(order: Order) -> Gtt | None:
    """The trigger of an order, the latest of them."""
    return order.gtts.order_by("-id").first() if order.gtt else None


def offered(order: Order) -> bool:
    """Whether the order's broker keeps triggers for what is traded on its exchange; then a person may choose one."""
    return order.gtt or (registry.caps_for(order.account.broker).gtt and order.exchange in TRIGGERS_ON)


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


def orphans(account: BrokerAccount) -> list[str]:
    """Triggers placed outside the desk that would close what the broker no longer holds, in words. One that may open a position is none of them."""
    rows = Gtt.objects.filter(account=account, order=None, state=GttState.ACTIVE).order_by("id")
    return [_orphan(row, account) for row in rows if row.legs and _closes_nothing(row)]


def _orphan(row: Gtt, account: BrokerAccount) -> str:
    leg, broker = row.legs[0], account.get_broker_display()
    what = f"{leg['side'].lower()} {plain(Decimal(leg['quantity']))} {row.tradingsymbol} ({leg['product']})"
    return f"GTT {row.broker_gtt_id}, placed outside this desk, would {what}, and {broker} holds nothing of it. Delete it if it is not to open one."


def _closes_nothing(row: Gtt) -> bool:
    """Whether it is made to close (a pair, a sale of shares, against a book that was closed) and nothing is there to close."""
    leg = row.legs[0]
    key = {"account_id": row.account_id, "exchange": row.exchange, "tradingsymbol": row.tradingsymbol}
    net = BrokerPosition.objects.filter(**key, product=leg["product"]).values_list("net_qty", flat=True).first() or ZERO
    if leg["product"] == Product.CNC:
        net += sum((h.quantity + h.t1_quantity for h in BrokerHolding.objects.filter(**key)), ZERO)
    if (net if leg["side"] == "SELL" else -net) > 0:
        return False
    was = {"account_id": row.account_id, "instrument__exchange": row.exchange, "instrument__tradingsymbol": row.tradingsymbol}
    closes = row.kind == GttKind.OCO.value or (leg["product"] == Product.CNC and leg["side"] == "SELL")
    return closes or Position.objects.filter(**was, product=leg["product"], updated_at__gte=row.created_at, quantity=0).exists()
