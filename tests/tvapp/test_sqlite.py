"""Writers queue for SQLite in turn: nobody is forgotten, nobody waits twice, and no turn outlives who held it."""

import os
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import OperationalError, transaction

from tvapp.sqlite import base

WAIT_S = 0.6
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "desk.sqlite3"
    sqlite3.connect(path).execute("PRAGMA journal_mode=WAL").connection.execute("CREATE TABLE t (n)")
    return str(path)


@pytest.fixture
def connect(file):
    """Makes connections as the desk's settings do; each is closed in the end."""
    made = []

    def make():
        options = {"transaction_mode": "IMMEDIATE", "timeout": WAIT_S}
        fields = {"NAME": file, "OPTIONS": options, "AUTOCOMMIT": True, "ATOMIC_REQUESTS": False, "CONN_MAX_AGE": None}
        fields |= {"CONN_HEALTH_CHECKS": False, "TIME_ZONE": None, "ENGINE": "tvapp.sqlite"}
        made.append(base.DatabaseWrapper(fields, f"test{len(made)}"))
        made[-1].inc_thread_sharing()
        return made[-1]

    yield make
    for connection in made:
        connection.close()


def insert(connection) -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO t VALUES (1)")


def free(file) -> bool:
    """Whether another process would get the turn now."""
    other = base.Turn(f"{file}.turn")
    return other.take(0) and other.give() is None


def took(act) -> float:
    begun = time.monotonic()
    with pytest.raises(OperationalError):
        act()
    return time.monotonic() - begun


def test_it_has_one_turn_however_many_threads_ask_first(file, monkeypatch):
    original = os.open
    monkeypatch.setattr(os, "open", lambda *args: (time.sleep(0.02), original(*args))[1])
    together = threading.Barrier(4)

    def write(_):
        together.wait()
        turn = base.turn_of(file)
        taken = turn.take(5)
        turn.give()
        return taken

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(write, range(4))) == [True] * 4
    assert free(file)


def test_it_lets_the_next_one_in_when_the_wait_was_broken_off(file, monkeypatch):
    holder, turn = base.Turn(f"{file}.turn"), base.turn_of(file)
    holder.take(0)
    with monkeypatch.context() as patch:
        patch.setattr(base.time, "sleep", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            turn.take(1)
    holder.give()
    assert turn.take(0)


def test_it_waits_for_turn_and_lock_together_no_longer_than_the_time_out(file, connect):
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    turn = base.turn_of(file)
    turn.take(0)
    threading.Timer(WAIT_S * 0.8, turn.give).start()
    assert took(lambda: insert(connect())) < WAIT_S * 1.4
    other.close()


def test_it_has_its_whole_patience_back_afterwards(file, connect):
    connection, turn = connect(), base.turn_of(file)
    connection.ensure_connection()
    turn.take(0)
    threading.Timer(WAIT_S * 0.5, turn.give).start()
    insert(connection)
    assert connection.connection.execute("PRAGMA busy_timeout").fetchone() == (int(WAIT_S * 1000),)


def test_it_gives_the_turn_back_however_a_transaction_ends(file, connect, monkeypatch):
    connection = connect()
    monkeypatch.setattr(transaction, "get_connection", lambda using=None: connection)
    for end in (lambda: None, lambda: 1 / 0, connection.close):
        try:
            with transaction.atomic(), transaction.atomic():
                insert(connection)
                end()
        except ZeroDivisionError:
            pass
        assert free(file), end


def test_it_keeps_no_turn_in_a_forked_child(file):
    turn = base.turn_of(file)
    turn.take(0)
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(theirs, b"n" if base.turn_of(file).take(0) else b"y")
        finally:
            os._exit(0)
    assert os.read(ours, 1) == b"y" and os.waitpid(child, 0)
    turn.give()
    assert free(file)


def test_it_waits_short_after_a_wait_in_vain_until_somebody_gets_through(file, connect, monkeypatch):
    monkeypatch.setattr(base, "IN_VAIN_S", 0.01)
    other, connection, turn = sqlite3.connect(file, isolation_level=None), connect(), base.turn_of(file)
    connection.ensure_connection()
    assert turn.patience(WAIT_S) == WAIT_S
    other.execute("BEGIN IMMEDIATE")
    assert took(lambda: insert(connection)) >= WAIT_S * 0.9
    assert (turn.patience(WAIT_S), turn.patience(10)) == (0.01, 10)
    assert took(lambda: insert(connection)) < WAIT_S * 0.9
    other.execute("COMMIT")
    insert(connection)
    assert turn.patience(WAIT_S) == WAIT_S
    assert connection.connection.execute("PRAGMA busy_timeout").fetchone() == (int(WAIT_S * 1000),)
    other.close()


def test_it_waits_short_behind_a_turn_that_is_not_given_back(file, connect):
    holder, turn = base.Turn(f"{file}.turn"), base.turn_of(file)
    holder.take(0)
    took(lambda: insert(connect()))
    assert turn.in_vain
    holder.give()
    insert(connect())
    assert not turn.in_vain
