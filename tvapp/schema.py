"""The API's description: each route once, although it answers with and without its trailing slash."""


def without_slash_twins(endpoints):
    """Keeps the form without the slash of every route that has both."""
    paths = {path for path, *_ in endpoints}
    return [row for row in endpoints if not (row[0].endswith("/") and row[0].rstrip("/") in paths)]
