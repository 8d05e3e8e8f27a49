"""What a person has to see on every page: refusals nobody acknowledged, accounts that were stopped."""

from collections.abc import Sequence
from dataclasses import dataclass

from brokers.models import BrokerAccount
from risk.models import TradingMode
from trading.models import Strategy
from trading.selectors import squareoff
from trading.selectors.stops import Stop
from tvapp.lib import clock


@dataclass(frozen=True)
class Notice:
    """One line of the strip. `strategy_id`: a refusal to acknowledge; None: something stopped that an admin releases."""

    text: str
    strategy_id: int | None = None
    order_id: int | None = None
    square_off: bool = False


def notices(user, stops: Sequence[Stop]) -> list[Notice]:
    """Those of this person, refusals first; `stops` is everything that stops something now."""
    return [*_square_offs(user), *_refusals(user), *_stopped(user, stops)]


def _square_offs(user) -> list[Notice]:
    return [Notice(f"{row}: {row.get_state_display().lower()}. {row.note}".strip(), square_off=True) for row in squareoff.standing(user)]


def _refusals(user) -> list[Notice]:
    rows = Strategy.objects.for_user(user).standing().exclude(refusal={}).only("id", "refusal")
    return [Notice(row.refusal["text"], row.pk, row.refusal.get("order")) for row in rows]


def _stopped(user, stops: Sequence[Stop]) -> list[Notice]:
    """The header says when the whole desk is halted; everything less is said here."""
    shown = [stop for stop in stops if stop.scope != "GLOBAL" or stop.state != TradingMode.HALTED]
    if not shown:
        return []
    mine = {f"ACCOUNT:{pk}": name for pk, name in BrokerAccount.objects.for_user(user).values_list("pk", "name")}
    mine |= {f"STRATEGY:{pk}": name for pk, name in Strategy.objects.for_user(user).standing().values_list("pk", "name")}
    mine["GLOBAL"] = "The desk"
    return [Notice(_said(mine[stop.scope], stop)) for stop in shown if stop.scope in mine]


def _said(name: str, stop: Stop) -> str:
    does = "is stopped" if stop.state == TradingMode.HALTED else "only closes positions, entries are stopped"
    end = f" It ends by itself {stop.until.astimezone(clock.IST):%d %b %H:%M} IST." if stop.until else ""
    return f"{name} {does} by {stop.actor}: {stop.reason.rstrip('.') or 'no reason given'}.{end}"
