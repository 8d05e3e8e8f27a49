"""The rules, one function each: a case in, one finding per scope out. RULES is the order in which they are asked.

A new rule is a function in the module of its section, its line in RULES, its code in risk/codes.py and, with a limit, a parameter of
the limit rows.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from risk.rules.common import PAPER_LOT, PAPER_TICK, SKEW, STOP_MARKET, figure, given, say
from risk.rules.counts import (
    cooldown_after_loss,
    cooldown_minutes,
    max_loss_streak,
    max_open_orders,
    max_open_positions,
    max_orders_per_day,
    max_orders_per_minute,
    max_repeats_per_minute,
    max_trades_per_symbol_day,
    min_bars_between,
)
from risk.rules.direction import allow_short_selling, order_unresolved, position_drift, position_known, reduce_only
from risk.rules.loss import max_daily_loss, max_drawdown_pct
from risk.rules.order import instrument, instrument_data, order_form, price_tick, reference_price
from risk.rules.signal import max_signal_age, price_collar, signal_clock, signal_order, symbol_allow_list, symbol_deny_list
from risk.rules.size import (
    freeze_quantity,
    margin_buffer_pct,
    max_gross_exposure,
    max_lots_per_day,
    max_lots_per_order,
    max_order_value,
    max_quantity_per_order,
    max_symbol_exposure,
    quantity_lot,
    quantity_min,
)
from risk.rules.state import account_enabled, account_gate, broker_refusal, live_allowed, live_armed, reducing_state, strategy_enabled, trading_state
from risk.rules.timing import entry_cutoff, no_trade_windows, session_policy
from risk.types import Case, Finding


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
    Rule(session_policy),
    Rule(no_trade_windows),
    Rule(entry_cutoff),
    Rule(symbol_deny_list),
    Rule(symbol_allow_list),
    Rule(max_signal_age),
    Rule(signal_clock),
    Rule(signal_order),
    Rule(price_collar),
    Rule(reduce_only, sized=True),
    Rule(allow_short_selling, sized=True),
    Rule(position_known),
    Rule(order_unresolved),
    Rule(position_drift, sized=True),
    Rule(max_open_positions),
    Rule(max_open_orders),
    Rule(max_orders_per_minute),
    Rule(max_orders_per_day),
    Rule(max_trades_per_symbol_day),
    Rule(min_bars_between),
    Rule(cooldown_minutes),
    Rule(cooldown_after_loss),
    Rule(max_loss_streak),
    Rule(max_repeats_per_minute),
    Rule(max_daily_loss),
    Rule(max_drawdown_pct, sized=True),
    Rule(quantity_lot, sized=True),
    Rule(quantity_min, sized=True),
    Rule(max_quantity_per_order, sized=True),
    Rule(max_lots_per_order, sized=True),
    Rule(max_lots_per_day, sized=True),
    Rule(max_order_value, sized=True),
    Rule(max_symbol_exposure, sized=True),
    Rule(max_gross_exposure, sized=True),
    Rule(margin_buffer_pct, sized=True),
    Rule(freeze_quantity, sized=True),
)

__all__ = ["PAPER_LOT", "PAPER_TICK", "RULES", "SKEW", "STOP_MARKET", "Rule", "figure", "given", "say"]
