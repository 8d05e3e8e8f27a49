"""The whole desk as real processes: it starts, takes an alert to its fill, survives the death of everything, and ends."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tvapp import home

pytestmark = pytest.mark.process
MANAGE = [sys.executable, str(home.ROOT / "manage.py")]
PATIENCE = 60


class Desk:
    """`bin/run` without the packages: the supervisor, on a free port and a fresh data directory."""

    def __init__(self, place: Path):
        ours = {"TVAPP_HOME": str(place), "PORT": "0", "TRADINGVIEW_WEBHOOK_SECRET": "", "LOG_LEVEL": "INFO"}
        self.env = {**{k: v for k, v in os.environ.items() if k not in ("TVAPP_TEST", "TVAPP_TIME_SCALE")}, **ours}
        self.log = place.with_suffix(".log")
        with self.log.open("w") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "tvapp.supervisor"], cwd=home.ROOT, env=self.env, stdout=log, stderr=log)
        self.place = place

    def wait_until_ready(self) -> None:
        end = time.monotonic() + PATIENCE
        while not (found := re.search(r"ready: http://127.0.0.1:(\d+)", self.log.read_text())):
            assert self.process.poll() is None and time.monotonic() < end, self.log.read_text()
            time.sleep(0.05)
        self.env["PORT"] = found[1]

    def command(self, *words: str) -> subprocess.CompletedProcess:
        return subprocess.run([*MANAGE, *words], env=self.env, capture_output=True, text=True, timeout=PATIENCE)

    def below(self) -> list[int]:
        """Everything that runs for this data directory, the supervisor excepted."""
        mark, found = f"TVAPP_HOME={self.place}".encode(), []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != self.process.pid:
                try:
                    environment = (entry / "environ").read_bytes()
                except OSError:
                    continue
                if mark in environment.split(b"\0"):
                    found.append(int(entry.name))
        return found


@pytest.fixture
def desk(tmp_path):
    one = Desk(tmp_path / "home")
    yield one
    one.process.kill()
    one.process.wait()


def test_it_takes_alerts_before_and_after_everything_was_killed(desk):
    desk.wait_until_ready()
    assert "filled 1 at 1500" in desk.command("demo").stdout
    assert desk.command("doctor").returncode == 0
    for pid in desk.below():
        os.kill(pid, signal.SIGKILL)
    again = desk.command("demo", "--quantity", "2")
    assert "filled 2 at 1500" in again.stdout, again.stdout + again.stderr
    desk.process.send_signal(signal.SIGTERM)
    assert desk.process.wait(10) == 0
    assert desk.below() == []


def test_it_leaves_nobody_behind_when_the_supervisor_is_killed(desk):
    desk.wait_until_ready()
    assert len(desk.below()) > 4
    desk.process.kill()
    end = time.monotonic() + 2
    while desk.below():
        assert time.monotonic() < end, desk.below()
        time.sleep(0.02)
