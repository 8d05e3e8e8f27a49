"""One row of the queue, ready for its template: what would be sent, what it is worth, what the risk check says, and what may be done."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from brokers.models import Instrument
from risk.codes import Code
from risk.models import Decision
from risk.types import OrderClass
from trading.domain import orderfsm
from trading.domain.orderfsm import State
from trading.models import Order, OrderType
from trading.selectors import brackets, pricing, queue, stranded
from trading.selectors.marks import read_once
from trading.services import overrides
from trading.services.advice import advise
from trading.templatetags.desk import at_ist, clock_face, is_old_price, made_up, money, price, qty, seconds_since, type_word
from trading.web.verdict import Shown, blocked, shown
from tvapp.lib.money import plain
from tvapp.models import DeskSettings

LATE_WITHIN_S = 60
_NO_INSTRUMENT = {
    Code.INSTRUMENT_NOT_TRADABLE: "An index cannot be traded itself",
    Code.INSTRUMENT_AMBIGUOUS: "The name fits more than one instrument",
    Code.INSTRUMENT_EXPIRED: "The contract has expired",
    Code.INSTRUMENT_META_MISSING: "Tick or lot are not known yet",
}


@dataclass(frozen=True)
class QueueRow:
    """A WAITING order with the gate's advice. `final` is what would be sent, `reason` why Execute is off (empty: it is on)."""

    order: Order
    decision: Decision | None
    verdict: Shown
    since: datetime
    late: str
    final: Decimal | None
    value: Decimal | None
    reason: str
    offer: pricing.Offer

    @property
    def cut(self) -> bool:
        """Whether the risk check would send less than was asked."""
        return self.final is not None and self.final != self.order.quantity

    @property
    def closes(self) -> bool:
        """Whether it only closes what is held: told by the alert, or found by the gate."""
        return self.order.reduce_only or (self.decision is not None and self.decision.order_class == OrderClass.EXIT)

    @property
    def price_word(self) -> str:
        return "Market" if self.order.order_type == OrderType.MARKET else price(queue.unit_price(self.order), self.order.instrument)

    @property
    def price_note(self) -> str:
        if self.offer.order_type != self.order.order_type:
            return f"as LIMIT {price(self.offer.price, self.order.instrument)}"
        return "" if self.order.order_type == OrderType.MARKET else type_word(self.order.order_type)

    @property
    def price_line(self) -> str:
        """`MIS · trigger 1,012.40`, `CNC · LTP 912.35`, what a market order may slip, or that there is no price yet."""
        order, quote = self.order, queue.quote_of(self.order)
        if self.offer.order_type != order.order_type:
            return f"{order.product} · {self.offer.note.partition(', ')[2].rstrip('.')}"
        if order.order_type == OrderType.SL:
            return f"{order.product} · trigger {price(order.trigger_price, order.instrument)}"
        if quote:
            old = f", no price since {at_ist(quote.at)}" if is_old_price(quote.at) else made_up(quote)
            return f"{order.product} · LTP {price(quote.ltp, order.instrument)}{old}"
        if order.ref_price:
            return f"{order.product} · alert {price(order.ref_price, order.instrument)}"
        return f"{order.product} · no price yet"

    @property
    def place(self) -> str:
        return place(self.order)

    @property
    def lots(self) -> str:
        return lots(self.order, self.final if self.cut else self.order.quantity)

    @property
    def mappable(self) -> bool:
        """Whether its symbol means nothing yet and a person can say what."""
        return self.order.instrument_id is None and self.order.signal_id is not None

    @property
    def ask(self) -> str:
        """Buy 67 RELIANCE: how a button names the order."""
        quantity = self.final or self.order.quantity
        return " ".join(p for p in (self.order.side.lower(), qty(quantity) if quantity else "", self.order.tradingsymbol) if p)


def place(order: Order) -> str:
    """`NSE · Equity`, `NFO · NIFTY 24 Nov 2026 future`, and where it came from when TradingView calls it differently: `NSE · from NSE:M_M`."""
    known = order.instrument
    came = order.tv_symbol and order.tv_symbol.upper() not in (order.symbol.upper(), order.tradingsymbol.upper())
    what = contract(known) if known and known.expiry else "" if came else known.get_kind_display() if known else "not resolved"
    return " · ".join(part for part in (order.exchange, what, f"from {order.tv_symbol}" if came else "") if part)


def contract(instrument: Instrument) -> str:
    """How people call it: `NIFTY 24 Nov 2026 24500 CE`, `NIFTY 24 Nov 2026 future`, `INFOSYS`."""
    name, expiry = instrument.name or instrument.tradingsymbol, instrument.expiry
    if expiry is None:
        return name
    strike = f" {plain(instrument.strike)}" if instrument.strike else ""
    kind = "future" if instrument.kind == "FUT" else instrument.kind
    return f"{name} {expiry.day} {expiry:%b %Y}{strike} {kind}"


def lots(order: Order, quantity: Decimal | None) -> str:
    """`2 lots × 65` for what is traded in lots, else nothing."""
    lot = order.instrument.lot if order.instrument_id else None
    if not lot or lot == 1 or not quantity:
        return ""
    count = quantity / lot
    return f"{qty(count)} {'lot' if count == 1 else 'lots'} × {qty(lot)}"


def row(order: Order, now: datetime, desk: DeskSettings) -> QueueRow:
    """The row of one order; asks the gate once."""
    since = queue.since(order)
    short, reason = _unsendable(order)
    decision = None if reason else advise(order, now)
    verdict = shown(decision) if decision else blocked(short, reason)
    if decision and not verdict.sendable:
        reason = verdict.full
    final = decision.final if decision and verdict.sendable else order.quantity
    value, offer = queue.value(order, final), pricing.offer(order, now)
    return QueueRow(order, decision, verdict, since, _late(since, now, desk), final, value, reason, offer)


def _unsendable(order: Order) -> tuple[str, str]:
    """Why the gate need not even be asked, short and in full; empty when it must be."""
    if order.instrument_id is None:
        short = _NO_INSTRUMENT.get(order.status_reason, "Not in the instrument list")
        return short, order.why or f"{order.tradingsymbol} is not in the instrument list, so it cannot be sent."
    if fault := brackets.fault(order):
        return "Its stop or target cannot be placed", f"{fault} It never goes without."
    if order.quantity is None:
        return "No quantity: edit it and say how many", "No quantity is known: edit the order and say how many."
    return "", ""


def _late(since: datetime, now: datetime, desk: DeskSettings) -> str:
    """`0:43 left` in the last minute before a row is marked old, then `old`; empty while it is fresh."""
    left = desk.alert_old_manual_min * 60 - seconds_since(since, now)
    if left > LATE_WITHIN_S:
        return ""
    return f"{clock_face(left)} left" if left > 0 else "old"


def rows(orders: Iterable[Order], now: datetime, verdict: str = "") -> list[QueueRow]:
    """The rows of these orders; `verdict` keeps only one kind of chip."""
    desk = DeskSettings.current()
    with read_once():
        made = [row(order, now, desk) for order in orders]
    return [r for r in made if r.verdict.kind == verdict] if verdict else made


def facts(shown_rows: Iterable[QueueRow], now: datetime) -> Mapping[str, object]:
    """The figures of the page head: oldest, all buys together, exits waiting."""
    kept = list(shown_rows)
    oldest = min(kept, key=lambda r: r.since, default=None)
    exits = [r.order.tradingsymbol for r in kept if r.closes]
    buys = sum((r.value or Decimal(0) for r in kept if r.order.side == "BUY"), Decimal(0))
    return {"oldest": oldest, "buys": money(buys, 0), "exits": len(exits), "exit_symbols": ", ".join(dict.fromkeys(exits))[:40]}


def stands_as_trigger(order: Order) -> bool:
    """Whether the broker keeps it as a trigger, which cannot be changed."""
    return order.gtt and not order.broker_order_id


def actions(order: Order) -> frozenset[str]:
    """What a person may do with an order now: execute, edit, map, cancel, back, requeue, login, resubmit."""
    state = State(order.status)
    possible = {
        "execute": state == State.WAITING,
        "edit": state in orderfsm.EDITABLE,
        "cancel": state in orderfsm.CANCEL_HERE or (state in orderfsm.LIVE and not order.pending_action),
        "modify": state in orderfsm.LIVE and not order.pending_action and order.instrument_id is not None and not stands_as_trigger(order),
        "back": state in (State.HELD, State.QUEUED),
        "requeue": stranded.may_requeue(order),
        "login": stranded.needs_login(order),
        "map": overrides.may_map(order),
        "resubmit": state in (State.REJECTED_RISK, State.STALE, State.FAILED),
    }
    return frozenset(name for name, yes in possible.items() if yes)
