"""Finds the one instrument an alert means. Rows are found, never built, with one exception on paper: a plain share nobody listed yet."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from django.db.models import Q

from brokers.models import BrokerAccount, Environment, Instrument
from trading.domain import symbols
from trading.domain.signal import Signal as Parsed
from trading.domain.symbols import SymbolQuery


@dataclass(frozen=True)
class Found:
    """The instrument, or why there is none (`reason` is an INSTRUMENT_* code), and a sentence about how it was found."""

    instrument: Instrument | None
    reason: str = ""
    note: str = ""


def resolve(parsed: Parsed, account: BrokerAccount, today: date) -> Found:
    """The instrument of a signal on trading day `today`. May add a provisional row for a share on paper, inside the caller's transaction."""
    query = symbols.parse_symbol(parsed.tv_exchange or "", parsed.tv_symbol or "")
    result = symbols.choose(query, _candidates(query), today)
    if result.row is not None:
        return _usable(result.row, result.note)
    if _may_be_provisional(query, account, str(result.reason or "")):
        return _provisional(query)
    return Found(None, str(result.reason or symbols.Reason.INSTRUMENT_UNKNOWN), result.note)


def _candidates(query: SymbolQuery) -> list[Instrument]:
    wanted = Q(exchange__in=query.exchanges, tradingsymbol__in=query.tradingsymbols)
    if query.roots:
        wanted |= Q(exchange__in=query.exchanges, name__in=query.roots, kind=query.kind)
    return list(Instrument.objects.filter(wanted, active=True))


def _usable(row: Instrument, note: str) -> Found:
    if row.tick is None or row.lot is None:
        return Found(None, str(symbols.Reason.INSTRUMENT_META_MISSING), f"{row.key} has no tick or lot yet.")
    return Found(row, note=note)


def _may_be_provisional(query: SymbolQuery, account: BrokerAccount, reason: str) -> bool:
    """A fresh paper desk has no instrument list; a plain share on NSE or BSE is traded with the usual tick and lot, and marked."""
    return reason == symbols.Reason.INSTRUMENT_UNKNOWN and account.environment == Environment.PAPER and query.plain_equity


def _provisional(query: SymbolQuery) -> Found:
    exchange, symbol = query.exchanges[0], query.tradingsymbols[0]
    row, made = Instrument.objects.get_or_create(
        exchange=exchange, tradingsymbol=symbol, defaults={"name": symbol, "provisional": True, "tick": Decimal("0.05"), "lot": Decimal(1)}
    )
    if not row.active:
        return Found(None, str(symbols.Reason.INSTRUMENT_UNKNOWN), f"{row.key} is switched off in the instrument list.")
    return Found(row, note=f"{row.key} is not in any instrument list; tick 0.05 and lot 1 are assumed on paper." if made else "")
