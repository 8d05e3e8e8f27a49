"""The one error of the house: a code, a sentence a trader understands, and what a program needs to know."""

from collections.abc import Mapping


class AppError(Exception):
    """Refused, and why.

    `code` is UPPER_SNAKE and stable, `message` is one readable sentence, `extra` is JSON-ready detail,
    `status` is the HTTP status a web answer takes.
    """

    def __init__(self, code: str, message: str, *, status: int = 400, extra: Mapping[str, object] | None = None):
        super().__init__(message)
        self.code, self.message, self.status, self.extra = code, message, status, dict(extra or {})
