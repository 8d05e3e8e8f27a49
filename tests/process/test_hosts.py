"""Several machines on one PostgreSQL: homes of their own, one desk. Each order leaves once, whoever takes it, and a lost machine stops nothing."""

import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack

import pytest

from tests.process.desk import ROOT, RunningDesk, parallel, running_desk

pytestmark = pytest.mark.process
KEYS = {"SECRET_KEY": "one-secret-for-all-machines-of-this-desk-0123456789", "FIELD_KEYS": "b25lLWZpZWxkLWtleS1mb3ItYWxsLW1hY2hpbmVzISE="}


@pytest.fixture(scope="module")
def database(postgres):
    return postgres.url()


@pytest.fixture(scope="module")
def hosts(database):
    with ExitStack() as both:
        yield [both.enter_context(running_desk(RunningDesk(database, **KEYS))) for _ in range(2)]


def test_it_sends_each_alert_once_whichever_machine_took_it_and_whichever_sends_it(hosts, database, postgres):
    answers = parallel(lambda n: hosts[n % 2].alert(f"spread-{n}", symbol=f"NSE:S{n % 10}"), range(60), 16)
    ids = {body["order_id"] for _, body in answers}
    assert Counter(status for status, _ in answers) == {201: 60} and len(ids) == 60
    hosts[0].wait_filled(ids, 60)
    sent = postgres.rows(database, "SELECT order_id, count(*) FROM trading_orderattempt GROUP BY order_id")
    assert {count for _, count in sent} == {1}


def test_it_knows_an_alert_again_that_the_other_machine_stored(hosts):
    first, second = hosts[0].alert("twice"), hosts[1].alert("twice")
    assert (first[0], second[0], second[1]["duplicate"]) == (201, 200, True)
    assert first[1]["order_id"] == second[1]["order_id"]


def test_it_stops_on_all_machines_when_one_of_them_is_asked_to(hosts):
    assert hosts[0].call("POST", "/api/risk/kill", {"reason": "storm"})[0] == 200
    held = hosts[1].alert("while-stopped")[1]["order_id"]
    hosts[1].wait(lambda: hosts[1].call("GET", f"/api/orders/{held}")[1]["status"] == "HELD", 10, "the order is held")
    assert hosts[1].call("POST", "/api/risk/release", {"reason": "over"})[0] == 200


def test_it_goes_on_when_a_machine_is_lost_with_all_its_processes(hosts):
    acknowledged = [hosts[n % 2].alert(f"before-the-loss-{n}")[1]["order_id"] for n in range(20)]
    lost = hosts[0]
    for pid in [*lost.below(), lost.process.pid]:
        os.kill(pid, signal.SIGKILL)
    lost.process.wait()
    acknowledged += [hosts[1].alert(f"after-the-loss-{n}")[1]["order_id"] for n in range(5)]
    hosts[1].wait_filled(set(acknowledged), 30)
    lost.start()


@pytest.fixture
def part(database):
    """Starts a machine that has only this part in the desk."""
    with ExitStack() as at_the_end:

        def start(role: str) -> RunningDesk:
            desk = RunningDesk(database, wide=False, TVAPP_ROLE=role, **KEYS)
            desk.launch()
            for undo in (desk.close, desk.stop):
                at_the_end.callback(undo)
            return desk

        yield start


def test_it_only_serves_on_one_machine_and_only_works_on_another(hosts, part):
    web, workers = part("web"), part("workers")
    health = [sys.executable, "-m", "tvapp.supervisor", "--health"]
    workers.wait(lambda: subprocess.run(health, cwd=ROOT, env=workers.environment(), capture_output=True).returncode == 0, 90, "its own orders cluster beats")
    web.wait(lambda: web.call("GET", "/health")[1]["status"] == "ok", 90, "health is ok")
    assert web.alert("served-only")[0] == 201
    lines = [" ".join(one.below().values()) for one in (web, workers)]
    assert [[word in line for word in ("gunicorn", "qcluster", "sweep", "brokerstream")] for line in lines] == [[True, False, False, False], [False, True, True, True]]


@pytest.fixture
def machine(postgres):
    """Starts a process that knows the server and nothing else; no desk is there that could be heard by chance."""
    env = {**os.environ, "DATABASE_URL": postgres.url()}
    started = []

    def start(*words: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "tests.process.hearing", *words]
        started.append(subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for child in started:
        child.kill()
        child.wait()
        child.stdout.close()


def says(child: subprocess.Popen, word: str) -> bool:
    """Whether it says so before it ends. A server that goes away may wake it more than once."""
    return any(line.strip() == word for line in child.stdout)


def test_it_hears_what_another_machine_calls_also_after_the_server_was_restarted(machine, postgres):
    ear = machine()
    assert says(ear, "listening")
    assert machine("call").wait(20) == 0 and says(ear, "heard")
    postgres.stop()
    assert says(ear, "lost")
    postgres.start()
    assert says(ear, "listening")
    assert machine("call").wait(20) == 0 and says(ear, "heard")
