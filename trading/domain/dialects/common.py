"""What the alert formats share: the words of the field, symbols, prices and positions as senders write them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from tvapp.lib.money import plain

from ..alertjson import refuse
from ..signal import Bracket, Signal
from ..types import Action, BracketKind, Effect, OrderType, Product, Validity
from .fields import Fields, word_of
from .values import number_of, positive

OUR_PLATFORMS = frozenset({"TRADINGVIEW", "ZERODHA", "PAPER"})
HANDLED = ("secret", "apikey", "platform", "dialect")  # read before a dialect sees the body
KEY_NAMES = ("idempotency_key", "client_order_id", "alert_id", "alert_timestamp")


@dataclass(frozen=True, slots=True)
class Context:
    """What the strategy adds to a body. `received_at` is aware; `default_exchange` may be empty."""

    received_at: datetime
    default_exchange: str = "NSE"
    use_target: bool = False


_ORDER_TYPES = {
    "MKT": "MARKET",
    "LMT": "LIMIT",
    "SL_L": "SL",
    "STOP_LIMIT": "SL",
    "SLM": "SL_M",
    "STOP": "SL_M",
    "STOP_MARKET": "SL_M",
    "TRAILING_STOP": "TRAILING",
}
_PRODUCTS = {"CASH_AND_CARRY": "CNC", "DELIVERY": "CNC", "INTRADAY": "MIS", "CARRY_FORWARD": "NRML", "NORMAL": "NRML"}


def action(fields: Fields, name: str) -> Action:
    """BUY or SELL in any case; anything else, HOLD or empty, is no order."""
    path, given = fields.get(name)
    if given is None:
        raise refuse("MISSING_FIELD", f"{path} is missing.", field=path, hint="BUY or SELL is needed.")
    word = (fields.text(name) or "").upper()
    if word not in ("BUY", "SELL"):
        raise refuse("BAD_ACTION", f"{path} is {word or 'empty'}; BUY or SELL is needed.", field=path)
    return Action(word)


def idempotency_key(fields: Fields) -> str | None:
    """The sender's own key for this signal."""
    return fields.text(*KEY_NAMES)


def product(fields: Fields) -> Product | None:
    """`product`; else `trade_type`, which is only a hint: words we do not know there are no reason to lose an alert."""
    named = fields.word(Product, _PRODUCTS, "BAD_PRODUCT", "product")
    return named or word_of(Product, _PRODUCTS, fields.text("trade_type") or "")


def order_type(fields: Fields) -> OrderType | None:
    return fields.word(OrderType, _ORDER_TYPES, "BAD_ORDER_TYPE", "order_type")


@dataclass(frozen=True, slots=True)
class Prices:
    """Order type with the prices it uses; `ref_price` is the price at the alert whatever the type."""

    order_type: OrderType | None
    limit_price: Decimal | None
    trigger_price: Decimal | None
    ref_price: Decimal | None


def prices(fields: Fields, *price_names: str) -> Prices:
    """A named type wins. Without one a trigger means SL or SL_M, a price means LIMIT, and neither leaves the type to the strategy."""
    price, trigger = fields.price(*price_names), fields.price("trigger_price")
    kind = order_type(fields)
    if kind is None and trigger:
        kind = OrderType.SL if price else OrderType.SL_M
    elif kind is None and price:
        kind = OrderType.LIMIT
    return priced(kind, price, trigger, price, price_names[0])


def priced(kind: OrderType | None, price: Decimal | None, trigger: Decimal | None, ref: Decimal | None, name: str) -> Prices:
    """Only the prices the type uses, and 400 MISSING_FIELD when one of them is not there."""
    limit = price if kind in (OrderType.LIMIT, OrderType.SL) else None
    stop = trigger if kind in (OrderType.SL, OrderType.SL_M) else None
    if kind in (OrderType.LIMIT, OrderType.SL) and limit is None:
        raise refuse("MISSING_FIELD", f"A {kind} order needs {name}.", field=name)
    if kind in (OrderType.SL, OrderType.SL_M) and stop is None:
        raise refuse("MISSING_FIELD", f"A {kind} order needs trigger_price.", field="trigger_price")
    return Prices(kind, limit, stop, ref)


def bracket(fields: Fields, *names: str) -> Bracket | None:
    """A stop or target: a number is a price, `1.5%` a percentage, an object one of price, percent, points."""
    path, value = fields.get(*names)
    if value is None:
        return None
    if isinstance(value, Mapping):
        return _bracket_object(value, path)
    if isinstance(value, str) and value.strip().endswith("%"):
        return Bracket(BracketKind.PCT, positive(number_of(value.strip()[:-1], path), path, "BAD_PRICE"))
    return Bracket(BracketKind.PRICE, positive(number_of(value, path), path, "BAD_PRICE"))


def trail(fields: Fields) -> Bracket | None:
    """The distance of a trailing stop: a number is points, `1%` a percentage, an object one of percent, points."""
    found = bracket(fields, "trail", "trailing_stop")
    return Bracket(BracketKind.POINTS, found.value) if found and found.kind is BracketKind.PRICE else found


def _bracket_object(value: Mapping[str, object], path: str) -> Bracket:
    for name, kind in (("price", BracketKind.PRICE), ("percent", BracketKind.PCT), ("points", BracketKind.POINTS)):
        if value.get(name) is not None:
            where = f"{path}.{name}"
            return Bracket(kind, positive(number_of(value[name], where), where, "BAD_PRICE"))
    raise refuse("MISSING_FIELD", f"{path} needs price, percent or points.", field=path)


_TIMEFRAME = re.compile(r"([1-9][0-9]{0,4})\s*(m|min|h|H|s|S|d|D|w|W|M)?")
_IN_MINUTES = {None: 1, "m": 1, "min": 1, "h": 60, "H": 60}


def timeframe(text: str | None) -> str | None:
    """`5m` is "5", `1h` is "60", `1D` is "D"; minutes are bare, seconds end in S; other multiples stay as they are (`2D`, `3M`)."""
    if text is None or text.upper() in ("D", "W") or text == "M":
        return text.upper() if text else None
    found = _TIMEFRAME.fullmatch(text)
    if not found:
        return text
    count, unit = int(found[1]), found[2]
    if unit in _IN_MINUTES:
        return str(count * _IN_MINUTES[unit])
    unit = str(unit).upper()
    return unit if count == 1 and unit != "S" else f"{count}{unit}"


_SYMBOL = re.compile(r"[A-Z0-9&_.!:-]{1,64}")
_EXCHANGE = re.compile(r"[A-Z0-9_]{1,20}")
_DELAYED = re.compile(r"_DLY?$")


@dataclass(frozen=True, slots=True)
class TvSymbol:
    """Exchange (may be empty) and symbol in capitals; `delayed` when TradingView marked the data as such."""

    exchange: str
    symbol: str
    delayed: bool


def symbol(fields: Fields, context: Context) -> TvSymbol:
    """`EXCH:SYMBOL`, or a symbol and an exchange beside it, or the strategy's exchange. A prefix wins over the field."""
    path, _ = fields.get("symbol", "ticker")
    given = fields.text("symbol", "ticker") or ""
    text = given.upper()
    if not text:
        raise refuse("MISSING_FIELD", f"{path} is missing.", field=path, hint="Add the symbol, for example NSE:INFY.")
    if not (given.isascii() and _SYMBOL.fullmatch(text)):
        raise refuse(
            "BAD_SYMBOL", f"{path} is {given[:64]}, which is not a symbol.", field=path, hint="One symbol like NSE:INFY; no spreads."
        )
    prefix, colon, name = text.rpartition(":")
    beside = (fields.text("exchange") or "").upper()
    exchange = (prefix if colon else "") or beside or context.default_exchange.upper()
    if not name or (exchange and not _EXCHANGE.fullmatch(exchange)):
        raise refuse(
            "BAD_SYMBOL", f"{path} is {text}, with exchange {exchange[:20] or 'none'}.", field=path, hint="Write it like NSE:INFY."
        )
    delayed = bool(_DELAYED.search(exchange) or _DELAYED.search(beside))
    return TvSymbol(_DELAYED.sub("", exchange), name, delayed)


def stated_position(fields: Fields, side_name: str, *size_names: str) -> Decimal | None:
    """The signed position a body states: `long`, `short` or `flat` with a size, or a size that carries its own sign."""
    side_path, side = fields.get(side_name)
    size = fields.position(*size_names)
    word = (fields.text(side_name) or "").lower() if side is not None else ""
    if not word:
        return size
    if word not in ("long", "short", "flat"):
        raise refuse("BAD_POSITION", f"{side_path} is {word}; long, short or flat is needed.", field=side_path)
    if word == "flat":
        return Decimal(0)
    if size is None:
        return None
    if word == "long" and size < 0:
        raise refuse("BAD_POSITION", f"{side_path} is long, but the size beside it is {plain(size)}.", field=side_path)
    return -abs(size) if word == "short" else size


def base(name: str, fields: Fields, context: Context) -> Signal:
    """The part of a signal that every format spells the same; the dialect replaces the rest."""
    found = symbol(fields, context)
    return Signal(
        dialect=name,
        schema=fields.text("version"),
        tv_exchange=found.exchange,
        tv_symbol=found.symbol,
        timeframe=timeframe(fields.text("timeframe", "interval")),
        product=product(fields),
        validity=fields.word(Validity, {}, "BAD_VALIDITY", "validity"),
        validity_minutes=fields.whole(1, 1440, "minutes", "validity_minutes", "validity_ttl"),
        iceberg_legs=fields.whole(2, 50, "legs", "iceberg_legs"),
        stop_loss=bracket(fields, "stop_loss"),
        take_profit=bracket(fields, "take_profit"),
        trail=trail(fields),
        max_slippage_pct=fields.percent("max_slippage_pct"),
        max_age_s=fields.seconds("max_age_s"),
        received_at=context.received_at,
        order_ref=fields.text("order_id"),
        tag=fields.text("tag", "order_tag"),
        idempotency_key=idempotency_key(fields),
        extras={"delayed": True} if found.delayed else {},
    )


def effect_of(action: Action, target: Decimal | None) -> Effect:
    """A BUY after which the sender is flat covers a short. A SELL needs no such reading: it is capped by what is held anyway."""
    return Effect.EXIT if action is Action.BUY and target == 0 else Effect.UNKNOWN


def ignored_platform(body: Mapping[str, object], accepted: frozenset[str] = OUR_PLATFORMS) -> bool:
    """Whether the body names platforms (`platform` or `meta.platform`, a text or a list) and none of them is ours."""
    meta = body.get("meta")
    named = body.get("platform") or (meta.get("platform") if isinstance(meta, Mapping) else None)
    if not named:
        return False
    names = named if isinstance(named, list) else [named]
    return not any(isinstance(name, str) and name.strip().upper() in accepted for name in names)
