"""Today's result against the daily loss limit, account by account: for the dashboard and wherever else it is to be seen at a glance."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal

from brokers.models import BrokerAccount, Environment
from risk.models import RiskSettings, Scope
from trading.selectors.results import GLOBAL, Result, Results
from trading.selectors.stops import Stop, standing
from tvapp.lib.money import ZERO, rupees
from tvapp.owned import may_see_all

CODE = "LOSS_DAILY"
HUNDRED, CENT, WARN_PCT = Decimal(100), Decimal("0.01"), Decimal(80)


@dataclass(frozen=True)
class LossBar:
    """One scope's result of the day beside the loss it may make. `desk`: the limit is the whole desk's, not its own."""

    key: str
    name: str
    live: bool
    result: Result
    limit: Decimal
    warn_pct: Decimal
    desk: bool = False
    stop: Stop | None = None

    @property
    def loss(self) -> Decimal:
        return max(-self.result.day_pnl, ZERO)

    @property
    def pct(self) -> int:
        """How much of the limit is lost, in whole percent: 100 only when it is reached."""
        if not self.limit:
            return 100 if self.loss else 0
        return int((self.loss / self.limit * HUNDRED).to_integral_value(ROUND_FLOOR))

    @property
    def tone(self) -> str:
        """`full` when it is reached or was today, `near` from the warning on, else `ok`."""
        if self.stop or (self.loss and self.loss >= self.limit):
            return "full"
        return "near" if self.loss and self.loss * HUNDRED >= self.limit * self.warn_pct else "ok"

    @property
    def words(self) -> str:
        """What the bar shows, for people who do not see it."""
        if self.stop:
            return "The limit was reached: only exits leave until the next trading day"
        if self.tone == "full":
            return "The limit is reached: entries are refused"
        left = f"{_money(max(self.limit - self.loss, ZERO))} left"
        if not self.loss:
            return f"No loss today, {left}"
        return f"{self.pct} % of it lost, {left}" + (": close to the limit" if self.tone == "near" else "")

    @property
    def notes(self) -> Sequence[str]:
        """What the figure lacks."""
        old = self.result.marks_stale
        found = [f"{old} position{'s' if old > 1 else ''} without a fresh price {'are' if old > 1 else 'is'} left out"] if old else []
        return [*found, *(["estimated: a price is no quote, or a close is not known"] if self.result.estimated else [])]


def _money(value: Decimal) -> str:
    return rupees(value.quantize(CENT))


def bars(user, now: datetime) -> list[LossBar]:
    """One for each account with a limit of its own. The desk's limit: one for each book to an admin, else one for each account under it alone."""
    accounts = list(BrokerAccount.objects.for_user(user).filter(enabled=True).select_related("limits").order_by("name"))
    desk = RiskSettings.objects.filter(scope=Scope.GLOBAL, max_daily_loss__isnull=False).first()
    found: list[LossBar] = []
    for live in (True, False):
        mine = [account for account in accounts if (account.environment == Environment.LIVE) == live]
        if mine:
            found += _of_book(Results(now, not live), mine, desk, live, may_see_all(user))
    return _stopped(found)


def _of_book(book: Results, accounts: Iterable[BrokerAccount], desk: RiskSettings | None, live: bool, sees_all: bool) -> Iterable[LossBar]:
    if desk and sees_all:
        yield _bar(book, GLOBAL, "The whole desk", live, desk)
    for account in accounts:
        own = getattr(account, "limits", None)
        if own and own.max_daily_loss is not None:
            yield _bar(book, f"ACCOUNT:{account.pk}", account.name, live, own)
        elif desk and not sees_all:
            yield _bar(book, f"ACCOUNT:{account.pk}", account.name, live, desk, desk=True)


def _bar(book: Results, key: str, name: str, live: bool, row: RiskSettings, *, desk: bool = False) -> LossBar:
    warn = WARN_PCT if row.warn_loss_pct is None else row.warn_loss_pct
    return LossBar(key, name, live, book.of(key, trades=False, equity=False), row.max_daily_loss or ZERO, warn, desk)


def _stopped(found: list[LossBar]) -> list[LossBar]:
    """Each with the stop that a daily loss made, its own or the desk's."""
    stops = [stop for stop in standing([GLOBAL, *(bar.key for bar in found)]) if stop.code == CODE]
    return [replace(bar, stop=next((s for s in stops if s.scope in (bar.key, GLOBAL)), None)) for bar in found]
