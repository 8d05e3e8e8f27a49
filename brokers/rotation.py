"""Writes every encrypted value anew with the first key, so that an old key can be dropped.

A value the first key opens is done: broken off anywhere, the next run goes on where this one ended. The new value replaces exactly
the old one it was made of, so that whoever writes at the same time wins.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.apps import apps
from django.db import connection, models

from brokers.secrets import EncryptedText, Sealed, SecretUnreadable, is_current, seal, unseal

BATCH = 200


@dataclass
class Count:
    """`old`: not yet under the first key (after a rotation: somebody wrote meanwhile); `lost`: no key opens it."""

    seen: int = 0
    old: int = 0
    written: int = 0
    lost: int = 0


def columns() -> list[tuple[type[models.Model], models.Field]]:
    """Every encrypted column there is, found by its type."""
    return [(m, f) for m in apps.get_models(include_auto_created=True) for f in m._meta.local_concrete_fields if isinstance(f, EncryptedText)]


def total() -> int:
    return sum(model._base_manager.filter(**{f"{field.name}__isnull": False}).count() for model, field in columns())


def rotate(*, write: bool, progress: Callable[[int, int], None] = lambda done, total: None) -> Count:
    """Counts, and with `write` brings every readable value under the first key."""
    count, most = Count(), total()
    for model, field in columns():
        for pk, blob in _values(model, field):
            count.seen += 1
            _one(model, field, pk, blob, count, write)
            progress(count.seen, most)
    return count


def _values(model: type[models.Model], field: models.Field) -> Iterator[tuple[object, bytes]]:
    """Keys and ciphertexts in batches by key: no long read holds up those who write."""
    rows, after = model._base_manager.filter(**{f"{field.name}__isnull": False}).order_by("pk"), None
    while batch := list((rows if after is None else rows.filter(pk__gt=after)).values_list("pk", field.name)[:BATCH]):
        for pk, sealed in batch:
            assert isinstance(sealed, Sealed)
            yield pk, bytes(sealed.blob)
        after = batch[-1][0]


def _one(model: type[models.Model], field: models.Field, pk: object, blob: bytes, count: Count, write: bool) -> None:
    if is_current(blob):
        return
    try:
        fresh = seal(unseal(blob))
    except SecretUnreadable:
        count.lost += 1
        return
    if write and _replace(model, field, pk, blob, fresh):
        count.written += 1
    else:
        count.old += 1


def _replace(model: type[models.Model], field: models.Field, pk: object, old: bytes, new: bytes) -> bool:
    """In SQL, because an encrypted column cannot be looked up by value."""
    q = connection.ops.quote_name
    table, column, key = q(model._meta.db_table), q(field.column), q(model._meta.pk.column)
    with connection.cursor() as cursor:
        binary = connection.Database.Binary
        cursor.execute(f"UPDATE {table} SET {column} = %s WHERE {key} = %s AND {column} = %s", [binary(new), pk, binary(old)])  # noqa: S608 - names of our models
        return cursor.rowcount == 1
