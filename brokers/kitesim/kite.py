"""Kite's routes: which address does what. Each function runs under the simulator's lock and returns what `data` holds."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal as D

from brokers.kitesim import answers, engine, gtt, login, money, quotes, rules
from brokers.kitesim.accounts import Account
from brokers.kitesim.answers import Answer, Refused, invalid
from brokers.kitesim.books import Order
from brokers.kitesim.faults import LAG_S
from brokers.kitesim.instruments import csv_text
from brokers.kitesim.request import Request
from brokers.kitesim.simclock import stamp
from brokers.kitesim.state import Simulator
from tvapp.lib import clock

PAPER_AWAY = "RMS:Margin Exceeds,Required:1000.00, Available:900.00 for entity account-XXXXXX across exchange across segment across product"
Work = Callable[..., object]


@dataclass(frozen=True)
class Route:
    """`name` is what faults call it. `free` routes need no session."""

    name: str
    method: str
    path: re.Pattern[str]
    work: Work
    free: bool = False


# ---------------------------------------------------------------------------- people
def profile(sim: Simulator, request: Request) -> object:
    return login.person(request.account)


def margins(sim: Simulator, request: Request, segment: str = "") -> object:
    both = {name: _segment(request.account, name == "commodity") for name in ("equity", "commodity")}
    if segment and segment not in both:
        raise invalid("segment")
    return both[segment] if segment else both


def _segment(account: Account, commodity: bool) -> dict[str, object]:
    used, cash = account.utilised(commodity), account.commodity_cash if commodity else account.cash
    zero = dict.fromkeys(("m2m_unrealised", "payout", "holding_sales", "turnover", "liquid_collateral", "stock_collateral"), 0)
    net = cash - used["debits"]
    available = {"adhoc_margin": 0, "cash": cash, "opening_balance": cash, "live_balance": net, "collateral": 0, "intraday_payin": 0}
    return {"enabled": True, "net": net, "available": available, "utilised": {**used, **zero}}


# ---------------------------------------------------------------------------- orders
def place(sim: Simulator, request: Request, variety: str) -> object:
    _from_here(request)
    mode, fault = (request.fault.mode, request.fault) if request.fault else ("", None)
    lag = fault.delay(LAG_S) if fault and mode == "lag_orderbook" else 0
    return engine.place(sim, request.account, variety, request.form(), lag, PAPER_AWAY if mode == "reject_after_accept" else "")


def modify(sim: Simulator, request: Request, variety: str, order_id: str) -> object:
    _from_here(request)
    return engine.modify(sim, request.account, variety, order_id, request.form())


def cancel(sim: Simulator, request: Request, variety: str, order_id: str) -> object:
    _from_here(request)
    return engine.cancel(sim, request.account, variety, order_id, bool(request.fault and request.fault.mode == "fill_before_cancel"))


def _from_here(request: Request) -> None:
    """Orders are taken only from addresses the app has registered."""
    if not request.account.ip_allowed:
        raise Refused(answers.IP_REFUSED.format(ip=request.ip), "PermissionException", 403)


def orders(sim: Simulator, request: Request) -> object:
    return [order.row() for order in _shown(sim, request)]


def _shown(sim: Simulator, request: Request) -> list[Order]:
    """Today's book as this request gets to see it."""
    now, fault = clock.monotonic(), request.fault
    book = [o for o in request.account.book(sim.day) if o.hidden_until <= now and o.accepted_at <= _seen_until(request, now)]
    if fault and fault.mode == "empty_book":
        return []
    return book[(len(book) + 1) // 2 :] if fault and fault.mode == "partial_book" else book


def _seen_until(request: Request, now: float) -> float:
    fault = request.fault
    if fault is None or fault.mode != "lag_orderbook":
        return now
    return fault.set_at if fault.delay_s is None else now - fault.delay_s


def history(sim: Simulator, request: Request, order_id: str) -> object:
    return _visible(sim, request, order_id).history


def _visible(sim: Simulator, request: Request, order_id: str) -> Order:
    order = engine.find(request.account, order_id)
    if order not in _shown(sim, request):
        raise Refused("Couldn't find that `order_id`.", "GeneralException", 404)
    return order


def trades(sim: Simulator, request: Request) -> object:
    shown = {order.order_id for order in _shown(sim, request)}
    return [t.row() for t in request.account.trades if t.day == sim.day and t.order.order_id in shown]


def order_trades(sim: Simulator, request: Request, order_id: str) -> object:
    order = _visible(sim, request, order_id)
    return [trade.row() for trade in request.account.trades if trade.order is order]


# ---------------------------------------------------------------------------- portfolio
def positions(sim: Simulator, request: Request) -> object:
    held = [p for p in request.account.positions.values() if p.bought or p.sold or p.overnight]
    net, day = [], []
    for position in held:
        quote = sim.market.quotes[position.item.key]
        net.append(position.row(quote.last, quote.close, True))
        if position.bought or position.sold:
            day.append(position.row(quote.last, quote.close, False))
    return {"net": net, "day": day}


def convert(sim: Simulator, request: Request) -> object:
    """Moves an open quantity to another product."""
    form = request.form()
    item, quantity = rules.instrument(form, sim.market), rules.whole(form, "quantity")
    products = rules.SHARE_PRODUCTS if item.kind == "EQ" else rules.OTHER_PRODUCTS
    old, new = (rules.one_of(form, name, products) for name in ("old_product", "new_product"))
    sign = 1 if rules.one_of(form, "transaction_type", rules.SIDES) == "BUY" else -1
    source = request.account.position(item, old)
    if old == new or not 0 < quantity <= sign * source.net:
        raise invalid("quantity")
    price = source.average()
    required = money.margin(item, new, "BUY" if sign > 0 else "SELL", quantity, price) - money.margin(item, old, "BUY", quantity, price)
    available = request.account.available(item.exchange in ("MCX", "NCO"))
    if required > available:
        raise answers.no_funds(required, available)
    source.trade(-sign, quantity, price)
    request.account.position(item, new).trade(sign, quantity, price)
    return True


def holdings(sim: Simulator, request: Request) -> object:
    rows = []
    for key, held in request.account.holdings.items():
        quote = sim.market.quotes.get(key)
        if quote and held.quantity + held.t1:
            rows.append(held.row(request.account.used(key), quote.last, quote.close))
    return rows


# ---------------------------------------------------------------------------- calculators
def order_margins(sim: Simulator, request: Request) -> object:
    return [money.margin_row(*_asked(sim, row)) for row in _rows(request)]


def basket_margins(sim: Simulator, request: Request) -> object:
    return money.basket([money.margin_row(*_asked(sim, row)) for row in _rows(request)])


def contract_note(sim: Simulator, request: Request) -> object:
    notes = []
    for row in _rows(request):
        item, product, side, quantity, price = _asked(sim, {**row, "price": row.get("average_price") or row.get("price")})
        named = {"transaction_type": side, "tradingsymbol": item.tradingsymbol, "exchange": item.exchange, "variety": row.get("variety", "regular")}
        named |= {"product": product, "order_type": row.get("order_type", ""), "quantity": quantity, "price": price}
        notes.append({**named, "charges": money.charges(item, product, side, quantity, price)})
    return notes


def _rows(request: Request) -> list[dict[str, object]]:
    rows = request.json()
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise Refused("Invalid JSON data.")
    return rows


def _asked(sim: Simulator, row: dict[str, object]) -> tuple:
    fields = {name: str(value) for name, value in row.items() if value is not None}
    item = rules.instrument(fields, sim.market)
    products = rules.SHARE_PRODUCTS if item.kind == "EQ" else rules.OTHER_PRODUCTS
    quantity = rules.whole(fields, "quantity")
    if quantity <= 0:
        raise invalid("quantity")
    price = rules.amount(fields, "price") or sim.market.price(item.key)
    return item, rules.one_of(fields, "product", (*products, "CO")), rules.one_of(fields, "transaction_type", rules.SIDES), quantity, D(price)


# ---------------------------------------------------------------------------- triggers
def gtt_list(sim: Simulator, request: Request) -> object:
    week_ago = stamp(sim.clock.now() - timedelta(days=7))
    return [row for row in request.account.gtts.values() if row["status"] == "active" or row["updated_at"] >= week_ago]


def gtt_one(sim: Simulator, request: Request, number: str) -> object:
    return gtt.find(request.account, number)


def gtt_place(sim: Simulator, request: Request) -> object:
    _from_here(request)
    return gtt.place(sim, request.account, request.form())


def gtt_modify(sim: Simulator, request: Request, number: str) -> object:
    return gtt.modify(sim, request.account, number, request.form())


def gtt_delete(sim: Simulator, request: Request, number: str) -> object:
    return gtt.delete(sim, request.account, number)


# ---------------------------------------------------------------------------- the market
def instruments(sim: Simulator, request: Request, exchange: str = "") -> Answer:
    rows = [item for item in sim.market.by_key.values() if exchange in ("", item.exchange)]
    return answers.csv(csv_text(rows), "gzip" in request.headers.get("accept-encoding", ""))


def _route(name: str, method: str, path: str, work: Work, free: bool = False) -> Route:
    return Route(name, method, re.compile(path), work, free)


V, ID, NUMBER = r"(?P<variety>\w+)", r"(?P<order_id>\w+)", r"(?P<number>\w+)"
ROUTES = [
    _route("login", "GET", "/connect/login", login.page, free=True),
    _route("login", "POST", "/connect/login", login.decide, free=True),
    _route("token", "POST", "/session/token", login.exchange, free=True),
    _route("token", "DELETE", "/session/token", login.end, free=True),
    _route("profile", "GET", "/user/profile", profile),
    _route("margins", "GET", r"/user/margins(?:/(?P<segment>\w+))?", margins),
    _route("orders", "GET", "/orders", orders),
    _route("trades", "GET", "/trades", trades),
    _route("place", "POST", f"/orders/{V}", place),
    _route("orders", "GET", f"/orders/{ID}", history),
    _route("trades", "GET", f"/orders/{ID}/trades", order_trades),
    _route("modify", "PUT", f"/orders/{V}/{ID}", modify),
    _route("cancel", "DELETE", f"/orders/{V}/{ID}", cancel),
    _route("positions", "GET", "/portfolio/positions", positions),
    _route("positions", "PUT", "/portfolio/positions", convert),
    _route("holdings", "GET", "/portfolio/holdings", holdings),
    _route("margins", "POST", "/margins/orders", order_margins),
    _route("margins", "POST", "/margins/basket", basket_margins),
    _route("charges", "POST", "/charges/orders", contract_note),
    _route("gtt", "GET", "/gtt/triggers", gtt_list),
    _route("gtt", "POST", "/gtt/triggers", gtt_place),
    _route("gtt", "GET", f"/gtt/triggers/{NUMBER}", gtt_one),
    _route("gtt", "PUT", f"/gtt/triggers/{NUMBER}", gtt_modify),
    _route("gtt", "DELETE", f"/gtt/triggers/{NUMBER}", gtt_delete),
    _route("quote", "GET", r"/instruments/historical/(?P<token>\d+)/(?P<interval>\w+)", quotes.candles),
    _route("instruments", "GET", r"/instruments(?:/(?P<exchange>[A-Z]+))?", instruments, free=True),
    _route("quote", "GET", "/quote", quotes.full),
    _route("quote", "GET", "/quote/ohlc", quotes.ohlc),
    _route("quote", "GET", "/quote/ltp", quotes.ltp),
]


def find(method: str, path: str) -> tuple[Route | None, dict[str, str]]:
    """The route of this request and what its address names."""
    for route in ROUTES:
        if route.method == method and (found := route.path.fullmatch(path)):
            return route, {name: value for name, value in found.groupdict().items() if value is not None}
    return None, {}


def answer(sim: Simulator, route: Route | None, request: Request, named: dict[str, str]) -> Answer:
    """The whole work of one request: who asks, what is asked, Kite's envelope around the result.

    Only what was refused before anything changed is said to be refused; an error of the simulator's own closes the connection.
    """
    with sim.lock:
        sim.sweep()
        try:
            if route is None or not route.free:
                request.account = sim.signed_in(*request.credentials())
            if route is None:
                raise Refused("Route not found", "GeneralException", 404)
            result = route.work(sim, request, **named)
        except Refused as why:
            return answers.refusal(why)
        return result if isinstance(result, Answer) else answers.success(result)
