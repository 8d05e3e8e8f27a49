"""Alert in: POST, durable, 201. The desk's web server against the least that could do the same."""

from functools import partial

from tests.bench import bare_wsgi, place
from tests.bench.load import alert, keep_posting
from tests.bench.rows import Row, Size, alternate, median, row


def run(size: Size) -> list[Row]:
    home = place.home()
    bare_wsgi.make(str(home / "bare.sqlite3"), place.SECRET)
    bare = place.serve_bare("tests.bench.bare_wsgi:application", home, BARE_DB=str(home / "bare.sqlite3"))
    with place.serve_desk(home) as ours, bare as yardstick:
        for web in (ours, yardstick):  # every thread opens its connection once
            keep_posting(web.port, 32, 0.5, partial(alert, "demo-manual"))
        return [made for connections in (8, 32) for made in compared("webhook", connections, ours.port, yardstick.port, size)]


def compared(name: str, connections: int, ours: int, yardstick: int, size: Size, goal: str = "ratio >= 0.75") -> list[Row]:
    """Alerts a second and the time to their answers, of the two web servers on these ports."""
    load = partial(keep_posting, connections=connections, seconds=size.seconds, body=partial(alert, "demo-manual"))
    a, b = alternate(lambda: load(ours), lambda: load(yardstick), size.repeats)
    rates = [median([one.rate for one in side]) for side in (a, b)]
    middle = [median([one.p(50) for one in side]) for side in (a, b)]
    tails = [median([one.p(99) for one in side]) for side in (a, b)]
    return [
        row(name, f"alerts a second, {connections} connections", *rates, goal=goal),
        row(name, f"ms to the answer, {connections} connections, p50", *middle),
        row(name, f"ms to the answer, {connections} connections, p99", *tails, goal="ratio <= 2" if connections == 8 else None),
    ]
