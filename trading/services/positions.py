"""Keeps the position rows: each fill, and each correction by a person, changes exactly one, in its own transaction."""

from trading.domain import ledger
from trading.models import Correction, Fill, Position
from trading.services import days
from tvapp.lib import clock
from tvapp.lib.money import ZERO


def book_of(strategy_id: int | None) -> str:
    """The book a fill belongs to: its strategy's, or the account's unassigned one."""
    return f"STRATEGY:{strategy_id}" if strategy_id else "UNASSIGNED"


def apply(fill: Fill | Correction) -> Position:
    """Adds one new fill or correction to its position and to the day's part of it; a fill gets the result of what it closed.

    Must run inside the transaction that stores it, a fill before it is stored.
    """
    key = {"account_id": fill.account_id, "book": book_of(fill.strategy_id), "instrument_id": fill.instrument_id, "product": fill.product}
    row, _ = Position.objects.select_for_update().get_or_create(**key, defaults={"owner_id": fill.owner_id, "strategy_id": fill.strategy_id})
    before = ledger.Book(row.quantity, row.average, row.realised)
    after = ledger.apply_fill(before, fill.side, fill.quantity, fill.price, fill.instrument.multiplier)
    charges = fill.charges or ZERO if isinstance(fill, Fill) else ZERO
    if isinstance(fill, Fill) and _closes(before, fill.side):
        fill.realised = round(after.realised - before.realised, 8)
    row.quantity, row.average, row.realised, row.updated_at = after.quantity, round(after.average, 8), round(after.realised, 8), clock.now()
    row.charges += charges
    row.save(update_fields=["quantity", "average", "realised", "charges", "updated_at"])
    days.add(row, before, fill, charges)
    return row


def _closes(before: ledger.Book, side: str) -> bool:
    return before.quantity < 0 if side == "BUY" else before.quantity > 0
