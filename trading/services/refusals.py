"""What a broker's answer means beyond its one order: an event, a pause for the strategy's entries, a stop for the account."""

from brokers.errors import BrokerError, RejectCode, Rejected
from risk.models import TradingMode
from trading.domain.orderfsm import State
from trading.models import Level, Order, Source, Strategy, SystemEvent
from trading.services import sysevents, trips, tripwires
from tvapp.lib import clock
from tvapp.lib.errors import AppError

# Reasons that the next entry would meet again; what the broker said is shown until a person acknowledges it.
LASTING = (RejectCode.INSUFFICIENT_FUNDS, RejectCode.INSUFFICIENT_HOLDINGS, RejectCode.NOT_PERMITTED)
TLS_CERT = "TLS_CERT"
STOPS_ACCOUNT = {
    RejectCode.IP_NOT_ALLOWED: "the broker does not take orders from this address",
    TLS_CERT: "the certificate of the broker could not be verified",
}


def noticed(order: Order, exc: BrokerError) -> None:
    """Called in the transaction that records the answer, after the order itself was moved."""
    raw = exc.raw or {}
    if raw.get("unclassified"):
        _unclassified(order, exc)
    if exc.code in STOPS_ACCOUNT:
        _stop_account(order, exc)
    elif exc.code in LASTING and exc.sent:
        lasting(order, exc.code, exc.message)
    if isinstance(exc, Rejected) and order.status == State.FAILED:
        tripwires.refused(order)


def afterwards(order: Order, code: str, message: str) -> None:
    """An order the broker took and refused later, with its RejectCode: as if it had said so at once. What was placed elsewhere is no sign."""
    if order.source == Source.EXTERNAL:
        return
    if code in LASTING:
        lasting(order, code, message)
    tripwires.refused(order)


def lasting(order: Order, code: str, message: str) -> None:
    """An ERROR event with the broker's words; entries of the strategy wait until somebody has acknowledged them."""
    who = order.strategy.name if order.strategy_id else order.account.name
    broker, what = order.account.get_broker_display(), f"{order.side.lower()} {order.tradingsymbol}"
    tail = f" Further entries of {who} wait until you acknowledge it." if order.strategy_id else ""
    text = f"{who}, {what}: {broker} refused it: {message.rstrip('.')}.{tail}"
    sysevents.record("broker", code, text, level=Level.ERROR, owner=order.owner, order=order)
    if order.strategy_id:
        said = {"code": code, "text": text, "order": order.pk, "at": clock.now().isoformat()}
        Strategy.objects.filter(pk=order.strategy_id).update(refusal=said)


def acknowledge(strategy: Strategy, *, actor: str) -> None:
    """A person has seen what the broker refused: entries may leave again. Raises AppError when there is nothing to acknowledge."""
    if not strategy.refusal:
        raise AppError("NOTHING_TO_ACKNOWLEDGE", f"Nothing of {strategy.name} waits for an acknowledgement.", status=409)
    Strategy.objects.filter(pk=strategy.pk).update(refusal={})
    text = f"{actor} acknowledged what the broker refused to {strategy.name} ({strategy.refusal.get('code', '')}). Entries may leave again."
    sysevents.record("broker", "REFUSAL_ACKNOWLEDGED", text, owner=strategy.owner)
    strategy.refusal = {}


def _stop_account(order: Order, exc: BrokerError) -> None:
    """Every further order would meet the same: the account is stopped before it asks again."""
    reason = f"{STOPS_ACCOUNT[exc.code]}: {exc.message}"
    trips.trip(f"ACCOUNT:{order.account_id}", exc.code, reason, effect=TradingMode.HALTED, order=order)


def _unclassified(order: Order, exc: BrokerError) -> None:
    """An answer no table knows: kept as it came, secrets hidden, so that somebody can look at it and teach the desk."""
    text = f"Order {order.pk}: {order.account.get_broker_display()} answered something the desk does not know: {exc.message}"
    data = dict(exc.raw or {})
    sysevents.record("broker", "ANSWER_UNCLASSIFIED", text, level=Level.WARNING, owner=order.owner, order=order, data=data)


def day_is_spent(order: Order, message: str) -> None:
    """One event a day and account: the broker takes no more orders until tomorrow."""
    account, today = order.account, clock.trading_day(clock.now())
    data = {"account": account.pk, "day": today.isoformat()}
    if not SystemEvent.objects.filter(code="DAILY_ORDER_CAP", at__gte=clock.day_start(today), data__account=account.pk).exists():
        text = f"{account.name}: no more orders leave today ({message.rstrip('.')}). Those of today are on hold until tomorrow."
        sysevents.record("broker", "DAILY_ORDER_CAP", text, level=Level.ERROR, owner=account.owner, order=order, data=data)
