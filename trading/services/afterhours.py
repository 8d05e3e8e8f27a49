"""An order the broker refused because the market is closed: what its strategy wants then. Only ever after such a refusal, which is proof."""

from brokers import registry
from brokers.types import OPTIONS, Kind
from trading.domain.orderfsm import State
from trading.models import AfterHours, Order, OrderType, Product
from trading.selectors import sessions
from trading.services import orders
from tvapp.lib import clock

ACTOR = "desk"
AMO = "amo"
_WAYS = {
    AfterHours.AMO: ("AMO_FALLBACK", "an after-market order (AMO)", {"variety": AMO}),
    AfterHours.GTT: ("GTT_FALLBACK", "a trigger at its price (GTT)", {"gtt": True}),
}
INDEXES = frozenset({"NIFTY", "BANKNIFTY", "FINNIFTY", "MIDCPNIFTY", "NIFTYNXT50", "SENSEX", "BANKEX", "SENSEX50"})


def instead(order: Order, said: str) -> str:
    """Queues the same order once more, as an after-market order or as a trigger, with the same tag. Empty when it ends here, refused for good.

    The variety, or the mark of a trigger, is the memory: what was refused as such is not tried again.
    """
    policy = _policy(order)
    if policy == AfterHours.OFF or why_not(order):
        return ""
    code, kind, changes = _WAYS[policy]
    broker = order.account.get_broker_display()
    text = f"The market is closed: {broker} refused it ({said.rstrip('.')}). It is sent again as {kind}."
    orders.move(order, State.QUEUED, code=code, text=text, actor=ACTOR, starts=0, **changes)
    return f"again as {kind}"


def why_not(order: Order) -> str:
    """Why it cannot be what its strategy wants after hours, as a sentence; empty when it can, or when nothing is wanted."""
    faults = {AfterHours.AMO: _no_amo, AfterHours.GTT: _no_gtt}
    return faults[_policy(order)](order) if _policy(order) in faults else ""


def _no_gtt(order: Order) -> str:
    broker, equity = order.account.get_broker_display(), order.instrument.kind == Kind.EQ
    if order.gtt:
        return "It was a trigger already."
    if not registry.adapter_for(order.account).caps.gtt:
        return f"{broker} keeps no triggers (GTT)."
    if order.order_type != OrderType.LIMIT:
        return "Only a limit order can wait as a trigger (GTT)."
    wanted = Product.CNC if equity else Product.NRML
    return "" if order.product == wanted else f"A trigger (GTT) for {'shares' if equity else 'contracts'} needs the product {wanted}."


def _no_amo(order: Order) -> str:
    if order.variety == AMO:
        return "It was an after-market order already."
    if not registry.adapter_for(order.account).caps.amo:
        return f"{order.account.get_broker_display()} takes no after-market orders."
    if order.iceberg_legs > 1:
        return "An iceberg cannot be an after-market order."
    if not sessions.takes_amo(order.exchange, clock.now()):
        return f"After-market orders of {order.exchange} are taken from {sessions.amo_window(order.exchange)}."
    if _index_option(order) and order.order_type == OrderType.MARKET and not order.max_slippage_pct:
        return "An index option is not taken as a market order after hours; a limit price or a slippage limit would let it pass."
    return ""


def _policy(order: Order) -> str:
    return order.strategy.after_hours if order.strategy_id else AfterHours.OFF


def _index_option(order: Order) -> bool:
    return order.instrument.kind in OPTIONS and order.instrument.name in INDEXES
