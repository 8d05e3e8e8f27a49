"""The sweeper: once a second it rings again for every row that is due, so that a lost bell loses nothing."""

import logging
from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal

from django.db import InterfaceError, OperationalError
from django.db.models import F

from risk.codes import Code
from risk.models import Verdict
from trading.domain import orderfsm
from trading.domain.orderfsm import State
from trading.models import Mode, Order, Source
from trading.selectors import pricing, queue, stranded
from trading.selectors.snapshot import DEFERRED, defer_limit, scopes
from trading.selectors.stops import state_of
from trading.services import advice, brackets, connect, doorbell, halt, health, losswatch, orders, polling, quotes, recover, schedules, squareoff
from tvapp import home
from tvapp.lib import clock
from tvapp.lib.money import plain
from tvapp.models import DeskSettings, Heartbeat

logger = logging.getLogger("tvapp.sweeper")

RING_AFTER_S = 2
RING_AT_MOST_S = 15
SCHEDULES_S = 60
MOST = 500
ACTOR = "sweeper"
RESUMES_BY_HAND = ("STATE_HALTED", "DAILY_ORDER_CAP")


def sweep() -> str:
    """One pass: lost bells, lost senders, due looks, holds that ended, live books, heartbeats. Returns what it did, for the log."""
    steps = {"sessions": connect.sweep, "rung": _ring_queued, "stopped": halt.sweep}
    steps |= {"resumed": _resume_held, "stale": _end_old_waiting, "cancels": _ring_cancels, "synced": polling.ring_due, "schedules": _keep_schedules}
    steps |= {"priced": quotes.ring_due}
    steps |= {"exits": brackets.sweep, "losses": losswatch.sweep, "squared off": squareoff.sweep}
    done, faults = _each(steps)
    done |= recover.recover_all()
    if faults:
        raise faults[0]
    _beat()
    return " ".join(f"{name}={count}" for name, count in done.items() if count) or "quiet"


def _each(steps: Mapping[str, Callable[[], int]]) -> tuple[dict[str, int], list[Exception]]:
    """Runs every step, whatever becomes of another one: the day's loss is watched and what the clock closes is closed. With what went wrong."""
    done: dict[str, int] = {}
    faults: list[Exception] = []
    for name, step in steps.items():
        try:
            done[name] = step()
        except (OperationalError, InterfaceError):  # the database is busy or gone, and would be for the others
            raise
        except Exception as fault:
            logger.exception("the sweep's step %r failed; the others go on", name)
            faults.append(fault)
    return done, faults


def _ring_queued() -> int:
    """Rings for orders that stand QUEUED and were not rung lately; the pause doubles to 15 s while one stays."""
    now, count = clock.now(), 0
    rows = Order.objects.filter(status=State.QUEUED, rung_at__lt=now - clock.seconds(RING_AFTER_S)).exclude(due_at__gt=now)
    for order in rows.order_by("id").only("id", "rings", "rung_at", "correlation_id")[:MOST]:
        pause = clock.seconds(min(RING_AFTER_S * 2**order.rings, RING_AT_MOST_S))
        if now - order.rung_at < pause:
            continue
        Order.objects.filter(pk=order.pk).update(rung_at=now, rings=F("rings") + 1)
        doorbell.ring(order.pk)
        count += 1
    return count


def _ring_cancels() -> int:
    """A cancel or change that was asked for and not worked (its bell was lost) is asked for again."""
    since = clock.now() - clock.seconds(RING_AFTER_S)
    rows = Order.objects.exclude(pending_action="").filter(status__in=orderfsm.LIVE, updated_at__lt=since).exclude(rung_at__gt=since)
    ids = list(rows.values_list("id", flat=True)[:MOST])
    for order_id in ids:
        Order.objects.filter(pk=order_id).update(rung_at=clock.now())
        doorbell.ring(order_id)
    return len(ids)


def _resume_held() -> int:
    """Orders on hold whose reason ended go on, go back to waiting, or end as too old; an exit never ends by itself."""
    rows = Order.objects.filter(status=State.HELD).exclude(status_reason__in=stranded.PARKED).exclude(connect.not_ready())
    rows = rows.exclude(source=Source.SQUARE_OFF)  # never resumed: its square-off reads the position anew and makes another
    count = 0
    for order in rows.select_related("account", "strategy", "instrument", "owner")[:MOST]:
        count += orders.guarded(order, _resume) is True
    return count


def _resume(order: Order) -> bool:
    state = state_of(scopes(order))
    if state is not None and state.state == "HALTED":
        return False
    if order.status_reason in DEFERRED and _age_s(order) > defer_limit(order).total_seconds():
        return _deferred_too_long(order)
    if advice.advise(order).verdict == Verdict.DEFER or _disk_low(order) or (order.due_at and order.due_at > clock.now()):
        return False
    if order.status_reason == Code.PRICE_UNAVAILABLE and pricing.reference(order, clock.now()) is None:
        return _still_unpriced(order)
    age, desk = _age_s(order), DeskSettings.current()
    if age > desk.alert_dead_manual_h * 3600 and not order.reduce_only:
        text = "Too old: what held it back ended, but the alert is no longer worth sending."
        return orders.move(order, State.STALE, code="SIGNAL_TOO_OLD", text=text, actor=ACTOR)
    young = _decided_lately(order, desk) if order.mode == Mode.MANUAL else queue.is_young(order, clock.now()) or order.status_reason in DEFERRED
    by_hand = order.status_reason in RESUMES_BY_HAND and order.source != Source.BRACKET  # what guards a fill is placed without a question
    if by_hand or not young:
        text = "What held it back ended. It waits for your decision."
        return orders.move(order, State.WAITING, code="HOLD_ENDED", text=text, actor=ACTOR)
    return orders.move(order, State.QUEUED, text="What held it back ended; it goes on by itself.", actor=ACTOR)


def _deferred_too_long(order: Order) -> bool:
    """An entry ends; an exit is never thrown away and waits for a person."""
    text = f"It was held for its market for longer than {plain(Decimal(defer_limit(order).total_seconds() / 60))} min after the alert."
    if order.reduce_only:
        return orders.move(order, State.WAITING, code=order.status_reason, text=f"{text} It would close a position: decide about it.", actor=ACTOR)
    return orders.move(order, State.STALE, code="SIGNAL_TOO_OLD", text=f"{text} Nothing was sent.", actor=ACTOR)


def _still_unpriced(order: Order) -> bool:
    """Its price is asked for again while the alert is young; then an entry ends, and an exit waits for a person."""
    if queue.is_young(order, clock.now()):
        quotes.hurry(order)
        return False
    text = f"No price of {order.tradingsymbol} came in time, and none is invented."
    if advice.advise(order).order_class == "EXIT":
        said = f"{text} It would close a position: make it a limit order."
        return orders.move(order, State.WAITING, code=Code.PRICE_UNAVAILABLE, text=said, actor=ACTOR)
    return orders.move(order, State.STALE, code=Code.PRICE_UNAVAILABLE, text=text, actor=ACTOR)


def _decided_lately(order: Order, desk: DeskSettings) -> bool:
    """A person's yes to an order that then waited for a login holds as long as a waiting alert counts as fresh."""
    since = order.queued_at or order.received_at
    return order.status_reason != connect.CODE or clock.now() - since <= timedelta(minutes=desk.alert_old_manual_min)


def _disk_low(order: Order) -> bool:
    return order.status_reason == "DISK_LOW" and health.free_disk_mb() < DeskSettings.current().min_free_disk_mb


def _end_old_waiting() -> int:
    """Alerts nobody decided on for hours leave the queue; an exit stays, because it would close a position."""
    bound = clock.now() - timedelta(hours=DeskSettings.current().alert_dead_manual_h)
    rows = Order.objects.filter(status=State.WAITING, reduce_only=False, received_at__lt=bound).select_related("account")
    text = "Nobody decided on it in time; the alert is no longer worth sending."
    return sum(orders.move(order, State.STALE, code="SIGNAL_TOO_OLD", text=text, actor=ACTOR) for order in rows.order_by("id")[:MOST])


def _keep_schedules() -> int:
    """Accounts come and go without this process; once a minute is soon enough for a spare."""
    changed: list[int] = []
    polling.ring_once("schedules", clock.seconds(SCHEDULES_S), lambda: changed.append(schedules.keep()))
    return sum(changed)


def _age_s(order: Order) -> float:
    return (clock.now() - (order.fired_at or order.received_at)).total_seconds()


def _beat() -> None:
    """Of this machine: its watchdog asks whether its own groups work, not whether another one's do."""
    now, name = clock.now(), f"sweeper {home.machine()}"
    last = Heartbeat.objects.filter(name=name).values_list("at", flat=True).first()
    if last is None or abs(now - last) >= clock.seconds(health.BEAT_EVERY_S):  # also when the clock was set back
        Heartbeat.objects.update_or_create(name=name, defaults={"at": now, "process": health.process()})
        health.beat("sweeper")
        doorbell.heartbeat(now)
