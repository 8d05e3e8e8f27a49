"""What the clusters run: one line each, an id in, a word out."""

from trading.services import books, connect, dispatch, health, housekeeping, instruments, quotes, squareoff, sweeper
from tvapp import release


def ring(order_id: int) -> str:
    return dispatch.work(order_id)


def sync_account(account_id: int) -> str:
    return books.sync_due(account_id)


def square_off(square_off_id: int) -> str:
    return squareoff.work(square_off_id)


def exchange_login(account_id: int) -> str:
    return connect.exchange(account_id)


def end_session(account_id: int) -> str:
    return connect.end(account_id)


def read_quotes(account_id: int) -> str:
    return quotes.read(account_id)


def load_instruments(account_id: int | None = None) -> str:
    return instruments.load_due(account_id)


def beat(sent_at: str) -> str:
    return health.beat("orders") if not release.other() else "other code"  # silence: the watchdog starts the group again, with the new code


def sweep_once() -> str:
    return sweeper.sweep()


def prune() -> str:
    return housekeeping.prune()
