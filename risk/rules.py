"""The rules, one function each: a case in, one finding per scope out. RULES at the end is the order in which they are asked.

A new rule is a function here, its line in RULES, its code in risk/codes.py and, with a limit, a parameter of the limit rows.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal, InvalidOperation

from risk.codes import MISSING, UNREADABLE, Code
from risk.types import Case, D, Finding, InstrumentFacts, Limits, OrderIntent, Verdict, number, positive
from tvapp.lib.clock import trading_day
from tvapp.lib.money import ZERO, floor_to, on_step, plain

PASS, WARN, CLAMP, REJECT, DEFER, SKIP, EXEMPT = (
    Verdict.PASS, Verdict.WARN, Verdict.CLAMP, Verdict.REJECT, Verdict.DEFER, Verdict.SKIP, Verdict.EXEMPT,
)
SIDES = ("BUY", "SELL")
STOP_MARKET = ("SL-M", "SL_M")
ORDER_TYPES = ("MARKET", "LIMIT", "SL", *STOP_MARKET)
PRODUCTS = ("CNC", "MIS", "NRML", "MTF")
DELIVERY = ("CNC", "MTF")
DERIVATIVES = ("FUT", "CE", "PE")
PAPER_TICK, PAPER_LOT = D("0.05"), D(1)
INSTRUMENT_FRESH = timedelta(hours=36)
MOST_SLICES = 10
POSITION_FRESH = timedelta(seconds=60)
SKEW = timedelta(seconds=30)
AUTO_AGE = D(60)
LONGEST_SPAN_S = 10**9
MANUAL_OLD, MANUAL_TOO_OLD = timedelta(minutes=15), timedelta(hours=6)
NOBODY = Limits("GLOBAL")

# --- helpers ---------------------------------------------------------------------------------------------------------


def say(rule: str, code: Code, verdict: Verdict, scope: str, limit: object = "", actual: object = "", unit: str = "") -> Finding:
    """A finding without quantities; figures become plain text."""
    return Finding(rule, code.value, scope, _text(limit), _text(actual), unit, verdict)


def _text(value: object) -> str:
    return plain(value) or "" if isinstance(value, Decimal) else str(value)


def figure(value: object) -> D | None:
    """A limit's figure from a Decimal, an int or a text; None when it cannot be read, which must stop entries."""
    if isinstance(value, bool) or not isinstance(value, Decimal | int | str | float):
        return None
    try:
        return number(Decimal(str(value).strip()))
    except InvalidOperation:
        return None


def given(row: Limits, rule: str) -> object:
    """The row's value, None when it adds nothing: absent, empty text, empty list."""
    value = row.values.get(rule)
    return None if value in ("", [], (), set(), {}) else value


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


# --- state -----------------------------------------------------------------------------------------------------------


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
    if case.snapshot.environment in ("PAPER", "SIM"):
        yield say("live_allowed", Code.LIVE_NOT_ALLOWED, SKIP, "GLOBAL")
        return
    states = case.snapshot.states
    yield _switch("live_allowed", Code.LIVE_NOT_ALLOWED, "GLOBAL", states.live_allowed if states else None, exempt=False)


def live_armed(case: Case) -> Iterator[Finding]:
    """A live exit needs no arm: paper and live are separate books, so what it closes was opened live."""
    scope = f"STRATEGY:{case.intent.strategy}"
    if case.snapshot.environment in ("PAPER", "SIM"):
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


# --- instrument, order, price ----------------------------------------------------------------------------------------

REASONS = {
    code.value: code
    for code in (
        Code.INSTRUMENT_UNKNOWN, Code.INSTRUMENT_AMBIGUOUS, Code.INSTRUMENT_EXPIRED,
        Code.INSTRUMENT_NOT_TRADABLE, Code.INSTRUMENT_STALE, Code.INSTRUMENT_META_MISSING,
    )
}
HEALING = (Code.INSTRUMENT_STALE, Code.INSTRUMENT_META_MISSING)  # the next import mends them


def instrument(case: Case) -> Iterator[Finding]:
    """Exactly one instrument, alive and tradable; on paper a plain share may be provisional."""
    facts, name = case.snapshot.instrument, f"{case.intent.exchange}:{case.intent.symbol}"
    code, actual = _instrument_fault(case, facts)
    if code is None:
        verdict, code = PASS, Code.INSTRUMENT_UNKNOWN
    elif code is Code.INSTRUMENT_UNKNOWN and facts and _provisional_share(case, facts):
        verdict, actual = WARN, f"provisional tick {plain(case.tick)} and lot {plain(case.lot)} are used"
    elif code in HEALING:
        verdict = WARN if case.snapshot.paper and facts and facts.resolved else DEFER
    else:
        verdict = REJECT
    yield say("instrument", code, verdict, "INSTRUMENT", name, actual)


def _provisional_share(case: Case, facts: InstrumentFacts) -> bool:
    return facts.resolved and facts.provisional and case.snapshot.paper and facts.kind == "EQ" and facts.exchange in ("NSE", "BSE")


def _instrument_fault(case: Case, facts: InstrumentFacts | None) -> tuple[Code | None, str]:
    if facts is None:
        return Code.INSTRUMENT_UNKNOWN, ""
    if facts.kind == "IDX":
        return Code.INSTRUMENT_NOT_TRADABLE, ""
    if facts.reason or not facts.resolved:
        code = REASONS.get(facts.reason, Code.INSTRUMENT_UNKNOWN)
        return code, "no tick or no lot" if code is Code.INSTRUMENT_META_MISSING else ""
    if facts.expiry is not None and facts.expiry < trading_day(case.snapshot.now):
        return Code.INSTRUMENT_EXPIRED, f"on {facts.expiry.isoformat()}"
    return (Code.INSTRUMENT_UNKNOWN, "") if facts.provisional else (None, f"version {facts.version}" if facts.version else "")


def instrument_data(case: Case) -> Iterator[Finding]:
    """Tick, lot and (derivatives) freeze quantity, from a list that is fresh; on paper a tick and lot are assumed."""
    facts, name = case.snapshot.instrument, f"{case.intent.exchange}:{case.intent.symbol}"
    lacking = _lacking(case, facts) if facts else MISSING
    verdict = PASS if not lacking else WARN if case.snapshot.paper and facts else DEFER
    yield say("instrument_data", Code.INSTRUMENT_META_MISSING, verdict, "INSTRUMENT", name, lacking)


def _lacking(case: Case, facts: InstrumentFacts) -> str:
    words = [word for word, value in (("tick", facts.tick), ("lot", facts.lot)) if positive(value) is None]
    if case.snapshot.paper:
        return f"no {' and no '.join(words)}, tick {plain(case.tick)} and lot {plain(case.lot)} are used" if words else ""
    if facts.kind in DERIVATIVES and positive(facts.freeze) is None:
        words.append("freeze quantity")
    if words:
        return "no " + " and no ".join(words)
    return "" if _fresh_instrument(case, facts) else "data that is too old"


def _fresh_instrument(case: Case, facts: InstrumentFacts) -> bool:
    """At most 36 h; a derivative's of the same trading day."""
    if facts.as_of is None or case.snapshot.age(facts.as_of) > INSTRUMENT_FRESH:
        return False
    return facts.kind not in DERIVATIVES or trading_day(facts.as_of) == trading_day(case.snapshot.now)


def order_form(case: Case) -> Iterator[Finding]:
    fault = next(_form_faults(case.intent), "")
    yield say("order_form", Code.ORDER_INVALID, REJECT if fault else PASS, "ORDER", "", fault)


def _form_faults(intent: OrderIntent) -> Iterator[str]:
    words = (("side", intent.side, SIDES), ("order type", intent.order_type, ORDER_TYPES), ("product", intent.product, PRODUCTS))
    yield from (f"the {name} {value!r} is not one of {', '.join(known)}" for name, value, known in words if value not in known)
    if positive(intent.quantity) is None:
        yield f"the quantity {intent.quantity} is not a positive number"
    prices = (("price", intent.price, ("LIMIT", "SL")), ("trigger price", intent.trigger_price, ("SL", *STOP_MARKET)))
    for name, value, needed in prices:
        if value is None and intent.order_type in needed:
            yield f"a {intent.order_type} order needs a {name}"
        elif value is not None and positive(value) is None:
            yield f"the {name} {value} is not a positive number"
    yield from _trigger_side(intent)


def _trigger_side(intent: OrderIntent) -> Iterator[str]:
    """A stop that could not fill once triggered is a typing error."""
    price, trigger = positive(intent.price), positive(intent.trigger_price)
    if intent.order_type != "SL" or price is None or trigger is None:
        return
    if intent.side == "BUY" and price < trigger:
        yield f"the price {plain(price)} of a BUY SL is below its trigger price {plain(trigger)}"
    if intent.side == "SELL" and price > trigger:
        yield f"the price {plain(price)} of a SELL SL is above its trigger price {plain(trigger)}"


def price_tick(case: Case) -> Iterator[Finding]:
    """Prices the exchange will see, judged as they are; moving one could only be guessed."""
    intent = case.intent
    used = [intent.price] if intent.order_type in ("LIMIT", "SL") else []
    used += [intent.trigger_price] if intent.order_type in ("SL", *STOP_MARKET) else []
    prices = [known for known in map(positive, used) if known is not None]
    if case.tick is None or not prices:
        yield say("price_tick", Code.PRICE_OFF_TICK, SKIP, "INSTRUMENT", case.tick or "")
        return
    for price in prices:
        yield say("price_tick", Code.PRICE_OFF_TICK, PASS if on_step(price, case.tick) else REJECT, "INSTRUMENT", case.tick, price)


def reference_price(case: Case) -> Iterator[Finding]:
    """Asked for where an order cannot be valued without it; an exit goes on, a MARKET one behind the broker's price protection."""
    rule, code = "reference_price", Code.PRICE_UNAVAILABLE
    if case.unit_value is not None:
        yield say(rule, code, PASS, case.source, "", case.unit_value if case.reference is None else case.reference, "INR")
    elif case.exit and case.intent.order_type == "MARKET":
        yield say(rule, code, WARN, case.source, "", "the broker's price protection bounds this exit")
    else:
        yield say(rule, code, EXEMPT if case.exit else REJECT, case.source)


# --- lists -----------------------------------------------------------------------------------------------------------


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


# --- signal ----------------------------------------------------------------------------------------------------------


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


# --- direction -------------------------------------------------------------------------------------------------------


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


# --- size; clamps last -----------------------------------------------------------------------------------------------


def quantity_lot(case: Case) -> Iterator[Finding]:
    if case.lot is None:
        yield say("quantity_lot", Code.QTY_LOT, SKIP, "INSTRUMENT")
        return
    found = say("quantity_lot", Code.QTY_LOT, EXEMPT if case.full_close else PASS, "INSTRUMENT", case.lot, case.quantity, "qty")
    fits = case.full_close or case.on_grid(case.quantity)
    yield found if fits else too_much(case, found, house_clamp_mode(case), case.open)


def quantity_min(case: Case) -> Iterator[Finding]:
    limit, actual, unit = _least(case)
    found = say("quantity_min", Code.QTY_MIN, EXEMPT if case.full_close else PASS, "INSTRUMENT", limit, actual, unit)
    fits = case.full_close or case.enough(case.quantity)
    yield found if fits else too_much(case, found, house_clamp_mode(case), case.open)


def _least(case: Case) -> tuple[D, D, str]:
    """The minimum and the figure held against it: units, or rupees where only the value is too small."""
    facts = case.snapshot.instrument
    if facts is None or case.quantity < case.smallest or case.enough(case.quantity):
        return case.smallest, case.quantity, "qty"
    return facts.min_notional or ZERO, case.quantity * (case.price or ZERO), "INR"


def _maximum(case: Case, rule: str, code: Code, unit: str, per_unit: D | None) -> Iterator[Finding]:
    """Each row on its own, on the part of the order that opens something. `per_unit`: what one unit counts against the limit."""
    for scope, value, row in settings(case, rule):
        limit = figure(value)
        if value is None or case.exit:
            yield say(rule, code, EXEMPT if case.exit and value is not None else SKIP, scope, "" if limit is None else limit, "", unit)
        elif limit is None:
            yield say(rule, code, REJECT, scope, str(value)[:60], UNREADABLE, unit)
        elif per_unit is None:
            yield say(rule, Code.PRICE_UNAVAILABLE, REJECT, scope, limit, "")
        else:
            found = say(rule, code, PASS, scope, limit, case.open * per_unit, unit)
            yield found if case.open * per_unit <= limit else too_much(case, found, row.clamp_mode, limit / per_unit)


def max_quantity_per_order(case: Case) -> Iterator[Finding]:
    yield from _maximum(case, "max_quantity_per_order", Code.QTY_MAX, "qty", D(1))


def max_order_value(case: Case) -> Iterator[Finding]:
    yield from _maximum(case, "max_order_value", Code.VALUE_MAX, "INR", case.unit_value)


def freeze_quantity(case: Case) -> Iterator[Finding]:
    """What is above the exchange's freeze quantity goes in slices, ten at most. Exits too: the exchange takes no more."""
    facts = case.snapshot.instrument
    freeze = positive(facts.freeze) if facts else None
    if freeze is None:
        yield say("freeze_quantity", Code.QTY_FREEZE, SKIP, "INSTRUMENT")
        return
    most = floor_to(freeze, case.lot or ZERO) * MOST_SLICES
    yield say("freeze_quantity", Code.QTY_FREEZE, PASS if case.quantity <= most else REJECT, "INSTRUMENT", most, case.quantity, "qty")


# --- the table -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rule:
    """`sized`: judges a quantity, so it is asked again about a smaller one."""

    judge: Callable[[Case], Iterator[Finding]]
    sized: bool = False


RULES: tuple[Rule, ...] = (
    Rule(trading_state),
    Rule(reducing_state),
    Rule(account_gate),
    Rule(account_enabled),
    Rule(strategy_enabled),
    Rule(live_allowed),
    Rule(live_armed),
    Rule(broker_refusal),
    Rule(instrument),
    Rule(instrument_data),
    Rule(order_form),
    Rule(price_tick),
    Rule(reference_price),
    Rule(symbol_deny_list),
    Rule(symbol_allow_list),
    Rule(max_signal_age),
    Rule(signal_clock),
    Rule(reduce_only, sized=True),
    Rule(allow_short_selling, sized=True),
    Rule(position_known),
    Rule(order_unresolved),
    Rule(quantity_lot, sized=True),
    Rule(quantity_min, sized=True),
    Rule(max_quantity_per_order, sized=True),
    Rule(max_order_value, sized=True),
    Rule(freeze_quantity, sized=True),
)
