"""What a square-off looks at: orders that still work, what each strategy holds, the broker's own figure, and when MIS is closed by the clock."""

from collections.abc import Iterator, Mapping
from datetime import datetime, time
from decimal import Decimal
from typing import NamedTuple

from django.db.models import Max, Q, QuerySet

from brokers.models import BrokerPosition, SyncState
from risk.models import RiskSettings, Scope
from trading.domain import orderfsm
from trading.domain.orderfsm import State
from trading.models import Fill, Order, Position, Source, SquareOff, SquareOffLeg, SquareOffState
from tvapp.lib import clock
from tvapp.lib.money import ZERO

ACTIVE = (SquareOffState.CANCELLING, SquareOffState.READING, SquareOffState.CLOSING)
DELIVERY = ("CNC", "MTF")  # a minus there is a holding that was sold, and never a short
UNENDED = [state for state in State if state not in orderfsm.ENDED]


class Leg(NamedTuple):
    """What is closed by itself: a symbol in one product."""

    exchange: str
    tradingsymbol: str
    product: str


# --- which orders and positions it is about ---------------------------------------------------------------------


def in_scope(row: SquareOff, leg: Leg) -> bool:
    return (not row.products or leg.product in row.products) and (not row.exchanges or leg.exchange in row.exchanges)


def _scope(row: SquareOff) -> Q:
    wanted = Q(account_id=row.account_id)
    if row.products:
        wanted &= Q(product__in=row.products)
    return wanted & Q(exchange__in=row.exchanges) if row.exchanges else wanted


def unended(row: SquareOff) -> QuerySet[Order]:
    """Every order in its scope that may still trade, whoever placed it. One that waits for a person trades nothing by itself."""
    waits = Q(status=State.WAITING) & ~Q(source=Source.SQUARE_OFF)
    rows = Order.objects.filter(_scope(row), status__in=UNENDED).exclude(waits)
    return rows.filter(strategy_id=row.strategy_id) if row.strategy_id else rows


def orders_of(row: SquareOff) -> QuerySet[Order]:
    """The orders it made itself."""
    return Order.objects.filter(correlation_id=row.correlation_id, source=Source.SQUARE_OFF)


def numbers(account_id: int) -> dict[Leg, int]:
    """How often each leg was closed so far. Read before the positions: what somebody closes in between then collides."""
    rows = SquareOffLeg.objects.filter(account_id=account_id).order_by().values_list("exchange", "tradingsymbol", "product")
    return {Leg(*key): no for *key, no in rows.annotate(Max("no"))}


def books(account_id: int, leg: Leg) -> dict[int | None, Decimal]:
    """What each strategy holds of the leg (None: nobody's), as far as the desk booked it."""
    rows = Position.objects.filter(
        account_id=account_id, instrument__exchange=leg.exchange, instrument__tradingsymbol=leg.tradingsymbol, product=leg.product
    ).exclude(quantity=0)
    found: dict[int | None, Decimal] = {}
    for strategy, quantity in rows.values_list("strategy_id", "quantity"):
        found[strategy] = found.get(strategy, ZERO) + quantity
    return found


def moved_since(account_id: int, at: datetime) -> set[Leg]:
    """Legs with an execution that became known at or after `at`."""
    rows = Fill.objects.filter(account_id=account_id, seen_at__gte=at)
    return {Leg(*key) for key in rows.values_list("instrument__exchange", "instrument__tradingsymbol", "product")}


def at_broker(order: Order) -> tuple[Decimal, datetime] | None:
    """Net position as its broker showed it last, with what was executed since, and when it was read. None: it was never read."""
    read_at = SyncState.objects.filter(account_id=order.account_id).values_list("positions_at", flat=True).first()
    if read_at is None:
        return None
    key = {"exchange": order.exchange, "tradingsymbol": order.tradingsymbol, "product": order.product}
    net = sum(BrokerPosition.objects.filter(account_id=order.account_id, **key).values_list("net_qty", flat=True), ZERO)
    since = Fill.objects.filter(account_id=order.account_id, instrument_id=order.instrument_id, product=order.product, seen_at__gte=read_at)
    moved = sum((quantity if side == "BUY" else -quantity for side, quantity in since.values_list("side", "quantity")), ZERO)
    return net + moved, read_at


# --- by the clock -----------------------------------------------------------------------------------------------


class Times(NamedTuple):
    """When products are closed by themselves, in one row of limits: `MIS` for all exchanges, `MCX:MIS` for that one instead."""

    row: RiskSettings
    by_key: Mapping[str, str]

    def of(self, exchange: str, product: str) -> time | None:
        text = self.by_key.get(f"{exchange}:{product}") or self.by_key.get(product)
        return time.fromisoformat(text) if text else None


def schedules() -> list[Times]:
    """Every row of limits that closes something by the clock."""
    rows = RiskSettings.objects.exclude(square_off_time={}).select_related("account", "strategy", "strategy__account")
    return [Times(row, row.square_off_time) for row in rows]


def due(times: list[Times], thing: "Open") -> Iterator[tuple[int | None, time]]:
    """When it is closed: the earliest time for everything of its account (None), and its strategy's own where that comes before."""
    for_all = _earliest(times, thing, None)
    if for_all is not None:
        yield None, for_all
    own = _earliest(times, thing, thing.strategy_id) if thing.strategy_id else None
    if own is not None and (for_all is None or own < for_all):
        yield thing.strategy_id, own


def _earliest(times: list[Times], thing: "Open", strategy_id: int | None) -> time | None:
    mine = [each.of(thing.exchange, thing.product) for each in times if _applies(each.row, thing.account_id, strategy_id)]
    return min((at for at in mine if at is not None), default=None)


def _applies(row: RiskSettings, account_id: int, strategy_id: int | None) -> bool:
    if row.scope == Scope.STRATEGY:
        strategy = getattr(row, "strategy", None)
        return strategy is not None and strategy.pk == strategy_id
    return row.scope == Scope.GLOBAL or row.account_id == account_id


class Open(NamedTuple):
    """Something that the clock may close."""

    account_id: int
    strategy_id: int | None
    exchange: str
    product: str


def open_things(products: set[str]) -> set[Open]:
    """Positions and working orders in these products, as the desk last knew them; the broker's figures count beside the desk's own."""
    found = set()
    held = Position.objects.filter(product__in=products).exclude(quantity=0)
    found |= {Open(*row) for row in held.values_list("account_id", "strategy_id", "instrument__exchange", "product")}
    at_brokers = BrokerPosition.objects.filter(product__in=products).exclude(net_qty=0)
    found |= {Open(account, None, exchange, product) for account, exchange, product in at_brokers.values_list("account_id", "exchange", "product")}
    working = Order.objects.filter(product__in=products, status__in=[*orderfsm.LIVE, *orderfsm.MAYBE_LIVE, State.QUEUED, State.HELD])
    return found | {Open(*row) for row in working.values_list("account_id", "strategy_id", "exchange", "product")}


# --- for pages --------------------------------------------------------------------------------------------------


def standing(user) -> list[SquareOff]:
    """The last one of each account, of this day, that is under way or needs a person. A later one that closed everything takes it away."""
    since = clock.day_start(clock.trading_day(clock.now()))
    rows = SquareOff.objects.for_user(user).filter(Q(started_at__gte=since) | Q(ended_at=None)).select_related("account").order_by("id")
    last = {row.account_id: row for row in rows}
    return [row for row in last.values() if row.state != SquareOffState.DONE]
