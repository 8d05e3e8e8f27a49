"""The real desk beside the real simulator of Kite: two sets of processes that know each other by address only."""

import html
import re
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin

import requests

from tests.bench.place import rows_of
from tests.process.desk import PASSWORD, ROOT, RunningDesk, running_desk

READY = re.compile(r"http://127\.0\.0\.1:\d+")
HURRY = {"TVAPP_TEST": "1", "TVAPP_TIME_SCALE": "0.2"}  # the same timers, five times as fast


class Kite:
    """A `manage.py kitesim` of its own: the truth that the desk is judged by, and the hand that makes things go wrong."""

    def __init__(self, redirect: str, instruments: Path | None = None):
        self.home = tempfile.TemporaryDirectory(prefix="tvapp-kitesim-")
        command = [sys.executable, "manage.py", "kitesim", "--port", "0", "--redirect", redirect]
        command += ["--instruments", str(instruments)] if instruments else []
        env = {"PATH": "/usr/bin:/bin", "TVAPP_HOME": self.home.name}
        self.process = subprocess.Popen(command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        said = self.process.stdout.readline()
        assert READY.search(said), f"the simulator did not start: {said}"
        self.url = READY.search(said)[0]

    def get(self, path: str):
        return requests.get(f"{self.url}/_sim/{path}", timeout=5).json()

    def post(self, path: str, body: object = None):
        answer = requests.post(f"{self.url}/_sim/{path}", json=body or {}, timeout=30)
        assert answer.ok, answer.text
        return answer.json()

    def price(self, key: str, price, quantity: int | None = None) -> None:
        self.post("price", {key: {"price": str(price), "quantity": quantity}})

    def fault(self, route: str, mode: str, **more) -> None:
        self.post("faults", {"route": route, "mode": mode, **more})

    def orders(self, tag: str = "") -> list[dict]:
        """The truth: every order that was ever accepted here, as it is now."""
        return self.get(f"orders?tag={tag}")

    def calls(self, route: str) -> list[dict]:
        return [row for row in self.get("log?event=request") if row["route"] == route]

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(10)
        self.process.stdout.close()
        self.home.cleanup()


class Browser:
    """What a browser does, without one: cookies, forms and their tokens, redirects one by one."""

    def __init__(self, root: str):
        self.root, self.web = root, requests.Session()
        self.web.trust_env = False

    def sign_in(self) -> "Browser":
        """Presses the button again where the database was busy, as a person would."""
        for _ in range(5):
            page = self.web.get(f"{self.root}/login/", timeout=30).text
            form = {"csrfmiddlewaretoken": _field(page, "csrfmiddlewaretoken"), "username": "admin", "password": PASSWORD}
            answer = self.web.post(f"{self.root}/login/", form, headers={"Referer": self.root}, timeout=30)
            if answer.status_code != 503:
                break
        assert answer.ok and "sessionid" in self.web.cookies, f"{answer.status_code} {words(answer.text)[:500]}"
        return self

    def approve(self, login_url: str) -> requests.Response:
        """Opens Kite's login page, presses Approve and comes back to the desk with what the page gave along."""
        page = requests.get(login_url, timeout=30)
        assert page.ok, page.text
        form = {name: _field(page.text, name) for name in ("api_key", "redirect_params")} | {"action": "approve"}
        back = requests.post(urljoin(login_url, "/connect/login"), form, timeout=30, allow_redirects=False)
        assert back.status_code in (302, 303), back.text
        return self.web.get(back.headers["Location"], timeout=30)


def words(page: str) -> str:
    """What a person reads on a page."""
    return " ".join(html.unescape(re.sub(r"(?s)<(script|style|head).*?</\1>|<[^>]+>", " ", page)).split())


def _field(page: str, name: str) -> str:
    found = re.search(rf'name="{name}"[^>]*value="([^"]*)"', page)
    assert found, f"the page has no field {name}: {page[:500]}"
    return html.unescape(found[1])


class KiteDesk:
    """Both, and a Zerodha account between them with an automatic and a manual strategy."""

    def __init__(self, desk: RunningDesk, kite: Kite):
        self.desk, self.kite = desk, kite
        self.browser = Browser(f"http://127.0.0.1:{desk.port}").sign_in()
        body = {"name": "zerodha", "broker": "zerodha", "api_key": "simkey", "api_secret": "simsecret"}
        status, account = desk.call("POST", "/api/brokers/accounts", body)
        assert status == 201, account
        self.account = account
        for mode in ("auto", "manual"):
            body = {"name": f"kite-{mode}", "mode": mode.upper(), "account_id": account["id"]}
            status, answer = desk.call("POST", "/api/strategies", body)
            assert status == 201, answer

    def connect(self, seconds: float = 60) -> dict:
        """Logs the account in as a person does; returns its status once the worker has exchanged the token. Given up after so many seconds, twice."""
        status, answer = self.desk.call("GET", f"/api/zerodha/login-url?account_id={self.account['id']}")
        assert status == 200, answer
        back = self.browser.approve(answer["login_url"])
        assert back.ok, words(back.text) + self.desk.tail()
        self.desk.wait(lambda: self.status()["connected"], seconds, "the account is connected")
        self.desk.wait(lambda: self.state() == "READY", seconds, "the broker's books were compared")
        return self.status()

    def load_instruments(self) -> None:
        command = [sys.executable, "manage.py", "loadinstruments", "--account", "zerodha"]
        done = subprocess.run(command, cwd=ROOT, env=self.desk.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr

    def state(self) -> str:
        return self.desk.call("GET", f"/api/brokers/accounts/{self.account['id']}")[1]["state"]

    def status(self) -> dict:
        return self.desk.call("GET", f"/api/zerodha/status?account_id={self.account['id']}")[1]

    def alert(self, key: str, strategy: str = "kite-auto", **more) -> int:
        """The id of the order an alert became."""
        status, answer = self.desk.alert(key, strategy, **more)
        assert status == 201, answer
        return answer["order_id"]

    def order(self, order_id: int) -> dict:
        return self.desk.call("GET", f"/api/orders/{order_id}")[1]

    def story(self, order_id: int) -> str:
        return " | ".join(row["text"] for row in reversed(self.desk.call("GET", f"/api/orders/{order_id}/events")[1]["results"]))

    def until(self, order_id: int, *states: str, seconds: float = 60) -> dict:
        """The order once it is in one of these states; its story when it does not get there."""
        try:
            self.desk.wait(lambda: self.order(order_id)["status"] in states, seconds, f"order {order_id} is {' or '.join(states)}")
        except AssertionError as late:
            raise AssertionError(f"{self.order(order_id)['status']}: {self.story(order_id)}") from late
        return self.order(order_id)

    def known(self, broker_order_id: str) -> dict | None:
        """The desk's row for an order of the broker's."""
        return next((row for row in self.desk.orders() if row["broker_order_id"] == broker_order_id), None)

    def position(self, symbol: str) -> dict:
        rows = self.desk.call("GET", "/api/positions")[1]["results"]
        return next(row for row in rows if row["symbol"] == symbol)

    def read_now(self) -> None:
        """Sync now: asks for a fresh read of the broker's books."""
        assert self.desk.call("POST", f"/api/brokers/accounts/{self.account['id']}/sync")[0] == 202

    def told(self, code: str) -> int:
        """How often the desk recorded this event."""
        return rows_of(self.desk.home, "SELECT count(*) FROM trading_systemevent WHERE code = ?", code)[0][0]

    def truth(self, order_id: int) -> list[dict]:
        """What the broker holds of this order: its tag is unique, so more than one row is a doubled order."""
        return self.kite.orders(self.order(order_id)["tag"])


@contextmanager
def running_beside(desk: RunningDesk | None = None, instruments: Path | None = None, **env: str):
    """A fresh desk and a fresh simulator that know each other's address; `instruments` is a list in the form of Kite's daily dump."""
    desk = desk or RunningDesk(**env)
    kite = Kite(f"http://127.0.0.1:{desk.port}/brokers/zerodha/callback", instruments)
    desk.extra["KITE_ROOT_URL"] = kite.url
    try:
        with running_desk(desk):
            yield desk, kite
    finally:
        kite.close()


@contextmanager
def kite_desk(**env: str):
    """Both, with a Zerodha account that is not logged in yet."""
    with running_beside(**env) as (desk, kite):
        yield KiteDesk(desk, kite)
