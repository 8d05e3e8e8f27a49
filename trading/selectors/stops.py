"""What keeps trading from going on: states a person set and automatic trips, read together. The most restrictive one counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import F, Q, Value

from brokers.models import BrokerAccount
from risk.models import TradingMode, TradingState, Trip
from trading.models import Strategy
from tvapp.lib import clock

_SEVERITY = {TradingMode.ACTIVE: 0, TradingMode.REDUCING: 1, TradingMode.HALTED: 2}


@dataclass(frozen=True)
class Stop:
    """One reason why a scope may not do everything. `code` is empty for what a person set; `until` is when it ends by itself."""

    scope: str
    state: str
    reason: str
    code: str = ""
    actor: str = ""
    at: datetime | None = None
    until: datetime | None = None

    def get_state_display(self) -> str:
        return TradingMode(self.state).label


def open_trips(keys: Sequence[str] | None = None):
    """Trips nobody released and whose time is not over, of these scopes or of all."""
    rows = Trip.objects.filter(Q(until=None) | Q(until__gt=clock.now()), released_at=None)
    return rows if keys is None else rows.filter(scope__in=keys)


def state_of(keys: Sequence[str]) -> Stop | None:
    """The most restrictive stop among these scopes, in one query; None means ACTIVE. Of equals the widest scope, and a person's word, first."""
    said = TradingState.objects.filter(scope__in=keys).exclude(state=TradingMode.ACTIVE).values_list("scope", "state", "reason", Value(""))
    tripped = open_trips(keys).values_list("scope", "effect", "reason", "code")
    rows = [Stop(*row) for row in said.union(tripped, all=True)]
    return min(rows, key=lambda r: (-_SEVERITY[TradingMode(r.state)], keys.index(r.scope), r.code), default=None)


def standing(keys: Sequence[str] | None = None) -> list[Stop]:
    """Everything that stops something right now, with who and when: for pages and commands."""
    rows = TradingState.objects.exclude(state=TradingMode.ACTIVE)
    said = (rows if keys is None else rows.filter(scope__in=keys)).values_list("scope", "state", "reason", Value(""), "actor", "at")
    tripped = open_trips(keys).values_list("scope", "effect", "reason", "code", Value("the desk"), "at", F("until"))
    return sorted((Stop(*row) for row in [*said, *tripped]), key=lambda r: (-_SEVERITY[TradingMode(r.state)], r.scope, r.code))


def names(stops: Sequence[Stop]) -> dict[str, str]:
    """What a person calls each stopped scope, by its key; a key whose row is gone stays as it is."""
    found = {stop.scope: stop.scope for stop in stops} | {"GLOBAL": "The whole desk"}
    for word, kind, rows in (("Account", "ACCOUNT", BrokerAccount.objects), ("Strategy", "STRATEGY", Strategy.objects)):
        ids = [key.partition(":")[2] for key in found if key.startswith(f"{kind}:")]
        if ids:
            found |= {f"{kind}:{pk}": f"{word} {name}" for pk, name in rows.filter(pk__in=ids).values_list("pk", "name")}
    return found


def of(key: str) -> str:
    """Behind a verb: empty for the whole desk, ` of account paper`, ` of strategy ORB-15`."""
    if key == "GLOBAL":
        return ""
    kind, _, name = names([Stop(key, TradingMode.HALTED, "")])[key].partition(" ")
    return f" of {kind.lower()} {name}" if name else f" of {key}"
