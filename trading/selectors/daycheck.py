"""Whether the desk's result of the day and the broker's agree, and what to say when they do not."""

from decimal import Decimal

from brokers.models import BrokerAccount, SyncState
from tvapp.lib.money import rupees

LEAST = Decimal(1)
SHARE = Decimal("0.005")
READS = 2
CENT = Decimal("0.01")


def differs(state: SyncState) -> bool:
    """By more than a rupee and more than half a percent of the broker's figure."""
    if state.result_ours is None or state.result_theirs is None:
        return False
    return abs(state.result_ours - state.result_theirs) > max(LEAST, abs(state.result_theirs) * SHARE)


def stands(state: SyncState | None) -> bool:
    """One read alone proves nothing: a fill may have come between the orders and the positions."""
    return state is not None and state.result_off >= READS


def sentence(account: BrokerAccount, state: SyncState | None) -> str:
    """Both figures, and which one counts; empty while they agree."""
    if not stands(state):
        return ""
    ours, theirs = (rupees(value.quantize(CENT)) for value in (state.result_ours, state.result_theirs))
    return f"The desk counts {ours} for today before charges, {account.get_broker_display()} {theirs}. Limits go by the desk's; compare the trades."
