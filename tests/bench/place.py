"""Where a benchmark runs: a temporary home, free loopback ports, processes that end with it, nothing of the user's settings."""

import http.client
import json
import os
import runpy
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from tests.bench.rows import BenchmarkFailed, Row, Size
from tests.process.desk import PASSWORD, SECRET, RunningDesk, free_port

ROOT = Path(__file__).resolve().parents[2]
# The user's `.env` may already stand in our environment (a live database, broker keys): only this much of it is handed on.
KEPT = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TMPDIR", "TZ", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
SLOWEST_START_S = 60


def environment(home: Path | str, **more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    ours = {"TVAPP_HOME": str(home), "TRADINGVIEW_WEBHOOK_SECRET": SECRET, "LOG_FORMAT": "json"}
    ours |= {"TVAPP_ADMIN_USERNAME": "admin", "TVAPP_ADMIN_PASSWORD": PASSWORD}
    return kept | ours | more


# ---------------------------------------------------------------------------- one process a benchmark
@contextmanager
def temporary_home() -> Iterator[Path]:
    home = Path(tempfile.mkdtemp(prefix="tvapp-bench-"))
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def run_apart(name: str, size: Size, home: Path) -> list[Row]:
    """Runs one benchmark in a process of its own; its own words and those of what it starts go to stderr."""
    # Its own TVAPP_HOME is another one: whoever ends a desk kills every process that names the desk's home.
    env = environment(home / "aside", BENCH_HOME=str(home))
    status, said = apart(["tests.bench", name, json.dumps(asdict(size))], env)
    if status:
        raise BenchmarkFailed(f"{name} gave no figures; the lines above say why.")
    return [Row(**row) for row in json.loads(said)]


def apart(module: Sequence[str], env: dict[str, str]) -> tuple[int, bytes]:
    """Runs a module with its words as a process of its own; its exit status and what it wrote to stdout."""
    child = subprocess.Popen([sys.executable, "-m", *module], cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        said = child.communicate()[0]
    except BaseException:  # Ctrl-C and the like: the child ends what it started before it ends itself
        child.terminate()
        child.wait()
        raise
    return child.returncode, said


def home(**more: str) -> Path:
    """The home of this run, with its database as it was right after it was prepared. DATABASE_URL among `more`: that one, prepared now."""
    place = Path(os.environ["BENCH_HOME"])
    if "DATABASE_URL" in more:
        manage(place, "prepare", **more)
        return place
    pristine = place / "pristine.sqlite3"
    if not pristine.exists():
        manage(place, "prepare")
        shutil.copy(place / "tvapp.sqlite3", pristine)
        return place
    for leftover in place.glob("tvapp.sqlite3*"):
        leftover.unlink()
    shutil.copy(pristine, place / "tvapp.sqlite3")
    return place


def copy_of(place: Path, name: str) -> Path:
    """A second home beside the first, in the same temporary folder; what an earlier benchmark left of that name is gone."""
    other = place / f"copy-{name}"
    shutil.rmtree(other, ignore_errors=True)
    shutil.copytree(place, other, ignore=shutil.ignore_patterns("copy-*", "*.sock", "pristine*", "*.log"))
    return other


def manage(place: Path, *words: str, **more: str) -> None:
    done = subprocess.run([sys.executable, "manage.py", *words], cwd=ROOT, env=environment(place, **more), capture_output=True, text=True)
    if done.returncode:
        raise BenchmarkFailed(f"manage.py {words[0]} failed: {done.stderr.strip()[-1000:]}")


# ---------------------------------------------------------------------------- web servers
def serve_desk(place: Path, **more: str):
    """The desk's own web server on this home, without clusters beside it."""
    return serving(["-c", "python:tvapp.gunicorn", "tvapp.wsgi"], environment(place, **more), place)


def serve_bare(app: str, place: Path, **more: str):
    """Any other WSGI application in the same server with the same figures."""
    return serving(["-c", str(_bare_config(place)), *(["--workers", more["WEB_WORKERS"]] if "WEB_WORKERS" in more else []), app], environment(place, **more), place)


def _bare_config(place: Path) -> Path:
    """The desk's gunicorn settings as plain values, without its hooks."""
    names = ("worker_class", "workers", "threads", "timeout", "keepalive", "backlog", "preload_app", "control_socket_disable", "errorlog", "loglevel")
    config = runpy.run_module("tvapp.gunicorn")
    file = place / "bare.conf.py"
    file.write_text("".join(f"{name} = {config[name]!r}\n" for name in (*names, "worker_tmp_dir") if name in config))
    return file


class Web:
    """A running web server: its port, its master's pid and how long it took to its first answer."""

    def __init__(self, process: subprocess.Popen, port: int, started: float):
        self.process, self.port = process, port
        self.seconds_to_answer = time.perf_counter() - started

    def pids(self) -> list[int]:
        return [self.process.pid, *children(self.process.pid)]


@contextmanager
def serving(words: Sequence[str], env: dict[str, str], place: Path) -> Iterator[Web]:
    port, started = free_port(), time.perf_counter()
    with open(place / "web.log", "ab") as log:
        command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", *words]
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        try:
            until(lambda: answers(port), process, place / "web.log")
            yield Web(process, port, started)
        finally:
            end(process)


def answers(port: int, path: str = "/favicon.ico") -> bool:
    with suppress(OSError, http.client.HTTPException):
        return get(port, path)[0] < 500
    return False


def get(port: int, path: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def until(true, process: subprocess.Popen, log: Path, seconds: float = SLOWEST_START_S) -> None:
    limit = time.monotonic() + seconds
    while not true():
        if process.poll() is not None or time.monotonic() > limit:
            raise BenchmarkFailed(f"A process did not start: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.01)


def end(process: subprocess.Popen) -> None:
    """Its whole group, politely first."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(8)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


# ---------------------------------------------------------------------------- the whole desk
@contextmanager
def desk() -> Iterator[RunningDesk]:
    """Supervisor, web, clusters and sweeper on the home of this run."""
    running = RunningDesk()
    shutil.rmtree(running.home)
    running.home = str(home())
    try:
        running.start()
        time.sleep(2)  # the other clusters are still importing when the first beat is there
        yield running
        running.stop()
    except AssertionError as wrong:
        raise BenchmarkFailed(str(wrong)) from wrong
    finally:
        running.close()


def rows_of(place: Path | str, sql: str, *values: object) -> list[tuple]:
    """Reads the home's database from outside, without disturbing it."""
    with closing(sqlite3.connect(f"file:{place}/tvapp.sqlite3?mode=ro", uri=True, timeout=10)) as db:
        return db.execute(sql, values).fetchall()


# ---------------------------------------------------------------------------- what the system knows about processes
def children(pid: int, *, deep: bool = True) -> list[int]:
    """The processes it started, and with `deep` all those below them."""
    with suppress(OSError):
        found = [int(p) for task in Path(f"/proc/{pid}/task").iterdir() for p in (task / "children").read_text().split()]
        return [*found, *(below for child in found for below in children(child))] if deep else found
    return []


def memory_mb(pids: Sequence[int]) -> float:
    """Memory of these processes in MB, what they share counted once (PSS)."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def cpu_ms(pids: Sequence[int]) -> dict[int, float]:
    """CPU time of each of these processes so far, all their threads, in milliseconds; finer than the clock ticks of `stat`."""
    found = {}
    for pid in pids:
        with suppress(OSError):
            threads = [int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()]
            found[pid] = sum(threads) / 1e6
    return found
