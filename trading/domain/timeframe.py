"""How long one bar of a chart is: `15`, `15m`, `1h`, `D`, `1D`, `2W`, `30S`, as TradingView and people write it."""

import re

UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "hr": 3600, "d": 86400, "w": 7 * 86400}
WRITTEN = re.compile(r"(\d{1,4})?\s*([A-Za-z]*)")
MONTH_S = 30 * 86400


def bar_seconds(text: str) -> int | None:
    """Seconds of one bar; None for what is no timeframe. A bare number is minutes; `M` alone or `1M` is a month, `1m` a minute."""
    found = WRITTEN.fullmatch(text.strip())
    if found is None or not text.strip():
        return None
    count, unit = int(found[1] or 1), found[2]
    if not unit:
        return count * 60 or None
    each = MONTH_S if unit == "M" else UNITS.get(unit.lower())
    return count * each if each and count else None
