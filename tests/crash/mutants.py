"""A judge who never finds anything proves nothing: desks that are built wrong on purpose, each of which the crash test has to catch."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.crash import run
from tests.crash.judge import Verdict
from tests.crash.scenes import SCENES
from tests.crash.stage import stage

FOLDER = Path(__file__).with_name("mutant")
SIDE_BY_SIDE = 2
TRIALS = 6  # until it has to have been caught
LATE = ("place", "400_timed_out_but_placed")
# what is built wrong, what the broker does meanwhile, where a process dies, and what the judge then has to say
KEPT = {
    "failed_on_timeout": (("place", "drop_after"), "", "ghosts"),
    "separate_commits": (None, "ingest.before_commit", "lost"),
    "another_tag": (None, "", "ghosts"),
    "sent_again": (LATE, "", "doubled"),
    "no_lease": (("place", "slow"), "", "doubled"),
}


def caught(name: str) -> Verdict:
    """What the judge says about a desk with this mistake, after as few trials as show it."""
    fault, boundary, kind = KEPT[name]
    with stage(PYTHONPATH=str(FOLDER), TVAPP_MUTANT=name) as here:
        for _ in range(TRIALS):
            here.calm()
            if boundary:
                here.arm(boundary)
            if fault:
                here.kite.fault(*fault, times=1, delay_s=2)
            run.play(here, SCENES["auto"])
            here.disarm()
            here.kite.fault("*", "ok", times=0)
            here.settle(0)
            here.wait_until_back()
            verdict = here.verdict()
            if getattr(verdict, kind):
                break
    return verdict


def missed(say: Callable[[str], None] = print) -> list[str]:
    """Those that were not caught for what they are."""

    def found(name: str) -> bool:
        said = getattr(caught(name), KEPT[name][2])
        say(f"{name}: {KEPT[name][2]}: {said[0] if said else 'nothing was seen'}")
        return bool(said)

    with ThreadPoolExecutor(SIDE_BY_SIDE) as desks:
        return [name for name, was in zip(KEPT, desks.map(found, KEPT), strict=True) if not was]
