"""B: the instrument, the form of the order, its prices."""

from collections.abc import Iterator
from datetime import timedelta

from risk.codes import MISSING, Code
from risk.rules.common import DEFER, DERIVATIVES, EXEMPT, PASS, REJECT, SKIP, STOP_MARKET, WARN, say
from risk.types import Case, Finding, InstrumentFacts, OrderIntent, positive
from tvapp.lib.clock import trading_day
from tvapp.lib.money import on_step, plain

SIDES = ("BUY", "SELL")
ORDER_TYPES = ("MARKET", "LIMIT", "SL", *STOP_MARKET)
PRODUCTS = ("CNC", "MIS", "NRML", "MTF")
INSTRUMENT_FRESH = timedelta(hours=36)
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
