"""The limits a new row starts with: GLOBAL on a fresh desk takes PAPER, the row of a new live account takes LIVE. The stricter of both wins."""

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType

PAPER: Mapping[str, object] = MappingProxyType(
    {
        "clamp_mode": "REJECT", "max_quantity_per_order": Decimal(500), "max_lots_per_order": Decimal(10), "max_lots_per_day": Decimal(50),
        "max_order_value": Decimal(100000), "max_symbol_exposure": Decimal(200000), "max_gross_exposure": Decimal(1000000),
        "warn_exposure_pct": Decimal(90), "max_open_positions": Decimal(20), "max_open_orders": Decimal(10), "max_orders_per_minute": Decimal(30),
        "max_orders_per_day": Decimal(300), "max_repeats_per_minute": Decimal(3), "max_daily_loss": Decimal(50000), "warn_loss_pct": Decimal(80),
        "on_loss_breach": "BLOCK_AND_CANCEL", "margin_buffer_pct": Decimal(0), "collar_aggressive_pct": Decimal(3),
        "collar_passive_pct": Decimal(20), "collar_without_quote": "WARN", "session_policy": "WARN", "defer_max_age": Decimal(15),
        "allow_short_selling": False,
    }
)  # fmt: skip

# Brokers refuse new MIS orders from 15:12 and close what is open from 15:20, for a fee; commodities and currencies go on longer.
LIVE: Mapping[str, object] = MappingProxyType(
    {
        **PAPER, "max_lots_per_order": Decimal(1), "max_lots_per_day": Decimal(10), "max_order_value": Decimal(25000),
        "max_symbol_exposure": Decimal(50000), "max_gross_exposure": Decimal(200000), "max_open_positions": Decimal(10),
        "max_daily_loss": Decimal(5000), "margin_buffer_pct": Decimal(5), "collar_without_quote": "REJECT", "session_policy": "REJECT",
        "entry_cutoff": {"MIS": "15:00", "CDS:MIS": "16:30", "MCX:MIS": "23:00"},
        "square_off_time": {"MIS": "15:10", "CDS:MIS": "16:40", "MCX:MIS": "23:10"},
    }
)  # fmt: skip
