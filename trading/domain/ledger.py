"""Position arithmetic: average price, realised result, reversal through zero. Values in, values out."""

from dataclasses import dataclass
from decimal import Decimal

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Book:
    """Signed quantity, average entry price (0 when flat), realised result before charges."""

    quantity: Decimal = ZERO
    average: Decimal = ZERO
    realised: Decimal = ZERO


def apply_fill(book: Book, side: str, quantity: Decimal, price: Decimal, multiplier: Decimal = Decimal(1)) -> Book:
    """The book after one fill. `side` BUY or SELL, `quantity` > 0. What crosses zero opens the other side at `price`."""
    delta = quantity if side == "BUY" else -quantity
    closing = min(abs(book.quantity), quantity) if book.quantity * delta < 0 else ZERO
    direction = 1 if book.quantity > 0 else -1
    realised = book.realised + direction * (price - book.average) * closing * multiplier
    after = book.quantity + delta
    if after == 0:
        return Book(ZERO, ZERO, realised)
    if closing == 0:
        cost = abs(book.quantity) * book.average + quantity * price
        return Book(after, cost / abs(after), realised)
    crossed = after * book.quantity < 0
    return Book(after, price if crossed else book.average, realised)
