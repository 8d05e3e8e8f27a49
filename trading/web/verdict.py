"""A decision of the gate in the words of a page: chip, one short reason, rules in the order a person asks for them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from risk.codes import Code
from risk.models import Decision, Verdict
from risk.phrases import phrase, span
from risk.types import Finding
from trading.templatetags.desk import lakh, money, qty

SHORT = 40
SHOWN_RULES = 6
_CHIPS = {
    "PASS": ("chip-pass", "check", "Pass"),
    "CLAMP": ("chip-clamp", "cut", "Clamped"),
    "WARN": ("chip-warn", "warn", "Look first"),
    "REJECT": ("chip-reject", "ban", "Would be rejected"),
    "DEFER": ("chip-info", "clock", "Would be held"),
    "BLOCKED": ("chip-reject", "ban", "Cannot be sent"),
}
WORDS_OF_CHIPS: Mapping[str, str] = {kind: word for kind, (_, _, word) in _CHIPS.items()}
_RULE_CHIPS = {
    "PASS": ("chip-pass", "check", "Pass"),
    "WARN": ("chip-warn", "warn", "Look"),
    "CLAMP": ("chip-clamp", "cut", "Clamp"),
    "REJECT": ("chip-reject", "ban", "Reject"),
    "DEFER": ("chip-info", "clock", "Hold"),
    "SKIP": ("", "dash", "Not set"),
    "EXEMPT": ("chip-pass", "check", "Exit, free"),
}
# what fits 40 characters where the sentence does not; each says the same
_SHORT: Mapping[str, str] = {
    Code.STATE_HALTED: "Trading is stopped",
    Code.STATE_REDUCING: "Only exits pass now",
    Code.ACCOUNT_RECOVERING: "Account still reads the broker's books",
    Code.ACCOUNT_DISCONNECTED: "Account is not logged in",
    Code.ACCOUNT_DISABLED: "Account is switched off",
    Code.STRATEGY_DISABLED: "Strategy is switched off",
    Code.LIVE_NOT_ALLOWED: "Live orders are not allowed here",
    Code.LIVE_NOT_ARMED: "Strategy is not armed for live orders",
    Code.INSTRUMENT_UNKNOWN: "Instrument is not in the list",
    Code.INSTRUMENT_META_MISSING: "Tick or lot of the instrument missing",
    Code.PRICE_UNAVAILABLE: "No fresh price to value it with",
    Code.SHORT_NOT_ALLOWED: "Short selling is not allowed",
    Code.SYMBOL_DENIED: "Symbol is on the deny list",
    Code.SYMBOL_NOT_ALLOWED: "Symbol is not on the allow list",
    Code.EXIT_NOTHING_OPEN: "Nothing is open that it could close",
    Code.POSITION_UNKNOWN: "Position in this symbol is not known",
    Code.ORDER_UNRESOLVED: "An earlier order is still unresolved",
    Code.SESSION_CLOSED: "The market is closed",
    Code.SESSION_CALENDAR_MISSING: "Market calendar has no entry for today",
    Code.SESSION_NO_TRADE_WINDOW: "Nothing is opened at this hour",
    Code.SESSION_ENTRY_CUTOFF: "Too late for entries today",
    Code.SIGNAL_OUT_OF_ORDER: "A newer alert was acted on already",
    Code.POSITION_DRIFT: "The broker shows another position",
    Code.LOSS_DATA_STALE: "The day's result is not known",
    Code.MARGIN_UNKNOWN: "Not known what it needs or what there is",
}
# no list of instruments, no quotes, no broker that knows the margin
_USUAL: Mapping[str, str] = {
    Code.INSTRUMENT_UNKNOWN: "Tick and lot are assumed on paper",
    Code.PRICE_OUT_OF_COLLAR: "Paper has no price to compare it with",
    Code.MARGIN_UNKNOWN: "Paper does not know the margin it needs",
}
_STATES = {  # what a limit or a state is called in the record
    "ACTIVE": "Active", "REDUCING": "Exits only", "HALTED": "Stopped", "READY": "Ready", "RECOVERING": "Recovering", "DISCONNECTED": "Not connected",
    "WARN": "Warn only", "REJECT": "Refuse", "DEFER": "Hold",
}  # fmt: skip
_ROW = {"CLAMP": "hit", "WARN": "hit", "DEFER": "hit", "REJECT": "bad"}
_RANK = {"REJECT": 0, "DEFER": 1, "CLAMP": 2, "WARN": 3, "PASS": 4, "EXEMPT": 5, "SKIP": 6}


@dataclass(frozen=True)
class Shown:
    """What a chip says. `kind` is PASS, CLAMP, WARN, REJECT, DEFER or BLOCKED; `full` is the whole sentence."""

    kind: str
    short: str
    full: str
    word: str = ""

    @property
    def css(self) -> str:
        return _CHIPS[self.kind][0]

    @property
    def icon(self) -> str:
        return _CHIPS[self.kind][1]

    @property
    def label(self) -> str:
        return self.word or _CHIPS[self.kind][2]

    @property
    def sendable(self) -> bool:
        return self.kind in ("PASS", "CLAMP", "WARN")


@dataclass(frozen=True)
class RuleRow:
    """One line of the rules table."""

    label: str
    scope: str
    limit: str
    actual: str
    css: str
    chip: str
    icon: str
    word: str
    phrase: str
    code: str  # leads to what the rule means


def blocked(short: str, reason: str) -> Shown:
    """An order that cannot be judged at all: no instrument, or no quantity."""
    return Shown("BLOCKED", short, reason)


def shown(decision: Decision) -> Shown:
    """The chip of a decision: the verdict, or a warning that came along with a pass."""
    warned = [f for f in decision.findings if f["verdict"] == "WARN"]
    kind = {Verdict.ALLOW: "WARN" if warned else "PASS"}.get(Verdict(decision.verdict), str(decision.verdict))
    if kind == "PASS":
        judged = [f for f in decision.findings if f["verdict"] == "PASS"]
        return Shown(kind, _passes(decision, len(judged)), decision.sentence)
    strange = [f for f in warned if f["code"] not in _usual(decision)]
    finding = _deciding(decision) if kind != "WARN" else (strange or warned)[0]
    if kind == "WARN" and not strange:
        # every order of a fresh paper desk: nothing a person could look at, so it does not ask them to
        return Shown(kind, _USUAL[warned[0]["code"]], _sentence(warned[0]), "Pass")
    full = _sentence(finding) if kind == "WARN" and finding else decision.sentence
    return Shown(kind, short_reason(finding) if finding else clip(full), full)


def _usual(decision: Decision) -> Collection[str]:
    """Warnings about what paper lacks, not about the order."""
    paper = (decision.snapshot or {}).get("snapshot", {}).get("environment") == "PAPER"
    return _USUAL if paper else (Code.INSTRUMENT_UNKNOWN,)


def _passes(decision: Decision, count: int) -> str:
    if decision.order_class == "EXIT":
        return f"Closes {qty(decision.final)}; all {count} rules pass"
    return f"All {count} rules pass"


def _deciding(decision: Decision) -> Mapping | None:
    """The finding that gave the verdict: the named code first, else the worst."""
    hits = [f for f in decision.findings if f["verdict"] == decision.verdict]
    return next((f for f in hits if f["code"] == decision.code), hits[0] if hits else None)


def clip(text: str, most: int = SHORT) -> str:
    """At most `most` characters, cut between words."""
    text = text.strip().removesuffix(".")
    if len(text) <= most:
        return text
    head = text[: most - 1]
    return f"{head.rsplit(' ', 1)[0].rstrip(',;:') if ' ' in head else head}…"


def short_reason(finding: Mapping) -> str:
    """`Order value limit ₹1,00,000 allows 67`; both numbers when they fit 40 characters, else the sentence cut between words."""
    about, verdict = _label(finding), finding["verdict"]
    limit, actual, after = finding.get("limit", ""), finding.get("actual", ""), finding.get("after")
    for write in (_compact, _compacter):
        if verdict == "CLAMP" and after and write(limit, finding["unit"]):
            text = f"{about} limit {write(limit, finding['unit'])} allows {qty(after)}"
        elif write(limit, finding["unit"]) and write(actual, finding["unit"]):
            text = f"{about} {write(actual, finding['unit'])}, limit {write(limit, finding['unit'])}"
        else:
            break
        if len(text) <= SHORT:
            return text
    return _SHORT.get(finding["code"]) or clip(_sentence(finding))


def _label(finding: Mapping) -> str:
    try:
        return Code(finding["code"]).about
    except ValueError:
        return str(finding["rule"]).replace("_", " ").capitalize()


def _sentence(finding: Mapping) -> str:
    """The finding in words; a code this version no longer knows is shown as it was stored."""
    fields = {name: str(finding.get(name) or "") for name in ("rule", "code", "scope", "limit", "actual", "unit", "verdict")}
    try:
        text = phrase(Finding(**fields))
    except (ValueError, ArithmeticError):
        text = f"{fields['rule']} {fields['actual']}"
    return text[:1].upper() + text[1:]


def _number(text: object) -> Decimal | None:
    try:
        return Decimal(str(text))
    except InvalidOperation:
        return None


def measure(text: str, unit: str) -> str:
    """A limit or an actual value as the rules table shows it."""
    number = _number(text)
    if number is None:
        word, comma, rest = text.partition(",")
        return f"{_STATES.get(word, word)}{comma}{rest}" or "–"
    return money(number) if unit == "INR" else span(text) if unit == "s" else qty(number)


def _compact(text: str, unit: str) -> str:
    number = _number(text)
    if number is None:
        return ""
    return money(number, 0) if unit == "INR" else span(text) if unit == "s" else qty(number) if unit == "qty" else ""


def _compacter(text: str, unit: str) -> str:
    number = _number(text)
    return lakh(number) if unit == "INR" and number is not None else _compact(text, unit)


def rules(decision: Decision) -> tuple[list[RuleRow], list[RuleRow]]:
    """The rules table, the one that decided first: what is shown at once, and the rest that passed or was not set."""
    first = _deciding(decision)
    ordered = sorted(decision.findings, key=lambda f: (f is not first, _RANK.get(f["verdict"], 9)))
    rows = [_row(f) for f in ordered]
    loud = sum(f["verdict"] in _ROW for f in ordered)
    cut = max(loud, SHOWN_RULES)
    return rows[:cut], rows[cut:]


def _row(finding: Mapping) -> RuleRow:
    verdict, unit = finding["verdict"], finding.get("unit", "")
    chip, icon, word = _RULE_CHIPS.get(verdict, ("", "dash", verdict))
    if verdict == "CLAMP" and finding.get("after"):
        word = f"Clamp to {qty(finding['after'])}"
    kind, _, name = str(finding.get("scope", "")).partition(":")
    scope = "desk-wide" if kind == "GLOBAL" else f"{kind.lower()} {name}".strip()
    limit, actual = measure(finding.get("limit", ""), unit), measure(finding.get("actual", ""), unit)
    known = finding["code"] if finding["code"] in Code.__members__ else ""
    return RuleRow(_label(finding), scope, limit, actual, _ROW.get(verdict, ""), chip, icon, word, _sentence(finding), known)
