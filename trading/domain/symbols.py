"""From a TradingView symbol to one row of the instrument list. A broker symbol is never built: a row is found or there is none.

`parse_symbol` says what to look for, the caller fetches candidate rows (more than needed is fine), `choose` takes one or says why not.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from tvapp.lib.money import plain

from .signal import ContractRef, Signal
from .types import ContractKind


class Reason(StrEnum):
    """Why an instrument cannot be traded on. The last three are found by the caller, who knows the list's age and the alert's flags."""

    INSTRUMENT_UNKNOWN = "INSTRUMENT_UNKNOWN"
    INSTRUMENT_AMBIGUOUS = "INSTRUMENT_AMBIGUOUS"
    INSTRUMENT_EXPIRED = "INSTRUMENT_EXPIRED"
    INSTRUMENT_NOT_TRADABLE = "INSTRUMENT_NOT_TRADABLE"
    INSTRUMENT_META_MISSING = "INSTRUMENT_META_MISSING"
    INSTRUMENT_STALE = "INSTRUMENT_STALE"
    DELAYED_DATA = "DELAYED_DATA"


class Form(StrEnum):
    """How the symbol is written."""

    EQUITY = "EQUITY"
    INDEX = "INDEX"
    CONTINUOUS = "CONTINUOUS"
    FUTURE = "FUTURE"
    OPTION = "OPTION"
    CRYPTO = "CRYPTO"


class InstrumentRow(Protocol):
    """What `choose` reads of a row; tick and lot may be unknown."""

    @property
    def exchange(self) -> str: ...
    @property
    def tradingsymbol(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def expiry(self) -> date | None: ...
    @property
    def strike(self) -> Decimal | None: ...
    @property
    def tick(self) -> Decimal | None: ...
    @property
    def lot(self) -> Decimal | None: ...


R = TypeVar("R", bound=InstrumentRow)


@dataclass(frozen=True, slots=True)
class SymbolQuery:
    """What to look for, and all that a database needs to fetch candidates.

    Candidates: (exchange in `exchanges` and tradingsymbol in `tradingsymbols`) or (exchange in `exchanges`, name in
    `roots`, kind = `kind`). The first of `tradingsymbols` is the symbol as sent, the others are its possible spellings.
    An empty `tv_exchange` means that every exchange is equal and the one hit must be unique among them.
    `month` is the first day of the month of expiry. `named` False: `tv_symbol` only describes what is looked for.
    """

    tv_exchange: str
    tv_symbol: str
    form: Form
    exchanges: tuple[str, ...]
    tradingsymbols: tuple[str, ...]
    roots: tuple[str, ...] = ()
    kind: str = ""
    expiry: date | None = None
    month: date | None = None
    nth: int | None = None
    strike: Decimal | None = None
    named: bool = True

    @property
    def key(self) -> str:
        """What a person maps it by: NSE:NIFTY1!, or NSE:NIFTY 29 Dec 2026 26000 CE. Upper case."""
        return _label(self).upper()

    @property
    def plain_equity(self) -> bool:
        """A share whose spelling leaves no doubt: what paper may trade before any instrument list was loaded."""
        return self.form is Form.EQUITY and self.tv_exchange in ("NSE", "BSE") and "_" not in self.tv_symbol


@dataclass(frozen=True, slots=True)
class Resolution(Generic[R]):
    """One row, or the reason there is none. `note` is a sentence: which contract was taken, or what was looked for."""

    row: R | None
    reason: Reason | None
    note: str


_DERIVATIVES = {"NSE": "NFO", "BSE": "BFO"}
_CURRENCY_ROOTS = frozenset({"USDINR", "EURINR", "GBPINR", "JPYINR", "EURUSD", "GBPUSD", "USDJPY"})
_CURRENCY = {"NSE": "CDS", "BSE": "BCD"}
_EVERYWHERE = ("NSE", "BSE", "NFO", "BFO", "CDS", "MCX")
_CRYPTO = frozenset(
    {"BINANCE", "BYBIT", "OKX", "BITGET", "KUCOIN", "COINBASE", "KRAKEN", "DELTAIN", "BITFINEX", "GATEIO", "MEXC", "HTX", "DERIBIT"}
)
# TradingView's root -> the name in the exchange's list
_ROOT_ALIASES = {"BSX": "SENSEX", "BKX": "BANKEX", "CNXFINANCE": "FINNIFTY"}
_NSE_INDICES = frozenset(
    {"NIFTY", "NIFTY50", "BANKNIFTY", "FINNIFTY", "MIDCPNIFTY", "NIFTYNXT50", "NIFTYJR", "NIFTY_MID_SELECT", "INDIAVIX"}
)
_INDICES = _NSE_INDICES | {"SENSEX", "SENSEX50", "BANKEX"}
_MONTH_LETTERS = {letter: number for number, letter in enumerate("FGHJKMNQUVXZ", start=1)}
_MONTH_NAMES = {name: number for number, name in enumerate(re.findall("...", "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC"), start=1)}
_OPTION_KIND = {"C": "CE", "P": "PE"}

_STRIKE = r"([0-9]+(?:\.[0-9]+)?)"
_CONTINUOUS = re.compile(r"(.+?)([1-9])!")
_TV_OPTION = re.compile(r"(.+?)([0-9]{2})([0-9]{2})([0-9]{2})([CP])" + _STRIKE)
_DMY_FUTURE = re.compile(r"(.+?)([0-9]{2})([A-Z]{3})([0-9]{2})FUT")
_DMY_OPTION = re.compile(r"(.+?)([0-9]{2})([A-Z]{3})([0-9]{2})" + _STRIKE + r"(CE|PE)")
_DATED_FUTURE = re.compile(r"(.+?)([FGHJKMNQUVXZ])(20[0-9]{2})")
_MAX_UNDERSCORES = 4


# --- parsing ----------------------------------------------------------------------------------------------------


def query_of(signal: Signal) -> SymbolQuery:
    """What a signal asks for: the contract it names in fields of their own, else its symbol."""
    if signal.contract is not None:
        return contract_query(signal.tv_exchange or "", signal.contract)
    return parse_symbol(signal.tv_exchange or "", signal.tv_symbol or "")


def contract_query(tv_exchange: str, contract: ContractRef) -> SymbolQuery:
    """What a contract given field by field asks for. A share is looked up by its symbol."""
    exchange, root = tv_exchange.strip().upper(), contract.root.strip().upper()
    if contract.kind is ContractKind.EQ:
        return _cash(exchange, root)
    form = Form.FUTURE if contract.kind is ContractKind.FUT else Form.OPTION
    query = _derivative(exchange, _contract_name(root, contract), root, Form.CONTINUOUS if contract.nth else form, contract.kind.value)
    return replace(
        query, tradingsymbols=(), expiry=contract.expiry, month=_month(contract.month), nth=contract.nth, strike=contract.strike, named=False
    )


def _contract_name(root: str, contract: ContractRef) -> str:
    """How people write it: NIFTY 29 Dec 2026 26000 CE."""
    when = _day(contract.expiry) if contract.expiry else contract.month or (f"number {contract.nth}" if contract.nth else "")
    return " ".join(part for part in (root, when, plain(contract.strike) or "", contract.kind.value) if part)


def _month(text: str | None) -> date | None:
    """The first day of "2026-11"; None for no month and for one that does not exist."""
    try:
        return date.fromisoformat(f"{text}-01") if text else None
    except ValueError:
        return None


def parse_symbol(tv_exchange: str, tv_symbol: str) -> SymbolQuery:
    """What a symbol asks for. Never refuses: what fits no pattern is looked up as it stands."""
    exchange, symbol = tv_exchange.strip().upper(), tv_symbol.strip().upper()
    for attempt in (_continuous, _tv_option, _dmy_future, _dmy_option, _dated_future):
        query = attempt(exchange, symbol)
        if query:
            return query
    return _cash(exchange, symbol)


def _continuous(exchange: str, symbol: str) -> SymbolQuery | None:
    found = _CONTINUOUS.fullmatch(symbol)
    return replace(_derivative(exchange, symbol, found[1], Form.CONTINUOUS, "FUT"), nth=int(found[2])) if found else None


def _tv_option(exchange: str, symbol: str) -> SymbolQuery | None:
    found = _TV_OPTION.fullmatch(symbol)
    expiry = _date(found[2], int(found[3]), found[4]) if found else None
    if not found or not expiry:
        return None
    return replace(_derivative(exchange, symbol, found[1], Form.OPTION, _OPTION_KIND[found[5]]), expiry=expiry, strike=Decimal(found[6]))


def _dmy_future(exchange: str, symbol: str) -> SymbolQuery | None:
    found = _DMY_FUTURE.fullmatch(symbol)
    expiry = _date(found[4], _MONTH_NAMES.get(found[3], 0), found[2]) if found else None
    return replace(_derivative(exchange, symbol, found[1], Form.FUTURE, "FUT"), expiry=expiry) if found and expiry else None


def _dmy_option(exchange: str, symbol: str) -> SymbolQuery | None:
    found = _DMY_OPTION.fullmatch(symbol)
    expiry = _date(found[4], _MONTH_NAMES.get(found[3], 0), found[2]) if found else None
    if not found or not expiry:
        return None
    return replace(_derivative(exchange, symbol, found[1], Form.OPTION, found[6]), expiry=expiry, strike=Decimal(found[5]))


def _dated_future(exchange: str, symbol: str) -> SymbolQuery | None:
    found = _DATED_FUTURE.fullmatch(symbol)
    if not found:
        return None
    return replace(_derivative(exchange, symbol, found[1], Form.FUTURE, "FUT"), month=date(int(found[3]), _MONTH_LETTERS[found[2]], 1))


def _date(year: str, month: int, day: str) -> date | None:
    """None for a date that does not exist, so that the pattern does not match."""
    try:
        return date(2000 + int(year), month, int(day))
    except ValueError:
        return None


def _derivative(exchange: str, symbol: str, root: str, form: Form, kind: str) -> SymbolQuery:
    name = _ROOT_ALIASES.get(root, root)
    exchanges = _exchanges(exchange, name)
    return SymbolQuery(exchange, symbol, form, exchanges, tradingsymbols=(symbol,), roots=_spellings(name), kind=kind)


def _exchanges(exchange: str, root: str = "") -> tuple[str, ...]:
    """The exchange as sent and the one where its derivatives are listed."""
    if not exchange:
        return _EVERYWHERE
    table = _CURRENCY if root in _CURRENCY_ROOTS else _DERIVATIVES
    return tuple(dict.fromkeys((exchange, table.get(exchange, exchange))))


def is_crypto(exchange: str) -> bool:
    """Whether this is a venue that never closes."""
    return exchange in _CRYPTO


def _cash(exchange: str, symbol: str) -> SymbolQuery:
    if exchange in _CRYPTO:
        perpetual = symbol.endswith(".P")
        return SymbolQuery(
            exchange, symbol, Form.CRYPTO, (exchange,), (symbol.removesuffix(".P"), symbol), kind="SWAP" if perpetual else "SPOT"
        )
    spellings = _spellings(symbol)
    if _is_index(exchange, symbol):
        return SymbolQuery(exchange, symbol, Form.INDEX, _exchanges(exchange), spellings)
    return SymbolQuery(exchange, symbol, Form.EQUITY, _exchanges(exchange), spellings, kind="EQ")


def _is_index(exchange: str, symbol: str) -> bool:
    if exchange.endswith("_INDEX"):
        return True
    return exchange in ("", "NSE", "BSE") and (symbol in _INDICES or symbol.startswith("CNX"))


def _spellings(text: str) -> tuple[str, ...]:
    """The text, then with `&` and `-` for each underscore: TradingView writes M_M for M&M and BAJAJ_AUTO for BAJAJ-AUTO."""
    parts = text.split("_")
    if not 1 < len(parts) <= _MAX_UNDERSCORES + 1:
        return (text,)
    joints = itertools.product("&-", repeat=len(parts) - 1)
    return (text, *("".join(itertools.chain(*zip(parts, (*signs, ""), strict=True))) for signs in joints))


# --- choosing ---------------------------------------------------------------------------------------------------


def choose(query: SymbolQuery, rows: Iterable[R], today: date, roll_days_before: int = 0) -> Resolution[R]:
    """The one row a query means on trading day `today`, or the reason.

    `roll_days_before` moves a continuous future to the next contract that many days before expiry; on the day of expiry
    itself, and with 0, it is still the expiring one.
    """
    listed = [row for row in rows if row.exchange in query.exchanges]
    exact = _exact(query, listed)
    if exact:
        return _single(query, exact, today)
    if query.form is Form.INDEX:
        return _nothing(Reason.INSTRUMENT_NOT_TRADABLE, f"{_label(query)} is an index. Map it to a contract to trade it.")
    matching = _MATCHERS[query.form](query, listed)
    if query.form is Form.CONTINUOUS:
        return _nth(query, matching, today, roll_days_before)
    return _single(query, matching, today)


def _exact(query: SymbolQuery, rows: Sequence[R]) -> list[R]:
    """Rows with the very tradingsymbol, on the first exchange that has one."""
    if query.form is Form.CRYPTO or not query.named:
        return []
    return _on_first_exchange(query, [row for row in rows if row.tradingsymbol == query.tv_symbol])


def _on_first_exchange(query: SymbolQuery, rows: list[R]) -> list[R]:
    if not query.tv_exchange:
        return rows
    for exchange in query.exchanges:
        here = [row for row in rows if row.exchange == exchange]
        if here:
            return here
    return []


def _respelled(query: SymbolQuery, rows: Sequence[R]) -> list[R]:
    return [row for row in rows if row.kind == query.kind and row.tradingsymbol in query.tradingsymbols]


def _contracts(query: SymbolQuery, rows: Sequence[R]) -> list[R]:
    """Contracts of the root: the whole name must agree, NIFTY is not NIFTYNXT50."""
    return [row for row in rows if row.kind == query.kind and row.name in query.roots and row.expiry and _fits(query, row)]


def _fits(query: SymbolQuery, row: InstrumentRow) -> bool:
    if query.expiry and row.expiry != query.expiry:
        return False
    if query.month and (row.expiry is None or row.expiry.replace(day=1) != query.month):
        return False
    return query.strike is None or row.strike == query.strike


_MATCHERS: Mapping[Form, Callable[[SymbolQuery, Sequence[R]], list[R]]] = {
    Form.EQUITY: _respelled,
    Form.CRYPTO: _respelled,
    Form.CONTINUOUS: _contracts,
    Form.FUTURE: _contracts,
    Form.OPTION: _contracts,
}


def _nth(query: SymbolQuery, rows: Sequence[R], today: date, roll_days_before: int) -> Resolution[R]:
    first = today + timedelta(days=roll_days_before)
    expiries = sorted({row.expiry for row in rows if row.expiry and row.expiry >= first})
    nth = query.nth or 1
    if len(expiries) < nth:
        noun = "future" if query.kind == "FUT" else "expiry"
        note = f"{_label(query)} asks for {noun} number {nth} of {query.roots[0]}; {len(expiries)} are listed."
        return _nothing(Reason.INSTRUMENT_UNKNOWN, note)
    return _single(query, [row for row in rows if row.expiry == expiries[nth - 1]], today)


def _single(query: SymbolQuery, rows: Sequence[R], today: date) -> Resolution[R]:
    if not rows:
        return _absent(query, today)
    if len(rows) > 1:
        names = ", ".join(sorted(f"{row.exchange}:{row.tradingsymbol}" for row in rows)[:4])
        return _nothing(Reason.INSTRUMENT_AMBIGUOUS, f"{_label(query)} could be {names}.")
    reason, note = fault(rows[0], today)
    if reason is Reason.INSTRUMENT_NOT_TRADABLE:
        note = f"{_label(query)} is an index. Map it to a contract to trade it."
    return _nothing(reason, note) if reason else Resolution(rows[0], None, _taken(query, rows[0]))


def fault(row: InstrumentRow, today: date) -> tuple[Reason | None, str]:
    """Why this very row cannot be traded on `today`, as a reason and a sentence; (None, "") when it can."""
    if row.kind == "IDX":
        return Reason.INSTRUMENT_NOT_TRADABLE, f"{row.tradingsymbol} is an index. Map it to a contract to trade it."
    if row.expiry and row.expiry < today:
        return Reason.INSTRUMENT_EXPIRED, f"{row.tradingsymbol} expired on {_day(row.expiry)}."
    if not row.tick or not row.lot:
        return Reason.INSTRUMENT_META_MISSING, f"The tick or lot of {row.tradingsymbol} is not known."
    return None, ""


def _absent(query: SymbolQuery, today: date) -> Resolution[R]:
    """A contract whose expiry has passed may already be gone from the list."""
    if query.expiry and query.expiry < today:
        return _nothing(Reason.INSTRUMENT_EXPIRED, f"{_label(query)} expired on {_day(query.expiry)}.")
    if query.month and query.month < today.replace(day=1):
        return _nothing(Reason.INSTRUMENT_EXPIRED, f"{_label(query)} expired in {query.month:%b %Y}.")
    return _nothing(Reason.INSTRUMENT_UNKNOWN, f"{_label(query)} is not in the instrument list.")


def _taken(query: SymbolQuery, row: InstrumentRow) -> str:
    if row.tradingsymbol == query.tv_symbol:
        return ""
    return f"{_label(query)} is {described(row)}."


def described(row: InstrumentRow) -> str:
    """NSE:M&M, or NFO:NIFTY26DEC26000CE, expiry 29 Dec 2026, strike 26000."""
    name = f"{row.exchange}:{row.tradingsymbol}"
    if row.expiry is None:
        return name
    strike = f", strike {plain(row.strike)}" if row.strike and row.kind in ("CE", "PE") else ""
    return f"{name}, expiry {_day(row.expiry)}{strike}"


def _nothing(reason: Reason, note: str) -> Resolution[R]:
    return Resolution(None, reason, note)


def _label(query: SymbolQuery) -> str:
    return f"{query.tv_exchange}:{query.tv_symbol}" if query.tv_exchange else query.tv_symbol


def _day(day: date) -> str:
    return f"{day.day} {day:%b %Y}"
