"""Where a crash test plays: one desk and one simulator, boundaries that can be armed, and the wait until everything is at rest again."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from brokers.kitesim import instruments
from tests.crash import judge
from tests.process.desk import RAILS, ROOT, RunningDesk
from tests.process.kite import KiteDesk, running_beside

SCALE = 0.2
REST_S = 30  # until everything is settled or explained, from the moment all processes are back; times the scale
BACK_S = 15
LOGIN_S = 5
LOOK_S = 0.2  # each look costs the desk some milliseconds, and several desks may share two cores
ENDED = ("COMPLETE", "CANCELLED", "EXPIRED", "REJECTED", "REJECTED_RISK", "FAILED", "STALE", "NEEDS_REVIEW")
NO_ORDER = 0  # the id of what was acknowledged and made none: the judge will not find it
PRICE = 1000
SHARES = [f"CRASH{number:03}" for number in range(1, 601)]  # each scene has one of its own: what another left to a person stops no entry of it
CHEAP = [f"CHEAP{number:03}" for number in range(1, 101)]
PATIENT = "from tvapp.models import DeskSettings as D; D.objects.update(refusals_trip=100, unknowns_trip=100)"


class Stage(KiteDesk):
    """A connected Zerodha account with an automatic and a manual strategy, a paper one beside it; everything a trial needs."""

    def __init__(self, desk: RunningDesk, kite):
        super().__init__(desk, kite)
        self.folder = Path(desk.home) / "crash"
        self.rest_s = REST_S * float(desk.extra["TVAPP_TIME_SCALE"])
        self.acknowledged: list[int] = []
        self._keys, self._turn = count(1), count()
        self._manage("shell", "-c", PATIENT)
        self._lift_limits()
        self.connect(60)
        self.load_instruments()
        self.crowd = len(desk.below())
        self.forget()

    def _lift_limits(self) -> None:
        """No limit at all: the widest one still refuses an entry while the price of another position is not known."""
        row = self.desk.call("GET", "/api/risk-settings?scope=GLOBAL")[1]["results"][0]
        status, said = self.desk.call("PATCH", f"/api/risk-settings/{row['id']}", dict.fromkeys(RAILS) | {"unlimited": list(RAILS)})
        assert status == 200, said

    def _manage(self, *words: str) -> None:
        """A command beside the desk; it passes boundaries, too, but none is armed for it."""
        env = {name: value for name, value in self.desk.environment().items() if name != "TVAPP_CRASH_DIR"}
        done = subprocess.run([sys.executable, "manage.py", *words], cwd=ROOT, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr

    # --- what a person or TradingView does ----------------------------------------------------------------------

    def fresh(self) -> str:
        return SHARES[next(self._turn) % len(SHARES)]

    def cheap(self) -> str:
        """A share at one rupee: much of it for little money."""
        return CHEAP[next(self._turn) % len(CHEAP)]

    def send(self, symbol: str, strategy: str = "kite-auto", **trade) -> int:
        """The id of the order an alert became; sent again until it is acknowledged, as TradingView does."""
        body = {"price": PRICE, "product": "MIS", **trade}
        answer = self.desk.persistent_alert(f"crash-{next(self._keys)}", strategy=strategy, symbol=f"NSE:{symbol}", **body)
        self.acknowledged.append(answer["order_id"] or NO_ORDER)
        return self.acknowledged[-1]

    def send_with_exits(self, symbol: str, **trade) -> int:
        return self.send(symbol, stop_loss={"percent": 2}, take_profit={"percent": 2}, **trade)

    def children(self, order_id: int) -> list[dict]:
        newest = next(self.desk.pages(limit=50), [])
        return [row for row in newest if row["parent_id"] == order_id]

    def ask(self, path: str, body: object = None) -> tuple[int, dict]:
        """A click, clicked again while the web server is not there."""
        end = time.monotonic() + BACK_S
        while True:
            try:
                status, said = self.desk.call("POST", path, body)
                if status != 503 or time.monotonic() > end:
                    return status, said
            except (OSError, ValueError):
                if time.monotonic() > end:
                    raise
            time.sleep(0.1)

    def reach(self, order_id: int, *states: str, seconds: float = 8) -> bool:
        """Whether the order came to one of these states; it is not waited for once it ended in another one."""
        over = (*states, *ENDED)
        return self.reached(lambda: self.order(order_id)["status"] in over, seconds) and self.order(order_id)["status"] in states

    def reached(self, true, seconds: float) -> bool:
        try:
            self.desk.wait(true, seconds, "", LOOK_S)
        except AssertionError:
            assert self.desk.process.poll() is None, self.desk.tail()
            return False
        return True

    def connect(self, seconds: float = LOGIN_S) -> dict:
        """A login whose worker died does not come back by itself: after a while a person begins another one."""
        return super().connect(seconds)

    # --- boundaries ---------------------------------------------------------------------------------------------

    def arm(self, name: str) -> None:
        (self.folder / "armed" / name).touch()

    def disarm(self) -> None:
        for file in (self.folder / "armed").iterdir():
            file.unlink(missing_ok=True)

    def deaths(self) -> dict[str, float]:
        """When each process died, as `time.time()`, by boundary and pid."""
        return {file.name: file.stat().st_ctime for file in (self.folder / "died").iterdir()}

    def seen(self) -> set[str]:
        """The boundaries passed since `forget`."""
        return {file.name for file in (self.folder / "seen").iterdir()}

    def forget(self) -> None:
        for file in (self.folder / "seen").iterdir():
            file.unlink(missing_ok=True)

    # --- between trials -----------------------------------------------------------------------------------------

    def calm(self) -> None:
        """The broker behaves, the account is logged in, and what stopped entries is put right as a person would; again while processes come back."""
        end = time.monotonic() + 2 * BACK_S
        while True:
            try:
                return self._put_right()
            except (OSError, ValueError, KeyError, AssertionError):
                if time.monotonic() > end:
                    raise
            time.sleep(0.2)

    def _put_right(self) -> None:
        self.kite.fault("*", "ok", times=0)
        if not self.status()["connected"]:
            self.connect()
        for scope in self.desk.call("GET", "/api/risk/status")[1]["scopes"]:
            if scope["state"] != "ACTIVE":
                self.release(scope["key"])
        for strategy in self.desk.call("GET", "/api/strategies")[1]["results"]:
            if strategy.get("refusal"):
                self.ask(f"/api/strategies/{strategy['id']}/acknowledge")

    def release(self, key: str) -> None:
        kind, _, pk = key.partition(":")
        self.ask("/api/risk/release", {"reason": "next trial", "scope": kind, **({f"{kind.lower()}_id": int(pk)} if pk else {})})

    def wait_until_back(self) -> None:
        self.reached(lambda: len(self.desk.below()) >= self.crowd and self.desk.call("GET", "/health")[0] == 200, BACK_S)

    def settle(self, since: int) -> bool:
        """Whether every order from id `since` on came to rest, at most `rest_s` after all processes are back and somebody is logged in."""
        for _ in range(2):
            self.calm()
            if self.reached(lambda: not self._moving(since), self.rest_s):
                return True
            self.wait_until_back()
        return False

    def _moving(self, since: int) -> list[dict]:
        newest = next(self.desk.pages(limit=100), [])
        return [row for row in newest if row["id"] >= since and judge.in_flight(row)]

    def knows_outside(self) -> bool:
        """Whether the desk shows every order that was placed in the broker's own app."""
        return all(self.known(row["order_id"]) for row in self.kite.orders() if not row["tag"])

    def verdict(self) -> judge.Verdict:
        """Over everything that was ever sent here, once the last trial has come to rest and the books were read."""
        self.settle(0)
        self.ask(f"/api/brokers/accounts/{self.account['id']}/sync")
        self.reached(self.knows_outside, self.rest_s)
        orders = self.desk.orders()
        stories = {row["id"]: self._story(row["id"]) for row in orders}
        return judge.judge(self.acknowledged, orders, self.kite.orders(), stories, self.account["id"])

    def _story(self, order_id: int) -> list[dict]:
        return sorted(self.desk.call("GET", f"/api/orders/{order_id}/events?limit=200")[1]["results"], key=lambda event: event["seq"])


@contextmanager
def stage(database: str = "", scale: float = SCALE, **env: str) -> Iterator[Stage]:
    """A fresh desk on a database of its own and a fresh simulator, gone afterwards. All timers times `scale`; `env` is set for every process."""
    desk = RunningDesk(database, TVAPP_TEST="1", TVAPP_TIME_SCALE=str(scale), **env)
    folder = Path(desk.home) / "crash"
    for name in ("seen", "armed", "died"):
        (folder / name).mkdir(parents=True)
    desk.extra["TVAPP_CRASH_DIR"] = str(folder)
    (folder / "shares.csv").write_text("\n".join([",".join(instruments.HEADER), *(_row(n, share) for n, share in enumerate([*SHARES, *CHEAP]))]))
    with running_beside(desk, folder / "shares.csv") as (desk, kite):
        yield Stage(desk, kite)


def _row(number: int, share: str) -> str:
    """Token, exchange token, tradingsymbol, name, price, expiry, strike, tick, lot, type, segment, exchange."""
    return f"{(number + 20_000) << 8 | 1},{number + 20_000},{share},{share},{1 if share in CHEAP else PRICE},,0,0.05,1,EQ,NSE,NSE"
