"""The calls a broker allows an account, counted in the database: web, workers and every machine of the desk share one budget.

A window's count only grows by an atomic conditional UPDATE, so two processes never take the same place, and no lock is held during a call.
"""

import logging
import random
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import F, Q

from brokers import registry
from brokers.errors import LimitCode, RateLimited
from brokers.models import BrokerAccount, RateBucket
from tvapp.lib import clock, crash

logger = logging.getLogger("brokers.throttle")
DAY_S = 86400
SHARE = Decimal("0.8")  # of what the broker allows
ENTRIES = Decimal("0.8")  # of that: the rest is kept for cancels and exits
LATE = 3  # windows: one that another process began is not ended by a process whose look at the clock is this old
PATIENCE_S, SPREAD_S = 5.0, 0.1
FIRST_WAIT_S, LONGEST_WAIT_S, CALM_S = 1.0, 60.0, 120.0


def acquire(account: BrokerAccount, kind: str, *, closing: bool = False) -> None:
    """Takes a place for one call of `kind` (order, read, quote) in every window. RateLimited(local=True) when there is none.

    `closing`: a cancel or an exit; it may use the part of the order budget that entries must leave. Call it outside of any transaction.
    """
    with transaction.atomic():
        now = clock.now()  # after the wait for SQLite's one writer, which may take longer than a window
        for window, rate in sorted(rates(account, kind)):
            most = budget(rate, whole=closing or kind != "order")
            if not _take(account, kind, Window(window, most, max(1, _scaled(rate)), closing), now):
                raise _refusal(account, kind, window, most, now)
    crash.point("throttle.taken")


def wait(account: BrokerAccount, kind: str, most_s: float = PATIENCE_S) -> None:
    """`acquire` for what a person started and nothing else waits behind, like a day's list: it waits for its place up to `most_s` seconds."""
    end = clock.monotonic() + most_s
    while True:
        try:
            return acquire(account, kind)
        except RateLimited as full:
            left = full.retry_after or 0.0
            if clock.monotonic() + left > end:
                raise
        time.sleep(left + random.uniform(0, SPREAD_S))  # noqa: S311 - spread, no secret


@dataclass(frozen=True)
class Window:
    """One window of one kind of call: at most `most` calls in it, and at most `edge` in it and the one before together.

    Windows are cut by the clock, the broker's may lie across two of them: `edge` is its own figure, so no span of that length holds more.
    """

    seconds: int
    most: int
    edge: int
    closing: bool

    def slot(self, now: datetime) -> int:
        return slot_of(self.seconds, now)

    def open(self, now: datetime) -> Q:
        """Not stopped by the broker. A full day stops entries alone: a cancel is worth the try."""
        return Q() if self.seconds == DAY_S and self.closing else Q(blocked_until=None) | Q(blocked_until__lte=now)


def slot_of(window_s: int, now: datetime) -> int:
    """The number of the window that `now` is in; a day is a trading day in India."""
    return clock.trading_day(now).toordinal() if window_s == DAY_S else int(now.timestamp()) // window_s


def rates(account: BrokerAccount, kind: str) -> tuple[tuple[int, int], ...]:
    caps = registry.caps_for(account.broker)
    return {"order": caps.order_rates, "read": caps.read_rates, "quote": caps.quote_rates}[kind]


def budget(rate: int, *, whole: bool) -> int:
    """Calls a window may hold: 80 % of the broker's figure, and for entries 80 % of that."""
    return max(1, _scaled(rate * SHARE if whole else rate * SHARE * ENTRIES))


def _scaled(value: Decimal | int) -> int:
    """Tests that run the desk's timers shorter are allowed as many more calls in a second."""
    return int(value / Decimal(str(clock.time_scale())))


def _take(account: BrokerAccount, kind: str, window: Window, now: datetime) -> bool:
    """One place in this window, or False. Every step is one conditional UPDATE."""
    slot, before = window.slot(now), window.edge if window.seconds != DAY_S else None
    bucket = RateBucket.objects.filter(account=account, kind=kind, window_s=window.seconds)
    free = bucket.filter(window.open(now))
    for _ in range(2):  # another process may turn the window between two of our steps
        room = Q() if before is None else Q(previous__lt=before - F("used"))
        if free.filter(room, slot__range=(slot, slot + LATE), used__lt=window.most).update(used=F("used") + 1):
            return True
        room = Q() if before is None else Q(used__lt=before)
        if free.filter(room, slot=slot - 1).update(slot=slot, previous=F("used"), used=1):
            return True
        if free.exclude(slot__range=(slot - 1, slot + LATE)).update(slot=slot, previous=0, used=1):
            return True
        if bucket.exists():
            return False
        RateBucket.objects.bulk_create([RateBucket(account=account, kind=kind, window_s=window.seconds)], ignore_conflicts=True)
    return False


def _refusal(account: BrokerAccount, kind: str, window: int, most: int, now: datetime) -> RateLimited:
    bucket = RateBucket.objects.filter(account=account, kind=kind, window_s=window)
    blocked = bucket.filter(blocked_until__gt=now).values_list("blocked_until", flat=True).first()
    code = LimitCode.DAILY_ORDER_CAP if window == DAY_S else LimitCode.TOO_MANY_REQUESTS
    if blocked:
        words = f"the broker asked to wait until {blocked.astimezone(clock.IST):%H:%M:%S}"
        return RateLimited(code, words, local=True, retry_after=(blocked - now).total_seconds())
    span = {1: "second", 60: "minute", DAY_S: "day"}.get(window, f"{window} s")
    return RateLimited(code, f"the desk sends at most {most} a {span} here", local=True, retry_after=_until_next(window, now))


def _until_next(window: int, now: datetime) -> float:
    if window == DAY_S:
        return (clock.day_start(clock.trading_day(now) + timedelta(days=1)) - now).total_seconds()
    return window - now.timestamp() % window


def penalise(account: BrokerAccount, kind: str, retry_after: float | None = None) -> float:
    """The broker said 429: nothing of `kind` for a while, longer each time in a row. Returns the seconds."""
    now = clock.now()
    first = min((window for window, _ in rates(account, kind)), default=1)
    with transaction.atomic():
        RateBucket.objects.bulk_create([RateBucket(account=account, kind=kind, window_s=first)], ignore_conflicts=True)
        row = RateBucket.objects.select_for_update().get(account=account, kind=kind, window_s=first)
        calm = row.blocked_until is None or row.blocked_until < now - timedelta(seconds=CALM_S)
        row.strikes = 1 if calm else row.strikes + 1
        doubled = FIRST_WAIT_S * 2 ** min(row.strikes - 1, 10) * random.uniform(1, 1.25)  # noqa: S311 - spread, no secret
        wait = min(LONGEST_WAIT_S, retry_after or doubled)
        row.blocked_until = max(row.blocked_until or now, now + timedelta(seconds=wait))
        row.save(update_fields=["strikes", "blocked_until"])
    return wait


def block_day(account: BrokerAccount) -> float:
    """The broker takes no more orders today: nothing but cancels and exits is tried before the next day in India. Returns the seconds."""
    now = clock.now()
    until = clock.day_start(clock.trading_day(now) + timedelta(days=1))
    RateBucket.objects.bulk_create([RateBucket(account=account, kind="order", window_s=DAY_S)], ignore_conflicts=True)
    RateBucket.objects.filter(account=account, kind="order", window_s=DAY_S).update(blocked_until=until)
    return (until - now).total_seconds()
