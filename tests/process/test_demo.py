"""`bin/demo --kite` as a person runs it: no account, no internet, no desk that runs already."""

import os
import subprocess
import sys

import pytest

from tests.process.desk import ROOT

pytestmark = pytest.mark.process


def test_it_shows_the_road_to_zerodha_and_leaves_nothing_behind(tmp_path):
    env = {**os.environ, "TVAPP_HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "manage.py", "demo", "--kite", "--once"], cwd=ROOT, env=env, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    for said in ("connected as AB1234", "Zerodha took it as", "4 of 10 are filled", "filled 10 at 1500", "10 NSE:INFY CNC", "Sign in as admin with"):
        assert said in done.stdout
    assert not list(tmp_path.glob("tvapp-demo-*"))
    assert not [line for line in subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True).stdout.splitlines() if str(tmp_path) in line]
