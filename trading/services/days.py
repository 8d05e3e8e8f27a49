"""Keeps each position's part of the day's result, in the transaction of the fill or correction that changes it.

A day's row is the position's arithmetic begun anew: what was carried in, at the close of the day before, then the day's fills. A fill that is
told of late belongs to the day on which it was traded: that day's row takes it, every later row begins with what it left, and the result of
a day that is over changes. Today's does not, but for the quantity that is carried from then on.
"""

from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal

from trading.domain import ledger
from trading.models import Basis, Correction, Fill, Position, PositionDay
from trading.selectors.closes import Closes, Start
from tvapp.lib import clock
from tvapp.lib.money import ZERO


def add(position: Position, before: ledger.Book, entry: Fill | Correction, charges: Decimal) -> None:
    """Counts one fill or correction, which is not stored yet or is the newest; `before` is the whole position before it."""
    day = entry.trading_day if isinstance(entry, Fill) else clock.trading_day(entry.at)
    later = list(PositionDay.objects.filter(position=position, day__gte=day).order_by("day"))
    row = later.pop(0) if later and later[0].day == day else _begin(position, before, day, later)
    after = ledger.apply_fill(_book(row), entry.side, entry.quantity, entry.price, entry.instrument.multiplier)
    _keep(row, after, row.charges + charges)
    for following in later:
        after = _again(following, after)


def _begin(position: Position, before: ledger.Book, day: date, later: list[PositionDay]) -> PositionDay:
    """The day's row, as it stands before its first fill."""
    carried = later[0].start_quantity if later else before.quantity
    late = later or day < clock.trading_day(clock.now())
    start = _start(position, before.average, late=bool(late)) if carried else Start(ZERO, Basis.NONE)
    return PositionDay(
        position=position, day=day, start_quantity=carried, start_basis=start.price, basis_from=start.source, quantity=carried,
        average=start.price if carried else ZERO,
    )  # fmt: skip


def _start(position: Position, average: Decimal, *, late: bool) -> Start:
    """The close of a day that is over is not looked up any more."""
    return Start(average, Basis.AVERAGE) if late else Closes(clock.now(), account_id=position.account_id).of_position(position, average)


def _book(row: PositionDay) -> ledger.Book:
    return ledger.Book(row.quantity, row.average, row.realised)


def _keep(row: PositionDay, after: ledger.Book, charges: Decimal) -> None:
    row.quantity, row.average, row.realised, row.charges = after.quantity, round(after.average, 8), round(after.realised, 8), charges
    row.save()


def _again(row: PositionDay, carried: ledger.Book) -> ledger.Book:
    """A later day once more, from another quantity carried in. Its basis stays where one was known."""
    if not carried.quantity:
        row.start_basis, row.basis_from = ZERO, Basis.NONE
    elif row.basis_from == Basis.NONE:
        row.start_basis, row.basis_from = carried.average, Basis.AVERAGE
    row.start_quantity = carried.quantity
    after = ledger.Book(carried.quantity, row.start_basis)
    for entry in _entries(row):
        after = ledger.apply_fill(after, entry.side, entry.quantity, entry.price, row.position.instrument.multiplier)
    _keep(row, after, row.charges)
    return after


def _entries(row: PositionDay) -> Iterable[Fill | Correction]:
    """What changed the position on that day, in the order in which the desk heard of it."""
    p = row.position
    mine = {"account_id": p.account_id, "strategy_id": p.strategy_id, "instrument_id": p.instrument_id, "product": p.product}
    begins = clock.day_start(row.day)
    fills = [((f.seen_at, f.pk), f) for f in Fill.objects.filter(**mine, trading_day=row.day)]
    made = Correction.objects.filter(**mine, at__gte=begins, at__lt=begins + timedelta(days=1))
    return [entry for _, entry in sorted([*fills, *(((c.at, c.pk), c) for c in made)], key=lambda pair: pair[0])]
