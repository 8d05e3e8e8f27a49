"""What sizing in money counts from: the capital behind a strategy, and the market's price where an alert names none."""

from datetime import datetime
from decimal import Decimal

from brokers.models import BrokerAccount, BrokerFunds, Instrument, Quote
from risk.engine import PRICE_FRESH
from risk.rules import SKEW
from trading.models import Strategy


def capital_of(strategy: Strategy | None, account: BrokerAccount) -> Decimal | None:
    """In rupees: the strategy's own; else the paper account's, or all the money the broker showed last. None when nothing is known."""
    if strategy is not None and strategy.capital:
        return strategy.capital
    if account.environment == "PAPER":
        return account.capital
    totals = list(BrokerFunds.objects.filter(account=account).values_list("total", flat=True))
    return sum(totals, Decimal(0)) if totals else None


def fresh_price(instrument: Instrument | None, account: BrokerAccount, now: datetime) -> Decimal | None:
    """The last traded price while it is fresh enough to count with."""
    row = Quote.objects.filter(instrument=instrument).first() if instrument else None
    if row is None or not row.serves(account) or not -SKEW <= now - row.at <= PRICE_FRESH["QUOTE"]:
        return None
    return row.ltp
