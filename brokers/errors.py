"""What a broker call may raise. The class says what is known about the order; the code and the sentence say why.

On a write the default is `Ambiguous`: every other class needs a proof.
"""

from collections.abc import Mapping
from enum import StrEnum


class RejectCode(StrEnum):
    """Why a broker refused, in one vocabulary for all of them."""

    INSUFFICIENT_FUNDS = "INSUFFICIENT_FUNDS"
    INSUFFICIENT_HOLDINGS = "INSUFFICIENT_HOLDINGS"
    ORDER_NOT_FOUND = "ORDER_NOT_FOUND"
    ORDER_BUSY = "ORDER_BUSY"
    IP_NOT_ALLOWED = "IP_NOT_ALLOWED"
    NOT_PERMITTED = "NOT_PERMITTED"
    TOTP_REQUIRED = "TOTP_REQUIRED"
    INVALID_FIELD = "INVALID_FIELD"
    INVALID_TAG = "INVALID_TAG"
    INVALID_PRICE = "INVALID_PRICE"
    PRICE_BAND = "PRICE_BAND"
    TRIGGER_SIDE = "TRIGGER_SIDE"
    MARKET_PROTECTION = "MARKET_PROTECTION"
    MARKET_CLOSED = "MARKET_CLOSED"
    PRODUCT_CUTOFF = "PRODUCT_CUTOFF"
    INSTRUMENT_UNKNOWN = "INSTRUMENT_UNKNOWN"
    FREEZE_QTY = "FREEZE_QTY"
    BATCH_TOO_LARGE = "BATCH_TOO_LARGE"
    CLOCK = "CLOCK"
    EXCHANGE_DOWN = "EXCHANGE_DOWN"
    NO_PRICE = "NO_PRICE"
    OTHER = "OTHER"


class LimitCode(StrEnum):
    """How long a refusal for being too fast lasts."""

    TOO_MANY_REQUESTS = "TOO_MANY_REQUESTS"
    DAILY_ORDER_CAP = "DAILY_ORDER_CAP"  # stop until tomorrow


class BrokerError(Exception):
    """A broker call that gave no answer to use.

    `code` is UPPER_SNAKE, `message` the broker's words or ours in one sentence, `http_status` as received, `retry_after` in seconds,
    `sent` whether the request reached the broker (None: not known), `raw` the redacted answer. Neither str() nor repr() shows `raw`.
    """

    default_sent: bool | None = None

    def __init__(self, code: str, message: str, *, http_status: int | None = None, retry_after: float | None = None,
                 sent: bool | None = None, raw: Mapping[str, object] | None = None):  # fmt: skip
        super().__init__(message)
        self.code, self.message = str(code), message
        self.http_status, self.retry_after, self.raw = http_status, retry_after, raw
        self.sent = self.default_sent if sent is None else sent

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.code}: {self.message})"


class Rejected(BrokerError):
    """Proven refusal: nothing is live. On a read: refused. `code` is a RejectCode. Not to be tried again by itself."""

    default_sent = True


class Ambiguous(BrokerError):
    """The order may be live at the broker. Only writes raise it; the order is looked up by its reference, never sent again."""


class AuthExpired(BrokerError):
    """The session was refused before anything was processed. No call makes sense until somebody has logged in again."""

    default_sent = True


class RateLimited(BrokerError):
    """Refused before processing for being too fast. `code` is a LimitCode; `local` says that our own limiter refused and nothing was sent."""

    default_sent = True

    def __init__(self, code: str, message: str, *, local: bool = False, http_status: int | None = None, retry_after: float | None = None,
                 raw: Mapping[str, object] | None = None):  # fmt: skip
        super().__init__(code, message, http_status=http_status, retry_after=retry_after, sent=not local, raw=raw)
        self.local = local


class Unavailable(BrokerError):
    """On a write: proven not sent, or the broker says maintenance. On a read: no evidence of anything, so no state may change."""

    default_sent = False
