"""What the day's result of a carried quantity counts from: the close of the day before, as far as one is known."""

from collections.abc import Mapping
from datetime import datetime, time
from decimal import Decimal
from functools import cached_property
from typing import NamedTuple

from brokers.models import BrokerHolding, BrokerName, BrokerPosition, Quote
from trading.models import Basis, Position
from trading.selectors import sessions
from trading.selectors.marks import SPOT, Spot
from tvapp.lib import clock

USUALLY_OPEN = time(9, 0)  # IST, where nobody entered the market's hours
WORKING_DAYS = range(5)


class Start(NamedTuple):
    """A price, and where it is from: CLOSE is the market's; LAST and AVERAGE only estimate."""

    price: Decimal
    source: str

    @property
    def estimated(self) -> bool:
        return self.source in (Basis.LAST, Basis.AVERAGE)


class Theirs(NamedTuple):
    """A broker's own figures of a symbol, as they were read."""

    ltp: Decimal
    close: Decimal | None
    at: datetime


class Closes:
    """The closes before today. Brokers' rows are read once, when they are first asked for; `account_id` None: those of every account.

    First usable: the close that came with a price of today, or the broker's own, once the market has opened today; the last price before that;
    what the position cost. Before the market opens its last price is the close: a night must not count the day before once more.
    """

    def __init__(self, now: datetime, account_id: int | None = None) -> None:
        self.now, self.today, self.account_id = now, clock.trading_day(now), account_id

    def of_position(self, position: Position, average: Decimal) -> Start:
        return self.of(Spot(*Position.objects.values_list(*SPOT).get(pk=position.pk)), average)

    def of(self, spot: Spot, average: Decimal) -> Start:
        usable = spot.ltp is not None and Quote.serves(spot, spot)  # a row of columns has all it looks at
        priced_today = usable and clock.trading_day(spot.at) == self.today
        began = priced_today and has_opened(spot.exchange, spot.at)
        if began and spot.close:
            return Start(spot.close, Basis.CLOSE)
        theirs = self.theirs.get((spot.account_id, spot.exchange, spot.symbol)) if spot.broker != BrokerName.PAPER else None
        if theirs and (found := self._of_broker(spot.exchange, theirs)):
            return found
        return Start(spot.ltp, Basis.LAST) if usable and not began else Start(average, Basis.AVERAGE)

    def _of_broker(self, exchange: str, row: Theirs) -> Start | None:
        if clock.trading_day(row.at) == self.today and has_opened(exchange, row.at):
            return Start(row.close, Basis.CLOSE) if row.close else None
        return Start(row.ltp, Basis.LAST)

    @cached_property
    def theirs(self) -> Mapping[tuple[int, str, str], Theirs]:
        """By account and symbol. A close beats none: what is both held and traded today stands in two books."""
        only = {} if self.account_id is None else {"account_id": self.account_id}
        found: dict[tuple[int, str, str], Theirs] = {}
        for model in (BrokerHolding, BrokerPosition):
            rows = model.objects.filter(ltp__gt=0, **only)
            for account, *name, ltp, close, at in rows.values_list("account_id", "exchange", "tradingsymbol", "ltp", "close_price", "at"):
                known = found.get((account, *name))
                found[account, *name] = Theirs(ltp, close or (known.close if known else None), at)
        return found


def has_opened(exchange: str, at: datetime) -> bool:
    """Whether the market's session of that day had begun. A day nobody entered is taken for a usual one."""
    market = sessions.facts(exchange, at)
    if market.always:
        return True
    if market.open is None:
        local = at.astimezone(clock.IST)
        return local.weekday() in WORKING_DAYS and local.time() >= USUALLY_OPEN
    return market.opens_at is not None and at >= market.opens_at
