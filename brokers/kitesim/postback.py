"""Postbacks: what the broker posts to the app's address when an order of it moves, with a checksum in the body."""

import hashlib
import json
import logging
import queue
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from urllib.parse import urlsplit

from brokers.kitesim.accounts import Account
from brokers.kitesim.answers import encode
from brokers.kitesim.books import Order
from brokers.kitesim.state import Simulator

logger = logging.getLogger("brokers.kitesim")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
TIMEOUT_S, APP_ID = 5.0, 1234
NOT_SAID = ("tags", "modified", "validity_ttl")


def checksum(order_id: object, order_timestamp: object, secret: str) -> str:
    return hashlib.sha256(f"{order_id}{order_timestamp}{secret}".encode()).hexdigest()


def message(account: Account, order: Order, status: str, with_checksum: bool = True) -> dict[str, object]:
    """The body: the order's row, its new status, and the checksum over order id, time and secret."""
    row = {name: value for name, value in order.row().items() if name not in NOT_SAID}
    row |= {"user_id": account.user_id, "app_id": APP_ID, "unfilled_quantity": order.pending, "status": status}
    row["checksum"] = checksum(row["order_id"], row["order_timestamp"], account.secret) if with_checksum else ""
    return row


def post(url: str, body: Mapping[str, object]) -> int:
    """The status the app answered, 0 when nobody did. Raises ValueError for an address that is not on this machine."""
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname not in LOOPBACK:
        raise ValueError("a postback goes to an http address on this machine")
    request = urllib.request.Request(url, encode(body), {"Content-Type": "application/json", "X-Simulator": "1"})  # noqa: S310 - http on loopback, checked above
    try:
        with _OPENER.open(request, timeout=TIMEOUT_S) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code
    except OSError as why:
        logger.info("nobody took the postback at %s: %s", parts.netloc, why)
        return 0


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Sender:
    """Posts in the order of the events, from a thread of its own, so that the app may ask back."""

    def __init__(self, sim: Simulator):
        self._sim, self._queue = sim, queue.Queue()
        sim.listeners.append(self._heard)
        threading.Thread(target=self._run, name="kitesim-postback", daemon=True).start()

    def _heard(self, api_key: str, order: Order, status: str) -> None:
        account = self._sim.accounts[api_key]
        if account.postback_url:
            self._queue.put((account.postback_url, message(account, order, status)))

    def close(self) -> None:
        self._sim.listeners.remove(self._heard)
        self._queue.put(None)

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            post(*job)


def by_hand(sim: Simulator, wanted: Mapping[str, object]) -> dict[str, object]:
    """A postback sent now: {"order_id", "status", "checksum": "wrong", "fields", "url", "times"}; the lock is not held while it is sent."""
    with sim.lock:
        order = next((o for o in sim.truth if o.order_id == wanted.get("order_id")), None)
        if order is None:
            raise ValueError("order_id names no order that was accepted")
        account = sim.accounts[order.api_key]
        body = message(account, order, str(wanted.get("status") or order.status)) | dict(wanted.get("fields") or {})
        if wanted.get("checksum") == "wrong":
            body["checksum"] = "0" * 64
        url = str(wanted.get("url") or account.postback_url)
    return {"answers": [post(url, body) for _ in range(int(wanted.get("times") or 1))], "body": json.loads(encode(body))}
