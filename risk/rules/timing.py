"""C: when. The market's calendar, the windows without entries, the last time for entries."""

from collections.abc import Iterator, Mapping
from datetime import datetime, time, timedelta

from risk.codes import UNREADABLE, Code
from risk.rules.common import DEFER, EXEMPT, PASS, REJECT, SKIP, WARN, figure, lenient, say, settings, strictest
from risk.types import Case, D, Finding, SessionFacts
from tvapp.lib.clock import IST
from tvapp.lib.money import plain

POLICIES = ("REJECT", "DEFER", "WARN")
DEFER_MIN = D(15)
MINUTE = timedelta(minutes=1)
OFF_HOURS_PRODUCTS = ("CNC", "NRML")
Window = tuple[time, time, bool]


def session_policy(case: Case) -> Iterator[Finding]:
    """Exits too: a closed market takes nothing. A day nobody entered counts as open on paper and as closed where money is real."""
    session, exchange = case.snapshot.sessions, case.intent.exchange
    if session is None or session.open is None:
        yield say("session_policy", Code.SESSION_CALENDAR_MISSING, WARN if lenient(case) else REJECT, "GLOBAL", exchange)
        return
    rows = [(scope, value) for scope, value, _ in settings(case, "session_policy") if value is not None]
    rows = rows or [("GLOBAL", "WARN" if lenient(case) else "REJECT")]
    yield from strictest(_session(case, session, scope, value) for scope, value in rows)


def _session(case: Case, session: SessionFacts, scope: str, policy: object) -> Finding:
    rule, code, name = "session_policy", Code.SESSION_CLOSED, session.exchange
    if policy not in POLICIES:
        return say(rule, code, REJECT, scope, str(policy)[:60], UNREADABLE)
    if session.open or session.always:
        return say(rule, code, PASS, scope, policy, f"{name} is open")
    closed = f"{name} is closed" + (f", it opens on {_moment(session.next_open)}" if session.next_open else "")
    if case.intent.off_hours in ("AMO", "GTT") and case.intent.product in OFF_HOURS_PRODUCTS:
        return say(rule, code, WARN, scope, policy, f"{closed}, the order is meant to go out after hours")
    if policy == "WARN":
        return say(rule, code, WARN, scope, policy, closed)
    most = _defer_minutes(case)
    if policy == "DEFER" and session.next_open and session.next_open - case.intent.received_at > timedelta(minutes=float(most)):
        return say(rule, code, REJECT, scope, policy, f"{closed}, more than {plain(most)} min after the alert")
    return say(rule, code, DEFER if policy == "DEFER" and session.next_open else REJECT, scope, policy, closed)


def _moment(at: datetime) -> str:
    local = at.astimezone(IST)
    return f"{local:%a} {local.day} {local:%b} at {local:%H:%M}"


def _defer_minutes(case: Case) -> D:
    """How long an order may be held for the open: the shortest of the rows; one that cannot be read holds nothing."""
    known = [figure(value) for _, value, _ in settings(case, "defer_max_age") if value is not None]
    return min((min(value, D(10**6)) if value is not None else D(0) for value in known), default=DEFER_MIN)


def no_trade_windows(case: Case) -> Iterator[Finding]:
    """Times of day (IST) without new entries; one with DEFER holds them to its end."""
    yield from strictest(_window(case, scope, value) for scope, value, _ in settings(case, "no_trade_windows"))


def _window(case: Case, scope: str, value: object) -> Finding:
    rule, code = "no_trade_windows", Code.SESSION_NO_TRADE_WINDOW
    if value is None or case.exit:
        return say(rule, code, SKIP if value is None else EXEMPT, scope)
    windows = _windows(value)
    if windows is None:
        return say(rule, code, REJECT, scope, str(value)[:60], UNREADABLE)
    at = case.snapshot.now.astimezone(IST).time()
    inside = sorted((w for w in windows if w[0] <= at < w[1]), key=lambda w: w[2])
    if not inside:
        return say(rule, code, PASS, scope, ", ".join(f"{w[0]:%H:%M}-{w[1]:%H:%M}" for w in windows), f"{at:%H:%M:%S}")
    begin, end, held = inside[0]
    return say(rule, code, DEFER if held else REJECT, scope, f"{begin:%H:%M}-{end:%H:%M}", f"{at:%H:%M:%S}")


def _windows(value: object) -> list[Window] | None:
    """From `["12:00-13:00 DEFER"]`; None when any of it cannot be read."""
    read = [_one_window(entry) for entry in value] if isinstance(value, list | tuple) else [None]
    return [window for window in read if window] if all(read) else None


def _one_window(entry: object) -> Window | None:
    words = entry.upper().split() if isinstance(entry, str) else []
    begin, _, end = words[0].partition("-") if words else ("", "", "")
    since, until = _time(begin), _time(end)
    if since is None or until is None or not since < until or words[1:] not in ([], ["DEFER"]):
        return None
    return since, until, len(words) > 1


def _time(text: object) -> time | None:
    if not isinstance(text, str) or len(text) != 5 or text[2] != ":":
        return None
    try:
        return time(int(text[:2]), int(text[3:]))
    except ValueError:
        return None


def entry_cutoff(case: Case) -> Iterator[Finding]:
    """From that time of day (IST) on nothing is opened with the product. On a closed market only the session rule speaks."""
    session = case.snapshot.sessions
    closed = session is not None and session.open is False and not session.always
    for scope, value, _ in settings(case, "entry_cutoff"):
        yield _cutoff(case, scope, value, closed)


def _cutoff(case: Case, scope: str, value: object, closed: bool) -> Finding:
    rule, code, at = "entry_cutoff", Code.SESSION_ENTRY_CUTOFF, case.snapshot.now.astimezone(IST).time()
    if value is not None and not isinstance(value, Mapping):
        return say(rule, code, EXEMPT if case.exit else REJECT, scope, str(value)[:60], UNREADABLE)
    times = value if isinstance(value, Mapping) else {}
    product = case.intent.product
    text = times.get(f"{case.intent.exchange.strip().upper()}:{product}", times.get(product))
    if text in (None, "") or case.exit or closed:
        return say(rule, code, EXEMPT if case.exit and text else SKIP, scope, text or "")
    limit = _time(text)
    if limit is None:
        return say(rule, code, REJECT, scope, str(text)[:60], UNREADABLE)
    return say(rule, code, REJECT if at >= limit else PASS, scope, f"{limit:%H:%M}", f"{at:%H:%M:%S}")
