"""Django's SQLite backend, with a turn to wait for before the write lock is asked for.

SQLite lets waiting writers sleep and look again, up to 100 ms at a time: with many threads and processes some starve past their
time-out while the lock is free. Here one thread of a process at a time queues for a lock file, looking every millisecond, and
only its holder asks SQLite. Correctness does not rest on it: SQLite's own lock still decides, this only keeps waiting short.
"""

import contextlib
import fcntl
import os
import threading
import time

from django.db import OperationalError
from django.db.backends.sqlite3 import base

LOOK_EVERY_S = 0.001
_WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE")


class Turn:
    """One turn at the writer for this process: a thread lock, then a lock file shared by all processes on this database."""

    def __init__(self, path: str):
        self._path, self._pid, self._file = path, 0, -1
        self._thread = threading.Lock()

    def take(self, timeout: float) -> bool:
        """Waits at most `timeout` seconds. False: it is not our turn yet."""
        deadline = time.monotonic() + timeout
        if self._pid != os.getpid():  # a forked child must not share its parent's lock
            self._thread, self._pid, self._file = threading.Lock(), os.getpid(), self._open()
        if not self._thread.acquire(timeout=timeout):
            return False
        while True:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            if time.monotonic() >= deadline:
                self._thread.release()
                return False
            time.sleep(LOOK_EVERY_S)

    def give(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)
        self._thread.release()

    def _open(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


_turns: dict[str, Turn] = {}
_turns_lock = threading.Lock()


def turn_of(name: str) -> Turn:
    with _turns_lock:
        return _turns.setdefault(name, Turn(f"{name}.turn"))


class DatabaseWrapper(base.DatabaseWrapper):
    """Takes the turn with BEGIN IMMEDIATE, or with a single write outside a transaction, and gives it back when that ends."""

    _held = False

    def _turn(self) -> Turn | None:
        name = str(self.settings_dict["NAME"])
        return None if ":memory:" in name or "mode=memory" in name else turn_of(name)

    def _take(self) -> None:
        turn = self._turn()
        if turn is None or self._held:
            return
        if not turn.take(float(self.settings_dict["OPTIONS"].get("timeout", 5))):
            raise OperationalError("database is locked: another writer did not finish in time")
        self._held = True

    def _give(self) -> None:
        if self._held:
            self._held = False
            self._turn().give()

    def _start_transaction_under_autocommit(self) -> None:
        self._take()
        try:
            super()._start_transaction_under_autocommit()
        except BaseException:
            self._give()
            raise

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
            yield
        finally:
            self.wrapper._give()
