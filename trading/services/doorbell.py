"""The doorbell: a queue row that says "look at order 42". It carries an id and nothing else; the order's row decides.

Ringing twice, late or never changes latency only: claims are conditional and the sweeper rings again.
"""

from datetime import datetime

from django_q.tasks import async_task

from tvapp import wakeup
from tvapp.lib import crash

ORDERS = "orders"
BATCH = "batch"


def ring(order_id: int) -> None:
    """Asks the orders cluster to look at this order. Inside a transaction it commits, or vanishes, together with it."""
    async_task("trading.tasks.ring", order_id, cluster=ORDERS, save=False, task_name=f"order {order_id}")
    crash.point("doorbell.rung")


def ring_sync(account_id: int) -> None:
    """Asks for a fresh look at the account's book."""
    async_task("trading.tasks.sync_account", account_id, cluster=ORDERS, save=False, task_name=f"sync {account_id}")


def ring_square_off(square_off_id: int) -> None:
    """Asks the orders cluster to go on with a square-off."""
    async_task("trading.tasks.square_off", square_off_id, cluster=ORDERS, save=False, task_name=f"square-off {square_off_id}")


def ring_exchange(account_id: int) -> None:
    """Asks the orders cluster to complete a login that waits in the account's row."""
    async_task("trading.tasks.exchange_login", account_id, cluster=ORDERS, save=False, task_name=f"login {account_id}")


def ring_end(account_id: int) -> None:
    """Asks the orders cluster to end a session that somebody disconnected."""
    async_task("trading.tasks.end_session", account_id, cluster=ORDERS, save=False, task_name=f"logout {account_id}")


def ring_quotes(account_id: int) -> None:
    """Asks the batch cluster to read the prices this account gives: never in the way of an order."""
    async_task("trading.tasks.read_quotes", account_id, cluster=BATCH, save=False, task_name=f"prices {account_id}")


def ring_instruments(account_id: int) -> None:
    """Asks for the day's instrument list, if it is not here yet: work for the batch cluster, never for the one that sends orders."""
    async_task("trading.tasks.load_instruments", account_id, cluster=BATCH, save=False, task_name="instruments")


def heartbeat(sent_at: datetime) -> None:
    """One beat through the whole queue: made here, pushed, worked, acknowledged on this machine, whose watchdog looks at its end."""
    async_task("trading.tasks.beat", sent_at.isoformat(), cluster=wakeup.here(ORDERS), save=False, task_name="beat")
