"""What `bench` and `crashtest` have in common: their work is in the folder tests, and they leave nothing running behind."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

from django.core.management.base import CommandError


def load(module: str, what: str) -> ModuleType:
    """The module; CommandError where only the program is installed. `what` begins the sentence."""
    try:
        return import_module(module)
    except ModuleNotFoundError as missing:
        text = f"{what} in the folder tests of the source, which is not installed here: run this in a clone of the repository."
        raise CommandError(text) from missing


@contextmanager
def ended_politely() -> Iterator[None]:
    """SIGTERM becomes an exit, so that what was started is ended on the way out."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
