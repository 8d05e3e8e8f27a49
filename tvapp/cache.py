"""REDIS_URL: counts of requests that all machines share. Redis is a convenience here: while it is away each process counts for itself.

Only used when REDIS_URL is set. Nothing an order, a limit or an answer needs is kept in it.
"""

import json
import logging
from collections.abc import Callable
from typing import Any

from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache, RedisCacheClient
from redis.exceptions import RedisError

from tvapp.lib import clock

AWAY_S = 5.0
WAIT_S = 0.25  # nobody waits longer than that for a count, and then nobody asks for AWAY_S
logger = logging.getLogger(__name__)


class Plain:
    """Values as JSON. Django's own way is pickle, by which whoever can write to Redis could run code in the web process."""

    @staticmethod
    def dumps(value: Any) -> int | str:
        return value if type(value) is int else json.dumps(value)

    @staticmethod
    def loads(data: bytes) -> Any:
        return json.loads(data)


class Client(RedisCacheClient):
    def incr(self, key: str, delta: int) -> int:
        """Raises ValueError when there is no such count, also when its time ran out between the look and the step: it would stay for ever."""
        count, client = super().incr(key, delta), self.get_client(key, write=True)
        if count == delta and client.ttl(key) < 0:
            client.delete(key)
            raise ValueError(f"{key} ended just now")
        return count


def _shared(name: str) -> Callable[..., Any]:
    def call(self: "SharedCache", *args: Any, **kwargs: Any) -> Any:
        if clock.monotonic() >= SharedCache.not_before:
            try:
                return getattr(RedisCache, name)(self, *args, **kwargs)
            except (RedisError, OSError) as problem:
                SharedCache.not_before = clock.monotonic() + AWAY_S
                logger.warning("Redis does not answer (%s): this process counts requests for itself for %.0f s", type(problem).__name__, AWAY_S)
        return getattr(self.own, name)(*args, **kwargs)

    return call


class SharedCache(RedisCache):
    """Django's Redis cache that never fails: what Redis does not answer is done in this process's memory."""

    not_before = 0.0  # of this process: all its threads have the same Redis

    def __init__(self, server: list[str], params: dict[str, Any]):
        super().__init__(server, params)
        self._class = Client
        self._options = {"serializer": Plain, "socket_connect_timeout": WAIT_S, "socket_timeout": WAIT_S, **self._options}
        self.own = LocMemCache("while-redis-is-away", {**params, "OPTIONS": {}})

    add, get, set, touch, delete = _shared("add"), _shared("get"), _shared("set"), _shared("touch"), _shared("delete")
    get_many, set_many, delete_many = _shared("get_many"), _shared("set_many"), _shared("delete_many")
    has_key, incr, clear = _shared("has_key"), _shared("incr"), _shared("clear")
