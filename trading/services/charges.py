"""What a fill costs, estimated by the dated schedule in the fill's own transaction. It stays the estimate of its day when rates change later."""

from decimal import Decimal

from brokers import charges as sums
from brokers.charges import Charges, NoRate, Rate
from brokers.models import ChargeSchedule
from trading.models import Fill, Product
from tvapp.lib.money import ZERO, plain


def book(fill: Fill) -> None:
    """Puts the estimate into a fill that is about to be stored. Without rates of its day the charges stay unknown, and count as nothing."""
    broker, kind = fill.order.account.broker, fill.instrument.kind
    segment = sums.segment_of(kind, fill.product)
    schedule = [row.rate for row in ChargeSchedule.objects.filter(broker=broker, segment=segment, exchange=fill.exchange)]
    try:
        rate = sums.rate_of(schedule, segment, fill.exchange, fill.trading_day)
    except NoRate:
        return
    found = _estimate(fill, rate)
    fill.charges, fill.charge_parts = found.total, {name: plain(value) for name, value in found.parts().items() if value}


def _estimate(fill: Fill, rate: Rate) -> Charges:
    many = fill.instrument.multiplier
    before = Fill.objects.filter(order_id=fill.order_id).values_list("quantity", "price")
    turnover = sum((quantity * price * many for quantity, price in before), ZERO)
    found = sums.estimate(
        rate.segment, rate.exchange, fill.side, fill.quantity, fill.price,
        on=fill.trading_day, schedule=[rate], multiplier=many, turnover_before=turnover,
    )  # fmt: skip
    return found.with_dp(rate) if rate.dp and fill.side == "SELL" and _leaves_depository(fill) else found


def _leaves_depository(fill: Fill) -> bool:
    """Whether this is the day's first delivery sale of the symbol beyond what was bought on the day: once a day, account and symbol.

    The account's ledger is held while a fill is booked (`ledgers.book_of`), so two sales at one moment pay it once.
    """
    rows = Fill.objects.filter(account_id=fill.account_id, trading_day=fill.trading_day, instrument__tradingsymbol=fill.instrument.tradingsymbol)
    net = fill.quantity
    for side, quantity, parts in rows.exclude(product=Product.MIS).values_list("side", "quantity", "charge_parts"):
        if "dp" in parts:
            return False
        net += quantity if side == "SELL" else -quantity
    return net > Decimal(0)
