"""`bin/run`: starts the web server, the clusters and the sweeper, and starts again whichever of them ends, hangs or loses a part.

Standard library only; Django lives in the children. Each child leads a process group of its own, so that what a killed leader
leaves behind can be killed with it. The supervisor holds the listening socket: alerts that arrive while the web server starts
again wait in it and are answered a moment later. It also holds the write end of the lifeline (lifeline.py).
"""

import contextlib
import fcntl
import http.client
import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tvapp import home, lifeline
from tvapp.family import Family, alive
from tvapp.lib import clock, log

TICK = 0.25
STOP_PATIENCE = 8.0
BEAT_LIMIT = 20.0
LONGEST_PAUSE = 1.5
CRASH_WITHIN = 5.0  # an end this soon after the start is a crash at start
SPARE_AFTER = 0.5  # the group that has just started comes first
FIRST_SPARE = 4.0  # and a desk that starts comes before any spare
ROLES = ("all", "web", "workers")
TAKEOVER = 2.0  # the children of a killed supervisor need a moment to let go of the port and the data directory

logger = logging.getLogger("tvapp.supervisor")


class CannotStart(SystemExit):
    """One line that says what to do; the exit status is 1."""


@dataclass(frozen=True)
class Child:
    """One process group to keep running.

    `fragile`: one dead member can stop the rest without a sign, so the whole group is started again.
    `beat`: a file the group touches while it works; with `beat_owed` it must, else it counts from the first touch on.
    `spare`: a second process stands by with everything imported (manage.py waits for a word) and takes over at once.
    """

    name: str
    args: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    fds: tuple[int, ...] = ()
    fragile: bool = False
    beat: Path | None = None
    beat_owed: bool = False
    spare: bool = False
    late: float = 0.0  # seconds after the desk's start: what no alert and no order waits for comes later
    nice: int = 0


@dataclass
class Started:
    """A process of a group with our ends of its pipes: `births` tells new members, a word on `call` sends a spare to work (else -1)."""

    process: subprocess.Popen[bytes]
    births: int = -1
    call: int = -1

    def close(self) -> None:
        for fd in (self.births, self.call):
            if fd >= 0:
                os.close(fd)


class Group:
    """A Child in flesh: its process, its members, its pulse and its history of crashes."""

    def __init__(self, child: Child, line: int):
        self.child, self._line = child, line
        self.process: subprocess.Popen[bytes] | None = None
        self.family: Family | None = None
        self._now: Started | None = None
        self._spare: Started | None = None
        self.due = clock.monotonic() + child.late  # moment of the next start
        self._spare_due = clock.monotonic() + FIRST_SPARE
        self._crashes = 0
        self._started = self._heard = 0.0
        self._touched: float | None = None
        self._beating = False

    def start(self) -> None:
        self._now = self._called() or self._spawn(standing_by=False)
        self.process = self._now.process
        self.family = Family(self.process.pid) if self.child.fragile else None
        self._started = self._heard = clock.monotonic()
        self._touched, self._beating = _mtime(self.child.beat), False

    def stand_by(self, now: float) -> None:
        """Keeps a spare ready where the child has one; a spare that died is replaced without a word, nothing depended on it."""
        if self._spare and self._spare.process.poll() is not None:
            self._drop_spare()
            self._spare_due = now + LONGEST_PAUSE
        if self.child.spare and not self._spare and now >= max(self._spare_due, self._started + SPARE_AFTER):
            with contextlib.suppress(OSError):  # no memory for it: the next death takes a little longer to mend
                self._spare = self._spawn(standing_by=True)

    def _called(self) -> Started | None:
        spare, self._spare = self._spare, None
        if spare is None:
            return None
        with contextlib.suppress(OSError):
            os.write(spare.call, b"1")
            os.close(spare.call)
            spare.call = -1
            return spare
        self._spare = spare
        self._drop_spare()
        return None

    def _drop_spare(self) -> None:
        if self._spare:
            _signal_group(self._spare.process.pid, signal.SIGKILL)
            self._spare.process.wait()
            self._spare.close()
        self._spare = None

    def _spawn(self, *, standing_by: bool) -> Started:
        pipes, ours = {lifeline.VARIABLE: self._line}, {}
        if self.child.fragile:
            ours["births"], pipes[lifeline.BIRTHS] = os.pipe()
            os.set_blocking(ours["births"], False)
        if standing_by:
            pipes[lifeline.CALL], ours["call"] = os.pipe()
        try:
            process = subprocess.Popen(
                [*self.child.args],
                env={**os.environ, **self.child.env, **{name: str(fd) for name, fd in pipes.items()}},
                cwd=home.ROOT,
                stdin=subprocess.DEVNULL,
                pass_fds=(*pipes.values(), *self.child.fds),
                start_new_session=True,
            )
        except OSError:
            for fd in ours.values():
                os.close(fd)
            raise
        finally:
            for name, fd in pipes.items():
                if name != lifeline.VARIABLE:
                    os.close(fd)
        if self.child.nice:
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, process.pid, self.child.nice)
        return Started(process, **ours)

    def trouble(self, now: float) -> str:
        """Why this group has to be started again; empty while all is well."""
        ended = self.process.poll() if self.process else None
        if ended is not None:
            self._count(ended, now)
            return f"ended ({_how(ended)})"
        if self.family:
            self._meet_the_born()
            fallen = self.family.fallen()
            self.family.look()
            if fallen:
                return f"lost a member (process {fallen[0]})"
        if self.child.beat and self._silent(now):
            return f"has not worked for {now - self._heard:.0f} s"
        return ""

    def _meet_the_born(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while pids := os.read(self._now.births, 65536):
                for pid in pids.split():
                    self.family.meet(int(pid))

    def bury(self, now: float) -> None:
        """Kills what is left of the group, so that nothing old works beside the new one, and sets the time of the next start."""
        if self.process:
            _signal_group(self.process.pid, signal.SIGKILL)
            self.process.wait()
        if self.family:
            _wait_until_gone(self.family.pids())
            self.family.close()
        if self._now:
            self._now.close()
        self.process = self.family = self._now = None
        self.due = now + self.pause()

    def leave(self, now: float) -> None:
        """The end of all of it, the spare too."""
        self.bury(now)
        self._drop_spare()

    def pause(self) -> float:
        """None at first; a group that crashes at every start waits a little longer each time, never over LONGEST_PAUSE."""
        return 0.0 if self._crashes < 2 else min(LONGEST_PAUSE, 0.25 * 2 ** min(self._crashes - 2, 8))

    def handles(self) -> list[int]:
        return [self._now.births, *self.family.handles()] if self.family else []

    def _count(self, ended: int, now: float) -> None:
        crashed = ended >= 0 and now - self._started < CRASH_WITHIN  # killed from outside is no crash of its own
        self._crashes = self._crashes + 1 if crashed else 0
        if self._crashes > 1:
            logger.error("%s ends again and again at its start; the lines above say why", self.child.name)

    def _silent(self, now: float) -> bool:
        """Compares touches, never their time with the clock: a clock that is set must not look like a silence."""
        touched = _mtime(self.child.beat)
        if touched not in (None, self._touched):
            self._touched, self._heard, self._beating = touched, now, True
        if not self._beating:  # still starting, which no test can scale
            return self.child.beat_owed and now - self._heard > BEAT_LIMIT
        return now - self._heard > max(3.0, BEAT_LIMIT * clock.time_scale())


class Supervisor:
    """Keeps a list of children running until it is told to stop."""

    def __init__(self, children: Sequence[Child]):
        self._lifeline, self._write_end = os.pipe()  # neither is inherited unless it is passed on by name
        self.groups = [Group(child, self._lifeline) for child in children]
        self.signals = 0
        self._wake, self._waker = socket.socketpair()
        self._wake.setblocking(False)
        self._waker.setblocking(False)

    def listen_to_signals(self) -> None:
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._told_to_stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # its wake-up is what counts

    def run_once(self, child: Child) -> bool:
        """Runs `child` to its end and says whether it succeeded; killed from outside it gets two more tries."""
        group = Group(child, self._lifeline)
        for _ in range(3):
            group.start()
            while group.process.poll() is None and not self.signals:
                self.wait(TICK)
            status = group.process.poll()
            group.bury(clock.monotonic())
            if status is None or status >= 0 or self.signals:
                return status == 0
        return False

    def run(self) -> None:
        """Until a signal says stop."""
        while not self.signals:
            now = clock.monotonic()
            for group in self.groups:
                self._care(group, now)
            _reap_strays({g.process.pid for g in self.groups if g.process})
            self.wait(TICK)

    def stop(self) -> None:
        """SIGTERM to every leader, STOP_PATIENCE seconds, then SIGKILL to every group; a second signal ends the patience."""
        asked, end = self.signals, clock.monotonic() + STOP_PATIENCE
        running = [g for g in self.groups if g.process]
        for group in running:
            with contextlib.suppress(ProcessLookupError):
                group.process.send_signal(signal.SIGTERM)
        while clock.monotonic() < end and self.signals == asked and any(g.process.poll() is None for g in running):
            self.wait(0.05)
        for group in self.groups:
            group.leave(clock.monotonic())

    def wait(self, seconds: float) -> None:
        """Sleeps until a signal, the death of a child or of a member, or the given time."""
        handles = [fd for group in self.groups for fd in group.handles()]
        select.select([self._wake, *handles], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            self._wake.recv(512)

    def _care(self, group: Group, now: float) -> None:
        if group.process:
            why = group.trouble(now)
            if not why:
                group.stand_by(now)
                return
            group.bury(now)
            logger.warning("%s %s and is started again", group.child.name, why)
        if group.due <= now:
            self._try_to_start(group, now)

    def _try_to_start(self, group: Group, now: float) -> None:
        try:
            group.start()
        except OSError as problem:  # no memory or no process to be had: the others must go on
            logger.error("%s cannot be started: %s", group.child.name, problem)
            group.due = now + LONGEST_PAUSE

    def _told_to_stop(self, *_: object) -> None:
        self.signals += 1


def _mtime(file: Path | None) -> float | None:
    try:
        return file.stat().st_mtime if file else None
    except OSError:
        return None


def _how(status: int) -> str:
    return f"exit status {status}" if status >= 0 else f"signal {-status}"


def _signal_group(leader: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody left; macOS says so about zombies in other words
        os.killpg(leader, number)


def _wait_until_gone(pids: Sequence[int]) -> None:
    end = clock.monotonic() + 1
    while clock.monotonic() < end and any(alive(pid) for pid in pids):
        time.sleep(0.01)


def _reap_strays(ours: set[int]) -> None:
    """As process 1 of a container the supervisor inherits orphans; unreaped they would fill the process table."""
    if os.getpid() != 1:
        return
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and found.si_pid not in ours:
            os.waitpid(found.si_pid, os.WNOHANG)


# ---------------------------------------------------------------------------- what tvapp consists of
def desk(listener: socket.socket | None) -> list[Child]:
    """What this machine's part in the desk consists of; without a socket to listen on it is the workers."""
    return [*(web(listener.fileno()) if listener else []), *(workers() if role() != "web" else [])]


def role() -> str:
    """TVAPP_ROLE: serve the web, work, or `all` of it. A part of the desk needs the other part on the same database."""
    found = home.setting("TVAPP_ROLE", "all")
    if found not in ROLES:
        raise CannotStart(f"TVAPP_ROLE is {found!r}: use all, web or workers.")
    if found != "all" and not home.setting("DATABASE_URL").startswith("postgres"):
        raise CannotStart(f"TVAPP_ROLE={found} is a part of a desk on several machines: set DATABASE_URL=postgres://..., or leave TVAPP_ROLE out.")
    return found


def web(listener: int) -> list[Child]:
    """The web server."""
    command = [sys.executable, "-m", "gunicorn", "-c", "python:tvapp.gunicorn", "--bind", f"fd://{listener}", "tvapp.wsgi"]
    return [Child("web", command, fds=(listener,))]


def workers() -> list[Child]:
    """The two clusters, the sweeper and the listener to the brokers' streams."""
    python, manage, run = sys.executable, str(home.ROOT / "manage.py"), home.run_dir()
    return [
        Child(
            "orders",
            [python, manage, "qcluster", "--name", "orders"],
            {"Q_CLUSTER_NAME": "orders"},
            fragile=True,
            beat=run / "orders.beat",
            beat_owed=True,
            spare=True,
        ),
        Child("sweeper", [python, manage, "sweep", "--loop"], beat=run / "sweeper.beat"),
        Child("stream", [python, manage, "brokerstream", "--loop"], beat=run / "stream.beat", late=4, nice=5),
        Child("batch", [python, manage, "qcluster", "--name", "batch"], {"Q_CLUSTER_NAME": "batch"}, fragile=True, late=4, nice=5),
    ]


def prepare() -> Child:
    """Migrations, static files, the first admin, the demo strategies; it writes to the terminal itself."""
    return Child("prepare", [sys.executable, str(home.ROOT / "manage.py"), "prepare"])


def address() -> tuple[str, int]:
    """HOST and PORT as the settings will see them."""
    port = home.setting("PORT", "8000")
    if not port.isdigit() or int(port) > 65535:
        raise CannotStart(f"PORT is {port!r}: give it a number from 1 to 65535, for example PORT=8000.")
    return home.setting("HOST", "127.0.0.1"), int(port)


def listen(host: str, port: int) -> socket.socket:
    """The listening socket, or one line about why there is none."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as problem:
        raise CannotStart(_port_advice(host, port, problem)) from problem


def _port_advice(host: str, port: int, problem: OSError) -> str:
    if isinstance(problem, PermissionError):
        return f"This user may not listen on port {port}: choose one above 1023, for example PORT=8000 bin/run."
    if isinstance(problem, socket.gaierror) or "assign" in str(problem):
        return f"HOST={host} is no address of this machine: use HOST=127.0.0.1, or 0.0.0.0 for all of them."
    return f"Port {port} on {host} is busy: stop what listens there, or choose another one, for example PORT={port % 65535 + 1} bin/run."


def hold_home() -> int:
    """Locks the data directory: two desks on one database would send from two places. Freed by the kernel whatever happens."""
    file = home.run_dir() / "supervisor.lock"
    handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as problem:
        holder = os.read(handle, 20).decode().strip() or "unknown"
        os.close(handle)
        raise CannotStart(f"Another tvapp (process {holder}) already uses {file.parent.parent}: stop it, or set TVAPP_HOME.") from problem
    os.ftruncate(handle, 0)
    os.write(handle, str(os.getpid()).encode())
    return handle


def take_over() -> tuple[socket.socket | None, int]:
    """The port (workers need none) and the data directory, with a little patience for the end of a desk that was just killed."""
    home.ensure()
    serves = role() != "workers"
    end = clock.monotonic() + TAKEOVER
    while True:
        try:
            held = hold_home()
            try:
                return listen(*address()) if serves else None, held
            except CannotStart:
                os.close(held)
                raise
        except CannotStart:
            if clock.monotonic() > end:
                raise
            time.sleep(0.1)


def health(host: str, port: int) -> str:
    """The status /health names, `ok` for any other answer below 500, and `down` for the rest and for silence."""
    near = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    connection = http.client.HTTPConnection(near, port, timeout=5)
    try:
        connection.request("GET", "/health", headers={"Host": "localhost", "X-Forwarded-Proto": "https"})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status >= 500:
            return "down"
        return str(json.loads(body)["status"]) if answer.status == 200 else "ok"
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return "down"
    finally:
        connection.close()


def pulse() -> str:
    """How workers without a web server are: `ok` while each group that beats has done so lately, else `down`."""
    beats = [_mtime(child.beat) for child in workers() if child.beat]
    return "ok" if all(at and time.time() - at < 2 * BEAT_LIMIT for at in beats) else "down"


def announce(host: str, port: int) -> None:
    """Waits until the desk answers, then prints where it is."""
    _wait_while_down(lambda: health(host, port))
    shown = "localhost" if host in ("0.0.0.0", "::") else host  # noqa: S104
    url = home.setting("TVAPP_BASE_URL") or f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"
    print(f"tvapp is ready: {url}  (Ctrl-C stops it)", flush=True)


def announce_workers() -> None:
    """Waits until the workers work, then says so."""
    _wait_while_down(pulse)
    print("tvapp's workers are ready  (Ctrl-C stops them)", flush=True)


def _wait_while_down(ask: Callable[[], str]) -> None:
    begun = clock.monotonic()
    while ask() == "down":
        if clock.monotonic() - begun > 30:
            logger.warning("not ready after 30 s; the lines above and bin/doctor say why")
            begun = clock.monotonic()
        time.sleep(0.25)


def _set_up_logging() -> None:
    handler = logging.StreamHandler()
    as_text = home.setting("LOG_FORMAT", "text" if os.isatty(2) else "json") == "text"
    handler.setFormatter(log.TextFormatter() if as_text else log.JsonFormatter())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


def main(arguments: Sequence[str] = ()) -> int:
    """`--check` only looks whether the port and the data directory can be had, `--health` only how the running desk is."""
    if "--health" in arguments:
        word = pulse() if role() == "workers" else health(*address())
        print(word)
        return int(word == "down")
    listener, _held = take_over()
    if "--check" in arguments:
        return 0
    _set_up_logging()
    os.environ["TVAPP_HOME"] = str(home.path())
    tell = announce_workers
    if listener:
        host, port = listener.getsockname()[:2]
        os.environ.update(HOST=host, PORT=str(port))
        tell = partial(announce, host, port)
    if sys.platform == "darwin":
        os.environ.setdefault("OBJC_DISABLE_INITIALIZE_FORK_SAFETY", "YES")  # django-q2 forks after system libraries were used
    supervisor = Supervisor(desk(listener))
    supervisor.listen_to_signals()
    if not supervisor.run_once(prepare()):
        return 0 if supervisor.signals else _not_prepared()
    threading.Thread(target=tell, daemon=True).start()
    supervisor.run()
    if listener:
        listener.close()
    supervisor.stop()
    return 0


def _not_prepared() -> int:
    print("tvapp could not prepare its database; the lines above say why. Nothing was started.", file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
