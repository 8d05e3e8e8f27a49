"""The paper broker: the contract of every broker, fulfilled with a book in our own database.

The book is the proof. An order is there or it was never accepted, and placing a reference that is there changes nothing. Every write is one
transaction: the order's row, what it traded, and what it consumed of the price. It knows nothing of the desk's own orders.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.db.models import Q, QuerySet, Sum

from brokers.base import Adapter, UnsupportedFeature
from brokers.errors import RejectCode, Rejected
from brokers.models import BrokerAccount, Instrument, PaperOrder, PaperTrade, Quote
from brokers.paper.matching import (
    NO_PRICE,
    FillStep,
    Liquidity,
    MatchParams,
    PaperOrderState,
    PaperQuote,
    PricedBy,
    StateStep,
    Step,
    advance,
    match,
    refusal,
    usable,
)
from brokers.types import (
    Capabilities,
    Fill,
    Funds,
    Kind,
    OrderKey,
    OrderReport,
    OrderRequest,
    OrderType,
    PlaceAck,
    Position,
    Product,
    Session,
    Side,
    Status,
    Validity,
)
from tvapp.lib import clock, crash
from tvapp.lib.money import ZERO, plain
from tvapp.models import DeskSettings

OUR_ID = re.compile(r"PAPER-([0-9]{1,18})")
LIVE = (PaperOrder.Status.OPEN, PaperOrder.Status.TRIGGER_PENDING)
UNFILLED_REST = (PaperOrder.Status.CANCELLED, PaperOrder.Status.EXPIRED)
UNKNOWN_TICK, UNKNOWN_LOT = Decimal("0.05"), Decimal(1)  # what paper assumes before an instrument list was loaded
MONEY = Decimal("0.0001")
NOTHING = Decimal("0.000000005")  # half of the smallest quantity a column holds: SQLite adds up in floats


class PaperAdapter(Adapter):
    """One paper account."""

    caps = Capabilities(broker="paper", find_by_ref="DATABASE", ref_max=20, local=True, ack_is_final=True, absence_is_proof=True, book_every_s=0,
                        looks_after_s=(0,), horizon_s=0)  # fmt: skip

    def __init__(self, account: BrokerAccount):
        self.account = account
        self.params = MatchParams(slippage_bps=account.slippage_bps, liquidity=Liquidity(account.liquidity),
                                  participation_pct=account.participation_pct, fill_on_touch=account.fill_on_touch,
                                  max_quote_age=clock.seconds(DeskSettings.current().max_quote_age_s))  # fmt: skip

    # ------------------------------------------------------------------------ writes
    def place(self, request: OrderRequest) -> PlaceAck:
        """Stores the order and matches it at once: against the instrument's price if that is fresh, else against the alert's price; with
        neither it rests. A reference that is already in the book gives the same id and changes nothing.

        What an exchange would refuse (off tick, odd lot, a trigger on the wrong side) comes back as an order with status REJECTED.
        """
        _check_supported(request)
        instrument = _tradable(request)
        now = clock.now()
        with transaction.atomic():
            row, new = PaperOrder.objects.get_or_create(ref=request.ref, defaults=self._columns(request, instrument, now))
            if row.account_id != self.account.pk:
                raise Rejected(RejectCode.INVALID_TAG, f"Reference {request.ref} belongs to another account's order")
            if new:
                state = replace(_state(row), status=Status.SUBMITTED, protection=request.protection)
                self._settle(row, state, self._price(instrument, now) or _alert_price(request, now), now)
            crash.point("paper.place.before_commit")
        crash.point("paper.place.after_commit")
        return _ack(row)

    def modify(self, key: OrderKey, **changes: Decimal) -> PlaceAck:
        """Changes `quantity`, `price` or `trigger_price` and matches again, as if the order had just arrived."""
        now = clock.now()
        with transaction.atomic():
            row = self._live(key)
            _check_changes(row, changes)
            quote = self._price(row.instrument, now) or NO_PRICE
            state = replace(_state(row), met_at=None, **changes)
            refused = refusal(state, quote.ltp if usable(quote, self.params, now) else None)
            if refused:
                raise Rejected(refused.code, refused.message)
            if self._settle(row, state, quote, now, changes) is None:
                raise _busy(row)
            crash.point("paper.modify.before_commit")
        return _ack(row)

    def cancel(self, key: OrderKey) -> None:
        with transaction.atomic():
            row = self._live(key)
            ended = {"status": PaperOrder.Status.CANCELLED, "message": "Cancelled on request", "updated_at": clock.now()}
            if not _unchanged(row).update(**ended):
                raise _busy(row)
            crash.point("paper.cancel.before_commit")

    def step(self, now: datetime) -> int:
        """Matches the resting orders of the account against the prices of now, oldest first. Returns how many changed."""
        live = PaperOrder.objects.filter(account=self.account, status__in=LIVE)
        prices = {q.instrument_id: q for q in Quote.objects.filter(instrument__in=live.values("instrument"))}
        waiting = [row.pk for row in live.order_by("pk") if self._is_news(row, prices.get(row.instrument_id), now)]
        return sum(self._step_one(pk, now) for pk in waiting)

    # ------------------------------------------------------------------------ reads
    def get_order(self, key: OrderKey) -> OrderReport:
        return _report(self._row(key))

    def find_by_ref(self, ref: str, hint: OrderKey | None = None) -> tuple[OrderReport, ...]:
        return tuple(_report(row) for row in self._orders().filter(ref=ref))

    def list_orders(self) -> tuple[OrderReport, ...]:
        today = _today()
        touched = Q(placed_at__gte=today) | Q(updated_at__gte=today) | Q(status__in=LIVE)
        return tuple(_report(row) for row in self._orders().filter(touched).order_by("pk"))

    def list_fills(self, key: OrderKey | None = None) -> tuple[Fill, ...]:
        trades = PaperTrade.objects.filter(account=self.account).order_by("pk")
        trades = trades.filter(order_id=self._known(key)) if key else trades.filter(at__gte=_today())
        return tuple(_fill(trade) for trade in trades)

    def positions(self) -> tuple[Position, ...]:
        """From the trades, by the average-price method; what is flat and was not traded today is left out."""
        books = self._books()
        named = Instrument.objects.select_related("quote").in_bulk({instrument for instrument, _ in books})
        now = clock.now()
        return tuple(self._position(named[pk], product, book, now) for (pk, product), book in sorted(books.items()))

    def funds(self) -> tuple[Funds, ...]:
        """Capital plus realised result; what open positions cost is used. Margin and charges are not counted."""
        books = self._books()
        multipliers = Instrument.objects.in_bulk({instrument for instrument, _ in books})
        cost = {key: book.net * book.avg * multipliers[key[0]].multiplier for key, book in books.items()}
        total = self.account.capital + self._cash() + sum(cost.values(), ZERO)
        used = sum((abs(value) for value in cost.values()), ZERO)
        total, used = total.quantize(MONEY), used.quantize(MONEY)
        return (Funds("equity", "INR", available=total - used, used=used, total=total),)

    def check_session(self) -> Session:
        return Session(user_id=self.account.name, token="", issued_at=self.account.created_at)

    # ------------------------------------------------------------------------ the book
    def _orders(self) -> QuerySet[PaperOrder]:
        return PaperOrder.objects.filter(account=self.account).select_related("instrument")

    def _row(self, key: OrderKey, *, lock: bool = False) -> PaperOrder:
        orders = self._orders().select_for_update(of=("self",)) if lock else self._orders()
        row = orders.filter(**_where(key)).first()
        if row is None:
            raise _not_found(key)
        return row

    def _known(self, key: OrderKey) -> int:
        found = PaperOrder.objects.filter(account=self.account, **_where(key)).values_list("pk", flat=True)
        if not found:
            raise _not_found(key)
        return found[0]

    def _live(self, key: OrderKey) -> PaperOrder:
        row = self._row(key, lock=True)
        if row.status not in LIVE:
            raise _busy(row)
        return row

    def _columns(self, request: OrderRequest, instrument: Instrument, now: datetime) -> dict[str, object]:
        return {
            "account": self.account, "instrument": instrument, "side": request.side, "order_type": request.order_type,
            "product": request.product, "validity": request.validity, "quantity": request.quantity, "price": request.price,
            "trigger_price": request.trigger_price, "ref_price": request.ref_price, "placed_at": now, "updated_at": now,
        }  # fmt: skip

    def _price(self, instrument: Instrument, now: datetime) -> PaperQuote | None:
        """The instrument's price, if it is young enough. An odd one (crossed) is still returned: it fills nothing."""
        row = Quote.objects.filter(instrument=instrument).first()
        return _quote(row) if row and self._is_fresh(row, now) else None

    def _is_fresh(self, quote: Quote, now: datetime) -> bool:
        """Young enough, and of a kind this account chose."""
        return quote.serves(self.account) and abs(now - quote.at) <= self.params.max_quote_age

    def _is_news(self, row: PaperOrder, quote: Quote | None, now: datetime) -> bool:
        met_at = _moment(row.consumed.get("met_at"))
        return quote is not None and self._is_fresh(quote, now) and (met_at is None or quote.at > met_at)

    def _step_one(self, pk: int, now: datetime) -> bool:
        with transaction.atomic():
            row = self._orders().select_for_update(of=("self",)).get(pk=pk)
            quote = self._price(row.instrument, now)
            if row.status not in LIVE or quote is None:
                return False
            state = _state(row)
            opening = clock.trading_day(quote.at) > clock.trading_day(state.met_at or row.placed_at)
            steps = self._settle(row, state, replace(quote, first_of_session=opening), now)
            crash.point("paper.step.before_commit")
        return bool(steps)

    def _settle(self, row: PaperOrder, state: PaperOrderState, quote: PaperQuote, now: datetime,
                changes: dict[str, Decimal] | None = None) -> list[Step] | None:  # fmt: skip
        """Matches once and stores what happened. None, and nothing stored, when somebody else moved the order since it was read."""
        steps = match(state, quote, self.params, now)
        after = advance(state, steps, quote, self.params, now)
        fills = [step for step in steps if isinstance(step, FillStep)]
        values = {
            "status": PaperOrder.Status(after.status), "filled": after.filled, "value": row.value + sum((f.quantity * f.price for f in fills), ZERO),
            "cap": after.cap, "triggered": after.triggered, "consumed": _memory(after), "message": _words(steps) or row.message,
            "updated_at": now if steps or changes else row.updated_at, **(changes or {}),
        }  # fmt: skip
        if not _unchanged(row).update(**values):
            return None
        for name, value in values.items():
            setattr(row, name, value)
        self._book_trades(row, fills, now)
        return steps

    def _book_trades(self, row: PaperOrder, fills: list[FillStep], now: datetime) -> None:
        first = row.trades.count() + 1 if fills else 1
        PaperTrade.objects.bulk_create(
            PaperTrade(account=self.account, order=row, trade_id=f"PT-{row.pk}-{no}", quantity=fill.quantity, price=fill.price,
                       priced_by=fill.priced_by.value, at=now)
            for no, fill in enumerate(fills, first)
        )  # fmt: skip

    # ------------------------------------------------------------------------ positions and money
    def _books(self) -> dict[tuple[int, str], "_Book"]:
        """One book per instrument and product that is open or was traded today."""
        today = _today()
        wanted = self._interesting(today)
        trades = PaperTrade.objects.filter(account=self.account, order__instrument__in={instrument for instrument, _ in wanted})
        fields = ("order__instrument_id", "order__product", "order__side", "quantity", "price", "at")
        books: dict[tuple[int, str], _Book] = {key: _Book() for key in wanted}
        for instrument, product, side, quantity, price, at in trades.order_by("at", "pk").values_list(*fields):
            if (instrument, product) in books:
                books[instrument, product].add(Side(side), quantity, price, today=at >= today)
        return books

    def _interesting(self, today: datetime) -> set[tuple[int, str]]:
        orders = PaperOrder.objects.filter(account=self.account, filled__gt=0)
        net: dict[tuple[int, str], Decimal] = defaultdict(Decimal)
        for instrument, product, side, filled in orders.values_list("instrument", "product", "side").annotate(Sum("filled")):
            net[instrument, product] += Side(side).sign * filled
        traded = orders.filter(trades__at__gte=today).values_list("instrument", "product")
        return {key for key, quantity in net.items() if abs(quantity) > NOTHING} | set(traded)

    def _position(self, instrument: Instrument, product: str, book: "_Book", now: datetime) -> Position:
        quote = getattr(instrument, "quote", None)
        ltp = quote.ltp if quote and self._is_fresh(quote, now) else None
        return Position(
            native={"exchange": instrument.exchange, "tradingsymbol": instrument.tradingsymbol}, product=Product(product),
            net_qty=book.net, overnight_qty=book.net - book.bought + book.sold, multiplier=instrument.multiplier,
            buy_qty=book.bought, buy_avg=_average(book.buy_value, book.bought), sell_qty=book.sold, sell_avg=_average(book.sell_value, book.sold),
            realised=book.realised * instrument.multiplier, ltp=ltp,
            unrealised=None if ltp is None else (ltp - book.avg) * book.net * instrument.multiplier,
        )  # fmt: skip

    def _cash(self) -> Decimal:
        """Money in from sales less money out for buys, since the account was opened."""
        orders = PaperOrder.objects.filter(account=self.account, filled__gt=0)
        by_side: Iterable[tuple[str, Decimal, Decimal]] = orders.values_list("side", "instrument__multiplier").annotate(Sum("value"))
        return sum((-Side(side).sign * value * multiplier for side, multiplier, value in by_side), ZERO)


@dataclass
class _Book:
    """Average-price book of one instrument and product. bought, sold and realised count today only."""

    net: Decimal = ZERO
    avg: Decimal = ZERO
    bought: Decimal = ZERO
    buy_value: Decimal = ZERO
    sold: Decimal = ZERO
    sell_value: Decimal = ZERO
    realised: Decimal = ZERO

    def add(self, side: Side, quantity: Decimal, price: Decimal, *, today: bool) -> None:
        realised = self._move(side.sign * quantity, price)
        if not today:
            return
        self.realised += realised
        if side is Side.BUY:
            self.bought, self.buy_value = self.bought + quantity, self.buy_value + quantity * price
        else:
            self.sold, self.sell_value = self.sold + quantity, self.sell_value + quantity * price

    def _move(self, signed: Decimal, price: Decimal) -> Decimal:
        """Adds at the average, closes against it; a flip closes all and opens the remainder at `price`. Returns the realised result."""
        old, self.net = self.net, self.net + signed
        if old * signed >= 0:
            self.avg = (self.avg * abs(old) + price * abs(signed)) / abs(self.net)
            return ZERO
        closed = min(abs(old), abs(signed)).copy_sign(old)
        realised = (price - self.avg) * closed
        if abs(signed) >= abs(old):
            self.avg = price if self.net else ZERO
        return realised


# ---------------------------------------------------------------------------- requests
def _check_supported(request: OrderRequest) -> None:
    if request.amo:
        raise UnsupportedFeature("The paper broker takes no after-market orders")
    if not 0 < len(request.ref) <= PaperAdapter.caps.ref_max:
        raise Rejected(RejectCode.INVALID_TAG, f"Reference of {len(request.ref)} characters; 1 to {PaperAdapter.caps.ref_max} are allowed")
    for kind, value in ((Side, request.side), (OrderType, request.order_type), (Product, request.product), (Validity, request.validity)):
        if value not in list(kind):
            raise Rejected(RejectCode.INVALID_FIELD, f"{kind.__name__} {value} is not known to the paper broker")
    if request.product not in PaperAdapter.caps.products or request.validity not in PaperAdapter.caps.validities:
        raise Rejected(RejectCode.INVALID_FIELD, f"{request.product} with validity {request.validity} is not known to the paper broker")


def _tradable(request: OrderRequest) -> Instrument:
    wanted = request.instrument
    found = Instrument.objects.filter(exchange=wanted.exchange, tradingsymbol=wanted.symbol).first()
    if found is None:
        raise Rejected(RejectCode.INSTRUMENT_UNKNOWN, f"{wanted.key} is not among the instruments")
    return found


def _check_changes(row: PaperOrder, changes: dict[str, Decimal]) -> None:
    """Only what this order has may be changed, and never below what is filled."""
    has = {"quantity"}
    if row.order_type in (OrderType.LIMIT, OrderType.SL):
        has.add("price")
    if row.status == PaperOrder.Status.TRIGGER_PENDING:
        has.add("trigger_price")
    if not changes or not set(changes) <= has:
        asked = ", ".join(sorted(changes)) or "nothing"
        raise Rejected(RejectCode.INVALID_FIELD, f"Asked to change {asked}; this order lets {', '.join(sorted(has))} be changed")
    quantity = changes.get("quantity", row.quantity)
    if quantity <= row.filled:
        raise Rejected(RejectCode.INVALID_FIELD, f"Quantity {plain(quantity)} must be above the {plain(row.filled)} already filled")


def _busy(row: PaperOrder) -> Rejected:
    return Rejected(RejectCode.ORDER_BUSY, f"{row} is {row.status}: read it again before deciding")


# ---------------------------------------------------------------------------- rows and values
def _unchanged(row: PaperOrder) -> QuerySet[PaperOrder]:
    """The row, if it is still as it was read: the lock holds on PostgreSQL, this condition everywhere."""
    return PaperOrder.objects.filter(pk=row.pk, status=row.status, filled=row.filled)


def _state(row: PaperOrder) -> PaperOrderState:
    memory, instrument = row.consumed, row.instrument
    return PaperOrderState(
        side=Side(row.side), order_type=OrderType(row.order_type), quantity=row.quantity, tick=instrument.tick or UNKNOWN_TICK,
        lot=instrument.lot or UNKNOWN_LOT, price=row.price, trigger_price=row.trigger_price, validity=Validity(row.validity),
        kind=Kind(instrument.kind), freeze=instrument.freeze, protection=Decimal(memory["protection"]) if memory.get("protection") else None,
        status=Status(row.status), filled=row.filled, cap=row.cap, triggered=row.triggered, met_at=_moment(memory.get("met_at")),
        taken_at=_moment(memory.get("taken_at")), taken={level: Decimal(taken) for level, taken in memory.get("taken", {}).items()},
    )  # fmt: skip


def _memory(state: PaperOrderState) -> dict[str, object]:
    """What an order remembers between two quotes, as JSON: the last one it met, what it took of it, its own protection."""
    return {
        "met_at": state.met_at.isoformat() if state.met_at else None,
        "taken_at": state.taken_at.isoformat() if state.taken_at else None,
        "taken": {level: plain(taken) for level, taken in state.taken.items()},
        "protection": plain(state.protection),
    }


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _words(steps: list[Step]) -> str:
    """What the order says about its end; a refusal begins with its code."""
    said = [s for s in steps if isinstance(s, StateStep) and s.message]
    return "".join(f"{s.code}: {s.message}" if s.status == Status.REJECTED else s.message for s in said)[:200]


def _quote(row: Quote) -> PaperQuote:
    by = PricedBy.ALERT if row.source == Quote.Source.ALERT else PricedBy.QUOTE
    return PaperQuote(row.ltp, row.at, bid=row.bid, ask=row.ask, bid_qty=row.bid_qty, ask_qty=row.ask_qty, volume=row.volume, priced_by=by)


def _alert_price(request: OrderRequest, now: datetime) -> PaperQuote:
    return NO_PRICE if request.ref_price is None else PaperQuote(request.ref_price, now, priced_by=PricedBy.ALERT)


def _today() -> datetime:
    return clock.day_start(clock.trading_day(clock.now()))


def _average(value: Decimal, quantity: Decimal) -> Decimal | None:
    return value / quantity if quantity else None


def _status(row: PaperOrder) -> Status:
    return Status.PARTIAL if row.status == PaperOrder.Status.OPEN and row.filled > 0 else Status(row.status)


def _key(row: PaperOrder) -> OrderKey:
    return OrderKey(str(row), row.ref, symbol=row.instrument.key)


def _ack(row: PaperOrder) -> PlaceAck:
    return PlaceAck(_key(row), _status(row))


def _where(key: OrderKey) -> dict[str, object]:
    """How the row of `key` is found: by its id, or by its reference when the id is not known yet."""
    if not key.broker_order_id:
        return {"ref": key.ref}
    ours = OUR_ID.fullmatch(key.broker_order_id)
    return {"pk": int(ours[1]) if ours else None}


def _not_found(key: OrderKey) -> Rejected:
    return Rejected(RejectCode.ORDER_NOT_FOUND, f"There is no order {key.broker_order_id or key.ref} in this account")


def _fill(trade: PaperTrade) -> Fill:
    return Fill(trade.trade_id, f"PAPER-{trade.order_id}", trade.quantity, trade.price, fee=None, fee_currency="INR", at=trade.at,
                priced_by=trade.priced_by)  # fmt: skip


def _report(row: PaperOrder) -> OrderReport:
    return OrderReport(
        key=_key(row), parent_id=None, status=_status(row), raw_status=row.status, side=Side(row.side), order_type=OrderType(row.order_type),
        product=Product(row.product), quantity=row.quantity, filled=row.filled,
        cancelled=row.quantity - row.filled if row.status in UNFILLED_REST else ZERO, price=row.price, trigger_price=row.trigger_price,
        avg_price=_average(row.value, row.filled), message=row.message, placed_at=row.placed_at, updated_at=row.updated_at,
    )  # fmt: skip
