"""PostgreSQL for tests: a server of its own in a temporary folder, on a free loopback port, gone with the tests.

The fixture `postgres` (known to every test) is that server. `postgres.url()` makes a fresh, empty database and returns its DATABASE_URL:

    def test_it_...(postgres):
        with running_desk(RunningDesk(database=postgres.url())) as desk:   # migrated by the desk's own start
            ...
        rows = postgres.rows(url, "SELECT count(*) FROM trading_order")    # what is on disk, from outside

A test that takes the fixture is marked `postgres` by itself and runs among those that have the machine to themselves.
Nothing of an installed server is used but its programs: no service, no `pg_hba.conf`, no password of the machine's.
"""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from itertools import count
from pathlib import Path

import psycopg

from tests.process.desk import free_port

USER = "tvapp"
WHERE = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin", "/usr/local/opt/postgresql*/bin")
QUICK = {"fsync": "off", "listen_addresses": "127.0.0.1", "max_connections": "200", "shared_buffers": "64MB"}  # the tests kill desks, never the disk


def programs() -> Path | None:
    """The folder of the newest `initdb` and `postgres` of this machine, on the PATH or where packages put them. None: there is none."""
    folders = [Path(found).resolve().parent for name in ("initdb",) if (found := shutil.which(name))]
    folders += sorted((p for pattern in WHERE for p in Path("/").glob(pattern[1:])), key=_version, reverse=True)
    return next((f for f in folders if (f / "initdb").exists() and (f / "postgres").exists()), None)


def _version(folder: Path) -> list[int]:
    return [int(part) for part in "".join(c if c.isdigit() else " " for c in str(folder)).split()]


class Postgres:
    """One server. It refuses to run as root: then it runs as the system's `postgres` user, whom the folder is given to.

    `settings` are the server's own and replace QUICK's.
    """

    def __init__(self, **settings: str) -> None:
        self.settings = QUICK | settings
        found = programs()
        assert found, "PostgreSQL is not installed (Debian/Ubuntu: apt install postgresql)"
        self.programs, self.port, self.password = found, free_port(), secrets.token_urlsafe(12)
        self.folder = Path(tempfile.mkdtemp(prefix="tvapp-postgres-"))
        self.data = self.folder / "data"
        self._numbers = count(1)
        self._initialise()
        self.start()

    def _initialise(self) -> None:
        secret = self.folder / "password"
        secret.write_text(self.password)
        if os.getuid() == 0:
            for path in (self.folder, secret):
                shutil.chown(path, _servant().pw_uid, _servant().pw_gid)
        words = ["-D", self.data, "-U", USER, f"--pwfile={secret}", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync"]
        done = subprocess.run([self.programs / "initdb", *words], **self._circumstances(), capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def _circumstances(self) -> dict[str, object]:
        who = {"user": _servant().pw_uid, "group": _servant().pw_gid, "extra_groups": []} if os.getuid() == 0 else {}
        return {"cwd": self.folder, "env": {"PATH": "/usr/bin:/bin", "HOME": str(self.folder), "TZ": "UTC"}, "stdin": subprocess.DEVNULL, **who}

    def start(self) -> None:
        settings = [word for name, value in self.settings.items() for word in ("-c", f"{name}={value}")]
        command = [self.programs / "postgres", "-D", self.data, "-p", str(self.port), "-k", self.folder, *settings]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(command, **self._circumstances(), stdout=log, stderr=log)
        end = time.monotonic() + 30
        while not self._answers():
            assert self.process.poll() is None and time.monotonic() < end, (self.folder / "log").read_text()[-2000:]
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            self.sql("postgres", "SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """Every connection is broken off, as in a restart of the server."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)

    def url(self) -> str:
        """DATABASE_URL of a new, empty database."""
        name = f"desk{next(self._numbers)}"
        self.sql("postgres", f'CREATE DATABASE "{name}"')
        return self.url_of(name)

    def url_of(self, database: str) -> str:
        return f"postgres://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def rows(self, url: str, sql: str, *values: object) -> list[tuple]:
        """What a query from outside finds in the database of this address."""
        with psycopg.connect(url, autocommit=True) as link:
            return link.execute(sql, values).fetchall()

    def sql(self, database: str, sql: str) -> None:
        with psycopg.connect(self.url_of(database), autocommit=True, connect_timeout=5) as link:
            link.execute(sql)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)  # at once: nobody needs what is on its disk
            self.process.wait(30)
        shutil.rmtree(self.folder, ignore_errors=True)


def _servant() -> pwd.struct_passwd:
    """Whom a server started by root runs as."""
    return next(pwd.getpwnam(name) for name in ("postgres", "nobody") if _exists(name))


def _exists(name: str) -> bool:
    return any(row.pw_name == name for row in pwd.getpwall())
