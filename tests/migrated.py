"""The tables, made once: a SQLite file with all migrations applied, kept in the temporary folder under a name made of the migrations' text.

In-process tests copy it into their memory and desks of the process tests into their home; then `migrate` finds nothing left to do.
Migrating from nothing is tested where that is the subject (tests/tvapp/test_prepare.py, test_run.py).
"""

import fcntl
import hashlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KEPT = 4


@cache
def file() -> Path:
    """Where these migrations' tables are, or are to be. Nobody else's file is trusted: the folder is this user's."""
    folder = Path(tempfile.gettempdir()) / f"tvapp-test-tables-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        folder = Path(tempfile.mkdtemp(prefix="tvapp-test-tables-"))
    text = b"".join(p.read_bytes() for p in [ROOT / "requirements.txt", *sorted(ROOT.glob("*/migrations/*.py"))])
    return folder / f"{hashlib.sha256(text).hexdigest()[:24]}.sqlite3"


def copy_to(database: Path) -> None:
    """Into a home that has no database yet; nothing happens while there is nothing to copy."""
    if file().exists() and not database.exists():
        shutil.copyfile(file(), database)


def hasten() -> None:
    """The next `migrate` of this process starts from the file, or makes it. Workers side by side: the first makes it, the others wait."""
    from django.core.management.commands import migrate
    from django.db import connections

    original = migrate.Command.handle

    def handle(self, *args, **options):
        migrate.Command.handle = original
        link = connections[options["database"]]
        link.ensure_connection()
        with _alone():
            there = file().exists()
            if there:
                with closing(sqlite3.connect(file())) as source:
                    source.backup(link.connection)
            original(self, *args, **options)
            if not there:
                _keep(link.connection)

    migrate.Command.handle = handle


@contextmanager
def _alone() -> Iterator[None]:
    with open(file().parent / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _keep(made: sqlite3.Connection) -> None:
    draft = file().with_suffix(f".{os.getpid()}")
    with closing(sqlite3.connect(draft)) as target:
        made.backup(target)
    draft.replace(file())
    older = sorted(file().parent.glob("*.sqlite3"), key=lambda p: p.stat().st_mtime, reverse=True)[KEPT:]
    for forgotten in older:
        forgotten.unlink(missing_ok=True)
