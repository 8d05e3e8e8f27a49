"""The control side, /_sim/…: what tests and demos set, and the truth they judge by. No app may depend on it."""

from collections.abc import Callable, Mapping
from datetime import datetime

from brokers.kitesim import answers, engine, faults, postback
from brokers.kitesim.answers import Answer, Refused
from brokers.kitesim.request import Request
from brokers.kitesim.state import Simulator
from tvapp.lib import clock
from tvapp.lib.clock import IST

Body = Mapping[str, object]


def orders(sim: Simulator, request: Request) -> object:
    return sim.truth_rows(request.first("tag"), request.first("api_key"))


def log(sim: Simulator, request: Request) -> object:
    """What happened, oldest first: requests with their fault, acceptances, fills, cancels. ?event= and ?tag= narrow it."""
    wanted = {name: request.first(name) for name in ("event", "tag", "api_key") if request.first(name)}
    return [row for row in sim.log if all(row.get(name) == value for name, value in wanted.items())]


def show_faults(sim: Simulator, request: Request) -> object:
    return {"set": sim.faults.rows(), "routes": faults.ROUTES, "modes": faults.MODES}


def set_faults(sim: Simulator, request: Request) -> object:
    """One fault or a list of them."""
    wanted = request.json()
    for fault in wanted if isinstance(wanted, list) else [wanted]:
        sim.faults.add(_object(fault), clock.monotonic())
    return {"set": sim.faults.rows()}


def prices(sim: Simulator, request: Request) -> object:
    return {key: quote.last for key, quote in sim.market.quotes.items()}


def set_prices(sim: Simulator, request: Request) -> object:
    wanted = _body(request)
    sim.set_prices(wanted)
    return {key: sim.market.price(key) for key in wanted}


def show_clock(sim: Simulator, request: Request) -> object:
    return {"now": sim.clock.now().astimezone(IST).isoformat(), "hours": sim.clock.hours}


def set_clock(sim: Simulator, request: Request) -> object:
    """{"at": ISO time, "advance_s": 60, "frozen": true, "hours": true, "real": true}, done in the order real, frozen, at, advance_s, hours."""
    wanted = _body(request)
    unknown = set(wanted) - {"at", "advance_s", "frozen", "hours", "real"}
    if unknown:
        raise ValueError(f"a clock has no {', '.join(sorted(unknown))}")
    at = datetime.fromisoformat(str(wanted["at"])) if wanted.get("at") else None
    seconds = float(str(wanted.get("advance_s") or 0))
    if wanted.get("real"):
        sim.clock.real()
    if "frozen" in wanted:
        sim.clock.freeze(bool(wanted["frozen"]))
    if at:
        sim.clock.set(at if at.tzinfo else at.replace(tzinfo=IST))
    if seconds:
        sim.clock.advance(seconds)
    if "hours" in wanted:
        sim.clock.hours = bool(wanted["hours"])
    sim.sweep(at_once=True)
    return show_clock(sim, request)


def accounts(sim: Simulator, request: Request) -> object:
    return [_account(sim, api_key) for api_key in sim.accounts]


def set_account(sim: Simulator, request: Request) -> object:
    """{"api_key", "cash", "commodity_cash", "holdings", "redirect_url", "postback_url", "plan", "ip_allowed", "user_id", "secret"}"""
    wanted = dict(_body(request))
    api_key = _key(wanted)
    sim.configure(api_key, {name: value for name, value in wanted.items() if name != "api_key"})
    return _account(sim, api_key)


def _account(sim: Simulator, api_key: str) -> dict[str, object]:
    account, now = sim.accounts[api_key], sim.clock.now()
    names = ("api_key", "user_id", "secret", "cash", "commodity_cash", "redirect_url", "postback_url", "plan", "ip_allowed")
    return {name: getattr(account, name) for name in names} | {"sessions": sum(now < end for end in account.sessions.values())}


def sign_in(sim: Simulator, request: Request) -> object:
    """A request token, as the login page gives it to the browser."""
    return {"request_token": sim.request_token(_key(_body(request)))}


def expire(sim: Simulator, request: Request) -> object:
    """Ends every session: of the account named, else of all."""
    api_key = str(_body(request).get("api_key") or "")
    ended = [a for a in sim.accounts.values() if api_key in ("", a.api_key)]
    count = sum(len(account.sessions) for account in ended)
    for account in ended:
        account.sessions.clear()
    return {"ended": count}


def outside(sim: Simulator, request: Request) -> object:
    """An order placed, changed or cancelled in the broker's own app: {"do": "place|modify|cancel", "api_key", "order_id", Kite's fields}."""
    wanted = {name: str(value) for name, value in _body(request).items()}
    account, do = sim.account(_key(wanted)), wanted.pop("do", "place")
    order_id = wanted.pop("order_id", "")
    if do == "place":
        return engine.place(sim, account, wanted.pop("variety", "regular"), wanted)
    variety = engine.find(account, order_id).variety
    if do == "modify":
        return engine.modify(sim, account, variety, order_id, wanted)
    if do == "cancel":
        return engine.cancel(sim, account, variety, order_id)
    raise ValueError("do is place, modify or cancel")


def set_postback(sim: Simulator, request: Request) -> object:
    """With "order_id" a postback is sent now; without, "url" becomes the address of the account's postbacks ("" ends them)."""
    wanted = _body(request)
    if "order_id" in wanted:
        return postback.by_hand(sim, wanted)
    with sim.lock:
        return {"postback_url": sim.configure(_key(wanted), {"postback_url": str(wanted.get("url") or "")}).postback_url}


def reset(sim: Simulator, request: Request) -> object:
    sim.reset(sessions=bool(_body(request).get("sessions")))
    return {"reset": True}


def _key(wanted: Body) -> str:
    return str(wanted.get("api_key") or "simkey")


def _object(value: object) -> Body:
    if not isinstance(value, dict):
        raise ValueError("the body is a JSON object")
    return value


def _body(request: Request) -> Body:
    return _object(request.json())


ROUTES: dict[tuple[str, str], Callable[[Simulator, Request], object]] = {
    ("GET", "/_sim/orders"): orders,
    ("GET", "/_sim/log"): log,
    ("GET", "/_sim/faults"): show_faults,
    ("POST", "/_sim/faults"): set_faults,
    ("GET", "/_sim/price"): prices,
    ("POST", "/_sim/price"): set_prices,
    ("GET", "/_sim/clock"): show_clock,
    ("POST", "/_sim/clock"): set_clock,
    ("GET", "/_sim/accounts"): accounts,
    ("POST", "/_sim/accounts"): set_account,
    ("POST", "/_sim/login"): sign_in,
    ("POST", "/_sim/expire"): expire,
    ("POST", "/_sim/outside"): outside,
    ("POST", "/_sim/postback"): set_postback,
    ("POST", "/_sim/reset"): reset,
}
UNLOCKED = (set_postback,)  # it waits for the app's answer, and the app may ask back meanwhile


def answer(sim: Simulator, request: Request) -> Answer:
    work = ROUTES.get((request.method, request.path))
    if work is None:
        return answers.plain({"error": "no such control; docs/kitesim.md lists them"}, 404)
    try:
        if work in UNLOCKED:
            return answers.plain(work(sim, request))
        with sim.lock:
            sim.sweep()
            return answers.plain(work(sim, request))
    except Refused as why:
        return answers.plain({"error": why.message}, 400)
    except (ArithmeticError, TypeError, ValueError) as why:
        return answers.plain({"error": str(why)}, 400)
