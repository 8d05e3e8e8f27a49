"""The shared cache: what is counted there is counted on without it, and nobody gets another answer because Redis is away."""

import json

import pytest
from django.core.cache import cache
from redis.exceptions import ConnectionError as RedisAway

from tests.process.desk import free_port
from tvapp import cache as shared
from tvapp import checks
from tvapp.lib import clock


@pytest.fixture
def gone(settings, monkeypatch):
    """The desk's cache is at a Redis that is not there."""
    monkeypatch.setattr(shared.SharedCache, "not_before", 0.0)
    settings.CACHES = {"default": {"BACKEND": "tvapp.cache.SharedCache", "LOCATION": [f"redis://127.0.0.1:{free_port()}/0"], "KEY_PREFIX": "tvapp"}}
    yield cache
    cache.clear()


def test_it_counts_in_memory_while_redis_is_away(gone):
    assert [gone.add("tries", 1, 60), gone.add("tries", 1, 60), gone.incr("tries"), gone.get("tries")] == [True, False, 2, 2]
    gone.set("seen", [1.5, 2.5], 60)
    assert gone.get("seen") == [1.5, 2.5] and gone.delete("seen") and gone.get("seen", "none") == "none"
    with pytest.raises(ValueError):
        gone.incr("never-counted")


def test_it_asks_a_redis_that_is_away_again_only_after_a_while(gone, monkeypatch):
    asked = []

    def away(*_, **__):
        asked.append(1)
        raise RedisAway("refused")

    monkeypatch.setattr(shared.RedisCache, "get", away)
    now = clock.monotonic()
    monkeypatch.setattr(clock, "monotonic", lambda: now)
    assert [gone.get("a"), gone.get("b"), len(asked)] == [None, None, 1]
    monkeypatch.setattr(clock, "monotonic", lambda: now + shared.AWAY_S)
    assert gone.get("c") is None and len(asked) == 2


@pytest.mark.django_db
def test_it_answers_alerts_as_ever_while_redis_is_away(gone, client):
    body = {"secret": "not-a-secret-of-this-desk", "strategy_name": "demo-auto", "symbol": "NSE:INFY", "trade_details": {"order_action": "BUY", "quantity": 1}}
    answers = [client.post("/webhook/tradingview", json.dumps(body), content_type="application/json").status_code for _ in range(2)]
    assert answers == [401, 401]
    assert gone.get("webhook:refused:127.0.0.1") == 2


@pytest.mark.parametrize(("address", "found"), [("", 0), ("redis://:pass@cache:6379/0", 0), ("cache:6379", 1), ("redis://cache:port", 1)])
def test_it_refuses_an_address_that_cannot_be_read_before_the_desk_starts(settings, address, found):
    settings.REDIS_URL = address
    assert len(checks.redis_address_can_be_read()) == found


def test_it_keeps_values_without_pickles():
    stored = [shared.Plain.dumps(value) for value in (3, True, [1.5, 2.5], "text", None)]
    assert stored == [3, "true", "[1.5, 2.5]", '"text"', "null"]
    assert [shared.Plain.loads(str(one).encode()) for one in stored] == [3, True, [1.5, 2.5], "text", None]


class Ended:
    """A Redis in which a count ends right after somebody looked whether it is there."""

    def __init__(self):
        self.deleted = []

    def exists(self, key):
        return True

    def incr(self, key, delta):
        return delta

    def ttl(self, key):
        return -1

    def delete(self, key):
        self.deleted.append(key)
        return 1


def test_it_leaves_no_count_behind_that_never_ends(monkeypatch):
    redis = Ended()
    client = shared.Client(["redis://127.0.0.1:1"])
    monkeypatch.setattr(client, "get_client", lambda *_, **__: redis)
    with pytest.raises(ValueError):
        client.incr("tries", 1)
    assert redis.deleted == ["tries"]
