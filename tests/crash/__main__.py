"""`python -m tests.crash KILLS DB SEED DESKS SCALE`: a crash test, its outcome as JSON on stdout, a line for each death on stderr.

`python -m tests.crash races EXECUTES OTHERS DB`: many people at one order (`races`), exit status 1 when a promise broke.
`python -m tests.crash mutants`: desks that are built wrong on purpose (`mutants`), exit status 1 when one of them was not caught.
`python -m tests.crash list SEED`: writes `boundaries.json` anew, from every scene with and without faults and from two hundred deaths.
"""

import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.crash import mutants, races, run
from tests.process.postgres import Postgres, programs

OFTEN = 25


@contextmanager
def databases(kind: str) -> Iterator[Callable[[], str]]:
    """Gives a fresh DATABASE_URL each time it is called; an empty one for SQLite."""
    if kind == "sqlite":
        yield str
        return
    if programs() is None:
        raise SystemExit("There is no PostgreSQL on this machine: install its server (Debian, Ubuntu: apt install postgresql).")
    server = Postgres()
    try:
        yield server.url
    finally:
        server.close()


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def figures(outcome: run.Outcome) -> dict[str, object]:
    said = vars(outcome.verdict)
    counts = {name: len(sentences) for name, sentences in said.items()}
    return {
        "kills": outcome.kills, "missed": outcome.missed, **counts, "worst_recovery_s": round(outcome.worst_recovery_s, 1), "boundaries": len(outcome.at),
        "often": sum(deaths >= OFTEN for deaths in outcome.at.values()),
        "uncovered": outcome.uncovered, "said": [f"{name}: {text}" for name, sentences in said.items() for text in sentences],
    }  # fmt: skip


def list_anew(seed: int) -> None:
    found = {name: set(scenes) for name, scenes in run.discover(say).items()}
    for name, scenes in run.run(200, say, seed=seed).passed.items():
        found.setdefault(name, set()).update(scenes)
    run.write(found)


def race(executes: int, others: int, kind: str) -> int:
    with databases(kind) as database:
        outcome = races.run(executes, others, database())
    said = {name: len(sentences) for name, sentences in vars(outcome.verdict).items()}
    print(json.dumps({"executes": executes, "cancels": others, "edits": others, "wrong": outcome.wrong, **said}))
    return 0 if outcome.verdict.clean and not outcome.wrong else 1


def main(what: str, *rest: str) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that every `finally` ends what it started
    if what == "list":
        list_anew(int(rest[0]))
        return 0
    if what == "races":
        return race(int(rest[0]), int(rest[1]), rest[2])
    if what == "mutants":
        return 1 if mutants.missed(say) else 0
    kind, seed, desks, scale = rest
    with databases(kind) as database:
        outcome = run.run(int(what), say, seed=int(seed), database=database, desks=int(desks), scale=float(scale))
    print(json.dumps(figures(outcome)))
    return 0 if outcome.clean else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
