"""Finds the one instrument an alert means, and instruments by the beginning of their name.

Rows are found, never built, with one exception on paper: a plain share nobody listed yet.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Coalesce

from brokers.models import BrokerAccount, Environment, Instrument, InstrumentKind
from trading.domain import symbols
from trading.domain.signal import Signal as Parsed
from trading.domain.symbols import Reason, SymbolQuery
from trading.models import OverrideScope, Strategy, TvSymbolOverride
from tvapp.lib import clock

FOUND_MOST = 50
EXCHANGES = ("NSE", "BSE", "NFO", "BFO", "MCX", "CDS", "BCD", "NCO")
LAST = "\uffff"  # after every name that begins alike
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,4})?")
_NARROW_FIRST = (OverrideScope.STRATEGY, OverrideScope.ACCOUNT, OverrideScope.GLOBAL)


@dataclass(frozen=True)
class Found:
    """The instrument, or why there is none (`reason` is an INSTRUMENT_* code), and a sentence about how it was found.

    Both: the instrument is known, but an order on it waits (INSTRUMENT_STALE).
    """

    instrument: Instrument | None
    reason: str = ""
    note: str = ""


def resolve(parsed: Parsed, account: BrokerAccount, today: date, strategy: Strategy | None = None) -> Found:
    """The instrument of a signal on trading day `today`: what a person mapped it to, the contract it names, its symbol, its pattern.

    May add a provisional row for a share on paper, inside the caller's transaction.
    """
    query = symbols.query_of(parsed)
    mapped = _override(query, account, strategy, today)
    if mapped is not None:
        return _fresh(_mapped(query, mapped, today), account, today)
    result = symbols.choose(query, _candidates(query, today), today)
    if result.row is not None:
        return _known(result.row, result.note, account, today)
    reason = str(result.reason or Reason.INSTRUMENT_UNKNOWN)
    return _provisional(query) if _may_be_provisional(query, account, reason) else Found(None, reason, result.note)


def _known(row: Instrument, note: str, account: BrokerAccount, today: date) -> Found:
    if row.provisional and account.environment != Environment.PAPER:
        return Found(None, str(Reason.INSTRUMENT_UNKNOWN), f"{row.key} is known from a paper alert only. Load the instruments, then look again.")
    return _fresh(Found(row, note=note), account, today)


def _candidates(query: SymbolQuery, today: date) -> list[Instrument]:
    """Rows that may be meant; expired ones too, so that an old contract is told from an unknown one."""
    wanted = Q(exchange__in=query.exchanges, tradingsymbol__in=query.tradingsymbols)
    if query.roots:
        wanted |= Q(exchange__in=query.exchanges, name__in=query.roots, kind=query.kind) & _contract(query, today)
    return list(Instrument.objects.filter(wanted).filter(Q(active=True) | Q(expiry__lt=today)))


def _contract(query: SymbolQuery, today: date) -> Q:
    """An index root has thousands of options: only those that can be meant are read."""
    wanted = Q(expiry__gte=today) if query.nth else Q()
    if query.expiry:
        wanted &= Q(expiry=query.expiry)
    if query.month:
        wanted &= Q(expiry__gte=query.month, expiry__lt=(query.month + timedelta(days=32)).replace(day=1))
    return wanted & Q(strike=query.strike) if query.strike is not None else wanted


# ------------------------------------------------------------------------------------------------------------ overrides
def _override(query: SymbolQuery, account: BrokerAccount, strategy: Strategy | None, today: date) -> TvSymbolOverride | None:
    """What the owner of the account mapped this symbol to: for the strategy, else the account, else everywhere."""
    scope = Q(scope=OverrideScope.GLOBAL) | Q(scope=OverrideScope.ACCOUNT, account=account)
    if strategy is not None:
        scope |= Q(scope=OverrideScope.STRATEGY, strategy=strategy)
    begun = Q(valid_from=None) | Q(valid_from__lte=today)
    standing = Q(valid_to=None) | Q(valid_to__gte=today)
    rows = TvSymbolOverride.objects.filter(scope, begun, standing, owner_id=account.owner_id, tv_symbol=query.key[:80]).select_related("instrument")
    return min(rows, key=lambda row: _NARROW_FIRST.index(OverrideScope(row.scope)), default=None)


def _mapped(query: SymbolQuery, override: TvSymbolOverride, today: date) -> Found:
    """What was mapped is taken or nothing is: an expired contract is not replaced by another one."""
    row = override.instrument
    said = f"{query.key} is mapped to {symbols.described(row)}"
    reason, fault = symbols.fault(row, today)
    if reason is None and not row.active:
        reason, fault = Reason.INSTRUMENT_UNKNOWN, f"{row.key} is no longer in the instrument list."
    if reason is not None:
        return Found(None, str(reason), f"{said}. {fault} Map it again.")
    return Found(row, note=f"{said}{f' by {override.created_by}' if override.created_by else ''}.")


# ------------------------------------------------------------------------------------------------------------------ age
def _fresh(found: Found, account: BrokerAccount, today: date) -> Found:
    """An order for a broker waits when the list last named its instrument before the last trading day; on paper every list will do."""
    row = found.instrument
    if row is None or account.environment == Environment.PAPER or clock.trading_day(row.as_of) >= _weekday_before(today):
        return found
    at = clock.trading_day(row.as_of)
    text = f"The instrument list last named {row.key} on {at.day} {at:%b %Y}, before the last trading day. Load the instruments, then look again."
    return Found(row, str(Reason.INSTRUMENT_STALE), f"{found.note} {text}".strip())


def _weekday_before(today: date) -> date:
    """The last trading day that is over, as far as the week tells."""
    return today - timedelta(days={0: 3, 6: 2}.get(today.weekday(), 1))


# ---------------------------------------------------------------------------------------------------------- provisional
def _may_be_provisional(query: SymbolQuery, account: BrokerAccount, reason: str) -> bool:
    """A fresh paper desk has no instrument list; a plain share on NSE or BSE is traded with the usual tick and lot, and marked."""
    return reason == Reason.INSTRUMENT_UNKNOWN and account.environment == Environment.PAPER and query.plain_equity


def _provisional(query: SymbolQuery) -> Found:
    exchange, symbol = query.exchanges[0], query.tradingsymbols[0]
    row, made = Instrument.objects.get_or_create(
        exchange=exchange, tradingsymbol=symbol, defaults={"name": symbol, "provisional": True, "tick": Decimal("0.05"), "lot": Decimal(1)}
    )
    if not row.active:
        return Found(None, str(Reason.INSTRUMENT_UNKNOWN), f"{row.key} is switched off in the instrument list.")
    return Found(row, note=f"{row.key} is not in any instrument list; tick 0.05 and lot 1 are assumed on paper." if made else "")


# --------------------------------------------------------------------------------------------------------------- search
def tradable(today: date) -> QuerySet[Instrument]:
    """What a list names today and an order can be about."""
    return Instrument.objects.filter(active=True, provisional=False).exclude(kind=InstrumentKind.IDX).exclude(expiry__lt=today)


def search(text: str, today: date, limit: int = 20) -> list[Instrument]:
    """Instruments whose trading symbol or root begins with the first word; more words narrow: FUT, CE, PE, a strike, a part of the symbol.

    `NFO:NIFTY` keeps to one exchange. First the exact symbol, then the root's share, futures and options by expiry and strike, then the rest.
    """
    exchange, _, rest = text.strip().upper().rpartition(":")
    first, *others = rest.split() or [""]
    if not first:
        return []
    rows = tradable(today)
    for word in others[:6]:
        rows = rows.filter(_narrowed(word))
    found: dict[int, Instrument] = {}
    limit = min(limit, FOUND_MOST)
    for part in _parts(rows, first, (exchange,) if exchange else EXCHANGES):
        found |= {row.pk: row for row in part[:limit] if row.pk not in found}
        if len(found) >= limit:
            break
    return list(found.values())[:limit]


def _parts(rows: QuerySet[Instrument], word: str, exchanges: tuple[str, ...]) -> Iterator[QuerySet[Instrument]]:
    """Each is a walk along one index, in its order: LIKE, or one query for all, would read the whole table."""
    there = rows.filter(exchange__in=exchanges)
    named = rows.alias(place=Coalesce("exchange", Value(""))).filter(place__in=exchanges)  # in words no index fits, so that the name's is taken
    yield there.filter(tradingsymbol=word)
    for kind in ("EQ", "FUT", "CE", "PE"):
        yield named.filter(name=word, kind=kind).order_by("expiry", "strike")
    yield there.filter(tradingsymbol__gte=word, tradingsymbol__lt=word + LAST).order_by("exchange", "tradingsymbol")
    yield named.filter(name__gte=word, name__lt=word + LAST).order_by("name", "kind", "expiry")


def _narrowed(word: str) -> Q:
    if word in InstrumentKind.values:
        return Q(kind=word)
    part = Q(tradingsymbol__contains=word)
    return part | Q(strike=Decimal(word)) if _NUMBER.fullmatch(word) else part


def of_key(key: str, today: date) -> Instrument | None:
    """The tradable instrument called `NFO:NIFTY26DECFUT`, None when there is none."""
    exchange, _, symbol = key.strip().upper().partition(":")
    return tradable(today).filter(exchange=exchange, tradingsymbol=symbol).first()
