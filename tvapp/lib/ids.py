"""Names the desk gives to things: the order tag a broker carries, the correlation id a log line carries."""

import base64
import hashlib
import secrets

TAG_LETTER = {"LIVE": "t", "PAPER": "p", "SIM": "s"}


def order_tag(environment: str) -> str:
    """17 characters: one environment letter and 80 random bits in lower-case base32.

    It fits every broker's field, starts with a letter and is the same on every attempt of one order.
    """
    return TAG_LETTER[environment] + base64.b32encode(secrets.token_bytes(10)).decode().lower()


def fixed_tag(environment: str, *parts: object) -> str:
    """A tag like `order_tag`, the same for the same parts: whoever means the same order has the same tag."""
    digest = hashlib.sha256("|".join(str(part) for part in parts).encode()).digest()
    return TAG_LETTER[environment] + base64.b32encode(digest[:10]).decode().lower()


def correlation_id() -> str:
    """16 hex characters that follow one alert or request from the first byte to the fill."""
    return secrets.token_hex(8)
