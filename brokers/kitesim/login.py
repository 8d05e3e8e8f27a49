"""The login page a browser is sent to, and the exchange of its request token for a session."""

import html
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from brokers.kitesim import answers
from brokers.kitesim.accounts import Account
from brokers.kitesim.answers import Answer, Refused, invalid
from brokers.kitesim.request import Request
from brokers.kitesim.state import Simulator

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Kite simulator</title><link rel="icon" href="data:,"></head>
<body><h1>Kite simulator</h1>
<p>The app <b>{api_key}</b> asks to trade for <b>{user_id}</b>. No money is behind this account.</p>
<form method="post" action="/connect/login">
<input type="hidden" name="api_key" value="{api_key}"><input type="hidden" name="redirect_params" value="{more}">
<button name="action" value="approve">Approve</button> <button name="action" value="deny">Deny</button>
</form></body></html>
"""
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def page(sim: Simulator, request: Request) -> Answer:
    """GET /connect/login?v=3&api_key=…&redirect_params=…"""
    api_key, more = request.first("api_key"), request.first("redirect_params")
    if not api_key:
        raise invalid("api_key")
    if request.first("v", "3") != "3":
        raise invalid("v")
    fields = {"api_key": api_key, "more": more, "user_id": sim.account(api_key).user_id}
    return answers.html(PAGE.format(**{name: html.escape(value, quote=True) for name, value in fields.items()}))


def decide(sim: Simulator, request: Request) -> Answer:
    """The page's form: back to the app, with a request token or without."""
    form = request.form()
    account = sim.account(form.get("api_key") or _missing("api_key"))
    approved = form.get("action", "approve") == "approve"
    told = {"action": "login", "type": "login", "status": "success"} if approved else {"action": "login", "status": "cancelled"}
    if approved:
        told["request_token"] = sim.request_token(account.api_key)
    return answers.redirect(return_address(sim, account, form.get("redirect_params", ""), told))


def _missing(name: str) -> str:
    raise invalid(name)


def return_address(sim: Simulator, account: Account, more: str, told: dict[str, str]) -> str:
    """The app's redirect address with what Kite adds to it. Raises Refused when it is not on this machine."""
    parts = urlsplit(account.redirect_url or sim.redirect_url)
    if parts.scheme not in ("http", "https") or parts.hostname not in LOOPBACK:
        raise invalid("redirect_url")
    query = urlencode([*parse_qsl(parts.query), *told.items(), *parse_qsl(more)])
    return urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))


def exchange(sim: Simulator, request: Request) -> object:
    """POST /session/token"""
    form = request.form()
    api_key = form.get("api_key") or _missing("api_key")
    token = sim.session(api_key, form.get("request_token", ""), form.get("checksum", ""))
    account = sim.account(api_key)
    facts = {"api_key": api_key, "access_token": token, "public_token": token[::-1], "enctoken": "", "refresh_token": "", "silo": ""}
    return {**person(account), **facts, "login_time": sim.clock.stamp()}


def end(sim: Simulator, request: Request) -> object:
    """DELETE /session/token"""
    account = sim.signed_in(request.first("api_key"), request.first("access_token"))
    del account.sessions[request.first("access_token")]
    return True


def person(account: Account | None) -> dict[str, object]:
    if account is None:
        raise Refused("Invalid request.")
    return {
        "user_id": account.user_id,
        "user_type": "individual",
        "email": f"{account.user_id.lower()}@simulator.invalid",
        "user_name": f"Simulated Trader {account.user_id}",
        "user_shortname": "Simulated",
        "broker": "ZERODHA",
        "exchanges": ["NSE", "BSE", "NFO", "BFO", "CDS", "MCX"],
        "products": ["CNC", "NRML", "MIS", "CO", "MTF"],
        "order_types": ["MARKET", "LIMIT", "SL", "SL-M"],
        "avatar_url": None,
        "meta": {"demat_consent": "consent"},
    }
