"""Map symbol: a person says what a TradingView symbol means. The choice is kept, and the order that waited for it is planned anew in place."""

from datetime import date

from django.db import transaction

from brokers.models import BrokerAccount, Instrument
from trading.domain import signal as signals
from trading.domain import symbols
from trading.domain.orderfsm import State
from trading.models import Order, OverrideScope, TvSymbolOverride
from trading.selectors import instruments as find
from trading.services import disarming, instruments, route
from tvapp.lib import clock
from tvapp.lib.errors import AppError


def may_map(order: Order) -> bool:
    """Whether its symbol may be mapped now: it waits, came from an alert, and no instrument was found, or one that a person mapped."""
    if order.status != State.WAITING or order.signal_id is None:
        return False
    return order.instrument_id is None or order.events.filter(kind="MAPPED").exists()


def key_of(order: Order) -> str:
    """What an override for this order is kept under: NSE:NIFTY, or the contract its alert named field by field."""
    return symbols.query_of(signals.from_data(order.signal.data)).key[:80] if order.signal else ""


def map_symbol(order: Order, instrument_key: str, scope: str, *, actor: str) -> Order:
    """Keeps that the order's symbol means this instrument (`NFO:NIFTY26DECFUT`), and plans the order again: it keeps its id and goes on waiting.

    `scope` is STRATEGY, ACCOUNT or GLOBAL. A contract's mapping ends on its last day. Other waiting orders of the owner look again, too.
    AppError: nothing was changed.
    """
    if not may_map(order):
        text = "Only a waiting order whose symbol was not found, or was mapped by hand, can be mapped."
        raise AppError("ORDER_NOT_WAITING", text, status=409, extra={"status": order.status})
    instrument = _tradable(instrument_key, clock.trading_day(clock.now()))
    key = key_of(order)
    with transaction.atomic():
        _keep(order, key, instrument, scope, actor)
        if not route.resolve_again(order, actor=actor, said=f"Mapped {key} to {instrument.key} by {actor}."):
            raise AppError("VERSION_CONFLICT", "The order changed meanwhile. Look at it again, then decide.", status=409)
    instruments.look_again(Order.objects.filter(owner_id=order.owner_id).exclude(pk=order.pk), actor=actor)
    return order


def _tradable(key: str, today: date) -> Instrument:
    row = find.of_key(key, today)
    if row is None:
        text = f"{key[:80]} is not in the instrument list, or cannot be traded."
        raise AppError("INSTRUMENT_UNKNOWN", text, extra={"field": "instrument"})
    reason, note = symbols.fault(row, today)
    if reason is not None:
        raise AppError(str(reason), note, extra={"field": "instrument"})
    return row


def _keep(order: Order, key: str, instrument: Instrument, scope: str, actor: str) -> None:
    """One row for each symbol and scope; a new choice takes the place of the old one, which its history keeps."""
    target: dict[str, object] = {"strategy": None, "account": None}
    if scope == OverrideScope.STRATEGY:
        if order.strategy is None:
            raise AppError("INVALID_VALUE", "This order has no strategy: map it for the account or everywhere.", extra={"field": "scope"})
        target["strategy"] = order.strategy
    elif scope == OverrideScope.ACCOUNT:
        target["account"] = order.account
    elif scope != OverrideScope.GLOBAL:
        raise AppError("INVALID_VALUE", "scope is STRATEGY, ACCOUNT or GLOBAL.", extra={"field": "scope"})
    choice = {"instrument": instrument, "valid_from": None, "valid_to": instrument.expiry, "created_by": actor, "created_at": clock.now()}
    owner = order.account.owner_id  # whose alerts it is looked up for
    row, _ = TvSymbolOverride.objects.update_or_create(owner_id=owner, tv_symbol=key, scope=scope, **target, defaults=choice)
    after_mapping(row, actor=actor)


def after_mapping(row: TvSymbolOverride, *, actor: str) -> None:
    """A symbol means something else from now on: whoever armed a strategy it counts for did not know that."""
    why = f"{actor} mapped {row.tv_symbol} to {row.instrument.key}"
    if row.strategy is not None:
        disarming.disarm(row.strategy, why, actor=actor)
        return
    accounts = [row.account_id] if row.account_id else BrokerAccount.objects.filter(owner_id=row.owner_id).values_list("pk", flat=True)
    for pk in accounts:
        disarming.disarm_scope(f"ACCOUNT:{pk}", why, actor=actor)
