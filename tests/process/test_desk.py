"""The promise, with real processes: nothing lost, nothing doubled, moving again by itself."""

import os
import signal
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from tests.bench.place import rows_of
from tests.process.desk import parallel, running_desk

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def desk():
    with running_desk() as desk:
        yield desk


def test_it_fills_an_automatic_alert_and_lets_a_manual_one_wait_for_execute(desk):
    auto = desk.alert("first-auto")[1]["order_id"]
    desk.wait_filled({auto}, 60)
    waiting = desk.alert("first-manual", "demo-manual")[1]["order_id"]
    assert desk.call("GET", f"/api/orders/{waiting}")[1]["status"] == "WAITING"
    assert desk.call("POST", f"/api/orders/{waiting}/execute")[0] == 202
    desk.wait_filled({waiting}, 60)


def test_it_makes_one_order_of_fifty_equal_alerts_at_once(desk):
    answers = parallel(lambda _: desk.alert("same", "demo-manual"), range(50), 50)
    assert sorted(status for status, _ in answers) == [200] * 49 + [201]
    assert len({body["order_id"] for _, body in answers}) == 1


def test_it_acknowledges_and_fills_two_hundred_alerts_of_one_bar_close(desk):
    answers = parallel(lambda i: desk.alert(f"burst-{i}", symbol=f"NSE:S{i % 20}"), range(200), 32)
    assert {status for status, _ in answers} == {201}
    desk.wait_filled({body["order_id"] for _, body in answers}, 60)


def _roles(desk) -> list[int]:
    """One process of each kind: masters, workers, pushers, monitors, the sweeper; found by asking the system, not the product."""
    return sorted(desk.below())


def test_it_loses_no_acknowledged_alert_when_any_single_process_is_killed(desk):
    """Kills every process below the supervisor in turn while alerts flow at the pace a broker takes them (10 a second).

    Each alert is worked within seconds, once. The next kill waits until what piled up is worked off: one kill at a time.
    """
    acknowledged, over = [], threading.Event()

    def flow():
        number = 0
        while not over.is_set():
            acknowledged.append(desk.persistent_alert(f"flow-{number}")["order_id"])
            number += 1
            time.sleep(0.1)

    sender = threading.Thread(target=flow)
    sender.start()
    try:
        for index in range(len(_roles(desk))):
            alive = _roles(desk)
            os.kill(alive[index % len(alive)], signal.SIGKILL)
            probe = desk.persistent_alert(f"probe-{index}")["order_id"]
            desk.wait_filled({probe}, 60)
            desk.wait_filled(set(acknowledged), 60)
    finally:
        over.set()
        sender.join()
    desk.wait_filled(set(acknowledged), 60)
    assert len(set(acknowledged)) == len(acknowledged)


def test_it_moves_again_within_seconds_when_all_of_them_are_killed_at_once(desk):
    before = [desk.alert(f"before-{i}")[1]["order_id"] for i in range(10)]
    desk.kill_everything_below()
    after = desk.persistent_alert("after")["order_id"]
    desk.wait_filled({*before, after}, 60)


def test_it_knows_an_alert_again_after_everything_was_killed_and_started_anew():
    with running_desk() as desk:
        first = desk.alert("k1", "demo-manual")[1]
        queued = [desk.alert(f"q-{i}")[1]["order_id"] for i in range(20)]
        os.kill(desk.process.pid, signal.SIGKILL)
        desk.process.wait()
        end = time.monotonic() + 4
        while desk.pids() and time.monotonic() < end:
            time.sleep(0.05)
        assert desk.pids() == {}, "processes survived their supervisor"
        desk.start()
        again = desk.alert("k1", "demo-manual")[1]
        assert (again["duplicate"], again["order_id"]) == (True, first["order_id"])
        desk.wait_filled(set(queued), 60)
        assert len(desk.orders()) == 21
        desk.stop()
        assert desk.pids() == {}
        desk.start()


def _outcome(desk, order_id: int) -> dict:
    desk.wait(lambda: desk.call("GET", f"/api/orders/{order_id}")[1]["status"] in ("COMPLETE", "CANCELLED"), 60, "the race is over")
    return desk.call("GET", f"/api/orders/{order_id}")[1]


def test_it_lets_one_of_two_people_execute_and_sends_once(desk):
    for round_no in range(25):
        order_id = desk.alert(f"twice-{round_no}", "demo-manual")[1]["order_id"]
        answers = parallel(lambda _, pk=order_id: desk.call("POST", f"/api/orders/{pk}/execute")[0], range(4), 4)
        assert sorted(answers) == [202, 409, 409, 409]
        assert _outcome(desk, order_id)["filled_quantity"] == "1"


def test_it_lets_execute_or_cancel_win_and_never_both(desk):
    for round_no in range(25):
        order_id = desk.alert(f"race-{round_no}", "demo-manual")[1]["order_id"]
        acts = ["execute", "cancel"] if round_no % 2 else ["cancel", "execute"]
        answers = dict(parallel(lambda act, pk=order_id: (act, desk.call("POST", f"/api/orders/{pk}/{act}")[0]), acts, 2))
        order = _outcome(desk, order_id)
        assert (order["status"] == "COMPLETE") == (order["filled_quantity"] == "1")
        assert 202 in answers.values()
        if order["status"] == "CANCELLED":
            assert answers["cancel"] == 202


def test_it_lets_one_of_two_edits_win(desk):
    order = desk.call("GET", f"/api/orders/{desk.alert('edits', 'demo-manual')[1]['order_id']}")[1]
    edits = [{"quantity": str(n), "version": order["version"]} for n in (2, 3, 4, 5)]
    answers = parallel(lambda body: desk.call("PATCH", f"/api/orders/{order['id']}", body)[0], edits, 4)
    assert sorted(answers) == [200, 409, 409, 409]


def test_it_sends_nothing_with_other_code_than_it_was_started_with_and_goes_on_after_the_next_start(desk):
    """The stamp another machine's update would leave; the watchdog starting the workers again does not help, starting the desk does."""
    with sqlite3.connect(Path(desk.home) / "tvapp.sqlite3", timeout=10) as link:
        link.execute("UPDATE tvapp_desksettings SET release = '0.2.0-of-another-machine'")
    link.close()
    time.sleep(2)  # workers read their settings once a second
    order_id = desk.alert("after-an-update")[1]["order_id"]
    said = "SELECT count(*) FROM trading_systemevent WHERE code = 'OLD_CODE'"
    desk.wait(lambda: rows_of(desk.home, said)[0][0] == 1, 60, "the worker says that it is an old one")
    assert desk.call("GET", f"/api/orders/{order_id}")[1]["status"] == "QUEUED"
    desk.stop()
    desk.start()
    desk.wait_filled({order_id}, 60)
