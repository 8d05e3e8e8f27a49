"""Kite's order-update socket. It carries hints only: whatever a frame says, the desk reads the order book and believes that.

KiteTicker is not used: it does not check certificates. The address carries the access token, so nothing here logs an address, nor an
exception's own words, and no redirect is followed with it.
"""

import json
import logging
import random
import socket
import ssl
import threading
from collections.abc import Callable
from enum import StrEnum
from urllib.parse import urlencode, urlsplit

import certifi
from django.conf import settings
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

from brokers import session
from brokers.models import BrokerAccount
from brokers.zerodha.client import LOOPBACK, checked_root
from tvapp.lib import clock

logger = logging.getLogger("brokers.zerodha.stream")
SILENT = logging.Logger("websockets")
SILENT.disabled = True  # the library would log the request with the token in it

PRODUCTION = "wss://ws.kite.trade"
OPEN_S, CLOSE_S, LISTEN_S = 10, 2, 0.5
ALIVE_S = 30  # Kite sends a heartbeat about every second
FIRST_PAUSE_S, LONGEST_PAUSE_S, STEADY_S = 1, 60, 30
LARGEST = 1 << 20
_TROUBLE = (OSError, EOFError, ValueError, WebSocketException)


class Word(StrEnum):
    """What a stream tells: OPEN after every (re)connect, ORDER for a hint, REFUSED (token or plan, it stops), UNTRUSTED (certificate)."""

    OPEN = "OPEN"
    ORDER = "ORDER"
    REFUSED = "REFUSED"
    UNTRUSTED = "UNTRUSTED"


Tell = Callable[[int, Word], None]


def stream_of(account: BrokerAccount, tell: Tell) -> "KiteStream":
    """The stream of a logged-in account, not yet started. Raises AuthExpired, Unavailable or AppError when it may not be opened."""
    root = checked_root(account)
    wanted = {"api_key": session.api_key_of(account), "access_token": session.access_token_of(account)}
    address = f"{socket_root(root)}/?{urlencode(wanted)}"
    return KiteStream(account.pk, address, tell, source_ip=account.source_ip)


def socket_root(root: str) -> str:
    """The socket's address beside a REST root. Raises ValueError for one without TLS that leaves this machine."""
    if root.rstrip("/") == settings.KITE_PRODUCTION_ROOT:
        return PRODUCTION
    parts = urlsplit(root)
    if parts.scheme != "https" and parts.hostname not in LOOPBACK:
        raise ValueError("The order stream needs https, but on this machine itself.")
    return f"{'wss' if parts.scheme == 'https' else 'ws'}://{parts.netloc}"


def trust() -> ssl.SSLContext:
    """Certificates of the public authorities that the REST client trusts, too; host names are checked. The environment has no say."""
    return ssl.create_default_context(cafile=certifi.where())


def is_order(frame: str | bytes) -> bool:
    """Whether a frame says that some order moved; binary ones are prices and heartbeats."""
    if isinstance(frame, bytes):
        return False
    try:
        said = json.loads(frame)
    except (ValueError, RecursionError):
        return False
    return isinstance(said, dict) and said.get("type") == "order"


class KiteStream(threading.Thread):
    """One connection of one account in a thread of its own: opened again until `stop`, or until the broker refuses it."""

    def __init__(self, account_id: int, address: str, tell: Tell, *, source_ip: str | None = None, tls: ssl.SSLContext | None = None):
        super().__init__(name=f"stream-{account_id}", daemon=True)
        self.account_id, self._address, self._tell_all = account_id, address, tell
        self._source, self._tls = source_ip, tls
        self._over = threading.Event()
        self._strikes = 0
        self.refused = False

    def __repr__(self) -> str:
        return f"KiteStream({self.account_id})"

    def stop(self) -> None:
        """Ends it within a second."""
        self._over.set()

    def run(self) -> None:
        while not self._over.is_set():
            if self._once():
                return
            self._over.wait(self._pause())

    def _once(self) -> bool:
        """One connection from its opening to its end. True: no further one makes sense."""
        began = clock.monotonic()
        try:
            with self._open() as link:
                self._say(Word.OPEN)
                self._listen(link)
        except InvalidStatus as answer:
            return self._turned_away(answer.response.status_code)
        except ssl.SSLCertVerificationError:
            logger.error("the order stream's server has no certificate that is trusted; nothing was sent to it", extra=self._who())
            self._say(Word.UNTRUSTED)
        except ConnectionClosed:
            logger.info("the order stream was closed", extra=self._who())
        except _TROUBLE as problem:
            logger.info("the order stream broke off: %s", type(problem).__name__, extra=self._who())
        lasted = clock.monotonic() - began
        self._strikes = 0 if lasted > STEADY_S * clock.time_scale() else self._strikes + 1
        return False

    def _open(self) -> ClientConnection:
        """Over a socket of our own: so it has our source address, takes no proxy from the environment and follows no redirect."""
        parts = urlsplit(self._address)
        secure, host = parts.scheme == "wss", parts.hostname or ""
        source = (self._source, 0) if self._source else None
        raw = socket.create_connection((host, parts.port or (443 if secure else 80)), OPEN_S, source)
        tls = (self._tls or trust()) if secure else None
        return connect(
            self._address, sock=raw, ssl=tls, server_hostname=host if secure else None, compression=None, proxy=None, legacy=True,
            open_timeout=OPEN_S, close_timeout=CLOSE_S, max_size=LARGEST, logger=SILENT,
        )  # fmt: skip

    def _listen(self, link: ClientConnection) -> None:
        heard = clock.monotonic()
        while not self._over.is_set():
            try:
                frame = link.recv(timeout=LISTEN_S)
            except TimeoutError:
                if clock.monotonic() - heard > ALIVE_S:
                    raise
                continue
            heard = clock.monotonic()
            if is_order(frame):
                self._say(Word.ORDER)

    def _turned_away(self, status: int) -> bool:
        """403 is a dead token or a plan without the stream: asking again changes nothing before the next login."""
        logger.info("the order stream was refused: HTTP %s", status, extra=self._who())
        self._strikes += 1
        if status == 403:
            self.refused = True
            self._say(Word.REFUSED)
        return self.refused

    def _pause(self) -> float:
        """Longer each time in a row, spread, so that many desks do not come back at once."""
        longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(self._strikes, 10))
        return longest * random.uniform(0.5, 1) * clock.time_scale()  # noqa: S311 - spread, no secret

    def _say(self, word: Word) -> None:
        if not self._over.is_set():
            self._tell_all(self.account_id, word)

    def _who(self) -> dict[str, int]:
        return {"account_id": self.account_id}
