"""Stop and target are two orders at a broker without pairs of its own: between two reads both may fill. That is said, and closed on one click."""

from django.db import transaction

from trading.domain import orderfsm
from trading.models import Level, Mode, Order, OrderType, Source
from trading.selectors import turned as read
from trading.services import orders, sysevents
from tvapp.lib import clock
from tvapp.lib.errors import AppError
from tvapp.lib.money import plain

ACTOR = "brackets"
COPIED = (
    "owner", "strategy", "account", "instrument", "exchange", "tradingsymbol", "tv_symbol", "product", "simulated", "correlation_id",
)  # fmt: skip


def look(order: Order) -> None:
    """After a fill of an exit, in its transaction: an alarm when it carried the position over to the other side. Once for each exit."""
    if order.source != Source.BRACKET or order.events.filter(kind="CROSSED").exists():
        return
    order.refresh_from_db(fields=["version", "status", "filled_quantity"])
    left = read.wrong_way(order)
    if not left:
        return
    text = f"{read.Turned(order, left).text} Close it here or on the positions page."
    if orders.note(order, "CROSSED", text, actor=ACTOR, code="EXITS_CROSSED", data={"quantity": plain(left)}):
        sysevents.record("order", "EXITS_CROSSED", text, level=Level.ERROR, owner=order.owner, order=order)


def close(order: Order, *, actor: str) -> Order:
    """Queues a reduce-only market order over what stands the wrong way round. Raises AppError when there is nothing, or one is under way."""
    found = read.of(order)
    if found is None:
        raise AppError("NOTHING_TO_CLOSE", "Nothing stands the wrong way round any more. Look at the position again.", status=409)
    with transaction.atomic():
        Order.objects.select_for_update(of=("self",)).get(pk=order.pk)
        under_way = order.copies.filter(source=Source.CLOSE).exclude(status__in=orderfsm.ENDED).first()
        if under_way is not None:
            text = f"Order {under_way.pk} closes it already."
            raise AppError("CLOSE_UNDER_WAY", text, status=409, extra={"order_id": under_way.pk})
        fields = {name: getattr(order, name) for name in COPIED}
        fields |= {
            "copied_from": order, "source": Source.CLOSE, "mode": Mode.MANUAL, "reduce_only": True, "order_type": OrderType.MARKET,
            "side": "BUY" if order.side == "SELL" else "SELL", "requested_quantity": found.quantity, "quantity": found.quantity,
            "ref_price": order.average_price, "received_at": clock.now(),
        }  # fmt: skip
        text = f"{actor} closes what order {order.pk} turned around: {plain(found.quantity)} {order.tradingsymbol}, and never more than that."
        return orders.create(orderfsm.State.QUEUED, text=text, actor=actor, **fields)
