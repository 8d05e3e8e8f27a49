"""Zerodha, by Kite Connect: the contract of every broker, fulfilled with the official client.

An order carries our reference as its `tag`; MARKET and SL-M carry market protection and come back as LIMIT and SL at their cap.
Nothing is sent twice, nothing is guessed: what an answer proves is decided in `errors`, what a row means in `mapping`.
"""

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from brokers import session, throttle
from brokers.base import Adapter, UnsupportedFeature, look
from brokers.errors import Ambiguous, AuthExpired, LimitCode, RateLimited, RejectCode, Rejected, Unavailable
from brokers.models import BrokerAccount, BrokerSession
from brokers.types import (
    LIVE,
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
    OrderType,
    PlaceAck,
    Position,
    Product,
    QuoteTick,
    Session,
    Validity,
)
from brokers.zerodha import client, mapping
from brokers.zerodha.client import Client
from brokers.zerodha.errors import Purpose
from tvapp.lib import clock
from tvapp.lib.errors import AppError
from tvapp.lib.money import ceil_to, plain

logger = logging.getLogger("brokers.zerodha")
TAG = re.compile(r"[A-Za-z0-9]{1,20}")
PROTECTED = (OrderType.MARKET, OrderType.SL_M)
AUTOMATIC = "-1"  # market protection by the broker's own table
MARGIN_FIELDS = ("exchange", "tradingsymbol", "transaction_type", "variety", "product", "order_type")
QUOTES_AT_ONCE = 500
LOOKS = (1, 2, 4, 8, 15, 30, 60, 120)


class ZerodhaAdapter(Adapter):
    """One Zerodha account."""

    caps = Capabilities(
        broker="zerodha", find_by_ref="BOOK", ref_max=20, products=frozenset(Product), validities=frozenset(Validity), amo=True, gtt=True,
        iceberg=True, login=True, quotes=True, order_rates=((1, 10), (60, 400), (86400, 5000)), read_rates=((1, 10),), quote_rates=((1, 1),),
        modifications=25, looks_after_s=LOOKS, horizon_s=120,
    )  # fmt: skip

    def __init__(self, account: BrokerAccount):
        self.account = account
        self._first_leg: dict[str, str] | None = None  # of each leg of an iceberg, as the book last told

    # ------------------------------------------------------------------------ the road to the broker
    def _call(self, kind: str, purpose: Purpose, work: Callable[[Any], Any], closing: bool = False) -> Any:
        """One request of this account: a login, a place in the budget, the call. Raises BrokerError."""
        kite = self._client()
        throttle.acquire(self.account, kind, closing=closing)
        if purpose is Purpose.WRITE:
            look()
        try:
            return self._spend(kind, lambda: kite.call(purpose, work))
        finally:
            self.ahead = kite.ahead

    def _client(self) -> Client:
        client.checked_root(self.account)
        return client.client_for(self.account, session.access_token_of(self.account))

    def _spend(self, kind: str, send: Callable[[], Any]) -> Any:
        """Tells the budget when the broker says that it is spent."""
        try:
            return send()
        except RateLimited as exc:
            if exc.code == LimitCode.DAILY_ORDER_CAP:
                exc.retry_after = throttle.block_day(self.account)
            else:
                exc.retry_after = throttle.penalise(self.account, kind, exc.retry_after)
            raise

    def _write(self, work: Callable[[Any], Any], closing: bool = False) -> Any:
        return self._call("order", Purpose.WRITE, work, closing)

    def _read(self, work: Callable[[Any], Any], read: Callable[[Any], Any], kind: str = "read") -> Any:
        """What `read` makes of the answer. A book that cannot be read completely is Unavailable, never a part of it."""
        found = self._call(kind, Purpose.READ, work)
        try:
            return read(found)
        except mapping.Unreadable as why:
            raise Unavailable("BAD_BODY", f"Zerodha's answer could not be read: {why}", raw={"unclassified": True}) from None

    # ------------------------------------------------------------------------ writes
    def place(self, request: OrderRequest) -> PlaceAck:
        """One POST. MARKET and SL-M carry market protection: `request.protection` percent, or the broker's own table."""
        fields = _order_fields(request)
        order_id = self._write(lambda kite: _id(kite.place_order(**fields)), closing=request.reduce_only)
        key = OrderKey(order_id, request.ref, variety=str(fields["variety"]), symbol=request.instrument.key)
        return PlaceAck(key, raw={"order_id": order_id})

    def modify(self, key: OrderKey, **changes: Decimal) -> PlaceAck:
        """Also takes `order_type` (an OrderType) and `protection`. A stop kept at a cap gets a new cap with its new trigger."""
        if key.variety == mapping.ICEBERG and changes.get("quantity") is not None:
            raise UnsupportedFeature("The quantity of an iceberg cannot be changed")
        row = {} if key.variety and not _moves_a_stop(changes) and key.variety != mapping.ICEBERG else self._row(key)
        variety, order_id = str(row.get("variety") or key.variety or "regular"), str(row.get("order_id") or key.broker_order_id)
        fields = _changed_fields(changes, mapping.protected(row) and row.get("order_type") == "SL")
        self._write(lambda kite: _id(kite.modify_order(variety=variety, order_id=order_id, **fields)))
        return PlaceAck(OrderKey(key.broker_order_id, key.ref, variety=variety, symbol=key.symbol), raw={"order_id": order_id})

    def cancel(self, key: OrderKey) -> None:
        row = {} if key.variety and key.variety != mapping.ICEBERG else self._row(key)
        variety, order_id = str(row.get("variety") or key.variety or "regular"), str(row.get("order_id") or key.broker_order_id)
        self._write(lambda kite: _id(kite.cancel_order(variety=variety, order_id=order_id)), closing=True)

    # ------------------------------------------------------------------------ reads
    def get_order(self, key: OrderKey) -> OrderReport:
        """From the day's book. Not in it: the order's own history decides, and only Kite's plain 'no such order' is proof."""
        found = next((report for report in self._book(key.ref) if report.key.broker_order_id == key.broker_order_id), None)
        return found or mapping.order_report(self._history(key), clock.now(), key.ref)

    def _row(self, key: OrderKey) -> dict[str, Any]:
        """The broker's row of an order; of an iceberg the leg that is at work, the last one when none is."""
        book = self._read(lambda kite: kite.orders(), mapping.rows)
        mine = [row for row in book if key.broker_order_id in (str(row.get("order_id")), _iceberg_parent(row))]
        live = (row for row in mine if mapping.status_of(str(row.get("status") or "")) in LIVE)
        return next(live, mine[-1] if mine else None) or self._history(key)

    def _history(self, key: OrderKey) -> dict[str, Any]:
        history = self._read(lambda kite: kite.order_history(order_id=key.broker_order_id), mapping.rows)
        if not history:
            raise Unavailable("BAD_BODY", "Zerodha gave an empty history for an order")
        return {**history[-1], "order_timestamp": history[0].get("order_timestamp")}

    def find_by_ref(self, ref: str, hint: OrderKey | None = None) -> tuple[OrderReport, ...]:
        return tuple(report for report in self._book(ref) if ref and report.key.ref == ref)

    def list_orders(self) -> tuple[OrderReport, ...]:
        """The legs of an iceberg are one order; the slices the broker itself made of an order are each their own, with a parent."""
        return self._book()

    def _book(self, ref: str = "") -> tuple[OrderReport, ...]:
        reports, left = self._read(lambda kite: kite.orders(), lambda found: mapping.order_reports(found, clock.now(), ref))
        if left:
            logger.warning("%s: rows of others in the order book could not be read: %s", self.account.name, "; ".join(left[:5]))
        self._first_leg = {r.key.broker_order_id: mapping.family_of(r) for r in reports if r.key.variety == mapping.ICEBERG}
        return mapping.whole_icebergs(reports)

    def list_fills(self, key: OrderKey | None = None) -> tuple[Fill, ...]:
        """What a leg of an iceberg traded is told as the iceberg's."""
        if key is not None and key.variety != mapping.ICEBERG:
            return self._read(lambda kite: kite.order_trades(order_id=key.broker_order_id), lambda found: mapping.fills(found, clock.now()))
        if self._first_leg is None or key is not None:
            self._book()
        first = self._first_leg or {}
        fills = self._read(lambda kite: kite.trades(), lambda found: mapping.fills(found, clock.now()))
        told = tuple(replace(fill, broker_order_id=first.get(fill.broker_order_id, fill.broker_order_id)) for fill in fills)
        return told if key is None else tuple(fill for fill in told if fill.broker_order_id == key.broker_order_id)

    def positions(self) -> tuple[Position, ...]:
        return self._read(lambda kite: kite.positions(), mapping.positions)

    def holdings(self) -> tuple[Holding, ...]:
        return self._read(lambda kite: kite.holdings(), mapping.holdings)

    def funds(self) -> tuple[Funds, ...]:
        return self._read(lambda kite: kite.margins(), mapping.funds)

    def margin(self, request: OrderRequest) -> Decimal:
        fields = {name: value for name, value in _order_fields(request).items() if name in MARGIN_FIELDS}
        numbers = {"quantity": int(request.quantity), "price": float(request.price or 0), "trigger_price": float(request.trigger_price or 0)}
        asked = fields | numbers  # this one call takes JSON, and numbers in it
        return self._read(lambda kite: kite.order_margins([asked]), mapping.margin)

    def quote(self, keys: Sequence[str]) -> tuple[QuoteTick, ...]:
        """In batches of 500. Kite takes one batch a second: ask for more at once and the second is RateLimited."""
        ticks: list[QuoteTick] = []
        for start in range(0, len(keys), QUOTES_AT_ONCE):
            batch = list(keys[start : start + QUOTES_AT_ONCE])
            ticks += self._read(lambda kite, asked=batch: kite.quote(asked), lambda found: mapping.quotes(found, clock.now()), kind="quote")
        return tuple(ticks)

    def iter_instruments(self, exchange: str = "") -> Iterator[Instrument]:
        """The day's list, read as it arrives; it needs no login. The iterator is a mapping.InstrumentRows: it counts `malformed` and `expired`."""
        throttle.wait(self.account, "read")
        path = f"/instruments/{exchange}" if exchange else "/instruments"
        return mapping.InstrumentRows(client.client_for(self.account, "").lines(path), clock.now())

    # ------------------------------------------------------------------------ triggers
    def place_gtt(self, request: GttRequest) -> str:
        fields = mapping.gtt_fields(request)
        return self._call("read", Purpose.WRITE, lambda kite: _id(kite.place_gtt(**fields)["trigger_id"]))  # no order yet: not of their budget

    def delete_gtt(self, gtt_id: str) -> None:
        self._call("read", Purpose.WRITE, lambda kite: kite.delete_gtt(trigger_id=gtt_id)["trigger_id"])

    def list_gtts(self) -> tuple[GttSnapshot, ...]:
        return self._read(lambda kite: kite.get_gtts(), lambda found: mapping.gtts(found, clock.now()))

    # ------------------------------------------------------------------------ the session
    def check_session(self) -> Session:
        """AuthExpired(WRONG_USER) when the session belongs to somebody else than the account says."""
        said = self._read(lambda kite: kite.profile(), mapping.person)
        self._expect(said["user_id"], "WRONG_USER")
        row = BrokerSession.objects.get(account_id=self.account.pk)
        issued = row.issued_at or clock.now()
        return Session(said["user_id"], row.access_token or "", issued, row.expires_at or session.ends_at(issued), {"user_name": said["user_name"]})

    def complete_login(self, request_token: str) -> Session:
        """AuthExpired: LOGIN_TOKEN_USED, LOGIN_BAD_SECRET, or LOGIN_WRONG_USER when another user logged in. Unavailable: begin again."""
        secret = self._secret()
        fresh = client.client_for(self.account, "")
        throttle.acquire(self.account, "read")
        send = lambda: fresh.call(Purpose.LOGIN, lambda kite: _login(fresh, kite, request_token, secret), request_token, secret)  # noqa: E731
        said = self._spend("read", send)
        self._expect(said["user_id"], "LOGIN_WRONG_USER")
        issued = clock.now()
        return Session(said["user_id"], said["access_token"], issued, session.ends_at(issued), {"user_name": said["user_name"]})

    def _secret(self) -> str:
        try:
            return session.credentials_of(self.account)[1]
        except AppError as exc:
            raise Unavailable(RejectCode.NOT_PERMITTED, f"Nothing was sent: {exc.message}", sent=False) from None

    def end_session(self) -> None:
        """A session that is dead already is ended, too."""
        try:
            self._call("read", Purpose.READ, lambda kite: kite.invalidate_access_token())
        except AuthExpired as exc:
            logger.info("%s: the session had ended before: %s", self.account.name, exc.code)

    def _expect(self, user_id: str, code: str) -> None:
        wanted = self.account.client_id
        if wanted and user_id.upper() != wanted.upper():
            raise AuthExpired(code, f"{user_id} logged in, and this account belongs to {wanted}")


def _login(fresh: Client, kite: Any, request_token: str, secret: str) -> dict[str, str]:
    """The SDK trips over a body whose login_time is missing or odd after it was given the token: then the body itself is read."""
    try:
        said = kite.generate_session(request_token=request_token, api_secret=secret)
    except (KeyError, TypeError, ValueError):
        answer = fresh.answer()
        said = answer.envelope().get("data") if answer and answer.status == 200 else None
    finally:
        kite.set_access_token(None)  # this client belongs to nobody yet
    token = said.get("access_token") if isinstance(said, dict) else None
    if not token:
        raise ValueError("a login without a token")
    return {**mapping.person(said), "access_token": str(token)}


def _iceberg_parent(row: dict[str, Any]) -> str:
    return str(row.get("parent_order_id") or "") if row.get("variety") == mapping.ICEBERG else ""


def _id(given: object) -> str:
    """An id that an answer must have; without one nobody knows what became of the request."""
    if not isinstance(given, str | int) or isinstance(given, bool) or not str(given):
        raise Ambiguous("BAD_BODY", "the answer of Zerodha names no order", raw={"unclassified": True})
    return str(given)


# ---------------------------------------------------------------------------- what is sent
def _order_fields(request: OrderRequest) -> dict[str, str]:
    """The form of a new order; money and quantities as exact text. Refuses what Kite cannot be asked."""
    if not TAG.fullmatch(request.ref):
        raise _not_sent(RejectCode.INVALID_TAG, f"A reference has up to 20 letters and digits, not {request.ref!r}")
    if request.quantity <= 0 or request.quantity % 1:
        raise _not_sent(RejectCode.INVALID_FIELD, f"Zerodha takes whole quantities, not {plain(request.quantity)}")
    if request.amo and request.iceberg_legs > 1:
        raise UnsupportedFeature("An iceberg cannot be an after-market order")
    fields = {
        "variety": "amo" if request.amo else "iceberg" if request.iceberg_legs > 1 else "regular",
        "exchange": request.instrument.exchange,
        "tradingsymbol": request.instrument.symbol,
        "transaction_type": request.side.value,
        "quantity": _exact(request.quantity),
        "product": request.product.value,
        "order_type": mapping.WIRE_TYPE[request.order_type],
        "validity": request.validity.value,
        "tag": request.ref,
    }
    return fields | _prices(request) | _extras(request)


def _prices(request: OrderRequest) -> dict[str, str]:
    fields = {}
    if request.price is not None and request.order_type not in PROTECTED:
        fields["price"] = _exact(request.price)
    if request.trigger_price is not None:
        fields["trigger_price"] = _exact(request.trigger_price)
    if request.order_type in PROTECTED:
        fields["market_protection"] = _protection(request.protection)
    return fields


def _extras(request: OrderRequest) -> dict[str, str]:
    fields = {}
    if request.validity is Validity.TTL:
        fields["validity_ttl"] = str(request.validity_minutes)
    if request.iceberg_legs > 1:
        leg = ceil_to(request.quantity / request.iceberg_legs, max(request.instrument.lot, Decimal(1)))
        fields |= {"iceberg_legs": str(request.iceberg_legs), "iceberg_quantity": _exact(leg)}
    return fields


def _changed_fields(changes: dict[str, Any], capped_stop: bool) -> dict[str, str]:
    """The form of a change: only what changes, and protection wherever the order becomes or stays a protected one."""
    fields = {name: _exact(changes[name]) for name in ("quantity", "price", "trigger_price") if changes.get(name) is not None}
    to = OrderType(changes["order_type"]) if changes.get("order_type") else None
    if to is None and capped_stop and "trigger_price" in fields and "price" not in fields:
        to = OrderType.SL_M
    if to is not None:
        fields["order_type"] = mapping.WIRE_TYPE[to]
    if to in PROTECTED:
        fields["market_protection"] = _protection(changes.get("protection"))
    return fields


def _moves_a_stop(changes: dict[str, Any]) -> bool:
    return changes.get("trigger_price") is not None and changes.get("price") is None and not changes.get("order_type")


def _protection(percent: Decimal | None) -> str:
    return AUTOMATIC if percent is None else _exact(percent)


def _exact(value: Decimal) -> str:
    return plain(value) or "0"


def _not_sent(code: str, message: str) -> Rejected:
    return Rejected(code, message, sent=False)
