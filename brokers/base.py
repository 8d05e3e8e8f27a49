"""The contract every broker adapter fulfils. An adapter maps, sends once, classifies and maps back; it never retries a write, never sleeps,
never guesses an outcome and never writes the database (the paper broker: nothing but its own book)."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta
from decimal import Decimal
from typing import ClassVar

from brokers.errors import RejectCode, Rejected
from brokers.types import (
    Capabilities,
    Fill,
    Funds,
    GttRequest,
    GttSnapshot,
    Holding,
    Instrument,
    OrderKey,
    OrderReport,
    OrderRequest,
    PlaceAck,
    Position,
    QuoteTick,
    Session,
)


class UnsupportedFeature(Rejected):
    """Asked for something this broker cannot do. Raised before anything is sent, so nothing is live."""

    default_sent = False

    def __init__(self, message: str):
        super().__init__(RejectCode.NOT_PERMITTED, message)


_last_look: ContextVar[Callable[[], None] | None] = ContextVar("last_look", default=None)


@contextmanager
def last_look(ask: Callable[[], None]) -> Iterator[None]:
    """Within it an adapter calls `ask` right before it writes to a remote broker, when no limiter and no lock is waited for any more.

    What `ask` raises (Unavailable with sent=False) goes to the caller, and nothing was written.
    """
    token = _last_look.set(ask)
    try:
        yield
    finally:
        _last_look.reset(token)


def look() -> None:
    """What an adapter calls at that moment."""
    if (ask := _last_look.get()) is not None:
        ask()


class Adapter(ABC):
    """One account at one broker. Reached only through `brokers.registry.adapter_for`. Any method may raise a BrokerError:

    class        | on a write                           | on a read
    Rejected     | proven refusal, nothing is live      | refused
    Ambiguous    | may be live                          | never
    AuthExpired  | refused before processing            | no data
    RateLimited  | refused before processing            | no data
    Unavailable  | proven not sent, or maintenance      | no evidence

    Writes are `place`, `modify` and `cancel`. No call is made inside a database transaction.
    """

    caps: ClassVar[Capabilities]
    ahead: timedelta | None = None  # how far the broker's clock is ahead of this machine's, as its last answer showed; None: not seen

    @abstractmethod
    def place(self, request: OrderRequest) -> PlaceAck:
        """Sends the order once, without a retry. The ack says that the request was taken: not a fill, not a risk acceptance.

        Quantities are never rounded up and prices never moved against the trader. UnsupportedFeature for what `caps` excludes.
        """

    @abstractmethod
    def modify(self, key: OrderKey, **changes: Decimal) -> PlaceAck:
        """Asks for other values of a live order: `quantity`, `price`, `trigger_price`. Returning means that the request was taken.

        Rejected(ORDER_BUSY): it is already ended or being processed; read it and decide anew.
        """

    @abstractmethod
    def cancel(self, key: OrderKey) -> None:
        """Asks for the end of a live order. Returning means that the request was taken: a fill may still win, so read afterwards.

        Rejected(ORDER_BUSY): it is already ended or being processed; read it and decide anew.
        """

    @abstractmethod
    def get_order(self, key: OrderKey) -> OrderReport:
        """The order as it is now. Rejected(ORDER_NOT_FOUND) only on proof that there is none."""

    @abstractmethod
    def find_by_ref(self, ref: str, hint: OrderKey | None = None) -> tuple[OrderReport, ...]:
        """All orders that carry exactly `ref`. Empty only if the look itself was valid, otherwise Unavailable.

        `hint` gives the symbol to brokers that cannot look without one. What the broker filtered is filtered again here.
        """

    @abstractmethod
    def list_orders(self) -> tuple[OrderReport, ...]:
        """Every order of the trading day (IST) and every live one. Complete or an error, never a part."""

    @abstractmethod
    def list_fills(self, key: OrderKey | None = None) -> tuple[Fill, ...]:
        """Every execution of the trading day (IST), or all those of one order. Complete or an error, never a part."""

    @abstractmethod
    def positions(self) -> tuple[Position, ...]:
        """Net positions that are open or were traded today."""

    @abstractmethod
    def funds(self) -> tuple[Funds, ...]:
        """Money, one row a segment and currency."""

    @abstractmethod
    def check_session(self) -> Session:
        """A cheap read that proves the session works. AuthExpired if it does not."""

    # What not every broker has: UnsupportedFeature unless `caps` says otherwise.
    def holdings(self) -> tuple[Holding, ...]:
        """Shares in the depository."""
        raise UnsupportedFeature(f"{self.caps.broker} keeps no holdings")

    def quote(self, keys: Sequence[str]) -> tuple[QuoteTick, ...]:
        """Prices of `EXCHANGE:SYMBOL` keys; one that is not known is left out. Rejected(NOT_PERMITTED) where the plan has no prices."""
        raise UnsupportedFeature(f"{self.caps.broker} gives no prices")

    def margin(self, request: OrderRequest) -> Decimal:
        """Rupees this order would need now, nothing else of the account netted against it."""
        raise UnsupportedFeature(f"{self.caps.broker} does not say what margin an order needs")

    def place_gtt(self, request: GttRequest) -> str:
        """Sends a trigger once and gives its id. It carries no reference: after Ambiguous compare `list_gtts` from before and after."""
        raise UnsupportedFeature(f"{self.caps.broker} keeps no triggers (GTT)")

    def delete_gtt(self, gtt_id: str) -> None:
        """Asks for the end of a trigger. Rejected(ORDER_NOT_FOUND): there is none."""
        raise UnsupportedFeature(f"{self.caps.broker} keeps no triggers (GTT)")

    def list_gtts(self) -> tuple[GttSnapshot, ...]:
        """Every trigger the broker still shows, in any state. Complete or an error."""
        raise UnsupportedFeature(f"{self.caps.broker} keeps no triggers (GTT)")

    def complete_login(self, request_token: str) -> Session:
        """Exchanges what the login page returned for a session. AuthExpired: used, too old or foreign."""
        raise UnsupportedFeature(f"{self.caps.broker} needs no login")

    def end_session(self) -> None:
        """Ends the session at the broker. Returning means that it no longer works there."""
        raise UnsupportedFeature(f"{self.caps.broker} needs no login")

    def iter_instruments(self, exchange: str = "") -> Iterator[Instrument]:
        """Every instrument of the broker's list, streamed; `exchange` empty means all. Rows that make no sense are left out."""
        raise UnsupportedFeature(f"{self.caps.broker} has no instrument list")

    def step(self, now: datetime) -> int:
        """Lets a broker that lives in this process work on its resting orders; returns how many changed. Others move by themselves: 0."""
        return 0
