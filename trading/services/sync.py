"""What the broker says becomes our rows: fills once each, states only forward. Polls, recovery and dispatch all end here."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from brokers import registry
from brokers.base import Adapter
from brokers.types import Fill as BrokerFill
from brokers.types import OrderKey, OrderReport, Status
from trading.domain import orderfsm
from trading.domain.orderfsm import State
from trading.models import Fill, Order, OrderType, Pending
from trading.services import brackets, charges, ledgers, orders, positions, refusals, tripwires
from tvapp.lib import clock, crash
from tvapp.lib.money import plain, rupees

STATES = {
    Status.SUBMITTED: State.SENT,
    Status.AMO_QUEUED: State.SENT,
    Status.OPEN: State.OPEN,
    Status.TRIGGER_PENDING: State.OPEN,
    Status.PARTIAL: State.PARTIAL,
    Status.FILLED: State.COMPLETE,
    Status.CANCELLED: State.CANCELLED,
    Status.REJECTED: State.REJECTED,
    Status.EXPIRED: State.EXPIRED,
}
_RANK = {State.SENT: 1, State.OPEN: 2, State.PARTIAL: 3}
_HAS_PRICE = (OrderType.LIMIT, OrderType.SL)  # a market order reads back as a limit order at its cap, which nobody asked for
_HAS_TRIGGER = (OrderType.SL, OrderType.SL_M)


@dataclass(frozen=True)
class Book:
    """One read of an account's order book. `at` is when it began; `lacking` are ids known from earlier today that it does not show."""

    at: datetime
    reports: tuple[OrderReport, ...]
    fills: Mapping[str, list[BrokerFill]]
    lacking: frozenset[str] = frozenset()

    @property
    def complete(self) -> bool:
        """Only then is the absence of an order evidence."""
        return not self.lacking


def by_order(fills: Iterable[BrokerFill]) -> dict[str, list[BrokerFill]]:
    """Executions by the broker's id of their order."""
    found: dict[str, list[BrokerFill]] = {}
    for fill in fills:
        found.setdefault(fill.broker_order_id, []).append(fill)
    return found


def fits(order: Order, report: OrderReport) -> bool:
    """Whether a report can be of this order: instrument, side and product. Never its type or price, which brokers rewrite."""
    return report.key.symbol in (None, "", order.symbol) and report.side == order.side and report.product == order.product


def apply_report(order_id: int, report: OrderReport, fills: Iterable[BrokerFill], *, actor: str = "sync") -> bool:
    """Brings one order up to what the broker reported. Returns whether anything changed; safe to repeat and to reorder."""
    with ledgers.book_of(Order.objects.values_list("account_id", flat=True).get(pk=order_id)):
        return apply_in_book(order_id, report, fills, actor=actor)


def apply_in_book(order_id: int, report: OrderReport, fills: Iterable[BrokerFill], *, actor: str) -> bool:
    """The same inside a transaction that began with `ledgers.book_of`."""
    order = Order.objects.select_for_update(of=("self",), no_key=True).select_related("account", "instrument").get(pk=order_id)
    there = changes(order, report)
    said = _say_changes(order, there)
    for name, value in there.items():  # the target is judged by the order as it is at the broker
        setattr(order, name, value)
    new = [f for f in fills if _store_fill(order, f)]
    if new:
        tripwires.crossed(order, sum((f.quantity for f in new), Decimal(0)))
    crash.point("sync.fills_stored")
    filled, average = _totals(order)
    facts = {"filled_quantity": filled, "average_price": average, **_facts(order, report), **there}
    target = _target(order, report, filled)
    if target is not None:
        text = said + _sentence(order, target, filled, average, report)
        changed = orders.move(order, target, text=text, actor=actor, code=_code(target), data=_data(new), **facts)
        if changed and target == State.REJECTED:
            refusals.afterwards(order, report.code, report.message)
        brackets.after(order, filled=bool(new))
        return changed
    if new:
        text = f"{said}Filled {plain(filled)} of {plain(order.quantity)} so far, average {rupees(average)}."
        changed = orders.note(order, "FILL", text, actor=actor, data=_data(new), **facts)
        brackets.after(order, filled=True)
        return changed
    if said:
        return orders.note(order, "CHANGED", said.strip(), actor=actor, **facts)
    _remember(order, report)
    return False


def _facts(order: Order, report: OrderReport) -> dict[str, object]:
    facts: dict[str, object] = {"broker_order_id": order.broker_order_id or report.key.broker_order_id}
    if report.message:
        facts["broker_message"] = report.message[:300]
    if _is_older(order, report):
        return facts
    return {**facts, "reported_at": report.updated_at, "variety": report.key.variety or order.variety}


def _is_older(order: Order, report: OrderReport) -> bool:
    return order.reported_at is not None and report.updated_at < order.reported_at


def _remember(order: Order, report: OrderReport) -> None:
    """Keeps the newest report's time also when it changed nothing, so that an older one cannot set prices back."""
    if order.reported_at is None or report.updated_at > order.reported_at:
        Order.objects.filter(pk=order.pk).update(reported_at=report.updated_at)


def changes(order: Order, report: OrderReport) -> dict[str, Decimal]:
    """Quantity and prices that are other at the broker than here because somebody changed them there. What we asked for is told elsewhere;
    only a quantity counts at once, because fills are measured by it."""
    if _is_older(order, report) or order.status in (State.COMPLETE, State.REJECTED) or order.variety == "iceberg":
        return {}
    seen = {"quantity": report.quantity}
    if order.order_type in _HAS_PRICE:
        seen["price"] = report.price
    if order.order_type in _HAS_TRIGGER:
        seen["trigger_price"] = report.trigger_price
    asked = order.pending_changes if order.pending_action == Pending.MODIFY else {}
    return {name: value for name, value in seen.items() if value and value != getattr(order, name) and _to_take(name, value, asked)}


def _to_take(name: str, value: Decimal, asked: Mapping[str, str]) -> bool:
    return name not in asked or (name == "quantity" and value == Decimal(asked[name]))


def _say_changes(order: Order, there: Mapping[str, Decimal]) -> str:
    words = [f"{name.replace('_', ' ')} {plain(getattr(order, name)) or 'none'} to {plain(value)}" for name, value in there.items()]
    return f"Changed at {order.account.get_broker_display()}: {', '.join(words)}. " if words else ""


def _store_fill(order: Order, fill: BrokerFill) -> bool:
    """Stores a fill that is new; one that is already there changes nothing."""
    key = {
        "account_id": order.account_id,
        "trading_day": clock.trading_day(fill.at),
        "exchange": order.exchange,
        "trade_id": fill.trade_id,
    }
    if Fill.objects.filter(**key).exists():
        return False
    row = Fill(
        **key, order=order, owner_id=order.owner_id, strategy_id=order.strategy_id, instrument=order.instrument, product=order.product,
        side=order.side, quantity=fill.quantity, price=fill.price, at=fill.at, simulated=order.simulated, priced_by=fill.priced_by,
    )  # fmt: skip
    charges.book(row)
    positions.apply(row)
    row.save(force_insert=True)
    return True


def _totals(order: Order) -> tuple[Decimal, Decimal | None]:
    pairs = list(Fill.objects.filter(order=order).values_list("quantity", "price"))  # summed here: SQLite adds in floating point
    filled = sum((quantity for quantity, _ in pairs), Decimal(0))
    if filled > (order.quantity or 0):
        tripwires.overfilled(order, filled)
    return filled, round(sum(q * p for q, p in pairs) / filled, 8) if filled else None


def _target(order: Order, report: OrderReport, filled: Decimal) -> State | None:
    """The state this report leads to; None when it is old news, or when the fills behind it were not seen yet."""
    old, whole = State(order.status), order.quantity or Decimal(0)
    to = STATES.get(report.status) or (old if old in orderfsm.LIVE else State.SENT)  # CANCEL_PENDING and UNMAPPED mean: still working
    if to == State.COMPLETE and filled < whole:
        to = State.PARTIAL if filled else State.OPEN
    elif to in (State.SENT, State.OPEN) and filled:
        to = State.PARTIAL
    if to in (State.PARTIAL, State.CANCELLED, State.EXPIRED) and filled >= whole:
        to = State.COMPLETE
    if to == old or not orderfsm.may_move(old, to) or _RANK.get(to, 9) < _RANK.get(old, 0):
        return None
    if old in (State.CANCELLED, State.EXPIRED) and (to != State.COMPLETE or filled <= order.filled_quantity):
        return None  # it ended there; a fill told of late is booked and does not make it live again
    return to


def _code(target: State) -> str:
    return {State.REJECTED: "BROKER_REJECTED", State.EXPIRED: "SESSION_ENDED"}.get(target, "")


def _data(fills: Iterable[BrokerFill]) -> dict[str, object]:
    return {"fills": [{"trade_id": f.trade_id, "quantity": plain(f.quantity), "price": plain(f.price)} for f in fills]}


def _sentence(order: Order, to: State, filled: Decimal, average: Decimal | None, report: OrderReport) -> str:
    qty, done, left = plain(order.quantity), plain(filled), plain((order.quantity or Decimal(0)) - filled)
    unit = "is" if filled == 1 else "are"
    asked = order.requested_quantity
    cut = f" The alert asked for {plain(asked)}." if asked and asked != order.quantity else ""
    broker = order.account.get_broker_display()
    return {
        State.SENT: f"{broker} took the order; it is not confirmed at the exchange yet.",
        State.OPEN: f"Resting at {broker}: {qty} to fill.{cut}",
        State.PARTIAL: f"{done} of {qty} {unit} filled at {rupees(average)} on average; {left} still rest at {broker}.",
        State.COMPLETE: f"{'All ' if filled != 1 else ''}{done} {unit} filled at {rupees(average)} on average.{cut} Nothing is left to do.",
        State.CANCELLED: f"Cancelled at {broker}{_because(order)}; {done} of {qty} were filled before.",
        State.REJECTED: f"{broker} refused it: {report.message or 'no reason given'}.",
        State.EXPIRED: f"Ended with its session; {done} of {qty} were filled.",
    }[to]


def _because(order: Order) -> str:
    why = orders.cancelled_because(order) if order.pending_action == Pending.CANCEL else ""
    return f", because {why}" if why else ""


def fills_of(adapter: Adapter, report: OrderReport, today: Mapping[str, list[BrokerFill]]) -> Iterable[BrokerFill]:
    """The day's fills of an order; an order from an earlier day has more, and those are asked for."""
    found = today.get(report.key.broker_order_id, [])
    return found if sum((f.quantity for f in found), Decimal(0)) >= report.filled else adapter.list_fills(report.key)


def pull(order: Order, *, actor: str = "sync") -> bool:
    """Reads this one order from its broker and applies what it says. Raises BrokerError when it cannot be read."""
    adapter = registry.adapter_for(order.account)
    found = [adapter.get_order(key_of(order))] if order.broker_order_id else adapter.find_by_ref(order.tag)
    if len(found) != 1:
        return False
    return apply_report(order.pk, found[0], adapter.list_fills(found[0].key), actor=actor)


def key_of(order: Order) -> OrderKey:
    """How the broker finds this order again."""
    return OrderKey(broker_order_id=order.broker_order_id, ref=order.tag, variety=order.variety, symbol=order.symbol)


def cancel_settled(order_id: int) -> None:
    """Takes the 'cancel asked' mark off an order that is still live, because the broker refused the cancel."""
    order = Order.objects.get(pk=order_id)
    if order.pending_action == Pending.CANCEL and order.status in orderfsm.LIVE:
        orders.note(order, "CANCEL_REFUSED", "The broker did not cancel it; the order is still live.", actor="sync", pending_action=Pending.NONE)
