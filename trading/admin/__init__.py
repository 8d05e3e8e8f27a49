"""Strategies to set up; alerts, orders and events to look at."""

from trading.admin import alerts, limits, orders, strategy

__all__ = ["alerts", "limits", "orders", "strategy"]
