"""Fills told by a broker at given moments, prices, and the day's result they make."""

from datetime import UTC, date, datetime
from decimal import Decimal as D
from itertools import count

from brokers.models import Instrument, Quote
from brokers.types import Fill as Told
from brokers.types import OrderKey, OrderReport, Status
from tests import factories
from trading.models import Fill, Order
from trading.selectors import results
from trading.services import sync
from tvapp.lib import clock

MONDAY = date(2026, 11, 23)
numbers = count(1)


def at(day: date = MONDAY, hour: int = 10, minute: int = 0) -> datetime:
    """That time in India."""
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=clock.IST).astimezone(UTC)


def order(strategy, side: str, quantity, *, symbol: str = "INFY", product: str = "MIS", **fields) -> Order:
    """A live order; `strategy` may be an account, whose order then is nobody's."""
    account = getattr(strategy, "account", strategy)
    traded = Instrument.objects.get_or_create(exchange="NSE", tradingsymbol=symbol)[0]
    whose = {"account": account, "owner": account.owner, "strategy": strategy if account is not strategy else None}
    wanted = {"status": "OPEN", "side": side, "quantity": D(quantity), "product": product, "exchange": "NSE", "tradingsymbol": symbol}
    return factories.OrderFactory(instrument=traded, order_type="MARKET", broker_order_id=f"B{next(numbers)}", **whose, **wanted, **fields)


def fill(row: Order, quantity, price, when: datetime | None = None) -> Fill:
    """Tells one execution of the order the way a read of its broker's book does."""
    told = Told(f"T{next(numbers)}", row.broker_order_id, D(quantity), D(price), None, "INR", when or clock.now())
    key = OrderKey(row.broker_order_id, row.tag, symbol=row.symbol)
    report = OrderReport(
        key, None, Status.PARTIAL, "", row.side, row.order_type, row.product, row.quantity, D(quantity), D(0), None, None, None, "", told.at, told.at
    )
    sync.apply_report(row.pk, report, [told])
    return Fill.objects.get(trade_id=told.trade_id)


def trade(strategy, side: str, quantity, price, when: datetime | None = None, **fields) -> Fill:
    return fill(order(strategy, side, quantity, **fields), quantity, price, when)


def price(symbol: str, ltp, *, close=None, source: str = "FEED", when: datetime | None = None) -> None:
    traded = Instrument.objects.get_or_create(exchange="NSE", tradingsymbol=symbol)[0]
    facts = {"ltp": D(ltp), "close": close and D(close), "source": source, "at": when or clock.now()}
    Quote.objects.update_or_create(instrument=traded, defaults=facts)


def day_of(key: str = "GLOBAL", *, simulated: bool = True) -> results.Result:
    return results.results(clock.now(), simulated)[key]
