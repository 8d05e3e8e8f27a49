"""How paper fills: one pure step from (order, quote) to what happens. The same quotes always give the same fills.

An order meets each quote once. The first usable quote it meets finds it *arriving*: what is marketable then takes the side price. After that
it is *resting* and is filled at its own limit when the market trades through it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from brokers.errors import RejectCode
from brokers.types import OPTIONS, TERMINAL, Kind, OrderType, Side, Status, Validity
from tvapp.lib.money import ZERO, ceil_to, floor_to, on_step, plain

D = Decimal
BPS = D(10000)
PERCENT = D(100)
VOLUME = "volume"
SHARES_PROTECTION = ((D(100), D(2)), (D(500), D(1)))
SHARES_PROTECTION_ABOVE = D("0.5")
OPTIONS_PROTECTION = ((D(10), D(5)), (D(100), D(3)), (D(500), D(2)))
OPTIONS_PROTECTION_ABOVE = D(1)


class Liquidity(StrEnum):
    """How much one quote may fill.

    FULL: everything. DEPTH: the sizes of the levels, one fill a level; a quote without sizes fills as FULL. PARTICIPATION: a share of the
    volume traded since the last quote; a quote without a volume fills nothing. The alert's own price always fills as FULL.
    """

    FULL = "FULL"
    DEPTH = "DEPTH"
    PARTICIPATION = "PARTICIPATION"


class PricedBy(StrEnum):
    QUOTE = "QUOTE"
    ALERT = "ALERT"


@dataclass(frozen=True, slots=True)
class Level:
    """One step of the order book."""

    price: D
    quantity: D


@dataclass(frozen=True, slots=True)
class PaperQuote:
    """What is known of the market. `bids` and `asks` (best first) go before bid and ask; `volume` is what traded since the last quote.

    `priced_by` ALERT: built from the order's own ref_price, never too old. `first_of_session`: the opening price of a session.
    """

    ltp: D | None
    at: datetime | None
    bid: D | None = None
    ask: D | None = None
    bid_qty: D | None = None
    ask_qty: D | None = None
    bids: tuple[Level, ...] = ()
    asks: tuple[Level, ...] = ()
    volume: D | None = None
    priced_by: PricedBy = PricedBy.QUOTE
    first_of_session: bool = False
    band_low: D | None = None
    band_high: D | None = None


NO_PRICE = PaperQuote(ltp=None, at=None)


@dataclass(frozen=True, slots=True)
class MatchParams:
    """The account's choices. `market_protection` is a percent and replaces the table; `extra_bps` worsens prices taken from a book."""

    slippage_bps: D = D(5)  # noqa: RUF009 - immutable
    extra_bps: D = ZERO
    market_protection: D | None = None
    liquidity: Liquidity = Liquidity.FULL
    participation_pct: D = D(10)  # noqa: RUF009 - immutable
    fill_on_touch: bool = False
    max_quote_age: timedelta = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class PaperOrderState:
    """An order of the paper book. `status` SUBMITTED asks for acceptance first.

    `cap` is the limit a MARKET or triggered SL_M order got; `met_at` the time of the last quote it met; `taken` how much of the quote of
    `taken_at` it has consumed, by level.
    """

    side: Side
    order_type: OrderType
    quantity: D
    tick: D
    lot: D
    price: D | None = None
    trigger_price: D | None = None
    validity: Validity = Validity.DAY
    kind: Kind = Kind.EQ
    freeze: D | None = None
    protection: D | None = None
    status: Status = Status.SUBMITTED
    filled: D = ZERO
    cap: D | None = None
    triggered: bool = False
    met_at: datetime | None = None
    taken_at: datetime | None = None
    taken: Mapping[str, D] = field(default_factory=dict, hash=False)

    @property
    def rest(self) -> D:
        return self.quantity - self.filled

    @property
    def limit(self) -> D | None:
        """The worst price it may fill at."""
        return self.price if self.order_type in (OrderType.LIMIT, OrderType.SL) else self.cap


@dataclass(frozen=True, slots=True)
class FillStep:
    """An execution. `maker`: it was resting. `level` names what it consumed of the quote, empty when nothing is counted."""

    quantity: D
    price: D
    maker: bool
    priced_by: PricedBy
    level: str = ""


@dataclass(frozen=True, slots=True)
class StateStep:
    """A new state. `code` and `message` explain REJECTED and CANCELLED; `cap` is set when the order got its limit."""

    status: Status
    code: str = ""
    message: str = ""
    triggered: bool = False
    cap: D | None = None


Step = FillStep | StateStep


@dataclass(frozen=True, slots=True)
class _Offer:
    """Something the market gives: `raw` as quoted, `price` after slippage and rounding, None of `size` is without end."""

    raw: D
    price: D
    size: D | None = None
    level: str = ""


def match(order: PaperOrderState, quote: PaperQuote, params: MatchParams, now: datetime) -> list[Step]:
    """What happens to `order` when it meets `quote`, in order. Nothing when it ended, or met this quote or a later one before.

    A quote that is too old, crossed, not positive or outside its band fills nothing.
    """
    if order.status in TERMINAL:
        return []
    priced = usable(quote, params, now)
    steps: list[Step] = _accept(order, quote.ltp if priced else None) if order.status == Status.SUBMITTED else []
    order = _fold(order, steps)
    if order.status == Status.REJECTED:
        return steps
    if priced and not _met(order, quote):
        work = _work(order, quote, params)
        order, steps = _fold(order, work), steps + work
    return steps + _end(order, priced)


def advance(order: PaperOrderState, steps: Sequence[Step], quote: PaperQuote, params: MatchParams, now: datetime) -> PaperOrderState:
    """The order after `steps`, which `match` gave for the same arguments, with what it consumed of the quote."""
    after = _fold(order, steps)
    if not usable(quote, params, now) or _met(order, quote):
        return after
    taken = dict(order.taken) if order.taken_at == quote.at else {}
    for step in steps:
        if isinstance(step, FillStep) and step.level:
            taken[step.level] = taken.get(step.level, ZERO) + step.quantity
    return replace(after, met_at=quote.at, taken_at=quote.at, taken=taken)


def usable(quote: PaperQuote, params: MatchParams, now: datetime) -> bool:
    """Whether anything may be decided on this quote."""
    if quote.ltp is None or quote.at is None:
        return False
    if quote.priced_by != PricedBy.ALERT and abs(now - quote.at) > params.max_quote_age:
        return False
    bid, ask = _best(quote, Side.SELL), _best(quote, Side.BUY)
    prices = [p for p in (quote.ltp, bid, ask, *(level.price for level in quote.bids + quote.asks)) if p is not None]
    if any(p <= 0 for p in prices) or (bid is not None and ask is not None and bid > ask):
        return False
    low, high = quote.band_low, quote.band_high
    return all((low is None or p >= low) and (high is None or p <= high) for p in prices)


def refusal(order: PaperOrderState, ltp: D | None) -> StateStep | None:
    """Why a broker would not take the order as it stands; None when it would. Without a price the side of a trigger is not judged."""
    return _bad_quantity(order) or _bad_price(order) or _bad_trigger(order, ltp)


# ---------------------------------------------------------------------------- acceptance
def _accept(order: PaperOrderState, ltp: D | None) -> list[Step]:
    refused = refusal(order, ltp)
    if refused:
        return [refused]
    return [StateStep(Status.TRIGGER_PENDING if _has_trigger(order) else Status.OPEN)]


def _has_trigger(order: PaperOrderState) -> bool:
    return order.order_type in (OrderType.SL, OrderType.SL_M)


def _reject(code: RejectCode, sentence: str) -> StateStep:
    return StateStep(Status.REJECTED, code=code.value, message=sentence)


def _bad_quantity(order: PaperOrderState) -> StateStep | None:
    asked = plain(order.quantity)
    if order.quantity <= 0:
        return _reject(RejectCode.INVALID_FIELD, f"Quantity {asked} must be above 0")
    if not on_step(order.quantity, order.lot):
        return _reject(RejectCode.INVALID_FIELD, f"Quantity {asked} is not a multiple of the lot {plain(order.lot)}")
    if order.freeze is not None and order.quantity > order.freeze:
        return _reject(RejectCode.FREEZE_QTY, f"Quantity {asked} is above the freeze quantity {plain(order.freeze)}")
    return None


def _bad_price(order: PaperOrderState) -> StateStep | None:
    needed = []
    if order.order_type in (OrderType.LIMIT, OrderType.SL):
        needed.append(("Price", order.price))
    if _has_trigger(order):
        needed.append(("Trigger price", order.trigger_price))
    for name, price in needed:
        if price is None:
            return _reject(RejectCode.INVALID_PRICE, f"{name} is missing")
        if price <= 0:
            return _reject(RejectCode.INVALID_PRICE, f"{name} {plain(price)} must be above 0")
        if not on_step(price, order.tick):
            return _reject(RejectCode.INVALID_PRICE, f"{name} {plain(price)} is not a multiple of the tick {plain(order.tick)}")
    return None


def _bad_trigger(order: PaperOrderState, ltp: D | None) -> StateStep | None:
    trigger, side = order.trigger_price, order.side
    if not _has_trigger(order) or trigger is None or order.triggered:
        return None
    word = "above" if side == Side.BUY else "below"
    if order.price is not None and order.order_type == OrderType.SL and _beyond(side, order.price, trigger):
        return _reject(RejectCode.TRIGGER_SIDE, f"{side} price {plain(order.price)} must be at or {word} the trigger {plain(trigger)}")
    if ltp is not None and (trigger == ltp or _beyond(side, trigger, ltp)):
        return _reject(RejectCode.TRIGGER_SIDE, f"{side} trigger {plain(trigger)} must be {word} the last price {plain(ltp)}")
    return None


# ---------------------------------------------------------------------------- one quote
def _met(order: PaperOrderState, quote: PaperQuote) -> bool:
    return order.met_at is not None and quote.at is not None and quote.at <= order.met_at


def _work(order: PaperOrderState, quote: PaperQuote, params: MatchParams) -> list[Step]:
    """Trigger, cap and fills of an accepted order on a usable quote it has not met."""
    opening: list[Step] = []
    if order.status == Status.TRIGGER_PENDING:
        if not _triggers(order, quote.ltp):
            return []
        cap = _cap(order, quote, params) if order.order_type == OrderType.SL_M else None
        opening = [StateStep(Status.OPEN, triggered=True, cap=cap)]
    elif order.order_type == OrderType.MARKET and order.cap is None:
        opening = [StateStep(Status.OPEN, cap=_cap(order, quote, params))]
    arriving = bool(opening) or order.met_at is None
    order = _fold(order, opening)
    return opening + (_take(order, quote, params) if arriving else _serve(order, quote, params))


def _triggers(order: PaperOrderState, ltp: D | None) -> bool:
    if ltp is None or order.trigger_price is None:
        return False
    return not _beyond(order.side, ltp, order.trigger_price)


def _cap(order: PaperOrderState, quote: PaperQuote, params: MatchParams) -> D:
    """The limit a market order gets: the protection away from the side price, rounded towards the market."""
    side_price = _side_offer(order, quote, params).price
    asked = [p for p in (order.protection, params.market_protection) if p is not None and p > 0]
    pct = asked[0] if asked else protection_pct(order.kind, side_price)
    if order.side == Side.BUY:
        return floor_to(side_price * (1 + pct / PERCENT), order.tick)
    return max(ceil_to(side_price * (1 - pct / PERCENT), order.tick), order.tick)


def protection_pct(kind: Kind, price: D) -> D:
    """The broker's market protection in percent for a price; options have their own table."""
    bands, above = (OPTIONS_PROTECTION, OPTIONS_PROTECTION_ABOVE) if kind in OPTIONS else (SHARES_PROTECTION, SHARES_PROTECTION_ABOVE)
    last = bands[-1][0]
    if price == last:
        return bands[-1][1]
    return next((pct for below, pct in bands if price < below), above)


def _take(order: PaperOrderState, quote: PaperQuote, params: MatchParams) -> list[Step]:
    """An arriving order takes what the market offers at its limit or better: at the market's price, never worse than the limit."""
    limit = order.limit
    if limit is None:
        return []
    good = [o for o in _offers(order, quote, params) if not _beyond(order.side, limit, o.raw)]
    return _fill(order, [replace(o, price=_better(order.side, o.price, limit)) for o in good], quote, maker=False)


def _serve(order: PaperOrderState, quote: PaperQuote, params: MatchParams) -> list[Step]:
    """A resting order fills at its limit when the market trades through it; at the opening price when a session opens beyond it."""
    limit, ltp = order.limit, quote.ltp
    if limit is None or ltp is None:
        return []
    if _through(order.side, ltp, limit, params):
        offers = _whole(order, quote, params, ltp)
    else:
        offers = [o for o in _offers(order, quote, params) if _through(order.side, o.raw, limit, params)]
    opening = quote.first_of_session
    return _fill(order, [replace(o, price=_better(order.side, o.price, limit) if opening else limit) for o in offers], quote, maker=True)


def _whole(order: PaperOrderState, quote: PaperQuote, params: MatchParams, ltp: D) -> list[_Offer]:
    """A trade beyond the limit means that the order stood first in line: all of it, or its share of the volume."""
    price = _worse(order, ltp, ZERO)
    if _mode(quote, params) == Liquidity.PARTICIPATION:
        return _share(order, quote, params, ltp, price)
    return [_Offer(ltp, price)]


def _fill(order: PaperOrderState, offers: Sequence[_Offer], quote: PaperQuote, *, maker: bool) -> list[Step]:
    steps: list[Step] = []
    rest = order.rest
    for offer in offers:
        quantity = rest if offer.size is None else min(rest, floor_to(offer.size, order.lot))
        if quantity <= 0:
            continue
        steps.append(FillStep(quantity, offer.price, maker, quote.priced_by, offer.level))
        rest -= quantity
    return steps


def _end(order: PaperOrderState, priced: bool) -> list[Step]:
    if order.rest <= 0:
        return [StateStep(Status.FILLED)]
    if order.validity == Validity.IOC and order.status == Status.OPEN:
        why = "no offer within the limit" if priced else "no price was known"
        sentence = f"{plain(order.filled)} of {plain(order.quantity)} filled, the rest was cancelled ({why})"
        return [StateStep(Status.CANCELLED, code="IOC", message=sentence)]
    return []


# ---------------------------------------------------------------------------- what the market offers
def _mode(quote: PaperQuote, params: MatchParams) -> Liquidity:
    return Liquidity.FULL if quote.priced_by == PricedBy.ALERT else params.liquidity


def _levels(quote: PaperQuote, side: Side) -> tuple[Level, ...]:
    """The side of the book an order of `side` takes from, as far as sizes are known."""
    levels = quote.asks if side == Side.BUY else quote.bids
    if levels:
        return levels
    price, size = (quote.ask, quote.ask_qty) if side == Side.BUY else (quote.bid, quote.bid_qty)
    return (Level(price, size),) if price is not None and size is not None else ()


def _best(quote: PaperQuote, side: Side) -> D | None:
    """The price an order of `side` takes from the book: the best ask for BUY, the best bid for SELL."""
    levels = quote.asks if side == Side.BUY else quote.bids
    if levels:
        return levels[0].price
    return quote.ask if side == Side.BUY else quote.bid


def _side_offer(order: PaperOrderState, quote: PaperQuote, params: MatchParams) -> _Offer:
    """The side price without a size: the book's, or the last price made worse by the slippage."""
    raw = _best(quote, order.side)
    if raw is not None:
        return _Offer(raw, _worse(order, raw, params.extra_bps))
    ltp = quote.ltp if quote.ltp is not None else ZERO
    return _Offer(ltp, _worse(order, ltp, params.slippage_bps))


def _offers(order: PaperOrderState, quote: PaperQuote, params: MatchParams) -> list[_Offer]:
    side, mode = _side_offer(order, quote, params), _mode(quote, params)
    if mode == Liquidity.PARTICIPATION:
        return _share(order, quote, params, side.raw, side.price)
    levels = _levels(quote, order.side) if mode == Liquidity.DEPTH else ()
    if not levels:
        return [side]
    return [_level_offer(order, quote, params, level) for level in levels]


def _level_offer(order: PaperOrderState, quote: PaperQuote, params: MatchParams, level: Level) -> _Offer:
    name = plain(level.price.normalize()) or ""
    return _Offer(level.price, _worse(order, level.price, params.extra_bps), level.quantity - _taken(order, quote, name), name)


def _share(order: PaperOrderState, quote: PaperQuote, params: MatchParams, raw: D, price: D) -> list[_Offer]:
    if quote.volume is None:
        return []
    return [_Offer(raw, price, quote.volume * params.participation_pct / PERCENT - _taken(order, quote, VOLUME), VOLUME)]


def _taken(order: PaperOrderState, quote: PaperQuote, level: str) -> D:
    return order.taken.get(level, ZERO) if order.taken_at == quote.at else ZERO


# ---------------------------------------------------------------------------- prices
def _beyond(side: Side, price: D, other: D) -> bool:
    """Whether `price` is better for `side` than `other`: lower for BUY, higher for SELL."""
    return price < other if side == Side.BUY else price > other


def _better(side: Side, a: D, b: D) -> D:
    return min(a, b) if side == Side.BUY else max(a, b)


def _through(side: Side, price: D, limit: D, params: MatchParams) -> bool:
    return _beyond(side, price, limit) or (params.fill_on_touch and price == limit)


def _worse(order: PaperOrderState, price: D, bps: D) -> D:
    """`price` moved by `bps` against the order and rounded against it to the tick; at least one tick."""
    if order.side == Side.BUY:
        return ceil_to(price * (1 + bps / BPS), order.tick)
    return max(floor_to(price * (1 - bps / BPS), order.tick), order.tick)


def _fold(order: PaperOrderState, steps: Sequence[Step]) -> PaperOrderState:
    for step in steps:
        if isinstance(step, FillStep):
            order = replace(order, filled=order.filled + step.quantity)
        else:
            cap = order.cap if step.cap is None else step.cap
            order = replace(order, status=step.status, triggered=order.triggered or step.triggered, cap=cap)
    return order
