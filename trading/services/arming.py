"""Live arming: a person's word, for today, that a strategy may open positions with real money. And the switch that takes it from everybody."""

from datetime import datetime, timedelta

from django.db import IntegrityError, transaction

from risk.models import LiveArm, MarketHours
from trading.models import Level, Mode, Order, Strategy
from trading.selectors import live, sessions
from trading.selectors.snapshot import scopes
from trading.selectors.stops import names, state_of
from trading.services import disarming, limits, sysevents
from tvapp.lib import clock
from tvapp.lib.errors import AppError
from tvapp.models import DeskSettings

USUAL_CLOSE = timedelta(hours=15, minutes=30)


def arm(strategy: Strategy, *, confirm: str, actor: str, waiver: str = "") -> LiveArm:
    """Lets the strategy open live positions until its market's last close today. Whoever asks has just proven who they are.

    `confirm` is the strategy's name, typed; `waiver` says why it may trade by itself without the paper orders asked for first.
    Armed already is the same arm again. Raises AppError.
    """
    now = clock.now()
    _check_allowed(strategy)
    if confirm.strip() != strategy.name:
        raise AppError("NAME_MISMATCH", f"Type the name of the strategy, {strategy.name}, to arm it.", extra={"field": "confirm"})
    _check_active(strategy)
    _check_paper(strategy, waiver)
    until = ends_at(strategy, now)
    limits.for_live(strategy.account)
    row = live.arm_of(strategy.pk, now) or _arm(strategy, until, actor, waiver.strip())
    _look_again(strategy)
    return row


def hindrance(strategy: Strategy) -> str:
    """Why it cannot be armed right now, whatever is typed; empty where it can."""
    try:
        _check_allowed(strategy)
        _check_active(strategy)
        ends_at(strategy, clock.now())
    except AppError as refused:
        return refused.message
    return ""


def _look_again(strategy: Strategy) -> None:
    """Whoever stopped trading at the same moment ended the arms that stood, and could not see this one yet."""
    try:
        _check_allowed(strategy)
        _check_active(strategy)
    except AppError as refused:
        disarming.disarm(strategy, refused.message, actor="the desk")
        raise


def _check_active(strategy: Strategy) -> None:
    stop = state_of(scopes(Order(account_id=strategy.account_id, strategy_id=strategy.pk)))
    if stop is not None:
        text = f"Entries are stopped ({names([stop])[stop.scope]}: {stop.reason.rstrip('.') or 'no reason given'}). Release it first."
        raise AppError("TRADING_STOPPED", text, status=409)


def _check_allowed(strategy: Strategy) -> None:
    if strategy.archived_at is not None:
        raise AppError("STRATEGY_ARCHIVED", f"{strategy.name} was deleted.", status=409)
    if not live.is_live(strategy.account):
        text = f"{strategy.name} trades on {strategy.account.name}, which is not live and needs no arming."
        raise AppError("NOT_LIVE", text, status=409)
    if why := live.barred():
        raise AppError("LIVE_NOT_ALLOWED", f"Live orders are not allowed: {why}.", status=409)


def _check_paper(strategy: Strategy, waiver: str) -> None:
    """A strategy that trades by itself has shown on paper that it does what was meant."""
    least, had = DeskSettings.current().paper_orders_first, paper_orders(strategy)
    if strategy.mode == Mode.AUTO and had < least and not waiver.strip():
        text = f"{strategy.name} had {had} paper orders, and {least} come before it trades live by itself. Say why it may anyway."
        raise AppError("PAPER_FIRST", text, status=409, extra={"field": "waiver", "paper_orders": had, "needed": least})


def paper_orders(strategy: Strategy) -> int:
    """Orders of the strategy that a paper account or a simulator took."""
    return Order.objects.filter(strategy=strategy, simulated=True).exclude(broker_order_id="").count()


def ends_at(strategy: Strategy, now: datetime) -> datetime:
    """The last close of the strategy's market today. Raises AppError when it is over, or when there is none today."""
    exchange = strategy.symbol.partition(":")[0].upper() if ":" in strategy.symbol else strategy.default_exchange
    day = clock.trading_day(now)
    known = MarketHours.objects.filter(exchange=exchange).exists()
    close = sessions.last_close([exchange], day) if known else clock.day_start(day) + USUAL_CLOSE
    if close is None or close <= now:
        what = "has no session today" if close is None else f"closed at {close.astimezone(clock.IST):%H:%M} IST"
        raise AppError("MARKET_OVER", f"{exchange} {what}, and an arm ends with the session. Arm it on the next trading day.", status=409)
    return close


def _arm(strategy: Strategy, until: datetime, actor: str, waiver: str) -> LiveArm:
    disarming.close_expired(strategy)
    end = f"{until.astimezone(clock.IST):%H:%M} IST"
    text = f"{actor} armed {strategy.name} for live orders until {end}." + (f" Without the paper orders asked for first: {waiver}." if waiver else "")
    try:
        with transaction.atomic():
            row = LiveArm.objects.create(strategy_key=strategy.pk, by=actor[:80], until=until, waiver=waiver[:200])
            sysevents.record("risk", "LIVE_ARMED", text, level=Level.WARNING, owner=strategy.owner, data={"strategy_id": strategy.pk})
    except IntegrityError:  # two clicks at once
        return LiveArm.objects.get(strategy_key=strategy.pk, ended_at=None)
    return row


def paper_only(on: bool, *, actor: str) -> None:
    """The desk's switch: while it is on no order of a live account leaves, exits included. On ends every arm; off needs proof who asks."""
    desk, _ = DeskSettings.objects.get_or_create(id=1)
    if desk.paper_only == on:
        return
    desk.paper_only, desk._change_reason = on, f"Paper only {'on' if on else 'off'} by {actor}."
    with transaction.atomic():
        desk.save()
        text = f"{actor} put the desk on paper only: no live order leaves, exits included." if on else f"{actor} let live orders leave again."
        sysevents.record("risk", "PAPER_ONLY_ON" if on else "PAPER_ONLY_OFF", text, level=Level.WARNING)
        if on:
            disarming.disarm_scope("GLOBAL", "the desk is on paper only", actor=actor)
