"""Logging: one line an event, JSON when nobody is looking at a terminal, with the correlation id on each."""

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

correlation: ContextVar[str] = ContextVar("correlation_id", default="")
_muted: ContextVar[bool] = ContextVar("muted", default=False)

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_SECRET_KEYS = re.compile(r"secret|token|password|apikey|api_key|authorization|cookie|otp", re.I)
_TOKEN_PATH = re.compile(r"(/webhook/tv/|/postback/\w+/)[^/\s\"?]+")


@contextmanager
def bound(correlation_id: str) -> Iterator[None]:
    """Puts `correlation_id` on every line logged inside."""
    token = correlation.set(correlation_id)
    try:
        yield
    finally:
        correlation.reset(token)


@contextmanager
def muted() -> Iterator[None]:
    """Nothing is logged inside: for a rehearsal, whose rows are rolled back, and with them what the lines would tell of."""
    token = _muted.set(True)
    try:
        yield
    finally:
        _muted.reset(token)


def safe(text: str) -> str:
    """Control characters made visible and tokens in webhook and postback addresses hidden, so that user text cannot forge a line."""
    return _CONTROL.sub(lambda m: f"\\x{ord(m.group()):02x}", _TOKEN_PATH.sub(r"\1<hidden>", text))


class ContextFilter(logging.Filter):
    """Adds the correlation id of the current context to the record."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.correlation_id = getattr(record, "correlation_id", "") or correlation.get()
        return not _muted.get()


def _extras(record: logging.LogRecord) -> dict[str, object]:
    given = {k: v for k, v in vars(record).items() if k not in _STANDARD and k != "correlation_id"}
    return {k: "<hidden>" if _SECRET_KEYS.search(k) else v for k, v in given.items() if k not in ("request", "server_time")}


class JsonFormatter(logging.Formatter):
    """One JSON object a line: at, level, logger, message, correlation_id and the record's extras."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": safe(record.getMessage()),
            "correlation_id": getattr(record, "correlation_id", ""),
            **{k: v if isinstance(v, int | float | bool | None) else safe(str(v)) for k, v in _extras(record).items()},
        }
        if record.exc_info:
            line["exception"] = safe(self.formatException(record.exc_info).replace("\n", " | "))
        return json.dumps(line, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """The same facts for a person at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).astimezone().strftime("%H:%M:%S")
        cid = getattr(record, "correlation_id", "")
        extras = " ".join(f"{k}={safe(str(v))}" for k, v in _extras(record).items())
        text = " ".join(p for p in (at, record.levelname.lower(), record.name, safe(record.getMessage()), extras, cid) if p)
        return text + ("\n" + self.formatException(record.exc_info) if record.exc_info else "")
