"""What a person has to see on every page: refusals nobody acknowledged, accounts that were stopped."""

from dataclasses import dataclass

from brokers.models import BrokerAccount
from risk.models import TradingMode, TradingState
from trading.models import Strategy


@dataclass(frozen=True)
class Notice:
    """One line of the strip. `strategy_id`: a refusal to acknowledge; None: an account that an admin releases."""

    text: str
    strategy_id: int | None = None
    order_id: int | None = None


def notices(user) -> list[Notice]:
    """Those of this person, refusals first."""
    return [*_refusals(user), *_stopped(user)]


def _refusals(user) -> list[Notice]:
    rows = Strategy.objects.for_user(user).standing().exclude(refusal={}).only("id", "refusal")
    return [Notice(row.refusal["text"], row.pk, row.refusal.get("order")) for row in rows]


def _stopped(user) -> list[Notice]:
    states = list(TradingState.objects.filter(scope__startswith="ACCOUNT:").exclude(state=TradingMode.ACTIVE))
    if not states:
        return []
    mine = {f"ACCOUNT:{pk}": name for pk, name in BrokerAccount.objects.for_user(user).values_list("pk", "name")}
    return [Notice(f"{mine[s.scope]} is stopped by {s.actor}: {s.reason.rstrip('.') or 'no reason given'}.") for s in states if s.scope in mine]
