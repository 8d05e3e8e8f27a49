"""Request rates, per person or address. Counters live in the cache; without REDIS_URL each process counts for itself."""

from django.conf import settings
from rest_framework.throttling import SimpleRateThrottle

from tvapp.people.address import client_address


def parse(rate: str) -> tuple[int, int]:
    """`400/10s` is 400 requests in any 10 seconds."""
    count, _, window = rate.partition("/")
    return int(count), int(window.rstrip("s"))


class _Throttle(SimpleRateThrottle):
    def get_rate(self) -> str:
        return settings.THROTTLES[self.scope]

    def parse_rate(self, rate: str) -> tuple[int, int]:
        return parse(rate)

    def get_cache_key(self, request, view) -> str | None:
        who = f"u{request.user.pk}" if request.user and request.user.is_authenticated else f"a{client_address(request)}"
        return f"throttle:{self.scope}:{who}"


class ReadThrottle(_Throttle):
    scope = "read"

    def allow_request(self, request, view) -> bool:
        return request.method not in ("GET", "HEAD", "OPTIONS") or super().allow_request(request, view)


class WriteThrottle(_Throttle):
    scope = "write"

    def allow_request(self, request, view) -> bool:
        return request.method in ("GET", "HEAD", "OPTIONS") or super().allow_request(request, view)


class OrderThrottle(_Throttle):
    scope = "order"


class AnonThrottle(_Throttle):
    """Sign-in attempts, by address."""

    scope = "anon"
