"""The verdict over a run: what the simulator holds against what the desk says. The desk's rows are the accused and never the witness."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

IN_FLIGHT = ("QUEUED", "SENDING", "UNKNOWN", "SENT")
SAYS_NOTHING_THERE = ("WAITING", "HELD", "STALE", "REJECTED_RISK", "FAILED", "QUEUED", "NEEDS_REVIEW")
SAYS_ENDED = ("CANCELLED", "EXPIRED", "REJECTED")
AT_BROKER = ("SENT", "OPEN", "PARTIAL", "COMPLETE", *SAYS_ENDED)

Row = Mapping[str, object]


@dataclass
class Verdict:
    """Sentences by kind; all empty is what was promised."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    ghosts: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)

    def add(self, other: "Verdict") -> None:
        for name, said in vars(other).items():
            getattr(self, name).extend(said)

    @property
    def clean(self) -> bool:
        return not any(vars(self).values())


def in_flight(order: Row) -> bool:
    """Neither settled nor in a person's hands nor resting at the broker with nothing asked of it."""
    return order["status"] in IN_FLIGHT or bool(order["pending_action"])


def judge(acknowledged: Iterable[int], orders: Iterable[Row], truth: Iterable[Row], stories: Mapping[int, list[Row]], account: int) -> Verdict:
    """`acknowledged` are the orders answered with 2xx, `stories` the events of each order, oldest first, `account` the one at the simulator."""
    truth, rows, said = list(truth), {int(row["id"]): row for row in orders}, Verdict()
    held, outside = _by_tag(truth), {row["order_id"]: row for row in truth if not row["tag"]}
    said.lost = [f"order {pk} was acknowledged and is not there" for pk in sorted(set(acknowledged) - rows.keys())]
    said.doubled = [f"tag {tag}: {len(found)} orders at the broker" for tag, found in held.items() if tag and len(found) > 1]
    tags = {row["tag"] for row in rows.values()} | {""}
    unknown = outside.keys() - {row["broker_order_id"] for row in rows.values()}
    said.ghosts = [f"{found[0]['order_id']} at the broker is of no order" for tag, found in held.items() if tag not in tags]
    said.ghosts += [f"{broker_id} placed outside is not known" for broker_id in sorted(unknown)]
    for pk, row in rows.items():
        if row["account_id"] == account:
            there = held.get(str(row["tag"]), [])[0:1] or [outside.get(row["broker_order_id"])]
            said.ghosts += [f"order {pk}: {word}" for word in _against(row, there[0])]
        said.stuck += [f"order {pk} is {row['status']} {row['pending_action']}: {row['why']}"] if in_flight(row) else []
        said.unexplained += [f"order {pk}: {word}" for word in _gaps(row, stories.get(pk, []))]
    return said


def _by_tag(truth: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in truth:
        found.setdefault(str(row["tag"] or ""), []).append(row)
    return found


def _against(row: Row, there: Row | None) -> list[str]:
    """Where the desk's word about an order is not the broker's."""
    if there is None:
        # cancelled before it left, or a trigger at the broker, which becomes an order when it fires
        unsent = not row["broker_order_id"] and (row["status"] == "CANCELLED" or (row["gtt"] and row["status"] == "OPEN"))
        never = row["status"] not in AT_BROKER or unsent
        return [] if never else [f"the desk says {row['status']}, the broker never had it"]
    if row["status"] in SAYS_NOTHING_THERE:
        return [f"the desk says {row['status']}, the broker has it {there['status']}"]
    if int(float(str(row["filled_quantity"] or 0))) != int(there["filled_quantity"]):
        return [f"the desk counts {row['filled_quantity']} filled, the broker {there['filled_quantity']}"]
    ended = there["status"] in ("CANCELLED", "REJECTED", "COMPLETE")
    if (row["status"] in (*SAYS_ENDED, "COMPLETE")) != ended:
        return [f"the desk says {row['status']}, the broker {there['status']}"]
    return []


def _gaps(row: Row, story: list[Row]) -> list[str]:
    """What is missing between the order's first and last line."""
    kinds = Counter(str(event["kind"]) for event in story)
    moves = [event for event in story if event["to_status"]]
    gaps = [] if kinds["CREATED"] == 1 else ["it has no beginning"]
    gaps += [] if moves and moves[-1]["to_status"] == row["status"] else ["its last event is not its state"]
    gaps += [f"{a['to_status']} is followed by {b['from_status']}" for a, b in pairwise(moves) if a["to_status"] != b["from_status"]]
    gaps += [] if row["why"] else ["it does not say why"]
    return gaps
