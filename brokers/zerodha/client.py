"""The official client, tamed: no redirects, nothing of the machine's environment, an address of its own, and the true answer kept.

The SDK is imported at the first call, in a worker; its ticker (with Twisted behind it) never is.
"""

import logging
import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from datetime import timedelta
from email.utils import parsedate_to_datetime
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.conf import settings

from brokers.errors import BrokerError, RejectCode, Unavailable
from brokers.models import BrokerAccount, Environment
from brokers.session import api_key_of, credentials_of
from brokers.zerodha.errors import Answer, Purpose, classify, redact_text
from tvapp.lib import clock
from tvapp.lib.errors import AppError
from tvapp.models import DeskSettings

if TYPE_CHECKING:
    import requests

CONNECT_S, READ_S, WRITE_S, LEAST_S = 3.05, 7.0, 15.0, 1.0
IDLE_S = 30.0  # routers and front ends forget connections from about a minute on
KEPT_CLIENTS = 16  # per thread; each holds one connection
LOOPBACK = ("127.0.0.1", "localhost", "::1")
ANY_IPV4 = "0.0.0.0"  # noqa: S104 - the source of a connection, nothing listens there
BROKER_HOSTS = ("kite.trade", "zerodha.com")


# ---------------------------------------------------------------------------- the SDK
class _NoTokens(logging.Filter):
    """Ending a session puts key and token into the address, and urllib3 logs addresses."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redact_text(record.getMessage()), ()
        return True


@cache
def sdk() -> ModuleType:
    """The kiteconnect package, without its ticker: that one would start Twisted in every worker."""
    if "kiteconnect" not in sys.modules:
        ticker = ModuleType("kiteconnect.ticker")
        ticker.KiteTicker = None  # type: ignore[attr-defined]
        sys.modules.setdefault("kiteconnect.ticker", ticker)
    import kiteconnect

    logging.getLogger("urllib3.connectionpool").addFilter(_NoTokens())
    return kiteconnect


@cache
def _kite_class() -> type:
    class Kite(sdk().KiteConnect):
        """Rows come back as they stood on the wire: dates are read by our own mapping, which survives odd ones."""

        def _format_response(self, data: object) -> object:
            return data

    return Kite


@cache
def _adapter_class() -> type:
    from requests.adapters import HTTPAdapter

    class FromAddress(HTTPAdapter):
        """Calls leave from one IPv4 address; a socket of IPv6 cannot be bound to it, so none is used. Never a retry."""

        def __init__(self, source: str):
            self._source = source
            super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

        def init_poolmanager(self, *args: Any, **more: Any) -> None:
            super().init_poolmanager(*args, **more, source_address=(self._source, 0))

    return FromAddress


# ---------------------------------------------------------------------------- who may talk to what
def checked_root(account: BrokerAccount) -> str:
    """The address this account may call: a LIVE account the broker alone, a SIM account anything but the broker. Else Unavailable."""
    root = settings.KITE_ROOT_URL.rstrip("/")
    host, production = urlsplit(root).hostname or "", root == settings.KITE_PRODUCTION_ROOT
    if account.environment == Environment.LIVE:
        allowed = production or (settings.TEST_MODE and host in LOOPBACK)
        why = f"a live account talks to {settings.KITE_PRODUCTION_ROOT} alone, and KITE_ROOT_URL is {root}"
    else:
        allowed = account.environment == Environment.SIM and not production and not host.endswith(BROKER_HOSTS)
        why = "this is not a live account, and KITE_ROOT_URL is the real broker"
    if not allowed:
        raise Unavailable(RejectCode.NOT_PERMITTED, f"Nothing was sent: {why}", sent=False)
    if not api_key_of(account):
        raise Unavailable(RejectCode.NOT_PERMITTED, "Nothing was sent: this account has no API key", sent=False)
    return root


def _readable_secret(account: BrokerAccount) -> str:
    """Only a login needs the API secret; one that no key opens must not keep orders from being sent, and cannot leak either."""
    try:
        return credentials_of(account)[1]
    except AppError:
        return ""


# ---------------------------------------------------------------------------- one client
class Client:
    """One account's session with the broker, for one thread. `call` is the only road to the network."""

    def __init__(self, account: BrokerAccount, token: str, root: str):
        self.secrets = tuple(s for s in (token, api_key_of(account), _readable_secret(account)) if s)
        self.root = root
        self.kite = _kite_class()(api_key=api_key_of(account), access_token=token or None, root=root)
        self._heard: requests.Response | None = None
        self.ahead: timedelta | None = None
        self._used_at = clock.monotonic()
        session = self.kite.reqsession
        session.max_redirects, session.trust_env = 0, False
        session.hooks["response"].append(self._hear)
        for scheme in ("http://", "https://"):
            session.mount(scheme, _adapter_class()(account.source_ip or ANY_IPV4))

    def _hear(self, response: "requests.Response", *args: object, **more: object) -> None:
        self._heard, self.ahead = response, _ahead(response)

    def call(self, purpose: Purpose, work: Callable[[Any], Any], *more_secrets: str) -> Any:
        """`work(kite)`, once. Whatever goes wrong is raised as a BrokerError that says what is proven."""
        self._begin(purpose)
        secrets = (*self.secrets, *more_secrets)
        try:
            found = work(self.kite)
            if self._heard is None or 200 <= self._heard.status_code < 300:
                return found
            problem: Exception = ValueError(f"HTTP {self._heard.status_code} with an answer that claims success")
        except BrokerError:
            raise
        except Exception as exc:  # noqa: BLE001 - the SDK raises anything for odd answers; every one is judged
            problem = exc
        error = classify(problem, self.answer(), purpose, unmatched_rejects=_unmatched_rejects(), secrets=secrets)
        raise error  # outside the except: what the client raised may hold tokens and must not hang on to this error

    def _begin(self, purpose: Purpose) -> None:
        """A connection that was long idle may be dead without a sign, and an order sent into it would be one in doubt: a new one is made."""
        self._heard, self.kite.timeout, now = None, _timeout(purpose), clock.monotonic()
        if now - self._used_at > IDLE_S:
            self.kite.reqsession.close()
        self._used_at = now

    def answer(self) -> Answer | None:
        """The last HTTP answer as it came, None when there was none."""
        if self._heard is None:
            return None
        try:
            body = self._heard.content
        except (RuntimeError, OSError):  # it broke off half-way
            body = b""
        return Answer(self._heard.status_code, dict(self._heard.headers), body)

    def lines(self, path: str) -> Iterator[str]:
        """The lines of a large text answer as they arrive, never all of them at once. Unavailable when it is not there or breaks off."""
        self._begin(Purpose.READ)
        problem: Exception | None = None
        try:
            with self._ask(path) as answer:
                answer.encoding = "utf-8"
                yield from answer.iter_lines(chunk_size=65536, decode_unicode=True)
        except Exception as exc:  # noqa: BLE001 - as in `call`
            problem = exc
        if problem is not None:
            raise classify(problem, self.answer(), Purpose.READ, secrets=self.secrets)

    def _ask(self, path: str) -> "requests.Response":
        headers = {"X-Kite-Version": self.kite.kite_header_version}
        if self.kite.access_token:
            headers["Authorization"] = f"token {self.kite.api_key}:{self.kite.access_token}"
        answer = self.kite.reqsession.get(self.root + path, headers=headers, timeout=self.kite.timeout, stream=True, allow_redirects=False)
        if answer.status_code != 200 or "csv" not in answer.headers.get("content-type", ""):
            raise ValueError(f"HTTP {answer.status_code} in place of a list")
        return answer

    def close(self) -> None:
        """Nothing may keep the connection: not the last answer, and not the circle of client, session and hook."""
        self._heard = None
        self.kite.reqsession.hooks["response"].clear()
        self.kite.reqsession.close()


def _ahead(response: "requests.Response") -> timedelta | None:
    """How far the other clock is ahead, as the Date header proves: it names a whole second, and the call took its time. 0 when it may be right."""
    try:
        told = parsedate_to_datetime(response.headers["Date"])
    except (KeyError, ValueError, TypeError):
        return None
    if told.tzinfo is None:
        return None
    now = clock.now()
    asked = now - response.elapsed
    return max(told - now, timedelta(0)) or min(told + timedelta(seconds=1) - asked, timedelta(0))


def _timeout(purpose: Purpose) -> tuple[float, float]:
    answer = WRITE_S if purpose is Purpose.WRITE else READ_S
    scale = clock.time_scale()
    return max(LEAST_S, CONNECT_S * scale), max(LEAST_S, answer * scale)


def _unmatched_rejects() -> bool:
    return DeskSettings.current().unmatched_4xx_rejects


# ---------------------------------------------------------------------------- one HTTP session is used again
_here = threading.local()


def client_for(account: BrokerAccount, token: str) -> Client:
    """The thread's client of this account and token; a new token makes a new one and closes the old."""
    root = checked_root(account)
    kept = _clients()
    wanted = (token, root, api_key_of(account), account.source_ip)
    if account.pk in kept and kept[account.pk][0] == wanted:
        kept.move_to_end(account.pk)
        return kept[account.pk][1]
    if account.pk in kept:
        kept.pop(account.pk)[1].close()
    kept[account.pk] = (wanted, Client(account, token, root))
    while len(kept) > KEPT_CLIENTS:
        kept.popitem(last=False)[1][1].close()
    return kept[account.pk][1]


def _clients() -> "OrderedDict[int, tuple[tuple[Any, ...], Client]]":
    if getattr(_here, "pid", None) != os.getpid():  # a fork must not share its parent's connections
        _here.pid, _here.clients = os.getpid(), OrderedDict()
    clients: OrderedDict[int, tuple[tuple[Any, ...], Client]] = _here.clients
    return clients
