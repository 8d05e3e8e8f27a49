"""What Kite posts when an order moved. Its checksum proves who sent it and for which order, neither status nor quantity: a hint, never a fact."""

import hashlib
import hmac
import json

from django.conf import settings

from brokers.models import BrokerAccount

NAMES = ("order_id", "order_timestamp", "checksum")


def genuine(account: BrokerAccount, body: bytes) -> bool:
    """Whether `checksum` is sha256(order_id + order_timestamp + API secret), compared in constant time. Nothing else of the body is believed."""
    said, secret = _read(body), (account.credentials if account.api_key else settings.KITE_API_SECRET) or ""
    order_id, at, checksum = (said.get(name) for name in NAMES)
    if not secret or not all(isinstance(part, str) and part for part in (order_id, at, checksum)):
        return False
    expected = hashlib.sha256(f"{order_id}{at}{secret}".encode(errors="replace")).hexdigest()
    return hmac.compare_digest(expected.encode(), str(checksum).encode(errors="replace"))


def _read(body: bytes) -> dict[str, object]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
