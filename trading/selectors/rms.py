"""Where every limit stands: used, reserved and left per scope, what is stopped and why, and how old each input is. For the page and the API alike."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_FLOOR, Decimal

from django.db.models import Count, Max, Q

from brokers.models import BrokerAccount, Environment, Instrument, Quote, SyncState
from risk.models import Decision, MarketHours, RiskSettings, Scope, TradingMode, Trip
from trading.models import Order, Strategy
from trading.selectors import facts
from trading.selectors.results import Result, Results
from trading.selectors.stops import Stop, open_trips, standing
from tvapp.lib import clock
from tvapp.lib.money import ZERO
from tvapp.owned import may_see_all

NEAR = Decimal(80)
HUNDRED = Decimal(100)
LATEST = 20


@dataclass(frozen=True)
class Gauge:
    """One limit of one scope. `unit` is INR, pct or empty for a count; None for `used`: not known."""

    parameter: str
    label: str
    unit: str
    limit: Decimal
    used: Decimal | None
    reserved: Decimal = ZERO
    note: str = ""

    @property
    def taken(self) -> Decimal | None:
        """Used and reserved together: what the percentage is of."""
        return None if self.used is None else self.used + self.reserved

    @property
    def room(self) -> Decimal | None:
        return None if self.taken is None else max(self.limit - self.taken, ZERO)

    @property
    def pct(self) -> Decimal | None:
        """Of the limit, in whole percent, rounded down: 100 only when nothing is left. A limit of 0 is always full."""
        if self.taken is None:
            return None
        return (self.taken / self.limit * HUNDRED).quantize(Decimal(1), ROUND_FLOOR) if self.limit else HUNDRED

    @property
    def tone(self) -> str:
        """How it is shown: `full` from 100 %, `near` from 80 %, `unknown` where the figure is missing, else `ok`."""
        if self.pct is None:
            return "unknown"
        return "full" if self.pct >= HUNDRED else "near" if self.pct >= NEAR else "ok"


@dataclass(frozen=True)
class ScopeStatus:
    """One scope of one book. `label` is how findings name it; `stop` is what keeps it from doing everything, None when nothing does."""

    key: str
    label: str
    name: str
    live: bool
    gauges: Sequence[Gauge]
    result: Result
    stop: Stop | None = None
    trips: Sequence[Trip] = ()
    limits_id: int | None = None

    @property
    def state(self) -> str:
        return self.stop.state if self.stop else TradingMode.ACTIVE


@dataclass(frozen=True)
class Datum:
    """How old one input of the gate is; `age_s` None: it was never read. `fresh_s` is what the gate accepts."""

    name: str
    of: str
    at: datetime | None
    age_s: float | None
    fresh_s: float | None

    @property
    def old(self) -> bool:
        return self.age_s is None or (self.fresh_s is not None and self.age_s > self.fresh_s)


@dataclass(frozen=True)
class Status:
    at: datetime
    scopes: Sequence[ScopeStatus]
    data: Sequence[Datum]
    codes: Sequence[tuple[str, str, int]]  # verdict, code, how often today
    decisions: Sequence[Decision]


class Book:
    """One book (paper or live) at one moment, for every scope of it."""

    def __init__(self, live: bool, now: datetime) -> None:
        probe = Order(simulated=not live, instrument=Instrument(kind="FUT"))  # no order: nothing is left out, and the lots of contracts are counted
        self.book, self.sent = facts.Book(probe, now), facts.Sent(probe, now, None)
        self.results = Results(now, not live, prices=self.book.prices, held=self.book.held)

    def gauges(self, scope: facts.Scope, row: RiskSettings, result: Result) -> list[Gauge]:
        """Of the limits this row sets."""
        figures = self._figures(scope, result)
        rows = [(name, getattr(row, name), *figures[name]) for name in figures if getattr(row, name) is not None]
        return [Gauge(name, LABELS[name], UNITS.get(name, ""), limit, used, reserved, note) for name, limit, used, reserved, note in rows]

    def _figures(self, scope: facts.Scope, result: Result) -> Mapping[str, tuple[Decimal | None, Decimal, str]]:
        """Used, reserved and a word for each limit that counts over many orders."""
        here, sent, weights = self.book.facts(scope), self.sent.facts(scope), self.book.weights(scope)
        held = {key[1] for key, weight in weights.items() if weight.net}
        nets = [abs(weight.net) if weight.net is not None else None for weight in weights.values()]
        gross, net = _sum([weight.exposure for weight in weights.values()]), _sum(nets)
        largest, symbol = self._largest(weights)
        loss = max(-result.day_pnl, ZERO) if not result.marks_stale else None
        return {
            "max_daily_loss": (loss, ZERO, "estimated" if result.estimated else ""),
            "max_gross_exposure": (net, gross - net if gross is not None and net is not None else ZERO, ""),
            "max_symbol_exposure": (largest, ZERO, symbol),
            "max_open_positions": (Decimal(len(held)), Decimal(here["open_symbols"] - len(held)), ""),
            "max_open_orders": (Decimal(here["open_orders"]), ZERO, ""),
            "max_orders_per_minute": (Decimal(sent["orders_minute"]), ZERO, ""),
            "max_orders_per_day": (Decimal(sent["orders_day"]), ZERO, ""),
            "max_lots_per_day": (Decimal(sent["lots_day"]), ZERO, ""),
            "max_drawdown_pct": (result.drawdown_pct, ZERO, ""),
            "max_loss_streak": (Decimal(result.loss_streak), ZERO, ""),
        }

    def _largest(self, weights: Mapping[facts.Key, facts.Weight]) -> tuple[Decimal | None, str]:
        """The symbol with the largest exposure, and its name. None as soon as one has no price."""
        by_symbol: dict[int | None, list[Decimal | None]] = {}
        for (_, instrument), weight in weights.items():
            by_symbol.setdefault(instrument, []).append(weight.exposure)
        sums = {instrument: _sum(values) for instrument, values in by_symbol.items()}
        if not sums or None in sums.values():
            return (None if sums else ZERO), ""
        instrument = max(sums, key=lambda pk: sums[pk] or ZERO)
        known = Instrument.objects.filter(pk=instrument).first()
        return sums[instrument], known.key if known and sums[instrument] else ""


LABELS = {
    "max_daily_loss": "Loss of the day",
    "max_gross_exposure": "Exposure, all symbols",
    "max_symbol_exposure": "Exposure, largest symbol",
    "max_open_positions": "Open positions",
    "max_open_orders": "Open orders",
    "max_orders_per_minute": "Orders in a minute",
    "max_orders_per_day": "Orders today",
    "max_lots_per_day": "Lots today",
    "max_drawdown_pct": "Fall from the best equity",
    "max_loss_streak": "Losing trades in a row",
}
UNITS = {"max_daily_loss": "INR", "max_gross_exposure": "INR", "max_symbol_exposure": "INR", "max_drawdown_pct": "pct"}


def _sum(values: Iterable[Decimal | None]) -> Decimal | None:
    known = list(values)
    return None if None in known else sum((value for value in known if value is not None), ZERO)


def status(user, now: datetime | None = None) -> Status:
    """What this person may see of it: their own accounts and strategies; the whole desk for an admin."""
    at = now or clock.now()
    scopes = _scopes(user, at)
    return Status(at, scopes, list(_data(user, at)), _codes(user, at), list(_decisions(user, at)[:LATEST]))


def _scopes(user, now: datetime) -> list[ScopeStatus]:
    accounts = list(BrokerAccount.objects.for_user(user).select_related("limits").order_by("id"))
    wanted = Q(account__in=accounts) & ~Q(limits=None)
    strategies = list(Strategy.objects.for_user(user).standing().filter(wanted).select_related("limits", "account").order_by("name"))
    books = {live: Book(live, now) for live in {_live(account) for account in accounts} or {False}}
    found = []
    if may_see_all(user):
        row = RiskSettings.objects.filter(scope=Scope.GLOBAL).first()
        found += [_scope("GLOBAL", facts.Scope("GLOBAL"), "The whole desk", live, book, row) for live, book in sorted(books.items())]
    for account in accounts:
        scope = facts.Scope(f"ACCOUNT:{account.name}", account_id=account.pk)
        live = _live(account)
        found.append(_scope(f"ACCOUNT:{account.pk}", scope, account.name, live, books[live], getattr(account, "limits", None)))
    for strategy in strategies:
        scope, live = facts.Scope(f"STRATEGY:{strategy.name}", strategy_id=strategy.pk), _live(strategy.account)
        found.append(_scope(f"STRATEGY:{strategy.pk}", scope, strategy.name, live, books[live], strategy.limits))
    return _stopped(found)


def _live(account: BrokerAccount) -> bool:
    return account.environment == Environment.LIVE


def _scope(key: str, scope: facts.Scope, name: str, live: bool, book: Book, row: RiskSettings | None) -> ScopeStatus:
    result = book.results.of(key)
    gauges = book.gauges(scope, row, result) if row else []
    return ScopeStatus(key, scope.label, name, live, gauges, result, limits_id=row.pk if row else None)


def _stopped(scopes: list[ScopeStatus]) -> list[ScopeStatus]:
    """Each with what stops it, and its own trips."""
    keys = [scope.key for scope in scopes]
    stops, trips = standing([*keys, "GLOBAL"]), list(open_trips(keys))
    found = []
    for scope in scopes:
        stop = next((s for s in stops if s.scope in (scope.key, "GLOBAL")), None)
        own = [trip for trip in trips if trip.scope == scope.key]
        values = {name: getattr(scope, name) for name in ("key", "label", "name", "live", "gauges", "result", "limits_id")}
        found.append(ScopeStatus(**values, stop=stop, trips=own))
    return found


def _data(user, now: datetime) -> Iterable[Datum]:
    """The gate's inputs. Paper needs none of an account's reads; a price is only as good as its age."""
    yield _datum("Prices", "newest of all", Quote.objects.aggregate(at=Max("at"))["at"], now, timedelta(seconds=10))
    listed = Instrument.objects.filter(provisional=False).aggregate(at=Max("as_of"))["at"]
    yield _datum("Instrument list", "newest row", listed, now, timedelta(hours=36))
    accounts = BrokerAccount.objects.for_user(user).exclude(environment=Environment.PAPER).order_by("name")
    syncs = {sync.account_id: sync for sync in SyncState.objects.filter(account__in=accounts)}
    for account in accounts:
        sync = syncs.get(account.pk)
        for name, field, fresh in (("Positions", "positions_at", 60), ("Funds", "funds_at", 60), ("Holdings", "holdings_at", 1200)):
            yield _datum(name, account.name, getattr(sync, field, None), now, timedelta(seconds=fresh))


def _datum(name: str, of: str, at: datetime | None, now: datetime, fresh: timedelta) -> Datum:
    return Datum(name, of, at, (now - at).total_seconds() if at else None, fresh.total_seconds())


def calendar_end(now: datetime):
    """The last day any exchange's calendar is maintained to, and how many days are left; None when none is."""
    last = MarketHours.objects.exclude(maintained_to=None).order_by("maintained_to").values_list("maintained_to", flat=True).first()
    return (last, (last - clock.trading_day(now)).days) if last else None


def _decisions(user, now: datetime):
    since = clock.day_start(clock.trading_day(now))
    return Decision.objects.for_user(user).filter(at__gte=since).defer("findings", "data", "snapshot").order_by("-id")


def _codes(user, now: datetime) -> list[tuple[str, str, int]]:
    rows = _decisions(user, now).order_by().values_list("verdict", "code").annotate(n=Count("id"))
    return sorted(rows, key=lambda row: (-row[2], row[0], row[1]))
