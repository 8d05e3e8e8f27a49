"""The order engine: accepts, moves, matches and ends orders. Callers hold the simulator's lock."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal as D
from typing import TYPE_CHECKING

from brokers.kitesim import answers, books, rules
from brokers.kitesim.accounts import Account
from brokers.kitesim.answers import Refused, invalid
from brokers.kitesim.books import Order, Trade
from brokers.kitesim.rules import Wish
from brokers.kitesim.simclock import amo_sent_at
from tvapp.lib import clock

if TYPE_CHECKING:
    from brokers.kitesim.state import Simulator

ZERO = D(0)
MOST_CHANGES = 25
BUSY = "Order cannot be {done} as it is being processed. Try later."


# ---------------------------------------------------------------------------- placing
def place(sim: "Simulator", account: Account, variety: str, form: Mapping[str, str], lag: float = 0, reject: str = "") -> dict[str, object]:
    """Judges and accepts. Returns what Kite's `data` holds; raises Refused, and then nothing was accepted."""
    wish = rules.read(variety, form, sim.market)
    rules.check(wish, sim.market, sim.clock)
    if wish.autoslice and wish.quantity > wish.item.freeze:
        return _sliced(sim, account, wish, lag)
    meta: dict[str, object] = {}
    if wish.variety == "iceberg":
        leg, total = wish.quantity // wish.legs, wish.quantity
        meta["iceberg"] = {"leg": 1, "legs": wish.legs, "leg_quantity": leg, "total_quantity": total, "remaining_quantity": total - leg}
        wish = replace(wish, quantity=leg)
    order = accept(sim, account, wish, meta=meta, lag=lag, reject=reject)
    return {"order_id": order.order_id}


def _sliced(sim: "Simulator", account: Account, wish: Wish, lag: float) -> dict[str, object]:
    """Children of at most the freeze quantity, each accepted or refused by itself."""
    if wish.quantity > wish.most:
        raise invalid("quantity")
    lot, children = max(1, wish.item.lot), []
    parent, size, rest = sim.order_id(), wish.item.freeze - wish.item.freeze % lot, wish.quantity
    while rest > 0:
        part, rest = min(size, rest), rest - size
        try:
            order = accept(sim, account, replace(wish, quantity=part), parent=parent, tags=["autoslice", f"autoslice:{parent}"], lag=lag)
        except Refused as why:
            children.append({"error": {"code": why.status, "error_type": why.error_type, "message": why.message, "data": why.data}})
        else:
            children.append({"order_id": order.order_id})
    return {"order_id": parent, "children": children}


def accept(
    sim: "Simulator",
    account: Account,
    wish: Wish,
    *,
    parent: str | None = None,
    tags: Iterable[str] = (),
    meta: dict[str, object] | None = None,
    lag: float = 0,
    reject: str = "",
) -> Order:
    """From here on the order exists: it is in the account's book and in the truth, and then goes as far as it can."""
    last = sim.market.price(wish.item.key)
    limit = _limit(wish, last)
    blocked = rules.check_account(wish, account, wish.quantity, limit or last)
    number, now = sim.next_number(), sim.clock.now()
    order = Order(
        number=number,
        order_id=sim.order_id(number),
        api_key=account.api_key,
        user_id=account.user_id,
        received_at=now,
        day=sim.clock.today(),
        item=wish.item,
        variety=wish.variety,
        side=wish.side,
        order_type={"MARKET": "LIMIT", "SL-M": "SL"}.get(wish.order_type, wish.order_type),
        product="MIS" if wish.product == "CO" else wish.product,
        validity=wish.validity,
        validity_ttl=wish.ttl,
        quantity=wish.quantity,
        disclosed=wish.disclosed,
        price=limit,
        trigger=wish.trigger,
        tag=wish.tag,
        tags=[*([wish.tag] if wish.tag else []), *tags, *_protection_tags(wish, last)],
        parent_order_id=parent,
        meta=meta or {},
        protected=wish.protected,
        blocked=blocked,
        accepted_at=clock.monotonic(),
        hidden_until=clock.monotonic() + lag if lag else 0.0,
    )
    sim.keep(account, order)
    _begin(sim, order, reject)
    return order


def _limit(wish: Wish, last: D) -> D:
    return rules.cap(wish, wish.trigger if wish.stops else last) if wish.protected else wish.price


def _protection_tags(wish: Wish, last: D) -> list[str]:
    return ["mktp", f"mktp:{rules.protection_percent(wish, last):.2f}"] if wish.protected else []


def _begin(sim: "Simulator", order: Order, reject: str) -> None:
    if order.variety == "amo":
        move(sim, order, books.AMO)
        return
    move(sim, order, books.REQUESTED)
    _to_exchange(sim, order, reject)


def _to_exchange(sim: "Simulator", order: Order, reject: str = "") -> None:
    """Risk validation, then the exchange, then the first match."""
    move(sim, order, books.VALIDATION)
    if order.quantity > order.item.freeze:
        reject = answers.FREEZE.format(exchange=f"{order.item.exchange} {'CASH' if order.item.kind == 'EQ' else 'FO'}")
    if reject:
        end(sim, order, books.REJECTED, reject)
        return
    order.exchange_order_id, order.exchanged_at = f"1{order.number:015d}", sim.clock.now()
    move(sim, order, books.OPEN_PENDING)
    move(sim, order, books.TRIGGER if order.order_type == "SL" else books.OPEN)
    match(sim, order)
    if order.live and order.validity == "IOC":
        end(sim, order, books.CANCELLED)


# ---------------------------------------------------------------------------- changing
def find(account: Account, order_id: str, variety: str = "") -> Order:
    order = account.orders.get(order_id)
    if order is None:
        raise Refused("Couldn't find that `order_id`.", "GeneralException", 404)
    if variety and order.variety != variety:
        raise Refused("Order variety cannot be modified")
    return order


def modify(sim: "Simulator", account: Account, variety: str, order_id: str, form: Mapping[str, str]) -> dict[str, object]:
    order = find(account, order_id, variety)
    if order.status not in books.AT_REST:
        raise Refused(BUSY.format(done="modified"))
    if order.modified >= MOST_CHANGES:
        raise Refused("Maximum allowed order modifications exceeded.")
    wish = rules.read(variety, _as_form(order) | {k: v for k, v in form.items() if k in CHANGEABLE}, sim.market)
    if variety == "iceberg":
        wish.legs = order.meta["iceberg"]["legs"]
        wish.quantity = wish.quantity * wish.legs  # a leg is changed, the whole is judged
    rules.check(wish, sim.market, sim.clock)
    wish.quantity = wish.quantity // wish.legs if wish.legs else wish.quantity
    if wish.quantity <= order.filled:
        raise invalid("quantity")
    _change(sim, account, order, wish)
    return {"order_id": order.order_id}


CHANGEABLE = ("quantity", "price", "order_type", "trigger_price", "validity", "validity_ttl", "disclosed_quantity", "market_protection")


def _as_form(order: Order) -> dict[str, str]:
    row = order.row()
    named = ("exchange", "tradingsymbol", "transaction_type", "product", "order_type", "validity", "tag")
    numbers = ("quantity", "price", "trigger_price", "validity_ttl", "disclosed_quantity")
    return {name: row[name] or "" for name in named} | {name: str(row[name]) for name in numbers}


def _change(sim: "Simulator", account: Account, order: Order, wish: Wish) -> None:
    old, last = order.blocked, sim.market.price(wish.item.key)
    limit = _limit(wish, last)
    order.blocked = ZERO
    try:
        if order.product != "CNC" or order.side == "BUY":
            order.blocked = rules.check_account(wish, account, wish.quantity, limit or last)
        elif account.sellable(wish.item) + order.pending < wish.quantity - order.filled:
            raise Refused(answers.HOLDINGS_SHORT, "HoldingException")
    except Refused:
        order.blocked = old
        raise
    amo = order.variety == "amo" and order.status in (books.AMO, books.AMO_MODIFIED)
    for status in () if amo else (books.MODIFY_VALIDATION, books.MODIFY_PENDING):
        move(sim, order, status)
    order.quantity, order.price, order.trigger = wish.quantity, limit, wish.trigger
    order.order_type = {"MARKET": "LIMIT", "SL-M": "SL"}.get(wish.order_type, wish.order_type)
    order.validity, order.validity_ttl, order.disclosed = wish.validity, wish.ttl, wish.disclosed
    order.modified, order.protected, order.resting = order.modified + 1, wish.protected, False
    order.tags += [tag for tag in _protection_tags(wish, last) if tag not in order.tags]
    sim.note("modify", order)
    if amo:
        move(sim, order, books.AMO_MODIFIED)
        return
    move(sim, order, books.MODIFIED)
    move(sim, order, books.TRIGGER if order.order_type == "SL" else books.OPEN)
    sim.tell(order, books.UPDATE)
    match(sim, order)


def cancel(sim: "Simulator", account: Account, variety: str, order_id: str, fill_first: bool = False) -> dict[str, object]:
    """Asks for the end of an order. `fill_first`: a fill overtakes the request, which is answered as if it had not."""
    order = find(account, order_id, variety)
    if order.status not in books.AT_REST:
        raise Refused(BUSY.format(done="cancelled"))
    waits = order.status in (books.AMO, books.AMO_MODIFIED)
    if not waits:
        move(sim, order, books.CANCEL_PENDING)
    sim.note("cancel", order)
    if fill_first and not waits:
        fill(sim, order, order.pending, order.price or sim.market.price(order.item.key))
    elif order.variety == "co" and order.parent_order_id and not waits:
        fill(sim, order, order.pending, sim.market.price(order.item.key))  # leaving a cover order closes it at the market
    else:
        end(sim, order, books.CANCELLED)
    return {"order_id": order.order_id}


# ---------------------------------------------------------------------------- moving
def move(sim: "Simulator", order: Order, status: str) -> None:
    order.become(status, sim.clock.now())


def end(sim: "Simulator", order: Order, status: str, message: str | None = None) -> None:
    order.cancelled = order.pending if status == books.CANCELLED else 0
    order.message = order.raw_message = message
    move(sim, order, status)
    sim.finished(order)
    sim.note(status.lower(), order)
    sim.tell(order, status)
    if status == books.COMPLETE:
        _follow(sim, order)


def fill(sim: "Simulator", order: Order, quantity: int, price: D) -> None:
    """A trade. `price` is what it trades at."""
    if quantity <= 0:
        return
    account, now = sim.accounts[order.api_key], sim.clock.now()
    number = sim.next_number()
    account.trades.append(Trade(str(number), order, quantity, price, now, sim.clock.today(), clock.monotonic()))
    account.position(order.item, order.product).trade(order.sign, quantity, price)
    order.filled, order.value = order.filled + quantity, order.value + price * quantity
    sim.note("fill", order, quantity=quantity, price=str(price), trade_id=str(number))
    if order.filled >= order.quantity:
        end(sim, order, books.COMPLETE)
    else:
        move(sim, order, order.status if order.status != books.CANCEL_PENDING else books.OPEN)
        sim.tell(order, books.UPDATE)


def match(sim: "Simulator", order: Order) -> None:
    """What trades now: a new order takes the last price, a resting one gives its own."""
    last = sim.market.price(order.item.key)
    if not sim.clock.is_open(order.item.exchange):
        return
    if order.status == books.TRIGGER and (last - order.trigger) * order.sign >= 0:
        move(sim, order, books.OPEN)
    if order.status != books.OPEN:
        return
    if (order.price - last) * order.sign >= 0:
        price = order.price if order.resting and not order.protected else last
        fill(sim, order, sim.market.take(order.item.key, order.pending), price)
    order.resting = True


def _follow(sim: "Simulator", order: Order) -> None:
    """What comes after a completed order: the next leg of an iceberg, the stop of a cover order."""
    account = sim.accounts[order.api_key]
    legs = order.meta.get("iceberg")
    if legs and legs["leg"] < legs["legs"]:
        meta = {"iceberg": {**legs, "leg": legs["leg"] + 1, "remaining_quantity": legs["remaining_quantity"] - legs["leg_quantity"]}}
        _spawn(sim, account, order, order.side, "LIMIT", order.price, ZERO, meta)
    elif order.variety == "co" and order.parent_order_id is None:
        _spawn(sim, account, order, "SELL" if order.side == "BUY" else "BUY", "SL-M", ZERO, order.trigger, {})


def _spawn(sim: "Simulator", account: Account, first: Order, side: str, order_type: str, price: D, trigger: D, meta: dict[str, object]) -> None:
    wish = Wish(first.variety, first.item, side, order_type, first.product, "DAY", first.quantity, price, trigger, protection=D(-1), tag=first.tag)
    try:
        accept(sim, account, wish, parent=first.parent_order_id or first.order_id, meta=meta)
    except Refused as why:
        sim.note("leg refused", first, message=why.message)


# ---------------------------------------------------------------------------- time and prices
def expire(sim: "Simulator") -> None:
    """DAY orders whose day is over and TTL orders whose minutes are."""
    now = sim.clock.now()
    for order in _in_order(sim):
        if order.status not in (books.AMO, books.AMO_MODIFIED) and (
            sim.clock.day_is_over(order.item.exchange, order.day) or _ttl_over(order, now - order.received_at)
        ):
            end(sim, order, books.CANCELLED)


def sweep(sim: "Simulator") -> None:
    """After-market orders whose time has come are sent, the rest is matched where the market is open."""
    now = sim.clock.now()
    for order in _in_order(sim):
        if order.status not in (books.AMO, books.AMO_MODIFIED):
            match(sim, order)
        elif now >= amo_sent_at(order.item.exchange, order.received_at):
            order.day = sim.clock.today()
            _to_exchange(sim, order)


def _in_order(sim: "Simulator") -> list[Order]:
    return sorted(sim.live.values(), key=lambda order: order.number)


def _ttl_over(order: Order, age: timedelta) -> bool:
    return order.validity == "TTL" and age >= timedelta(minutes=order.validity_ttl)


def price_moved(sim: "Simulator", keys: Iterable[str]) -> None:
    moved = set(keys)
    for order in _in_order(sim):
        if order.item.key in moved:
            match(sim, order)
