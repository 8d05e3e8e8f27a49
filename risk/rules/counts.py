"""G: how many and how often, per scope. This order counts as one more; exits are exempt."""

from collections.abc import Callable, Iterator

from risk.codes import MISSING, Code
from risk.rules.common import PASS, REJECT, over_facts, say
from risk.types import Case, D, Finding, Limits, ScopeFacts, number


def max_open_positions(case: Case) -> Iterator[Finding]:
    """Symbols with a position or an entry under way. Adding to one of them is free."""
    rule, code = "max_open_positions", Code.COUNT_OPEN_POSITIONS

    def judge(row: Limits, limit: D, known: ScopeFacts) -> Finding:
        if known.open_symbols is None:
            return say(rule, code, REJECT, row.label, limit, MISSING)
        count = known.open_symbols + (0 if known.holds_symbol else 1)
        return say(rule, code, PASS if known.holds_symbol or count <= limit else REJECT, row.label, limit, str(count))

    yield from over_facts(case, rule, code, "", judge)


def _one_more(case: Case, rule: str, code: Code, count: Callable[[ScopeFacts], int | None]) -> Iterator[Finding]:
    """What the scope has so far and this order must not be more than the limit."""

    def judge(row: Limits, limit: D, known: ScopeFacts) -> Finding:
        so_far = count(known)
        if so_far is None:
            return say(rule, code, REJECT, row.label, limit, MISSING)
        return say(rule, code, PASS if so_far + 1 <= limit else REJECT, row.label, limit, str(so_far + 1))

    yield from over_facts(case, rule, code, "", judge)


def max_open_orders(case: Case) -> Iterator[Finding]:
    yield from _one_more(case, "max_open_orders", Code.COUNT_OPEN_ORDERS, lambda known: known.open_orders)


def max_orders_per_minute(case: Case) -> Iterator[Finding]:
    yield from _one_more(case, "max_orders_per_minute", Code.RATE_MINUTE, lambda known: known.orders_minute)


def max_orders_per_day(case: Case) -> Iterator[Finding]:
    yield from _one_more(case, "max_orders_per_day", Code.RATE_DAY, lambda known: known.orders_day)


def max_trades_per_symbol_day(case: Case) -> Iterator[Finding]:
    yield from _one_more(case, "max_trades_per_symbol_day", Code.RATE_SYMBOL_DAY, lambda known: known.symbol_trades_day)


def max_repeats_per_minute(case: Case) -> Iterator[Finding]:
    yield from _one_more(case, "max_repeats_per_minute", Code.RATE_REPEATED, lambda known: known.repeats_minute)


def min_bars_between(case: Case) -> Iterator[Finding]:
    """Bars since the scope's last entry in this symbol; none yet is long enough ago."""
    rule, code = "min_bars_between", Code.RATE_MIN_BARS

    def judge(row: Limits, limit: D, known: ScopeFacts) -> Finding:
        bars = number(known.bars_since_entry)
        if bars is None:
            certain = known.bars_since_entry is None and known.bars_known
            return say(rule, code, PASS if certain else REJECT, row.label, limit, "" if certain else MISSING)
        return say(rule, code, PASS if bars >= limit else REJECT, row.label, limit, bars)

    yield from over_facts(case, rule, code, "", judge)


def _cooldown(case: Case, rule: str, ago: Callable[[ScopeFacts], D | None]) -> Iterator[Finding]:
    """Minutes that must have passed; None: no such trade today."""

    def judge(row: Limits, limit: D, known: ScopeFacts) -> Finding:
        passed, minutes = ago(known), limit * 60
        if passed is None:
            return say(rule, Code.RATE_COOLDOWN, PASS, row.label, minutes, "", "s")
        usable = number(passed)
        verdict = PASS if usable is not None and usable >= minutes else REJECT
        return say(rule, Code.RATE_COOLDOWN, verdict, row.label, minutes, MISSING if usable is None else usable, "s")

    yield from over_facts(case, rule, Code.RATE_COOLDOWN, "s", judge)


def cooldown_minutes(case: Case) -> Iterator[Finding]:
    yield from _cooldown(case, "cooldown_minutes", lambda known: known.closed_s_ago)


def cooldown_after_loss(case: Case) -> Iterator[Finding]:
    yield from _cooldown(case, "cooldown_after_loss", lambda known: known.loss_s_ago)


def max_loss_streak(case: Case) -> Iterator[Finding]:
    """As many losing trades in a row as the limit says end the entries of the day."""
    rule, code = "max_loss_streak", Code.RATE_LOSS_STREAK

    def judge(row: Limits, limit: D, known: ScopeFacts) -> Finding:
        streak = known.loss_streak
        verdict = PASS if streak is not None and streak < limit else REJECT
        return say(rule, code, verdict, row.label, limit, MISSING if streak is None else str(streak))

    yield from over_facts(case, rule, code, "", judge)
