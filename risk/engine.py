"""The pre-trade gate: one pure function. It may cut a quantity or refuse, never enlarge, round up, or change anything else."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Context, localcontext

from risk.codes import Code
from risk.phrases import phrase
from risk.rules import PAPER_LOT, PAPER_TICK, RULES, SKEW, STOP_MARKET, Rule, figure, given
from risk.types import Case, D, Decision, Finding, Limits, OrderIntent, Snapshot, Verdict, countable, positive
from tvapp.lib.money import ZERO, plain

ENGINE = "1.0"
ARITHMETIC = Context(prec=200)  # wide enough that every figure number() lets through is counted exactly
STOPS = (Verdict.REJECT, Verdict.DEFER)
PRICE_FRESH = {"QUOTE": timedelta(seconds=10), "MARK": timedelta(seconds=60)}
DEFAULT_BUFFER_PCT = D(1)
SCOPE_ORDER = {"GLOBAL": 0, "ACCOUNT": 1, "STRATEGY": 2}

Answers = list[tuple[Rule, list[Finding]]]


def evaluate(intent: OrderIntent, snapshot: Snapshot, limits: Sequence[Limits], *, advisory: bool = False) -> Decision:
    """What may be done with `intent`, given what is known (`snapshot`) and what is allowed (`limits`).

    All rows that match apply, the stricter wins, their order does not matter. Missing data stops an entry with the code of the
    rule that needs it. `advisory` asks every rule; the authoritative run ends at the first REJECT or DEFER. Both decide alike.
    Never raises for values of the declared types; times must be aware.
    """
    with localcontext(ARITHMETIC):
        return decide(case_of(intent, snapshot, limits), RULES, advisory=advisory)


def decide(case: Case, rules: Sequence[Rule], *, advisory: bool) -> Decision:
    """The verdict of `rules` on a case."""
    answers = _ask(case, rules, advisory)
    findings = [finding for _, found in answers for finding in found]
    stop = next((f for f in findings if f.verdict in STOPS), None)
    if stop is not None:
        return _stopped(case, findings, stop)
    cuts = [f for f in findings if f.verdict == Verdict.CLAMP]
    return _clamped(case, answers, cuts) if cuts else _allowed(case, findings)


def _ask(case: Case, rules: Sequence[Rule], advisory: bool) -> Answers:
    answers: Answers = []
    for rule in rules:
        found = list(rule.judge(case))
        answers.append((rule, found))
        if not advisory and any(f.verdict in STOPS for f in found):
            break
    return answers


def _stopped(case: Case, findings: list[Finding], stop: Finding, detail: str = "") -> Decision:
    verdict = Verdict.DEFER if stop.verdict == Verdict.DEFER else Verdict.REJECT
    sentence = ("On hold: " if verdict is Verdict.DEFER else "Rejected: ") + phrase(stop) + detail
    return Decision(verdict, stop.code, ZERO, case.order_class, tuple(findings), sentence)


def _allowed(case: Case, findings: list[Finding]) -> Decision:
    asked = len({f.rule for f in findings if f.verdict != Verdict.SKIP})
    warnings = [phrase(f) for f in findings if f.verdict == Verdict.WARN]
    noun = "warning" if len(warnings) == 1 else "warnings"
    sentence = f"Allowed: all {asked} rules pass" + (f", {len(warnings)} {noun}: {'; '.join(warnings)}" if warnings else "")
    return Decision(Verdict.ALLOW, "", case.requested, case.order_class, tuple(findings), sentence)


def _clamped(case: Case, answers: Answers, cuts: list[Finding]) -> Decision:
    """The smallest cut binds, the first of equals; what is left must stand before every size rule again.

    The lot only rounds down what a limit left, so among equals it and the least order speak last.
    """
    binding = min(cuts, key=lambda f: (f.after or ZERO, f.code in (Code.QTY_LOT, Code.QTY_MIN)))
    final = binding.after or ZERO
    if final <= 0:
        return _uncuttable(case, answers, binding)
    findings, breach = _again(case.at(final), answers)
    if breach is not None:
        return _stopped(case, findings, breach)
    sentence = f"Quantity clamped from {plain(case.requested)} to {plain(final)}: {phrase(binding)}"
    return Decision(Verdict.CLAMP, binding.code, final, case.order_class, tuple(findings), sentence)


def _uncuttable(case: Case, answers: Answers, binding: Finding) -> Decision:
    refused = replace(binding, verdict=Verdict.REJECT)
    findings = [refused if f is binding else f for _, found in answers for f in found]
    short = binding.code in (Code.SHORT_NOT_ALLOWED, Code.SHORT_PRODUCT)
    return _stopped(case, findings, refused, "" if short else ", cannot be clamped to one lot")


def _again(case: Case, answers: Answers) -> tuple[list[Finding], Finding | None]:
    """Findings for the record, and the first size rule the smaller quantity still breaks.

    A rule that cut keeps what it said about the quantity asked; the others are shown with the quantity that is left.
    """
    findings: list[Finding] = []
    breach: Finding | None = None
    for rule, found in answers:
        anew = list(rule.judge(case)) if rule.sized else found
        broken = next((f for f in anew if f.verdict in (Verdict.CLAMP, Verdict.REJECT)), None)
        if broken is not None:
            broken = replace(broken, verdict=Verdict.REJECT)
            breach = breach or broken
        keep = any(f.verdict == Verdict.CLAMP for f in found)
        findings += [*found, broken] if keep and broken else found if keep else anew
    return findings, breach


def case_of(intent: OrderIntent, snapshot: Snapshot, limits: Sequence[Limits]) -> Case:
    """The order with everything worked out that more than one rule needs."""
    rows = tuple(sorted((row for row in limits if row.matches(intent)), key=_row_order))
    facts = snapshot.instrument
    tick, lot = (positive(facts.tick), positive(facts.lot)) if facts else (None, None)
    if snapshot.paper:
        tick, lot = tick or PAPER_TICK, lot or PAPER_LOT
    reference, source = _reference(intent, snapshot)
    return Case(
        intent=intent, snapshot=snapshot, rows=rows, requested=positive(intent.quantity) or ZERO, closable=_closable(intent, snapshot),
        tick=tick, lot=lot, price=_price(intent, reference), reference=reference, source=source,
        unit_value=_unit_value(intent, reference, _buffer(rows), (positive(facts.multiplier) if facts else None) or D(1)),
    )


def _row_order(row: Limits) -> tuple[int, str, str, str, list[str]]:
    return SCOPE_ORDER.get(row.scope, 3), row.scope, row.target, row.clamp_mode, sorted(f"{key}={_text(value)}" for key, value in row.values.items())


def _text(value: object) -> str | None:
    """The same for a figure and for the text it is kept as."""
    return plain(value) if isinstance(value, D) else str(value)


def _closable(intent: OrderIntent, snapshot: Snapshot) -> D:
    """What an order of this side can close, less what other orders are already closing. CNC sells from what is sellable."""
    position = countable(snapshot.position)
    if position is None or intent.side not in ("BUY", "SELL"):
        return ZERO
    held = -position.net if intent.side == "BUY" else position.sellable if intent.product == "CNC" else position.net
    return max(ZERO, held - max(ZERO, position.closing))


def _reference(intent: OrderIntent, snapshot: Snapshot) -> tuple[D | None, str]:
    """First usable: a fresh quote, a fresh mark, the alert's own price (whose age is judged by max_signal_age)."""
    quote = snapshot.quote
    if quote is not None and quote.source in PRICE_FRESH:
        ltp = positive(quote.ltp)
        if ltp is not None and -SKEW <= snapshot.age(quote.as_of) <= PRICE_FRESH[quote.source]:
            return ltp, quote.source
    alert = positive(intent.ref_price)
    return (alert, "ALERT") if alert is not None else (None, "ORDER")


def _price(intent: OrderIntent, reference: D | None) -> D | None:
    """Of one unit, as ordered."""
    if intent.order_type in ("LIMIT", "SL"):
        return positive(intent.price)
    return positive(intent.trigger_price) if intent.order_type in STOP_MARKET else reference


def _unit_value(intent: OrderIntent, reference: D | None, buffer_pct: D, multiplier: D) -> D | None:
    """Worst case of one unit: a BUY LIMIT its limit, a SELL LIMIT the market when that is higher, all others price + buffer."""
    price = _price(intent, reference)
    if price is None or intent.order_type != "LIMIT":
        return None if price is None else price * (1 + buffer_pct / 100) * multiplier
    if intent.side == "BUY":
        return price * multiplier
    return None if reference is None else max(price, reference) * multiplier


def _buffer(rows: Sequence[Limits]) -> D:
    """`market_buffer_pct` of the GLOBAL row, 1 % when it is not given or not readable."""
    known = [figure(given(row, "market_buffer_pct")) for row in rows if row.scope == "GLOBAL"]
    return max((pct for pct in known if pct is not None and pct >= 0), default=DEFAULT_BUFFER_PCT)
