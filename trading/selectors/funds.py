"""What money an order can still use: on paper worked out from our own rows, at a real broker as it was told last, less what left since.

Rates, where no broker says: delivery and a bought option cost what they cost, intraday shares `mis_margin_pct` of it; a future `mis_margin_pct`
of its value and a sold option of its strike, which is near what an exchange asks and is marked as an estimate in the documents.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from django.db.models import Sum

from brokers.models import BrokerFunds, BrokerName, Instrument
from risk.types import FundsFacts
from trading.domain import orderfsm
from trading.models import Order, OrderType, Position
from trading.selectors import facts, pricing
from trading.selectors.facts import DERIVATIVES, Book, Working
from trading.selectors.marks import Spot
from tvapp.lib.money import ZERO
from tvapp.models import DeskSettings

CASH = ("NSE", "BSE")
OPTIONS = ("CE", "PE")
HUNDRED = Decimal(100)
PAISA = Decimal("0.01")


class Margin(NamedTuple):
    """What the broker itself said an order needs, and when."""

    money: Decimal
    at: datetime


def funds(order: Order, now: datetime, book: Book, said: Margin | None = None, *, later: bool = False) -> FundsFacts | None:
    """None: nothing is known about the money of the account. `later`: its broker is still asked what the order needs."""
    if order.account.broker == BrokerName.PAPER:
        return _on_paper(order, now, book)
    row = BrokerFunds.objects.filter(account_id=order.account_id, segment=_segment(order.exchange)).first()
    if row is None:
        return None
    available = row.available - _left_since(order, row.at, book) + _bound_by_itself(order, row.at, book)
    money, at = said or (None, None)
    return FundsFacts(available=available, margin=money, margin_at=at, as_of=row.at, asked_later=later)


# --- paper ------------------------------------------------------------------------------------------------------


def _on_paper(order: Order, now: datetime, book: Book) -> FundsFacts:
    """Capital, what was won and paid, less what is bound. A contract's margin is worked out, as there is nobody to ask."""
    won = Position.objects.filter(account_id=order.account_id).aggregate(realised=Sum("realised"), charges=Sum("charges"))
    total = order.account.capital + ((won["realised"] or ZERO) - (won["charges"] or ZERO)).quantize(PAISA)  # a sum of the database is not exact
    contract = order.instrument if order.instrument and order.instrument.kind in DERIVATIVES else None
    need = _of_contract(order, contract, now) if contract else None
    return FundsFacts(available=total - _bound(order, book), margin=need, margin_at=now if need is not None else None, as_of=now)


def _of_contract(order: Order, contract: Instrument, now: datetime) -> Decimal | None:
    unit = {OrderType.LIMIT: order.price, OrderType.SL: order.price, OrderType.SL_M: order.trigger_price}.get(order.order_type)
    unit = unit or pricing.reference(order, now)
    return None if unit is None else _each(contract, order.side, unit, order.product) * (order.quantity or ZERO) * contract.multiplier


def _each(instrument: Instrument | None, side: str, unit: Decimal, product: str) -> Decimal:
    """Rupees that one unit binds, multiplier left out."""
    rate = DeskSettings.current().mis_margin_pct / HUNDRED
    if instrument is not None and instrument.kind in OPTIONS:
        return unit if side == "BUY" else (instrument.strike or unit) * rate
    if instrument is not None and instrument.kind in DERIVATIVES:
        return unit * rate
    return unit * rate if product == "MIS" else unit


def _bound(order: Order, book: Book) -> Decimal:
    """What positions cost and resting entries of the account may cost. Of an order that closes, only what goes beyond is bound."""
    held = [h for h in book.held if h.spot.account_id == order.account_id]
    resting = [w for w in book.working if w.spot.account_id == order.account_id and not w.reduce_only]
    contracts, total, net = _contracts([row.spot for row in (*held, *resting)]), ZERO, {}
    for h in held:
        each = _each(contracts.get(h.spot.instrument_id), "BUY" if h.quantity > 0 else "SELL", h.average, h.product)
        total += abs(h.quantity) * each * h.spot.multiplier
        net[h.spot.instrument_id, h.product] = net.get((h.spot.instrument_id, h.product), ZERO) + h.quantity
    return total + sum((_opening(w, net) * _of(w, book, contracts) for w in resting), ZERO)


def _of(order: Working, book: Book, contracts: Mapping[int, Instrument]) -> Decimal:
    """Rupees one unit of a resting order binds."""
    return _each(contracts.get(order.spot.instrument_id), order.side, book.unit(order) or ZERO, order.product) * order.spot.multiplier


def _opening(other: Working, net: dict[tuple[int, str], Decimal]) -> Decimal:
    """The part of a resting order that closes nothing; what it closes is then spoken for."""
    key = other.spot.instrument_id, other.product
    there = net.get(key, ZERO)
    closes = min(other.rest, max(there if other.side == "SELL" else -there, ZERO))
    net[key] = there + (closes if other.side == "BUY" else -closes)
    return other.rest - closes


def _contracts(spots: Iterable[Spot]) -> Mapping[int, Instrument]:
    """The futures and options among these."""
    wanted = {spot.instrument_id for spot in spots if spot.exchange not in CASH}
    return Instrument.objects.only("kind", "strike").in_bulk(wanted) if wanted else {}


# --- a real broker ----------------------------------------------------------------------------------------------


def _left_since(order: Order, read_at: datetime, book: Book) -> Decimal:
    """What own entries bind that the broker's figure cannot contain: sent after it was read, or with an answer that never came."""
    rows = Order.objects.filter(simulated__in=[order.simulated], sent_at__gte=read_at, account_id=order.account_id, reduce_only=False)
    found = {w.id: w for w in facts.rows(rows.exclude(decision__order_class="EXIT"))}
    found |= {w.id: w for w in book.working if w.spot.account_id == order.account_id and w.status in orderfsm.MAYBE_LIVE and not w.reduce_only}
    mine = [w for w in found.values() if w.id != order.pk and _segment(w.spot.exchange) == _segment(order.exchange)]
    contracts = _contracts([w.spot for w in mine])
    return sum(((w.filled if w.status in orderfsm.ENDED else w.filled + w.rest) * _of(w, book, contracts) for w in mine), ZERO)


def _bound_by_itself(order: Order, read_at: datetime, book: Book) -> Decimal:
    """What a resting order that is to be changed binds in the broker's figure: shares only, as nobody but the broker knows a contract's margin."""
    if order.status not in orderfsm.LIVE or order.exchange not in CASH:
        return ZERO
    rows = Order.objects.filter(pk=order.pk, sent_at__lt=read_at, reduce_only=False).exclude(decision__order_class="EXIT")
    return sum((w.rest * _of(w, book, {}) for w in facts.rows(rows)), ZERO)


def _segment(exchange: str) -> str:
    return "commodity" if exchange == "MCX" else "equity"
