"""Does a change of a limit let more through? Values in, yes or no out; what is not known to be stricter counts as looser."""

from collections.abc import Collection, Mapping
from decimal import Decimal

MOST = frozenset({
    "max_quantity_per_order", "max_lots_per_order", "max_lots_per_day", "max_order_value", "max_symbol_exposure", "max_gross_exposure",
    "max_open_positions", "max_open_orders", "max_orders_per_minute", "max_orders_per_day", "max_repeats_per_minute", "max_trades_per_symbol_day",
    "max_loss_streak", "max_daily_loss", "max_drawdown_pct", "collar_aggressive_pct", "collar_passive_pct", "defer_max_age", "max_signal_age",
})  # fmt: skip
LEAST = frozenset({"min_bars_between", "cooldown_minutes", "cooldown_after_loss", "margin_buffer_pct"})
WARNINGS = frozenset({"warn_exposure_pct", "warn_loss_pct"})  # they stop nothing
# From the strictest to the mildest; empty says nothing, which is the mildest of all.
LADDERS: Mapping[str, tuple[object, ...]] = {
    "session_policy": ("REJECT", "DEFER", "WARN", ""),
    "collar_without_quote": ("REJECT", "WARN", ""),
    "on_loss_breach": ("SQUARE_OFF", "BLOCK_AND_CANCEL", "", "BLOCK"),  # empty means that entries are blocked and cancelled
    "allow_short_selling": (False, None, True),
    "clamp_mode": ("REJECT", "CLAMP"),
}


def is_looser(parameter: str, old: object, new: object) -> bool:
    """Whether a row with `new` in place of `old` may let an order through that the old one stopped. Figures are Decimals, None is no limit."""
    if old == new or parameter in WARNINGS:
        return False
    if parameter in MOST or parameter in LEAST:
        return _figure_looser(old, new, upper=parameter in MOST)
    if parameter in LADDERS:
        return _step(parameter, new) > _step(parameter, old)
    if parameter == "symbol_allow_list":
        return _list_looser(_items(old), _items(new))
    if parameter in ("symbol_deny_list", "no_trade_windows"):
        return not set(_items(old)) <= set(_items(new))
    if parameter == "unlimited":
        return not set(_items(new)) <= set(_items(old))
    return _times_looser(old, new) if parameter in ("entry_cutoff", "square_off_time") else True


def _figure_looser(old: object, new: object, *, upper: bool) -> bool:
    if old is None or new is None:
        return new is None
    was, now = Decimal(str(old)), Decimal(str(new))
    return now > was if upper else now < was


def _step(parameter: str, value: object) -> int:
    ladder = LADDERS[parameter]
    return ladder.index(value) if value in ladder else len(ladder)


def _items(value: object) -> Collection[str]:
    return [str(item) for item in value] if isinstance(value, list | tuple | set | frozenset) else []


def _list_looser(old: Collection[str], new: Collection[str]) -> bool:
    """An empty allow list allows everything."""
    return bool(old) and (not new or not set(new) <= set(old))


def _times_looser(old: object, new: object) -> bool:
    """A time that is gone or later lets more through. One of an exchange and a product (`MCX:MIS`) stands before the product's (`MIS`)."""
    was, now = ({key: str(at) for key, at in value.items()} if isinstance(value, Mapping) else {} for value in (old, new))
    both = [(_time_of(was, key), _time_of(now, key)) for key in {*was, *now}]
    return any(before is not None and (after is None or after > before) for before, after in both)


def _time_of(times: Mapping[str, str], key: str) -> str | None:
    return times.get(key, times.get(key.rpartition(":")[2]))
