"""The day's result by scope, and what limits look at beside it: closed trades, the best equity and the fall from it.

The trading day is the IST date. Result of the day = realised + unrealised - charges, where a quantity carried into the day counts from the close
of the day before and what was opened on the day from its own price. A trade is what one closing order closed: an exit cut into slices, and the
stops and targets of one entry, are one. Paper (PAPER and SIM) and live are separate books. Rupees, before tax, charges estimated.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import NamedTuple

from django.db.models import QuerySet

from brokers.models import BrokerAccount, BrokerFunds, Environment
from trading.models import Basis, EquityPeak, Fill, Position, PositionDay, Strategy
from trading.selectors import marks
from trading.selectors.closes import Closes
from trading.selectors.marks import Held, Prices
from tvapp.lib import clock
from tvapp.lib.money import ZERO

GLOBAL = "GLOBAL"
HUNDRED = Decimal(100)


@dataclass(frozen=True)
class Result:
    """One scope's day. `unrealised` leaves out the `marks_stale` positions, whose price is too old or not known.

    `estimated`: it rests on prices that are no quotes, or on a carried quantity without a close. `equity` and `drawdown_pct` are None where no
    capital is known.
    """

    realised: Decimal = ZERO
    unrealised: Decimal = ZERO
    charges: Decimal = ZERO
    marks_stale: int = 0
    estimated: bool = False
    loss_streak: int = 0
    closed_at: datetime | None = None
    lost_at: datetime | None = None
    equity: Decimal | None = None
    drawdown_pct: Decimal | None = None

    @property
    def gross(self) -> Decimal:
        return self.realised + self.unrealised

    @property
    def day_pnl(self) -> Decimal:
        return self.gross - self.charges


@dataclass
class Sums:
    """What a scope adds up, position by position."""

    realised: Decimal = ZERO
    unrealised: Decimal = ZERO
    charges: Decimal = ZERO
    since_entry: Decimal = ZERO  # unrealised from the average cost: what equity counts
    marks_stale: int = 0
    estimated: bool = False


class DayRow(NamedTuple):
    """A position's part of today."""

    position_id: int
    account_id: int
    strategy_id: int | None
    average: Decimal
    realised: Decimal
    charges: Decimal
    basis_from: str


class Trade(NamedTuple):
    """What one closing order closed today, after its charges."""

    account_id: int
    strategy_id: int | None
    net: Decimal
    at: datetime


@dataclass
class Won:
    """The result since the beginning of a scope: what `EquityPeak` is compared with. `capital` None: not known."""

    result: Decimal = ZERO
    capital: Decimal | None = None


def keys_of(account_id: int, strategy_id: int | None) -> Iterable[str]:
    """The scopes a row belongs to."""
    yield GLOBAL
    yield f"ACCOUNT:{account_id}"
    if strategy_id:
        yield f"STRATEGY:{strategy_id}"


def results(now: datetime, simulated: bool) -> Mapping[str, Result]:
    """Every scope of one book that has something today, by key (GLOBAL, ACCOUNT:3, STRATEGY:7); GLOBAL and each account always."""
    book = Results(now, simulated)
    return {key: book.of(key) for key in book.keys}


class Results:
    """One book at one moment. Each part is read when it is first asked for; `prices` and `held` spare what the caller has read already."""

    def __init__(self, now: datetime, simulated: bool, *, prices: Prices | None = None, held: Sequence[Held] | None = None) -> None:
        self.now, self.simulated, self.today = now, simulated, clock.trading_day(now)
        self._prices, self._held = prices or Prices(simulated, now, 0), held

    @property
    def keys(self) -> list[str]:
        accounts = mine(BrokerAccount.objects.order_by("id"), self.simulated, "environment")
        return list(dict.fromkeys([GLOBAL, *(f"ACCOUNT:{pk}" for pk in accounts.values_list("pk", flat=True)), *self.sums]))

    def of(self, key: str, *, trades: bool = True, equity: bool = True) -> Result:
        """Everything of one scope, or without the closed trades (one read less) and the equity (five less)."""
        sums = self.sums.get(key, Sums())
        trades = [t for t in self.trades if key in keys_of(t.account_id, t.strategy_id)] if trades else []
        lost = [t for t in trades if t.net < 0]
        won, fall = self.equity(key) if equity else (None, None)
        return Result(
            sums.realised, sums.unrealised, sums.charges, sums.marks_stale, sums.estimated, loss_streak=_streak(trades),
            closed_at=trades[-1].at if trades else None, lost_at=lost[-1].at if lost else None, equity=won, drawdown_pct=fall,
        )  # fmt: skip

    @cached_property
    def held(self) -> Sequence[Held]:
        return marks.held(self._prices) if self._held is None else self._held

    # --- the day ------------------------------------------------------------------------------------------------
    @cached_property
    def rows(self) -> Mapping[int, DayRow]:
        """Today's part of every position that was filled today, by position."""
        found = mine(PositionDay.objects.filter(day=self.today), self.simulated, "position__account__environment")
        columns = ("position_id", "position__account_id", "position__strategy_id", "average", "realised", "charges", "basis_from")
        return {row[0]: DayRow(*row) for row in found.values_list(*columns)}

    @cached_property
    def sums(self) -> Mapping[str, Sums]:
        found: dict[str, Sums] = {}
        for row in self.rows.values():
            for sums in _of(found, row.account_id, row.strategy_id):
                sums.realised += row.realised
                sums.charges += row.charges
                sums.estimated |= row.basis_from in (Basis.LAST, Basis.AVERAGE)
        closes = Closes(self.now)
        for position in self.held:
            self._add_open(found, position, closes)
        return found

    def _add_open(self, found: dict[str, Sums], position: Held, closes: Closes) -> None:
        spot, mark, row = position.spot, position.mark, self.rows.get(position.id)
        start = None if row or mark is None else closes.of(spot, position.average)
        many = position.quantity * spot.multiplier
        for sums in _of(found, spot.account_id, position.strategy_id):
            if mark is None:
                sums.marks_stale += 1
                continue
            sums.unrealised += (mark.price - (row.average if row else start.price)) * many
            sums.since_entry += (mark.price - position.average) * many
            sums.estimated |= mark.estimated or bool(start and start.estimated)

    # --- closed trades ------------------------------------------------------------------------------------------
    @cached_property
    def trades(self) -> list[Trade]:
        """Today's, in the order in which they ended."""
        closing = mine(Fill.objects.filter(trading_day=self.today, realised__isnull=False), self.simulated, "account__environment")
        columns = ("account_id", "strategy_id", "order_id", "order__parent_id", "realised", "charges", "at")
        found: dict[tuple[int, int | None], Trade] = {}
        for account, strategy, order, parent, realised, charges, at in closing.order_by("at", "id").values_list(*columns):
            family = (parent or order, strategy)
            before = found.pop(family, None)  # taken out, so that the last fill gives its place
            found[family] = Trade(account, strategy, (before.net if before else ZERO) + realised - (charges or ZERO), at)
        return list(found.values())

    # --- equity -------------------------------------------------------------------------------------------------
    def equity(self, key: str) -> tuple[Decimal | None, Decimal | None]:
        """Equity in rupees and how far it is below the best so far, in percent of that best. None: no capital is known."""
        won = self.won.get(key)
        if won is None or won.capital is None:
            return None, None
        equity, peak = won.capital + won.result, max(self.peaks.get(key, ZERO), won.result)
        best = won.capital + peak
        return equity, (peak - won.result) / best * HUNDRED if best > 0 else HUNDRED

    @cached_property
    def peaks(self) -> Mapping[str, Decimal]:
        return dict(EquityPeak.objects.filter(simulated=self.simulated).values_list("scope", "peak"))

    @cached_property
    def won(self) -> Mapping[str, Won]:
        """What each scope won since the beginning, what is open at its mark and after charges, and the capital it began with."""
        found: dict[str, Won] = {key: Won(sums.since_entry) for key, sums in self.sums.items()}
        found.setdefault(GLOBAL, Won())
        rows = mine(Position.objects.all(), self.simulated, "account__environment")
        for account, strategy, realised, charges in rows.values_list("account_id", "strategy_id", "realised", "charges"):
            for key in keys_of(account, strategy):
                found.setdefault(key, Won()).result += realised - charges
        self._add_capital(found)
        return found

    def _add_capital(self, found: dict[str, Won]) -> None:
        """A strategy's own capital, else its account's; the account's at a broker is what its funds are without what was won."""
        funds: dict[int, Decimal] = {}
        for account, total in BrokerFunds.objects.values_list("account_id", "total"):
            funds[account] = funds.get(account, ZERO) + total
        of_account: dict[int, Decimal | None] = {}
        for pk, environment, capital in mine(BrokerAccount.objects.all(), self.simulated, "environment").values_list("pk", "environment", "capital"):
            won = found.setdefault(f"ACCOUNT:{pk}", Won())
            won.capital = capital if environment == Environment.PAPER else funds[pk] - won.result if pk in funds else None
            of_account[pk] = won.capital
        found[GLOBAL].capital = sum((capital for capital in of_account.values() if capital is not None), ZERO) or None
        for pk, account, capital in Strategy.objects.filter(account__in=of_account).values_list("pk", "account_id", "capital"):
            found.setdefault(f"STRATEGY:{pk}", Won()).capital = capital or of_account[account]


def _of(found: dict[str, Sums], account_id: int, strategy_id: int | None) -> list[Sums]:
    return [found.setdefault(key, Sums()) for key in keys_of(account_id, strategy_id)]


def _streak(trades: Sequence[Trade]) -> int:
    """Losing trades in a row up to the last one."""
    count = 0
    for trade in reversed(trades):
        if trade.net >= 0:
            break
        count += 1
    return count


def mine(rows: QuerySet, simulated: bool, path: str) -> QuerySet:
    """The rows of one book; `path` leads to the account's environment."""
    return rows.exclude(**{path: Environment.LIVE}) if simulated else rows.filter(**{path: Environment.LIVE})
