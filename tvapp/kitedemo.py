"""`bin/demo --kite`: a desk of its own beside the simulator of Kite, shown from the login to the fill, over HTTP as anybody could do it.

Standard library only. The desk that `bin/run` keeps running is not touched: this one has a temporary home and a free port.
"""

import contextlib
import html
import http.cookiejar
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlencode, urljoin

from tvapp import home, supervisor

Say = Callable[[str], object]
START_S, STEP_S = 120, 30
OURS = ("TVAPP_", "KITE_", "DJANGO_", "TRADINGVIEW_")
OTHERS = ("PORT", "HOST", "DATABASE_URL", "REDIS_URL", "SECRET_KEY", "FIELD_KEYS", "ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS")
USER = "admin"
ENDED = ("COMPLETE", "REJECTED", "REJECTED_RISK", "STALE", "CANCELLED", "EXPIRED", "FAILED", "NEEDS_REVIEW", "HELD", "WAITING")


class DemoFailed(Exception):
    """One sentence about the step that did not work."""


@dataclass(frozen=True)
class Wish:
    """What the alert asks for; `once` ends the demo after its last line instead of waiting for Ctrl-C."""

    symbol: str
    quantity: str
    price: Decimal
    once: bool


def show(wish: Wish, say: Say) -> None:
    """Everything, from the start of both programs to their end. Raises DemoFailed."""
    with tempfile.TemporaryDirectory(prefix="tvapp-demo-") as folder, _told_to_stop():
        password, port = secrets.token_urlsafe(9), _free_port()
        url = f"http://127.0.0.1:{port}"
        with _simulator(folder, f"{url}/brokers/zerodha/callback") as kite:
            say(f"A simulated Kite answers at {kite}; nothing leaves this machine and no money is behind it.")
            with _desk(folder, port, kite, password):
                say(f"A desk of its own runs at {url} with its data in {folder}.")
                story = _Story(wish, url, kite, password, say, lambda *words: _command(Path(folder) / "desk", kite, *words))
                story.tell()
                say(f"\nSee it in the browser: {url}/orders/{story.order}  {url}/positions  {url}/brokers")
                say(f"Sign in as {USER} with {password}")
                if not wish.once:
                    say("The desk and the simulator end, and are forgotten, with Ctrl-C.")
                    with contextlib.suppress(KeyboardInterrupt):
                        signal.pause()


# ---------------------------------------------------------------------------- the two programs
@contextlib.contextmanager
def _told_to_stop() -> Iterator[None]:
    """A terminal that closes, or a kill, ends what was started here too."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _simulator(folder: str, redirect: str) -> Iterator[str]:
    """Its address."""
    place = Path(folder) / "kitesim"
    with _started([str(home.ROOT / "manage.py"), "kitesim", "--port", "0", "--redirect", redirect], place, {}) as log:
        yield _await(lambda: re.search(r"http://127\.0\.0\.1:\d+", log.read_text()), START_S, lambda: _last_lines(log))[0]


@contextlib.contextmanager
def _desk(folder: str, port: int, kite: str, password: str) -> Iterator[None]:
    env = {"PORT": str(port), "KITE_ROOT_URL": kite, "TVAPP_ADMIN_USERNAME": USER, "TVAPP_ADMIN_PASSWORD": password, "LOG_LEVEL": "WARNING"}
    with _started(["-m", "tvapp.supervisor"], Path(folder) / "desk", env) as log:
        _await(lambda: supervisor.health("127.0.0.1", port) == "ok", START_S, lambda: _last_lines(log))
        yield


@contextlib.contextmanager
def _started(words: list[str], place: Path, env: dict[str, str]) -> Iterator[Path]:
    """A program in a home of its own, without the settings of the desk beside it; gives its log."""
    place.mkdir()
    log = place.with_suffix(".log")
    with log.open("wb") as out:
        process = subprocess.Popen(  # noqa: S603 - our own programs
            [sys.executable, *words], cwd=home.ROOT, env=_environment(place, env), stdin=subprocess.DEVNULL,
            stdout=out, stderr=out, start_new_session=True,
        )
    try:
        yield log
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(15)
        process.kill()
        process.wait()


def _command(place: Path, kite: str, *words: str) -> str:
    """What one of the desk's commands says, run beside it."""
    command, env = [sys.executable, str(home.ROOT / "manage.py"), *words], _environment(place, {"KITE_ROOT_URL": kite})
    done = subprocess.run(command, cwd=home.ROOT, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=START_S, check=False)  # noqa: S603
    if done.returncode:
        raise DemoFailed(f"manage.py {' '.join(words)}: {done.stderr.strip()[-300:]}")
    return done.stdout.strip()


def _environment(place: Path, more: dict[str, str]) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key not in OTHERS and not key.startswith(OURS)}
    return {**kept, "TVAPP_HOME": str(place), **more}


def _last_lines(log: Path) -> str:
    return log.read_text(errors="replace")[-500:]


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def _await(look: Callable[[], object], seconds: float, why: Callable[[], str]):
    """What `look` gives once it gives something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise DemoFailed(f"Nothing came of it within {seconds:.0f} s. {why()}")


# ---------------------------------------------------------------------------- the story
class _Story:
    """A login through the broker's page, an alert, a partial fill, the rest, the position."""

    def __init__(self, wish: Wish, url: str, kite: str, password: str, say: Say, command: Callable[..., str]):
        self.wish, self.url, self.kite, self.password, self.say, self.command = wish, url, kite, password, say, command
        self.token, self.order, self._seen = "", 0, 0
        self.browser = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))

    def tell(self) -> None:
        account = self._account()
        self._log_in(account)
        self._alert(account)
        self._fill()
        self._position()

    def _account(self) -> int:
        self.token = self._call("POST", "/api/auth/login", {"username": USER, "password": self.password})["token"]
        body = {"name": "zerodha", "broker": "zerodha", "api_key": "simkey", "api_secret": "simsecret"}
        account = self._call("POST", "/api/brokers/accounts", body)
        self.say(f"\nAccount {account['name']} ({account['environment']}) is made; its login page will be the simulator's.")
        return int(account["id"])

    def _log_in(self, account: int) -> None:
        """As a person with a browser: signed in at the desk, to the broker's page, Approve, and back."""
        page = self._open(f"{self.url}/login/")
        form = {"csrfmiddlewaretoken": _field(page, "csrfmiddlewaretoken"), "username": USER, "password": self.password}
        self._open(f"{self.url}/login/", form)
        login = str(self._call("GET", f"/api/zerodha/login-url?account_id={account}")["login_url"])
        self.say(f"  Kite's login page: {login.partition('?')[0]}")
        page = self._open(login)
        approve = {name: _field(page, name) for name in ("api_key", "redirect_params")} | {"action": "approve"}
        self._open(urljoin(login, "/connect/login"), approve)
        status = self._until(f"/api/zerodha/status?account_id={account}", lambda row: row["connected"])
        self.say(f"  Approved: connected as {status['user_id']} until {status['expires_at']}.")
        self.say(f"  {self.command('loadinstruments', '--account', 'zerodha')}")
        self._until(f"/api/brokers/accounts/{account}", lambda row: row["state"] == "READY")

    def _alert(self, account: int) -> None:
        strategy = self._call("POST", "/api/strategies", {"name": "kite-demo", "mode": "AUTO", "account_id": account})
        secret = self._call("POST", f"/api/strategies/{strategy['id']}/deploy")["secret"]
        self._price(_some(self.wish.quantity))
        trade = {"order_action": "BUY", "quantity": self.wish.quantity, "price": str(self.wish.price), "product": "CNC"}
        body = {"secret": secret, "platform": "TRADINGVIEW", "strategy_name": "kite-demo", "symbol": self.wish.symbol, "trade_details": trade}
        self.say(f"\nPOST {self.url}/webhook/tradingview\n  {json.dumps({**body, 'secret': '<hidden>'})}")
        answer = self._call("POST", "/webhook/tradingview", body)
        self.order = int(answer["order_id"] or 0)
        if not self.order:
            raise DemoFailed(f"The desk made no order of it: {json.dumps(answer)}")

    def _fill(self) -> None:
        row = self._follow("PARTIAL")
        if row["status"] == "PARTIAL":
            self.say(f"  The broker knows it as {row['broker_order_id']}. Only {row['filled_quantity']} could trade; now the rest may.")
            self._price(None)
            row = self._follow("COMPLETE")
        if row["status"] != "COMPLETE":
            raise DemoFailed(f"The order was not filled: {row['why']}")
        self.say(f"  Order {row['broker_order_id']}: filled {row['filled_quantity']} at {row['average_price']}.")

    def _follow(self, state: str) -> dict:
        def look() -> dict | None:
            row = self._call("GET", f"/api/orders/{self.order}")
            self._print_events()
            return row if row["status"] in (state, *ENDED) else None

        return _await(look, STEP_S, lambda: str(self._call("GET", f"/api/orders/{self.order}")["why"]))

    def _print_events(self) -> None:
        rows = self._call("GET", f"/api/orders/{self.order}/events")["results"]
        for event in sorted((row for row in rows if row["id"] > self._seen), key=lambda row: row["id"]):
            self.say(f"  {event['to_status'] or event['kind']:<12} {event['text']}")
            self._seen = event["id"]

    def _position(self) -> None:
        def look() -> dict | None:
            rows = self._call("GET", "/api/positions")["results"]
            return next((row for row in rows if row["symbol"] == self.wish.symbol and row["broker"] == row["ours"] != "0"), None)

        row = _await(look, STEP_S, lambda: "The position was not read.")
        self.say(f"  Position, at the broker and as the desk counts it: {row['quantity']} {row['symbol']} {row['product']}.")

    def _price(self, quantity: int | None) -> None:
        body = {self.wish.symbol: {"price": str(self.wish.price), "quantity": quantity}}
        self._read(urllib.request.Request(f"{self.kite}/_sim/price", json.dumps(body).encode(), method="POST"))  # noqa: S310 - ours

    # ------------------------------------------------------------------ HTTP
    def _call(self, method: str, path: str, body: dict | None = None) -> dict:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Token {self.token}"} if self.token else {})
        data = json.dumps(body or {}).encode() if method == "POST" else None
        return json.loads(self._read(urllib.request.Request(self.url + path, data, headers, method=method)))  # noqa: S310 - ours

    def _until(self, path: str, true: Callable[[dict], object]) -> dict:
        def look() -> dict | None:
            row = self._call("GET", path)
            return row if true(row) else None

        return _await(look, STEP_S, lambda: json.dumps(self._call("GET", path)))

    def _open(self, url: str, form: dict | None = None) -> str:
        data = urlencode(form).encode() if form else None
        return self._read(urllib.request.Request(url, data, {"Referer": self.url})).decode()  # noqa: S310 - ours

    def _read(self, request: urllib.request.Request) -> bytes:
        try:
            with self.browser.open(request, timeout=15) as answer:
                return answer.read()
        except urllib.error.HTTPError as refused:
            text = refused.read().decode("utf-8", "replace")[:300]
            raise DemoFailed(f"{request.get_method()} {request.full_url.partition('?')[0]} answered {refused.code}: {text}") from refused


def _some(quantity: str) -> int | None:
    """Two fifths of it, so that a partial fill is seen; None where nothing can be split."""
    whole = int(Decimal(quantity))
    return whole * 2 // 5 or None


def _field(page: str, name: str) -> str:
    found = re.search(rf'name="{name}"[^>]*value="([^"]*)"', page)
    if not found:
        raise DemoFailed(f"The page has no field {name}.")
    return html.unescape(found[1])
