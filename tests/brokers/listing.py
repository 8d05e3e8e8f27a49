"""Instrument lists for tests: the simulator's own list of a day, as the loader takes it."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from brokers import types
from brokers.kitesim import instruments as sim

MONDAY = date(2026, 11, 23)
SHARES = (("M&M", "MAHINDRA & MAHINDRA"), ("BAJAJ-AUTO", "BAJAJ AUTO"))


def item(exchange: str, symbol: str, kind: str = "EQ", **facts) -> types.Instrument:
    """One row of a list; `name` and `token` go where the loader looks for them."""
    native = {"name": facts.pop("name", symbol), "token": str(facts.pop("token", "1"))}
    facts = {"tick": Decimal("0.05"), "lot": Decimal(1), **facts}
    return types.Instrument(f"{exchange}:{symbol}", exchange, symbol, types.Kind(kind), native=native, **facts)


def of_day(today: date = MONDAY) -> list[types.Instrument]:
    """What the simulator lists on this day, and two shares with signs in their names."""
    rows = [_from_sim(row) for row in sim.standard(today)]
    return rows + [item("NSE", symbol, name=name) for symbol, name in SHARES]


def without(rows: Iterable[types.Instrument], *symbols: str) -> list[types.Instrument]:
    return [row for row in rows if row.symbol not in symbols]


def _from_sim(row: sim.Instrument) -> types.Instrument:
    kind = row.kind if row.tradable else "IDX"
    facts = {"tick": row.tick, "lot": Decimal(row.lot), "expiry": row.expiry, "strike": row.strike}
    return item(row.exchange, row.tradingsymbol, kind, name=row.name, token=row.token, **facts)
