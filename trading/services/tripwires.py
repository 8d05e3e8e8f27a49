"""What trips by itself: seen where it happens, in the transaction that records it, and turned into a row that stops the scope (`trips`)."""

from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import Max

from brokers.models import BrokerAccount, Environment
from risk.models import Decision, TradingMode, Trip
from risk.phrases import phrase
from risk.types import Finding
from trading.domain.orderfsm import State
from trading.models import AttemptKind, AttemptOutcome, Level, Order, OrderAttempt, OrderEvent, Position, Product, Role, Source, SystemEvent
from trading.selectors import drift
from trading.services import sysevents, trips
from tvapp.lib import clock
from tvapp.lib.money import ZERO, plain
from tvapp.models import DeskSettings

UNKNOWN_WITHIN = timedelta(minutes=10)
DRIFT_MOST = 3
SKEW_MOST = timedelta(seconds=2)
# Findings that stop more than their one order, and whether the next trading day ends that by itself.
GATE = {"RATE_MINUTE": False, "RATE_REPEATED": False, "RATE_DAY": True, "LOSS_DAILY": True}


def judged(order: Order, decision: Decision) -> None:
    """The gate stopped an order: where a rate or the loss of the day was the reason, the scope of that limit takes no entries any more."""
    for found in decision.findings:
        if found["code"] in GATE and found["verdict"] == "REJECT":
            _limit_passed(order, decision, Finding(**found))


def _limit_passed(order: Order, decision: Decision, found: Finding) -> None:
    key, code = _scope_of(order, found.scope), found.code
    if key == "GLOBAL" and order.simulated and BrokerAccount.objects.filter(environment=Environment.LIVE).exists():
        if code == "LOSS_DAILY":
            return  # paper and live are counted apart: the loss watch stops the paper accounts
        key = f"ACCOUNT:{order.account_id}"
    until = next_day(clock.now()) if GATE[code] else None
    trips.trip(key, code, phrase(found), until=until, order=order, data={"decision": decision.pk, "simulated": order.simulated})


def next_day(now: datetime) -> datetime:
    """When the next trading day begins, as the day's counters and its result do: midnight IST."""
    return clock.day_start(clock.trading_day(now) + timedelta(days=1))


def _scope_of(order: Order, label: str) -> str:
    """The key of a finding's scope, which names account and strategy as people do."""
    kind = label.partition(":")[0]
    return {"ACCOUNT": f"ACCOUNT:{order.account_id}", "STRATEGY": f"STRATEGY:{order.strategy_id}"}.get(kind, "GLOBAL")


def refused(order: Order) -> None:
    """The broker refused an order, at once or afterwards: too many in a row and the strategy opens nothing more."""
    most = DeskSettings.current().refusals_trip
    if not order.strategy_id:
        return
    key = f"STRATEGY:{order.strategy_id}"
    rows = OrderAttempt.objects.filter(order__strategy_id=order.strategy_id, kind__in=(AttemptKind.PLACE, AttemptKind.GTT))
    rows = rows.filter(outcome__in=(AttemptOutcome.REFUSED, AttemptOutcome.ACCEPTED), started_at__gt=_since(key, "REFUSAL_STREAK"))
    last = rows.exclude(outcome=AttemptOutcome.ACCEPTED, order__status=State.SENT).order_by("-id").values_list("outcome", "order__status")[:most]
    if len(last) == most and all(outcome == AttemptOutcome.REFUSED or status == State.REJECTED for outcome, status in last):
        trips.trip(key, "REFUSAL_STREAK", f"the broker refused {most} orders in a row, the last one: {order.why}", order=order)


def unknown(order: Order) -> None:
    """An order's outcome is not known: several within minutes and something is wrong with the road to the broker."""
    most, key, now = DeskSettings.current().unknowns_trip, f"ACCOUNT:{order.account_id}", clock.now()
    since = max(now - UNKNOWN_WITHIN, _since(key, "UNKNOWN_STREAK"))
    rows = OrderEvent.objects.filter(order__account_id=order.account_id, to_status=State.UNKNOWN, at__gt=since)
    count = rows.values("order").distinct().count()
    if count >= most:
        trips.trip(key, "UNKNOWN_STREAK", f"the outcome of {count} orders within 10 minutes is not known, {most} are the limit", order=order)


def _since(key: str, code: str) -> datetime:
    """Counting begins anew with each release, or the first refusal after it would trip again."""
    found = Trip.objects.filter(scope=key, code=code).aggregate(at=Max("released_at"))["at"]
    return found or clock.now() - timedelta(days=1)


def tag_twice(order: Order, shown: str) -> None:
    _halt(order, "TAG_TWICE", f"the broker has more than one order with the tag of order {order.pk}: {shown}")


def overfilled(order: Order, filled: Decimal) -> None:
    _halt(order, "OVERFILLED", f"the broker filled {plain(filled)} of order {order.pk} over {plain(order.quantity)}")


def crossed(order: Order, new: Decimal) -> None:
    """`new` more of an order that was to close only were filled: they must not have carried the position over to the order's own side.

    Judged by what its strategy holds together with what was traded outside the desk; other strategies' positions are theirs.
    """
    if order.product == Product.CNC or not _only_closes(order):  # shares are sold from what is held, which is no position
        return
    sign = 1 if order.side == "BUY" else -1
    rows = Position.objects.filter(account_id=order.account_id, instrument_id=order.instrument_id, product=order.product)
    books = {row.strategy_id: sign * row.quantity for row in rows}
    after, net = books.get(order.strategy_id, ZERO) + (books.get(None, ZERO) if order.strategy_id else ZERO), sum(books.values(), ZERO)
    if after <= 0 or net <= 0 or after - new > 0:
        return
    text = f"order {order.pk} was to close {order.tradingsymbol} only, and now {plain(net)} are {'long' if sign > 0 else 'short'}"
    if _both_filled(order):  # an exit has to bring it back, so exits must go on leaving
        trips.trip(f"ACCOUNT:{order.account_id}", "CROSSED_ZERO", text, order=order)
    else:
        _halt(order, "CROSSED_ZERO", text)


def _only_closes(order: Order) -> bool:
    return order.reduce_only or Decision.objects.filter(pk=order.decision_id, order_class="EXIT").exists()


def _both_filled(order: Order) -> bool:
    """Stop and target of one fill, both filled before one could be cancelled: the one way to cross zero that is known and put right."""
    pair = Order.objects.filter(parent_id=order.parent_id, covered=order.covered, source=Source.BRACKET, filled_quantity__gt=0)
    return order.source == Source.BRACKET and order.role != Role.OCO and pair.exclude(pk=order.pk).exists()


def _halt(order: Order, code: str, text: str) -> None:
    """The highest alarm, once for each order: what stands in the broker's book must not stop the account again after its release."""
    if SystemEvent.objects.filter(code=code, order=order).exists():
        return
    if not trips.trip(f"ACCOUNT:{order.account_id}", code, text, effect=TradingMode.HALTED, order=order):
        sysevents.record("risk", code, f"{order.account.name}: {text}.", level=Level.ERROR, owner=order.owner, order=order)


def drifted(account: BrokerAccount) -> None:
    """The broker holds something else than the desk booked, in more symbols than chance explains. What was released once is no news."""
    count, key = drift.count(account.pk), f"ACCOUNT:{account.pk}"
    if count > DRIFT_MOST and drift.standing().filter(account_id=account.pk, confirmed_at__gt=_since(key, "DRIFT_SPREAD")).exists():
        text = f"positions in {count} symbols are not what the desk booked, {DRIFT_MOST} are tolerated"
        trips.trip(key, "DRIFT_SPREAD", text, data={"symbols": count})


def clock_off(account: BrokerAccount, skew: timedelta | None) -> None:
    """`skew` is how far the broker's clock is ahead, as its last answer showed; None: it was not seen. A simulator's is moved on purpose."""
    if skew is not None and abs(skew) > SKEW_MOST and account.environment == Environment.LIVE:
        where = "ahead of" if skew > timedelta(0) else "behind"
        text = f"the broker's clock is {abs(skew).total_seconds():.0f} s {where} this machine's, 2 s are tolerated"
        trips.trip(f"ACCOUNT:{account.pk}", "CLOCK_OFF", text)
