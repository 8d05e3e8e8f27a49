"""Position arithmetic by example and by property."""

from decimal import Decimal as D

from hypothesis import given
from hypothesis import strategies as st

from trading.domain.ledger import Book, apply_fill

fills = st.lists(st.tuples(st.sampled_from(["BUY", "SELL"]), st.integers(1, 50), st.decimals("1", "500", places=2)), max_size=12)


def book_of(rows) -> Book:
    book = Book()
    for side, quantity, price in rows:
        book = apply_fill(book, side, D(quantity), price)
    return book


def test_it_averages_entries_and_books_exits():
    book = book_of([("BUY", 10, D(100)), ("BUY", 10, D(110)), ("SELL", 5, D(120))])
    assert book == Book(D(15), D(105), D(75))


def test_it_opens_the_other_side_with_what_crosses_zero():
    assert book_of([("BUY", 10, D(100)), ("SELL", 15, D(110))]) == Book(D(-5), D(110), D(100))


def test_it_is_flat_with_nothing_left_over():
    assert book_of([("SELL", 10, D(100)), ("BUY", 10, D(90))]) == Book(D(0), D(0), D(100))


@given(fills, st.decimals("1", "500", places=2))
def test_it_keeps_realised_plus_open_equal_to_cash_plus_mark(rows, mark):
    book = book_of(rows)
    cash = sum((q * p * (1 if side == "SELL" else -1) for side, q, p in rows), D(0))
    total = book.realised + (mark - book.average) * book.quantity
    assert abs(total - (cash + book.quantity * mark)) < D("0.0000001")
