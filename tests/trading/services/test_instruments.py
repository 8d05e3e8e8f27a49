"""The day's list from the simulator by the official client, or from a file; when it is due, and what waits for it."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
import time_machine

from brokers import instruments as loader
from brokers.kitesim import instruments as sim
from brokers.kitesim import server
from brokers.kitesim.state import Simulator
from brokers.models import Environment, Instrument
from tests import factories as make
from tests.brokers.kitesim.conftest import START, Bench
from tests.brokers.listing import MONDAY, of_day
from trading.models import SystemEvent
from trading.services import doorbell, instruments
from trading.tasks import load_instruments
from tvapp.lib import clock
from tvapp.lib.errors import AppError

D = Decimal
AT = datetime.fromisoformat(START)

pytestmark = pytest.mark.django_db


@pytest.fixture
def now():
    with time_machine.travel(AT, tick=False) as moved:
        yield moved


@pytest.fixture
def kite(now, settings):
    with server.running(sim=Simulator(redirect_url="http://127.0.0.1:1/callback")) as running:
        settings.KITE_ROOT_URL = running.url
        bench = Bench(running)
        bench.clock(frozen=True, at=START)
        yield bench


@pytest.fixture
def account(kite):
    """Never logged in."""
    return make.BrokerAccountFactory(name="kite", broker="zerodha", environment=Environment.SIM, api_key="simkey")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "instruments.csv"
    path.write_text(sim.csv_text(sim.standard(MONDAY)))
    return str(path)


def event() -> tuple[str, str]:
    last = SystemEvent.objects.order_by("-id")[0]
    return last.code, last.message


def test_it_loads_the_brokers_list_without_a_login(account):
    result = instruments.load(account=account)
    assert result.added == len(sim.standard(MONDAY)) == Instrument.objects.count()
    assert Instrument.objects.get(tradingsymbol="NIFTY26NOVFUT").freeze == 1755
    assert event() == ("INSTRUMENTS_LOADED", f"Instruments loaded from kite. {result}")


def test_it_loads_one_exchange(account):
    instruments.load(account=account, exchange="MCX")
    assert set(Instrument.objects.values_list("exchange", flat=True)) == {"MCX"}


@pytest.mark.parametrize("fault", [{"mode": "html_502"}, {"mode": "429"}, {"mode": "drop_after"}, {"mode": "malformed"}])
def test_it_keeps_the_old_list_when_the_broker_has_none(account, kite, fault):
    loader.load(of_day(), as_of=AT - timedelta(days=1))
    before = list(Instrument.objects.order_by("id").values())
    kite.fault("instruments", times=9, **fault)
    with pytest.raises(AppError, match="The instruments were not loaded"):
        instruments.load(account=account)
    assert list(Instrument.objects.order_by("id").values()) == before
    assert event()[0] == "INSTRUMENTS_FAILED"


def test_it_loads_a_file_as_of_when_it_was_written(now, file):
    result = instruments.load(file=file)
    row = Instrument.objects.get(tradingsymbol="INFY", exchange="NSE")
    assert (result.seen, row.tick, row.name) == (len(sim.standard(MONDAY)), D("0.05"), "INFOSYS")
    assert row.as_of <= clock.now()


def test_it_counts_the_lines_of_a_file_that_make_no_sense(now, tmp_path):
    path = tmp_path / "odd.csv"
    path.write_text(sim.csv_text(sim.standard(MONDAY)) + "1,1,,,,,,,,,,\n")
    assert instruments.load(file=str(path)).skipped == 1


@pytest.mark.parametrize(("text", "words"), [(None, "cannot be read: No such file"), ("a,b\n1,2\n", "has 1 rows and none makes sense"), ("", "is empty")])
def test_it_says_why_a_file_cannot_be_loaded(db, tmp_path, text, words):
    path = tmp_path / "list.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(AppError, match=words):
        instruments.load(file=str(path))


# ---------------------------------------------------------------------------- by itself
def test_it_loads_once_a_day_from_a_quarter_past_eight(account, now):
    now.move_to(AT.replace(hour=8, minute=0))
    assert "new" in load_instruments(account.pk)  # there never was a list
    assert load_instruments(account.pk) == "nothing"
    now.move_to(AT.replace(hour=8, minute=14))
    assert load_instruments() == "nothing"
    now.move_to(AT.replace(hour=8, minute=15))
    assert "0 new, 0 changed" in load_instruments()
    assert load_instruments() == "nothing"


def test_it_tries_again_and_tells_one_trouble_once_a_day(account, kite, now):
    kite.fault("instruments", "html_502", times=3)
    assert ["not loaded" in load_instruments() for _ in range(3)] == [True] * 3
    assert SystemEvent.objects.filter(code="INSTRUMENTS_FAILED").count() == 1
    assert "new" in load_instruments()


def test_a_list_of_one_exchange_is_not_the_list_of_the_day(account):
    instruments.load(account=account, exchange="NSE")
    assert instruments.is_due(clock.now())


def test_it_does_nothing_by_itself_without_an_account_that_has_a_list(now):
    make.BrokerAccountFactory()
    assert load_instruments() == "nothing" and not SystemEvent.objects.exists()


def test_it_asks_a_connected_account_first(account, settings):
    other = make.BrokerAccountFactory(broker="zerodha", environment=Environment.SIM, api_key="other")
    assert instruments.source() == account
    other.session = make.BrokerSessionFactory(account=other, state="ACTIVE", expires_at=clock.now() + timedelta(hours=1))
    assert instruments.source() == other


def test_it_rings_the_cluster_that_sends_no_orders(db):
    from django_q.models import OrmQ

    doorbell.ring_instruments(7)
    assert OrmQ.objects.get().key == doorbell.BATCH


# ---------------------------------------------------------------------------- what waited
def test_what_waited_for_the_list_is_planned_anew(account, desk, now):
    lots = desk.order("manual", symbol="NSE:NIFTY1!", trade={"product": "NRML", "quantity": 65})
    never = desk.order("manual", symbol="NSE:UNHEARD_OF")
    assert (lots.instrument, lots.status_reason) == (None, "INSTRUMENT_UNKNOWN")
    instruments.load(account=account)
    lots.refresh_from_db()
    never.refresh_from_db()
    assert (lots.symbol, lots.status, lots.status_reason, lots.quantity) == ("NFO:NIFTY26NOVFUT", "WAITING", "", 65)
    assert never.instrument is None
    assert lots.events.last().text == "instrument list looked again. NSE:NIFTY1! is NFO:NIFTY26NOVFUT, expiry 24 Nov 2026."
    assert event()[1].endswith("Found for 1 waiting order.")
