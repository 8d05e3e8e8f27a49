"""The only door to the adapters. One line a broker; its module, and any SDK behind it, is imported at first use."""

from importlib import import_module

from brokers.base import Adapter, UnsupportedFeature
from brokers.errors import RejectCode, Rejected
from brokers.models import BrokerAccount
from brokers.models import Instrument as InstrumentRow
from brokers.types import Capabilities, Instrument, Kind

ADAPTERS = {
    "paper": "brokers.paper.adapter:PaperAdapter",
}


def adapter_for(account: BrokerAccount) -> Adapter:
    """The adapter of this account. UnsupportedFeature when its broker has none."""
    return _adapter_class(account.broker)(account)


def caps_for(broker: str) -> Capabilities:
    """What this broker can do, without an account and without a call."""
    return _adapter_class(broker).caps


def instrument_of(row: InstrumentRow) -> Instrument:
    """The instrument as an OrderRequest carries it. Rejected(INSTRUMENT_UNKNOWN), before anything is sent, when tick or lot is not known."""
    if not row.tick or not row.lot:
        raise Rejected(RejectCode.INSTRUMENT_UNKNOWN, f"Tick or lot of {row.key} is not known.", sent=False)
    native = {"exchange": row.exchange, "tradingsymbol": row.tradingsymbol, "token": row.token}
    return Instrument(row.key, row.exchange, row.tradingsymbol, Kind(row.kind), row.tick, row.lot, row.freeze, row.multiplier, row.expiry,
                      row.strike, native, row.as_of)  # fmt: skip


def _adapter_class(broker: str) -> type[Adapter]:
    if broker not in ADAPTERS:
        raise UnsupportedFeature(f"There is no adapter for the broker {broker or '(none)'}.")
    module, _, name = ADAPTERS[broker].partition(":")
    adapter: type[Adapter] = getattr(import_module(module), name)
    return adapter
