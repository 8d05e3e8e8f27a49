"""A simulated Kite, a desk that knows its address, and a clock that tests move."""

import os
from contextlib import contextmanager

import pytest
import time_machine

from brokers.kitesim import server
from brokers.kitesim.state import Simulator
from tests.brokers.kitesim.conftest import Bench
from tests.zerodha.road import START, Road

SCALE = "0.1"  # the same timers, ten times as fast: a client that waits for its answer in vain gives up after 1.5 s


@contextmanager
def standing(settings):
    """A desk that is logged in."""
    with server.running(sim=Simulator(redirect_url="http://127.0.0.1:1/callback")) as running, time_machine.travel(START, tick=False) as clock:
        running.sim.reset()
        settings.KITE_ROOT_URL = running.url
        os.environ["TVAPP_TIME_SCALE"] = SCALE
        road = Road(Bench(running), clock)
        road.log_in()
        yield road


@pytest.fixture
def road(db, settings, monkeypatch):
    monkeypatch.setenv("TVAPP_TIME_SCALE", SCALE)
    with standing(settings) as road:
        yield road
