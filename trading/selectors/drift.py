"""Positions that are not at the broker what the desk booked: which, since when, and what is still there to close."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from django.db.models import QuerySet

from brokers.models import Instrument
from trading.domain import drift as domain
from trading.domain.drift import Books
from trading.models import Drift, Position, Product, Strategy
from trading.selectors import marks
from trading.selectors.marks import Held, Prices
from tvapp.lib.money import ZERO, plain

Key = tuple[str, str, str]


def standing() -> QuerySet[Drift]:
    """Confirmed differences nobody settled yet."""
    return Drift.objects.filter(settled_at=None, confirmed_at__isnull=False)


def blocked(account_id: int) -> set[Key]:
    """(exchange, tradingsymbol, product) of the account in which broker and desk disagree: nothing is to be opened there."""
    return set(standing().filter(account_id=account_id).values_list("exchange", "tradingsymbol", "product"))


def count(account_id: int) -> int:
    return standing().filter(account_id=account_id).count()


def of_key(account_id: int, key: Key) -> Drift | None:
    exchange, symbol, product = key
    return standing().filter(account_id=account_id, exchange=exchange, tradingsymbol=symbol, product=product).first()


# --- the desk's side --------------------------------------------------------------------------------------------


def gather(rows) -> Books:
    """Books of (strategy id or None, quantity) pairs of one symbol and product."""
    strategies: dict[int, Decimal] = {}
    outside = ZERO
    for strategy, quantity in rows:
        if strategy is None:
            outside += quantity
        elif quantity:
            strategies[strategy] = strategies.get(strategy, ZERO) + quantity
    return Books(strategies, outside)


def books_of(account_id: int, instrument_id: int | None, product: str) -> Books:
    rows = Position.objects.filter(account_id=account_id, instrument_id=instrument_id, product=product)
    return gather(rows.values_list("strategy_id", "quantity"))


def all_books(account_id: int) -> dict[Key, Books]:
    """The books of the account that are not all empty."""
    found: dict[Key, list[tuple[int | None, Decimal]]] = {}
    rows = Position.objects.filter(account_id=account_id).exclude(quantity=0)
    for exchange, symbol, *rest in rows.values_list("instrument__exchange", "instrument__tradingsymbol", "product", "strategy_id", "quantity"):
        found.setdefault((exchange, symbol, rest[0]), []).append((rest[1], rest[2]))
    return {key: gather(pairs) for key, pairs in found.items()}


# --- what is there ----------------------------------------------------------------------------------------------


def there(row: Drift | None, books: Books, product: str) -> Decimal | None:
    """The broker's figure now: as it was read, and what the desk booked since. None: nothing is known that limits an exit.

    Without a difference everything booked is there, also what was traded outside. Of CNC only the depository knows.
    """
    delivery = product == Product.CNC
    if row is not None:
        return row.theirs + books.base(delivery) - row.booked
    return None if delivery else books.total


def held(account_id: int, instrument_id: int | None, key: Key, strategy_id: int | None, side: str) -> Decimal:
    """What the strategy holds that an order of `side` closes, at most what the broker has of it."""
    books = books_of(account_id, instrument_id, key[2])
    if not books.strategies and not books.outside:
        return ZERO
    return domain.held(books, strategy_id, side, there(of_key(account_id, key), books, key[2]))


# --- what no book has -------------------------------------------------------------------------------------------


def unbooked(prices: Prices) -> list[Held]:
    """What brokers hold beyond the desk's books, at its mark: carried over from before the desk, say. It is at stake until a person settles it.

    Shares are left out: the depository's own are no position.
    """
    rows = standing().exclude(product__in=(Product.CNC, Product.MTF)).select_related("account")
    found = []
    for row in marks.of_book(rows, prices.simulated):
        if abs(row.theirs) <= abs(row.booked):
            continue
        name = {"exchange": row.exchange, "tradingsymbol": row.tradingsymbol}
        traded = Instrument.objects.filter(**name).select_related("quote").first()
        if traded is not None:
            spot = marks.spot_of(row.account, traded)
            found.append(Held(spot, None, row.product, row.theirs - row.booked, ZERO, ZERO, prices.mark(spot)))
    return found


# --- for pages --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shown:
    """A difference in words. `choices` are the strategies a person has to choose from; empty when there is nothing to choose."""

    row: Drift
    text: str
    choices: Mapping[int, str]


def of_user(user) -> QuerySet[Drift]:
    return standing().for_user(user).select_related("account").order_by("since")


def of_account(account) -> QuerySet[Drift]:
    return standing().filter(account=account).select_related("account").order_by("since")


def shown(user) -> list[Shown]:
    return [show(row) for row in of_user(user)]


def show(row: Drift) -> Shown:
    books = all_books(row.account_id).get((row.exchange, row.tradingsymbol, row.product), Books({}))
    names = dict(Strategy.objects.filter(pk__in=books.strategies).values_list("pk", "name"))
    return Shown(row, sentence(row, books, names), {pk: names[pk] for pk in ambiguous(row, books)})


def ambiguous(row: Drift, books: Books) -> list[int]:
    """The strategies of which a person has to name the one that was closed: several hold, and not all of it is gone."""
    holders, excess = domain.to_cut(books, there(row, books, row.product) or ZERO)
    return list(holders) if len(holders) > 1 and ZERO < excess < sum(holders.values(), ZERO) else []


def sentence(row: Drift, books: Books, names: Mapping[int, str]) -> str:
    """Who counts how many of what: always both numbers."""
    where = f"{row.tradingsymbol} ({row.product})"
    parts = [f"{names.get(pk, pk)} {plain(quantity)}" for pk, quantity in sorted(books.strategies.items())]
    parts += [f"traded outside {plain(books.outside)}"] if books.outside else []
    split = f" ({', '.join(parts)})" if parts else ""
    return f"{row.account.get_broker_display()} holds {plain(row.theirs)} {where}, the desk counts {plain(row.ours)}{split}."
