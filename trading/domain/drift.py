"""The broker's position beside the desk's books: when they differ, what may still be closed, and how the books follow. Values in, values out.

Quantities are signed, below zero is short. `delivery` (CNC): the broker's figure is all shares in the depository, which may be more than was
bought through the desk; so only what is missing there is a difference.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from tvapp.lib.money import ZERO

from .brackets import shares


@dataclass(frozen=True, slots=True)
class Books:
    """What the desk booked on one symbol and product: by strategy, and `outside` for what was traded past the desk."""

    strategies: Mapping[int, Decimal]
    outside: Decimal = ZERO

    @property
    def counted(self) -> Decimal:
        """What the strategies count, together."""
        return sum(self.strategies.values(), ZERO)

    @property
    def total(self) -> Decimal:
        return self.counted + self.outside

    def ours(self, delivery: bool) -> Decimal:
        """What stands against the broker's figure. A trade outside that went against the strategies does not count: they still believe to hold."""
        return self.counted if delivery or self.counted * self.outside < 0 else self.total

    def base(self, delivery: bool) -> Decimal:
        """What moves with each fill exactly as the broker's figure does."""
        return self.counted if delivery else self.total

    def differ(self, theirs: Decimal, delivery: bool) -> bool:
        return theirs < self.counted if delivery else theirs != self.ours(delivery)


def held(books: Books, strategy: int | None, side: str, theirs: Decimal | None) -> Decimal:
    """What the strategy (None: nobody's) holds that an order of `side` closes, at most what the broker has of it; `theirs` None: not known.

    What several strategies hold too much is taken from the first of them.
    """
    sign = 1 if side == "SELL" else -1
    if strategy is None:
        own = max(sign * books.outside, ZERO)
        return own if theirs is None else min(own, max(sign * theirs, ZERO))
    mine = {pk: sign * quantity for pk, quantity in sorted(books.strategies.items()) if sign * quantity > 0}
    if theirs is None:
        return mine.get(strategy, ZERO)
    against = sum((-sign * quantity for quantity in books.strategies.values() if sign * quantity < 0), ZERO)
    kept = shares(list(mine.values()), sign * theirs + against)
    return dict(zip(mine, kept, strict=True)).get(strategy, ZERO)


def to_cut(books: Books, theirs: Decimal) -> tuple[dict[int, Decimal], Decimal]:
    """The strategies that count more than the broker has, with what each holds (positive), and how much of it is too much."""
    sign = 1 if books.counted > 0 else -1
    holders = {pk: sign * quantity for pk, quantity in sorted(books.strategies.items()) if sign * quantity > 0}
    excess = max(sign * (books.counted - theirs), ZERO) if books.counted else ZERO
    return holders, min(excess, sum(holders.values(), ZERO))


def plan(books: Books, theirs: Decimal, delivery: bool, first: int | None = None) -> dict[int | None, Decimal]:
    """What to add to each book (None: nobody's) so that they agree with the broker. `first` is cut before the other strategies."""
    holders, excess = to_cut(books, theirs)
    sign = 1 if books.counted > 0 else -1
    moves: dict[int | None, Decimal] = {}
    for pk in sorted(holders, key=lambda pk: (pk != first, pk)):
        cut = min(holders[pk], excess)
        excess -= cut
        if cut:
            moves[pk] = -sign * cut
    moved = sum(moves.values(), ZERO)
    outside = min(-moved, max(-books.outside, ZERO)) if delivery else theirs - (books.counted + moved) - books.outside
    return {**moves, None: outside} if outside else moves
