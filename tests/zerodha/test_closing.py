"""Real processes square one account off side by side and are killed with SIGKILL at random. The simulator's own book is the judge."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process
ROOT = Path(__file__).resolve().parents[2]
SEEDS = range(1, 5)
PROGRAM = "import sys; import django; django.setup(); from tests.zerodha import closing; closing.main(*map(int, sys.argv[1:]))"


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    env = {k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "TVAPP_CRASH_AT")} | {"TVAPP_HOME": str(tmp_path_factory.mktemp("closing"))}
    env |= {"TVAPP_TEST": "1", "DJANGO_SETTINGS_MODULE": "tvapp.settings", "TRADINGVIEW_WEBHOOK_SECRET": "installation-secret-1"}
    words = [sys.executable, "-c", PROGRAM, *map(str, SEEDS)]
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return {row["seed"]: row for row in json.loads(done.stdout.splitlines()[-1])}


@pytest.mark.parametrize("seed", SEEDS)
def test_it_never_turns_around_whoever_works_on_it_and_dies(played, seed):
    row = played[seed]
    assert min(row["held"]) >= 0, row
    assert row["held"][-1] == 0 and row["sold"] == row["bought"], row
    assert set(row["states"]) == {"DONE"}, row
