"""Accounts, strategies to set up; alerts, orders and events to look at."""

from trading.admin import accounts, alerts, limits, orders, strategy, symbols

__all__ = ["accounts", "alerts", "limits", "orders", "strategy", "symbols"]
