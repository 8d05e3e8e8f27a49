"""Market data: last prices, quotes with a made-up depth, candles. An account on the personal plan gets none."""

import hashlib
from datetime import datetime, timedelta
from decimal import Decimal as D

from brokers.kitesim import answers
from brokers.kitesim.answers import Refused, invalid
from brokers.kitesim.instruments import Instrument
from brokers.kitesim.market import Quote
from brokers.kitesim.request import Request
from brokers.kitesim.state import Simulator
from tvapp.lib.clock import IST
from tvapp.lib.money import floor_to

MOST_QUOTES, MOST_PRICES, MOST_CANDLES, LEVELS = 500, 1000, 2000, 5
MINUTES = {"minute": 1, "3minute": 3, "5minute": 5, "10minute": 10, "15minute": 15, "30minute": 30, "60minute": 60, "day": 1440}


def _asked(sim: Simulator, request: Request, most: int) -> list[tuple[str, Instrument, Quote]]:
    if request.account.plan == "personal":
        raise Refused(answers.NOT_PERMITTED, "PermissionException", 403)
    keys = request.query.get("i", [])
    if not keys:
        raise invalid("i")
    if len(keys) > most:
        raise Refused(f"Too many tokens requested. Max permitted is {most}.")
    return [(key, sim.market.by_key[key], sim.market.quotes[key]) for key in keys if key in sim.market.by_key]


def ltp(sim: Simulator, request: Request) -> object:
    return {key: {"instrument_token": item.token, "last_price": quote.last} for key, item, quote in _asked(sim, request, MOST_PRICES)}


def ohlc(sim: Simulator, request: Request) -> object:
    asked = _asked(sim, request, MOST_PRICES)
    return {key: {"instrument_token": item.token, "last_price": quote.last, "ohlc": day(quote)} for key, item, quote in asked}


def full(sim: Simulator, request: Request) -> object:
    return {key: _quote(sim, item, quote) for key, item, quote in _asked(sim, request, MOST_QUOTES)}


def day(quote: Quote) -> dict[str, D]:
    return {"open": quote.open, "high": quote.high, "low": quote.low, "close": quote.close}


def _quote(sim: Simulator, item: Instrument, quote: Quote) -> dict[str, object]:
    now, depth = sim.clock.stamp(), book(item, quote)
    facts = {"instrument_token": item.token, "timestamp": now, "last_trade_time": now, "last_price": quote.last, "last_quantity": 1}
    facts |= {"buy_quantity": sum(r["quantity"] for r in depth["buy"]), "sell_quantity": sum(r["quantity"] for r in depth["sell"])}
    facts |= {"volume": quote.volume, "average_price": quote.last, "oi": 0, "oi_day_high": 0, "oi_day_low": 0}
    facts |= {"net_change": quote.last - quote.close, "lower_circuit_limit": quote.lower, "upper_circuit_limit": quote.upper}
    return {**facts, "ohlc": day(quote), "depth": depth}


def book(item: Instrument, quote: Quote) -> dict[str, list[dict[str, object]]]:
    """Five levels a tick apart around the last price; an index has none."""
    tick, many = item.tick, max(1, item.lot) * 10
    if not item.tradable:
        none = [{"price": 0, "quantity": 0, "orders": 0}] * LEVELS
        return {"buy": none, "sell": none}
    return {
        "buy": [{"price": max(tick, quote.last - tick * n), "quantity": many * (n + 1), "orders": n + 1} for n in range(LEVELS)],
        "sell": [{"price": quote.last + tick * n, "quantity": many * (n + 1), "orders": n + 1} for n in range(LEVELS)],
    }


# ---------------------------------------------------------------------------- history
def candles(sim: Simulator, request: Request, token: str, interval: str) -> object:
    """The same candles for the same question, ending near the last price."""
    if request.account.plan == "personal":
        raise Refused(answers.NOT_PERMITTED, "PermissionException", 403)
    item = sim.market.by_token.get(int(token))
    if item is None or interval not in MINUTES:
        raise invalid("interval" if item else "instrument_token")
    start, stop = (_moment(request.first(name), name) for name in ("from", "to"))
    step, rows, at = timedelta(minutes=MINUTES[interval]), [], start
    price = sim.market.price(item.key)
    while at <= min(stop, sim.clock.now()) and len(rows) < MOST_CANDLES:
        rows.append(_candle(item, price, at))
        at += step
    return {"candles": rows}


def _moment(text: str, name: str) -> datetime:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=IST)
    except ValueError:
        raise invalid(name) from None


def _candle(item: Instrument, price: D, at: datetime) -> list[object]:
    seed = hashlib.sha256(f"{item.key}:{at:%Y%m%d%H%M}".encode()).digest()
    first, last = (floor_to(price * (1000 + seed[n] % 21 - 10) / 1000, item.tick) for n in (0, 1))
    spread = max(item.tick, floor_to(price * (seed[2] % 5) / 1000, item.tick))
    return [at.strftime("%Y-%m-%dT%H:%M:%S%z"), first, max(first, last) + spread, min(first, last) - spread, last, 1000 + seed[3] * 10]
