"""Postbacks: valid, forged, replayed, doubled, out of order, oversized. At most they ask for a read; none of them moves an order."""

import hashlib
import itertools
import json
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.db import OperationalError
from django_q.models import OrmQ
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from brokers.models import SyncState
from tests import factories as make
from tests.security.rows import dump
from trading.models import SystemEvent
from trading.services import hints, polling
from tvapp.lib import clock
from tvapp.models import Heartbeat

SECRET, AT = "api-secret-1", "2026-11-23 10:00:01"
HINTS = {"brokers_syncstate", "django_q_ormq", "tvapp_heartbeat", "sqlite_sequence"}
pytestmark = pytest.mark.django_db


def zerodha(**more):
    return make.BrokerAccountFactory(**{"broker": "zerodha", "environment": "SIM", "api_key": "key1", "credentials": SECRET, **more})


@pytest.fixture
def account():
    return zerodha()


def said(order_id="261123000000001", at=AT, secret=SECRET, **more) -> dict:
    checksum = hashlib.sha256(f"{order_id}{at}{secret}".encode()).hexdigest()
    return {"order_id": order_id, "order_timestamp": at, "checksum": checksum, "status": "COMPLETE", "filled_quantity": 10, **more}


def post(client, account, body, token=None):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.generic("POST", f"/postback/zerodha/{token or account.postback_token}", raw, content_type="application/json")


def asked() -> int:
    return OrmQ.objects.count()


def test_it_asks_for_a_read_when_the_broker_posts(account, client):
    answer = post(client, account, said())
    assert (answer.status_code, answer.json()) == (200, {"received": True})
    assert asked() == 1 and SyncState.objects.get(account=account).wanted_at


FORGED = {
    "other secret": said(secret="guess"), "other order": said() | {"order_id": "261123000000002"}, "other time": said() | {"order_timestamp": "x"},
    "no checksum": {k: v for k, v in said().items() if k != "checksum"}, "no text": said() | {"checksum": 7}, "surrogate": said() | {"checksum": "\ud800"},
    "list": [said()], "null": None, "broken": b'{"order_id": ', "deep": b"[" * 9000, "no utf-8": b'{"order_id": "\xff"}', "empty": b"",
    "too large": said(filler="x" * 17000), "huge": b"x" * 2_000_000,
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_it_answers_a_forged_one_alike_and_writes_nothing(account, client, name):
    genuine, before = post(client, zerodha(), said()), dump()
    answer = post(client, account, FORGED[name])
    assert (answer.status_code, answer.content) == (200, genuine.content)
    assert dump() == before and hints.refused_postbacks(account.pk) == 1


def test_it_answers_alike_at_an_address_that_is_nobodys(account, client):
    before = dump()
    assert post(client, account, said(), token="x" * 32).json() == {"received": True}
    assert dump() == before


def test_it_takes_no_accounts_checksum_without_a_secret(client):
    account, before = zerodha(credentials=None), dump()
    for secret in ("", "None"):
        post(client, account, said(secret=secret))
    assert dump() == before


def test_it_uses_the_desks_own_app_when_the_account_has_none(client, settings):
    settings.KITE_API_SECRET = "desk-secret"
    post(client, make.BrokerAccountFactory(broker="zerodha"), said(secret="desk-secret"))
    assert asked() == 1


def test_it_reads_once_for_many_and_once_more_for_what_came_meanwhile(account, client):
    for number in range(20):
        post(client, account, said(str(number)))
    assert asked() == 1
    Heartbeat.objects.update(at=clock.now() - timedelta(seconds=10))
    polling.ring_due()
    assert asked() == 2


def test_it_takes_a_repeat_for_nothing_new(account, client):
    post(client, account, said())
    before = dump()
    post(client, account, said())
    assert dump() == before


def test_it_answers_when_the_database_is_busy(account, client, monkeypatch):
    def busy(account_id):
        raise OperationalError("database is locked")

    monkeypatch.setattr(polling, "want", busy)
    assert post(client, account, said()).status_code == 200


def test_it_tells_of_a_flood_once_an_hour(account, client):
    for number in range(2 * hints.FLOOD):
        post(client, account, said(str(number), secret="guess"))
    event = SystemEvent.objects.get()
    assert (event.level, event.code, event.data) == ("WARNING", "POSTBACK_FLOOD", {"account_id": account.pk, "count": hints.FLOOD})
    assert asked() == 0


def test_it_takes_nothing_but_posts(account, client):
    assert client.get(f"/postback/zerodha/{account.postback_token}").status_code == 405


def test_it_gives_every_account_an_address_nobody_guesses(account, settings):
    settings.BASE_URL = "https://desk.example/"
    other = zerodha()
    assert hints.postback_url(account) == f"https://desk.example/postback/zerodha/{account.postback_token}"
    assert len(account.postback_token) == 32 and account.postback_token != other.postback_token


def test_it_keeps_the_address_out_of_the_log(account, client, caplog):
    from tvapp.lib import log

    with caplog.at_level("INFO"):
        post(client, account, said())
    line = next(r.getMessage() for r in caplog.records if "/postback/" in r.getMessage())
    assert account.postback_token not in log.safe(line)


STATUSES = ["COMPLETE", "CANCELLED", "REJECTED", "UPDATE", "OPEN", "nonsense"]
BODIES = st.builds(said, st.sampled_from(["1", "2", "3"]), secret=st.sampled_from([SECRET, SECRET, "guess"]), status=st.sampled_from(STATUSES),
                   filled_quantity=st.integers(0, 20), average_price=st.just(1), tag=st.just("ours"))  # fmt: skip


class TestState(TestCase):
    @settings(max_examples=25, deadline=None)
    @given(st.lists(BODIES, max_size=8), st.randoms(use_true_random=False))
    def test_it_never_moves_an_order_whatever_is_posted_in_whatever_order(self, bodies, random):
        account, _ = zerodha(), cache.clear()  # an hour's flood counts from the start again
        for number, status in enumerate(["OPEN", "PARTIAL", "COMPLETE", "UNKNOWN"], 1):
            make.OrderFactory(account=account, status=status, broker_order_id=str(number))
        before = dump(HINTS)
        bodies = bodies * 2
        random.shuffle(bodies)
        for body in itertools.chain(bodies, reversed(bodies)):
            post(self.client, account, body)
        assert dump(HINTS) == before
