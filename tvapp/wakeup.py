"""django-q2's database queue with a bell: a committed task wakes its cluster at once instead of at the next poll.

The row is the truth and commits together with the order that rings. The bell is one unix datagram to `run/<queue>.sock`, and on PostgreSQL a NOTIFY
as well, which other machines hear. It may get lost: the poll finds the row within a second.
"""

import contextlib
import gc
import logging
import os
import select
import socket
import sys
import time
from datetime import datetime, timedelta
from functools import lru_cache, partial
from pathlib import Path

from django.db import InterfaceError, OperationalError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone
from django.utils.module_loading import autodiscover_modules
from django_q.brokers.orm import ORM
from django_q.conf import Conf

from tvapp import home, release

POLL = 1.0
LONGEST_PATH = 100  # bytes; sockets take 103 on macOS and 107 on Linux
AFTER_TROUBLE = 0.2
HARMLESS_TWICE = ("orders",)  # its tasks look at a row and do what the row asks for
HERE = "@"
DUE_SINCE = timedelta(hours=1)  # a task is due at once even when this machine's clock is behind the sender's or is set back

logger = logging.getLogger(__name__)
Taken = list[tuple[int, str]]


class Broker(ORM):
    """`enqueue` belongs to the caller's transaction; `dequeue` waits for the bell instead of sleeping."""

    def __init__(self, list_key: str | None = None):
        super().__init__(list_key)
        self._bell: socket.socket | None = None
        self._ear: Ear | None = None
        self._tried = self._freed = False

    def __setstate__(self, state: object) -> None:
        super().__setstate__(state)
        self._bell, self._ear, self._tried, self._freed = None, None, False, False

    def ping(self) -> bool:
        """Asked once before the workers are forked: what they run is imported here, so that no worker's first task waits for it."""
        autodiscover_modules("tasks")
        release.stamp()  # of the code that is loaded now, whatever is on the disk later
        gc.collect()
        gc.freeze()  # else each worker's first full collection walks, and copies, everything that was imported: 150 ms of some order's time
        return super().ping()

    def enqueue(self, task: str) -> int:
        """Stores the signed task; the bell rings when the surrounding transaction has committed, and not at all when it has not."""
        queue = self.list_key or Conf.CLUSTER_NAME
        row = self.get_connection().create(key=queue, payload=task, lock=timezone.now() - DUE_SINCE)
        if HERE not in queue:
            call_out(queue)
        transaction.on_commit(partial(ring, queue.partition(HERE)[0]), using=Conf.ORM, robust=True)
        return row.pk

    def dequeue(self) -> Taken | None:
        """The oldest due tasks as (id, payload), or None after at most a second.

        Never raises for a database that is busy or away: django-q2 answers that with ten seconds of sleep and a new process.
        """
        if not self._tried:  # here and not earlier: of all the processes that hold a broker only the pusher takes tasks
            self._bell, self._ear, self._tried = listen(self.list_key), ear(self.list_key), True
        try:
            self._free()
            taken = self._take()
        except (OperationalError, InterfaceError) as problem:
            logger.warning("the queue %s could not be read and is asked again: %s", self.list_key, problem)
            with contextlib.suppress(OperationalError, InterfaceError):
                connections[Conf.ORM].close()
            time.sleep(AFTER_TROUBLE)
            return None
        return taken or wait(self._bell, ear=self._ear)

    def _free(self) -> None:
        """Once: bells that an earlier, now dead cluster had taken ring again. One rung twice (another machine has it) does nothing."""
        if self._freed or self.list_key not in HARMLESS_TWICE:
            return
        now = timezone.now()
        self.get_connection().filter(key__in=self._keys(), lock__gt=now).update(lock=now - DUE_SINCE)
        self._freed = True

    def _take(self) -> Taken:
        now = timezone.now()
        due = self.get_connection().filter(key__in=self._keys(), lock__lte=now).order_by("id").values_list("id", "payload", "lock")
        return [(pk, payload) for pk, payload, lock in due[: Conf.BULK] if self._lock(pk, lock, now)]

    def _keys(self) -> tuple[str, str]:
        return self.list_key, here(self.list_key)

    def _lock(self, pk: int, seen: datetime, now: datetime) -> int:
        """1 when the row was still as seen: with two clusters on one queue only one gets it."""
        return self.connection.filter(pk=pk, lock=seen).update(lock=now + timedelta(seconds=Conf.RETRY))


def here(queue: str) -> str:
    """The part of `queue` that only this machine's cluster takes."""
    return f"{queue}{HERE}{home.machine()}"


def ring(queue: str) -> None:
    """Wakes the cluster that listens to `queue`, if there is one on this machine. Never waits and never fails."""
    with contextlib.suppress(OSError):  # nobody listens, or it has been rung often enough
        target = _address(queue)
        if target:
            _sender().sendto(b"1", target)


def listen(queue: str) -> socket.socket | None:
    """The bell of `queue`, put in place of an older one in one step; None where it cannot be (the poll is left then)."""
    bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        target, draft = _address(queue), _address(f"{queue}.{os.getpid()}")
        if target and draft:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(draft)
            bell.bind(draft)
            os.replace(draft, target)
            return bell
    except OSError as problem:
        logger.warning("the queue %s is only polled: %s", queue, problem)
    bell.close()
    return None


def wait(bell: socket.socket | None, seconds: float = POLL, ear: "Ear | None" = None) -> None:
    """Until the bell rings or a NOTIFY comes, at most `seconds`; what piled up counts as one."""
    heard = [sound for sound in (bell, ear.link() if ear else None) if sound is not None]
    if not heard:
        time.sleep(seconds)
        return
    ready, _, _ = select.select(heard, [], [], seconds)
    if bell in ready:
        bell.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while bell.recv(16):
                pass
    if ear:
        ear.drain()


# --- from other machines ----------------------------------------------------------------------------------------


def call_out(queue: str) -> None:
    """On PostgreSQL: tells every machine that listens, when the surrounding transaction commits and not otherwise."""
    connection = connections[Conf.ORM]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, '')", [_channel(queue)])


def ear(queue: str) -> "Ear | None":
    """What hears the calls for this queue; None where the database makes none."""
    return Ear(queue) if connections[Conf.ORM].vendor == "postgresql" else None


def _channel(queue: str) -> str:
    return f"tvapp_{queue}"


class Ear:
    """A connection of its own that LISTENs. It comes back by itself when the server was away; until then the poll finds what is due."""

    def __init__(self, queue: str):
        self._queue, self._not_before = queue, 0.0
        self._connection: BaseDatabaseWrapper | None = None

    def link(self) -> object | None:
        """What `select` waits for; None while there is no connection."""
        if self._connection is not None and self._connection.connection.closed:
            self._lose("the connection broke")
        if self._connection is None and time.monotonic() >= self._not_before:
            self._open()
        return self._connection.connection if self._connection is not None else None

    def drain(self) -> None:
        """Takes what was said; a connection that broke is opened again later."""
        if self._connection is None:
            return
        try:
            for _ in self._connection.connection.notifies(timeout=0):
                pass
        except Exception as problem:  # noqa: BLE001 - whatever the driver calls a server that went away
            self._lose(problem)

    def _open(self) -> None:
        link = connections[Conf.ORM].copy()
        try:
            link.ensure_connection()
            with link.cursor() as cursor:
                cursor.execute(f'LISTEN "{_channel(self._queue)}"')
        except (OperationalError, InterfaceError) as problem:
            self._connection = link
            self._lose(problem)
        else:
            self._connection = link

    def _lose(self, problem: object) -> None:
        logger.warning("calls for the queue %s are not heard for a moment, it is polled: %s", self._queue, problem)
        link, self._connection, self._not_before = self._connection, None, time.monotonic() + POLL
        if link is not None:
            with contextlib.suppress(OperationalError, InterfaceError):
                link.close()


# --- on this machine --------------------------------------------------------------------------------------------


def _address(queue: str) -> str:
    """Where the bell of `queue` hangs; a long path is taken through the open directory on Linux, elsewhere it is empty."""
    place = home.run_dir() / f"{queue}.sock"
    if len(os.fsencode(place)) <= LONGEST_PATH:
        return str(place)
    if not sys.platform.startswith("linux"):
        return ""
    return f"/proc/self/fd/{_directory(place.parent)}/{place.name}"


@lru_cache(maxsize=8)
def _directory(place: Path) -> int:
    return os.open(place, os.O_RDONLY | os.O_DIRECTORY)


@lru_cache(maxsize=1)
def _sender() -> socket.socket:
    sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sender.setblocking(False)
    return sender
