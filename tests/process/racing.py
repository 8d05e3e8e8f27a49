"""A storm in one process: threads take the same orders, book fills, sweep and move the price, on the database of DATABASE_URL.

`python -m tests.process.racing` says in one line of JSON what came of it; who starts it gives it a home and a database of its own and judges.
"""

import json
import os
import random
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from functools import partial
from threading import Barrier

THREADS = 8


def together(acts) -> list[str]:
    """Runs them side by side, each with a connection of its own; what they raised, in words."""
    from django.db import connection

    def run(act) -> str:
        try:
            act()
        except Exception as problem:  # noqa: BLE001 - told to the judge
            return f"{type(problem).__name__}: {problem}"
        finally:
            connection.close()
        return ""

    with ThreadPoolExecutor(THREADS) as pool:
        return [word for word in pool.map(run, acts) if word]


def work_off(*, shuffle: random.Random | None = None) -> None:
    """What a worker does about every bell there is."""
    from trading.domain import orderfsm
    from trading.models import Order
    from trading.services import dispatch

    waiting = Order.objects.filter(status="QUEUED") | Order.objects.exclude(pending_action="").filter(status__in=orderfsm.LIVE)
    found = list(waiting.order_by("id").values_list("id", flat=True))
    if shuffle:
        shuffle.shuffle(found)
    for pk in found:
        dispatch.work(pk)


def claims(desk) -> dict[str, object]:
    """Every thread takes every order."""
    from brokers.models import PaperOrder
    from trading.models import Fill, Order, OrderAttempt

    made = [desk.order("auto").pk for _ in range(10)]
    problems = together([partial(work_off, shuffle=random.Random(n)) for n in range(THREADS)])
    return {
        "made": len(made), "problems": problems, "attempts": OrderAttempt.objects.count(), "accepted": PaperOrder.objects.count(),
        "fills": Fill.objects.count(), "complete": Order.objects.filter(status="COMPLETE").count(),
    }  # fmt: skip


def storm(desk) -> dict[str, object]:
    """Entries with stops and targets, orders that close them, fills of both and sweeps, all at once."""
    from brokers.models import Instrument, Quote
    from trading import tasks
    from trading.models import Fill, Order, Position
    from trading.services import sweeper
    from tvapp.lib import clock

    traded, chance = Instrument.objects.get(tradingsymbol="INFY"), random.Random(7)

    def tick(price: int) -> None:
        Quote.objects.update_or_create(instrument=traded, defaults={"ltp": Decimal(price), "at": clock.now(), "source": "FEED"})
        tasks.sync_account(desk.account.pk)

    def enter() -> None:
        desk.send("auto", stop_loss={"percent": 1}, take_profit={"points": 10}, trade={"order_type": "MARKET", "quantity": 2})

    def leave() -> None:
        desk.send("auto", trade={"order_type": "MARKET", "order_action": "SELL", "quantity": 1, "reduce_only": True})

    kinds = [enter, leave, sweeper.sweep, work_off, partial(work_off, shuffle=chance), lambda: tick(chance.choice([1480, 1495, 1505, 1520]))]
    problems = together([act for _ in range(5) for act in kinds])
    signed = [q if side == "BUY" else -q for side, q in Fill.objects.values_list("side", "quantity")]
    over = [o.pk for o in Order.objects.exclude(quantity=None) if o.filled_quantity > o.quantity]
    held = sum(Position.objects.values_list("quantity", flat=True), Decimal(0))
    return {"problems": problems, "booked": str(sum(signed, Decimal(0))), "held": str(held.normalize()), "over": over, "fills": len(signed)}


def crossing(desk) -> list[str]:
    """A stop and its target are told to be filled at the same moment: each one's fill cancels the other one."""
    from trading.models import Order, Source

    problems = []
    for _ in range(4):
        entry = desk.order("auto", stop_loss={"percent": 1}, take_profit={"points": 10}, trade={"order_type": "MARKET"})
        for _ in range(3):
            work_off()
        gate = Barrier(2)
        told = list(Order.objects.filter(parent=entry, source=Source.BRACKET).select_related("account"))
        problems += [] if len(told) == 2 else [f"order {entry.pk} has {len(told)} exits"]
        problems += together([partial(_tell_filled, order, gate) for order in told])
    return problems


def _tell_filled(order, gate: Barrier) -> None:
    from brokers import registry
    from brokers.types import Fill, Status
    from trading.services import sync
    from tvapp.lib import clock

    report = registry.adapter_for(order.account).get_order(sync.key_of(order))
    done = replace(report, status=Status.FILLED, filled=report.quantity, avg_price=Decimal(1500), updated_at=clock.now())
    fill = Fill(f"X{order.pk}", report.key.broker_order_id, report.quantity, Decimal(1500), None, "INR", clock.now())
    gate.wait(10)
    sync.apply_report(order.pk, done, [fill])


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tvapp.settings")
    import django

    django.setup()
    from django.core.management import call_command

    from tests.trading.desk import make_desk, wide_limits

    call_command("migrate", verbosity=0)
    desk = make_desk()
    wide_limits()
    desk.account.slippage_bps = 0
    desk.account.save()
    json.dump({"claims": claims(desk), "crossing": crossing(desk), "storm": storm(desk)}, sys.stdout)


if __name__ == "__main__":
    main()
