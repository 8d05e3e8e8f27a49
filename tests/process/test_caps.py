"""Fifty alerts at the same moment against a cap with room for seven: seven orders' worth reach the broker, by the broker's own book."""

import json
import subprocess
import sys

import pytest

from tests.process.desk import ROOT, RunningDesk, parallel, running_desk

MANY, ROOM, VALUE = 50, 7, 1000  # rupees of each order: 10 at 100
BOOK = """
import json
from brokers.models import PaperTrade
rows = PaperTrade.objects.values_list("order__instrument__tradingsymbol", "quantity", "price")
print(json.dumps([[symbol, str(quantity * price)] for symbol, quantity, price in rows]))
"""


def burst(desk: RunningDesk, name: str, same: bool = False) -> None:
    """All at once; back when each has ended."""
    trade = {"quantity": 10, "price": 100, "order_type": "LIMIT"}
    answers = parallel(lambda n: desk.alert(f"{name}-{n}", symbol=f"NSE:{name}" if same else f"NSE:{name}{n}", **trade), range(MANY), workers=MANY)
    ids = {body["order_id"] for status, body in answers if status == 201}
    assert len(ids) == MANY, answers
    ended = ("COMPLETE", "REJECTED_RISK")
    desk.wait(lambda: ids <= {o["id"] for status in ended for o in desk.orders(status=status)}, 120, f"{MANY} orders have ended")


def traded(desk: RunningDesk) -> dict[str, float]:
    """Rupees by symbol, from the trades of the paper broker."""
    done = subprocess.run([sys.executable, "manage.py", "shell", "-v", "0", "-c", BOOK], cwd=ROOT, env=desk.environment(), capture_output=True, text=True)
    found: dict[str, float] = {}
    for symbol, value in json.loads(done.stdout.strip().splitlines()[-1]):
        found[symbol] = found.get(symbol, 0) + float(value)
    return found


def check(desk: RunningDesk) -> None:
    desk.limits(max_gross_exposure=str(ROOM * VALUE))
    burst(desk, "GROSS")
    desk.limits(max_open_positions=str(2 * ROOM))
    burst(desk, "COUNT")
    desk.limits(max_symbol_exposure=str(ROOM * VALUE))
    burst(desk, "SAME", same=True)
    book = traded(desk)
    for name in ("GROSS", "COUNT", "SAME"):
        assert sum(value for symbol, value in book.items() if symbol.startswith(name)) == ROOM * VALUE, (name, book)


@pytest.mark.process
def test_it_never_passes_a_cap_on_sqlite():
    with running_desk() as desk:
        check(desk)


def test_it_never_passes_a_cap_on_postgresql(postgres):
    with running_desk(RunningDesk(database=postgres.url())) as desk:
        check(desk)
