"""What may be known about stops and targets without writing: whether they can be placed, which exits stand, and how much they may still close."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from django.db.models import F, QuerySet

from brokers import registry
from brokers.types import OrderType, Product
from trading.domain import brackets as domain
from trading.domain import orderfsm
from trading.domain.orderfsm import State
from trading.models import Order, Pending, Role, Source
from trading.selectors import drift
from tvapp.lib.money import ZERO, plain

ROLES = (Role.STOP, Role.TARGET, Role.OCO, Role.TRAIL)
UNENDED = [s for s in State if s not in orderfsm.ENDED]
TRIGGERS_ON = {"NSE": Product.CNC, "BSE": Product.CNC, "NFO": Product.NRML, "BFO": Product.NRML}  # what a GTT can hold
PAIR, GTT = "PAIR", "GTT"


# --- may it be placed? ------------------------------------------------------------------------------------------


def fault(order: Order) -> str:
    """Why the stop and target of this entry cannot be placed, as a sentence; empty when they can, or when it has none."""
    if not order.brackets or order.source == Source.BRACKET:
        return ""
    asked = domain.from_data(order.brackets)
    if order.instrument_id is None:
        return "Stop and target need an instrument, and none is known."
    reference = next((p for p in (order.price, order.trigger_price, order.ref_price) if p), None)
    return domain.fault(asked, order.side, reference, order.instrument.tick) or _way_fault(order, asked, reference)


def _way_fault(order: Order, asked: domain.Brackets, reference: Decimal | None) -> str:
    way = way_of(order, asked)
    if not way:
        broker, what = order.account.get_broker_display(), domain.worded(asked)
        return f"{broker} cannot keep {what} for {order.product} on {order.exchange}."
    if way == GTT and reference:
        found = domain.levels(asked, order.side, reference, order.instrument.tick)
        return next((said for level in (found.stop, found.target) if level and (said := domain.too_near(level, reference))), "")
    return ""


def way_of(order: Order, asked: domain.Brackets) -> str:
    """PAIR (SL-M and LIMIT), GTT (kept by the broker over days), or nothing: a day order does not guard a position that is held for longer."""
    caps = registry.caps_for(order.account.broker)
    if not {OrderType.SL_M, OrderType.LIMIT} <= caps.order_types:
        return ""
    if caps.absence_is_proof or order.product == Product.MIS:  # paper's own book keeps an order for as long as it takes
        return PAIR
    fits = caps.gtt and TRIGGERS_ON.get(order.exchange) == order.product
    return GTT if fits and not asked.trail else ""


# --- what stands ------------------------------------------------------------------------------------------------


def exits_of(order: Order) -> QuerySet[Order]:
    """Unended exits of the order's book (account, instrument, product, strategy), both sides, the oldest first.

    Sorted by an expression: for the bare id SQLite walks every order the instrument or the strategy ever had instead of the few that are open.
    """
    key = {"account_id": order.account_id, "instrument_id": order.instrument_id, "product": order.product, "strategy_id": order.strategy_id}
    return Order.objects.filter(**key, source=Source.BRACKET, status__in=UNENDED).select_related("account", "instrument").order_by(F("id") + 0)


def held(order: Order, side: str) -> Decimal:
    """What the order's strategy holds that an exit of `side` would close; never more than the broker still has of it."""
    key = (order.exchange, order.tradingsymbol, order.product)
    return drift.held(order.account_id, order.instrument_id, key, order.strategy_id, side)


def missing(child: Order) -> str:
    """Says that the broker holds less than the exit's strategy counts, as the end of a sentence; empty when it does not."""
    books = drift.books_of(child.account_id, child.instrument_id, child.product)
    row = drift.of_key(child.account_id, (child.exchange, child.tradingsymbol, child.product))
    there = drift.there(row, books, child.product)
    own = abs(books.strategies.get(child.strategy_id, ZERO)) if child.strategy_id else abs(books.outside)
    if there is None or not own or held(child, child.side) >= own:
        return ""
    names = f"{child.tradingsymbol} ({child.product})"
    return f"{child.account.get_broker_display()} holds {plain(there)} {names} and its strategy counts {plain(own)}"


@dataclass
class Pair:
    """Exits that cancel each other; `left` is what they may still close together."""

    exits: list[Order]
    left: Decimal


def pairs_of(order: Order, side: str) -> list[Pair]:
    """The pairs of the order's book that close with `side`, the oldest first. An exit whose cancel was asked for no longer belongs to one."""
    found: dict[tuple[int | None, Decimal], list[Order]] = {}
    for child in exits_of(order).filter(side=side).exclude(pending_action=Pending.CANCEL):
        found.setdefault((child.parent_id, child.covered), []).append(child)
    filled = _filled({parent for parent, _ in found})
    return [Pair(exits, _left(exits, filled[key])) for key, exits in found.items()]


def _filled(parents: set[int | None]) -> Mapping[tuple[int | None, Decimal], Decimal]:
    """What the exits of each pair filled, ended ones too."""
    total: dict[tuple[int | None, Decimal], Decimal] = {}
    rows = Order.objects.filter(parent_id__in=parents, source=Source.BRACKET)
    for parent, covered, filled in rows.values_list("parent_id", "covered", "filled_quantity"):
        total[parent, covered] = total.get((parent, covered), ZERO) + filled
    return total


def _left(exits: list[Order], filled: Decimal) -> Decimal:
    asked = exits[0].requested_quantity or ZERO
    return max(min(asked - filled, *(rest(child) for child in exits)), ZERO)


def rest(child: Order) -> Decimal:
    """What an exit may still fill, once a change that was asked for is done."""
    asked = child.pending_changes.get("quantity") if child.pending_action == Pending.MODIFY else None
    return (Decimal(asked) if asked else child.quantity or ZERO) - child.filled_quantity
