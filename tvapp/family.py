"""Who belongs to a running cluster, and who of them has just died.

A cluster is a leader, its children and its grandchildren, all of them forks of one program. Other programs that one of them
runs, and whatever a worker starts, are not counted. Linux answers from /proc and wakes the caller through pidfds; elsewhere
`ps` answers, less often because it costs more. Standard library only.
"""

import os
import select
import subprocess
from collections.abc import Callable
from pathlib import Path

from tvapp.lib import clock

PS_EVERY = 3.0
Finder = Callable[[int], set[int]]


class Family:
    """The members below one leader, as far as they have been seen."""

    def __init__(self, leader: int, finder: Finder | None = None):
        self.leader = leader
        self._find = finder or best_finder()
        self._members: dict[int, int | None] = {}  # pid -> pidfd, None where there are none
        self._missed: list[int] = []  # told of their birth, and dead when we looked
        self._next_look = 0.0

    def look(self) -> None:
        """Meets the members that were born since the last look."""
        if clock.monotonic() < self._next_look:
            return
        if self._find is members_by_ps:
            self._next_look = clock.monotonic() + PS_EVERY
        for pid in self._find(self.leader) - self._members.keys():
            if alive(pid) and _program(pid) == _program(self.leader):
                self._members[pid] = _pidfd(pid)

    def meet(self, pid: int) -> None:
        """Takes in a member that told of its own birth; one that is dead by now was killed before anybody could look."""
        if pid in self._members:
            return
        if alive(pid):
            self._members[pid] = _pidfd(pid)
        elif not _left_by_itself(pid):
            self._missed.append(pid)

    def pids(self) -> list[int]:
        """The members met so far; the leader is not among them."""
        return list(self._members)

    def handles(self) -> list[int]:
        """File descriptors that become readable when a member dies."""
        return [fd for fd in self._members.values() if fd is not None]

    def fallen(self) -> list[int]:
        """Members that were killed; each one is told once. One that left by itself (recycled, timed out) is only forgotten."""
        told = select.select(self.handles(), [], [], 0)[0]
        gone = [pid for pid, fd in self._members.items() if (fd in told if fd is not None else not alive(pid))]
        killed = self._missed + [pid for pid in gone if not _left_by_itself(pid)]
        self._missed = []
        for pid in gone:
            self._forget(pid)
        return killed

    def close(self) -> None:
        """Gives the file descriptors back."""
        for pid in self.pids():
            self._forget(pid)

    def _forget(self, pid: int) -> None:
        fd = self._members.pop(pid)
        if fd is not None:
            os.close(fd)


def alive(pid: int) -> bool:
    """Whether the process still runs; a zombie does not (where there is no /proc it does until its parent has noticed)."""
    state = _stat(pid)
    if state:
        return state[0] not in ("Z", "X")
    if Path("/proc/self/stat").exists():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def best_finder() -> Finder:
    """The cheapest way this system has to find the members below a leader."""
    return members_by_proc if Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").exists() else members_by_ps


def members_by_proc(leader: int) -> set[int]:
    """Two generations, from /proc. A cluster forks all its parts in main threads."""
    below = _children(leader)
    return below.union(*(_children(child) for child in below))


def members_by_ps(leader: int) -> set[int]:
    """The same from `ps`, with the options that Linux, macOS and the BSDs share."""
    table = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat=,comm="], capture_output=True, text=True, check=False).stdout  # noqa: S607
    rows = [row for row in (line.split(None, 3) for line in table.splitlines()) if len(row) == 4 and row[2][0] != "Z"]
    program = next((row[3] for row in rows if row[0] == str(leader)), "")
    forks = {int(row[0]): int(row[1]) for row in rows if row[3] == program}
    below = {pid for pid, parent in forks.items() if parent == leader}
    return below | {pid for pid, parent in forks.items() if parent in below}


def _children(pid: int) -> set[int]:
    return {int(child) for child in _read(f"/proc/{pid}/task/{pid}/children").split()}


def _program(pid: int) -> str:
    """What it runs; empty where there is no /proc (`ps` has compared already)."""
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return ""


def _pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):  # not Linux, an old kernel, or gone already
        return None


def _left_by_itself(pid: int) -> bool:
    """A zombie still says how it ended: the low seven bits name the signal. One that was buried already counts as killed."""
    state = _stat(pid)
    return len(state) > 49 and state[0] == "Z" and int(state[49]) & 0x7F == 0


def _stat(pid: int) -> list[str]:
    """/proc/<pid>/stat from the state on (field 3; the exit status, field 52, is the 50th here); empty when there is none."""
    return _read(f"/proc/{pid}/stat").rpartition(")")[2].split()


def _read(file: str) -> str:
    try:
        with open(file, encoding="utf-8", errors="replace") as text:
            return text.read()
    except OSError:
        return ""
