"""Many people at one order over HTTP: sixteen who execute it at the same moment, one who executes while another cancels, one who edits meanwhile.

Nobody dies here; the simulator judges as in the crash test. `python -m tests.crash races 200 500 sqlite` plays that many rounds of the first, and of both
of the others.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tests.crash.judge import Verdict
from tests.crash.stage import Stage, stage

PEOPLE = 16
TOGETHER = 8  # orders that are raced for side by side: the broker takes ten a second


@dataclass
class Outcome:
    """`wrong`: what the answers promised and did not hold. `verdict`: what the simulator holds against what the desk says."""

    executes: int = 0
    cancels: int = 0
    edits: int = 0
    wrong: list[str] = field(default_factory=list)
    verdict: Verdict = field(default_factory=Verdict)


def run(executes: int, others: int, database: str = "") -> Outcome:
    """`executes` rounds of sixteen people, `others` of each other kind, on one desk; `database` is its DATABASE_URL ("": SQLite)."""
    outcome = Outcome(executes=executes, cancels=others, edits=others)
    with stage(database) as here, ThreadPoolExecutor(TOGETHER) as rounds:
        for act, count in ((_execute_all, executes), (_execute_or_cancel, others), (_execute_or_edit, others)):
            for word in rounds.map(lambda number, act=act: act(here, number), range(count)):
                outcome.wrong += [word] if word else []
        here.settle(0)
        outcome.verdict = here.verdict()
    return outcome


def _waiting(here: Stage) -> int:
    return here.send(here.fresh(), "kite-manual")


def _at_once(acts: list[Callable[[], object]]) -> list:
    with ThreadPoolExecutor(len(acts)) as people:
        return list(people.map(lambda act: act(), acts))


def _execute_all(here: Stage, number: int) -> str:
    order_id = _waiting(here)
    answers = _at_once([lambda: here.ask(f"/api/orders/{order_id}/execute")] * PEOPLE)
    told = {(body["code"], body["message"]) for status, body in answers if status not in (202, 409)}
    return "" if sorted(status for status, _ in answers) == [202] + [409] * (PEOPLE - 1) else f"order {order_id}: {told or answers}"


def _execute_or_cancel(here: Stage, number: int) -> str:
    """Cancel may win before, or ask the broker afterwards; what it never may is to say no to both."""
    order_id = _waiting(here)
    words = ("execute", "cancel") if number % 2 else ("cancel", "execute")
    answers = dict(zip(words, _at_once([lambda word=word: here.ask(f"/api/orders/{order_id}/{word}")[0] for word in words]), strict=True))
    here.reach(order_id, "COMPLETE", "CANCELLED", seconds=30)
    status = here.order(order_id)["status"]
    if 202 in answers.values() and (status == "COMPLETE" or (status == "CANCELLED" and answers["cancel"] == 202)):
        return ""
    return f"order {order_id} is {status} after {answers}"


def _execute_or_edit(here: Stage, number: int) -> str:
    """What is sent is what was checked: the edit is in it when it was accepted, and not when it was refused."""
    order_id = _waiting(here)
    version = here.order(order_id)["version"]
    edit = ("PATCH", f"/api/orders/{order_id}", {"quantity": "3", "version": version})
    execute = ("POST", f"/api/orders/{order_id}/execute", {"version": version})
    calls = [edit, execute] if number % 2 else [execute, edit]
    answers = {call[0]: status for call, status in zip(calls, _at_once([lambda c=c: here.desk.call(*c)[0] for c in calls]), strict=True)}
    if answers["POST"] == 202:
        here.reach(order_id, "COMPLETE", seconds=30)
    order = here.order(order_id)
    expected = {(200, 409): ("WAITING", "3"), (409, 202): ("COMPLETE", "1")}.get((answers["PATCH"], answers["POST"]))
    return "" if (order["status"], order["quantity"]) == expected else f"order {order_id} is {order['status']} of {order['quantity']} after {answers}"
