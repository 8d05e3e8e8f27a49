from .alert import Alert, Outcome, Signal
from .drift import Correction, Drift
from .gtt import Gtt, GttState
from .order import AttemptKind, AttemptOutcome, Fill, Order, OrderAttempt, OrderEvent, OrderStatus, Pending, Role, Side, Source
from .position import Basis, EquityPeak, Position, PositionDay
from .squareoff import SquareOff, SquareOffLeg, SquareOffState
from .strategy import AfterHours, DedupeScope, Mode, OnDrift, OrderType, Product, Sizing, Strategy
from .symbol import OverrideScope, TvSymbolOverride
from .sysevent import Level, SystemEvent

__all__ = [
    "AfterHours", "Alert", "AttemptKind", "AttemptOutcome", "Basis", "Correction", "DedupeScope", "Drift", "EquityPeak", "Fill", "Gtt", "GttState", "Level", "Mode", "OnDrift", "Order", "OrderAttempt", "OrderEvent", "OrderStatus",
    "OrderType", "Outcome", "OverrideScope", "Pending", "Position", "PositionDay", "Product", "Role", "Side", "Signal", "Sizing", "Source", "SquareOff", "SquareOffLeg", "SquareOffState", "Strategy", "SystemEvent", "TvSymbolOverride",
]  # fmt: skip
