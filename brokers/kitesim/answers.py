"""What the simulator says over HTTP: Kite's envelope, its refusals in its own words, and the encoding of numbers."""

import gzip
import json
from dataclasses import dataclass, field
from decimal import Decimal

JSON, HTML, CSV = "application/json", "text/html", "text/csv"

TOKEN_DEAD = "Incorrect `api_key` or `access_token`."  # noqa: S105 - a sentence of Kite's, not a secret
LOGIN_TOKEN_DEAD = "Token is invalid or has expired."  # noqa: S105 - likewise
BAD_CHECKSUM = "Invalid `checksum`."
TIMED_OUT = "Order request timed out. Please check the order book and confirm before placing again."
OMS_FAILED = "Request failed (kitetrade-oms)."
TOO_MANY = "Too many requests"
NO_INSTRUMENT = "The instrument you are placing an order for has either expired or does not exist."
NO_PROTECTION = "Market orders without market protection are not allowed via API. Please set market protection or use a Limit order."
HOLDINGS_SHORT = "Insufficient stock holding or there are pending sell orders for this stock. Check the orderbook"
AMO_HINT = "MIS (intraday) are blocked as the markets are not open for trading today. Try placing an AMO order."
AMO_NOT_CONVERTED = "Your order could not be converted to a After Market Order (AMO)."
NOT_PERMITTED = "That API call is not allowed for the authenticated user"
FREEZE = "RMS:Rule: Check freeze quantity for {exchange}"
MARGIN = "Insufficient funds. Required margin is {required:.2f} but available margin is {available:.2f}."
IP_REFUSED = "IP ({ip}) is not allowed to place orders for this app. Update allowed IPs on the Kite developer console."


class Refused(Exception):
    """A refusal as Kite words it: `message` is its text, `error_type` its class, `status` the HTTP status, `data` its hints."""

    def __init__(self, message: str, error_type: str = "InputException", status: int = 400, data: object = None):
        super().__init__(message)
        self.message, self.error_type, self.status, self.data = message, error_type, status, data

    def body(self) -> dict[str, object]:
        return {"status": "error", "message": self.message, "data": self.data, "error_type": self.error_type}


def invalid(name: str) -> Refused:
    return Refused(f"Invalid `{name}`.")


def token_dead(text: str = TOKEN_DEAD) -> Refused:
    return Refused(text, "TokenException", 403)


def no_funds(required: Decimal, available: Decimal) -> Refused:
    return Refused(MARGIN.format(required=required, available=available), "MarginException")


@dataclass
class Answer:
    """One HTTP answer, ready to be written. A `None` in its place means: close the connection without a word."""

    status: int = 200
    body: bytes = b""
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)


def _number(value: object) -> int | float:
    if not isinstance(value, Decimal):
        raise TypeError(f"{type(value).__name__} cannot be written as JSON")
    return int(value) if value == value.to_integral_value() else float(value)


def encode(value: object) -> bytes:
    """JSON with Decimals as plain numbers: 1500 and 1500.05, as on Kite's wire."""
    return json.dumps(value, default=_number).encode()


def success(data: object) -> Answer:
    return Answer(body=encode({"status": "success", "data": data}))


def refusal(why: Refused) -> Answer:
    return Answer(why.status, encode(why.body()))


def plain(value: object, status: int = 200) -> Answer:
    """An answer of the control side: JSON without Kite's envelope."""
    return Answer(status, encode(value))


def html(text: str, status: int = 200) -> Answer:
    return Answer(status, text.encode(), HTML)


def redirect(url: str) -> Answer:
    return Answer(302, b"", HTML, {"Location": url})


def csv(text: str, packed: bool) -> Answer:
    if packed:
        return Answer(body=gzip.compress(text.encode(), mtime=0), content_type=CSV, headers={"Content-Encoding": "gzip"})
    return Answer(body=text.encode(), content_type=CSV)
