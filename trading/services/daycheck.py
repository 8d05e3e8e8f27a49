"""Holds the desk's result of the day against the broker's after each complete read. A difference is told, and never made good in silence.

What is compared is what both sides know and agree upon in quantity: intraday and carried contracts, before charges, at the broker's last price.
Delivery is left out, because brokers count it as holdings; positions that differ in quantity are a matter of their own (`drift`).
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from django.db.models import Q

from brokers.models import BrokerAccount, BrokerPosition, SyncState
from trading.models import Level, Position, PositionDay, Product, SystemEvent
from trading.selectors import daycheck as read
from trading.selectors.closes import Closes
from trading.selectors.marks import SPOT, Spot
from trading.services import sysevents
from tvapp.lib import clock
from tvapp.lib.money import ZERO

CODE = "DAY_RESULT_DIFFERS"
LEFT_OUT = (Product.CNC, Product.MTF)
Key = tuple[str, str, str]


class Ours(NamedTuple):
    """What the desk booked of one symbol and product: how many are held, and their result of the day at a price."""

    quantity: Decimal
    realised: Decimal
    value: Decimal  # what is held, at what the day's result counts from
    multiplier: Decimal

    def gross(self, price: Decimal | None) -> Decimal:
        return self.realised + (self.quantity * price * self.multiplier if price and self.quantity else ZERO) - self.value


def check(account: BrokerAccount, at: datetime) -> None:
    """Compares what was read at `at`; inside the transaction that stored it. Told at the second read in a row that differs, once a day."""
    ours, pairs = booked(account, at), []
    for row in BrokerPosition.objects.filter(account=account).exclude(product__in=LEFT_OUT):
        mine, theirs = ours.get((row.exchange, row.tradingsymbol, row.product)), gross_of(row)
        if mine is not None and theirs is not None and mine.quantity == row.net_qty:
            pairs.append((mine.gross(row.ltp), theirs))
    state = SyncState.objects.get(account=account)
    state.result_ours, state.result_theirs = (round(sum(side, ZERO), 8) for side in zip(*pairs, strict=True)) if pairs else (None, None)
    state.result_off = state.result_off + 1 if read.differs(state) else 0
    state.save(update_fields=["result_ours", "result_theirs", "result_off"])
    if read.stands(state):
        _tell(account, state)


def gross_of(row: BrokerPosition) -> Decimal | None:
    """The broker's result of the day before charges; what was carried counts from the close. None when a price is missing."""
    if not row.overnight_qty:
        return None if row.unrealised is None and row.net_qty else row.realised + (row.unrealised or ZERO)
    if row.close_price is None or (row.net_qty and row.ltp is None):
        return None
    cash = row.sell_qty * (row.sell_avg or ZERO) - row.buy_qty * (row.buy_avg or ZERO)
    return (cash + row.net_qty * (row.ltp or ZERO) - row.overnight_qty * row.close_price) * row.multiplier


def booked(account: BrokerAccount, at: datetime) -> Mapping[Key, Ours]:
    """The desk's side by symbol and product: every strategy's and what was placed elsewhere."""
    today = {day.position_id: day for day in PositionDay.objects.filter(position__account=account, day=clock.trading_day(at))}
    rows = Position.objects.filter(~Q(quantity=0) | Q(pk__in=list(today)), account=account).exclude(product__in=LEFT_OUT)
    closes, found = Closes(at, account_id=account.pk), {}
    for *columns, pk, product, quantity, average in rows.values_list(*SPOT, "id", "product", "quantity", "average"):
        spot, day = Spot(*columns), today.get(pk)
        basis = day.average if day else closes.of(spot, average).price
        key = spot.exchange, spot.symbol, product
        before = found.get(key, Ours(ZERO, ZERO, ZERO, spot.multiplier))
        realised = before.realised + (day.realised if day else ZERO)
        found[key] = Ours(before.quantity + quantity, realised, before.value + quantity * basis * spot.multiplier, spot.multiplier)
    return found


def _tell(account: BrokerAccount, state: SyncState) -> None:
    since = clock.day_start(clock.trading_day(clock.now()))
    if not SystemEvent.objects.filter(code=CODE, at__gte=since, data__account_id=account.pk).exists():
        data = {"account_id": account.pk, "ours": str(state.result_ours), "theirs": str(state.result_theirs)}
        sysevents.record("risk", CODE, f"{account.name}: {read.sentence(account, state)}", level=Level.WARNING, owner=account.owner, data=data)
