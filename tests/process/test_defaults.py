"""A desk as it is installed, with its limits as they are: what a newcomer tries must work, more than once."""

import subprocess
import sys

import pytest

from tests.process.desk import ROOT, RunningDesk, running_desk

pytestmark = pytest.mark.process


def test_it_fills_the_demo_again_and_again():
    with running_desk(RunningDesk(wide=False)) as desk:
        for number in range(5):
            done = subprocess.run([sys.executable, "manage.py", "demo"], cwd=ROOT, env=desk.environment(), capture_output=True, text=True)
            assert done.returncode == 0 and "filled" in done.stdout, (number, done.stdout, done.stderr)
        assert desk.call("GET", "/api/risk/status")[0] == 200
