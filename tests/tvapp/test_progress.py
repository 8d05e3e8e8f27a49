import io

import pytest

from tvapp.lib import progress
from tvapp.lib.progress import Bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def drawn(stream, clock, seconds: float, done: int = 500, total: int = 1000) -> str:
    bar = Bar(stream, "instruments")
    clock[0] += seconds
    bar.told(done, total)
    said = stream.getvalue()
    bar.close()
    return said


def test_it_draws_on_a_terminal_after_two_seconds(clock):
    said = drawn(Terminal(), clock, 2.1)
    assert said.endswith("[############............] 500 of 1,000 instruments")
    assert drawn(Terminal(), clock, 1.9) == drawn(io.StringIO(), clock, 60) == ""


def test_it_counts_when_the_end_is_not_known(clock):
    assert drawn(Terminal(), clock, 3, 12_000, 0).endswith("12,000 instruments")


def test_it_wipes_its_line_and_draws_not_too_often(clock):
    stream = Terminal()
    bar = Bar(stream, "rows")
    clock[0] += 3
    for done in range(100):
        bar.told(done, 100)
    assert stream.getvalue().count("rows") == 1
    bar.close()
    assert stream.getvalue().endswith("\r\x1b[K")
