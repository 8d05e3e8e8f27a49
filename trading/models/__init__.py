from .alert import Alert, Outcome, Signal
from .order import AttemptKind, AttemptOutcome, Fill, Order, OrderAttempt, OrderEvent, OrderStatus, Pending, Side, Source
from .position import Position
from .strategy import DedupeScope, Mode, OnDrift, OrderType, Product, Sizing, Strategy
from .sysevent import Level, SystemEvent

__all__ = [
    "Alert", "AttemptKind", "AttemptOutcome", "DedupeScope", "Fill", "Level", "Mode", "OnDrift", "Order", "OrderAttempt", "OrderEvent", "OrderStatus",
    "OrderType", "Outcome", "Pending", "Position", "Product", "Side", "Signal", "Sizing", "Source", "Strategy", "SystemEvent",
]  # fmt: skip
