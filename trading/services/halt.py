"""The kill switch: one row, committed before anybody is told it is on. It survives restarts and is read again right before each write."""

from dataclasses import dataclass
from datetime import datetime

from brokers.errors import Unavailable
from brokers.models import BrokerAccount
from risk.models import TradingMode, TradingState
from trading.domain import orderfsm
from trading.models import Level, Order, OrderEvent, Pending, Role, Source, Strategy
from trading.selectors import live
from trading.selectors.snapshot import scopes
from trading.selectors.stops import Stop, of, standing, state_of
from trading.services import disarming, orders, sysevents, trips
from tvapp.lib import clock
from tvapp.lib.errors import AppError

TRIES = 5
PROTECTIVE = (Role.STOP, Role.TRAIL, Role.OCO)  # what guards a position stays when everything else is cancelled


def scope_key(scope: str, account_id: int | None = None, strategy_id: int | None = None) -> str:
    """GLOBAL, ACCOUNT:3 or STRATEGY:7. Raises AppError when the id is missing."""
    ids = {"ACCOUNT": account_id, "STRATEGY": strategy_id}
    if scope == "GLOBAL":
        return scope
    if scope not in ids or not ids[scope]:
        raise AppError("INVALID_VALUE", "scope is GLOBAL, ACCOUNT with account_id, or STRATEGY with strategy_id.", extra={"field": "scope"})
    return f"{scope}:{ids[scope]}"


def kill(key: str, *, reason: str, actor: str, cancel_open: bool = True) -> dict[str, int]:
    """HALTED for this scope. When it returns, no new order of the scope is written to a broker.

    Counts what it put on hold, what it asked to cancel, and orders placed elsewhere (`external`), which go on resting: they are another
    hand's decision, and may guard a position the desk knows nothing of.
    """
    _set(key, TradingMode.HALTED, reason, actor, cancel_open=cancel_open)  # by itself: nothing that fails behind it takes it back
    text = f"{actor} stopped trading{of(key)}: {reason or 'no reason given'}."
    sysevents.record("risk", "KILL_ON", text, level=Level.ERROR, owner=trips.named(key)[1])
    disarming.disarm_scope(key, f"{actor} stopped trading{of(key)}", actor=actor)
    done = {"held": trips.park(key, actor), "cancelled": _cancel_open(key, actor) if cancel_open else 0}
    return {**done, "external": _live(key).filter(source=Source.EXTERNAL).count()}


def told(done: dict[str, int]) -> str:
    """What `kill` did, as the end of a sentence; empty when there was nothing to do."""
    hold, asked, others = done["held"], done["cancelled"], done["external"]
    left = f"{others} placed outside this desk {'rests' if others == 1 else 'rest'} as before"
    return ", ".join(text for count, text in ((hold, f"{hold} put on hold"), (asked, f"{asked} asked to cancel"), (others, left)) if count)


def release(key: str, *, reason: str, actor: str, code: str = "", seen: datetime | None = None) -> None:
    """ACTIVE again, its trips released; with `code` only that trip. Raises AppError without a reason.

    `seen` is when the person was shown what stands: what was stopped after it is not released unseen (AppError STOPPED_AGAIN).
    Orders on hold do not leave by themselves: the sweeper puts young ones back to waiting, old ones end. Stops and targets are placed.
    """
    for stop in standing([key]):
        if seen and stop.at and stop.at > seen and code in ("", stop.code):
            why = stop.reason or "no reason was given"
            raise AppError("STOPPED_AGAIN", f"It was stopped once more after you opened the page ({why}). Look at it, then release it.", status=409)
    trips.release(key, code, reason=reason, actor=actor)
    if not code:
        _set(key, TradingMode.ACTIVE, reason, actor)
    sysevents.record("risk", "KILL_OFF", f"{actor} released trading{of(key)}: {reason}.", level=Level.WARNING, owner=trips.named(key)[1])


def _set(key: str, state: TradingMode, reason: str, actor: str, *, cancel_open: bool = False) -> None:
    values = {"state": state, "reason": reason[:200], "actor": actor, "at": clock.now(), "cancel_open": cancel_open}
    TradingState.objects.update_or_create(scope=key, defaults=values)


def status() -> list[Stop]:
    """Everything that stops something, set by a person or tripped by itself."""
    return standing()


def sweep() -> int:
    """Ends what the switch could not: what was on the wire and rests by now, or all of it when whoever pressed it died. Each is asked once."""
    rows = list(TradingState.objects.filter(state=TradingMode.HALTED))
    for row in rows:
        disarming.disarm_scope(row.scope, f"{row.actor} stopped trading{of(row.scope)}", actor=row.actor)
    return sum(_cancel_late(row) for row in rows if row.cancel_open)


def _cancel_late(row: TradingState) -> int:
    asked = OrderEvent.objects.filter(kind="CANCEL_ASKED", at__gte=row.at)
    late = _open(row.scope).exclude(pending_action=Pending.CANCEL).exclude(pk__in=asked.values("order_id"))
    return sum(_cancel_one(pk, row.actor) for pk in list(late.values_list("pk", flat=True)))


def _cancel_open(key: str, actor: str) -> int:
    return sum(_cancel_one(pk, actor) for pk in list(_open(key).values_list("pk", flat=True)))


def _open(key: str):
    """What rests at a broker and a stop takes away: not what guards a position, closes everything, or is another hand's."""
    return _live(key).exclude(role__in=PROTECTIVE).exclude(source__in=(Source.EXTERNAL, Source.SQUARE_OFF))


def cancel_entries(key: str, actor: str) -> int:
    """Asks to cancel what rests and would open something: no exit, stop or target, and nothing placed elsewhere. Returns how many."""
    opens = _live(key).filter(reduce_only=False, pending_action="").exclude(decision__order_class="EXIT")
    ours = opens.exclude(source__in=(Source.BRACKET, Source.EXTERNAL, Source.SQUARE_OFF))
    return sum(_cancel_one(pk, actor) for pk in list(ours.values_list("pk", flat=True)))


def _live(key: str):
    return trips.orders_of(key).filter(status__in=orderfsm.LIVE)


def _cancel_one(pk: int, actor: str) -> bool:
    """Asks once more when the order changed between the read and the wish: a part fill must not let the rest live on."""
    for _ in range(TRIES):
        order = Order.objects.select_related("account").get(pk=pk)
        if order.status not in orderfsm.LIVE:
            return False
        try:
            orders.cancel(order, actor=actor)
        except AppError:
            continue
        return True
    return False


@dataclass(frozen=True)
class Bar:
    """Why an order must not be written to its broker after all."""

    code: str
    why: str


class Withheld(Unavailable):
    """Trading was stopped while the order waited for the limiter or for a lock: nothing was written."""

    def __init__(self, bar: Bar):
        super().__init__(bar.code, bar.why, sent=False)
        self.bar = bar


def stand(order: Order, *, closes: bool) -> None:
    """The last look. Raises Withheld."""
    if (bar := bars(order, closes=closes)) is not None:
        raise Withheld(bar)


def bars(order: Order, *, closes: bool) -> Bar | None:
    """Asked right before the write, with everything read anew: what was decided in the claim may have changed since.

    HALTED keeps back everything but a square-off, REDUCING what opens (`closes` is False), and a live account needs every yes to real money.
    """
    stop = state_of(scopes(order))
    if stop and stop.state == TradingMode.HALTED and order.source != Source.SQUARE_OFF:
        return Bar("STATE_HALTED", f"trading was stopped ({stop.reason or 'no reason was given'}) before it left")
    if stop and not closes and order.source != Source.SQUARE_OFF:
        return Bar("STATE_REDUCING", f"only exits leave since a moment ago ({stop.reason or 'no reason was given'})")
    return no_real_money(order, closes=closes)


def no_real_money(order: Order, *, closes: bool) -> Bar | None:
    """Why an order of a live account must not be written. What opens something needs the standing word of a person, too."""
    if not live.is_live(order.account):
        return None
    if why := live.barred():
        return Bar("LIVE_NOT_ALLOWED", f"live orders are not allowed: {why}")
    if not BrokerAccount.objects.filter(pk=order.account_id, enabled=True).exists():
        return Bar("ACCOUNT_DISABLED", f"{order.account.name} was switched off")
    if not closes and order.source != Source.SQUARE_OFF and not live.armed(order, clock.now()):
        return Bar("LIVE_NOT_ARMED", "its strategy is not armed for live orders any more")
    return None


def halted(order: Order) -> Stop | None:
    """What stops this order right now, read fresh; None when nothing does."""
    row = state_of(scopes(order))
    return row if row and row.state == TradingMode.HALTED else None


def strategy_named(name: str) -> Strategy:
    """Raises AppError when there is no such strategy, or when several people have one of that name."""
    rows = list(Strategy.objects.standing().filter(name=name)[:2])
    if len(rows) != 1:
        said = f"Several people have a strategy called {name}: stop it on its page." if rows else f"There is no strategy called {name}."
        raise AppError("NOT_FOUND", said, status=404)
    return rows[0]


def account_named(name: str) -> BrokerAccount:
    """Raises AppError when there is no such account."""
    row = BrokerAccount.objects.filter(name=name).first()
    if row is None:
        raise AppError("NOT_FOUND", f"There is no account called {name}.", status=404)
    return row
