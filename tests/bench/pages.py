"""Pages, API lists and the road itself over a long history against a short one: what is asked is whether time grows with the past."""

import http.client
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench import direct, history, place, routes
from tests.bench.rows import Row, Size, alternate, median, percentile, row

SHORT = 1_000
GOAL = "ratio <= 1.3"
PAGES = {
    "/queue": "queue page",
    "/orders": "orders page",
    "/orders?status=COMPLETE": "orders page, state with most of them",
    "/orders?status=NEEDS_REVIEW": "orders page, state without any",
    "/orders?strategy={strategy}": "orders page, one strategy",
    "/orders?account={account}": "orders page, one account",
    "/orders?symbol=NSE:H7": "orders page, one symbol",
    "/orders?symbol=NSE:NONE": "orders page, symbol without any",
    "/orders?side=SELL": "orders page, side without any",
    "/orders?mode=AUTO": "orders page, one mode",
    "/orders?q=H7": "orders page, search for a symbol",
    "/orders?q={tag}": "orders page, search for a tag",
    "/orders?q={oldest}": "orders page, search for an id",
    "/orders?from={today}": "orders page, today",
    "/orders?from={first_day}&to={first_day}": "orders page, the oldest day",
    "/alerts": "alerts page",
    "/": "dashboard",
    "/api/orders": "API orders",
    "/api/orders?symbol=NSE:NONE": "API orders, symbol without any",
    "/api/orders?q=zzz": "API orders, search without any",
    "/api/orders/queue": "API queue",
}
LAST = {"/orders": "/orders?before={last}", "/api/orders": "/api/orders?before={last}"}


EVERY_MS = 200  # the goal for each route that is read, p95 of TIMES
TIMES = 20
NAMED = 5


def run(size: Size) -> list[Row]:
    with histories(size) as (homes, readers):
        rows = [growth("pages", path, _against(what, size), readers, size, GOAL) for path, what in PAGES.items()]
        rows += [_last(path, beyond, readers[0], size) for path, beyond in LAST.items()]
        rows += _every_route(homes[0], readers[0], size)
    return rows + _road(*homes, size)


@contextmanager
def histories(size: Size) -> Iterator[tuple[tuple[Path, Path], list["Reader"]]]:
    """The homes of the long and the short history, and who reads the pages of each from its web server."""
    short = place.home()
    long = place.copy_of(short, "long")
    facts = [history.fill(short, min(SHORT, size.rows)), history.fill(long, size.rows)]
    with place.serve_desk(long, TVAPP_TEST="1") as a, place.serve_desk(short, TVAPP_TEST="1") as b:  # TVAPP_TEST: no throttles
        yield (long, short), [Reader(a.port, facts[1]), Reader(b.port, facts[0])]


def _against(what: str, size: Size) -> str:
    return f"ms, {what}, {size.rows:,} orders against {SHORT:,}"


class Reader:
    """Asks one web server for pages, signed in, over one connection."""

    def __init__(self, port: int, facts: dict[str, str]):
        self.facts = facts | {"last": str(int(facts["oldest"]) + 50)}
        self.http = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ms(self, path: str) -> float:
        """Milliseconds of the page, the better one of two: what interrupts a request is not the page's."""
        return min(self._once(path.format(**self.facts)) for _ in range(2))

    def _once(self, path: str) -> float:
        took, status = self.asked(path)
        if status != 200:
            raise place.BenchmarkFailed(f"{path} was answered {status}.")
        return took

    def asked(self, path: str) -> tuple[float, int]:
        """Milliseconds and status of one answer, read to its end."""
        key = {"Authorization": f"Token {self.facts['token']}"} if path.startswith("/api/") else {"Cookie": f"sessionid={self.facts['cookie']}"}
        begun = time.perf_counter()
        self.http.request("GET", path, headers=key)
        answer = self.http.getresponse()
        answer.read()
        return 1000 * (time.perf_counter() - begun), answer.status


def growth(name: str, path: str, figure: str, readers: list[Reader], size: Size, goal: str) -> Row:
    """One page of the long history against the same of the short one."""
    long, short = readers
    long.ms(path), short.ms(path)
    a, b = alternate(lambda: long.ms(path), lambda: short.ms(path), 2 * size.repeats + 1)
    return row(name, figure, median(a), median(b), goal)


def _last(path: str, beyond: str, long: Reader, size: Size) -> Row:
    a, b = alternate(lambda: long.ms(beyond), lambda: long.ms(path), 2 * size.repeats + 1)
    return row("pages", f"ms, last page of {path} against its first, {size.rows:,} orders", median(a), median(b), GOAL)


def _every_route(long: Path, reader: Reader, size: Size) -> list[Row]:
    """Every route that is read and has something to show, as the admin finds it over the long history."""
    found = {path: _p95(reader, path, TIMES if size.repeats > 1 else 1) for path in routes.of(long) if reader.asked(path)[1] == 200}
    slowest = sorted(found, key=lambda path: found[path], reverse=True)[:NAMED]
    return [
        row("pages", f"ms, p95 of a route, median of {len(found)}", median(list(found.values()))),
        *(row("pages", f"ms, p95 of {path}, one of the {NAMED} slowest", found[path], goal=f"ours <= {EVERY_MS}") for path in slowest),
        row("pages", f"routes whose p95 is above {EVERY_MS} ms", sum(ms > EVERY_MS for ms in found.values())),
    ]


def _p95(reader: Reader, path: str, times: int) -> float:
    return percentile([reader.asked(path)[0] for _ in range(times)], 95)


def _road(long, short, size: Size) -> list[Row]:
    """The same alerts through ingest and dispatch in one process."""
    with direct.worker(long) as a, direct.worker(short) as b:
        a(5), b(5)
        ours, yardstick = alternate(lambda: a(10), lambda: b(10), size.repeats)
    return [
        row("pages", f"ms, {what} one alert, {size.rows:,} orders against {SHORT:,}", _part(ours, name), _part(yardstick, name), GOAL)
        for name, what in (("ingest", "storing"), ("dispatch", "sending the order of"))
    ]


def _part(side: list[dict[str, list[float]]], name: str) -> float:
    return median([ms for took in side for ms in took[name]])
