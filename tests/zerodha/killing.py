"""A worker is killed at each named point of the road to Kite; then another one finds what it left behind.

`main` runs in a process with a home of its own: the simulator lives there, and each worker that dies is forked from there, so that a death
costs a moment and not the start of a process. It prints one JSON object: what became of each order, and orders of the broker nobody knows.
"""

import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass

from django.conf import settings
from django.core.management import call_command
from django.db import connections

from brokers.models import Instrument
from risk.models import RiskSettings
from tests.zerodha.conftest import standing
from tests.zerodha.road import Road
from trading.models import Gtt, Order, SquareOff
from trading.services import books, connect, gtt, orders, resolve, squareoff
from tvapp.models import DeskSettings


@dataclass(frozen=True)
class Scene:
    """`prepare` gives the order it is about, `act` is what the process does that dies, `ends` how the order must end, `children` its children."""

    prepare: Callable[[Road], int]
    act: Callable[[Road, int], object]
    ends: str = "OPEN"
    children: tuple[str, ...] = ()


def _waiting(road: Road) -> int:
    return road.alert("kite-manual")


def _approve(road: Road, order_id: int) -> None:
    orders.approve(road.order(order_id), actor="asha")


def _refused(road: Road) -> int:
    road.bench.fault("place", "amo_hint")
    return road.alert()


def _unknown(road: Road) -> int:
    road.bench.fault("place", "drop_after")
    order_id = road.alert()
    road.work_off()
    road.time.shift(2)
    return order_id


def _cancelling(road: Road) -> int:
    order_id = road.resting()
    road.cancel(order_id)
    return order_id


def _changing(road: Road) -> int:
    order_id = road.resting()
    road.change(order_id, price="1480")
    return order_id


def _filled(road: Road) -> int:
    order_id = road.resting()
    road.market(1490)
    road.market(1500)
    return order_id


def _logging_in(road: Road) -> int:
    road.bench.post("expire")
    road.go(60)
    order_id = road.alert()
    road.work_off()
    connect.take_token(road.account, road.bench.post("login", api_key="simkey")["request_token"])
    return order_id


def _logging_out(road: Road) -> int:
    order_id = road.resting()
    connect.disconnect(road.account, actor="asha")
    return order_id


def _work(road: Road, order_id: int) -> None:
    road.work_off()


def _read(road: Road, order_id: int) -> None:
    road.read_books()


def _bought(symbol: str, price: int) -> Callable[[Road], int]:
    """A delivery buy with stop and target, which become one trigger at the broker once it is filled."""
    both = {"stop_loss": {"points": 10}, "take_profit": {"points": 10}}
    return lambda road: road.alert(symbol=f"NSE:{symbol}", price=price, product="CNC", **both)


def _guarded(symbol: str, price: int) -> Callable[[Road], int]:
    def prepare(road: Road) -> int:
        order_id = _bought(symbol, price)(road)
        road.go(0, 1, 5)
        assert road.triggers(symbol) == 1, road.story(order_id)
        return order_id

    return prepare


def _unwanted(symbol: str, price: int) -> Callable[[Road], int]:
    def prepare(road: Road) -> int:
        order_id = _guarded(symbol, price)(road)
        gtt.ask_delete(Gtt.objects.get(order__parent=order_id), actor="asha")
        return order_id

    return prepare


def _too_large(road: Road) -> int:
    Instrument.objects.filter(exchange="NSE", tradingsymbol="ITC").update(freeze=5)
    return road.alert(symbol="NSE:ITC", price=400)


def _closing(road: Road) -> int:
    """A filled entry with its stop and target, another order that rests, and a square-off that was just asked for."""
    both = {"stop_loss": {"points": 30}, "take_profit": {"points": 50}}
    order_id = road.alert(price=1500, **both)
    road.alert(symbol="NSE:SBIN", price=700)
    road.go(0, 1, 5, 5)
    squareoff.start(road.account, actor="asha", reason="the day is over")
    return order_id


def _square_off(road: Road, order_id: int) -> None:
    road.go(0, 1, 1, 1, 5)


def _live(road: Road, order_id: int) -> None:
    road.go(0, 1, 5)


def _read_all(road: Road, order_id: int) -> None:
    books.read_all(road.account.pk)


CLOSE = Scene(_closing, _square_off, "COMPLETE", ("CANCELLED", "CANCELLED"))
PLACE, FILL = Scene(lambda road: road.alert(), _work), Scene(_filled, _read, "COMPLETE")
CANCEL, CHANGE = Scene(_cancelling, _work, "CANCELLED"), Scene(_changing, _work)
SCENES = {
    # first, because what is left to a person by another scene is not closed
    "squareoff.cancels_asked": CLOSE,
    "squareoff.read": CLOSE,
    "squareoff.order_made": CLOSE,
    "squareoff.placed": CLOSE,
    "squareoff.committed": CLOSE,
    "squareoff.move.done": CLOSE,
    "dispatch.placed of a square-off": CLOSE,
    "doorbell.rung": Scene(_waiting, _approve, "WAITING"),
    "dispatch.started": PLACE,
    "dispatch.decided": PLACE,
    "orders.move.sending": PLACE,
    "dispatch.claimed": Scene(lambda road: road.alert(), _work, "NEEDS_REVIEW"),
    "dispatch.placed": PLACE,
    "orders.move.sent": PLACE,
    "dispatch.recorded": PLACE,
    "dispatch.refused": Scene(_refused, _work, "FAILED"),
    "slicing.made": Scene(_too_large, _work, "OPEN", ("OPEN",)),
    "recover.settling": Scene(_unknown, _read),
    "sync.fills_stored": FILL,
    "orders.move.complete": FILL,
    "books.fetched": FILL,
    "books.read": FILL,
    "asks.intent": CANCEL,
    "asks.answered": CANCEL,
    "asks.recorded": CANCEL,
    "asks.intent of a change": CHANGE,
    "asks.answered of a change": CHANGE,
    "asks.recorded of a change": CHANGE,
    "brackets.made": Scene(_bought("RELIANCE", 1400), _live, "COMPLETE", ("OPEN",)),
    "gtt.intent": Scene(_bought("TCS", 3100), _live, "COMPLETE", ("NEEDS_REVIEW",)),
    "gtt.placed": Scene(_bought("SBIN", 800), _live, "COMPLETE", ("OPEN",)),
    "dispatch.kept": Scene(_bought("AXISBANK", 1200), _live, "COMPLETE", ("OPEN",)),
    "gtt.read": Scene(_guarded("HDFCBANK", 1000), _read_all, "COMPLETE", ("OPEN",)),
    "gtt.deleted": Scene(_unwanted("ICICIBANK", 1350), _live, "COMPLETE", ("CANCELLED",)),
    "session.claimed": Scene(_logging_in, _work, "HELD"),
    "session.exchanged": Scene(_logging_in, _work, "HELD"),
    "session.ended": Scene(_logging_out, _work),
}


def play(road: Road, point: str, scene: Scene) -> dict:
    road.bench.post("faults", route="*", mode="ok")
    if not road.is_connected():
        road.log_in()
    order_id = scene.prepare(road)
    how = _die(road, point.split()[0], lambda: scene.act(road, order_id))
    road.go()
    order = road.order(order_id)
    told = {"point": point, "killed": os.WIFSIGNALED(how) and os.WTERMSIG(how) == signal.SIGKILL, "ends": scene.ends, "status": order.status}
    if order.status == "NEEDS_REVIEW":  # a person looks and says so; the next scene trades the same share
        resolve.not_sent(order, actor="asha")
    truth = [{"status": row["status"], "filled": row["filled_quantity"], "price": row["price"]} for row in road.truth(order_id)]
    told |= {"open": road.open_at_broker(), "closed": SquareOff.objects.filter(state="DONE").count()}
    told |= {"children": [child.status for child in order.children.order_by("id")], "triggers": road.triggers(order.tradingsymbol)}
    return {**told, "filled": int(order.filled_quantity), "price": float(order.price or 0), "truth": truth, "story": road.story(order_id)}


def _die(road: Road, point: str, act: Callable[[], object]) -> int:
    """A process of its own does `act` and is killed at `point`; gives how it ended. Connections do not survive a fork: each side opens its own."""
    connections.close_all()
    child = os.fork()
    if child == 0:
        os.environ["TVAPP_CRASH_AT"] = point
        try:
            act()
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1]


def _widen() -> None:
    """So many deaths on one account in ten minutes are no accident here: nothing trips, and nothing is counted against a limit."""
    DeskSettings(unknowns_trip=100, refusals_trip=100).save()
    often = ("max_orders_per_minute", "max_orders_per_day", "max_repeats_per_minute", "max_open_orders", "max_open_positions", "max_daily_loss")
    RiskSettings.objects.filter(scope="GLOBAL").update(**dict.fromkeys([*often, "max_symbol_exposure", "max_gross_exposure"], 10**9))


def main(*points: str) -> None:
    """Plays all scenes, or the named ones."""
    call_command("migrate", verbosity=0)
    _widen()
    with standing(settings) as road:
        rows = [play(road, point, scene) for point, scene in SCENES.items() if not points or point in points]
        known = set(Order.objects.values_list("broker_order_id", flat=True))
        strangers = [row["order_id"] for row in road.bench.accepted() if row["order_id"] not in known]
    print(json.dumps({"rows": rows, "strangers": strangers}))
