"""Orders placed past the desk: shown, counted in exposure, their fills booked as nobody's strategy, and never touched by themselves."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal

from brokers.models import BrokerAccount, Instrument, InstrumentKind
from brokers.types import Fill, OrderReport
from trading.domain import orderfsm
from trading.models import AttemptKind, Level, Order, OrderAttempt, OrderType
from trading.services import ledgers, orders, sync, sysevents
from tvapp.lib import clock, ids
from tvapp.lib.money import plain

ACTOR = "sync"
SKEW = timedelta(seconds=60)
SHARES = ("NSE", "BSE")
_ENDINGS = {"FUT": InstrumentKind.FUT, "CE": InstrumentKind.CE, "PE": InstrumentKind.PE}


def adopt(account: BrokerAccount, report: OrderReport, fills: Iterable[Fill]) -> Order | None:
    """The row of an order the desk did not place, made at the first sight of it. None when the report does not name an instrument."""
    exchange, _, symbol = (report.key.symbol or "").partition(":")
    if not symbol or not report.key.broker_order_id or report.quantity <= 0:
        return None
    with ledgers.book_of(account.pk):
        order = orders.adopt_external(account=account, text=_sentence(account, report), actor=ACTOR, **_fields(report, instrument(exchange, symbol)))
        sync.apply_report(order.pk, report, fills, actor=ACTOR)
    return order


def _sentence(account: BrokerAccount, report: OrderReport) -> str:
    tag = f", with the tag {report.key.ref}" if report.key.ref else ""
    return f"Placed at {account.get_broker_display()} outside this desk{tag}. It counts in exposure and is never touched by itself."


def _fields(report: OrderReport, traded: Instrument) -> dict[str, object]:
    has_price = report.order_type in (OrderType.LIMIT, OrderType.SL)
    return {
        "instrument": traded, "exchange": traded.exchange, "tradingsymbol": traded.tradingsymbol, "side": report.side.value,
        "quantity": report.quantity, "requested_quantity": report.quantity, "order_type": report.order_type.value,
        "price": report.price if has_price else None, "trigger_price": report.trigger_price or None, "product": report.product.value,
        "variety": report.key.variety or "regular", "broker_order_id": report.key.broker_order_id, "received_at": report.placed_at,
        "correlation_id": ids.correlation_id(),
    }  # fmt: skip


def instrument(exchange: str, symbol: str) -> Instrument:
    """The row of what was traded; made when no list named it yet, without tick and lot so that no order of ours can use it before one does."""
    kind = InstrumentKind.EQ if exchange in SHARES else next((k for end, k in _ENDINGS.items() if symbol.endswith(end)), InstrumentKind.EQ)
    fresh = {"name": symbol[:64], "kind": kind, "tick": None, "lot": None, "provisional": True}
    return Instrument.objects.get_or_create(exchange=exchange, tradingsymbol=symbol, defaults=fresh)[0]


def adopt_all(account: BrokerAccount, reports: Sequence[OrderReport], fills: Mapping[str, list[Fill]]) -> int:
    """Rows for every stranger of one read, but for those that may be an order of ours whose outcome a person still has to settle."""
    unsettled = _unsettled(account) if reports else []
    made = [o for r in reports if not _may_be_ours(r, unsettled) and (o := adopt(account, r, fills.get(r.key.broker_order_id, ())))]
    if made:
        first = made[0]
        names = f"{first.side.lower()} {plain(first.quantity)} {first.tradingsymbol}" + (f" and {len(made) - 1} more" if len(made) > 1 else "")
        text = f"{account.name}: placed outside this desk: {names}. They count in exposure; the desk does not touch them by itself."
        sysevents.record("order", "EXTERNAL_ORDER", text, level=Level.INFO, owner=account.owner, order=first)
    return len(made)


def _unsettled(account: BrokerAccount) -> list[Order]:
    return list(Order.objects.filter(account=account, status__in=orderfsm.MAYBE_LIVE, broker_order_id=""))


def _may_be_ours(report: OrderReport, unsettled: Iterable[Order]) -> bool:
    """An order without a tag that fits one of ours whose outcome is not known: that one counts in exposure already, and a person attaches it."""
    return not report.key.ref and any(could_be(order, report) for order in unsettled)


def could_be(order: Order, report: OrderReport) -> bool:
    began = OrderAttempt.objects.filter(order=order, kind=AttemptKind.PLACE).order_by("-id").values_list("started_at", flat=True).first()
    in_time = report.placed_at >= (began or order.created_at or clock.now()) - SKEW
    return in_time and sync.fits(order, report) and report.quantity == (order.quantity or Decimal(0))
