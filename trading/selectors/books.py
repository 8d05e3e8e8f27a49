"""Positions, holdings and trades as of the last read of each broker's books, beside what the desk booked itself."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Q

from brokers.models import AccountState, BrokerAccount, BrokerHolding, BrokerName, BrokerPosition, Instrument, Quote, SyncState
from trading.models import Fill, Position
from tvapp.lib import clock

ZERO = Decimal(0)
Key = tuple[int, str, str, str]


@dataclass(frozen=True)
class Row:
    """One symbol and product of one account. `broker` None: paper, whose book is ours. Money in rupees; None where a price is missing."""

    account: BrokerAccount
    instrument: Instrument | None
    exchange: str
    tradingsymbol: str
    product: str
    ours: Decimal
    broker: Decimal | None
    average: Decimal | None
    ltp: Decimal | None
    ltp_at: datetime | None
    unrealised: Decimal | None
    realised: Decimal
    at: datetime | None
    close: Decimal | None = None

    @property
    def day_change(self) -> Decimal | None:
        """Percent since the close of the day before; None where the broker does not say it."""
        return _change(self.ltp, self.close)

    @property
    def quantity(self) -> Decimal:
        """The broker's figure where there is one."""
        return self.ours if self.broker is None else self.broker

    @property
    def drift(self) -> bool:
        """Whether broker and desk disagree."""
        return self.broker is not None and self.broker != self.ours


@dataclass(frozen=True)
class HoldingRow:
    """Shares in the depository. `sellable` leaves out what arrives tomorrow, unless the account may sell that, too."""

    account: BrokerAccount
    instrument: Instrument | None
    row: BrokerHolding
    sellable: Decimal
    ltp: Decimal | None
    ltp_at: datetime | None
    value: Decimal | None
    result: Decimal | None
    close: Decimal | None = None

    @property
    def day_change(self) -> Decimal | None:
        return _change(self.ltp, self.close)


@dataclass(frozen=True)
class Synced:
    """How fresh the books of one account at a real broker are."""

    account: BrokerAccount
    state: SyncState | None

    @property
    def at(self) -> datetime | None:
        return self.state.orders_at if self.state else None

    @property
    def waits(self) -> bool:
        return bool(self.state and self.state.wanted_at and self.account.state != AccountState.DISCONNECTED)


def synced(user) -> list[Synced]:
    """This person's accounts at real brokers with the state of their books."""
    accounts = BrokerAccount.objects.for_user(user).exclude(broker=BrokerName.PAPER).order_by("name")
    states = {row.account_id: row for row in SyncState.objects.filter(account__in=accounts)}
    return [Synced(account, states.get(account.pk)) for account in accounts]


def positions(user) -> list[Row]:
    """Open positions and those closed today, by account and symbol. Paper: our own rows; a real broker's beside ours."""
    accounts = {account.pk: account for account in BrokerAccount.objects.for_user(user)}
    ours = _ours(accounts)
    theirs = {_key(row): row for row in BrokerPosition.objects.filter(account__in=accounts)}
    known, shares = _instruments((key[1], key[2]) for key in {*ours, *theirs}), _shares(accounts)
    rows = [
        _row(accounts[key[0]], key, ours.get(key, []), theirs.get(key), known.get((key[1], key[2])), shares.get(key, ZERO))
        for key in {*ours, *theirs}
    ]
    return sorted(rows, key=lambda r: (not r.quantity, r.account.name, r.tradingsymbol, r.product))


def _key(row: BrokerPosition) -> Key:
    return row.account_id, row.exchange, row.tradingsymbol, row.product


def _shares(accounts) -> dict[Key, Decimal]:
    """Shares in the depository, where delivery goes to on the second day."""
    rows = BrokerHolding.objects.filter(account__in=accounts)
    return {(row.account_id, row.exchange, row.tradingsymbol, "CNC"): row.quantity + row.t1_quantity for row in rows}


def _ours(accounts) -> dict[Key, list[Position]]:
    today = clock.day_start(clock.trading_day(clock.now()))
    shown = Position.objects.filter(account__in=accounts).filter(~Q(quantity=0) | Q(updated_at__gte=today)).select_related("instrument")
    found: dict[Key, list[Position]] = {}
    for row in shown:
        found.setdefault((row.account_id, row.instrument.exchange, row.instrument.tradingsymbol, row.product), []).append(row)
    return found


def _instruments(keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Instrument]:
    wanted = set(keys)
    rows = Instrument.objects.filter(tradingsymbol__in={symbol for _, symbol in wanted}).select_related("quote")
    return {key: row for row in rows if (key := (row.exchange, row.tradingsymbol)) in wanted}


def _row(
    account: BrokerAccount, key: Key, mine: list[Position], there: BrokerPosition | None, instrument: Instrument | None, shares: Decimal
) -> Row:
    remote = account.broker != BrokerName.PAPER
    net = sum((p.quantity for p in mine), ZERO)
    value = sum((p.quantity * p.average for p in mine), ZERO)
    own_average = value / net if net else None
    ltp, ltp_at = _price(instrument, there.ltp if there else None, there.at if there else None)
    shown = there.net_qty if there else ZERO
    quantity = shown + min(shares, max(net - shown, ZERO)) if remote else net  # of the shares only those that were bought here
    average = (there.average if there and there.average is not None else own_average) if quantity else None
    many = there.multiplier if there else instrument.multiplier if instrument else Decimal(1)
    open_result = (ltp - average) * quantity * many if ltp is not None and average is not None else (ZERO if not quantity else None)
    return Row(
        account, instrument, key[1], key[2], key[3], ours=net, broker=quantity if remote else None, average=average, ltp=ltp, ltp_at=ltp_at,
        unrealised=open_result, realised=there.realised if there else sum((p.realised for p in mine), ZERO),
        at=there.at if there else max((p.updated_at for p in mine), default=None),
        close=_close(instrument, there),
    )  # fmt: skip


def _change(ltp: Decimal | None, close: Decimal | None) -> Decimal | None:
    return (ltp - close) / close * 100 if ltp is not None and close else None


def _close(instrument: Instrument | None, row: BrokerPosition | BrokerHolding | None) -> Decimal | None:
    """Of the day before: the broker's own, else that of the price feed."""
    quote: Quote | None = getattr(instrument, "quote", None) if instrument else None
    return (row.close_price if row else None) or (quote.close if quote else None)


def _price(instrument: Instrument | None, ltp: Decimal | None, at: datetime | None) -> tuple[Decimal | None, datetime | None]:
    """The younger of the desk's own quote and the price the broker's book carried."""
    quote: Quote | None = getattr(instrument, "quote", None) if instrument else None
    if quote is not None and (ltp is None or at is None or quote.at >= at):
        return quote.ltp, quote.at
    return ltp, at if ltp is not None else None


def holdings(user) -> list[HoldingRow]:
    """Shares in the depository of this person's accounts at real brokers."""
    accounts = BrokerAccount.objects.for_user(user)
    rows = list(BrokerHolding.objects.filter(account__in=accounts).select_related("account").order_by("account__name", "tradingsymbol"))
    known = _instruments((row.exchange, row.tradingsymbol) for row in rows)
    return [_holding(row, known.get((row.exchange, row.tradingsymbol))) for row in rows]


def _holding(row: BrokerHolding, instrument: Instrument | None) -> HoldingRow:
    ltp, ltp_at = _price(instrument, row.ltp, row.at)
    whole = row.quantity + row.t1_quantity
    sellable = max(row.quantity - row.used_quantity + (row.t1_quantity if row.account.sell_t1 else ZERO), ZERO)
    value = None if ltp is None else ltp * whole
    result = None if ltp is None or not row.average else (ltp - row.average) * whole
    return HoldingRow(row.account, instrument, row, sellable, ltp, ltp_at, value, result, _close(instrument, row))


def trades(user):
    """Every execution, newest first where it is paged by id."""
    return Fill.objects.for_user(user).select_related("instrument")
