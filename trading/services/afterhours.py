"""An order the broker refused because the market is closed: what its strategy wants then. Only ever after such a refusal, which is proof."""

from brokers import registry
from brokers.types import OPTIONS
from trading.domain.orderfsm import State
from trading.models import AfterHours, Order, OrderType
from trading.services import orders

ACTOR = "desk"
AMO = "amo"
INDEXES = frozenset({"NIFTY", "BANKNIFTY", "FINNIFTY", "MIDCPNIFTY", "NIFTYNXT50", "SENSEX", "BANKEX", "SENSEX50"})


def instead(order: Order, said: str) -> str:
    """Queues the same order once more as an after-market order, with the same tag. Empty when it ends here: then it was refused for good.

    The variety is the memory: what was refused as an after-market order is not tried again.
    """
    if _policy(order) != AfterHours.AMO or why_not(order):
        return ""
    broker = order.account.get_broker_display()
    text = f"The market is closed: {broker} refused it ({said.rstrip('.')}). It is sent again as an after-market order (AMO)."
    orders.move(order, State.QUEUED, code="AMO_FALLBACK", text=text, actor=ACTOR, variety=AMO, starts=0)
    return "as an after-market order"


def why_not(order: Order) -> str:
    """Why it cannot be an after-market order, as a sentence; empty when it can, or when the strategy does not want one."""
    if _policy(order) != AfterHours.AMO:
        return ""
    if order.variety == AMO:
        return "It was an after-market order already."
    if not registry.adapter_for(order.account).caps.amo:
        return f"{order.account.get_broker_display()} takes no after-market orders."
    if order.iceberg_legs > 1:
        return "An iceberg cannot be an after-market order."
    if _index_option(order) and order.order_type == OrderType.MARKET and not order.max_slippage_pct:
        return "An index option is not taken as a market order after hours; a limit price or a slippage limit would let it pass."
    return ""


def _policy(order: Order) -> str:
    return order.strategy.after_hours if order.strategy_id else AfterHours.OFF


def _index_option(order: Order) -> bool:
    return order.instrument.kind in OPTIONS and order.instrument.name in INDEXES
