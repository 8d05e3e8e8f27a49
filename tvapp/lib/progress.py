"""A line that shows how far a command is: only on a terminal, and only when it takes long enough to wonder."""

import time
from typing import TextIO

QUIET_S = 2.0
EVERY_S = 0.2
WIDTH = 24


class Bar:
    """`told(done, total)` draws; a total of 0 is not known yet. `close` wipes the line."""

    def __init__(self, stream: TextIO, what: str):
        self._stream, self._what = stream, what
        self._terminal = stream.isatty()
        self._begun = time.monotonic()
        self._drawn = 0.0

    def told(self, done: int, total: int) -> None:
        now = time.monotonic()
        if not self._terminal or now - self._begun < QUIET_S or now - self._drawn < EVERY_S:
            return
        self._drawn = now
        full = WIDTH * min(done, total) // total if total else 0
        share = f"[{'#' * full}{'.' * (WIDTH - full)}] {done:,} of {total:,}" if total else f"{done:,}"
        self._stream.write(f"\r\x1b[K{share} {self._what}")
        self._stream.flush()

    def close(self) -> None:
        if self._drawn:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
