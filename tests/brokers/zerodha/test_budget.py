"""The shared budget of calls: four processes and one desk, judged by what the broker received. And what a spent budget means for a call."""

import os
import subprocess
import sys
from datetime import datetime, timedelta
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
SECOND = timedelta(seconds=1)
FIRST = """
import sys; import django; django.setup()
from datetime import timedelta
from django.core.management import call_command
from django.contrib.auth import get_user_model
from brokers.models import BrokerAccount, BrokerSession
from tvapp.lib import clock
call_command("migrate", verbosity=0)
owner = get_user_model().objects.create_user("trader")
account = BrokerAccount.objects.create(owner=owner, name="kite", broker="zerodha", environment="SIM", api_key="simkey", credentials="simsecret")
BrokerSession.objects.create(account=account, state="ACTIVE", access_token=sys.argv[1])
"""
WORKER = """
import sys, time; import django; django.setup()
from decimal import Decimal as D
from brokers.kitesim import faults
from brokers.kitesim.answers import Refused, refusal
from brokers.errors import RateLimited
from brokers.models import BrokerAccount
from brokers.registry import adapter_for
from brokers.types import Instrument, Kind, OrderRequest, OrderType, Product, Side
from tvapp.lib import ids
infy = Instrument("NSE:INFY", "NSE", "INFY", Kind.EQ, D("0.05"), D(1))
adapter = adapter_for(BrokerAccount.objects.get())
closing = sys.argv[1] == "exits"
print("ready", flush=True); sys.stdin.readline()
tried = sent = 0
end = time.monotonic() + 5
while tried < 50 or time.monotonic() < end:
    tried += 1
    try:
        adapter.place(OrderRequest(ids.order_tag("SIM"), infy, Side.SELL if closing else Side.BUY, D(1), OrderType.LIMIT, Product.MIS,
                                   price=D(1600) if closing else D(1400), reduce_only=closing))
        sent += 1
    except RateLimited as exc:
        assert exc.local, exc
        time.sleep(0.03)
print(tried, sent)
"""


def run(code: str, *args: str, **env: str) -> subprocess.Popen:
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "tvapp.settings", **env}
    return subprocess.Popen([sys.executable, "-c", code, *args], cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def fullest(times: list[datetime], span: timedelta) -> int:
    """The most of these moments within one span, wherever it begins."""
    return max(sum(1 for at in times if begin <= at < begin + span) for begin in times)


def test_it_holds_the_brokers_limit_over_four_processes_and_lets_exits_through(sim, tmp_path):
    home = {"TVAPP_HOME": str(tmp_path), "KITE_ROOT_URL": sim.url}
    assert run(FIRST, sim.access_token(), **home).wait(120) == 0
    workers = [run(WORKER, kind, **home) for kind in ("entries", "entries", "entries", "exits")]
    assert [worker.stdout.readline() for worker in workers] == ["ready\n"] * 4
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    told = [[int(n) for n in worker.communicate(timeout=60)[0].split()] for worker in workers]
    arrived = [datetime.fromisoformat(row["at"]) for row in sim.requests("POST", "place")]
    assert len(arrived) == sum(sent for _, sent in told) == len(sim.accepted())
    assert sum(tried for tried, _ in told) >= 200
    assert fullest(arrived, SECOND) <= 10
    assert told[3][1] >= 3 and sum(sent for _, sent in told[:3]) >= 10


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
