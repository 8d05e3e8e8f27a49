"""Named crash points: the places where a kill would hurt, so that a test can kill exactly there. Nothing happens without TVAPP_TEST=1.

* `TVAPP_CRASH_AT=name` or `name:n` (the n-th pass) kills the process with SIGKILL.
* `TVAPP_CRASH_DIR=folder` is for many processes at once: each notes the points it passes in `folder/seen`, and the first one to pass a point
  that has a file in `folder/armed` moves that file to `folder/died` and kills itself.
"""

import os
import signal
from collections import Counter
from pathlib import Path

_passes: Counter[str] = Counter()


def point(name: str) -> None:
    """Does nothing, except under test when this very point and pass were asked for."""
    if os.environ.get("TVAPP_TEST") != "1":
        return
    wanted = os.environ.get("TVAPP_CRASH_AT")
    if wanted:
        _count(name, wanted)
    if folder := folder_of_test():
        _visit(name, folder)


def folder_of_test() -> Path | None:
    """Where the points of a crash test are armed; None in every other process."""
    place = os.environ.get("TVAPP_CRASH_DIR") if os.environ.get("TVAPP_TEST") == "1" else None
    return Path(place) if place else None


def _count(name: str, wanted: str) -> None:
    at, _, nth = wanted.partition(":")
    if at != name:
        return
    _passes[name] += 1
    if _passes[name] == int(nth or 1):
        die()


def _visit(name: str, folder: Path) -> None:
    (folder / "seen" / name).touch()
    if armed(name, folder):
        die()


def armed(name: str, folder: Path) -> bool:
    """Takes the file of this point, if there is one: only one process of all gets it."""
    try:
        os.rename(folder / "armed" / name, folder / "died" / f"{name}.{os.getpid()}")
    except FileNotFoundError:
        return False
    return True


def die() -> None:
    """As a machine that loses its power would."""
    os.kill(os.getpid(), signal.SIGKILL)
