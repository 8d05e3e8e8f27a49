"""The shared budget of calls: four processes and one desk, judged by what the broker received. And what a spent budget means for a call."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from decimal import Decimal as D
from pathlib import Path

import pytest

from brokers.errors import LimitCode, RateLimited
from brokers.kitesim import faults
from brokers.kitesim.answers import Refused, refusal
from brokers.models import RateBucket
from brokers.registry import adapter_for
from tvapp.lib import clock

ROOT = Path(__file__).resolve().parents[3]
SECOND, AT_LEAST_S, GIVE_UP_S = 1.0, 2.5, 300
DESK = """
import json, os, pathlib, sys, time
import django; django.setup()
from datetime import timedelta
from decimal import Decimal as D
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connections
from brokers.errors import RateLimited
from brokers.models import BrokerAccount, BrokerSession
from brokers.registry import adapter_for
from brokers.types import Instrument, Kind, OrderRequest, OrderType, Product, Side
from tvapp.lib import clock, ids

for app in ("tvapp", "brokers"):
    call_command("migrate", app, verbosity=0)
facts = {"broker": "zerodha", "environment": "SIM", "api_key": "simkey", "credentials": "simsecret"}
account = BrokerAccount.objects.create(owner=get_user_model().objects.create_user("trader"), name="kite", **facts)
BrokerSession.objects.create(account=account, state="ACTIVE", access_token=sys.argv[1], expires_at=clock.now() + timedelta(hours=1))
connections.close_all()
infy = Instrument("NSE:INFY", "NSE", "INFY", Kind.EQ, D("0.05"), D(1))

def send(name, closing):
    adapter, tried, sent = adapter_for(BrokerAccount.objects.get()), 0, []
    side, price = (Side.SELL, D(1600)) if closing else (Side.BUY, D(1400))
    begun = time.monotonic()
    while tried < 50 or len(sent) < 4 or time.monotonic() < begun + AT_LEAST_S:
        tried, before = tried + 1, time.time()
        try:
            adapter.place(OrderRequest(ids.order_tag("SIM"), infy, side, D(1), OrderType.LIMIT, Product.MIS, price=price, reduce_only=closing))
            sent.append([before, time.time()])
        except RateLimited as exc:
            assert exc.local, exc
            time.sleep(0.01)
    pathlib.Path(sys.argv[2], name).write_text(json.dumps([tried, sent]))

workers = []
for name in ("entries 1", "entries 2", "entries 3", "exits"):
    if pid := os.fork():
        workers.append(pid)
    else:
        send(name, name == "exits")
        os._exit(0)
sys.exit(max(os.waitpid(pid, 0)[1] for pid in workers))
"""


def fullest(calls: list[list[float]]) -> int:
    """The most calls that began and ended within one second, wherever it begins: a stalled machine makes a call longer, never two of them closer."""
    return max(sum(1 for first, last in calls if begin <= first and last < begin + SECOND) for begin, _ in calls)


def test_it_holds_the_brokers_limit_over_four_processes_and_lets_exits_through(sim, tmp_path):
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "tvapp.settings", "TVAPP_HOME": str(tmp_path), "KITE_ROOT_URL": sim.url, "TVAPP_DB_WAIT": "30"}
    code = DESK.replace("AT_LEAST_S", str(AT_LEAST_S))
    assert subprocess.run([sys.executable, "-c", code, sim.access_token(), str(tmp_path)], cwd=ROOT, env=env, timeout=GIVE_UP_S).returncode == 0
    told = {name: json.loads((tmp_path / name).read_text()) for name in ("entries 1", "entries 2", "entries 3", "exits")}
    calls = [call for _, sent in told.values() for call in sent]
    assert len(sim.requests("POST", "place")) == len(sim.accepted()) == len(calls) >= 16
    assert sum(tried for tried, _ in told.values()) >= 200
    assert fullest(calls) <= 10


# ---------------------------------------------------------------------------- what a spent budget means
@pytest.fixture
def limited(account):
    return adapter_for(account)


def spend(account, kind: str = "order", window: int = 1, until: timedelta = timedelta(minutes=1)) -> None:
    RateBucket.objects.update_or_create(account=account, kind=kind, window_s=window, defaults={"blocked_until": clock.now() + until})


def test_it_sends_nothing_without_a_place_in_the_budget(sim, account, limited, order):
    spend(account)
    with pytest.raises(RateLimited) as refused:
        limited.place(order())
    assert refused.value.local and refused.value.sent is False and refused.value.retry_after > 50
    assert sim.requests("POST", "place") == []


def test_it_reads_while_no_order_may_be_sent(account, limited):
    spend(account)
    assert limited.list_orders() == ()


def test_it_stops_after_the_broker_said_too_many(sim, account, limited, order):
    sim.fault("place", "429")
    with pytest.raises(RateLimited) as told:
        limited.place(order())
    with pytest.raises(RateLimited) as kept:
        limited.place(order())
    assert (told.value.local, kept.value.local) == (False, True) and told.value.retry_after >= 1
    assert len(sim.requests("POST", "place")) == 1


def test_it_places_nothing_more_on_a_day_that_is_full_and_still_cancels(sim, account, limited, order):
    ack = limited.place(order(price=D(1490)))
    spend(account, window=86400, until=timedelta(hours=3))
    with pytest.raises(RateLimited) as refused:
        limited.place(order(price=D(1490)))
    assert (refused.value.code, refused.value.local) == (LimitCode.DAILY_ORDER_CAP, True)
    limited.cancel(ack.key)
    assert len(sim.requests("POST", "place")) == 1


def test_it_counts_refused_orders_against_the_day(sim, account, limited, order):
    sim.fault("place", "400_margin")
    with pytest.raises(Exception, match="Insufficient funds"):
        limited.place(order())
    assert RateBucket.objects.get(account=account, window_s=86400).used == 1


def test_it_takes_the_brokers_word_that_the_day_is_full(sim, account, limited, order, monkeypatch):
    full = Refused("Maximum allowed order requests exceeded.")
    monkeypatch.setitem(faults.INSTEAD, "400_margin", lambda: refusal(full))
    sim.fault("place", "400_margin")
    with pytest.raises(RateLimited) as told:
        limited.place(order())
    midnight = clock.day_start(clock.trading_day(clock.now()) + timedelta(days=1))
    assert (told.value.code, told.value.local) == (LimitCode.DAILY_ORDER_CAP, False)
    assert abs(told.value.retry_after - (midnight - clock.now()).total_seconds()) < 60
    with pytest.raises(RateLimited):
        limited.place(order())
    assert len(sim.requests("POST", "place")) == 1


def test_it_lets_an_exit_use_what_entries_must_leave(account, limited, order):
    slot = int(clock.now().timestamp()) // 60
    RateBucket.objects.create(account=account, kind="order", window_s=60, slot=slot, used=260)
    with pytest.raises(RateLimited):
        limited.place(order())
    assert limited.place(order(reduce_only=True, price=D(1490))).key.broker_order_id
