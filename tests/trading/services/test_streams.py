"""Who is listened to, and what a word of a stream leads to: a read, and nothing else."""

import threading
from datetime import timedelta

import pytest
import time_machine
from django.db.models import F
from django_q.models import OrmQ

from brokers import registry
from brokers.errors import AuthExpired
from brokers.models import BrokerSession, SyncState
from tests import factories as make
from tests.security.rows import dump
from trading.management.commands import brokerstream
from trading.models import SystemEvent
from trading.services import polling, streams
from tvapp.lib import clock
from tvapp.models import Heartbeat

pytestmark = pytest.mark.django_db
HINTS = {"brokers_syncstate", "django_q_ormq", "tvapp_heartbeat", "sqlite_sequence"}


class Stub:
    """A stream that is opened and closed by hand."""

    def __init__(self, account, tell):
        self.account_id, self.say = account.pk, lambda word: tell(account.pk, word)
        self.alive, self.refused = False, False

    def start(self):
        self.alive = True

    def stop(self):
        self.alive = False

    def join(self, seconds):
        pass

    def is_alive(self):
        return self.alive


@pytest.fixture
def opened(monkeypatch):
    made = []

    def make_one(account, tell):
        made.append(Stub(account, tell))
        return made[-1]

    monkeypatch.setattr(registry, "stream_for", make_one)
    return made


@pytest.fixture
def now():
    with time_machine.travel("2026-11-23T05:00:00Z", tick=False) as hand:
        yield hand


def logged_in(name="kite", **session):
    account = make.BrokerAccountFactory(broker="zerodha", environment="SIM", name=name, state="READY", api_key="k")
    facts = {"state": "ACTIVE", "issued_at": clock.now(), "expires_at": clock.now() + timedelta(hours=2), **session}
    make.BrokerSessionFactory(account=account, **facts)
    return account


@pytest.fixture
def account(now):
    return logged_in()


def asked() -> int:
    return OrmQ.objects.count()


def test_it_opens_one_stream_for_each_login(account, opened):
    other = logged_in("second")
    logged_in("over", expires_at=clock.now()), logged_in("out", state="EXPIRED"), make.BrokerAccountFactory()
    listening = streams.Streams()
    assert listening.keep() == listening.keep() == [account.pk, other.pk]
    assert [one.account_id for one in opened] == [account.pk, other.pk] and all(one.alive for one in opened)


@pytest.mark.parametrize("end", [{"state": "EXPIRED"}, {"state": "ENDING"}, {"expires_at": clock.now() - timedelta(days=999)}])
def test_it_closes_the_stream_of_a_login_that_is_over(account, opened, end):
    listening = streams.Streams()
    listening.keep()
    BrokerSession.objects.update(**end)
    assert listening.keep() == [] and not opened[0].alive


def test_it_closes_the_stream_of_an_account_that_is_switched_off(account, opened):
    listening = streams.Streams()
    listening.keep()
    type(account).objects.update(enabled=False)
    assert listening.keep() == [] and not opened[0].alive


def test_it_opens_another_after_the_next_login(account, opened, now):
    listening = streams.Streams()
    listening.keep()
    now.shift(5)
    BrokerSession.objects.update(issued_at=clock.now())
    listening.keep()
    assert [one.alive for one in opened] == [False, True]


def test_it_leaves_a_refused_one_alone_until_the_next_login(account, opened, now):
    listening = streams.Streams()
    listening.keep()
    opened[0].alive, opened[0].refused = False, True
    for _ in range(3):
        listening.keep()
    assert len(opened) == 1
    BrokerSession.objects.update(issued_at=clock.now() + timedelta(seconds=9))
    listening.keep()
    assert len(opened) == 2


def test_it_opens_one_again_whose_thread_broke(account, opened):
    listening = streams.Streams()
    listening.keep()
    opened[0].alive = False
    listening.keep()
    assert [one.alive for one in opened] == [False, True]


def test_it_tries_again_where_none_may_be_opened(account, monkeypatch):
    def refuse(account, tell):
        raise AuthExpired("NOT_LOGGED_IN", "kite is not logged in.")

    monkeypatch.setattr(registry, "stream_for", refuse)
    assert streams.Streams().keep() == []


@pytest.fixture
def on(monkeypatch, tmp_path):
    """Has the machine of this name look after its streams."""

    def look(name, listening):
        with monkeypatch.context() as there:
            there.setenv("TVAPP_HOME", str(tmp_path / name))
            return listening.keep()

    return look


def _passes(seconds: float) -> None:
    """By the database's clock, which no test sets."""
    Heartbeat.objects.update(at=F("at") - timedelta(seconds=seconds))


def test_it_listens_to_an_account_on_one_machine_only(account, opened, on):
    one, two = streams.Streams(), streams.Streams()
    assert [on("one", one), on("two", two), on("one", one)] == [[account.pk], [], [account.pk]]
    for _ in range(3):  # the machine that listens renews its lease
        _passes(streams.LEASE_S - 1)
        assert [on("one", one), on("two", two)] == [[account.pk], []]
    other = logged_in("second")
    assert [on("two", two), on("one", one)] == [[other.pk], [account.pk]]
    assert len(opened) == 2


@pytest.mark.parametrize("seconds", [streams.LEASE_S + 1, -3600])  # an hour back: the database's clock was set
def test_it_takes_over_when_a_machine_is_lost_and_leaves_it_there(account, opened, on, seconds):
    lost, heir = streams.Streams(), streams.Streams()
    assert [on("lost", lost), on("heir", heir)] == [[account.pk], []]
    _passes(seconds)
    assert [on("heir", heir), on("lost", lost)] == [[account.pk], []]
    assert [one.alive for one in opened] == [False, True]


def test_it_listens_on_at_once_when_only_its_process_is_started_again(account, opened):
    streams.Streams().keep()
    assert streams.Streams().keep() == [account.pk]


@pytest.mark.parametrize("word", ["OPEN", "ORDER", "REFUSED", "UNTRUSTED"])
def test_it_asks_for_a_read_at_every_word(account, opened, word):
    listening = streams.Streams()
    listening.keep()
    opened[0].say(word)
    assert listening.hear(1) == 1
    assert asked() == 1 and SyncState.objects.get().wanted_at == clock.now()


def test_it_makes_one_read_of_many_words_and_one_more_of_what_came_meanwhile(account, opened, now):
    listening = streams.Streams()
    listening.keep()
    for _ in range(50):
        opened[0].say("ORDER")
        listening.hear(0.01)
    assert asked() == 1
    now.shift(polling.GAP_S)
    polling.ring_due()
    assert asked() == 2


def test_it_moves_no_order_whatever_is_said(account, opened):
    for status in ("OPEN", "PARTIAL", "COMPLETE", "UNKNOWN"):
        make.OrderFactory(account=account, owner=account.owner, strategy=None, status=status)
    listening, before = streams.Streams(), dump(HINTS)
    listening.keep()
    for word in ("OPEN", "ORDER", "ORDER", "nonsense"):
        opened[0].say(word)
        listening.hear(0.01)
    assert dump(HINTS) == before


@pytest.mark.parametrize(("word", "code", "level"), [("REFUSED", "STREAM_REFUSED", "INFO"), ("UNTRUSTED", "STREAM_UNTRUSTED", "ERROR")])
def test_it_says_once_an_hour_why_nothing_is_heard(account, opened, now, word, code, level):
    listening = streams.Streams()
    listening.keep()
    for _ in range(3):
        opened[0].say(word)
        listening.hear(0.01)
    event = SystemEvent.objects.get()
    assert (event.code, event.level, event.owner) == (code, level, account.owner)
    now.shift(3601)
    opened[0].say(word)
    listening.hear(0.01)
    assert SystemEvent.objects.count() == 2


def test_it_waits_no_longer_than_it_is_told_and_ends_when_it_is_woken(opened):
    listening = streams.Streams()
    assert listening.hear(0.01) == 0
    threading.Timer(0.05, listening.wake).start()
    assert listening.hear(30) == 1


def test_it_goes_on_after_the_database_was_away(account, opened, caplog):
    from tests.tvapp.test_commands import broken_database

    listening, ended = streams.Streams(), threading.Event()
    with broken_database():
        brokerstream.work(listening, 0.01, ended)
    assert "they go on" in caplog.text
    brokerstream.work(listening, 0.01, ended)
    assert opened[0].alive
    listening.close()
    assert not opened[0].alive


# ------------------------------------------------------------------------ the clock
def test_it_goes_on_reading_when_the_clock_is_set_back(account, now):
    caps = polling.caps_of(account)
    assert polling.ring_due() and polling.take_turn(account.pk, caps)
    assert not polling.ring_due() and not polling.take_turn(account.pk, caps)
    now.shift(-300)
    assert polling.ring_due() and polling.take_turn(account.pk, caps)
    assert not polling.ring_due() and not polling.take_turn(account.pk, caps)


def test_it_keeps_a_pause_the_broker_asked_for(account, now):
    caps = polling.caps_of(account)
    polling.pause(account.pk, timedelta(minutes=10), caps)
    now.shift(59)
    assert not polling.take_turn(account.pk, caps)
    now.shift(1)
    assert polling.take_turn(account.pk, caps)
