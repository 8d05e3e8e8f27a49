"""What goes wrong, on request: a list of faults, each taken by the next requests it fits.

`before` modes never reach the books. `after` modes do all the work and then lose or spoil the answer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from brokers.kitesim import answers
from brokers.kitesim.answers import Answer, Refused, refusal

ROUTES = (
    "place", "modify", "cancel", "orders", "trades", "token", "positions", "holdings", "margins", "instruments", "gtt", "*",
    "login", "profile", "quote", "charges", "ws",
)  # fmt: skip
HANG_S, SLOW_S, LAG_S = 30.0, 2.0, 5.0
MODES = {
    "ok": "no fault; ends what is still set for the route, with `times` lets that many requests pass first",
    "slow": "done at once, answered after delay_s (2)",
    "hang_before": "not done; the connection stays silent for delay_s (30), then closes",
    "hang_after": "done; the connection stays silent for delay_s (30), then closes",
    "drop_before": "not done; the connection closes without an answer",
    "drop_after": "done; the connection closes without an answer",
    "html_502": "not done; 502 with a page of HTML",
    "5xx_before": "not done; 503 NetworkException",
    "5xx_after": "done; 503 NetworkException",
    "429": "not done; 429 NetworkException, Too many requests",
    "403_token": "not done; 403 TokenException",
    "400_margin": "not done; 400 MarginException",
    "400_timed_out_but_placed": "400 'Order request timed out'; done all the same, delay_s (0) later",
    "amo_hint": "not done; 400 InputException that names AMO",
    "malformed": "done; 200 with broken JSON, or with `body` in its place",
    "lag_orderbook": "reads leave out what was accepted in the last delay_s (since the fault was set); on place: the order is hidden for delay_s (5)",
    "empty_book": "reads of orders and trades find nothing",
    "partial_book": "reads of orders and trades leave out the older half",
    "reject_after_accept": "done, and refused by risk management after it got its order id",
    "fill_before_cancel": "a cancel is accepted, and a fill of the whole order overtakes it",
    "redirect_307": "not done; 307 to the same address",
    "ws_drop": "the order-update socket closes after delay_s (0)",
}
BROKEN = "{oops"


@dataclass
class Fault:
    """`times` counts down; 0 never ends. `api_key` and `tag` narrow it to an account and to orders of a tag."""

    route: str
    mode: str
    times: int = 1
    delay_s: float | None = None
    api_key: str = ""
    tag: str = ""
    body: str = BROKEN
    set_at: float = 0.0

    def fits(self, route: str, api_key: str, tag: str) -> bool:
        return self.route in ("*", route) and self.api_key in ("", api_key) and self.tag in ("", tag)

    def delay(self, default: float) -> float:
        return default if self.delay_s is None else self.delay_s

    def row(self) -> dict[str, object]:
        return {"route": self.route, "mode": self.mode, "times": self.times, "delay_s": self.delay_s, "api_key": self.api_key, "tag": self.tag}


class Faults:
    """The list, first come first served."""

    def __init__(self) -> None:
        self._list: list[Fault] = []

    def add(self, wanted: Mapping[str, object], now: float) -> None:
        """Raises ValueError naming what is wrong. A fault without an end ends when the next one for its route comes."""
        fault = _read(wanted, now)
        if fault.mode == "ok":
            self._list = [old for old in self._list if fault.route not in ("*", old.route)]
            if wanted.get("times") in (None, 0):
                return
        self._list = [old for old in self._list if not (old.times == 0 and old.route == fault.route)]
        self._list.append(fault)

    def take(self, route: str, api_key: str = "", tag: str = "") -> Fault | None:
        """The fault of this request, one time less."""
        fault = next((fault for fault in self._list if fault.fits(route, api_key, tag)), None)
        if fault is not None and fault.times > 0:
            fault.times -= 1
            if fault.times == 0:
                self._list.remove(fault)
        return fault

    def rows(self) -> list[dict[str, object]]:
        return [fault.row() for fault in self._list]


def _read(wanted: Mapping[str, object], now: float) -> Fault:
    unknown = set(wanted) - {"route", "mode", "times", "delay_s", "api_key", "tag", "body"}
    if unknown:
        raise ValueError(f"a fault has no {', '.join(sorted(unknown))}")
    route, mode = str(wanted.get("route", "*")), str(wanted.get("mode", ""))
    if route not in ROUTES:
        raise ValueError(f"route is one of {', '.join(ROUTES)}; not {route!r}")
    if mode not in MODES:
        raise ValueError(f"mode is one of {', '.join(MODES)}; not {mode!r}")
    try:
        times = 1 if wanted.get("times") is None else int(wanted["times"])
        delay = None if wanted.get("delay_s") is None else float(wanted["delay_s"])
    except (TypeError, ValueError) as why:
        raise ValueError("times and delay_s are numbers") from why
    if times < 0 or (delay is not None and not 0 <= delay <= 3600):
        raise ValueError("times is 0 (no end) or more, delay_s 0 to 3600")
    body = str(wanted["body"]) if wanted.get("body") is not None else BROKEN
    return Fault(route, mode, times, delay, str(wanted.get("api_key") or ""), str(wanted.get("tag") or ""), body, now)


# ---------------------------------------------------------------------------- carrying out
class Stage(Protocol):
    """What a fault needs of the server: time that passes, work that is done later."""

    def wait(self, seconds: float) -> None: ...
    def later(self, seconds: float, work: Callable[[], object]) -> None: ...


OMS_FAILED = Refused(answers.OMS_FAILED, "NetworkException", 503)
TIMED_OUT = Refused(answers.TIMED_OUT, "OrderException", 400)
INSTEAD: dict[str, Callable[[], Answer]] = {
    "html_502": lambda: answers.html("<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>", 502),
    "5xx_before": lambda: refusal(OMS_FAILED),
    "429": lambda: refusal(Refused(answers.TOO_MANY, "NetworkException", 429)),
    "403_token": lambda: refusal(answers.token_dead()),
    "400_margin": lambda: refusal(Refused(answers.MARGIN.format(required=1000, available=900), "MarginException")),
    "amo_hint": lambda: refusal(Refused(answers.AMO_HINT, data={"hints": ["switch_to_amo"]})),
}


def carry_out(fault: Fault | None, work: Callable[[], Answer], stage: Stage, path: str) -> Answer | None:
    """Does the work or not, and answers as the fault wants. None: close the connection without a word."""
    mode = fault.mode if fault else "ok"
    if mode in INSTEAD:
        return INSTEAD[mode]()
    if mode == "redirect_307":
        return Answer(307, headers={"Location": path})
    if mode == "hang_before":
        stage.wait(fault.delay(HANG_S))
    if mode in ("hang_before", "drop_before"):
        return None
    if mode == "400_timed_out_but_placed":
        stage.later(fault.delay(0), work)
        return refusal(TIMED_OUT)
    return _spoiled(fault, work(), stage)


def _spoiled(fault: Fault | None, answer: Answer, stage: Stage) -> Answer | None:
    """The work is done; what becomes of its answer."""
    mode = fault.mode if fault else "ok"
    if mode == "slow":
        stage.wait(fault.delay(SLOW_S))
    elif mode == "hang_after":
        stage.wait(fault.delay(HANG_S))
    elif mode == "5xx_after":
        return refusal(OMS_FAILED)
    elif mode == "malformed":
        return Answer(body=fault.body.encode())
    return None if mode in ("hang_after", "drop_after") else answer
