"""A crash test from beginning to end: first every scene without a death, to see which boundaries there are, then as many deaths as asked for.

Boundaries are known by name in `boundaries.json`, each with the scenes that pass it. One that is passed and not listed there fails the run:
nobody decided yet that a death there is survived.
"""

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from threading import Lock

from tests.crash.judge import Verdict
from tests.crash.scenes import FAULTS, SCENES
from tests.crash.stage import SCALE, Stage, stage

LIST = Path(__file__).with_name("boundaries.json")
ROUND = 150  # deaths on one desk; then a fresh one, whose broker has a fresh day
AFTER_S = 1.5
SECOND = 0.25  # so often another process dies while the first death is being recovered from
AGAIN = ("books.fetched", "books.read", "recover.settling", "dispatch.claimed", "dispatch.recorded", "orders.move.sent", "sync.fills_stored")
HEAVY = (
    "ingest.understood", "ingest.inserted", "ingest.before_commit", "ingest.committed",
    "dispatch.started", "dispatch.decided", "dispatch.claimed", "dispatch.placed", "dispatch.recorded", "orders.move.sending", "orders.move.sent",
    "throttle.taken", "doorbell.rung", "orders.move.queued", "asks.intent", "asks.answered", "asks.recorded", "orders.move.cancelled",
    "books.fetched", "books.read", "sync.fills_stored", "recover.settling", "orders.move.unknown", "orders.move.needs_review",
    "squareoff.committed", "squareoff.cancels_asked", "squareoff.read", "squareoff.order_made", "squareoff.placed", "brackets.made", "slicing.made",
)  # fmt: skip

Say = Callable[[str], None]


@dataclass
class Outcome:
    """What `manage.py crashtest` prints. `at` counts deaths by boundary, `uncovered` are boundaries nobody listed, with the scenes that pass them."""

    kills: int = 0
    missed: int = 0
    worst_recovery_s: float = 0.0
    at: Counter = field(default_factory=Counter)
    verdict: Verdict = field(default_factory=Verdict)
    passed: dict[str, set[str]] = field(default_factory=dict)
    uncovered: dict[str, list[str]] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        return self.verdict.clean and not self.uncovered

    def add(self, other: "Outcome") -> None:
        self.kills, self.missed = self.kills + other.kills, self.missed + other.missed
        self.worst_recovery_s = max(self.worst_recovery_s, other.worst_recovery_s)
        self.at.update(other.at)
        self.verdict.add(other.verdict)
        for name, scenes in other.passed.items():
            self.passed.setdefault(name, set()).update(scenes)

    def count(self, died: Iterable[str], took: float, scene: str, seen: Iterable[str]) -> None:
        names = [name.rpartition(".")[0] for name in died]
        self.kills, self.missed = self.kills + len(names), self.missed + (not names)
        self.worst_recovery_s = max(self.worst_recovery_s, took)
        self.at.update(names)
        for name in seen:
            self.passed.setdefault(name, set()).add(scene)


def write(found: dict[str, set[str]]) -> None:
    """One line for each boundary, so that a difference can be read."""
    lines = [f" {json.dumps(name)}: {json.dumps(sorted(found[name]))}" for name in sorted(found)]
    LIST.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def known() -> dict[str, list[str]]:
    """The scenes that pass each boundary. A request to the broker can also be cut off while it is on its way."""
    found = json.loads(LIST.read_text())
    during = {name.replace(" before", " during"): scenes for name, scenes in found.items() if name.startswith("call ") and name.endswith("before")}
    return found | during


def discover(say: Say) -> dict[str, set[str]]:
    """Every boundary that any scene passes, with and without faults, and the scenes that do."""
    found: dict[str, set[str]] = {}
    with stage() as here:
        for name, scene in SCENES.items():
            for fault in [None, *_faults_of(name)]:
                here.calm()
                here.forget()
                _misbehave(here, fault)
                play(here, scene)
                here.settle(0)
                for boundary in here.seen():
                    found.setdefault(boundary, set()).add(name)
                say(f"{name} with {' '.join(fault or ['no fault'])}: {len(found)} boundaries so far")
    return found


def _faults_of(name: str) -> Iterable[tuple[str, str]]:
    route = {"cancel": "cancel", "change": "modify", "read": "orders"}.get(name, "place")
    return [(route, mode) for mode in FAULTS[route]] if name in ("auto", "cancel", "change", "read") else []


def run(kills: int, say: Say, *, seed: int = 1, database: Callable[[], str] = str, desks: int = 1, scale: float = SCALE) -> Outcome:
    """`kills` deaths over all boundaries, on so many desks side by side, all timers times `scale`; `database` gives each its DATABASE_URL ("": SQLite)."""
    plan, most = Plan(seed), min(ROUND, -(-kills // desks))
    shares = [min(most, kills - begun) for begun in range(0, kills, most)]

    def play(share: tuple[int, int]) -> Outcome:
        if plan.over:
            return Outcome()
        with plan.lock:
            address = database()
        with stage(address, scale) as here:
            return _play_round(here, share[1], plan, random.Random(f"{seed} {share[0]}"), lambda text: say(f"desk {share[0]}, {text}"))

    outcome = Outcome()
    with ThreadPoolExecutor(desks) as side_by_side:
        rounds = [side_by_side.submit(play, share) for share in enumerate(shares, start=1)]
        while rounds:
            try:
                part = rounds[0].result()
            except (KeyboardInterrupt, SystemExit):  # each desk ends the trial it is at, and what was found until then is told
                plan.over = True
                continue
            except BaseException:
                plan.over = True
                raise
            outcome.add(part)
            rounds.pop(0)
    outcome.uncovered = {name: sorted(scenes) for name, scenes in outcome.passed.items() if name not in known()}
    return outcome


def _play_round(here: Stage, kills: int, plan: "Plan", chance: random.Random, say: Say) -> Outcome:
    outcome = Outcome()
    while outcome.kills < kills and not plan.over:
        _trial(here, outcome, *plan.next(), chance, say)
    outcome.verdict.add(here.verdict())
    return outcome


class Plan:
    """Which boundary is next, and in which scene: each in turn, its scenes in turn; where a death hurts most, three times as often."""

    def __init__(self, seed: int):
        self.lock, self._chance, self.over = Lock(), random.Random(seed), False
        self._scenes = {name: list(scenes) for name, scenes in known().items()}
        self._passes, self._left = count(), []

    def next(self) -> tuple[str, str]:
        with self.lock:
            if not self._left:
                often = [name for name in self._scenes if name in HEAVY] * (2 if next(self._passes) else 0)
                self._left = [*self._scenes, *often]
                self._chance.shuffle(self._left)
            name = self._left.pop()
            scenes = self._scenes[name]
            scenes.append(scenes.pop(0))
            return name, scenes[0]


def _trial(here: Stage, outcome: Outcome, boundary: str, scene: str, chance: random.Random, say: Say) -> None:
    here.calm()
    before, began, fault = here.deaths().keys(), time.monotonic(), _fault(chance)
    here.forget()
    here.arm(boundary)
    if chance.random() < SECOND:
        here.arm(chance.choice(AGAIN))
    _misbehave(here, fault)
    since = (here.acknowledged or [0])[-1] + 1
    play(here, SCENES[scene])
    here.reached(lambda: here.deaths().keys() - before, AFTER_S)
    here.disarm()
    here.kite.fault("*", "ok", times=0)
    rested, now = here.settle(since), time.time()
    died = {name: at for name, at in here.deaths().items() if name not in before}
    took = now - min(died.values(), default=now)
    here.wait_until_back()
    outcome.count(died, took, scene, here.seen())
    if not rested:
        outcome.verdict.stuck.append(f"{boundary} in {scene}: orders were still on their way {here.rest_s:.0f} s after all processes were back")
    word = f"{len(died)} died, at rest {took:.1f} s later" if rested else f"{len(died)} died, NOT AT REST"
    say(f"{outcome.kills}: {boundary} in {scene} with {' '.join(fault or ['no fault'])}: {word} ({time.monotonic() - began:.1f} s)")


def play(here: Stage, scene: Callable[[Stage], None]) -> None:
    """A scene whose web server dies under it is over; what was acknowledged is judged all the same."""
    with suppress(OSError, ValueError, KeyError, AssertionError):
        scene(here)


def _fault(chance: random.Random) -> tuple[str, str] | None:
    if chance.random() < 0.4:
        return None
    route = chance.choice(list(FAULTS))
    return route, chance.choice(FAULTS[route])


def _misbehave(here: Stage, fault: tuple[str, str] | None) -> None:
    if fault:
        here.kite.fault(*fault, times=1 if fault[0] == "place" else 2, delay_s=2)
