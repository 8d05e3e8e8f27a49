"""Automatic stops: one row per scope and code that says why, shown until a person releases it or its time is over."""

import logging
from collections.abc import Mapping
from datetime import datetime

from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import F

from risk.models import Scope, TradingMode, Trip
from trading.domain.orderfsm import State
from trading.models import Level, Order, Source, Strategy
from trading.selectors.stops import open_trips
from trading.services import disarming, orders, sysevents
from tvapp.lib import clock
from tvapp.lib.errors import AppError

logger = logging.getLogger("tvapp.trips")
ACTOR = "the desk"
WORDS = {TradingMode.REDUCING: "Only exits leave", TradingMode.HALTED: "Nothing leaves"}

__all__ = ["open_trips", "release", "trip"]


def trip(
    scope_key: str, code: str, reason: str, *, effect: str = "REDUCING", until: datetime | None = None,
    data: Mapping[str, object] | None = None, order: Order | None = None,
) -> bool:  # fmt: skip
    """Stops a scope (GLOBAL, ACCOUNT:3, STRATEGY:7) with one ERROR event and ends its live arms. Returns whether this call did it.

    While a trip of the same scope and code is open nothing is written. `reason` is a clause without a full stop: "5 refusals in a row".
    Safe inside a transaction and never raises: what calls it must go on, and calls again when the condition is met again.
    """
    try:
        with transaction.atomic():
            return _trip(scope_key, code, reason, effect=effect, until=until, data=data, order=order)
    except IntegrityError:  # another worker tripped it at the same moment
        return False
    except DatabaseError:
        logger.exception("the trip %s of %s could not be written: %s", code, scope_key, reason)
        return False


def _trip(key: str, code: str, reason: str, *, effect: str, until: datetime | None, data: Mapping[str, object] | None, order: Order | None) -> bool:
    ended = Trip.objects.filter(scope=key, code=code, released_at=None, until__lte=clock.now())
    ended.update(released_at=F("until"), released_by=ACTOR, release_reason="its time was over")
    if Trip.objects.filter(scope=key, code=code, released_at=None).exists():
        return False
    said = reason.rstrip(".")
    Trip.objects.create(scope=key, code=code, effect=effect, reason=said[:300], until=until, data=dict(data or {}))
    name, owner = named(key)
    end = f" until {until.astimezone(clock.IST):%d %b %H:%M} IST" if until else " until somebody releases it"
    text = f"{name} is stopped: {said}. {WORDS[TradingMode(effect)]}{end}."
    sysevents.record("risk", code, text, level=Level.ERROR, owner=owner, order=order, data={"scope": key, **(data or {})})
    disarming.disarm_scope(key, f"{name} was stopped: {said}", actor=ACTOR)
    if effect == TradingMode.HALTED:
        park(key, ACTOR)
    return True


def orders_of(key: str):
    """The orders under a scope key."""
    name, _, pk = key.partition(":")
    rows = Order.objects.select_related("account", "strategy")
    return rows if name == Scope.GLOBAL else rows.filter(**{f"{name.lower()}_id": pk})


def park(key: str, actor: str) -> int:
    """What is queued under a halted scope goes on hold, to be seen there at once; the claim would do the same one by one. Counts them."""
    text = "On hold: trading is stopped. After the release it waits for you again."
    rows = orders_of(key).filter(status=State.QUEUED).exclude(source=Source.SQUARE_OFF)
    return sum(orders.move(order, State.HELD, code="STATE_HALTED", text=text, actor=actor) for order in rows)


def named(key: str) -> tuple[str, object]:
    """What a trader calls the scope, and whose it is."""
    kind, _, pk = key.partition(":")
    model = {Scope.ACCOUNT: Order.account.field.related_model, Scope.STRATEGY: Strategy}.get(kind)
    row = model.objects.select_related("owner").filter(pk=pk).first() if model else None
    return (row.name, row.owner) if row else ("The desk" if kind == Scope.GLOBAL else key, None)


def release(scope_key: str, code: str = "", *, reason: str, actor: str) -> int:
    """Ends the open trips of this scope, or the one with this code. Returns how many. Raises AppError without a reason."""
    if not reason.strip():
        raise AppError("REASON_MISSING", "Say why trading may go on; the reason is kept.", extra={"field": "reason"})
    rows = open_trips([scope_key])
    rows = rows.filter(code=code) if code else rows
    return rows.update(released_at=clock.now(), released_by=actor[:80], release_reason=reason.strip()[:200])
