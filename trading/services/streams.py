"""Listens to the order streams of all logged-in accounts. What is heard asks for a read; nothing of it is believed.

Of several machines one listens to an account: it renews a row, and another one takes over when it has not for LEASE_S. Which one it is decides
nothing but who listens: books are read by turns that all machines share (polling), and orders leave by claims.
The threads that listen touch no table: they put a word into a queue, and the one thread that empties it writes.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from queue import Empty, SimpleQueue
from typing import Any

from django.db.models import Q
from django.db.models.functions import Now

from brokers import registry
from brokers.errors import BrokerError
from brokers.models import AccountState, BrokerAccount, BrokerSession, SessionState
from trading.models import Level, SystemEvent
from trading.services import polling, sysevents
from tvapp import home
from tvapp.lib import clock
from tvapp.lib.errors import AppError
from tvapp.models import Heartbeat

logger = logging.getLogger("tvapp.streams")
LEASE_S, RENEW_S = 10, 3
TELL_AGAIN = timedelta(hours=1)
WORDS = {
    "REFUSED": ("STREAM_REFUSED", Level.INFO, "{name} is pushed no order updates: its plan has none or its session ended. Its book is read instead."),
    "UNTRUSTED": ("STREAM_UNTRUSTED", Level.ERROR, "The server of the order updates of {name} has no trusted certificate; nothing was sent to it."),
}


@dataclass
class Listening:
    """One stream and the login it was opened with."""

    login: datetime | None
    stream: Any

    def is_over(self, row: BrokerSession | None) -> bool:
        """Its login has ended or was followed by another, or it broke. One that was refused rests until the next login."""
        return row is None or row.issued_at != self.login or not (self.stream.is_alive() or self.stream.refused)


class Streams:
    """One connection for each logged-in account. `keep` and `hear` belong to one thread."""

    def __init__(self) -> None:
        self._heard: SimpleQueue[tuple[int, str]] = SimpleQueue()
        self._running: dict[int, Listening] = {}

    def keep(self) -> list[int]:
        """Opens a stream for each new login of this machine's and ends those that are over. Returns the accounts listened to, or given up on."""
        logins = {row.account_id: row for row in logged_in()}
        mine = leased(logins)
        logins = {account_id: row for account_id, row in logins.items() if account_id in mine}
        for account_id in [pk for pk, one in self._running.items() if one.is_over(logins.get(pk))]:
            self._running.pop(account_id).stream.stop()
        for account_id, row in logins.items():
            if account_id not in self._running:
                self._open(row)
        return sorted(self._running)

    def _open(self, row: BrokerSession) -> None:
        try:
            stream = registry.stream_for(row.account, lambda account_id, word: self._heard.put((account_id, word)))
        except (BrokerError, AppError, ValueError) as why:  # tried again at the next pass: the session may be ending just now
            logger.debug("no stream for %s: %s", row.account.name, type(why).__name__)
            return
        stream.start()
        self._running[row.account_id] = Listening(row.issued_at, stream)

    def hear(self, seconds: float) -> int:
        """Waits so long at most for a word, then does what all words that are there ask for. Returns how many there were."""
        words = set()
        try:
            words.add(self._heard.get(timeout=seconds))
            while True:
                words.add(self._heard.get_nowait())
        except Empty:
            pass
        for account_id, word in sorted(words):
            if account_id:
                _take(account_id, word)
        return len(words)

    def wake(self) -> None:
        """Ends a `hear` that waits; may be called by a signal handler."""
        self._heard.put((0, ""))

    def close(self) -> None:
        """Ends all of them."""
        for one in self._running.values():
            one.stream.stop()
        for one in self._running.values():
            one.stream.join(2)
        self._running.clear()


def leased(account_ids: Iterable[int]) -> set[int]:
    """Those of the accounts that this machine listens to: it did so far, or nobody has lately. By the database's clock, which all machines share."""
    names = {f"stream {account_id}": account_id for account_id in account_ids}
    if not names:
        return set()
    me, rows = home.machine(), Heartbeat.objects.filter(name__in=names)
    lease, due = clock.seconds(LEASE_S), Now() - clock.seconds(RENEW_S)
    ended = Q(at__lt=Now() - lease) | Q(at__gt=Now() + lease)  # ahead: that clock was set back since, and its catching up may take hours
    rows.filter(ended | Q(process=me, at__lt=due)).update(at=Now(), process=me)
    held = dict(rows.values_list("name", "process"))
    new = [Heartbeat(name=name, at=Now(), process=me) for name in names if name not in held]
    if new:
        Heartbeat.objects.bulk_create(new, ignore_conflicts=True)
        held = dict(rows.values_list("name", "process"))
    return {names[name] for name, holder in held.items() if holder == me}


def logged_in() -> list[BrokerSession]:
    """Sessions that should work now, of accounts that are switched on."""
    rows = BrokerSession.objects.filter(state__in=(SessionState.ACTIVE, SessionState.EXCHANGE), expires_at__gt=clock.now(), account__enabled=True)
    return list(rows.exclude(account__state=AccountState.DISCONNECTED).select_related("account", "account__owner").defer("request_token"))


def _take(account_id: int, word: str) -> None:
    """Every word asks for a read: what was missed while nobody listened is in the book, and so is the proof that a session ended."""
    account = BrokerAccount.objects.filter(pk=account_id).defer("credentials").select_related("owner").first()
    if account is None:
        return
    polling.hinted(account_id)
    if word in WORDS:
        _tell(account, *WORDS[word])


def _tell(account: BrokerAccount, code: str, level: str, text: str) -> None:
    since = clock.now() - TELL_AGAIN
    if not SystemEvent.objects.filter(code=code, owner=account.owner, at__gt=since, data__account_id=account.pk).exists():
        sysevents.record("broker", code, text.format(name=account.name), level=level, owner=account.owner, data={"account_id": account.pk})
