"""I: how much. The rules that cut come last."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import NamedTuple

from risk.codes import MISSING, UNREADABLE, Code
from risk.rules.common import (
    DERIVATIVES,
    EXEMPT,
    PASS,
    REJECT,
    SKIP,
    WARN,
    facts,
    figure,
    given,
    house_clamp_mode,
    lenient,
    over_facts,
    say,
    settings,
    share,
    shown,
    too_much,
)
from risk.types import Case, D, Finding, Limits, ScopeFacts, number, positive
from tvapp.lib.money import ZERO, floor_to

MOST_SLICES = 10
CASH_FREEZE = D(100000)  # of shares where the list names none
FUNDS_FRESH, MARGIN_FRESH = timedelta(seconds=60), timedelta(seconds=30)
WARN_EXPOSURE_PCT = D(90)
CENT = D("0.01")
ASKED_LATER = "the broker is asked right before it leaves what margin it needs"


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
    known = case.snapshot.instrument
    if known is None or case.quantity < case.smallest or case.enough(case.quantity):
        return case.smallest, case.quantity, "qty"
    return known.min_notional or ZERO, case.quantity * (case.price or ZERO), "INR"


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


def _lots(case: Case, rule: str, code: Code, used: Callable[[ScopeFacts | None], D | None]) -> Iterator[Finding]:
    """Lots of futures and options; shares have none to count. `used`: what the scope had before this order."""
    instrument = case.snapshot.instrument
    for scope, value, row in settings(case, rule):
        limit = figure(value)
        if value is None or case.exit or case.lot is None or instrument is None or instrument.kind not in DERIVATIVES:
            yield say(rule, code, EXEMPT if case.exit and value is not None else SKIP, scope, "" if limit is None else limit, "", "lots")
        elif limit is None:
            yield say(rule, code, REJECT, scope, str(value)[:60], UNREADABLE, "lots")
        elif (before := number(used(facts(case, row)))) is None:
            yield say(rule, code, REJECT, scope, limit, MISSING, "lots")
        else:
            room = (limit - before) * case.lot
            found = say(rule, code, PASS, scope, limit, shown(before + case.open / case.lot), "lots")
            yield found if case.open <= room else too_much(case, found, row.clamp_mode, room)


def max_lots_per_order(case: Case) -> Iterator[Finding]:
    yield from _lots(case, "max_lots_per_order", Code.LOTS_ORDER, lambda known: ZERO)


def max_lots_per_day(case: Case) -> Iterator[Finding]:
    yield from _lots(case, "max_lots_per_day", Code.LOTS_DAY, lambda known: known.lots_day if known else None)


def max_order_value(case: Case) -> Iterator[Finding]:
    yield from _maximum(case, "max_order_value", Code.VALUE_MAX, "INR", case.unit_value)


# --- exposure --------------------------------------------------------------------------------------------------------


class Sides(NamedTuple):
    """Signed rupees of a symbol if only the orders of one side fill: this order's side without it, and the other."""

    own: D
    other: D

    def with_order(self, value: D) -> D:
        """The exposure with `value` rupees more on the order's own side: the worse of the two."""
        return max(abs(self.own + value), abs(self.other))


def _sides(case: Case, known: ScopeFacts) -> Sides | None:
    """Counted in the order's direction, so that its own value is added. None: not in figures one can count with."""
    net, buys, sells = number(known.net_value), number(known.buys), number(known.sells)
    if net is None or buys is None or sells is None or known.unpriced:
        return None
    return Sides(net + buys, net - sells) if case.intent.side == "BUY" else Sides(sells - net, -net - buys)


def _exposure(case: Case, rule: str, code: Code, others: Callable[[ScopeFacts], D | None], warn_pct: D | None = None) -> Iterator[Finding]:
    """What the scope would have at stake with this order, against each row; never netted across symbols or sides."""

    def judge(row: Limits, limit: D, known: ScopeFacts) -> Finding:
        sides, rest, unit = _sides(case, known), number(others(known)), case.unit_value
        if sides is None or rest is None:
            return say(rule, code, REJECT, row.label, limit, MISSING, "INR")
        if unit is None:
            return say(rule, Code.PRICE_UNAVAILABLE, REJECT, row.label, limit, "")
        total = rest + sides.with_order(case.quantity * unit)
        warned = warn_pct is not None and total * 100 >= limit * share(row, "warn_exposure_pct", warn_pct)
        found = say(rule, code, WARN if warned else PASS, row.label, limit, total, "INR")
        if total <= limit:
            return found
        fits = rest + abs(sides.other) <= limit
        return too_much(case, found, row.clamp_mode, (limit - rest - sides.own) / unit - case.reduce if fits else ZERO)

    yield from over_facts(case, rule, code, "INR", judge)


def max_symbol_exposure(case: Case) -> Iterator[Finding]:
    yield from _exposure(case, "max_symbol_exposure", Code.EXPOSURE_SYMBOL, lambda known: ZERO)


def max_gross_exposure(case: Case) -> Iterator[Finding]:
    yield from _exposure(case, "max_gross_exposure", Code.EXPOSURE_GROSS, lambda known: known.others, WARN_EXPOSURE_PCT)


# --- funds -----------------------------------------------------------------------------------------------------------


def margin_buffer_pct(case: Case) -> Iterator[Finding]:
    """What the opening part needs against what is usable. Not knowing it stops real money and is a warning elsewhere."""
    rule = "margin_buffer_pct"
    unknown = _funds_fault(case)
    for scope, value, row in settings(case, rule):
        buffer = figure(value)
        if value is None:
            yield say(rule, Code.MARGIN_INSUFFICIENT, SKIP, scope, "", "", "INR")
        elif unknown:
            verdict = WARN if lenient(case) or case.exit or unknown == ASKED_LATER else REJECT
            yield say(rule, Code.MARGIN_UNKNOWN, EXEMPT if case.exit and lenient(case) else verdict, scope, "", unknown)
        elif case.exit:
            yield say(rule, Code.MARGIN_INSUFFICIENT, EXEMPT, scope, "", "", "INR")
        elif buffer is None:
            yield say(rule, Code.MARGIN_INSUFFICIENT, REJECT, scope, str(value)[:60], UNREADABLE, "INR")
        else:
            yield _margin(case, row, buffer)


def _margin(case: Case, row: Limits, buffer: D) -> Finding:
    funds, need = case.snapshot.funds, _margin_of(case)
    available = number(funds.available) if funds else None
    if available is None or need is None:  # told as unknown before
        return say("margin_buffer_pct", Code.MARGIN_UNKNOWN, REJECT, row.label, "", MISSING)
    usable, needed = available * (100 - buffer) / 100, case.open * need.money / need.units
    found = say("margin_buffer_pct", Code.MARGIN_INSUFFICIENT, PASS, row.label, floor_to(usable, CENT), needed, "INR")
    room = usable * need.units / need.money if usable > 0 and need.money else ZERO
    return found if needed <= usable else too_much(case, found, row.clamp_mode, room)


def _funds_fault(case: Case) -> str:
    """Why what is needed cannot be held against what there is; empty when it can."""
    funds, snapshot = case.snapshot.funds, case.snapshot
    if funds is None or number(funds.available) is None:
        return "the funds of the account are not known"
    if not snapshot.paper and snapshot.age(funds.as_of) > FUNDS_FRESH:
        return f"the funds of the account were last read more than {FUNDS_FRESH.seconds} s ago"
    if not case.exit and _margin_of(case) is None:
        return ASKED_LATER if funds.asked_later else "the broker has not said what margin this order needs"
    return ""


class Need(NamedTuple):
    """So much money for so many units."""

    money: D
    units: D


def _margin_of(case: Case) -> Need | None:
    """From the broker's own answer when it is fresh, else from the value of one unit; a derivative's is only known from the broker."""
    funds, instrument, asked = case.snapshot.funds, case.snapshot.instrument, positive(case.intent.quantity)
    said = number(funds.margin) if funds and case.snapshot.age(funds.margin_at) <= MARGIN_FRESH else None
    if said is not None and said >= 0 and asked is not None:
        return Need(said, asked)
    if instrument is None or instrument.kind in DERIVATIVES or case.unit_value is None:
        return None
    return Need(case.unit_value * (_mis_pct(case) / 100 if case.intent.product == "MIS" else 1), D(1))


def _mis_pct(case: Case) -> D:
    """What an intraday order needs of its value, from the GLOBAL row; all of it where that says nothing."""
    known = [figure(given(row, "mis_margin_pct")) for row in case.rows if row.scope == "GLOBAL"]
    return max((pct for pct in known if pct is not None and pct > 0), default=D(100))


# --- the exchange's own limit ----------------------------------------------------------------------------------------


def freeze_quantity(case: Case) -> Iterator[Finding]:
    """What is above the exchange's freeze quantity goes in slices, ten at most. Exits too: the exchange takes no more."""
    known = case.snapshot.instrument
    freeze = positive(known.freeze) if known else None
    if freeze is None and known and known.kind == "EQ" and known.exchange in ("NSE", "BSE"):
        freeze = CASH_FREEZE
    if freeze is None:
        yield say("freeze_quantity", Code.QTY_FREEZE, SKIP, "INSTRUMENT")
        return
    most = floor_to(freeze, case.lot or ZERO) * MOST_SLICES
    yield say("freeze_quantity", Code.QTY_FREEZE, PASS if case.quantity <= most else REJECT, "INSTRUMENT", most, case.quantity, "qty")
