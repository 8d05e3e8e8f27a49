"""A worker dies at each named point of the road to Kite. Whatever it left behind is found: nothing doubled, nothing lost, nothing unexplained."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.zerodha.killing import SCENES

pytestmark = pytest.mark.process
ROOT = Path(__file__).resolve().parents[2]
PROGRAM = "import django; django.setup(); from tests.zerodha import killing; killing.main()"
ELSEWHERE = {"recover.looked": "only brokers that are asked for one reference at a time", "ingest": "tests/trading", "paper": "tests/trading"}
FILES = [*(ROOT / "trading" / "services").glob("*.py"), ROOT / "brokers" / "session.py"]


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    env = {k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "TVAPP_CRASH_AT")} | {"TVAPP_HOME": str(tmp_path_factory.mktemp("kills"))}
    env |= {"TVAPP_TEST": "1", "DJANGO_SETTINGS_MODULE": "tvapp.settings", "TRADINGVIEW_WEBHOOK_SECRET": "installation-secret-1"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, env=env, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    return {row["point"]: row for row in told["rows"]}, told["strangers"]


def _named() -> set[str]:
    """Every crash point of the road; the moves between states count as one."""
    found = {name for file in FILES for name in re.findall(r'crash\.point\(f?"([^"]+)"\)', file.read_text())}
    return {name for name in found if "{" not in name and name not in ELSEWHERE and name.split(".")[0] not in ELSEWHERE}


def test_it_kills_a_worker_at_every_point_there_is():
    assert _named() <= SCENES.keys(), "a new point needs a scene in killing.py"


@pytest.mark.parametrize("point", SCENES)
def test_it_finds_what_a_killed_worker_left_behind(played, point):
    row = played[0][point]
    assert row["killed"], f"the point was not passed: {row['story']}"
    assert row["status"] == row["ends"], row["story"]
    assert tuple(row["children"]) == SCENES[point].children, row["story"]
    assert row["triggers"] == (SCENES[point].ends == "COMPLETE") * row["children"].count("OPEN"), "a trigger is there once, or not at all"
    assert len(row["truth"]) <= 1, "doubled"
    if row["status"] in ("OPEN", "COMPLETE", "CANCELLED"):
        known = {"status": row["status"], "filled": row["filled"], "price": row["price"]}
        assert row["truth"] == [known], row["story"]
    else:
        assert row["truth"] == [], row["story"]


@pytest.mark.parametrize("point", [point for point in SCENES if "square" in point])
def test_it_closes_everything_although_a_square_off_was_killed(played, point):
    row = played[0][point]
    assert row["open"] == 0, f"still open, or turned around: {row['story']}"
    assert row["closed"] == 1 + [name for name in SCENES if "square" in name].index(point), "a square-off that did not end"


def test_it_leaves_no_order_at_the_broker_that_the_desk_does_not_know(played):
    assert played[1] == []
