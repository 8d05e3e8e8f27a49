"""What can be traded: a list of its own around the simulator's date, or a file in the form of Kite's daily dump."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal as D
from pathlib import Path

HEADER = ("instrument_token", "exchange_token", "tradingsymbol", "name", "last_price", "expiry", "strike", "tick_size", "lot_size")
HEADER += ("instrument_type", "segment", "exchange")
SEGMENT_CODE = {"NSE": 1, "NFO": 2, "CDS": 3, "BSE": 4, "BFO": 5, "BCD": 6, "MCX": 7, "NCO": 8}
MULTIPLIER = {"CRUDEOIL": 100, "GOLDPETAL": 1, "SILVERM": 5, "USDINR": 1000, "EURINR": 1000}
FREEZE = {"NIFTY": 1755, "BANKNIFTY": 600, "SENSEX": 1000}
MOST_UNITS = 100_000
MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
TUESDAY, THURSDAY = 1, 3
BANDS = ((250, "0.01"), (1000, "0.05"), (5000, "0.10"), (10_000, "0.50"), (20_000, "1"))

EQUITIES = (
    ("INFY", "INFOSYS", 1594, 500209, "1500"),
    ("RELIANCE", "RELIANCE INDUSTRIES", 2885, 500325, "1400"),
    ("TCS", "TATA CONSULTANCY SERV LT", 11536, 532540, "3100"),
    ("SBIN", "STATE BANK OF INDIA", 3045, 500112, "800"),
    ("HDFCBANK", "HDFC BANK", 1333, 0, "1000"),
    ("ICICIBANK", "ICICI BANK", 4963, 0, "1350"),
    ("AXISBANK", "AXIS BANK", 5900, 0, "1200"),
    ("ITC", "ITC", 1660, 0, "410"),
    ("TATASTEEL", "TATA STEEL", 3499, 0, "170"),
    ("LT", "LARSEN & TOUBRO", 11483, 0, "3900"),
    ("IDEA", "VODAFONE IDEA", 14366, 0, "9.5"),
    ("MRF", "MRF", 2277, 0, "150000"),
    ("NIFTYBEES", "NIP IND ETF NIFTY BEES", 10576, 0, "275"),
)
TICKS = {"INFY": D("0.05")}  # bands are set by an earlier month's close: this share has risen since
INDICES = (("NIFTY 50", "NSE", 1001, "24500"), ("NIFTY BANK", "NSE", 1016, "55000"), ("SENSEX", "BSE", 1, "80000"))


@dataclass(frozen=True, slots=True)
class Instrument:
    """One row of the dump. Prices are Decimal; `multiplier` turns a price into rupees and is not in the dump."""

    token: int
    exchange_token: int
    tradingsymbol: str
    name: str
    last_price: D
    expiry: date | None
    strike: D
    tick: D
    lot: int
    kind: str
    segment: str
    exchange: str
    multiplier: int = 1

    @property
    def key(self) -> str:
        return f"{self.exchange}:{self.tradingsymbol}"

    @property
    def tradable(self) -> bool:
        return self.segment != "INDICES"

    @property
    def is_option(self) -> bool:
        return self.kind in ("CE", "PE")

    @property
    def freeze(self) -> int:
        """The largest quantity of one order."""
        return FREEZE.get(self.name, MOST_UNITS) if self.exchange in ("NFO", "BFO") else MOST_UNITS

    def expired(self, today: date) -> bool:
        return self.expiry is not None and self.expiry < today

    def row(self) -> list[object]:
        facts = [self.token, self.exchange_token, self.tradingsymbol, self.name, self.last_price, self.expiry or "", self.strike]
        return [*facts, self.tick, self.lot, self.kind, self.segment, self.exchange]


def csv_text(rows: Iterable[Instrument]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows(item.row() for item in rows)
    return out.getvalue()


def load(file: Path) -> list[Instrument]:
    """The rows of a dump. Raises ValueError naming the line that cannot be read."""
    with file.open(newline="") as lines:
        reader = csv.DictReader(lines)
        missing = set(HEADER) - set(reader.fieldnames or ())
        if missing:
            raise ValueError(f"{file} has no column {', '.join(sorted(missing))}")
        rows = []
        for row in reader:
            try:
                rows.append(_read(row))
            except (ArithmeticError, ValueError, TypeError, AttributeError) as why:
                raise ValueError(f"{file}, line {reader.line_num}, cannot be read: {why}") from why
    return rows


def _read(row: dict[str, str]) -> Instrument:
    name, exchange = row["name"].strip('"'), row["exchange"]
    expiry = date.fromisoformat(row["expiry"]) if row["expiry"] else None
    numbers = int(row["instrument_token"]), int(row["exchange_token"])
    facts = (*numbers, row["tradingsymbol"], name, D(row["last_price"]), expiry, D(row["strike"] or 0))
    multiplier = MULTIPLIER.get(name, 1) if exchange in ("MCX", "CDS") else 1
    return Instrument(*facts, D(row["tick_size"]), int(row["lot_size"]), row["instrument_type"], row["segment"], exchange, multiplier)


# ---------------------------------------------------------------------------- the list of its own
def band_tick(price: D) -> D:
    """NSE's tick for a share of this price."""
    return next((D(tick) for below, tick in BANDS if price < below), D(5))


def standard(today: date) -> list[Instrument]:
    """About forty rows: shares on NSE and BSE, indices, futures, options near the money with weekly and monthly expiry, MCX, CDS."""
    return [*_shares(), *_indices(), *_index_derivatives(today), *_others(today)]


def _shares() -> list[Instrument]:
    rows = []
    for symbol, name, nse, bse, price in EQUITIES:
        for exchange, number in (("NSE", nse), ("BSE", bse)):
            if number:
                facts = (number * 256 + SEGMENT_CODE[exchange], number, symbol, name, D(price), None, D(0))
                rows.append(Instrument(*facts, TICKS.get(symbol) or band_tick(D(price)), 1, "EQ", exchange, exchange))
    return rows


def _indices() -> list[Instrument]:
    return [Instrument(n * 256 + 9, n, symbol, symbol, D(price), None, D(0), D(0), 0, "EQ", "INDICES", ex) for symbol, ex, n, price in INDICES]


def _index_derivatives(today: date) -> list[Instrument]:
    this, following = monthly(today, TUESDAY), monthly(monthly(today, TUESDAY) + timedelta(days=1), TUESDAY)
    rows = []
    for name, spot, lot, tick, step in (("NIFTY", 24500, 65, "0.10", 100), ("BANKNIFTY", 55000, 30, "0.20", 500)):
        rows += [_future("NFO", name, day, D(spot) * (100 + at) / 100, lot, tick) for at, day in enumerate((this, following))]
        expiries = [weekly(today, TUESDAY), this] if name == "NIFTY" else [this]
        rows += [_option("NFO", name, day, spot, spot + step * n, side, lot) for day in expiries for n in (-1, 0, 1) for side in ("CE", "PE")]
    rows += [_option("BFO", "SENSEX", weekly(today, THURSDAY), 80000, 80000, side, 20) for side in ("CE", "PE")]
    return rows


def _others(today: date) -> list[Instrument]:
    month_end = monthly(today, THURSDAY)
    wanted = (("MCX", "CRUDEOIL", "5500", "1"), ("MCX", "GOLDPETAL", "12000", "1"), ("MCX", "SILVERM", "150000", "1"))
    rows = [_future(exchange, name, month_end, D(price), 1, tick) for exchange, name, price, tick in wanted]
    return [*rows, *(_future("CDS", name, month_end, D(price), 1, "0.0025") for name, price in (("USDINR", "88.5"), ("EURINR", "103")))]


def monthly(today: date, weekday: int) -> date:
    """The last such weekday of this month, or of the next one when that is past."""
    first = today.replace(day=1)
    while True:
        first = (first + timedelta(days=32)).replace(day=1)
        last = first - timedelta(days=1)
        last -= timedelta(days=(last.weekday() - weekday) % 7)
        if last >= today:
            return last


def weekly(today: date, weekday: int) -> date:
    """The next such weekday that is not a monthly expiry."""
    day = today + timedelta(days=(weekday - today.weekday()) % 7)
    return day + timedelta(days=7) if day == monthly(day, weekday) else day


def contract(name: str, expiry: date, weekday: int, tail: str) -> str:
    """NIFTY26NOVFUT and NIFTY26NOV24500CE by month, NIFTY26N2424500CE by week."""
    if expiry == monthly(expiry, weekday):
        return f"{name}{expiry:%y}{MONTHS[expiry.month - 1]}{tail}"
    return f"{name}{expiry:%y}{'123456789OND'[expiry.month - 1]}{expiry:%d}{tail}"


def _number_of(symbol: str) -> int:
    """An exchange token that stays the same from run to run: 5 digits from the letters of the symbol."""
    number = 0
    for letter in symbol:
        number = (number * 131 + ord(letter)) % 89_989
    return 10_000 + number


def _future(exchange: str, name: str, expiry: date, price: D, lot: int, tick: str) -> Instrument:
    symbol = f"{name}{expiry:%y}{MONTHS[expiry.month - 1]}FUT"
    number = _number_of(symbol)
    facts = (number * 256 + SEGMENT_CODE[exchange], number, symbol, name, price - price % D(tick), expiry, D(0))
    multiplier = MULTIPLIER.get(name, 1) if exchange in ("MCX", "CDS") else 1
    return Instrument(*facts, D(tick), lot, "FUT", f"{exchange}-FUT", exchange, multiplier)


def _option(exchange: str, name: str, expiry: date, spot: int, strike: int, side: str, lot: int) -> Instrument:
    symbol = contract(name, expiry, TUESDAY if exchange == "NFO" else THURSDAY, f"{strike}{side}")
    number = _number_of(symbol)
    inside = max(0, (spot - strike) if side == "CE" else (strike - spot))
    price = D(inside) + D(spot) / 200 - D(abs(spot - strike)) / 4
    facts = (number * 256 + SEGMENT_CODE[exchange], number, symbol, name, price - price % D("0.05"), expiry, D(strike))
    return Instrument(*facts, D("0.05"), lot, side, f"{exchange}-OPT", exchange)
