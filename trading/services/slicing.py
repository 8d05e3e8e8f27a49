"""Slices of an order above the freeze quantity. The order itself becomes the first one, the others are orders of their own.

So nothing has a state that must be derived: each slice has its own tag, its own gate and its own end, and a crash leaves each reconcilable.
"""

from collections.abc import Sequence
from decimal import Decimal

from trading.domain import orderfsm, slicing
from trading.domain.orderfsm import State
from trading.models import Order, Role, Source
from trading.services import orders
from tvapp.lib import crash
from tvapp.lib.errors import AppError
from tvapp.lib.money import plain

ACTOR = "desk"
KEPT = (*orders.COPIED, "mode", "max_age_s", "received_at")


def sizes(order: Order, quantity: Decimal) -> list[Decimal]:
    """What the order sends itself, then the quantities of the others. An iceberg shows the exchange one leg at a time: its legs count."""
    row = order.instrument
    if row is None or row.freeze is None or quantity / max(order.iceberg_legs, 1) <= row.freeze:
        return [quantity]
    return slicing.sizes(quantity, row.freeze, row.lot)


def said(order: Order, parts: Sequence[Decimal]) -> str:
    """How it is cut, for the story; empty when it is not."""
    if len(parts) == 1:
        return ""
    shown = " + ".join(plain(part) or "" for part in parts)
    return f"{plain(sum(parts))} is more than the exchange takes in one order ({plain(order.instrument.freeze)}): sent as {shown}. "


def cancel_all(family: Sequence[Order], *, actor: str) -> tuple[int, int]:
    """Cancels what is left of an order that was cut: how many were, or are asked for at the broker, and how many there were."""
    left = [order for order in family if order.status not in orderfsm.ENDED]
    return sum(_cancelled(order, actor) for order in left), len(left)


def _cancelled(order: Order, actor: str) -> bool:
    try:
        orders.cancel(order, actor=actor)
    except AppError:  # it is being sent, its outcome is not known, or it ended this moment
        return False
    return True


def make(order: Order, rest: Sequence[Decimal]) -> list[Order]:
    """The further slices, QUEUED with their bells, in the transaction that commits the first one: all of them or none."""
    if not rest:
        return []
    fields = {name: getattr(order, name) for name in KEPT}
    fields |= {"parent": order.parent if order.role == Role.SLICE else order, "role": Role.SLICE, "source": Source.SLICE}
    made = []
    for number, size in enumerate(rest, 2):
        text = f"Slice {number} of {len(rest) + 1} of order {order.pk}: {plain(size)} {order.tradingsymbol}."
        made.append(orders.create(State.QUEUED, text=text, actor=ACTOR, **{**fields, "quantity": size, "requested_quantity": size}))
        crash.point("slicing.made")
    return made
