"""How an order would be sent at this moment: its type and prices on the tick, a market order with its slippage limit."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from risk.engine import PRICE_FRESH
from risk.rules import SKEW
from trading.domain import pricing
from trading.models import Order, OrderType
from trading.selectors import queue
from tvapp.lib.money import plain


@dataclass(frozen=True)
class Offer:
    """Type and prices as the broker will see them, and in `note` what was changed for it.

    `unpriced`: it may slip by so much at most, and no price is known to count from.
    """

    order_type: str
    price: Decimal | None
    trigger_price: Decimal | None
    note: str = ""
    unpriced: bool = False

    def columns(self) -> Mapping[str, object]:
        """What the order keeps of it. A market order stays one: with its limit in `price` it is limited anew at every try."""
        return {"price": self.price, "trigger_price": self.trigger_price}


def offer(order: Order, now: datetime) -> Offer:
    """The order as it would leave now. What cannot be put on the tick stays as it is, and the gate refuses it."""
    tick = order.instrument.tick if order.instrument_id else None
    if order.order_type == OrderType.MARKET:
        return _limited(order, tick or Decimal(0), now) if order.max_slippage_pct else Offer(order.order_type, None, None)
    snapped = pricing.snap(order.order_type, order.side, order.price, order.trigger_price, tick)
    return Offer(order.order_type, snapped.price, snapped.trigger_price, " ".join(snapped.notes))


def _limited(order: Order, tick: Decimal, now: datetime) -> Offer:
    start, pct = reference(order, now), order.max_slippage_pct or Decimal(0)
    limit = pricing.slippage_limit(order.side, start, pct, tick) if start else None
    if start is None or limit is None:
        return Offer(OrderType.MARKET, None, None, unpriced=True)
    note = f"MARKET as LIMIT {plain(limit)}, at most {plain(pct)} % from {plain(start)}."
    return Offer(OrderType.LIMIT, limit, None, note)


def reference(order: Order, now: datetime) -> Decimal | None:
    """The price slippage counts from: the last one while it is fresh, else the alert's."""
    quote = queue.quote_of(order)
    if quote is not None and quote.ltp > 0 and -SKEW <= now - quote.at <= PRICE_FRESH["QUOTE"]:
        return quote.ltp
    return order.ref_price if order.ref_price and order.ref_price > 0 else None
