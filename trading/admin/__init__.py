"""Strategies to set up; alerts, orders and events to look at."""

from trading.admin import alerts, orders, strategy

__all__ = ["alerts", "orders", "strategy"]
