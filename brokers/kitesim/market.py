"""Prices: what each instrument last traded at, what may trade there, and within which limits."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal as D

from brokers.kitesim.instruments import Instrument
from tvapp.lib.money import ceil_to, floor_to

FLOOR, CEILING = D("0.01"), D(10)  # wide circuit limits, so that a resting order of a test is not refused; /_sim/price sets others


@dataclass
class Quote:
    """`available` is how many may still trade at `last`; None: any number."""

    last: D
    close: D
    open: D
    high: D
    low: D
    lower: D
    upper: D
    available: int | None = None
    volume: int = 0


class Market:
    def __init__(self, rows: Iterable[Instrument]):
        self.quotes: dict[str, Quote] = {}
        self.load(rows)

    def load(self, rows: Iterable[Instrument]) -> None:
        """Takes a day's list; instruments that were there keep their price."""
        self.by_key = {item.key: item for item in rows}
        self.by_token = {item.token: item for item in self.by_key.values()}
        self.quotes = {key: self.quotes.get(key) or _first(item) for key, item in self.by_key.items()}

    def new_day(self) -> None:
        for quote in self.quotes.values():
            quote.close = quote.open = quote.high = quote.low = quote.last
            quote.volume = 0

    def price(self, key: str) -> D:
        return self.quotes[key].last

    def set(self, prices: Mapping[str, object]) -> list[str]:
        """{"NSE:INFY": "1500.05"} or {"NSE:INFY": {"price", "quantity", "lower", "upper"}}. Raises ValueError and changes nothing."""
        read = [(key, _wanted(value)) for key, value in prices.items()]
        unknown = [key for key, _ in read if key not in self.by_key]
        if unknown:
            raise ValueError(f"no such instrument: {', '.join(unknown)}")
        for key, (price, quantity, lower, upper) in read:
            quote = self.quotes[key]
            quote.last, quote.available = price, quantity
            quote.high, quote.low = max(quote.high, price), min(quote.low, price)
            quote.lower = min(price, quote.lower) if lower is None else lower
            quote.upper = max(price, quote.upper) if upper is None else upper
        return [key for key, _ in read]

    def take(self, key: str, wanted: int) -> int:
        """How many of `wanted` trade now."""
        quote = self.quotes[key]
        taken = wanted if quote.available is None else min(wanted, quote.available)
        if quote.available is not None:
            quote.available -= taken
        quote.volume += taken
        return taken


def _wanted(value: object) -> tuple[D, int | None, D | None, D | None]:
    fields = value if isinstance(value, Mapping) else {"price": value}
    unknown = set(fields) - {"price", "quantity", "lower", "upper"}
    try:
        price = D(str(fields["price"]))
        quantity = None if fields.get("quantity") is None else int(fields["quantity"])
        lower, upper = (None if fields.get(name) is None else D(str(fields[name])) for name in ("lower", "upper"))
    except (ArithmeticError, KeyError, TypeError, ValueError) as why:
        raise ValueError(f"a price is a number or an object with price, quantity, lower, upper; not {value!r}") from why
    if unknown or not price.is_finite() or price <= 0:
        raise ValueError(f"a price is a positive number or an object with price, quantity, lower, upper; not {value!r}")
    return price, quantity, lower, upper


def _first(item: Instrument) -> Quote:
    price = item.last_price or D(100)
    lower, upper = max(item.tick, ceil_to(price * FLOOR, item.tick)), floor_to(price * CEILING, item.tick)
    return Quote(price, price, price, price, price, lower, upper)
