"""Starts a crash test in a process of its own, with a temporary home and nothing of the user's settings in its environment."""

import json

from tests.bench import place


def apart(kills: int, database: str, seed: int, desks: int = 1, scale: float = 0.2) -> dict[str, object] | None:
    """Its figures (`__main__.figures`); None when it could not be run, for reasons it wrote to stderr."""
    with place.temporary_home() as home:
        _, said = place.apart(["tests.crash", str(kills), database, str(seed), str(desks), str(scale)], place.environment(home))
    return json.loads(said) if said else None
