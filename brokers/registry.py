"""The only door to the adapters. One line a broker; its module, and any SDK behind it, is imported at first use."""

from importlib import import_module

from brokers.base import Adapter, UnsupportedFeature
from brokers.models import BrokerAccount
from brokers.types import Capabilities

ADAPTERS = {
    "paper": "brokers.paper.adapter:PaperAdapter",
}


def adapter_for(account: BrokerAccount) -> Adapter:
    """The adapter of this account. UnsupportedFeature when its broker has none."""
    return _adapter_class(account.broker)(account)


def caps_for(broker: str) -> Capabilities:
    """What this broker can do, without an account and without a call."""
    return _adapter_class(broker).caps


def _adapter_class(broker: str) -> type[Adapter]:
    if broker not in ADAPTERS:
        raise UnsupportedFeature(f"There is no adapter for the broker {broker or '(none)'}")
    module, _, name = ADAPTERS[broker].partition(":")
    adapter: type[Adapter] = getattr(import_module(module), name)
    return adapter
