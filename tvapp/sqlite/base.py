"""Django's SQLite backend, with a turn to wait for before the write lock is asked for.

SQLite lets waiting writers sleep and look again, up to 100 ms at a time: with many threads and processes some starve past their
time-out while the lock is free. Here one thread of a process at a time queues for a lock file and only its holder asks SQLite.
The less time a writer has, the more often it looks: an alert, whose sender gives up after seconds, goes before a worker.
Where somebody keeps the lock for seconds, one wait in vain is enough: until a writer gets through, the others in a hurry are told
soon, so that alerts do not queue for a thread behind waits that lead to nothing (their senders would be gone).
Correctness does not rest on it: SQLite's own lock still decides, this only keeps waiting short.
"""

import contextlib
import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Iterator

from django.db import OperationalError
from django.db.backends.sqlite3 import base

LOOKS = 2000  # per time-out: a writer that may wait 2 s looks every millisecond, one that may wait 10 s every five
SHORT_S = 0.05  # a wait for the turn that need not be taken off SQLite's own
HURRIED_S = 3  # who may wait no longer than this answers somebody who gives up; a worker waits on
IN_VAIN_S = 0.25
_WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE")


class Turn:
    """One turn at the writer for this process: a thread lock, then a lock file shared by all processes on this database."""

    def __init__(self, path: str):
        self.in_vain = False  # the last writer did not get through
        self._thread = threading.Lock()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def patience(self, limit: float) -> float:
        """How long a writer that may wait `limit` seconds waits now."""
        return min(limit, IN_VAIN_S) if self.in_vain and limit <= HURRIED_S else limit

    def take(self, timeout: float, looks: int = LOOKS) -> bool:
        """Waits at most `timeout` seconds and looks so often meanwhile. False: it is not our turn yet."""
        deadline = time.monotonic() + timeout
        if not self._thread.acquire(timeout=timeout):
            return False
        taken = False
        try:
            taken = self._lock_file(deadline, timeout / looks)
        finally:
            if not taken:
                self._thread.release()
        return taken

    def give(self) -> None:
        if self._file < 0:
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        finally:
            self._thread.release()

    def drop(self) -> None:
        """For a forked child: its copy of the open file would keep the parent's turn alive after the parent's death."""
        os.close(self._file)
        self._file = -1

    def _lock_file(self, deadline: float, pause: float) -> bool:
        while True:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(pause)


_turns: dict[str, Turn] = {}
_turns_lock = threading.Lock()


def turn_of(name: str) -> Turn:
    """The one turn of this process for a database: made under a lock, because two of them would wait for each other for ever."""
    with _turns_lock:
        if name not in _turns:
            _turns[name] = Turn(f"{name}.turn")
        return _turns[name]


def _start_anew() -> None:
    """A forked child shares neither its parent's locks, which may be held for ever in the copy, nor its open files."""
    global _turns_lock
    _turns_lock = threading.Lock()
    for turn in _turns.values():
        turn.drop()
    _turns.clear()


os.register_at_fork(after_in_child=_start_anew)


class DatabaseWrapper(base.DatabaseWrapper):
    """Takes the turn with BEGIN IMMEDIATE, or with a single write outside a transaction, and gives it back when that ends."""

    _held: Turn | None = None
    _hurried = False

    def _turn(self) -> Turn | None:
        name = str(self.settings_dict["NAME"])
        return None if ":memory:" in name or "mode=memory" in name else turn_of(name)

    def _take(self) -> None:
        turn = self._turn()
        if turn is None or self._held:
            return
        whole, begun = float(self.settings_dict["OPTIONS"].get("timeout", 5)), time.monotonic()
        limit = turn.patience(whole)
        if not turn.take(limit, max(1, int(LOOKS * limit / whole))):
            turn.in_vain = True
            raise OperationalError("database is locked: another writer did not finish in time")
        self._held = turn
        if limit < whole or time.monotonic() - begun > SHORT_S:
            self._hurry(limit - (time.monotonic() - begun))

    def _hurry(self, seconds: float) -> None:
        """Leaves SQLite what is left of the time-out: the wait for the turn and the wait for the lock are one wait."""
        self.connection.execute(f"PRAGMA busy_timeout = {max(1, int(seconds * 1000))}")
        self._hurried = True

    def _calm(self) -> None:
        if self._hurried:
            self._hurried = False
            limit = float(self.settings_dict["OPTIONS"].get("timeout", 5))
            self.connection.execute(f"PRAGMA busy_timeout = {int(limit * 1000)}")

    def _give(self) -> None:
        if self._held:
            turn, self._held = self._held, None
            turn.give()

    def _start_transaction_under_autocommit(self) -> None:
        self._take()
        try:
            with self._notes():
                super()._start_transaction_under_autocommit()
        except BaseException:
            self._give()
            raise
        finally:
            self._calm()

    @contextlib.contextmanager
    def _notes(self) -> Iterator[None]:
        """Whether a writer that has the turn gets through to SQLite's own lock."""
        try:
            yield
        except (OperationalError, sqlite3.OperationalError) as fault:
            if self._held and "locked" in str(fault):
                self._held.in_vain = True
            raise
        if self._held:
            self._held.in_vain = False

    def _commit(self):
        super()._commit()  # a commit that fails is followed by Django's rollback, which gives the turn back
        self._give()

    def _rollback(self):
        try:
            return super()._rollback()
        finally:
            self._give()

    def _close(self):
        try:
            return super()._close()
        finally:
            self._give()

    def create_cursor(self, name=None):
        cursor = self.connection.cursor(factory=Cursor)
        cursor.wrapper = self
        return cursor


class Cursor(base.SQLiteCursorWrapper):
    """A single write outside a transaction is a transaction of its own and waits for its turn, too."""

    wrapper: DatabaseWrapper

    def execute(self, query, params=None):
        with self._turn(query):
            return super().execute(query, params)

    def executemany(self, query, param_list):
        with self._turn(query):
            return super().executemany(query, param_list)

    @contextlib.contextmanager
    def _turn(self, query):
        alone = not self.wrapper.in_atomic_block and not self.wrapper._held and str(query).lstrip()[:7].upper().startswith(_WRITES)
        if not alone:
            yield
            return
        self.wrapper._take()
        try:
            with self.wrapper._notes():
                yield
        finally:
            self.wrapper._give()
            self.wrapper._calm()
