"""Kite's rows in the desk's words. Pure: rows in, frozen values out.

A row may lack fields, have more of them, or null in any. What must be there is named by each function; `Unreadable` says that it is not.
Times on the wire are naive and mean India; here they become aware UTC.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation

from brokers.errors import RejectCode
from brokers.types import (
    LIVE,
    TERMINAL,
    Fill,
    Funds,
    GttKind,
    GttLeg,
    GttRequest,
    GttResult,
    GttSnapshot,
    GttStatus,
    Holding,
    Instrument,
    Kind,
    OrderKey,
    OrderReport,
    OrderType,
    Position,
    Product,
    QuoteTick,
    Side,
    Status,
)
from brokers.zerodha.errors import code_of, redact
from tvapp.lib.clock import IST
from tvapp.lib.money import ZERO

Row = Mapping[str, object]

STATUSES = {
    "PUT ORDER REQ RECEIVED": Status.SUBMITTED,
    "PUT ORDER REQUEST RECEIVED": Status.SUBMITTED,
    "VALIDATION PENDING": Status.SUBMITTED,
    "OPEN PENDING": Status.SUBMITTED,  # can last until the evening and still trade
    "OPEN": Status.OPEN,
    "TRIGGER PENDING": Status.TRIGGER_PENDING,
    "MODIFY VALIDATION PENDING": Status.OPEN,
    "MODIFY PENDING": Status.OPEN,
    "MODIFIED": Status.OPEN,
    "CANCEL PENDING": Status.CANCEL_PENDING,
    "AMO REQ RECEIVED": Status.AMO_QUEUED,
    "AFTER MARKET ORDER REQ RECEIVED": Status.AMO_QUEUED,
    "MODIFY AMO REQ RECEIVED": Status.AMO_QUEUED,
    "COMPLETE": Status.FILLED,
    "CANCELLED": Status.CANCELLED,
    "CANCEL": Status.CANCELLED,
    "CANCELLED AMO": Status.CANCELLED,
    "REJECTED": Status.REJECTED,
}
ORDER_TYPES = {"MARKET": OrderType.MARKET, "LIMIT": OrderType.LIMIT, "SL": OrderType.SL, "SL-M": OrderType.SL_M}
WIRE_TYPE = {ours: theirs for theirs, ours in ORDER_TYPES.items()}
PRODUCTS = {"CO": Product.MIS, "BO": Product.MIS}  # both are closed within the day
ICEBERG = "iceberg"
SYSTEM_TAGS = ("mktp", "autoslice")
PROTECTED_TAG = "mktp"
OUR_TAG = re.compile(r"[tps][a-z2-7]{16}")
GTT_KINDS = {"single": GttKind.SINGLE, "two-leg": GttKind.OCO}
WIRE_GTT = {ours: theirs for theirs, ours in GTT_KINDS.items()}


class Unreadable(ValueError):
    """A row that lacks what makes it one."""


# ---------------------------------------------------------------------------- fields
def _text(row: Row, name: str) -> str:
    value = row.get(name)
    return "" if value is None else str(value)


def _need(row: Row, name: str) -> str:
    value = _text(row, name)
    if not value:
        raise Unreadable(f"no {name}")
    return value


def number(value: object) -> Decimal | None:
    """The exact decimal of a JSON number or of its text; None for what is none."""
    if value is None or isinstance(value, bool):
        return None
    try:
        found = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def _amount(row: Row, name: str) -> Decimal:
    """0 when the field is missing."""
    return number(row.get(name)) or ZERO


def _required(row: Row, name: str) -> Decimal:
    value = number(row.get(name))
    if value is None:
        raise Unreadable(f"no {name}")
    return value


def _price(row: Row, name: str) -> Decimal | None:
    """A price of 0 is no price."""
    return number(row.get(name)) or None


def moment(value: object) -> datetime | None:
    """Aware UTC. A time without a zone is India's; None for what is no time."""
    if isinstance(value, datetime):
        at = value
    else:
        try:
            at = datetime.fromisoformat(str(value))
        except ValueError:
            return None
    return (at if at.tzinfo else at.replace(tzinfo=IST)).astimezone(UTC)


def rows(data: object) -> list[Row]:
    """The rows of a book. Anything that is no list of objects is a failed read, never an empty book."""
    if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
        raise Unreadable("no list of rows")
    return data


# ---------------------------------------------------------------------------- orders
def status_of(raw: str, filled: Decimal = ZERO, quantity: Decimal = ZERO) -> Status:
    """A word no table knows is UNMAPPED, and so counts as live."""
    found = STATUSES.get(" ".join(raw.upper().replace("_", " ").split()), Status.UNMAPPED)
    return Status.PARTIAL if found is Status.OPEN and 0 < filled < quantity else found


def tags_of(row: Row) -> tuple[str, ...]:
    """Every tag a client gave, without the broker's own; it may stand in `tag`, in `tags` or in both."""
    more = row.get("tags")
    given = [row.get("tag"), *(more if isinstance(more, list) else [])]
    named = [str(tag) for tag in given if tag]
    return tuple(dict.fromkeys(tag for tag in named if tag.partition(":")[0].lower() not in SYSTEM_TAGS))


def protected(row: Row) -> bool:
    """Whether it was sent as MARKET or SL-M and is kept as a limit order at its cap."""
    tags = row.get("tags")
    return any(str(tag).lower().startswith(PROTECTED_TAG) for tag in (tags if isinstance(tags, list) else []))


def could_be_ours(row: Row) -> bool:
    """False only for a row that plainly says it is not: it names its tags, and none has our form."""
    if "tag" not in row and "tags" not in row:
        return True
    return any(OUR_TAG.fullmatch(tag) for tag in tags_of(row))


def order_report(row: Row, seen_at: datetime, ref: str = "") -> OrderReport:
    """One row of the order book. Needed: order_id, side, quantity, symbol. `ref` picks one of several tags."""
    tags, quantity, filled = tags_of(row), _required(row, "quantity"), _amount(row, "filled_quantity")
    symbol = f"{_need(row, 'exchange')}:{_need(row, 'tradingsymbol')}"
    placed = moment(row.get("order_timestamp")) or moment(row.get("exchange_timestamp")) or seen_at
    times = [placed, moment(row.get("exchange_timestamp")), moment(row.get("exchange_update_timestamp"))]
    named = ref if ref in tags else next((tag for tag in tags if OUR_TAG.fullmatch(tag)), tags[0] if tags else "")
    status = status_of(_text(row, "status"), filled, quantity)
    return OrderReport(
        key=OrderKey(_need(row, "order_id"), named, variety=_text(row, "variety") or None, symbol=symbol),
        parent_id=_text(row, "parent_order_id") or None,
        status=status,
        raw_status=_text(row, "status"),
        side=_side(row),
        order_type=_order_type(row),
        product=_product(row),
        quantity=quantity,
        filled=filled,
        cancelled=_amount(row, "cancelled_quantity"),
        price=_price(row, "price"),
        trigger_price=_price(row, "trigger_price"),
        avg_price=_price(row, "average_price") if filled else None,
        message=_message(row),
        placed_at=placed,
        updated_at=max(at for at in times if at),
        raw=_raw(row),
        code=_refused_for(row) if status is Status.REJECTED else "",
    )


def order_reports(data: object, seen_at: datetime, ref: str = "") -> tuple[tuple[OrderReport, ...], list[str]]:
    """The book, and what could not be read of rows that are plainly not ours. Raises Unreadable for a row that may be ours."""
    reports, left = [], []
    for row in rows(data):
        try:
            reports.append(order_report(row, seen_at, ref))
        except Unreadable as why:
            if could_be_ours(row):
                raise
            left.append(f"{_text(row, 'order_id') or 'a row without an id'}: {why}")
    return tuple(reports), left


def whole_icebergs(reports: Iterable[OrderReport]) -> tuple[OrderReport, ...]:
    """The same book with the legs of each iceberg as the one order they are; Kite lists a leg when the one before is done."""
    families: dict[str, list[OrderReport]] = {}
    for report in reports:
        families.setdefault(family_of(report), []).append(report)
    return tuple(r for legs in families.values() for r in ([_iceberg(legs)] if legs[0].key.variety == ICEBERG else legs))


def family_of(report: OrderReport) -> str:
    """The id an order goes by: an iceberg's legs go by their first one's."""
    return (report.key.variety == ICEBERG and report.parent_id) or report.key.broker_order_id


def _iceberg(legs: list[OrderReport]) -> OrderReport:
    first, last = legs[0], next((leg for leg in legs if leg.status in LIVE), legs[-1])
    total, filled = _iceberg_total(legs), sum((leg.filled for leg in legs), ZERO)
    status = last.status
    if filled >= total:
        status = Status.FILLED
    elif status is Status.FILLED or (filled and status in (Status.OPEN, Status.SUBMITTED)):
        status = Status.PARTIAL  # also between two legs
    value = sum((leg.filled * leg.avg_price for leg in legs if leg.avg_price), ZERO)
    return replace(
        first,
        key=replace(first.key, broker_order_id=family_of(first)),
        parent_id=None,
        status=status,
        raw_status=last.raw_status,
        quantity=total,
        filled=filled,
        cancelled=total - filled if status in TERMINAL else ZERO,
        price=last.price,
        avg_price=value / filled if filled else None,
        message=last.message,
        code=last.code,
        updated_at=max(leg.updated_at for leg in legs),
    )


def _iceberg_total(legs: list[OrderReport]) -> Decimal:
    """What the whole asks for; a leg alone tells its own part."""
    meta = (legs[0].raw or {}).get("meta")
    said = meta.get("iceberg") if isinstance(meta, dict) else None
    total = number(said.get("total_quantity")) if isinstance(said, dict) else None
    return max(total or ZERO, sum((leg.quantity for leg in legs), ZERO))


def _side(row: Row) -> Side:
    try:
        return Side(_text(row, "transaction_type").upper())
    except ValueError:
        raise Unreadable("no transaction_type") from None


def _order_type(row: Row) -> OrderType:
    known = ORDER_TYPES.get(_text(row, "order_type").upper().replace("SLM", "SL-M"))
    return known or (OrderType.LIMIT if _amount(row, "price") else OrderType.MARKET)


def _product(row: Row) -> Product:
    """A product the desk does not trade is told as the nearest it knows; `raw` keeps the broker's word."""
    word = _text(row, "product").upper()
    try:
        return PRODUCTS.get(word) or Product(word)
    except ValueError:
        return Product.NRML


def _message(row: Row) -> str:
    return str(redact(_text(row, "status_message") or _text(row, "status_message_raw"))).strip()


def _refused_for(row: Row) -> str:
    """The friendly words first, then the raw ones: either may be the one that is known."""
    codes = [code_of(_text(row, name)) for name in ("status_message", "status_message_raw")]
    return next((code for code in codes if code != RejectCode.OTHER), codes[0])


def _raw(row: Row) -> Row:
    kept = redact(row)
    return kept if isinstance(kept, dict) else {}


# ---------------------------------------------------------------------------- trades
def fills(data: object, seen_at: datetime) -> tuple[Fill, ...]:
    """The trade book. A row that cannot be read makes the whole unreadable: a missing fill is a wrong position."""
    return tuple(fill(row, seen_at) for row in rows(data))


def fill(row: Row, seen_at: datetime) -> Fill:
    at = moment(row.get("fill_timestamp")) or moment(row.get("exchange_timestamp")) or seen_at
    price = number(row.get("average_price"))
    price = price if price is not None else _required(row, "price")
    return Fill(_need(row, "trade_id"), _need(row, "order_id"), _required(row, "quantity"), price, None, "INR", at, raw=_raw(row))


# ---------------------------------------------------------------------------- portfolio
def positions(data: object) -> tuple[Position, ...]:
    """Net positions that are open or were traded today."""
    net = data.get("net") if isinstance(data, dict) else None
    return tuple(found for found in map(position, rows(net)) if found.net_qty or found.buy_qty or found.sell_qty)


def position(row: Row) -> Position:
    bought, sold = _amount(row, "day_buy_quantity"), _amount(row, "day_sell_quantity")
    ltp = _price(row, "last_price")
    return Position(
        native=_native(row),
        product=_product(row),
        net_qty=_required(row, "quantity"),
        overnight_qty=_amount(row, "overnight_quantity"),
        multiplier=_price(row, "multiplier") or Decimal(1),
        buy_qty=bought,
        buy_avg=_price(row, "day_buy_price") if bought else None,
        sell_qty=sold,
        sell_avg=_price(row, "day_sell_price") if sold else None,
        realised=_amount(row, "realised"),
        unrealised=number(row.get("unrealised")) if ltp else None,
        ltp=ltp,
        close=_price(row, "close_price"),
        raw=_raw(row),
    )


def holdings(data: object) -> tuple[Holding, ...]:
    return tuple(map(holding, rows(data)))


def holding(row: Row) -> Holding:
    return Holding(
        native={**_native(row), "isin": _text(row, "isin")},
        quantity=_required(row, "quantity"),
        t1_quantity=_amount(row, "t1_quantity"),
        used_quantity=_amount(row, "used_quantity"),
        collateral_qty=_amount(row, "collateral_quantity"),
        avg_price=_amount(row, "average_price"),
        ltp=_price(row, "last_price"),
        close=_price(row, "close_price"),
        raw=_raw(row),
    )


def _native(row: Row) -> dict[str, str]:
    names = {"exchange": _need(row, "exchange"), "tradingsymbol": _need(row, "tradingsymbol")}
    return {**names, "product": _text(row, "product"), "token": _text(row, "instrument_token")}


def person(data: object) -> dict[str, str]:
    """Who is logged in: user_id and user_name."""
    if not isinstance(data, dict):
        raise Unreadable("no user")
    return {"user_id": _need(data, "user_id"), "user_name": _text(data, "user_name")}


def funds(data: object) -> tuple[Funds, ...]:
    """Segments equity and commodity, where the account has them."""
    if not isinstance(data, dict) or not data:
        raise Unreadable("no segments")
    return tuple(_segment(name, row) for name, row in data.items() if isinstance(row, dict) and row.get("enabled") is not False)


def _segment(name: str, row: Row) -> Funds:
    available, utilised = _required(row, "net"), row.get("utilised")
    used = _amount(utilised, "debits") if isinstance(utilised, dict) else ZERO
    return Funds(name, "INR", available, used, available + used, raw=_raw(row))


def margin(data: object) -> Decimal:
    """The total of the only row that was asked for."""
    found = rows(data)
    if len(found) != 1:
        raise Unreadable(f"{len(found)} rows for one order")
    return _required(found[0], "total")


# ---------------------------------------------------------------------------- triggers
def gtts(data: object, seen_at: datetime) -> tuple[GttSnapshot, ...]:
    return tuple(gtt(row, seen_at) for row in rows(data))


def gtt(row: Row, seen_at: datetime) -> GttSnapshot:
    condition, orders = row.get("condition"), row.get("orders")
    if not isinstance(condition, dict) or not isinstance(orders, list) or not all(isinstance(leg, dict) for leg in orders):
        raise Unreadable("no condition or orders")
    triggers = condition.get("trigger_values")
    values = [number(value) for value in (triggers if isinstance(triggers, list) else [])]
    created = moment(row.get("created_at")) or seen_at
    return GttSnapshot(
        id=_need(row, "id"),
        kind=GTT_KINDS.get(_text(row, "type"), GttKind.OCO if len(values) > 1 else GttKind.SINGLE),
        status=_gtt_status(_text(row, "status")),
        raw_status=_text(row, "status"),
        exchange=_need(condition, "exchange"),
        tradingsymbol=_need(condition, "tradingsymbol"),
        triggers=tuple(value for value in values if value is not None),
        legs=tuple(GttLeg(_side(leg), _required(leg, "quantity"), _product(leg), _amount(leg, "price")) for leg in orders),
        results=tuple(_gtt_result(leg.get("result")) for leg in orders),
        created_at=created,
        updated_at=moment(row.get("updated_at")) or created,
        raw=_raw(row),
    )


def _gtt_status(raw: str) -> GttStatus:
    try:
        return GttStatus(raw.upper())
    except ValueError:
        return GttStatus.UNMAPPED


def _gtt_result(result: object) -> GttResult | None:
    said = result.get("order_result") if isinstance(result, dict) else None
    if not isinstance(said, dict):
        return None
    status, order_id, why = _text(said, "status"), _text(said, "order_id"), _text(said, "rejection_reason")
    ok = status.lower() == "success" and bool(order_id)
    return GttResult(ok, status, order_id, why, "" if ok else code_of(why, "gtt"))


def gtt_fields(request: GttRequest) -> dict[str, object]:
    """What the client's place_gtt takes. Kite's JSON knows no decimals here: floats, and only here."""
    return {
        "trigger_type": WIRE_GTT[request.kind],
        "tradingsymbol": request.instrument.symbol,
        "exchange": request.instrument.exchange,
        "trigger_values": [float(value) for value in request.triggers],
        "last_price": float(request.last_price),
        "orders": [_leg_fields(leg) for leg in request.legs],
    }


def _leg_fields(leg: GttLeg) -> dict[str, object]:
    named = {"transaction_type": leg.side.value, "product": leg.product.value, "order_type": "LIMIT"}
    return {**named, "quantity": int(leg.quantity), "price": float(leg.price)}


# ---------------------------------------------------------------------------- prices
def quotes(data: object, seen_at: datetime) -> tuple[QuoteTick, ...]:
    """One tick a key that has a price; a row without one is left out, as a key that is not known."""
    if not isinstance(data, dict):
        raise Unreadable("no quotes")
    ticks = (_tick(key, row, seen_at) for key, row in data.items() if isinstance(row, dict))
    return tuple(tick for tick in ticks if tick)


def _tick(key: str, row: Row, seen_at: datetime) -> QuoteTick | None:
    ltp = _price(row, "last_price")
    if ltp is None:
        return None
    (bid, bid_qty), (ask, ask_qty) = _best(row, "buy"), _best(row, "sell")
    at = moment(row.get("timestamp")) or moment(row.get("last_trade_time")) or seen_at
    ohlc = row.get("ohlc")
    close = _price(ohlc, "close") if isinstance(ohlc, dict) else None
    return QuoteTick(key, ltp, at, bid, ask, bid_qty, ask_qty, number(row.get("volume")), close)


def _best(row: Row, side: str) -> tuple[Decimal | None, Decimal | None]:
    depth = row.get("depth")
    levels = depth.get(side) if isinstance(depth, dict) else None
    best = levels[0] if isinstance(levels, list) and levels and isinstance(levels[0], dict) else {}
    price = _price(best, "price")
    return (price, number(best.get("quantity"))) if price else (None, None)


# ---------------------------------------------------------------------------- instruments
KINDS = {"EQ": Kind.EQ, "FUT": Kind.FUT, "CE": Kind.CE, "PE": Kind.PE}


class InstrumentRows(Iterator[Instrument]):
    """The instruments of a CSV, one at a time and nothing kept. `malformed` and `expired` count what was left out so far."""

    def __init__(self, lines: Iterable[str], as_of: datetime):
        self._rows = csv.DictReader(lines)
        self._as_of, self._today = as_of, as_of.astimezone(IST).date()
        self.malformed = self.expired = 0

    def __next__(self) -> Instrument:
        for row in self._rows:
            try:
                found = instrument(row, self._as_of)
            except (ValueError, InvalidOperation):
                self.malformed += 1
                continue
            if found.expiry is None or found.expiry >= self._today:
                return found
            self.expired += 1
        raise StopIteration


def instrument(row: Mapping[str, str | None], as_of: datetime) -> Instrument:
    """One line of Kite's list. Raises ValueError or InvalidOperation for one that makes no sense."""
    exchange, symbol, name = _need(row, "exchange"), _need(row, "tradingsymbol"), _text(row, "name").strip('"')
    index = _text(row, "segment") == "INDICES"
    tick, lot = _required(row, "tick_size"), _required(row, "lot_size")
    if not index and (tick <= 0 or lot <= 0):
        raise Unreadable("no tick or lot")
    expiry = _text(row, "expiry")
    native = {"token": _need(row, "instrument_token"), "name": name, "segment": _text(row, "segment")}
    return Instrument(
        key=f"{exchange}:{symbol}",
        exchange=exchange,
        symbol=symbol,
        kind=Kind.IDX if index else _kind(row),
        tick=tick,
        lot=lot,
        expiry=date.fromisoformat(expiry) if expiry else None,
        strike=_price(row, "strike"),
        native=native,
        as_of=as_of,
    )


def _kind(row: Row) -> Kind:
    known = KINDS.get(_text(row, "instrument_type"))
    if known is None:
        raise Unreadable("no kind")
    return known
