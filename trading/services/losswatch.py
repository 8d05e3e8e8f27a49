"""Holds the day's result of every scope against its daily loss limit, also while no alert comes, and keeps the best equity of each scope.

Run by the sweeper: it reads a few rows and calls no broker. A breach stops the entries of the scope until midnight IST, whatever the result does
afterwards; then comes what the limit asks for: nothing more, cancelling the entries that rest, or closing everything, once. Paper and live are
judged apart. A loss on paper under the desk-wide limit stops paper's accounts, not the live ones beside them.
"""

import logging
from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from typing import NamedTuple

from django.db import DatabaseError

from brokers.models import BrokerAccount, Environment
from risk.models import OnLoss, RiskSettings, Scope, Trip
from trading.models import EquityPeak, Level, Strategy, SystemEvent
from trading.selectors.results import GLOBAL, Result, Results, mine
from trading.selectors.stops import open_trips
from trading.services import halt, polling, squareoff, sysevents, trips
from tvapp.lib import clock
from tvapp.lib.money import ZERO, rupees
from tvapp.models import DeskSettings

logger = logging.getLogger("tvapp.losswatch")

ACTOR = "loss watch"
CODE = "LOSS_DAILY"
WARNED = "LOSS_WARNING"
WARN_PCT = Decimal(80)
HUNDRED = Decimal(100)
CENT = Decimal("0.01")


class Watched(NamedTuple):
    """A limit row with the scope it is about. `name` is what a trader calls it."""

    key: str
    name: str
    row: RiskSettings
    owner: object = None
    account: BrokerAccount | None = None
    strategy: Strategy | None = None


def sweep() -> int:
    """Looks when the time has come. Returns how many scopes were stopped by this look."""
    found: list[int] = []
    polling.ring_once("loss watch", clock.seconds(DeskSettings.current().loss_watch_s), lambda: found.append(watch()))
    return sum(found)


def watch() -> int:
    """One look at both books. Returns how many scopes it stopped."""
    now, rows = clock.now(), list(watched())
    return sum(_watch(Results(now, simulated), rows) for simulated in (False, True))


def watched() -> Iterable[Watched]:
    """Every scope with a daily loss limit."""
    limits = RiskSettings.objects.filter(max_daily_loss__isnull=False).select_related("account__owner", "strategy__account__owner", "strategy__owner")
    for row in limits.order_by("id"):
        strategy = getattr(row, "strategy", None)
        if row.scope == Scope.GLOBAL:
            yield Watched(GLOBAL, "The desk", row)
        elif row.scope == Scope.ACCOUNT:
            yield Watched(f"ACCOUNT:{row.account_id}", row.account.name, row, row.account.owner, row.account)
        elif strategy is not None and strategy.archived_at is None:
            yield Watched(f"STRATEGY:{strategy.pk}", strategy.name, row, strategy.owner, strategy.account, strategy)


def _watch(book: Results, rows: Iterable[Watched]) -> int:
    stopped = 0
    for scope in rows:
        if not _belongs(scope, book.simulated):
            continue
        try:
            stopped += _judge(book, scope)
        except DatabaseError:  # one scope that cannot be written must not leave the others unwatched
            logger.exception("the daily loss of %s could not be judged", scope.key)
    _keep_peaks(book)
    return stopped


def _belongs(scope: Watched, simulated: bool) -> bool:
    return scope.account is None or (scope.account.environment != Environment.LIVE) == simulated


def _judge(book: Results, scope: Watched) -> int:
    result, limit = book.of(scope.key, trades=False, equity=False), scope.row.max_daily_loss
    loss, stopped = -result.day_pnl, 0
    if loss > 0 and loss >= limit:
        stopped = sum(_trip(scope, key, loss, book) for key in _stopped(scope.key, book.simulated))
    elif loss > 0 and loss * HUNDRED >= limit * (WARN_PCT if scope.row.warn_loss_pct is None else scope.row.warn_loss_pct):
        _warn(scope, loss, book)
    for trip in open_trips(_stopped(scope.key, book.simulated)).filter(code=CODE):
        if _concerns(trip, scope, book.simulated) or (loss > 0 and loss >= limit):
            _act(scope, trip, result, book.simulated)
    return stopped


def _concerns(trip: Trip, scope: Watched, simulated: bool) -> bool:
    """Whether this limit and this book made the trip: what paper lost under the desk's limit closes nothing of a live account made since."""
    return (trip.scope == scope.key or trip.data.get("limits") == scope.row.pk) and trip.data.get("simulated", simulated) == simulated


def _stopped(key: str, simulated: bool) -> list[str]:
    """The scopes a breach stops: itself; of the desk's paper book its accounts, when live ones stand beside them."""
    if key != GLOBAL or not simulated or not BrokerAccount.objects.filter(environment=Environment.LIVE).exists():
        return [key]
    return [f"ACCOUNT:{pk}" for pk in mine(BrokerAccount.objects.order_by("id"), simulated, "environment").values_list("pk", flat=True)]


def _trip(scope: Watched, key: str, loss: Decimal, book: Results) -> bool:
    text = f"a loss of {_money(loss)} today reached the limit of {_money(scope.row.max_daily_loss)} (max_daily_loss of {scope.name})"
    data = {"loss": str(loss), "limit": str(scope.row.max_daily_loss), "limits": scope.row.pk, "simulated": book.simulated}
    return trips.trip(key, CODE, text, until=clock.day_start(book.today + timedelta(days=1)), data=data)


def _warn(scope: Watched, loss: Decimal, book: Results) -> None:
    """Once a day, scope and book."""
    told = {"scope": scope.key, "simulated": book.simulated}
    since = clock.day_start(book.today)
    if SystemEvent.objects.filter(code=WARNED, at__gte=since, data__scope=scope.key, data__simulated=book.simulated).exists():
        return
    share = loss / scope.row.max_daily_loss * HUNDRED
    text = f"{scope.name} lost {_money(loss)} today, {share:.0f} % of the limit of {_money(scope.row.max_daily_loss)}. At the limit only exits leave."
    sysevents.record("risk", WARNED, text, level=Level.WARNING, owner=scope.owner, data={**told, "loss": str(loss)})


def _money(value: Decimal) -> str:
    return rupees(value.quantize(CENT))


# --- what a breach does beside blocking -------------------------------------------------------------------------


def _act(scope: Watched, trip: Trip, result: Result, simulated: bool) -> None:
    """While the trip stands nothing that opens may rest. Also after a trip that an order made, and once more for what a race let through."""
    action = scope.row.on_loss_breach or OnLoss.BLOCK_AND_CANCEL
    if action == OnLoss.BLOCK:
        return
    halt.cancel_entries(trip.scope, ACTOR)
    if action == OnLoss.SQUARE_OFF and not result.marks_stale:
        _square_off(scope, trip, simulated)


def _square_off(scope: Watched, trip: Trip, simulated: bool) -> None:
    """Closes what the scope holds, once for each trip: what somebody opens elsewhere afterwards is theirs. Not before every price is known."""
    kind, _, pk = trip.scope.partition(":")
    accounts = mine(BrokerAccount.objects.select_related("owner").order_by("id"), simulated, "environment")
    if kind == Scope.ACCOUNT:
        accounts = accounts.filter(pk=pk)
    elif scope.account is not None:
        accounts = accounts.filter(pk=scope.account.pk)
    for account in accounts:
        reason = f"the daily loss limit of {scope.name} was reached"
        squareoff.start(account, actor=ACTOR, reason=reason, strategy=scope.strategy, schedule=f"loss {trip.pk} {account.pk}")


# --- the best equity --------------------------------------------------------------------------------------------


def _keep_peaks(book: Results) -> None:
    """Raises the best result of every scope whose prices are all known: the fall from it is what max_drawdown_pct looks at."""
    for key, won in book.won.items():
        unsure = key in book.sums and book.sums[key].marks_stale
        if not unsure and won.result > book.peaks.get(key, ZERO):
            EquityPeak.objects.update_or_create(scope=key, simulated=book.simulated, defaults={"peak": won.result, "at": book.now})
