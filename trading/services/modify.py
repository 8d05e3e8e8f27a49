"""A person wants other values of an order that is live at its broker. Judged here like a new order; a worker carries it to the broker."""

from collections.abc import Mapping
from copy import copy
from decimal import Decimal

from django.db import transaction

from brokers import registry
from risk.models import Verdict
from trading.domain import orderfsm
from trading.domain.pricing import PRICED, TRIGGERED, snap
from trading.models import Mode, Order, OrderType
from trading.selectors.snapshot import scopes
from trading.services import changes as changing
from trading.services import ledgers, orders, slicing
from trading.services.advice import advise
from tvapp.lib import clock
from tvapp.lib.errors import AppError
from tvapp.lib.money import plain


def fields_of(order: Order) -> tuple[str, ...]:
    """What of this order can be changed at its broker; a market order that was sent as a limit order has a price, too."""
    kind = sent_type(order)
    return ("quantity", *(["price"] if kind in PRICED else []), *(["trigger_price"] if kind in TRIGGERED else []))


def sent_type(order: Order) -> str:
    """The type it has at the broker."""
    return OrderType.LIMIT if order.order_type == OrderType.MARKET and order.max_slippage_pct and order.price else order.order_type


def modify(order: Order, changes: Mapping[str, Decimal], *, actor: str, version: int | None = None) -> Order:
    """Asks for other values: `quantity` (the whole, what is filled included), `price`, `trigger_price`.

    The order keeps its old values until the broker shows the new ones. AppError: 409 when it is not live or was changed meanwhile,
    422 when the gate would not let such an order go, or when no order of this type has such a value.
    """
    if order.status not in orderfsm.LIVE:
        text = f"Only an order that rests at its broker can be changed there; this one is {orderfsm.WORDS[orderfsm.State(order.status)].lower()}."
        raise AppError("ORDER_NOT_LIVE", text, status=409, extra={"status": order.status})
    if version is not None and version != order.version:
        raise AppError("VERSION_CONFLICT", "The order changed since you opened it. Look at it again, then decide.", status=409)
    wanted = _wanted(order, changes)
    _check_count(order)
    with transaction.atomic():
        ledgers.bump(scopes(order))  # what it takes up is counted by the next claim, and by no other one beside it
        if not changing.only_less(order, wanted):
            _ask_gate(order, wanted)
        return orders.ask_change(order, wanted, actor=actor)


def _wanted(order: Order, changes: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """The changes with their prices on the tick; raises AppError for what no such order can have."""
    for name in changes:
        if name not in fields_of(order):
            raise AppError("INVALID_VALUE", f"This order has no {name.replace('_', ' ')} that could be changed.", status=422, extra={"field": name})
    quantity = changes.get("quantity")
    if quantity is not None and quantity <= order.filled_quantity:
        text = f"{plain(order.filled_quantity)} are filled already, so the quantity must be above that. To stop here, cancel the rest."
        raise AppError("QUANTITY_FILLED", text, status=422, extra={"field": "quantity"})
    if quantity is not None and len(slicing.sizes(order, quantity)) > 1:
        text = f"The exchange takes at most {plain(order.instrument.freeze)} in one order. Send the rest as an order of its own."
        raise AppError("QTY_FREEZE", text, status=422, extra={"field": "quantity"})
    price, trigger = changes.get("price", order.price), changes.get("trigger_price", order.trigger_price)
    snapped = snap(sent_type(order), order.side, price, trigger, order.instrument.tick)
    if snapped.fault:
        raise AppError("PRICE_OFF_TICK", snapped.fault, status=422, extra={"field": "price"})
    on_tick = {"price": snapped.price, "trigger_price": snapped.trigger_price}
    return {name: on_tick.get(name) or value for name, value in changes.items()}


def _check_count(order: Order) -> None:
    most = registry.caps_for(order.account.broker).modifications
    if most is not None and order.modifications >= most:
        text = f"The broker lets one order be changed {most} times, and this one was. Cancel it and send a new one."
        raise AppError("CHANGED_TOO_OFTEN", text, status=409)


def _ask_gate(order: Order, wanted: Mapping[str, Decimal]) -> None:
    """The whole new order less what is filled, as if a person sent it now. The decision that lets it go is kept.

    The broker holds the margin of what rests already; of a contract it is not known what more of it would need.
    """
    asked = copy(order)
    for name, value in wanted.items():
        setattr(asked, name, value)
    asked.order_type, asked.max_slippage_pct = sent_type(order), None
    asked.quantity = (asked.quantity or Decimal(0)) - order.filled_quantity
    asked.mode, asked.received_at, asked.fired_at = Mode.MANUAL, clock.now(), None
    decision = advise(asked, later=wanted.get("quantity", order.quantity) <= order.quantity)
    if decision.verdict != Verdict.ALLOW:
        raise AppError("RISK_ADVISORY_REJECT", decision.sentence, status=422, extra={"code": decision.code, "findings": decision.findings})
    decision.save(force_insert=True)
