"""Everything that can go wrong on the wire, on every route an order takes. What must come of it stands in docs/zerodha.md, for people to read:
the table there is the list of expectations here, and the simulator's truth is the judge."""

import re
import time
from pathlib import Path

import pytest

from brokers.kitesim.faults import MODES
from brokers.models import BrokerSession
from trading.models import SystemEvent

DOC = Path(__file__).resolve().parents[2] / "docs" / "zerodha.md"
ROUTES = ("place", "modify", "cancel", "orders", "trades", "token")
NEVER_LIVE = ("FAILED", "QUEUED", "HELD", "STALE", "REJECTED_RISK", "WAITING")
HANG_S = {"hang_before": 1.8, "hang_after": 1.8, "slow": 0.3, "400_timed_out_but_placed": 0.3, "lag_orderbook": 0.3}
LATE = ("400_timed_out_but_placed", "lag_orderbook")  # what was done shows a little later
SAYS = {"429": "Too many requests", "400_margin": "Insufficient funds", "amo_hint": "AMO", "400_timed_out_but_placed": "timed out",
        "reject_after_accept": "RMS:Margin Exceeds", "5xx_before": "kitetrade-oms", "5xx_after": "kitetrade-oms"}  # fmt: skip


def expectations() -> dict[tuple[str, str], str]:
    """{(mode, route): what the table says}; a dash says that the fault means nothing there."""
    lines = [line.strip("| ").split("|") for line in DOC.read_text().splitlines() if line.startswith("| `")]
    rows = [[cell.strip(" `") for cell in cells] for cells in lines if len(cells) == len(ROUTES) + 2]
    return {(row[0], route): word for row in rows for route, word in zip(ROUTES, row[2:], strict=True)}


EXPECTED = expectations()


def cases(route: str) -> list:
    return [pytest.param(mode, word, id=mode) for (mode, where), word in EXPECTED.items() if where == route and word != "–"]


def test_it_says_of_every_fault_what_comes_of_it():
    assert {mode for mode, _ in EXPECTED} == set(MODES) - {"ws_drop"}


def _fault(road, route: str, mode: str, times: int = 1) -> None:
    times = 1 if mode == "403_token" else times  # after the first there is no session, and nothing is asked any more
    road.bench.fault(route, mode, times=times, **({"delay_s": HANG_S[mode]} if mode in HANG_S else {}))


def _let_pass(road, mode: str) -> None:
    """Two minutes of the desk, and the moment that the simulator is late, which is real."""
    road.go(0, 1, 3)
    if mode in LATE:
        time.sleep(HANG_S[mode])
    road.go()


def _check(road, order_id: int, word: str) -> None:
    """The state, and what must hold whatever the state: at most one order at the broker, and none behind one that was called dead."""
    order, truth = road.order(order_id), road.truth(order_id)
    assert order.status == word, road.story(order_id)
    assert len(truth) <= 1
    assert not (truth and order.status in NEVER_LIVE)
    assert order.filled_quantity == (truth[0]["filled_quantity"] if truth else 0)
    assert order.why and not re.search(r"Error|Exception|Traceback|HTTP|None", order.why)


@pytest.mark.parametrize(("mode", "word"), cases("place"))
def test_it_ends_a_placing_in_the_right_state(road, mode, word):
    _fault(road, "place", mode)
    order_id = road.alert()
    _let_pass(road, mode)
    _check(road, order_id, word)
    assert SAYS.get(mode, "") in road.story(order_id) + road.order(order_id).broker_message


@pytest.mark.parametrize(("mode", "word"), cases("modify"))
def test_it_knows_the_price_of_an_order_whose_change_went_wrong(road, mode, word):
    order_id = road.resting()
    _fault(road, "modify", mode)
    road.change(order_id, price="1480")
    _go_on(road, mode)
    _check(road, order_id, "OPEN")
    order = road.order(order_id)
    assert (word, float(order.price)) in (("1480", 1480.0), ("1490", 1490.0)), road.story(order_id)
    assert (order.price, order.pending_action) == (road.truth(order_id)[0]["price"], "")


@pytest.mark.parametrize(("mode", "word"), cases("cancel"))
def test_it_ends_a_cancel_as_the_broker_does(road, mode, word):
    order_id = road.resting()
    _fault(road, "cancel", mode)
    road.cancel(order_id)
    _go_on(road, mode)
    _check(road, order_id, word)
    assert road.order(order_id).pending_action == "", road.story(order_id)


@pytest.mark.parametrize(("mode", "word"), cases("orders"))
def test_it_takes_no_bad_look_at_the_book_for_an_answer(road, mode, word):
    """The answer to an order is lost, and then the looks for it go wrong as well: it must still be found, and nothing else harmed."""
    other = road.resting()
    road.bench.fault("place", "drop_after")
    _fault(road, "orders", mode, times=2)
    order_id = road.alert()
    road.go(*[0, 1, 1, 2])
    assert road.order(order_id).status in ("UNKNOWN", word), road.story(order_id)
    _go_on(road, mode)
    _check(road, other, word)
    _check(road, order_id, word)


def _go_on(road, mode: str) -> None:
    """Two minutes; where the session was lost, a person logs in again and two more pass."""
    _let_pass(road, mode)
    if not road.is_connected():
        road.log_in()
        road.go()


@pytest.mark.parametrize(("mode", "word"), cases("trades"))
def test_it_counts_each_fill_once_when_reading_them_goes_wrong(road, mode, word):
    order_id = road.resting()
    _fault(road, "trades", mode, times=2)
    road.market(1490)
    _go_on(road, mode)
    _check(road, order_id, word)


@pytest.mark.parametrize(("mode", "word"), cases("token"))
def test_it_logs_in_or_says_why_and_lets_the_next_login_work(road, mode, word):
    road.bench.post("expire")
    road.go(60)
    assert BrokerSession.objects.get(account=road.account).state == "EXPIRED"
    _fault(road, "token", mode)
    road.log_in()
    road.go(1, 15, 30)
    session = BrokerSession.objects.get(account=road.account)
    assert (session.state, bool(session.error)) == (word, word != "ACTIVE"), session.error
    road.log_in()
    session.refresh_from_db()
    assert (session.state, session.error) == ("ACTIVE", "")
    order_id = road.alert()
    road.go(0, 1, 5, 2, 5)
    _check(road, order_id, "OPEN")


def test_it_holds_what_a_dead_session_stopped_and_tells_of_it_once(road):
    road.bench.post("expire")
    first, second = road.alert(), road.alert()
    road.go(0, 1, 1)
    _check(road, first, "HELD")
    _check(road, second, "HELD")
    assert SystemEvent.objects.filter(code="ACCOUNT_DISCONNECTED").count() == 1
    refused = [row for row in road.bench.get("log?event=request") if row["route"] == "place"]
    assert len(refused) <= 1, "a dead session is not asked again and again"
    road.log_in()
    road.go(1, 1, 5)
    _check(road, first, "OPEN")
    _check(road, second, "OPEN")
