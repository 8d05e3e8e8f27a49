"""What is refused before it is an order: a request's fields, the instrument's steps and limits, hours, shares and funds."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal as D

from brokers.kitesim import answers
from brokers.kitesim.accounts import COMMODITY, Account
from brokers.kitesim.answers import Refused, invalid
from brokers.kitesim.instruments import Instrument
from brokers.kitesim.market import Market
from brokers.kitesim.simclock import MIS_UNTIL, SEGMENT, SimClock
from tvapp.lib.money import ceil_to, floor_to, on_step, plain

ZERO = D(0)
VARIETIES, SIDES, TYPES = ("regular", "amo", "co", "iceberg"), ("BUY", "SELL"), ("MARKET", "LIMIT", "SL", "SL-M")
VALIDITIES = ("DAY", "IOC", "TTL")
SHARE_PRODUCTS, OTHER_PRODUCTS = ("CNC", "MIS", "MTF"), ("NRML", "MIS")
TAG_LENGTH, MOST_SLICES, LEGS = 20, 10, range(2, 51)
WHOLE, AMOUNT = re.compile(r"-?[0-9]{1,9}"), re.compile(r"[0-9]{1,9}(\.[0-9]{0,20})?")
STEP = "Tick size for this script is {tick}. Kindly enter {which} in the multiple of tick size for this script"
CIRCUIT = "Your order price is {way} than the current {side} circuit limit of {limit}. Place an order within the daily range."
TRIGGER_CIRCUIT = "Trigger price for stoploss {side} orders cannot be {way} circuit price. Please try placing the order with trigger price {fix}."


@dataclass
class Wish:
    """A request to place or change an order, read but not yet judged. Prices of 0 are absent."""

    variety: str
    item: Instrument
    side: str
    order_type: str
    product: str
    validity: str
    quantity: int
    price: D = ZERO
    trigger: D = ZERO
    ttl: int = 0
    disclosed: int = 0
    protection: D = ZERO
    tag: str | None = None
    legs: int = 0
    autoslice: bool = False

    @property
    def protected(self) -> bool:
        """Sent as MARKET or SL-M, kept as a limit order at its cap."""
        return self.order_type in ("MARKET", "SL-M")

    @property
    def stops(self) -> bool:
        return self.order_type in ("SL", "SL-M")

    @property
    def most(self) -> int:
        """The most that one order may ask for; an iceberg's legs count by themselves."""
        return self.item.freeze * (self.legs or (MOST_SLICES if self.autoslice else 1))


# ---------------------------------------------------------------------------- reading
def whole(form: Mapping[str, str], name: str, default: int = 0) -> int:
    given = form.get(name) or str(default)
    if not WHOLE.fullmatch(given):
        raise invalid(name)
    return int(given)


def amount(form: Mapping[str, str], name: str) -> D:
    given = form.get(name) or "0"
    if not AMOUNT.fullmatch(given):
        raise invalid(name)
    return D(given)


def _protection(form: Mapping[str, str]) -> D:
    given = form.get("market_protection") or "0"
    if given != "-1" and not AMOUNT.fullmatch(given):
        raise Refused(f"Invalid request (failed to decode market_protection, got: {given} (expected decimal))")
    value = D(given)
    if value != -1 and not 0 <= value <= 100:
        raise invalid("market_protection")
    return value


def one_of(form: Mapping[str, str], name: str, allowed: tuple[str, ...], default: str = "") -> str:
    value = form.get(name) or default
    if value not in allowed:
        raise invalid(name)
    return value


def instrument(form: Mapping[str, str], market: Market) -> Instrument:
    if form.get("exchange") not in SEGMENT:
        raise invalid("exchange")
    item = market.by_key.get(f"{form['exchange']}:{form.get('tradingsymbol')}")
    if item is None or not item.tradable:
        raise Refused(answers.NO_INSTRUMENT)
    return item


def read(variety: str, form: Mapping[str, str], market: Market) -> Wish:
    """The request's fields. Raises Refused for one that no order may have."""
    if variety not in VARIETIES:
        raise invalid("variety")
    item = instrument(form, market)
    products = SHARE_PRODUCTS if item.kind == "EQ" else OTHER_PRODUCTS
    return Wish(
        variety=variety,
        item=item,
        side=one_of(form, "transaction_type", SIDES),
        order_type=one_of(form, "order_type", TYPES),
        product=one_of(form, "product", (*products, "CO") if variety == "co" else products),
        validity=one_of(form, "validity", VALIDITIES, "DAY"),
        quantity=whole(form, "quantity"),
        price=amount(form, "price"),
        trigger=amount(form, "trigger_price"),
        ttl=whole(form, "validity_ttl"),
        disclosed=whole(form, "disclosed_quantity"),
        protection=_protection(form),
        tag=form.get("tag") or None,
        legs=whole(form, "iceberg_legs") if variety == "iceberg" else 0,
        autoslice=form.get("autoslice") == "true",
    )


# ---------------------------------------------------------------------------- judging
def check(wish: Wish, market: Market, clock: SimClock) -> None:
    """Raises Refused for what the account does not matter to."""
    _fields(wish)
    if wish.order_type in ("LIMIT", "SL"):
        _step(wish.item, wish.price, "price")
    if wish.stops or wish.variety == "co":
        _step(wish.item, wish.trigger, "trigger price")
    if wish.order_type == "SL" and (wish.price - wish.trigger) * (1 if wish.side == "BUY" else -1) < 0:
        raise invalid("trigger_price")
    if wish.protected and wish.protection == 0:
        raise Refused(answers.NO_PROTECTION)
    hours(wish.variety, wish.product, wish.item.exchange, clock)
    _circuit(wish, market)


def _fields(wish: Wish) -> None:
    if wish.quantity <= 0 or wish.quantity % max(1, wish.item.lot) or not 0 <= wish.disclosed <= wish.quantity:
        raise invalid("quantity")
    if wish.tag is not None and len(wish.tag) > TAG_LENGTH:
        raise Refused(f"`tag` should be max {TAG_LENGTH} characters")
    if wish.tag is not None and not (wish.tag.isascii() and wish.tag.isalnum()):
        raise invalid("tag")
    if wish.validity == "TTL" and wish.ttl <= 0:
        raise invalid("validity_ttl")
    if wish.variety == "iceberg" and (wish.legs not in LEGS or wish.order_type != "LIMIT" or wish.quantity % wish.legs):
        raise invalid("iceberg_legs")
    if wish.variety == "co" and (wish.product not in ("MIS", "CO") or wish.stops):
        raise invalid("product")


def _step(item: Instrument, price: D, which: str) -> None:
    if price <= 0:
        raise invalid(which.replace(" ", "_"))
    if not on_step(price, item.tick):
        raise Refused(STEP.format(tick=f"{item.tick:.2f}" if item.tick >= D("0.01") else plain(item.tick), which=which))


def hours(variety: str, product: str, exchange: str, clock: SimClock) -> None:
    if variety == "amo":
        if not clock.takes_amo(exchange):
            raise invalid("variety")
        return
    if not clock.is_open(exchange):
        text = answers.AMO_HINT if product == "MIS" else answers.AMO_NOT_CONVERTED
        raise Refused(text, data={"hints": ["switch_to_amo"]})
    if product == "MIS" and clock.mis_is_over(exchange):
        until = MIS_UNTIL[SEGMENT[exchange]]
        raise Refused(f"Intraday orders (MIS) are allowed only till {until.hour % 12 or 12}:{until:%M} {until:%p}")


def _circuit(wish: Wish, market: Market) -> None:
    quote = market.quotes[wish.item.key]
    if wish.stops and wish.trigger < quote.lower:
        raise Refused(TRIGGER_CIRCUIT.format(side=wish.side.lower(), way="below the lower", fix=f"above {plain(quote.lower)}"))
    if wish.stops and wish.trigger > quote.upper:
        raise Refused(TRIGGER_CIRCUIT.format(side=wish.side.lower(), way="above the upper", fix=f"below {plain(quote.upper)}"))
    if wish.order_type in ("LIMIT", "SL"):
        if wish.price < quote.lower:
            raise Refused(CIRCUIT.format(way="lower", side="lower", limit=plain(quote.lower)))
        if wish.price > quote.upper:
            raise Refused(CIRCUIT.format(way="higher", side="upper", limit=plain(quote.upper)))


def check_account(wish: Wish, account: Account, quantity: int, price: D) -> D:
    """Raises Refused when shares or funds are missing; else what `quantity` at `price` blocks."""
    if wish.product == "CNC" and wish.side == "SELL" and account.sellable(wish.item) < quantity:
        raise Refused(answers.HOLDINGS_SHORT, "HoldingException")
    required = account.need(wish.item, wish.product, wish.side, quantity, price)
    available = account.available(wish.item.exchange in COMMODITY)
    if required > available and required > 0:
        raise answers.no_funds(required, available)
    return required


# ---------------------------------------------------------------------------- market protection
def protection_percent(wish: Wish, last: D) -> D:
    """The percentage asked for, or with -1 the automatic one for this price."""
    if wish.protection > 0:
        return wish.protection
    steps = ((10, 5), (100, 3), (500, 2), (None, 1)) if wish.item.is_option else ((100, 2), (500, 1), (None, D("0.5")))
    return D(next(percent for below, percent in steps if below is None or last < below))


def cap(wish: Wish, last: D) -> D:
    """The limit a protected order carries: away from `last` by the percentage, on the tick."""
    percent, tick = protection_percent(wish, last), wish.item.tick
    if wish.side == "BUY":
        return floor_to(last * (100 + percent) / 100, tick)
    return max(tick, ceil_to(last * (100 - percent) / 100, tick))
