"""Asks the gate and puts what it said into a row: as advice for a person, or with authority for the claim, which stores it."""

from datetime import datetime

from risk import engine
from risk.codec import to_data
from risk.models import Decision
from risk.types import Decision as Verdict
from trading.models import Order
from trading.selectors import snapshot
from trading.selectors.funds import Margin
from trading.selectors.pricing import Offer
from tvapp.lib import clock


def advise(order: Order, now: datetime | None = None, *, later: bool = True) -> Decision:
    """What the gate would say now, every rule evaluated, as an unsaved row. Writes nothing.

    `later`: a claim asks once more before anything leaves, and its broker what margin it needs.
    """
    asked = snapshot.question(order, now or clock.now(), later=later)
    return _row(order, asked, engine.evaluate(asked.intent, asked.snapshot, asked.limits, advisory=True))


def decide(order: Order, offer: Offer, margin: Margin | None = None) -> Decision:
    """The authoritative decision about the order as it will be sent, as an unsaved row; the claim stores what it acts upon."""
    asked = snapshot.question(order, clock.now(), offer, margin)
    return _row(order, asked, engine.evaluate(asked.intent, asked.snapshot, asked.limits))


def _row(order: Order, asked: snapshot.Question, said: Verdict) -> Decision:
    return Decision(
        owner_id=order.owner_id, order_key=order.pk or 0, attempt=order.attempt + 1, at=asked.snapshot.now, engine=engine.ENGINE,
        limits=asked.versions,
        requested=asked.intent.quantity, final=said.final, verdict=said.verdict, code=said.code, order_class=said.order_class, sentence=said.sentence,
        findings=[to_data(f) for f in said.findings], data=_sources(asked),
        snapshot={"intent": to_data(asked.intent), "snapshot": to_data(asked.snapshot), "limits": [to_data(row) for row in asked.limits]},
    )  # fmt: skip


def _sources(asked: snapshot.Question) -> list[dict[str, object]]:
    """Name, source and age in seconds of each input that has one."""
    snap, rows = asked.snapshot, []
    for name in ("instrument", "position", "quote", "funds"):
        part = getattr(snap, name)
        if part is not None and part.as_of is not None:
            source = getattr(part, "source", "") or ("PROVISIONAL" if getattr(part, "provisional", False) else "DATABASE")
            rows.append({"name": name, "source": source, "age_s": round((snap.now - part.as_of).total_seconds(), 1)})
    return rows
