"""Writes system events: what happened to the desk, in words, with the correlation id, to the table and to the log."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta

from trading.models import Level, SystemEvent
from tvapp.lib import clock, log

logger = logging.getLogger("tvapp.events")
QUIET = timedelta(hours=1)
_rehearsing = ContextVar("rehearsing", default=False)
_LEVELS = {Level.INFO: logging.INFO, Level.WARNING: logging.WARNING, Level.ERROR: logging.ERROR}


@contextmanager
def rehearsal() -> Iterator[None]:
    """What is recorded inside is rolled back afterwards: the log must not say that it happened."""
    token = _rehearsing.set(True)
    try:
        yield
    finally:
        _rehearsing.reset(token)


def record(category: str, code: str, message: str, *, level: str = Level.INFO, owner=None, order=None, alert=None, data=None) -> SystemEvent:
    """One event row and one log line; `owner` None means the desk itself."""
    cid = log.correlation.get()
    if not _rehearsing.get():
        logger.log(_LEVELS[level], message, extra={"code": code, "category": category})
    return SystemEvent.objects.create(
        owner=owner, level=level, category=category, code=code, message=message, correlation_id=cid, order=order, alert=alert, data=data or {}
    )


def once(category: str, code: str, message: str, *, level: str = Level.INFO) -> None:
    """The desk's own event, unless it said the same within the last hour."""
    if not SystemEvent.objects.filter(code=code, message=message, at__gte=clock.now() - QUIET).exists():
        record(category, code, message, level=level)
