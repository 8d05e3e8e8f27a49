"""Alert in on PostgreSQL: the desk's web server against bare WSGI and psycopg, both on one server of PostgreSQL that syncs its disk.

The server is one of its own in a temporary folder; what runs on this machine is not touched.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial

from tests.bench import bare_postgres, place
from tests.bench.load import alert, keep_posting
from tests.bench.rows import Row, Size
from tests.bench.webhook import compared
from tests.process.postgres import Postgres

WORKERS = "2"  # what the desk takes on PostgreSQL by itself


def run(size: Size) -> list[Row]:
    with _server() as server:
        ours, bare = server.url(), server.url()
        home = place.home(DATABASE_URL=ours)
        bare_postgres.make(bare, place.SECRET)
        yardstick = place.serve_bare("tests.bench.bare_postgres:application", home, WEB_WORKERS=WORKERS, BARE_DB=bare)
        with place.serve_desk(home, WEB_WORKERS=WORKERS, DATABASE_URL=ours) as a, yardstick as b:
            for web in (a, b):  # every thread opens its connection once
                keep_posting(web.port, 32, 0.5, partial(alert, "demo-manual"))
            return [made for connections in (8, 32) for made in compared("postgres", connections, a.port, b.port, size, goal="ratio >= 0.9")]


@contextmanager
def _server() -> Iterator[Postgres]:
    try:
        server = Postgres(fsync="on")
    except AssertionError as why:
        raise place.BenchmarkFailed(f"PostgreSQL did not start: {why}") from why
    with closing(server):
        yield server
