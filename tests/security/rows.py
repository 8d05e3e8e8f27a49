"""What is in the database, as text and as a fingerprint."""

from django.db import connection

# Who is signed in changes with each visit; nothing is traded by it.
FLEETING = {"django_session", "auth_user", "tvapp_apitoken"}


def dump(skip: frozenset[str] | set[str] = frozenset()) -> dict[str, list[str]]:
    """Every table's rows as sorted text."""
    found = {}
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            if table not in skip:
                cursor.execute(f'SELECT * FROM "{table}"')
                found[table] = sorted(repr([_text(value) for value in row]) for row in cursor.fetchall())
    return found


def _text(value: object) -> object:
    return bytes(value).decode("latin-1") if isinstance(value, bytes | memoryview) else value


def fingerprint() -> dict[str, list[str]]:
    return dump(FLEETING)
