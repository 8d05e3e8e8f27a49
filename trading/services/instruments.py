"""The day's instrument list: read from a broker or a file, brought into the table, and told to the desk; orders that waited for it look again."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

from django.conf import settings
from django.db.models import Q

from brokers import instruments, registry, session, types
from brokers.errors import BrokerError
from brokers.instruments import LoadResult, Progress
from brokers.models import BrokerAccount, BrokerName
from trading.domain.orderfsm import State
from trading.domain.symbols import Reason
from trading.models import Level, Order, SystemEvent
from trading.services import orders, route, sysevents
from tvapp.lib import clock
from tvapp.lib.errors import AppError

CATEGORY = "broker"
LOADED, FAILED = "INSTRUMENTS_LOADED", "INSTRUMENTS_FAILED"
ACTOR = "instrument list"
DAILY = time(8, 15)  # IST; the broker's list of the day is out by then


def load(
    *, account: BrokerAccount | None = None, file: str = "", exchange: str = "", force: bool = False, progress: Progress | None = None
) -> LoadResult:
    """Loads the list of this account's broker, or of a file in Kite's form; `exchange` keeps to one. AppError says why it could not.

    Without both: the list of the first connected Zerodha account, else of the first one with an API key. No login is needed for it.
    """
    try:
        with _list(account, file, exchange) as (rows, as_of, source):
            result = instruments.load(rows, exchange=exchange, as_of=as_of, progress=progress, force=force)
    except (BrokerError, AppError, OSError, ValueError) as why:
        text = f"The instruments were not loaded. {_words(why)}"
        _tell_failure(text)
        raise AppError(FAILED, text, status=getattr(why, "status", 503)) from why
    found = look_again()
    more = f" Found for {found} waiting {'order' if found == 1 else 'orders'}." if found else ""
    data = {"exchange": exchange, "source": source, "added": result.added, "changed": result.changed, "switched_off": result.switched_off}
    sysevents.record(CATEGORY, LOADED, f"Instruments loaded from {source}. {result}{more}", data={**data, "seen": result.seen})
    return result


@contextmanager
def _list(account: BrokerAccount | None, file: str, exchange: str) -> Iterator[tuple[Iterator[types.Instrument], datetime, str]]:
    """The rows, of when they are, and where they come from."""
    if not file:
        account = account or source()
        if account is None:
            raise AppError("NO_ACCOUNT", "There is no Zerodha account with an API key. Add one, or load a file with --file.", status=404)
        yield registry.adapter_for(account).iter_instruments(exchange), clock.now(), account.name
        return
    path = Path(file)
    with path.open(newline="", encoding="utf-8-sig") as lines:
        as_of = min(datetime.fromtimestamp(path.stat().st_mtime, UTC), clock.now())
        yield registry.read_instruments(BrokerName.ZERODHA, lines, as_of), as_of, path.name


def _words(why: Exception) -> str:
    if isinstance(why, OSError) and why.filename:
        return f"{why.filename} cannot be read: {why.strerror}."
    return str(getattr(why, "message", "") or why)


def source() -> BrokerAccount | None:
    """Whose list is read: the first connected Zerodha account, else the first one with an API key; None when there is none."""
    rows = BrokerAccount.objects.filter(broker=BrokerName.ZERODHA, enabled=True).select_related("session").order_by("id")
    able = [row for row in rows if row.api_key or settings.KITE_API_KEY]
    return next((row for row in able if session.is_connected(getattr(row, "session", None))), able[0] if able else None)


def _tell_failure(text: str) -> None:
    """Once for the same trouble on one day: it is tried every quarter of an hour."""
    since = clock.day_start(clock.trading_day(clock.now()))
    if not SystemEvent.objects.filter(code=FAILED, message=text, at__gte=since).exists():
        sysevents.record(CATEGORY, FAILED, text, level=Level.ERROR)


# ---------------------------------------------------------------------------- by itself
def load_due(account_id: int | None = None) -> str:
    """Loads the day's list when it is not here yet: from 08:15 IST on, and at once where the last one is older. Says what it did."""
    if not is_due(clock.now()):
        return "nothing"
    account = BrokerAccount.objects.filter(pk=account_id, broker=BrokerName.ZERODHA).first() or source()
    if account is None:
        return "nothing"
    try:
        return str(load(account=account))
    except AppError as refused:
        return refused.message


def is_due(now: datetime) -> bool:
    """Whether no whole list was loaded since the last 08:15 IST."""
    today = clock.trading_day(now)
    begins = datetime.combine(today, DAILY, clock.IST)
    if begins > now:
        begins -= timedelta(days=1)
    loaded = SystemEvent.objects.filter(code=LOADED, at__gte=begins).values_list("data", flat=True)
    return not any(data.get("exchange") == "" for data in loaded)


def loaded_at() -> datetime | None:
    """When a list was loaded last; None when that was more than a month ago, or never."""
    since = clock.now() - timedelta(days=30)
    return SystemEvent.objects.filter(code=LOADED, at__gte=since).order_by("-at").values_list("at", flat=True).first()


# ---------------------------------------------------------------------------- orders that wait for an instrument
def look_again(rows=None, *, actor: str = ACTOR) -> int:
    """Looks the instruments of waiting orders up once more; those that are found are planned anew and go on waiting. Returns how many."""
    rows = Order.objects.all() if rows is None else rows
    lacking = Q(instrument=None) | Q(status_reason=Reason.INSTRUMENT_STALE)
    waiting = rows.filter(lacking, status=State.WAITING, signal__isnull=False).select_related("account", "strategy", "alert", "signal")
    done = [orders.guarded(order, lambda order: route.resolve_again(order, actor=actor)) for order in waiting.order_by("id")]
    return sum(found is True for found in done)
