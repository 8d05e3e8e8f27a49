"""What the rules share: how a finding is made, how a limit is read, which facts belong to a row, and the one way to judge a maximum."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import ROUND_CEILING, Context, Decimal, InvalidOperation

from risk.codes import MISSING, UNREADABLE, Code
from risk.types import Case, D, Finding, Limits, ScopeFacts, Verdict, number
from tvapp.lib.money import plain

PASS, WARN, CLAMP, REJECT, DEFER, SKIP, EXEMPT = (
    Verdict.PASS, Verdict.WARN, Verdict.CLAMP, Verdict.REJECT, Verdict.DEFER, Verdict.SKIP, Verdict.EXEMPT,
)
DERIVATIVES = ("FUT", "CE", "PE")
DELIVERY = ("CNC", "MTF")
STOP_MARKET = ("SL-M", "SL_M")
SKEW = timedelta(seconds=30)
PAPER_TICK, PAPER_LOT = D("0.05"), D(1)  # where the list of instruments has none
NOBODY = Limits("GLOBAL")
SHOWN = Context(prec=200)


def say(rule: str, code: Code, verdict: Verdict, scope: str, limit: object = "", actual: object = "", unit: str = "") -> Finding:
    """A finding without quantities; figures become plain text."""
    return Finding(rule, code.value, scope, _text(limit), _text(actual), unit, verdict)


def _text(value: object) -> str:
    return plain(value) or "" if isinstance(value, Decimal) else str(value)


def figure(value: object) -> D | None:
    """A limit's figure from a Decimal, an int or a text; None when it cannot be read, which must stop entries."""
    if isinstance(value, Decimal):
        return number(value)
    if isinstance(value, bool) or not isinstance(value, int | str | float):
        return None
    try:
        return number(Decimal(str(value).strip()))
    except InvalidOperation:
        return None


def given(row: Limits, rule: str) -> object:
    """The row's value, None when it adds nothing: absent, empty text, empty list."""
    value = row.values.get(rule)
    return value if value or isinstance(value, Decimal | int | float) else None


def settings(case: Case, rule: str) -> list[tuple[str, object, Limits]]:
    """(scope, value or None, row) for each row that matches; one empty GLOBAL row when there is none."""
    return [(row.label, given(row, rule), row) for row in case.rows or (NOBODY,)]


def house_clamp_mode(case: Case) -> str:
    """For rules without a limit row: what the STRATEGY rows say, else the GLOBAL ones; CLAMP only when all of them say so."""
    for scope in ("STRATEGY", "GLOBAL"):
        modes = {row.clamp_mode for row in case.rows if row.scope == scope}
        if modes:
            return "CLAMP" if modes == {"CLAMP"} else "REJECT"
    return "REJECT"


def too_much(case: Case, found: Finding, mode: str, room: D) -> Finding:
    """The breach of a size rule: rejected, or cut to `room` units of the opening part."""
    if mode != "CLAMP":
        return replace(found, verdict=REJECT)
    return replace(found, verdict=CLAMP, before=case.requested, after=case.cut(room))


def age_text(age: timedelta) -> D:
    """Seconds, exact."""
    return Decimal(age // timedelta(microseconds=1)) / 1_000_000


def shown(value: D) -> D:
    """A worked-out figure with two decimals, rounded up, so that one just above its limit never looks equal to it."""
    return value.quantize(Decimal("0.01"), ROUND_CEILING, SHOWN)


def share(row: Limits, rule: str, default: D) -> D:
    """A percentage of this row, `default` where it says none that can be read."""
    known = figure(given(row, rule))
    return known if known is not None and known >= 0 else default


def strictest(found: Iterable[Finding]) -> Iterator[Finding]:
    """Refusals before holds: the first finding that stops an order gives the decision its verdict, and the stricter row wins."""
    yield from sorted(found, key=lambda f: (f.verdict != REJECT, f.verdict != DEFER))


def lenient(case: Case) -> bool:
    """Paper and the simulator: where nothing is said, what is not known is a warning there."""
    return case.snapshot.environment in ("PAPER", "SIM")


def facts(case: Case, row: Limits) -> ScopeFacts | None:
    """What the scope of a row has under way and did today; None: not known."""
    counters = case.snapshot.counters
    own = row.target or {"ACCOUNT": case.intent.account, "STRATEGY": case.intent.strategy}.get(row.scope, "")
    return counters.scopes.get(f"{row.scope}:{own}" if own else row.scope) if counters else None


Judge = Callable[[Limits, D, ScopeFacts], Finding]


def over_facts(case: Case, rule: str, code: Code, unit: str, judge: Judge) -> Iterator[Finding]:
    """A rule over what its scope did so far: each row with a limit is judged on its own; exits are not asked; what is not known stops."""
    for scope, value, row in settings(case, rule):
        limit, known = figure(value), facts(case, row)
        if value is None or case.exit:
            yield say(rule, code, EXEMPT if case.exit and value is not None else SKIP, scope, "" if limit is None else limit, "", unit)
        elif limit is None:
            yield say(rule, code, REJECT, scope, str(value)[:60], UNREADABLE, unit)
        elif known is None:
            yield say(rule, code, REJECT, scope, limit, MISSING, unit)
        else:
            yield judge(row, limit, known)
