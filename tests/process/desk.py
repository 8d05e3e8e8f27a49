"""The real desk as processes: supervisor, web, clusters and sweeper on a home of their own, talked to over HTTP only."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from tests import migrated

ROOT = Path(__file__).resolve().parents[2]
RAILS = (
    "max_quantity_per_order", "max_order_value", "max_symbol_exposure", "max_gross_exposure", "max_open_positions", "max_open_orders",
    "max_orders_per_minute", "max_orders_per_day", "max_repeats_per_minute", "max_daily_loss",
)  # fmt: skip
SECRET, PASSWORD = "process-secret-1", "process-Passw0rd-1"


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def parallel(function, items, workers=16) -> list:
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(function, items))


class RunningDesk:
    """One home on one port; may be started more than once. `database` is a DATABASE_URL (none: SQLite at home), `env` is set for every process of it.

    Its GLOBAL limits are `wide`: what sends hundreds of equal alerts is not about the rate rules.
    """

    def __init__(self, database: str = "", *, wide: bool = True, **env: str):
        self.extra = ({"DATABASE_URL": database} if database else {}) | env
        self.wide = wide
        self.home, self.port = tempfile.mkdtemp(prefix="tvapp-process-"), free_port()
        self.process: subprocess.Popen | None = None
        self.token = ""
        self.filled: set[int] = set()

    def environment(self) -> dict[str, str]:
        """Of this desk's processes, and of commands that are run beside it."""
        gone = ("TVAPP_TEST", "TVAPP_CRASH_AT", "TVAPP_TIME_SCALE", "DJANGO_SETTINGS_MODULE", "DATABASE_URL", "SECRET_KEY", "FIELD_KEYS")
        env = {k: v for k, v in os.environ.items() if k not in gone}
        env |= {"TVAPP_HOME": self.home, "PORT": str(self.port), "TRADINGVIEW_WEBHOOK_SECRET": SECRET, "LOG_LEVEL": "WARNING"}
        return env | {"TVAPP_ADMIN_USERNAME": "admin", "TVAPP_ADMIN_PASSWORD": PASSWORD, **self.extra}

    def launch(self) -> None:
        """Starts the processes and waits for nothing."""
        if "DATABASE_URL" not in self.extra:
            migrated.copy_to(Path(self.home) / "tvapp.sqlite3")
        self.log = open(Path(self.home) / "run.log", "ab")  # noqa: SIM115 - lives as long as the process
        command = [sys.executable, "-m", "tvapp.supervisor"]
        self.process = subprocess.Popen(command, cwd=ROOT, env=self.environment(), stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, start_new_session=True)

    def start(self) -> "RunningDesk":
        self.launch()
        self.wait(lambda: self.call("GET", "/health")[1]["status"] == "ok", 180, "health is ok")
        self.token = self.call("POST", "/api/auth/login", {"username": "admin", "password": PASSWORD})[1]["token"]
        if self.wide:
            self.limits()
        return self

    def limits(self, **held: object) -> None:
        """Sets the GLOBAL limits: as wide as can be, but for those in `held`."""
        row = self.call("GET", "/api/risk-settings?scope=GLOBAL")[1]["results"][0]
        status, body = self.call("PATCH", f"/api/risk-settings/{row['id']}", {**dict.fromkeys(RAILS, "1000000000000"), **held})
        assert status == 200, body

    def call(self, method: str, path: str, body=None) -> tuple[int, dict]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
        headers = {"Content-Type": "application/json", **({"Authorization": f"Token {self.token}"} if self.token else {})}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, json.loads(data or b"{}")

    def alert(self, key: str, strategy: str = "demo-auto", symbol: str = "NSE:INFY", **more) -> tuple[int, dict]:
        """`more` replaces what the trade details say."""
        trade = {"order_action": "BUY", "quantity": 1, "price": 1500, "product": "CNC", **more}
        body = {"secret": SECRET, "platform": "TRADINGVIEW", "strategy_name": strategy, "symbol": symbol, "idempotency_key": key, "trade_details": trade}
        return self.call("POST", "/webhook/tradingview", body)

    def persistent_alert(self, key: str, seconds: float = 15, **more) -> dict:
        """Sends as TradingView does: again after a passing fault, until it is acknowledged."""
        end = time.monotonic() + seconds
        while True:
            with suppress(OSError, http.client.HTTPException, ValueError):
                status, body = self.alert(key, **more)
                if status in (200, 201):
                    return body
            if time.monotonic() > end:
                raise AssertionError(f"alert {key} was not acknowledged within {seconds} s")
            time.sleep(0.2)

    def orders(self, **query) -> list[dict]:
        return [order for page in self.pages(limit=200, **query) for order in page]

    def pages(self, **query) -> Iterator[list[dict]]:
        """Pages of the list, the newest orders first; none when there is no order."""
        path = "/api/orders?" + "&".join(f"{k}={v}" for k, v in query.items())
        while path:
            status, body = self.call("GET", path)
            assert status == 200, body
            if body["results"]:
                yield body["results"]
            following = urlsplit(body["next"]) if body["next"] else None
            path = f"{following.path}?{following.query}" if following else None

    def wait(self, true, seconds: float, what: str, every: float = 0.05) -> None:
        end = time.monotonic() + seconds
        while True:
            with suppress(OSError, http.client.HTTPException, ValueError, KeyError):
                if true():
                    return
            if self.process.poll() is not None:
                raise AssertionError(f"the desk ended: {self.tail()}")
            if time.monotonic() > end:
                raise AssertionError(f"not within {seconds} s: {what}\n{self.tail()}")
            time.sleep(every)

    def wait_filled(self, ids: set[int], seconds: float) -> None:
        """Reads the newest filled orders until all of them were seen, each one once: asking must not be the load."""

        def all_filled() -> bool:
            missing = ids - self.filled
            for page in self.pages(status="COMPLETE", limit=50) if missing else ():
                self.filled |= {order["id"] for order in page}
                missing -= self.filled
                if not missing or page[-1]["id"] < min(missing):
                    break
            return not missing

        self.wait(all_filled, seconds, f"{len(ids)} orders are filled")

    def tail(self) -> str:
        return (Path(self.home) / "run.log").read_bytes()[-2000:].decode("utf-8", "replace")

    def pids(self) -> dict[int, str]:
        """Every process of this home, by pid, with its command line."""
        found, mark = {}, f"TVAPP_HOME={self.home}".encode()
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return found

    def below(self) -> dict[int, str]:
        return {pid: line for pid, line in self.pids().items() if pid != self.process.pid}

    def kill_everything_below(self) -> None:
        for pid in self.below():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(15)

    def close(self) -> None:
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.log.close()


@contextmanager
def running_desk(desk: RunningDesk | None = None):
    import shutil

    desk = desk or RunningDesk()
    try:
        yield desk.start()
        desk.stop()
    finally:
        desk.close()
        shutil.rmtree(desk.home, ignore_errors=True)
