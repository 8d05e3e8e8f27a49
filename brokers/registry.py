"""The only door to the adapters. One line a broker; its module, and any SDK behind it, is imported at first use."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from importlib import import_module
from typing import Any

from brokers.base import Adapter, UnsupportedFeature
from brokers.models import BrokerAccount
from brokers.types import Capabilities, Instrument

POSTBACKS = {
    "zerodha": "brokers.zerodha.postback:genuine",
}
READERS = {
    "zerodha": "brokers.zerodha.mapping:InstrumentRows",
}
STREAMS = {
    "zerodha": "brokers.zerodha.stream:stream_of",
}
ADAPTERS = {
    "paper": "brokers.paper.adapter:PaperAdapter",
    "zerodha": "brokers.zerodha.adapter:ZerodhaAdapter",
}


def adapter_for(account: BrokerAccount) -> Adapter:
    """The adapter of this account. UnsupportedFeature when its broker has none."""
    return _adapter_class(account.broker)(account)


def caps_for(broker: str) -> Capabilities:
    """What this broker can do, without an account and without a call."""
    return _adapter_class(broker).caps


def is_genuine_postback(account: BrokerAccount, body: bytes) -> bool:
    """Whether these bytes come from this account's broker, as far as it signs what it posts. Loads no SDK."""
    if account.broker not in POSTBACKS:
        return False
    return bool(_load(POSTBACKS[account.broker])(account, body))


def read_instruments(broker: str, lines: Iterable[str], as_of: datetime) -> Iterator[Instrument]:
    """The instruments of a list in this broker's form, one at a time; lines that make no sense are left out. Loads no SDK."""
    if broker not in READERS:
        raise UnsupportedFeature(f"There is no instrument list of the broker {broker or '(none)'}")
    rows: Iterator[Instrument] = _load(READERS[broker])(lines, as_of)
    return rows


def stream_for(account: BrokerAccount, tell: Callable[[int, str], None]) -> Any:
    """The stream of hints of a logged-in account, with `start` and `stop`; it tells account id and word. Loads no SDK.

    UnsupportedFeature when its broker has none; AuthExpired, Unavailable or AppError when it may not be opened.
    """
    if account.broker not in STREAMS:
        raise UnsupportedFeature(f"The broker {account.broker} has no stream")
    return _load(STREAMS[account.broker])(account, tell)


def _adapter_class(broker: str) -> type[Adapter]:
    if broker not in ADAPTERS:
        raise UnsupportedFeature(f"There is no adapter for the broker {broker or '(none)'}")
    adapter: type[Adapter] = _load(ADAPTERS[broker])
    return adapter


def _load(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)
