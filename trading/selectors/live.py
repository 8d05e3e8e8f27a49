"""May an order meet real money? What the environment, the desk's switch and a person's word say right now, read fresh."""

from datetime import datetime

from django.conf import settings

from brokers.models import BrokerAccount, Environment
from risk.models import LiveArm
from trading.models import Order, Strategy
from tvapp.models import DeskSettings

PAPER_ONLY = "the desk is on paper only"


def is_live(account: BrokerAccount) -> bool:
    return account.environment == Environment.LIVE


def barred() -> str:
    """Why no live order may leave, exits included; empty when the environment and the desk's switch allow it. Never a kept value."""
    if not settings.ALLOW_LIVE:
        return "this installation does not allow them"
    return PAPER_ONLY if DeskSettings.objects.filter(paper_only=True).exists() else ""


def arm_of(strategy_id: int | None, now: datetime) -> LiveArm | None:
    """The arm that counts for this strategy now."""
    return LiveArm.objects.filter(strategy_key=strategy_id, ended_at=None, until__gt=now).first() if strategy_id else None


def armed(order: Order, now: datetime) -> bool:
    """Whether this order may open something with real money. The word was given for the account on which its strategy trades, and for no other."""
    here = Strategy.objects.filter(pk=order.strategy_id, account_id=order.account_id)
    return arm_of(order.strategy_id, now) is not None and here.exists()
