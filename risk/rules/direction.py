"""F: what the order does to the position, and whether that position is certain."""

from collections.abc import Iterator
from datetime import timedelta

from risk.codes import MISSING, Code
from risk.rules.common import CLAMP, DELIVERY, EXEMPT, PASS, REJECT, SKIP, WARN, age_text, house_clamp_mode, say, settings, too_much
from risk.types import Case, Finding, number
from tvapp.lib.money import ZERO

POSITION_FRESH = timedelta(seconds=60)


def reduce_only(case: Case) -> Iterator[Finding]:
    """An order that may only close is cut to what is open, whatever the clamp mode; with nothing open there is nothing to send."""
    if not case.intent.reduce_only or case.position is None:
        yield say("reduce_only", Code.EXIT_REDUCED, SKIP, "ORDER")
    elif case.closable <= 0:
        yield say("reduce_only", Code.EXIT_NOTHING_OPEN, REJECT, "ORDER", ZERO, case.requested, "qty")
    elif case.requested > case.closable:
        found = say("reduce_only", Code.EXIT_REDUCED, CLAMP, "ORDER", case.closable, case.requested, "qty")
        yield too_much(case, found, "CLAMP", ZERO)
    else:
        yield say("reduce_only", Code.EXIT_REDUCED, PASS, "ORDER", case.closable, case.requested, "qty")


def _yes(value: object) -> bool:
    return value is True or str(value).strip().lower() in ("true", "yes", "1")


def allow_short_selling(case: Case) -> Iterator[Finding]:
    """Only the part beyond `closable` is a short. Every row that speaks must allow it, and somebody must speak."""
    rule, code, mode = "allow_short_selling", Code.SHORT_NOT_ALLOWED, house_clamp_mode(case)
    if case.intent.side == "SELL" and case.position is None:
        yield say(rule, Code.POSITION_UNKNOWN, REJECT, "ORDER", "", MISSING)
        return
    short = case.open if case.intent.side == "SELL" else ZERO
    rows = [(scope, value) for scope, value, _ in settings(case, rule) if value is not None]
    for scope, value in rows or [("GLOBAL", False)]:
        found = say(rule, code, PASS, scope, "yes" if _yes(value) else "no", short, "qty")
        yield found if _yes(value) or not short else too_much(case, found, mode, ZERO)
    if case.intent.product in DELIVERY:
        found = say("short_product", Code.SHORT_PRODUCT, PASS, "ORDER", case.intent.product, short, "qty")
        yield too_much(case, found, mode, ZERO) if short else found


def position_known(case: Case) -> Iterator[Finding]:
    """A position of over a minute ago stops entries; an exit within it goes on, because waiting is the greater risk."""
    position, snapshot = case.position, case.snapshot
    if position is None:
        yield say("position_known", Code.POSITION_UNKNOWN, REJECT, "ORDER", "", MISSING)
    elif snapshot.paper or snapshot.age(position.as_of) <= POSITION_FRESH:
        yield say("position_known", Code.POSITION_UNKNOWN, PASS, "ORDER", "", position.net, "qty")
    else:
        actual = MISSING if position.as_of is None else age_text(snapshot.age(position.as_of))
        yield say("position_known", Code.POSITION_STALE, WARN if case.exit else REJECT, "ORDER", age_text(POSITION_FRESH), actual, "s")


def order_unresolved(case: Case) -> Iterator[Finding]:
    """An earlier order with an unknown outcome may have filled: nothing is opened beside it. Exits count it in `closing`."""
    orders = case.snapshot.orders
    bad = orders is None or orders.unresolved > 0
    actual = MISSING if orders is None else str(orders.unresolved)
    yield say("order_unresolved", Code.ORDER_UNRESOLVED, EXEMPT if bad and case.exit else REJECT if bad else PASS, "ORDER", "0", actual)


def position_drift(case: Case) -> Iterator[Finding]:
    """Two readings in a row showed another quantity at the broker: nothing is opened, and an exit stays within what the broker has."""
    position, rule, code = case.position, "position_drift", Code.POSITION_DRIFT
    if position is None or not position.drifted:
        yield say(rule, code, SKIP if position is None else PASS, "ORDER")
        return
    theirs = number(position.broker_net)
    held = ZERO if theirs is None else theirs if case.intent.side == "SELL" else -theirs
    inside = case.exit and case.quantity <= max(ZERO, held - max(ZERO, position.closing))
    yield say(rule, code, EXEMPT if inside else REJECT, "ORDER", "not known" if theirs is None else theirs, position.net, "qty")
