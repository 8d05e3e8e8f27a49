"""The order in which transactions lock rows on PostgreSQL: ledgers first, GLOBAL before account before strategy, every other row after them.

SQLite has one writer at a time and needs none of it. Here two transactions that change several orders of one account (a fill that cuts a
stop, a claim that asks a target to make room) would each wait for a row of the other's, or decide on what the other is about to change.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from django.db import transaction
from django.db.models import F

from risk.models import RiskLedger


def bump(keys: Iterable[str]) -> None:
    """Serialises the work of each scope until this transaction ends: the row is locked (PostgreSQL) or the writer is ours (SQLite)."""
    for key in keys:
        if not RiskLedger.objects.filter(scope=key).update(version=F("version") + 1):
            RiskLedger.objects.get_or_create(scope=key)  # made by another one meanwhile it is not ours yet: lock it
            RiskLedger.objects.filter(scope=key).update(version=F("version") + 1)


@contextmanager
def book_of(account_id: int) -> Iterator[None]:
    """One transaction that may change several orders of an account, or its positions: no other one does, and no claim looks meanwhile."""
    with transaction.atomic():
        bump([f"ACCOUNT:{account_id}"])
        yield
