"""The gate alone: one order of a strategy under three rows of limits that set every parameter, against making as many findings and nothing else."""

import time
from decimal import Decimal as D
from decimal import localcontext

from risk.engine import ARITHMETIC, evaluate
from risk.types import Decision, Finding, Limits, Verdict
from tests.bench.rows import Row, Size, alternate, median, percentile, row
from tests.risk.cases import desk, order, quoted

EVERYTHING: dict[str, object] = {
    **dict.fromkeys(("max_quantity_per_order", "max_lots_per_order", "max_lots_per_day"), D(500)),
    **dict.fromkeys(("max_order_value", "max_symbol_exposure", "max_gross_exposure", "max_daily_loss"), D(1_000_000)),
    **dict.fromkeys(("max_open_positions", "max_open_orders", "max_orders_per_minute", "max_orders_per_day", "max_repeats_per_minute"), D(300)),
    **dict.fromkeys(("max_trades_per_symbol_day", "max_loss_streak"), D(9)),
    **dict.fromkeys(("min_bars_between", "cooldown_minutes", "cooldown_after_loss"), D(3)),
    **dict.fromkeys(("warn_exposure_pct", "warn_loss_pct", "max_drawdown_pct"), D(90)),
    "margin_buffer_pct": D(5), "collar_aggressive_pct": D(3), "collar_passive_pct": D(20), "collar_without_quote": "REJECT",
    "session_policy": "DEFER", "defer_max_age": D(15), "no_trade_windows": ["12:00-12:30", "15:00-15:10 DEFER"], "entry_cutoff": {"MIS": "15:00"},
    "max_signal_age": D(60), "allow_short_selling": True, "symbol_allow_list": ["NSE:INFY", "NSE:SBIN"], "symbol_deny_list": ["NSE:XYZ"],
    "market_buffer_pct": D(1), "mis_margin_pct": D(20), "old_after_s": D(900), "dead_after_s": D(21600), "future_skew_s": D(30),
}  # fmt: skip
ROWS = [Limits(scope, target, "CLAMP", EVERYTHING) for scope, target in (("GLOBAL", ""), ("ACCOUNT", "paper"), ("STRATEGY", "breakout"))]
INTENT, DESK = order("BUY", 10, 100), desk(quote=quoted(100))


def run(size: Size) -> list[Row]:
    said = evaluate(INTENT, DESK, ROWS)
    assert said.verdict == Verdict.ALLOW, said.sentence
    count = size.alerts * 5
    ours, bare = alternate(lambda: _times(_judge, count), lambda: _times(lambda: _bare(said), count), size.repeats)
    worst = [percentile(times, 99) for times in ours]
    text = f"ms of one decision, {len({f.rule for f in said.findings})} rules, {len(ROWS)} rows, {len(said.findings)} findings"
    return [
        row("risk", f"{text}, p50", median([median(times) for times in ours]), median([median(times) for times in bare]), "ours <= 1"),
        row("risk", "the same, p99", median(worst)),
    ]


def _judge() -> Decision:
    return evaluate(INTENT, DESK, ROWS)


def _bare(said: Decision) -> list[Finding]:
    """One comparison and one finding where the gate made one."""
    with localcontext(ARITHMETIC):
        return [Finding(f.rule, f.code, f.scope, f.limit, f.actual, f.unit, Verdict.PASS if D(10) <= D(300) else Verdict.REJECT) for f in said.findings]


def _times(work, count: int) -> list[float]:
    """Milliseconds of each of `count` calls."""
    took = []
    for _ in range(count):
        begun = time.perf_counter()
        work()
        took.append(1000 * (time.perf_counter() - begun))
    return took
