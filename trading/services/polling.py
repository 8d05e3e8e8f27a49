"""When a broker's book is read again: soon while something moves, rarely while nothing is there, at once when somebody asks."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import transaction
from django.db.models import Q

from brokers import registry
from brokers.base import UnsupportedFeature
from brokers.models import AccountState, BrokerAccount, SyncState
from brokers.types import Capabilities
from trading.domain import orderfsm
from trading.domain.orderfsm import State
from trading.models import Order, Source
from trading.services import doorbell, health
from tvapp.lib import clock
from tvapp.lib.errors import AppError
from tvapp.models import DeskSettings, Heartbeat

GAP_S = 3
LONGEST_PAUSE = timedelta(minutes=1)
MOVING_S = 5
GLANCES = 10
MOVING = (State.SENT, State.PARTIAL, State.UNKNOWN)
WATCHED = [*orderfsm.LIVE, *orderfsm.MAYBE_LIVE]


class Watched(NamedTuple):
    """What the pace of one account depends on."""

    account_id: int
    status: str
    pending_action: str
    look_at: datetime | None
    updated_at: datetime


def caps_of(account: BrokerAccount) -> Capabilities | None:
    """What its broker can do; None when this desk has no adapter for it."""
    try:
        return registry.caps_for(account.broker)
    except UnsupportedFeature:
        return None


def remote_accounts() -> list[tuple[BrokerAccount, Capabilities]]:
    """Accounts at brokers that live elsewhere, connected or not."""
    rows = [(account, caps_of(account)) for account in BrokerAccount.objects.exclude(broker="paper").defer("credentials").order_by("id")]
    return [(account, caps) for account, caps in rows if caps is not None and not caps.local]


def ring_due() -> int:
    """Rings for a fresh read of each account whose time has come. Returns how many."""
    remote = {account.pk: (account, caps) for account, caps in remote_accounts() if account.state != AccountState.DISCONNECTED}
    return _ring_local(set(BrokerAccount.objects.exclude(broker="paper").values_list("pk", flat=True))) + sum(_ring_remote(remote))


def _ring_local(others: Iterable[int]) -> int:
    """Paper: while an order rests in its book."""
    every = clock.seconds(DeskSettings.current().sync_live_s)
    rows = Order.objects.filter(status__in=[*orderfsm.LIVE, State.NEEDS_REVIEW]).exclude(account_id__in=others)
    return sum(ring_once(f"sync {pk}", every, lambda pk=pk: doorbell.ring_sync(pk)) for pk in rows.values_list("account_id", flat=True).distinct())


def _ring_remote(accounts: Mapping[int, tuple[BrokerAccount, Capabilities]]) -> Iterable[bool]:
    if not accounts:
        return
    orders: dict[int, list[Watched]] = {}
    for row in Order.objects.filter(account_id__in=accounts, status__in=WATCHED).values_list(*Watched._fields):
        orders.setdefault(row[0], []).append(Watched(*row))
    wanted = set(SyncState.objects.filter(account_id__in=accounts, wanted_at__isnull=False).values_list("account_id", flat=True))
    rung, now = dict(Heartbeat.objects.filter(name__startswith="sync ").values_list("name", "at")), clock.now()
    for pk, (account, caps) in accounts.items():
        every = clock.seconds(caps.book_every_s if pk in wanted else pace_s(account, caps, orders.get(pk, [])))
        at = rung.get(f"sync {pk}")
        if at is None or not now - every < at <= now + every:  # seen beforehand: a write for each of thousands that are not due takes seconds
            yield ring_once(f"sync {pk}", every, lambda pk=pk: doorbell.ring_sync(pk))


def pace_s(account: BrokerAccount, caps: Capabilities, rows: Iterable[Watched]) -> float:
    """Seconds between two reads of this account's book while these orders are under way; never under what its broker allows."""
    desk, rows = DeskSettings.current(), list(rows)
    now = clock.now()
    if any(row.look_at is not None and row.look_at <= now for row in rows if row.status == State.UNKNOWN):
        return caps.book_every_s
    if account.state == AccountState.RECOVERING or any(_moves(row, now, caps) for row in rows):
        return max(caps.book_every_s, MOVING_S)
    return max(caps.book_every_s, desk.sync_resting_s if rows else desk.sync_idle_s)


def _moves(row: Watched, now: datetime, caps: Capabilities) -> bool:
    if row.status == State.NEEDS_REVIEW:
        return now - row.updated_at <= clock.seconds(caps.horizon_s)
    return row.status in MOVING or bool(row.pending_action)


def ask(account: BrokerAccount) -> None:
    """A person asks for a fresh read. Raises AppError when it cannot be had."""
    if account.state == AccountState.DISCONNECTED:
        raise AppError("ACCOUNT_DISCONNECTED", f"{account.name} is not logged in, so its books cannot be read.", status=409)
    caps = caps_of(account)
    if caps is None:
        raise AppError("NO_ADAPTER", f"This desk cannot talk to {account.get_broker_display()}.", status=409)
    if caps.local:
        ring_once(f"sync {account.pk}", clock.seconds(1), lambda: doorbell.ring_sync(account.pk))
    else:
        want(account.pk)


def want(account_id: int) -> None:
    """Somebody wants a fresh read: a person, a postback, the stream, a look. Rings unless somebody just did; then the sweeper does in time."""
    with transaction.atomic():
        if not SyncState.objects.filter(account_id=account_id).update(wanted_at=clock.now()):
            SyncState.objects.get_or_create(account_id=account_id, defaults={"wanted_at": clock.now()})
        ring_once(f"sync {account_id}", clock.seconds(GAP_S), lambda: doorbell.ring_sync(account_id))


def hinted(account_id: int) -> None:
    """The broker says that something moved. Its book is read soon; each stop and target that has another half is read at once."""
    want(account_id)
    exits = Order.objects.filter(account_id=account_id, source=Source.BRACKET, status__in=orderfsm.LIVE).exclude(broker_order_id="")
    pks = list(exits.order_by("id").values_list("id", flat=True)[:GLANCES])
    if pks:
        ring_once(f"glance {account_id}", clock.seconds(1), lambda: _glance_at(pks))


def _glance_at(pks: Iterable[int]) -> None:
    for pk in pks:
        Order.objects.filter(pk=pk).update(look_at=clock.now())
        doorbell.ring(pk)


def served(account_id: int, began: datetime) -> None:
    """A read that began then answers every wish made before it."""
    SyncState.objects.filter(account_id=account_id, wanted_at__lte=began).update(wanted_at=None)


def take_turn(account_id: int, caps: Capabilities) -> bool:
    """Whether a read may begin now. The row is shared by all workers, so two of them do not read the same book at once."""
    return ring_once(f"book {account_id}", clock.seconds(caps.book_every_s), lambda: None, ahead=LONGEST_PAUSE)


def pause(account_id: int, wait: timedelta, caps: Capabilities) -> None:
    """No read of this account before `wait` is over, a minute at most: the broker asked for it."""
    at = clock.now() + min(wait, LONGEST_PAUSE) - clock.seconds(caps.book_every_s)
    Heartbeat.objects.update_or_create(name=f"book {account_id}", defaults={"at": at, "process": health.process()})


def ring_once(name: str, every: timedelta, ring: Callable[[], object], *, ahead: timedelta | None = None) -> bool:
    """Rings when the last ring of this name is old enough; the row is the memory, so that a restart does not ring twice.

    A row from further ahead (`every`, where `ahead` says nothing else) was written before the clock was set back: it holds nothing up.
    """
    now = clock.now()
    won = Heartbeat.objects.filter(Q(at__lte=now - every) | Q(at__gt=now + (ahead or every)), name=name).update(at=now)
    if not won:
        _, won = Heartbeat.objects.get_or_create(name=name, defaults={"at": now, "process": health.process()})
    if won:
        ring()
    return bool(won)
