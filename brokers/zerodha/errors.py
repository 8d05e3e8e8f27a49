"""What an answer of Kite, or the lack of one, proves. A table of facts and one pure function over it.

Order of evidence: a text the table knows, the true HTTP status, Kite's own error_type, the kind of the exception. A write is Ambiguous unless
something is proven; a read that failed is Unavailable. The status comes from the HTTP answer itself: the official client loses it for all that
is not JSON, and folds several error types into one.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

from brokers.errors import Ambiguous, AuthExpired, BrokerError, LimitCode, RateLimited, RejectCode, Rejected, Unavailable


class Outcome(StrEnum):
    """What a known text proves. REFUSED, BUSY and AUTH prove it only together with an HTTP status of 4xx."""

    REFUSED = "REFUSED"
    AMBIGUOUS = "AMBIGUOUS"
    AUTH = "AUTH"
    LIMITED = "LIMITED"
    NOT_SENT = "NOT_SENT"
    IN_BOOK = "IN_BOOK"
    BUSY = "BUSY"
    READ_FAILED = "READ_FAILED"


class Purpose(StrEnum):
    """What a call was for: a write may leave something live behind, a read and a login may not."""

    WRITE = "write"
    READ = "read"
    LOGIN = "login"


@dataclass(frozen=True, slots=True)
class Known:
    """One text. `channels`: where it is seen: api (a JSON error), exception (what the client raised), book, gtt, ws. `scope`: a Purpose, or any."""

    id: str
    regex: str
    channels: str
    scope: str
    outcome: Outcome
    code: str
    pattern: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pattern", re.compile(self.regex, re.IGNORECASE | re.DOTALL))

    def fits(self, channel: str, purpose: Purpose) -> bool:
        return channel in self.channels.split() and self.scope in ("any", purpose.value)


R = RejectCode
NUMBER = r"\d+(?:\.\d+)?"
# Read from top to bottom, the first that matches counts.
TABLE: tuple[Known, ...] = (
    Known("order_timed_out", r"order request timed out",
          "api", "any", Outcome.AMBIGUOUS, "OMS_TIMEOUT"),  # came with 400, and the orders went live
    Known("gateway_timed_out", r"gateway time(d)?[ -]?out", "api", "any", Outcome.AMBIGUOUS, "OMS_TIMEOUT"),
    Known("oms_failed", r"request failed \(kitetrade-oms\)", "api", "any", Outcome.AMBIGUOUS, "OMS_ERROR"),
    Known("read_timeout", r"read timed out", "exception", "any", Outcome.AMBIGUOUS, "TIMEOUT"),
    # the request HAD left through the tunnel, whatever the wording says
    Known("proxy_dropped_after_send",
          r"proxyerror\('unable to connect to proxy', (?!newconnectionerror|nameresolutionerror|connecttimeouterror|oserror\('tunnel)",
          "exception", "any", Outcome.AMBIGUOUS, "CONN_DROPPED"),
    Known("conn_dropped", r"connection aborted|remotedisconnected|connectionreset|connection reset by peer|broken pipe|incompleteread",
          "exception", "any", Outcome.AMBIGUOUS, "CONN_DROPPED"),
    # the same text for a failed handshake and for a record that broke after the request was out
    Known("tls_broken", r"caused by sslerror\((?!sslcertverificationerror)", "exception", "any", Outcome.AMBIGUOUS, "TLS_BROKEN"),
    Known("redirected", r"exceeded \d+ redirects", "exception", "any", Outcome.AMBIGUOUS, "REDIRECTED"),
    Known("html_body", r"unknown content-type", "exception", "any", Outcome.AMBIGUOUS, "BAD_BODY"),
    Known("bad_json", r"couldn't parse the json", "exception", "any", Outcome.AMBIGUOUS, "BAD_BODY"),
    Known("sdk_no_content_type", r"^'content-type'$", "exception", "any", Outcome.AMBIGUOUS, "BAD_BODY"),
    Known("sdk_no_error_type", r"attribute name must be string", "exception", "any", Outcome.AMBIGUOUS, "BAD_BODY"),
    Known("sdk_no_message", r"^'message'$", "exception", "any", Outcome.AMBIGUOUS, "BAD_BODY"),
    Known("sdk_no_data", r"^'data'$", "exception", "any", Outcome.AMBIGUOUS, "BAD_BODY"),
    Known("sdk_no_order_id", r"^'(order|trigger)_id'$", "exception", "any", Outcome.AMBIGUOUS, "BAD_BODY"),
    Known("sdk_null_data", r"'nonetype' object is not subscriptable", "exception", "any", Outcome.AMBIGUOUS, "BAD_BODY"),
    Known("sdk_list_body", r"'list' object has no attribute 'get'", "exception", "any", Outcome.AMBIGUOUS, "BAD_BODY"),
    Known("cert_invalid", r"sslcertverificationerror|certificate verify failed", "exception", "any", Outcome.NOT_SENT, "TLS_CERT"),
    Known("not_connected", r"newconnectionerror|nameresolutionerror|connecttimeouterror|failed to resolve|\(connect timeout=",
          "exception", "any", Outcome.NOT_SENT, "NO_CONNECTION"),
    Known("proxy_tunnel_refused", r"tunnel connection failed: \d{3}", "exception", "any", Outcome.NOT_SENT, "NO_CONNECTION"),
    Known("local_not_serialisable", r"is not json serializable", "exception", "any", Outcome.NOT_SENT, "LOCAL_BUG"),
    Known("local_bad_argument", r"unexpected keyword argument|missing \d+ required positional argument",
          "exception", "any", Outcome.NOT_SENT, "LOCAL_BUG"),
    Known("too_many_requests", r"too many requests", "api", "any", Outcome.LIMITED, LimitCode.TOO_MANY_REQUESTS),
    Known("daily_order_cap", r"maximum allowed order requests exceeded", "api", "write", Outcome.LIMITED, LimitCode.DAILY_ORDER_CAP),
    Known("batch_too_large", r"too many tokens requested\. max permitted is (?P<max>\d+)",
          "api", "read", Outcome.REFUSED, R.BATCH_TOO_LARGE),
    Known("token_incorrect", r"(incorrect|invalid) `?api_key`? or `?access_token`?", "api", "any", Outcome.AUTH, "TOKEN"),
    Known("token_invalid", r"invalid or expired token", "api", "any", Outcome.AUTH, "TOKEN"),
    Known("request_token_dead", r"token is invalid or has expired", "api", "login", Outcome.AUTH, "LOGIN_TOKEN_USED"),
    Known("bad_checksum", r"invalid `?checksum`?", "api", "login", Outcome.AUTH, "LOGIN_BAD_SECRET"),
    Known("ws_upgrade_403", r"upgrade failed \(403", "ws", "any", Outcome.AUTH, "WS_FORBIDDEN"),
    Known("user_not_enabled", r"user is not enabled (on|for) the app", "api", "login", Outcome.REFUSED, R.NOT_PERMITTED),
    Known("not_permitted", r"api call is not allowed for the authenticated user", "api", "any", Outcome.REFUSED, R.NOT_PERMITTED),
    Known("totp_required", r"totp is mandatory", "api", "write", Outcome.REFUSED, R.TOTP_REQUIRED),
    Known("ip_not_allowed", r"IP \(?(?P<ip>[0-9a-f.:]+)?\)?.*is not allowed to place orders for this app",
          "api", "write", Outcome.REFUSED, R.IP_NOT_ALLOWED),
    Known("no_market_protection", r"market orders without market protection", "api", "write", Outcome.REFUSED, R.MARKET_PROTECTION),
    Known("protection_not_number", r"failed to decode market_protection", "api", "write", Outcome.REFUSED, R.INVALID_FIELD),
    Known("invalid_field", r"^invalid `(?P<field>\w+)`", "api", "write", Outcome.REFUSED, R.INVALID_FIELD),
    Known("tick_size", rf"tick size for this script is (?P<tick>{NUMBER}).*?(?P<which>trigger price|price)",
          "api", "write", Outcome.REFUSED, R.INVALID_PRICE),
    Known("no_instrument", r"instrument you are placing an order for has", "api", "write", Outcome.REFUSED, R.INSTRUMENT_UNKNOWN),
    Known("margin_in_book",
          rf"insufficient funds\. required margin is (?P<required>{NUMBER}) but available margin is (?P<available>-?{NUMBER})\. check the orderbook",
          "book", "write", Outcome.IN_BOOK, R.INSUFFICIENT_FUNDS),
    Known("margin_refused",
          rf"insufficient funds\. required margin is (?P<required>{NUMBER}) but available margin is (?P<available>-?{NUMBER})",
          "api", "write", Outcome.REFUSED, R.INSUFFICIENT_FUNDS),
    Known("margin_raw", rf"RMS:\s?Margin Exceeds,Required:(?P<required>{NUMBER}), ?Available:(?P<available>-?{NUMBER})",
          "book", "write", Outcome.IN_BOOK, R.INSUFFICIENT_FUNDS),
    Known("holdings_short", r"insufficient stock holding", "api book", "write", Outcome.REFUSED, R.INSUFFICIENT_HOLDINGS),
    Known("amo_hint", r"try placing an amo order|markets are not open for trading today", "api", "write", Outcome.REFUSED, R.MARKET_CLOSED),
    Known("amo_not_converted", r"could not be converted to a(n)? after market order", "api", "write", Outcome.REFUSED, R.MARKET_CLOSED),
    Known("markets_closed", r"markets are closed right now", "api", "write", Outcome.REFUSED, R.MARKET_CLOSED),
    Known("mis_cutoff", r"intraday orders \(mis\) are allowed only till (?P<time>\d{1,2}:\d{2} ?[ap]m)",
          "api", "write", Outcome.REFUSED, R.PRODUCT_CUTOFF),
    Known("cancel_busy", r"order cannot be cancelled as it is being processed", "api", "write", Outcome.BUSY, R.ORDER_BUSY),
    Known("modify_busy", r"order cannot be modified as it is being processed", "api", "write", Outcome.BUSY, R.ORDER_BUSY),
    Known("variety_locked", r"order variety cannot be modified", "api book", "write", Outcome.REFUSED, R.INVALID_FIELD),
    Known("tag_length", r"`?tag`? should be max", "api", "write", Outcome.REFUSED, R.INVALID_TAG),
    Known("lpp_limit", rf"outside the allowed LPP limit \((?P<limit>{NUMBER})\)", "api book", "write", Outcome.REFUSED, R.PRICE_BAND),
    Known("circuit_or_lpp", r"price exceeds circuit limits", "book", "write", Outcome.IN_BOOK, R.PRICE_BAND),
    Known("circuit_limit", rf"order price is (lower|higher) than the current (lower|upper) circuit limit of (?P<limit>{NUMBER})",
          "api gtt", "write", Outcome.REFUSED, R.PRICE_BAND),
    Known("trigger_circuit", r"trigger price for stoploss (buy|sell) orders cannot be (below|above)",
          "api", "write", Outcome.REFUSED, R.PRICE_BAND),
    Known("freeze_quantity", r"check freeze quantity", "book", "write", Outcome.IN_BOOK, R.FREEZE_QTY),
    Known("exchange_adapter", r"\(adapter\) did not accept the order", "book", "write", Outcome.IN_BOOK, R.EXCHANGE_DOWN),
    Known("sdk_orders_null", r"local variable '_list'", "exception", "read", Outcome.READ_FAILED, "BAD_BODY"),
    Known("no_such_order", r"couldn't find that `?(order|trigger)_id`?", "api", "any", Outcome.REFUSED, R.ORDER_NOT_FOUND),
    Known("modified_too_often", r"maximum allowed order modifications exceeded", "api", "write", Outcome.REFUSED, R.OTHER),
    Known("gtt_ended", r"trigger cannot be (modified|deleted)", "api", "write", Outcome.BUSY, R.ORDER_BUSY),
    Known("gtt_too_many", r"maximum allowed active gtts", "api", "write", Outcome.REFUSED, R.OTHER),
)  # fmt: skip

# What nobody at the broker worded is told in ours.
SENTENCES = {
    "TIMEOUT": "Zerodha did not answer in time",
    "CONN_DROPPED": "the connection broke before Zerodha answered",
    "TLS_BROKEN": "the encrypted connection to Zerodha broke",
    "REDIRECTED": "the answer pointed to another address, which Zerodha's never do",
    "BAD_BODY": "the answer of Zerodha could not be read",
    "TLS_CERT": "the server's certificate is not Zerodha's, so nothing was sent",
    "NO_CONNECTION": "no connection to Zerodha could be made, so nothing was sent",
    "LOCAL_BUG": "the request could not be written, so nothing was sent",
    "OTHER": "Zerodha's answer is not one the desk knows",
}
# Causes that end before a byte of the request left; a certificate is judged before it, too.
UNSENT_CAUSES = {
    "NewConnectionError": "NO_CONNECTION",
    "NameResolutionError": "NO_CONNECTION",
    "ConnectTimeoutError": "NO_CONNECTION",
    "SSLCertVerificationError": "TLS_CERT",
}
REFUSING_TYPES = {"MarginException": R.INSUFFICIENT_FUNDS, "HoldingException": R.INSUFFICIENT_HOLDINGS}
KEPT_BODY = 2000


# ---------------------------------------------------------------------------- redaction
HIDDEN = "<hidden>"
_PRIVATE_KEYS = {
    "access_token", "request_token", "refresh_token", "public_token", "enctoken", "api_key", "api_secret", "checksum", "authorization",
    "placed_by", "user_id", "account_id", "email", "user_name", "user_shortname",
}  # fmt: skip
_IN_TEXT = re.compile(
    r"(\"?\b(?:access_token|request_token|refresh_token|public_token|enctoken|api_key|api_secret|checksum|placed_by|user_id|account_id|email)\b\\*\"?"
    r"\s*[=:]\s*\\*\"?|\btoken [\w.-]+:|\bentity account-)([^\s\"&',}<\\]+)",
    re.IGNORECASE,
)


def redact(value: object, secrets: Iterable[str] = ()) -> object:
    """The same value for keeping: JSON types only, without keys, tokens and client ids; `secrets` are hidden wherever they stand."""
    known = tuple(s for s in secrets if len(s) > 3)
    return _redact(value, known)


def _redact(value: object, secrets: tuple[str, ...]) -> object:
    if isinstance(value, Mapping):
        return {str(k): HIDDEN if str(k).lower() in _PRIVATE_KEYS and v else _redact(v, secrets) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_redact(item, secrets) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, datetime | date):
        return value.isoformat()
    return redact_text(str(value), secrets)


def redact_text(text: str, secrets: Iterable[str] = ()) -> str:
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return _IN_TEXT.sub(rf"\1{HIDDEN}", text)


# ---------------------------------------------------------------------------- what came back
@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer as it was received."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def envelope(self) -> Mapping[str, object]:
        """The JSON object Kite wraps everything in; empty when the body is none."""
        try:
            said = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return said if isinstance(said, dict) else {}

    def text(self) -> str:
        return self.body[:KEPT_BODY].decode("utf-8", "replace")

    def retry_after(self) -> float | None:
        given = {name.lower(): value for name, value in self.headers.items()}.get("retry-after", "")
        return float(given) if given.isascii() and given.isdigit() else None


@dataclass(frozen=True, slots=True)
class _Evidence:
    """All that is known about a failed call."""

    answer: Answer | None
    channel: str
    text: str
    error_type: str
    data: object
    purpose: Purpose
    secrets: tuple[str, ...]

    @property
    def status(self) -> int:
        return self.answer.status if self.answer else 0

    @property
    def retry_after(self) -> float | None:
        return self.answer.retry_after() if self.answer else None

    @property
    def refusal(self) -> bool:
        return 400 <= self.status < 500

    @property
    def said_so(self) -> bool:
        """Kite itself answered with an error; not a proxy in front of it."""
        return self.channel == "api" and bool(self.error_type)

    def words(self, code: str) -> str:
        """The broker's words where there are any, without its marks around names; else ours."""
        told = redact_text(self.text, self.secrets).replace("`", "").strip().rstrip(".") if self.channel == "api" else ""
        return told[:300] or SENTENCES.get(code, SENTENCES["OTHER"])

    def raw(self, row: Known | None) -> dict[str, object]:
        kept: dict[str, object] = {"http_status": self.status or None, "error_type": self.error_type or None}
        kept["body"] = redact_text(self.answer.text(), self.secrets) if self.answer else redact_text(self.text, self.secrets)[:KEPT_BODY]
        if self.data is not None:
            kept["data"] = _redact(self.data, self.secrets)
        if row is None:
            return {**kept, "unclassified": True}
        found = row.pattern.search(self.text)
        return {**kept, "known": row.id, **({k: v for k, v in found.groupdict().items() if v} if found else {})}


def classify(exc: BaseException, answer: Answer | None, purpose: Purpose, *, unmatched_rejects: bool = False,
             secrets: Iterable[str] = ()) -> BrokerError:  # fmt: skip
    """The error to raise for a call that ended in `exc`, with the HTTP answer if one was received.

    `unmatched_rejects`: a refusal (4xx) in words no table knows counts as Rejected instead of Ambiguous. `raw` of what no rule knew carries
    `unclassified: True`.
    """
    evidence = _gather(exc, answer, purpose, tuple(s for s in secrets if len(s) > 3))
    unsent = _never_left(exc) if answer is None else ""
    if unsent:
        return Unavailable(unsent, SENTENCES[unsent], sent=False, raw=evidence.raw(_first(evidence, Outcome.NOT_SENT)))
    row = known(evidence.text, evidence.channel, purpose)
    return _by_text(evidence, row) or _by_status(evidence, row) or _by_type(evidence) or _unproven(evidence, row, unmatched_rejects)


def known(text: str, channel: str, purpose: Purpose = Purpose.WRITE) -> Known | None:
    """The first row of the table that matches."""
    return next((row for row in TABLE if row.fits(channel, purpose) and row.pattern.search(text)), None)


def code_of(message: str, channel: str = "book") -> str:
    """The RejectCode of a refusal that stands in the order book or in a trigger's result; OTHER when its words are not known."""
    row = known(message, channel) or known(message, "api")
    return row.code if row and row.outcome in (Outcome.REFUSED, Outcome.IN_BOOK) else str(RejectCode.OTHER)


def _gather(exc: BaseException, answer: Answer | None, purpose: Purpose, secrets: tuple[str, ...]) -> _Evidence:
    said = answer.envelope() if answer else {}
    if said.get("status") == "error" or said.get("error_type"):
        message = said.get("message")
        if isinstance(message, str) and message:
            return _Evidence(answer, "api", message, str(said.get("error_type") or ""), said.get("data"), purpose, secrets)
    return _Evidence(answer, "exception", str(exc), str(said.get("error_type") or ""), None, purpose, secrets)


def _never_left(exc: BaseException) -> str:
    """The code of a cause that proves that nothing was sent, else an empty text.

    Only explicit links are followed. An exception's context is whatever the caller was busy with, and no proof of anything.
    """
    for cause in _causes(exc):
        names = {kind.__name__ for kind in type(cause).__mro__}
        for name, code in UNSENT_CAUSES.items():
            if name in names:
                return code
        if isinstance(cause, OSError) and str(cause).startswith("Tunnel connection failed: "):
            return "NO_CONNECTION"
    row = known(str(exc), "exception")
    return row.code if row and row.outcome is Outcome.NOT_SENT else ""


def _causes(exc: BaseException) -> Iterator[BaseException]:
    waiting, seen = [exc], set()
    while waiting:
        cause = waiting.pop()
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        linked = (cause.__cause__, getattr(cause, "reason", None), *cause.args)
        waiting += [link for link in linked if isinstance(link, BaseException)]


def _first(evidence: _Evidence, outcome: Outcome) -> Known:
    """The row that says so, or any of that outcome: what a cause proves is known, whatever its words."""
    row = known(evidence.text, "exception")
    return row if row and row.outcome is outcome else next(row for row in TABLE if row.outcome is outcome and row.id == "not_connected")


def _by_text(evidence: _Evidence, row: Known | None) -> BrokerError | None:
    if row is None or (evidence.channel == "exception" and evidence.status == 429):
        return None
    raw, words, status = evidence.raw(row), evidence.words(row.code), evidence.status or None
    if row.outcome in (Outcome.AMBIGUOUS, Outcome.READ_FAILED):
        if evidence.purpose is not Purpose.WRITE:
            return _unread(row.code, words, status, raw)
        return Ambiguous(row.code, words, http_status=status, raw=raw)
    if row.outcome is Outcome.LIMITED and evidence.status >= 400:
        return RateLimited(row.code, words, http_status=status, retry_after=evidence.retry_after, raw=raw)
    if row.outcome is Outcome.AUTH and evidence.refusal:
        return AuthExpired(row.code, words, http_status=status, raw=raw)
    if row.outcome in (Outcome.REFUSED, Outcome.BUSY) and evidence.refusal:
        return Rejected(row.code, words, http_status=status, raw=raw)
    return None


def _by_status(evidence: _Evidence, row: Known | None) -> BrokerError | None:
    raw, answer = evidence.raw(row), evidence.answer
    if answer is None:
        return None
    if answer.status == 429:
        words = "Zerodha says: too many requests" if evidence.channel == "exception" else evidence.words("")
        return RateLimited(LimitCode.TOO_MANY_REQUESTS, words, http_status=429, retry_after=answer.retry_after(), raw={**raw, "unclassified": False})
    if answer.status == 403 and evidence.error_type == "TokenException":
        return AuthExpired("TOKEN", evidence.words(""), http_status=403, raw=raw)
    return None


def _by_type(evidence: _Evidence) -> BrokerError | None:
    if not (evidence.said_so and evidence.refusal):
        return None
    code = REFUSING_TYPES.get(evidence.error_type)
    if code is None and evidence.error_type == "PermissionException" and evidence.purpose is not Purpose.WRITE:
        code = R.NOT_PERMITTED
    return Rejected(code, evidence.words(code), http_status=evidence.status, raw=evidence.raw(None)) if code else None


def _unread(code: str, words: str, status: int | None, raw: dict[str, object]) -> Unavailable:
    """No evidence. It may have been worked on, though, and that counts for a login: its token works once."""
    error = Unavailable(code, words, http_status=status, raw=raw)
    error.sent = True if status else None
    return error


def _unproven(evidence: _Evidence, row: Known | None, unmatched_rejects: bool) -> BrokerError:
    raw, status, words = evidence.raw(row), evidence.status or None, evidence.words("OTHER")
    if evidence.purpose is not Purpose.WRITE:
        return _unread(row.code if row else "OTHER", words, status, raw)
    if unmatched_rejects and evidence.said_so and evidence.refusal:
        return Rejected(R.OTHER, words, http_status=status, raw=raw)
    return Ambiguous("OTHER", words, http_status=status, raw=raw)
