"""Starts a crash test in a process of its own, with a temporary home and nothing of the user's settings in its environment."""

import json
import subprocess
import sys

from tests.bench import place


def apart(kills: int, database: str, seed: int) -> dict[str, object] | None:
    """Its figures (`__main__.figures`); None when it could not be run, for reasons it wrote to stderr."""
    command = [sys.executable, "-m", "tests.crash", str(kills), database, str(seed)]
    with place.temporary_home() as home:
        child = subprocess.Popen(command, cwd=place.ROOT, env=place.environment(home), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        try:
            said = child.communicate()[0]
        except BaseException:  # Ctrl-C and the like: the child ends what it started before it ends itself
            child.terminate()
            child.wait()
            raise
    return json.loads(said) if said else None
