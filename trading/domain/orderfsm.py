"""The one table of order moves. Nothing else decides whether an order may change state."""

from collections.abc import Mapping
from enum import StrEnum


class State(StrEnum):
    """Where an order is. The names are the same in the database, the API and the documents."""

    WAITING = "WAITING"
    HELD = "HELD"
    QUEUED = "QUEUED"
    SENDING = "SENDING"
    UNKNOWN = "UNKNOWN"
    NEEDS_REVIEW = "NEEDS_REVIEW"
    SENT = "SENT"
    OPEN = "OPEN"
    PARTIAL = "PARTIAL"
    COMPLETE = "COMPLETE"
    REJECTED = "REJECTED"
    REJECTED_RISK = "REJECTED_RISK"
    STALE = "STALE"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    FAILED = "FAILED"


S = State
_AT_BROKER = (S.SENT, S.OPEN, S.PARTIAL, S.COMPLETE, S.REJECTED, S.CANCELLED, S.EXPIRED)

MOVES: Mapping[State, frozenset[State]] = {
    S.WAITING: frozenset({S.QUEUED, S.CANCELLED, S.REJECTED_RISK, S.STALE}),
    S.HELD: frozenset({S.QUEUED, S.WAITING, S.CANCELLED, S.STALE, S.REJECTED_RISK}),
    S.QUEUED: frozenset({S.SENDING, S.HELD, S.WAITING, S.CANCELLED, S.REJECTED_RISK, S.STALE}),
    # back to QUEUED or HELD only on proof that nothing was sent or accepted
    S.SENDING: frozenset({S.SENT, S.OPEN, S.PARTIAL, S.COMPLETE, S.REJECTED, S.CANCELLED, S.FAILED, S.UNKNOWN, S.QUEUED, S.HELD}),
    S.UNKNOWN: frozenset({*_AT_BROKER, S.NEEDS_REVIEW}),
    S.NEEDS_REVIEW: frozenset({*_AT_BROKER, S.FAILED}),
    S.SENT: frozenset({S.OPEN, S.PARTIAL, S.COMPLETE, S.REJECTED, S.CANCELLED, S.EXPIRED}),
    # to NEEDS_REVIEW: a trigger fired, or left the broker's list, and nobody can say what came of it
    S.OPEN: frozenset({S.PARTIAL, S.COMPLETE, S.CANCELLED, S.REJECTED, S.EXPIRED, S.NEEDS_REVIEW}),
    S.PARTIAL: frozenset({S.COMPLETE, S.CANCELLED, S.EXPIRED}),
    # a fill reported late is applied, even after the end
    S.CANCELLED: frozenset({S.PARTIAL, S.COMPLETE}),
    S.EXPIRED: frozenset({S.PARTIAL, S.COMPLETE}),
    # final unless the sync finds its tag after all
    S.FAILED: frozenset({S.SENT, S.OPEN, S.PARTIAL, S.COMPLETE}),
    S.COMPLETE: frozenset(),
    S.REJECTED: frozenset(),
    S.REJECTED_RISK: frozenset(),
    S.STALE: frozenset(),
}

STARTS = frozenset({S.WAITING, S.QUEUED, S.HELD, S.STALE})
ENDED = frozenset({S.COMPLETE, S.REJECTED, S.REJECTED_RISK, S.STALE, S.CANCELLED, S.EXPIRED, S.FAILED})
MAYBE_LIVE = frozenset({S.SENDING, S.UNKNOWN, S.NEEDS_REVIEW})
LIVE = frozenset({S.SENT, S.OPEN, S.PARTIAL})
CANCEL_HERE = frozenset({S.WAITING, S.HELD, S.QUEUED})
EDITABLE = frozenset({S.WAITING})

WORDS: Mapping[State, str] = {
    S.WAITING: "Waiting",
    S.HELD: "On hold",
    S.QUEUED: "Queued",
    S.SENDING: "Sending",
    S.UNKNOWN: "Outcome unknown",
    S.NEEDS_REVIEW: "Needs review",
    S.SENT: "Sent",
    S.OPEN: "Open",
    S.PARTIAL: "Partly filled",
    S.COMPLETE: "Complete",
    S.REJECTED: "Rejected by broker",
    S.REJECTED_RISK: "Rejected by risk",
    S.STALE: "Too old",
    S.CANCELLED: "Cancelled",
    S.EXPIRED: "Expired",
    S.FAILED: "Not accepted",
}

MEANING: Mapping[State, str] = {
    S.WAITING: "in the manual queue, editable",
    S.HELD: "parked by the desk with a reason; resumes or ends by rule",
    S.QUEUED: "released to the workers; the row itself is the outbox",
    S.SENDING: "intent and tag are committed, the call may be under way",
    S.UNKNOWN: "the broker may or may not have it; it is being looked up by its tag",
    S.NEEDS_REVIEW: "not provable in time; a person decides, the tag stays watched",
    S.SENT: "the broker gave an id",
    S.OPEN: "resting at the broker",
    S.PARTIAL: "part filled, the rest is live",
    S.COMPLETE: "filled",
    S.REJECTED: "refused by the broker after it gave an id",
    S.REJECTED_RISK: "stopped by our gate; never left the house",
    S.STALE: "too old before it was sent",
    S.CANCELLED: "ended without being filled completely",
    S.EXPIRED: "ended at the close of its session",
    S.FAILED: "proven never accepted: refused, or never sent",
}


def may_move(old: State, new: State) -> bool:
    """Whether the table lets an order go from `old` to `new`. Staying is not a move."""
    return new in MOVES[old]


def table() -> str:
    """The table as Markdown, for docs/order-states.md."""
    rows = ["| state | on screen | meaning | leaves to |", "|---|---|---|---|"]
    for state, nexts in MOVES.items():
        leaves = ", ".join(s for s in State if s in nexts) or "final"
        rows.append(f"| {state} | {WORDS[state]} | {MEANING[state]} | {leaves} |")
    return "\n".join(rows) + "\n"
