"""Positions that stop and target turned around: both filled before one could be cancelled."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from trading.models import Order, Position, Source
from tvapp.lib import clock
from tvapp.lib.money import ZERO, plain

SHOWN = timedelta(days=7)


@dataclass(frozen=True)
class Turned:
    """The exit that carried its strategy's position over to the other side, and how much stands there now."""

    exit: Order
    quantity: Decimal

    @property
    def text(self) -> str:
        side = "short" if self.exit.side == "SELL" else "long"
        what = f"{plain(self.quantity)} {self.exit.tradingsymbol} ({self.exit.product})"
        return f"Stop and target of order {self.exit.parent_id} both filled: {what} stand {side} now, which nobody wanted."


def wrong_way(order: Order) -> Decimal:
    """How much of the strategy's position stands on the exit's own side, at most what the exit filled."""
    key = {"account_id": order.account_id, "instrument_id": order.instrument_id, "product": order.product, "strategy_id": order.strategy_id}
    net = Position.objects.filter(**key).values_list("quantity", flat=True).first() or ZERO
    return min(max(-net if order.side == "SELL" else net, ZERO), order.filled_quantity)


def of(order: Order) -> Turned | None:
    """None: it turned nothing around, or that is put right."""
    if order.source != Source.BRACKET or not order.events.filter(kind="CROSSED").exists():
        return None
    left = wrong_way(order)
    return Turned(order, left) if left else None


def of_user(user) -> list[Turned]:
    rows = Order.objects.for_user(user).filter(source=Source.BRACKET, events__kind="CROSSED", events__at__gte=clock.now() - SHOWN).distinct()
    return [found for order in rows.select_related("account", "instrument").order_by("-id") if (found := of(order))]
