"""D and E: the lists of symbols, the alert's age, its place in the sequence, its price against the market's."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from risk.codes import MISSING, UNREADABLE, Code
from risk.rules.common import (
    DEFER,
    EXEMPT,
    NOBODY,
    PASS,
    REJECT,
    SKEW,
    SKIP,
    STOP_MARKET,
    WARN,
    age_text,
    figure,
    given,
    lenient,
    say,
    settings,
    shown,
)
from risk.types import Case, D, Finding, Limits, positive
from tvapp.lib.clock import IST
from tvapp.lib.money import ZERO

AUTO_AGE = D(60)
LONGEST_SPAN_S = 10**9
MANUAL_OLD, MANUAL_TOO_OLD = timedelta(minutes=15), timedelta(hours=6)


def _names(case: Case) -> tuple[str, str]:
    symbol, exchange = case.intent.symbol.strip().upper(), case.intent.exchange.strip().upper()
    return symbol, symbol if symbol.startswith(f"{exchange}:") else f"{exchange}:{symbol}"


def _listed(case: Case, value: object) -> bool | None:
    """Whether the symbol is on the list: `EXCHANGE:SYMBOL`, or a bare symbol for any exchange. None: that is no list."""
    entries: Iterable[object] = value.split(",") if isinstance(value, str) else value if isinstance(value, list | tuple | set | frozenset) else ()
    if not entries:
        return None
    return any(str(entry).strip().upper() in _names(case) for entry in entries)


def _list_rule(case: Case, rule: str, code: Code, must_be_listed: bool) -> Iterator[Finding]:
    name = _names(case)[1]
    for scope, value, _ in settings(case, rule):
        listed = None if value is None else _listed(case, value)
        if value is None or case.exit:
            yield say(rule, code, EXEMPT if case.exit and value is not None else SKIP, scope, "", name)
        elif listed is None:
            yield say(rule, code, REJECT, scope, str(value)[:60], UNREADABLE)
        else:
            yield say(rule, code, PASS if listed is must_be_listed else REJECT, scope, "", name)


def symbol_deny_list(case: Case) -> Iterator[Finding]:
    yield from _list_rule(case, "symbol_deny_list", Code.SYMBOL_DENIED, must_be_listed=False)


def symbol_allow_list(case: Case) -> Iterator[Finding]:
    """Every row with a list must name the symbol."""
    yield from _list_rule(case, "symbol_allow_list", Code.SYMBOL_NOT_ALLOWED, must_be_listed=True)



def _span(case: Case, name: str, default: timedelta) -> timedelta:
    """A span in seconds of the rows, the shortest of them; the default where none says one that can be read."""
    known = [f for _, value, _ in settings(case, name) if value is not None and (f := figure(value)) is not None and 0 <= f <= LONGEST_SPAN_S]
    return timedelta(seconds=float(min(known))) if known else default


def max_signal_age(case: Case) -> Iterator[Finding]:
    """From the fire time, else from the receipt. Exits too: whoever stores the verdict lets those wait instead of ending STALE."""
    age = case.snapshot.age(case.intent.fired_at or case.intent.received_at)
    if case.intent.mode == "MANUAL":
        old, dead = _span(case, "old_after_s", MANUAL_OLD), _span(case, "dead_after_s", MANUAL_TOO_OLD)
        limit = dead if age >= dead else old
        verdict = REJECT if age >= dead else WARN if age >= old else PASS
        yield say("max_signal_age", Code.SIGNAL_TOO_OLD, verdict, "GLOBAL", age_text(limit), age_text(age), "s")
        return
    rows = [(scope, value) for scope, value, _ in settings(case, "max_signal_age") if value is not None]
    for scope, value in rows or [("GLOBAL", AUTO_AGE)]:
        limit_s = figure(value)
        if limit_s is None:
            yield say("max_signal_age", Code.SIGNAL_TOO_OLD, REJECT, scope, str(value)[:60], UNREADABLE)
        else:
            verdict = REJECT if age_text(age) > limit_s else PASS
            yield say("max_signal_age", Code.SIGNAL_TOO_OLD, verdict, scope, limit_s, age_text(age), "s")


def signal_clock(case: Case) -> Iterator[Finding]:
    """Further ahead of the clock than the skew that is allowed: one of the two clocks is wrong, so the age means nothing."""
    ahead, skew = -case.snapshot.age(case.intent.fired_at or case.intent.received_at), _span(case, "future_skew_s", SKEW)
    verdict = REJECT if ahead > skew else PASS
    yield say("signal_clock", Code.SIGNAL_IN_FUTURE, verdict, "GLOBAL", age_text(skew), age_text(max(ahead, timedelta(0))), "s")


def signal_order(case: Case) -> Iterator[Finding]:
    """An alert that was overtaken by a newer one of its strategy and symbol is held; a person who executes it knows both."""
    rule, code, counters = "signal_order", Code.SIGNAL_OUT_OF_ORDER, case.snapshot.counters
    fired = case.intent.fired_at or case.intent.received_at
    newest = counters.last_signal_at if counters else None
    verdict = PASS
    if counters is None:
        verdict = REJECT
    elif newest is not None and newest > fired:
        verdict = WARN if case.intent.mode == "MANUAL" else DEFER
    if verdict is not PASS and case.exit:
        verdict = EXEMPT
    yield say(rule, code, verdict, "STRATEGY", _at(newest) if newest else "", _at(fired) if counters else MISSING)


def _at(moment: datetime) -> str:
    local = moment.astimezone(IST)
    return f"{local.day} {local:%b %H:%M:%S}"


# --- the price against the market's ----------------------------------------------------------------------------------

EXIT_COLLAR_PCT = D(5)


def price_collar(case: Case) -> Iterator[Finding]:
    """The order's price, or the alert's for a MARKET order, against a price of the exchange. A MARKET exit has no price to be wrong."""
    price, market = _own_price(case), case.reference if _independent(case) else None
    rows = [(row, rule) for row in case.rows or (NOBODY,) for rule in ("collar_aggressive_pct", "collar_passive_pct")]
    used = [(row, rule) for row, rule in rows if given(row, rule) is not None]
    if price is None or not used or (case.exit and market is None):
        yield from (say(rule, Code.PRICE_OUT_OF_COLLAR, EXEMPT if case.exit and (row, rule) in used else SKIP, row.label) for row, rule in rows)
    elif market is None:
        yield _without_quote(case)
    else:
        yield from (_collar(case, row, rule, price, market) for row, rule in rows)


def _own_price(case: Case) -> D | None:
    """The one that can be wrong: limit price, trigger of an SL-M, the alert's price of a MARKET entry."""
    if case.intent.order_type == "MARKET":
        return None if case.exit else positive(case.intent.ref_price)
    return case.price


def _independent(case: Case) -> bool:
    """A fresh price of the exchange or the broker. A mark that is an old alert's price proves nothing."""
    quote = case.snapshot.quote
    return quote is not None and quote.independent and case.source in ("QUOTE", "MARK")


def _without_quote(case: Case) -> Finding:
    """REJECT wins over WARN; where nobody says anything, money that is real is not risked."""
    rows = [(scope, value) for scope, value, _ in settings(case, "collar_without_quote") if value is not None]
    rows = rows or [("GLOBAL", "WARN" if lenient(case) else "REJECT")]
    scope, policy = min(rows, key=lambda row: row[1] == "WARN")
    verdict = WARN if policy == "WARN" else REJECT
    return say("collar_without_quote", Code.PRICE_OUT_OF_COLLAR, verdict, scope, str(policy)[:60], MISSING)


def _is_stop(case: Case) -> bool:
    """A broker's trigger that guards a position is a limit order with a trigger price to the desk."""
    intent = case.intent
    guard = case.exit and intent.order_type == "LIMIT" and intent.off_hours == "GTT" and intent.trigger_price is not None
    return guard or intent.order_type in ("SL", *STOP_MARKET)


def _collar(case: Case, row: Limits, rule: str, price: D, market: D) -> Finding:
    """One side of the collar. Dear is above the market for a buyer, below it for a seller; a stop is meant to be there, however far away."""
    code, limit, value = Code.PRICE_OUT_OF_COLLAR, figure(given(row, rule)), given(row, rule)
    aggressive, stop = rule == "collar_aggressive_pct", _is_stop(case)
    if value is None or (aggressive and stop) or (case.exit and not aggressive):
        return say(rule, code, EXEMPT if case.exit and value is not None else SKIP, row.label)
    if limit is None and not case.exit:
        return say(rule, code, REJECT, row.label, str(value)[:60], UNREADABLE)
    most = EXIT_COLLAR_PCT if case.exit or limit is None else limit
    dear = price - market if case.intent.side == "BUY" else market - price
    off = abs(dear) if stop and not aggressive else max(ZERO, dear if aggressive else -dear)
    return say(rule, code, REJECT if off * 100 > market * most else PASS, row.label, most, shown(off * 100 / market), "%")
