"""A quiet desk on which everything is in order; each test changes the one thing it is about."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as D
from decimal import localcontext

from risk.engine import ARITHMETIC, case_of, decide
from risk.rules import RULES
from risk.types import (
    Counters,
    Decision,
    Finding,
    FundsFacts,
    InstrumentFacts,
    Limits,
    OrderIntent,
    OrdersFacts,
    PositionFacts,
    Quote,
    ScopeFacts,
    SessionFacts,
    Snapshot,
    StateFacts,
)

NOW = datetime(2026, 3, 2, 4, 21, 7, tzinfo=UTC)  # a Monday, 09:51 IST
READY = StateFacts(
    state="ACTIVE", account_state="READY", account_enabled=True, strategy_enabled=True, live_allowed=True, armed=True, as_of=NOW
)
INFY = InstrumentFacts("INFY", "NSE", "EQ", tick=D("0.05"), lot=D(1), freeze=D(100000), version="2026-03-02", as_of=NOW)
NIFTY = InstrumentFacts("NIFTY26MARFUT", "NFO", "FUT", tick=D("0.05"), lot=D(75), freeze=D(1800), expiry=date(2026, 3, 26), as_of=NOW)
FLAT = PositionFacts(net=D(0), as_of=NOW)
SCOPES = ("GLOBAL", "ACCOUNT:paper", "STRATEGY:breakout")
FUNDS = FundsFacts(available=D(10) ** 9, as_of=NOW)
OPEN = SessionFacts("NSE", True, opens_at=NOW - timedelta(minutes=36), closes_at=NOW + timedelta(hours=5, minutes=39), as_of=NOW)


def long(net: object, closing: object = 0) -> PositionFacts:
    return PositionFacts(net=D(net), sellable=D(net), closing=D(closing), as_of=NOW)


def seconds(value: float) -> timedelta:
    return timedelta(seconds=value)


def order(side: str = "BUY", quantity: object = 10, price: object = None, **given: object) -> OrderIntent:
    """LIMIT when a price is given, else MARKET."""
    base = OrderIntent(
        account="paper", strategy="breakout", symbol="INFY", exchange="NSE", product="MIS", side=side,
        order_type="MARKET" if price is None else "LIMIT", quantity=D(quantity), price=None if price is None else D(price),
        ref_price=D(price or 100), received_at=NOW - seconds(1),
    )
    return replace(base, **given)


def desk(environment: str = "LIVE", **given: object) -> Snapshot:
    base = Snapshot(
        now=NOW, environment=environment, instrument=INFY, position=FLAT, orders=OrdersFacts(0, NOW), funds=FUNDS, counters=counted(),
        states=READY, sessions=OPEN,
    )
    return replace(base, **given)


def counted(facts: ScopeFacts | None = None, **given: object) -> Counters:
    """The same facts for every scope; `given` are figures of them, or `last_signal_at`."""
    last = given.pop("last_signal_at", None)
    known = facts or replace(ScopeFacts(drawdown_pct=D(0)), **given)
    return Counters(dict.fromkeys(SCOPES, known), last_signal_at=last, as_of=NOW)


def quoted(ltp: object, age: float = 1, source: str = "QUOTE") -> Quote:
    return Quote(ltp=D(ltp), source=source, as_of=NOW - seconds(age))


def rows(mode: str = "REJECT", scope: str = "GLOBAL", target: str = "", **values: object) -> Limits:
    return Limits(scope, target, mode, values)


def evaluate(intent: OrderIntent, snapshot: Snapshot, limits: Sequence[Limits], *, advisory: bool = False) -> Decision:
    """What every rule together says."""
    with localcontext(ARITHMETIC):
        return decide(case_of(intent, snapshot, limits), RULES, advisory=advisory)


def judge(intent: OrderIntent, *limits: Limits, on: Snapshot | None = None, advisory: bool = False, **given: object) -> Decision:
    """evaluate() on the quiet desk, `given` replacing parts of the snapshot."""
    return evaluate(intent, replace(on or desk(), **given), limits, advisory=advisory)


def found(decision: Decision, rule: str) -> Finding:
    return next(f for f in decision.findings if f.rule == rule)


def ask(rule: str, intent: OrderIntent, *limits: Limits, on: Snapshot | None = None, **given: object) -> list[Finding]:
    """What one rule alone says, whether or not the desk asks it."""
    case = case_of(intent, replace(on or desk(), **given), limits)
    return [finding for each in RULES if each.judge.__name__ == rule for finding in each.judge(case)]


def says(rule: str, intent: OrderIntent, *limits: Limits, **given: object) -> tuple[str, str]:
    """(verdict, code) of the worst finding of one rule."""
    worst = ("SKIP", "EXEMPT", "PASS", "WARN", "CLAMP", "DEFER", "REJECT").index
    found = max(ask(rule, intent, *limits, **given), key=lambda f: worst(f.verdict))
    return found.verdict, found.code
