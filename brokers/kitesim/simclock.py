"""The simulator's clock and the hours of its exchanges. It is the machine's clock until somebody sets, moves or freezes it."""

from datetime import UTC, date, datetime, time, timedelta

from tvapp.lib import clock
from tvapp.lib.clock import IST

EQUITY, DERIVATIVES, CURRENCY, COMMODITY = "equity", "derivatives", "currency", "commodity"
SEGMENT = {"NSE": EQUITY, "BSE": EQUITY, "NFO": DERIVATIVES, "BFO": DERIVATIVES, "CDS": CURRENCY, "BCD": CURRENCY, "MCX": COMMODITY, "NCO": COMMODITY}
OPEN = {EQUITY: time(9, 15), DERIVATIVES: time(9, 15), CURRENCY: time(9), COMMODITY: time(9)}
CLOSE = {EQUITY: time(15, 30), DERIVATIVES: time(15, 30), CURRENCY: time(17), COMMODITY: time(23, 30)}
MIS_UNTIL = {EQUITY: time(15, 12), DERIVATIVES: time(15, 20), CURRENCY: time(16, 40), COMMODITY: time(23, 0)}
AMO_SENT = {EQUITY: time(9), DERIVATIVES: time(9, 15), CURRENCY: time(9), COMMODITY: time(9)}
AMO_FROM = {EQUITY: time(16), DERIVATIVES: time(15, 45), CURRENCY: time(17), COMMODITY: time(23, 30)}
AMO_UNTIL = {EQUITY: time(8, 58), DERIVATIVES: time(9, 10), CURRENCY: time(8, 59), COMMODITY: time(8, 58)}
TOKENS_DIE = time(6)


class SimClock:
    """`hours` is off at first: the exchanges never close, so that a test or a demo works at any time of any day."""

    def __init__(self) -> None:
        self.real()

    def real(self) -> None:
        self._offset, self._frozen, self.hours = timedelta(0), None, False

    def now(self) -> datetime:
        """Aware, in UTC."""
        return self._frozen if self._frozen is not None else clock.now() + self._offset

    def set(self, at: datetime) -> None:
        if self._frozen is not None:
            self._frozen = at.astimezone(UTC)
        else:
            self._offset = at - clock.now()

    def advance(self, seconds: float) -> None:
        self.set(self.now() + timedelta(seconds=seconds))

    def freeze(self, frozen: bool) -> None:
        now = self.now()
        self._frozen = now if frozen else None
        self._offset = now - clock.now()

    def today(self) -> date:
        return clock.trading_day(self.now())

    def stamp(self) -> str:
        return stamp(self.now())

    def is_open(self, exchange: str) -> bool:
        """Whether orders trade now. Always, while `hours` is off."""
        if not self.hours:
            return True
        here, segment = self.now().astimezone(IST), SEGMENT[exchange]
        return here.weekday() < 5 and OPEN[segment] <= here.time() < CLOSE[segment]

    def takes_amo(self, exchange: str) -> bool:
        if not self.hours:
            return True
        here, segment = self.now().astimezone(IST), SEGMENT[exchange]
        return here.weekday() >= 5 or here.time() >= AMO_FROM[segment] or here.time() < AMO_UNTIL[segment]

    def mis_is_over(self, exchange: str) -> bool:
        return self.hours and self.now().astimezone(IST).time() >= MIS_UNTIL[SEGMENT[exchange]]

    def day_is_over(self, exchange: str, day: date) -> bool:
        """Whether a DAY order of `day` has expired: at the close with hours, at the end of the date without."""
        if self.today() != day:
            return self.today() > day
        return self.hours and self.now().astimezone(IST).time() >= CLOSE[SEGMENT[exchange]]


def stamp(at: datetime) -> str:
    """Kite's way to write a moment: naive IST, whole seconds."""
    return at.astimezone(IST).strftime("%Y-%m-%d %H:%M:%S")


def next_at(after: datetime, when: time, weekdays: bool = False) -> datetime:
    """The first moment later than `after` at which it is `when` in India; on a weekday if wanted."""
    here = after.astimezone(IST)
    moment = datetime.combine(here.date(), when, IST)
    while moment <= here or (weekdays and moment.weekday() >= 5):
        moment += timedelta(days=1)
    return moment.astimezone(UTC)


def amo_sent_at(exchange: str, received: datetime) -> datetime:
    """When an after-market order goes to its exchange."""
    return next_at(received, AMO_SENT[SEGMENT[exchange]], weekdays=True)
