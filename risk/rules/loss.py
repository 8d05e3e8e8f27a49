"""H: the loss of the day and the fall from the best equity, per scope. Exits are exempt."""

from collections.abc import Iterator

from risk.codes import MISSING, Code
from risk.rules.common import PASS, REJECT, WARN, over_facts, say, share, too_much
from risk.types import Case, D, Finding, Limits, ScopeFacts, number
from tvapp.lib.money import ZERO, floor_to

WARN_LOSS_PCT = D(80)
CENT = D("0.01")


def max_daily_loss(case: Case) -> Iterator[Finding]:
    """A loss that is reached stops, whatever else is known; on paper old prices do not."""
    rule = "max_daily_loss"

    def judge(row: Limits, limit: D, known: ScopeFacts) -> Finding:
        result = number(known.day_pnl)
        if result is None:
            return say(rule, Code.LOSS_DATA_STALE, REJECT, row.label, limit, MISSING)
        loss = max(ZERO, -result)
        if loss >= limit:
            return say(rule, Code.LOSS_DAILY, REJECT, row.label, limit, loss, "INR")
        if known.marks_stale and not case.snapshot.paper:
            return say(rule, Code.LOSS_DATA_STALE, REJECT, row.label, limit, str(known.marks_stale))
        warned = loss * 100 >= limit * share(row, "warn_loss_pct", WARN_LOSS_PCT)
        return say(rule, Code.LOSS_DAILY, WARN if warned and loss else PASS, row.label, limit, loss, "INR")

    yield from over_facts(case, rule, Code.LOSS_DAILY, "INR", judge)


def max_drawdown_pct(case: Case) -> Iterator[Finding]:
    """From half of the limit on an entry may have half of what was asked; from all of it on only exits pass."""
    rule, code = "max_drawdown_pct", Code.LOSS_DRAWDOWN

    def judge(row: Limits, limit: D, known: ScopeFacts) -> Finding:
        fall = number(known.drawdown_pct)
        if fall is None:
            return say(rule, code, REJECT, row.label, limit, MISSING, "%")
        found = say(rule, code, PASS, row.label, limit, floor_to(fall, CENT), "%")
        if fall >= limit:
            return say(rule, code, REJECT, row.label, limit, floor_to(fall, CENT), "%")
        half = max(ZERO, case.asked - case.closable) / 2
        return too_much(case, found, row.clamp_mode, half) if fall * 2 >= limit and case.open > half else found

    yield from over_facts(case, rule, code, "%", judge)
