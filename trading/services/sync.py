"""What the broker says becomes our rows: fills once each, states only forward. Polls, recovery and dispatch all end here."""

import logging
from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import Q

from brokers import registry
from brokers.base import Adapter
from brokers.errors import BrokerError
from brokers.models import BrokerAccount
from brokers.types import LIVE, OrderReport, Status
from brokers.types import Fill as BrokerFill
from trading.domain import orderfsm
from trading.domain.orderfsm import State
from trading.models import Fill, Level, Order, Pending
from trading.services import orders, positions, sysevents
from tvapp.lib import clock, crash
from tvapp.lib.money import plain, rupees

logger = logging.getLogger("tvapp.sync")

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
_REOPENED = (State.CANCELLED, State.EXPIRED, State.FAILED)
WATCH = timedelta(days=2)
_RANK = {State.SENT: 1, State.OPEN: 2, State.PARTIAL: 3}


def apply_report(order_id: int, report: OrderReport, fills: Iterable[BrokerFill], *, actor: str = "sync") -> bool:
    """Brings one order up to what the broker reported. Returns whether anything changed; safe to repeat and to reorder."""
    with transaction.atomic():
        order = Order.objects.select_for_update(of=("self",)).select_related("account", "instrument").get(pk=order_id)
        new = [f for f in fills if _store_fill(order, f)]
        crash.point("sync.fills_stored")
        filled, average = _totals(order)
        target = _target(order, report, filled)
        facts = {"filled_quantity": filled, "average_price": average, "broker_order_id": report.key.broker_order_id or order.broker_order_id}
        if report.message:
            facts["broker_message"] = report.message[:300]
        if target is not None:
            text = _sentence(order, target, filled, average, report)
            return orders.move(order, target, text=text, actor=actor, code=_code(target), data=_data(new), **facts)
        if new:
            text = f"Filled {plain(filled)} of {plain(order.quantity)} so far, average {rupees(average)}."
            return orders.note(order, "FILL", text, actor=actor, data=_data(new), **facts)
        return False


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
    row = Fill.objects.create(
        **key, order=order, owner_id=order.owner_id, strategy_id=order.strategy_id, instrument=order.instrument, product=order.product,
        side=order.side, quantity=fill.quantity, price=fill.price, at=fill.at, simulated=order.simulated, priced_by=fill.priced_by,
    )  # fmt: skip
    positions.apply_fill(row)
    return True


def _totals(order: Order) -> tuple[Decimal, Decimal | None]:
    pairs = list(Fill.objects.filter(order=order).values_list("quantity", "price"))  # summed here: SQLite adds in floating point
    filled = sum((quantity for quantity, _ in pairs), Decimal(0))
    if filled > (order.quantity or 0):
        text = f"The broker filled {plain(filled)} of an order over {plain(order.quantity)}."
        sysevents.record("order", "OVERFILLED", text, level=Level.ERROR, owner=order.owner, order=order)
    return filled, round(sum(q * p for q, p in pairs) / filled, 8) if filled else None


def _target(order: Order, report: OrderReport, filled: Decimal) -> State | None:
    """The state this report leads to; None when it is old news, or when the fills behind it were not seen yet."""
    old, to = State(order.status), STATES.get(report.status)
    if to is None:  # CANCEL_PENDING and UNMAPPED mean: still working
        return None
    if to == State.COMPLETE and filled < (order.quantity or 0):
        to = State.PARTIAL if filled else State.OPEN
    elif to in (State.SENT, State.OPEN) and filled:
        to = State.PARTIAL
    if to == State.PARTIAL and filled >= (order.quantity or 0):
        to = State.COMPLETE
    if to == old or not orderfsm.may_move(old, to) or _RANK.get(to, 9) < _RANK.get(old, 0):
        return None
    if old in (State.CANCELLED, State.EXPIRED) and filled <= order.filled_quantity:
        return None
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
        State.COMPLETE: f"All {done} {unit} filled at {rupees(average)} on average.{cut} Nothing is left to do.",
        State.CANCELLED: f"Cancelled at {broker}; {done} of {qty} were filled before.",
        State.REJECTED: f"{broker} refused it: {report.message or 'no reason given'}.",
        State.EXPIRED: f"Ended with its session; {done} of {qty} were filled.",
    }[to]


def sync_account(account_id: int) -> str:
    """Reads the account's book once and applies every report of an order of ours. Returns a short count for the log."""
    account = BrokerAccount.objects.get(pk=account_id)
    adapter = registry.adapter_for(account)
    try:
        adapter.step(clock.now())
        reports, fills = adapter.list_orders(), adapter.list_fills()
    except BrokerError as exc:
        logger.warning("book of %s could not be read: %s", account.name, exc, extra={"account_id": account_id})
        return "unread"
    by_order: dict[str, list[BrokerFill]] = {}
    for fill in fills:
        by_order.setdefault(fill.broker_order_id, []).append(fill)
    return f"{_apply_all(account, adapter, reports, by_order)} changed"


def _fills_of(adapter: Adapter, report: OrderReport, today: dict[str, list[BrokerFill]]) -> Iterable[BrokerFill]:
    """The day's fills of an order; an order from an earlier day has more, and those are asked for."""
    found = today.get(report.key.broker_order_id, [])
    return found if sum((f.quantity for f in found), Decimal(0)) >= report.filled else adapter.list_fills(report.key)


def _apply_all(account: BrokerAccount, adapter: Adapter, reports: Iterable[OrderReport], fills: dict[str, list[BrokerFill]]) -> int:
    ours = {order.tag: order for order in _watched(account)}
    changed = 0
    for report in reports:
        order = ours.get(report.key.ref)
        if order is None or not _may_be_news(order, report):
            continue
        changed += orders.guarded(order, lambda o, r=report: apply_report(o.pk, r, _fills_of(adapter, r, fills))) is True
    return changed


def _watched(account: BrokerAccount) -> Iterable[Order]:
    """Orders that are or may be live, and those that ended lately: a fill may still be reported, a refused one may turn up."""
    live, ended = Q(status__in=[*orderfsm.LIVE, State.UNKNOWN, State.NEEDS_REVIEW]), Q(status__in=_REOPENED, ended_at__gt=clock.now() - WATCH)
    return Order.objects.filter(live | ended, account=account).only("id", "tag", "status", "filled_quantity", "correlation_id")


def _may_be_news(order: Order, report: OrderReport) -> bool:
    return order.status not in _REOPENED or report.filled > order.filled_quantity or (order.status == State.FAILED and report.status in LIVE)


def pull(order: Order, *, actor: str = "sync") -> bool:
    """Reads this one order from its broker and applies what it says. Raises BrokerError when it cannot be read."""
    adapter = registry.adapter_for(order.account)
    found = adapter.find_by_ref(order.tag)
    if len(found) != 1:
        return False
    return apply_report(order.pk, found[0], adapter.list_fills(found[0].key), actor=actor)


def cancel_settled(order_id: int) -> None:
    """Takes the 'cancel asked' mark off an order that is still live, because the broker refused the cancel."""
    order = Order.objects.get(pk=order_id)
    if order.pending_action == Pending.CANCEL and order.status in orderfsm.LIVE:
        orders.note(order, "CANCEL_REFUSED", "The broker did not cancel it; the order is still live.", actor="sync", pending_action=Pending.NONE)
