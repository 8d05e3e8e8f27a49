"""Memory of the web process against Django and DRF with the same URLs, and of the whole desk."""

from tests.bench import bare_django, place
from tests.bench.rows import Row, Size, alternate, median, row


def run(size: Size) -> list[Row]:
    home = place.home()
    routes = bare_django.write_routes(home)
    ours, bare = alternate(
        lambda: _of(place.serve_desk(home)),
        lambda: _of(place.serve_bare("tests.bench.bare_django:application", home, BARE_ROUTES=str(routes))),
        size.repeats,
    )
    web = row("memory", "MB of the web server and its worker after a few answers", median(ours), median(bare), "ratio <= 1.1")
    return [web, *([] if size.repeats == 1 else _whole())]


def _of(server) -> float:
    with server as web:
        for path in 5 * ("/login/", "/health", "/favicon.ico"):
            place.get(web.port, path)
        return place.memory_mb(web.pids())


def _whole() -> list[Row]:
    with place.desk() as desk:
        found = desk.pids()
        return [row("memory", f"MB of the whole desk, {len(found)} processes", place.memory_mb(list(found)))]
