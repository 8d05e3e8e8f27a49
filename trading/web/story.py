"""An order's story for its page: one line per thing that happened, and where the time went between them."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

from trading.domain.orderfsm import WORDS, State
from trading.models import Alert, AttemptKind, Fill, Level, Order, OrderAttempt, OrderEvent, SystemEvent
from trading.templatetags.desk import STATE_LOOK, dialect_word, money, price, qty
from tvapp.lib import clock

HIDDEN = "hidden"
_SECRET = re.compile(r"secret|passphrase|password|api_?key|token|authorization|cookie|otp", re.I)
_NODES = {"chip-ok": "node-ok", "chip-warn": "node-clamp", "chip-review": "node-review", "chip-reject": "node-bad"}
_KINDS = {"EDITED": "edit", "MAPPED": "search", "CANCEL_ASKED": "x", "CANCEL_REFUSED": "warn", "FILL": "half"}
_CALLS = {
    AttemptKind.CANCEL: "Cancel sent to the broker", AttemptKind.MODIFY: "Change sent to the broker", AttemptKind.GTT: "Trigger sent to the broker",
}  # fmt: skip
_TITLES = {
    "EDITED": "Edited", "MAPPED": "Symbol found", "CANCEL_ASKED": "Cancel asked of the broker", "CANCEL_REFUSED": "Cancel not done",
    "FILL": "Fill seen by the sync",
}  # fmt: skip


def redacted(value: object) -> object:
    """The same data with everything that is named like a secret hidden."""
    if isinstance(value, Mapping):
        return {str(k): HIDDEN if _SECRET.search(str(k)) else redacted(v) for k, v in value.items()}
    return [redacted(v) for v in value] if isinstance(value, list | tuple) else value


def raw_body(alert: Alert) -> str:
    """The alert as it came, laid out when it is JSON, secrets hidden once more."""
    try:
        return json.dumps(redacted(json.loads(alert.body)), indent=2, ensure_ascii=False)
    except ValueError:
        return alert.body


# -------------------------------------------------------------------------- timeline
@dataclass
class Node:
    """One line of the story. `raw` are (title, JSON text) pairs, closed by default; `decision` marks where the rules table hangs."""

    at: datetime
    icon: str
    css: str
    title: str
    text: str = ""
    chip: str = ""
    raw: list[tuple[str, str]] = field(default_factory=list)
    decision: bool = False
    gap: timedelta | None = None


def timeline(order: Order) -> list[Node]:
    """Alert, events, fills and broker calls in the order they happened, each with the gap since the line above."""
    events = list(order.events.all())
    nodes = [_event(e) for e in events]
    _hang_rules(order, events, nodes)
    nodes += _alert(order) + [_fill(order, f) for f in order.fills.all()] + _notices(order)
    nodes += _hang_calls(list(order.attempts.all()), events, nodes)
    nodes.sort(key=lambda n: n.at)
    for above, node in pairwise(nodes):
        node.gap = node.at - above.at
    return nodes


def _alert(order: Order) -> list[Node]:
    if order.alert is None:
        return []
    alert = order.alert
    parts = [f"Sent from {alert.source}." if alert.source else "", f"It came {alert.duplicate_count + 1} times." if alert.duplicate_count else ""]
    text = " ".join(p for p in parts if p)
    return [Node(alert.received_at, "bell", "", "Alert received", text, chip=dialect_word(alert.dialect), raw=[("Raw alert", raw_body(alert))])]


def _notices(order: Order) -> list[Node]:
    """What the broker's answer meant beyond this order, and an answer the desk could not read, as it came."""
    rows = SystemEvent.objects.filter(order=order, category="broker").exclude(level=Level.INFO).order_by("id")
    return [Node(e.at, "warn", "node-clamp", "Notice", e.message, raw=[("What came with it", _pretty(e.data))] if e.data else []) for e in rows]


def _event(event: OrderEvent) -> Node:
    if not event.to_status:
        return Node(event.at, _KINDS.get(event.kind, "info"), "", _TITLES.get(event.kind, event.kind.replace("_", " ").capitalize()), event.text)
    state = State(event.to_status)
    css, icon = STATE_LOOK[state]
    title = {State.WAITING: "Waits for a decision", State.QUEUED: "Released to the worker"}.get(state, WORDS[state])
    node = Node(event.at, icon, _NODES.get(css, ""), title, event.text)
    if event.data.get("changes"):
        node.raw.append(("What changed", json.dumps(event.data["changes"], indent=2, ensure_ascii=False)))
    return node


def _hang_rules(order: Order, events: list[OrderEvent], nodes: list[Node]) -> None:
    """The rules table hangs under the event that carries the stored decision."""
    if order.decision_id is None:
        return
    mine = [n for e, n in zip(events, nodes, strict=True) if e.data.get("decision") == order.decision_id]
    for node in mine[-1:]:
        node.decision = True


def filled_at(order: Order, fill: Fill) -> datetime:
    """A broker that tells whole seconds cuts its times: a fill in the second in which it took the order is shown right after that, not before."""
    taken = next((e.at for e in order.events.all() if e.to_status == State.SENT), None)
    same_second = taken is not None and fill.at.microsecond == 0 and fill.at <= taken < fill.at + timedelta(seconds=1)
    return taken if same_second else fill.at


def _fill(order: Order, fill: Fill) -> Node:
    at_price = f"{qty(fill.quantity)} at ₹{price(fill.price, order.instrument)}, worth {money(fill.quantity * fill.price)}, trade {fill.trade_id}."
    return Node(filled_at(order, fill), "half", "", f"Filled {qty(fill.quantity)}", at_price)


def resolution(order: Order) -> str:
    """How its instrument was found, in the words of the last search; empty when the alert named it exactly."""
    return next((str(e.data["resolution"]) for e in reversed(list(order.events.all())) if e.data.get("resolution")), "")


def _pretty(value: object) -> str:
    return json.dumps(redacted(value), indent=2, ensure_ascii=False, default=str)


def _hang_calls(attempts: Iterable[OrderAttempt], events: list[OrderEvent], nodes: list[Node]) -> list[Node]:
    """A placing call hangs its request under its SENDING line and its answer under the next; a cancel gets a line of its own."""
    placed = [a for a in attempts if a.kind == AttemptKind.PLACE]
    spots = [i for i, e in enumerate(events) if e.to_status == State.SENDING]
    for attempt, spot in zip(placed, spots, strict=False):
        nodes[spot].raw.append((f"Request, attempt {attempt.no}", _pretty(attempt.payload)))
        if attempt.answer:
            nodes[min(spot + 1, len(events) - 1)].raw.append((f"Answer, attempt {attempt.no}", _pretty(attempt.answer)))
    rest = [a for a in attempts if a.kind != AttemptKind.PLACE] + placed[len(spots) :]
    return [_call(a) for a in rest]


def _call(attempt: OrderAttempt) -> Node:
    title = _CALLS.get(attempt.kind, "Sent to the broker")
    raw = [("Request", _pretty(attempt.payload))] + ([("Answer", _pretty(attempt.answer))] if attempt.answer else [])
    return Node(attempt.started_at, "send", "", title, attempt.message, chip=attempt.get_outcome_display(), raw=raw)


# ------------------------------------------------------------------------- waterfall
@dataclass(frozen=True)
class Span:
    """One stage. `who` is us, br (broker and exchange) or gap (a person, not to scale)."""

    label: str
    who: str
    start: datetime
    end: datetime

    @property
    def took(self) -> timedelta:
        return max(self.end - self.start, timedelta(0))


@dataclass(frozen=True)
class Bar:
    label: str
    who: str
    took: timedelta
    x: str
    width: str


GAP_SHARE = 16.0
LEAST_SHARE = 0.8
_STAGES = {
    State.WAITING: ("Waiting for you", "gap"),
    State.HELD: ("On hold", "gap"),
    State.QUEUED: ("Queue and risk check", "us"),
    State.UNKNOWN: ("Looking it up", "us"),
    State.NEEDS_REVIEW: ("Waiting for your review", "gap"),
}


def spans(order: Order) -> list[Span]:
    """The stages this order went through, from the first byte of the alert to the last fill seen; the present one ends now."""
    moves = [e for e in order.events.all() if e.to_status]
    found = []
    if order.alert is not None and moves:
        found.append(Span("Receive and parse", "us", order.alert.received_at, moves[0].at))
    ends = [*(e.at for e in moves[1:]), clock.now()]
    for event, end in zip(moves, ends, strict=False):
        stage = _STAGES.get(State(event.to_status))
        if stage:
            found.append(Span(*stage, event.at, end))
    return found + _calls(order) + _fills(order)


def _calls(order: Order) -> list[Span]:
    calls = [a for a in order.attempts.all() if a.kind == AttemptKind.PLACE and a.finished_at]
    return [Span("Accepted by broker" if a.outcome == "ACCEPTED" else "Broker's answer", "br", a.started_at, a.finished_at) for a in calls]


def _fills(order: Order) -> list[Span]:
    fills = list(order.fills.all())
    if not fills:
        return []
    first, last = filled_at(order, fills[0]), filled_at(order, fills[-1])
    sent = [a.finished_at for a in order.attempts.all() if a.finished_at and a.finished_at <= first]
    found = [Span("First fill", "br", max(sent, default=first), first)]
    if len(fills) > 1:
        found.append(Span("Last fill", "br", first, last))
    return [*found, Span("Seen by status sync", "us", last, fills[-1].seen_at)]


def waterfall(order: Order) -> list[Bar]:
    """The stages laid out on one line of 100 %: waits of a person get a fixed share, the rest is to scale."""
    stages = sorted(spans(order), key=lambda s: s.start)
    gaps = sum(s.who == "gap" for s in stages)
    room = 100.0 - min(60.0, gaps * GAP_SHARE) - LEAST_SHARE
    scale = sum((s.took for s in stages if s.who != "gap"), timedelta(0)) or timedelta(microseconds=1)
    bars, x = [], 0.0
    for stage in stages:
        share = min(60.0 / gaps, GAP_SHARE) if stage.who == "gap" else room * (stage.took / scale)
        width = max(share, LEAST_SHARE)
        bars.append(Bar(stage.label, stage.who, stage.took, f"{min(x, 100 - width):.2f}%", f"{width:.2f}%"))
        x += share
    return bars


def summary(order: Order) -> Mapping[str, timedelta | None]:
    """Alert to first fill, and the same without the waits of a person."""
    fills = list(order.fills.all())
    if not fills or order.alert is None:
        return {}
    whole = filled_at(order, fills[0]) - order.alert.received_at
    human = sum((s.took for s in spans(order) if s.who == "gap"), timedelta(0))
    return {"whole": whole, "own": max(whole - human, timedelta(0)), "human": human or None}
