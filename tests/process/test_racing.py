"""Many workers on the same rows: each order is sent once, each fill counted once, nobody waits in a circle, on both databases."""

import json
import os
import subprocess
import sys

import pytest

from tests.process.desk import ROOT

pytestmark = pytest.mark.process


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def outcome(request, postgres, tmp_path_factory):
    url = postgres.url() if request.param == "postgres" else ""
    env = {**os.environ, "TVAPP_HOME": str(tmp_path_factory.mktemp("race")), **({"DATABASE_URL": url} if url else {})}
    done = subprocess.run([sys.executable, "-m", "tests.process.racing"], cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    circles = postgres.rows(url, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")[0][0] if url else 0
    return {**json.loads(done.stdout), "circles": circles}


def test_it_sends_each_order_once_however_many_workers_take_it(outcome):
    made = outcome["claims"]["made"]
    assert outcome["claims"] == {"made": made, "problems": [], "attempts": made, "accepted": made, "fills": made, "complete": made}


def test_it_books_a_stop_and_its_target_that_fill_at_once_one_after_the_other(outcome):
    assert (outcome["crossing"], outcome["circles"]) == ([], 0)


def test_it_counts_each_fill_once_while_exits_and_entries_fill_together(outcome):
    storm = outcome["storm"]
    assert (storm["problems"], storm["over"], outcome["circles"]) == ([], [], 0)
    assert storm["fills"] > 10 and float(storm["booked"]) == float(storm["held"])
