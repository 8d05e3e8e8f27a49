"""No process outlives the supervisor, and none is born without its knowing.

Each one holds the read end of a pipe whose only write end the supervisor has. Nothing is ever written to it. When the supervisor
is gone, however it went, the kernel closes the write end, the read returns and the process kills itself. Forked children (web
workers, the parts of a cluster) get a watching thread of their own, and say their pid into a second pipe first, so that one that
is killed the moment it was born is missed, too. A spare waits on a third pipe for its turn.
Standard library only; without TVAPP_LIFELINE_FD (a command typed by a person) it does nothing.
"""

import os
import signal
import stat
import threading
from collections.abc import Callable

VARIABLE = "TVAPP_LIFELINE_FD"
BIRTHS = "TVAPP_BIRTHS_FD"
CALL = "TVAPP_CALL_FD"
_armed: list[int] = []
_births: list[int] = []


def arm() -> bool:
    """Ties this process and its forks to the supervisor; returns whether there is one. Call it before anything slow is imported."""
    fd, births = (os.environ.pop(name, "") for name in (VARIABLE, BIRTHS))  # a program started from here inherits neither pipe
    if births.isdigit() and _is_pipe(int(births)) and not _births:
        _births.append(int(births))
        os.set_inheritable(int(births), False)
    if not fd.isdigit() or not _is_pipe(int(fd)) or _armed:
        return bool(_armed)
    _armed.append(int(fd))
    os.set_inheritable(int(fd), False)
    _watch()
    os.register_at_fork(after_in_child=_born)
    return True


def wait_for_call(prepare: Callable[[], None]) -> None:
    """In a spare: `prepare`, then stand by until the supervisor says go; without a word (it changed its mind) the process ends."""
    fd = os.environ.pop(CALL, "")
    if not fd.isdigit() or not _is_pipe(int(fd)):
        return
    os.set_inheritable(int(fd), False)
    prepare()
    word = os.read(int(fd), 1)
    os.close(int(fd))
    if not word:
        raise SystemExit(0)


def _is_pipe(fd: int) -> bool:
    try:
        return stat.S_ISFIFO(os.fstat(fd).st_mode)
    except OSError:
        return False


def _born() -> None:
    for fd in _births:
        os.write(fd, b"%d\n" % os.getpid())
    _watch()


def _watch() -> None:
    threading.Thread(target=_wait_for_the_end, name="lifeline", daemon=True).start()


def _wait_for_the_end() -> None:
    try:
        while os.read(_armed[0], 1):
            pass
    finally:
        os.kill(os.getpid(), signal.SIGKILL)  # no handler, no atexit: unfinished work is found by its lease
