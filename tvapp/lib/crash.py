"""Named crash points: the places where a kill would hurt, so that a test can kill exactly there.

`TVAPP_CRASH_AT=name` or `name:n` (the n-th pass) kills the process with SIGKILL; only with TVAPP_TEST=1.
"""

import os
import signal
from collections import Counter

_passes: Counter[str] = Counter()


def point(name: str) -> None:
    """Does nothing, except under test when this very point and pass were asked for."""
    wanted = os.environ.get("TVAPP_CRASH_AT")
    if not wanted or os.environ.get("TVAPP_TEST") != "1":
        return
    at, _, nth = wanted.partition(":")
    if at != name:
        return
    _passes[name] += 1
    if _passes[name] == int(nth or 1):
        os.kill(os.getpid(), signal.SIGKILL)
