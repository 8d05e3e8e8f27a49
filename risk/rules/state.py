"""A: the trading state, the account, the switches, the permission to trade live."""

from collections.abc import Iterator
from dataclasses import replace

from risk.codes import MISSING, Code
from risk.rules.common import DEFER, EXEMPT, PASS, REJECT, SKIP, lenient, say
from risk.types import Case, Finding

NO_LIVE = "this installation does not allow them"


def trading_state(case: Case) -> Iterator[Finding]:
    """HALTED holds everything but a square-off."""
    states = case.snapshot.states
    scope, state, reason = (states.scope, states.state, states.reason) if states else ("GLOBAL", None, "")
    actual = ", ".join(part for part in (state, reason) if part)
    if state not in ("ACTIVE", "REDUCING", "HALTED"):
        verdict, actual = REJECT, MISSING
    elif state == "HALTED":
        verdict = EXEMPT if case.square_off else DEFER
    else:
        verdict = PASS
    yield say("trading_state", Code.STATE_HALTED, verdict, scope, "ACTIVE", actual)


def reducing_state(case: Case) -> Iterator[Finding]:
    states = case.snapshot.states
    if states is None or states.state not in ("ACTIVE", "REDUCING"):
        yield say("reducing_state", Code.STATE_REDUCING, SKIP, "GLOBAL")
        return
    actual = ", ".join(part for part in (states.state, states.reason) if part)
    verdict = PASS if states.state == "ACTIVE" else EXEMPT if case.exit else REJECT
    yield say("reducing_state", Code.STATE_REDUCING, verdict, states.scope, "ACTIVE", actual)


def account_gate(case: Case) -> Iterator[Finding]:
    """RECOVERING and DISCONNECTED hold exits too: nothing can be sent, or not safely."""
    states, scope = case.snapshot.states, f"ACCOUNT:{case.intent.account}"
    state = states.account_state if states else None
    if state == "RECOVERING":
        yield say("account_gate", Code.ACCOUNT_RECOVERING, DEFER, scope, "READY", state)
        return
    known = state in ("READY", "DISCONNECTED")
    yield say("account_gate", Code.ACCOUNT_DISCONNECTED, PASS if state == "READY" else DEFER, scope, "READY", state if known else MISSING)


def _switch(rule: str, code: Code, scope: str, on: bool | None, exempt: bool) -> Finding:
    verdict = PASS if on else EXEMPT if exempt else REJECT
    return say(rule, code, verdict, scope, "yes", MISSING if on is None else "yes" if on else "no")


def account_enabled(case: Case) -> Iterator[Finding]:
    states = case.snapshot.states
    on = states.account_enabled if states else None
    yield _switch("account_enabled", Code.ACCOUNT_DISABLED, f"ACCOUNT:{case.intent.account}", on, exempt=False)


def strategy_enabled(case: Case) -> Iterator[Finding]:
    states = case.snapshot.states
    on = states.strategy_enabled if states else None
    yield _switch("strategy_enabled", Code.STRATEGY_DISABLED, f"STRATEGY:{case.intent.strategy}", on, exempt=case.exit)


def live_allowed(case: Case) -> Iterator[Finding]:
    """The environment's "no" stops every live order, exits too."""
    if lenient(case):
        yield say("live_allowed", Code.LIVE_NOT_ALLOWED, SKIP, "GLOBAL")
        return
    states = case.snapshot.states
    found = _switch("live_allowed", Code.LIVE_NOT_ALLOWED, "GLOBAL", states.live_allowed if states else None, exempt=False)
    yield replace(found, actual=(states.live_word if states else "") or NO_LIVE) if found.actual == "no" else found


def live_armed(case: Case) -> Iterator[Finding]:
    """A live exit needs no arm: paper and live are separate books, so what it closes was opened live."""
    scope = f"STRATEGY:{case.intent.strategy}"
    if lenient(case):
        yield say("live_armed", Code.LIVE_NOT_ARMED, SKIP, scope)
        return
    states = case.snapshot.states
    yield _switch("live_armed", Code.LIVE_NOT_ARMED, scope, states.armed if states else None, exempt=case.exit)


def broker_refusal(case: Case) -> Iterator[Finding]:
    """Money, shares or a permission were missing: the next entry would meet the same. An exit may not, and is not kept back."""
    states, scope = case.snapshot.states, f"STRATEGY:{case.intent.strategy}"
    said = states.refusal if states else ""
    verdict = PASS if not said else EXEMPT if case.exit else DEFER
    yield say("broker_refusal", Code.REFUSAL_OPEN, verdict, scope, "", said)
