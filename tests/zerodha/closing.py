"""Several workers square the same account off at the same time, and are killed at random; then one finishes, with a person where a death left
an order nobody can prove. For a process with a home of its own.

`main` lives with the simulator, forks the workers, and prints one JSON object: what the broker held after each moment, and how it ended.
"""

import json
import os
import random
import signal
import time

from django.conf import settings
from django.core.management import call_command
from django.db import OperationalError, connections

from tests import factories as make
from tests.zerodha.conftest import standing
from tests.zerodha.road import Road
from trading.models import Order, Source, SquareOff
from trading.services import resolve, squareoff

WORKERS = 3


def _worker(account_pk: int) -> None:
    """What a cluster does for it, without a pause: every square-off of the account, again and again."""
    while True:
        try:
            for row in SquareOff.objects.filter(account_id=account_pk, ended_at=None):
                squareoff.push(row)
        except OperationalError:  # the others write
            time.sleep(0.01)


def _fork(account_pk: int) -> int:
    connections.close_all()
    child = os.fork()
    if child == 0:
        try:
            _worker(account_pk)
        finally:
            os._exit(0)
    return child


def play(road: Road, seed: int) -> dict:
    """One account with a position and its exits, three runs side by side, workers that die and are replaced."""
    dice = random.Random(seed)
    road.alert(price=1500, quantity=dice.randint(3, 30), stop_loss={"points": 30}, take_profit={"points": 50})
    road.go(0, 1, 5, 5)
    squareoff.start(road.account, actor="asha", reason="the day is over")
    for _ in range(dice.randint(0, 2)):  # past the door that would have given the first one
        make.SquareOffFactory(account=road.account)
    workers, held = [_fork(road.account.pk) for _ in range(WORKERS)], []
    for _ in range(dice.randint(2, 5)):
        time.sleep(dice.uniform(0.02, 0.3))
        os.kill(workers[0], signal.SIGKILL)
        os.waitpid(workers.pop(0), 0)
        workers.append(_fork(road.account.pk))
        held.append(_net(road))
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    road.go(0, 1, 5, 15, 15, 20, 20, 40, 60)
    _decide(road)
    states = sorted(SquareOff.objects.filter(account=road.account).values_list("state", flat=True))
    sold = [row["filled_quantity"] for row in road.bench.accepted() if row["transaction_type"] == "SELL"]
    bought = [row["filled_quantity"] for row in road.bench.accepted() if row["transaction_type"] == "BUY"]
    return {"seed": seed, "held": [*held, _net(road)], "states": states, "sold": sum(sold), "bought": sum(bought), "story": _story(road)}


def _decide(road: Road) -> None:
    """A worker that died right before its call leaves an order that no read can prove unsent: the square-off waits for a person, who looks."""
    for order in Order.objects.filter(status="NEEDS_REVIEW"):
        assert road.bench.accepted(order.tag) == [] and SquareOff.objects.filter(ended_at=None).exists(), "it went on without knowing"
        resolve.resolve(order, "NOT_SENT", actor="asha")
        road.go(0, 1, 5, 15, 20)


def _net(road: Road) -> int:
    return sum(position.net for account in road.bench.state.accounts.values() for position in account.positions.values())


def _story(road: Road) -> list[str]:
    return [f"{o.pk} {o.side} {o.quantity} {o.status} {o.why}" for o in Order.objects.filter(source=Source.SQUARE_OFF)]


def main(*seeds: int) -> None:
    call_command("migrate", verbosity=0)
    with standing(settings) as road:
        print(json.dumps([play(road, seed) for seed in seeds]))
