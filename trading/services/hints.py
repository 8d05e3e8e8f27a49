"""Postbacks: hints of a broker that an order moved. A true one asks for a read and is believed in nothing else; any other one does nothing."""

import hashlib
import logging
from datetime import timedelta

from django.conf import settings
from django.core.cache import cache

from brokers import registry
from brokers.models import BrokerAccount
from brokers.secrets import SecretUnreadable
from trading.models import Level, SystemEvent
from trading.services import polling, sysevents
from tvapp.lib import clock

logger = logging.getLogger("tvapp.hints")

REPEAT_S = 1
HOUR_S = 3600
FLOOD = 60


def postback(token: str, body: bytes) -> bool:
    """One postback to the address with this token. Returns whether it was the broker's; only then is a read asked for."""
    account = _account(token)
    if account is None or not registry.is_genuine_postback(account, body):
        _unverified(account.pk if account else 0)
        return False
    key = hashlib.sha256(body).hexdigest()
    if cache.add(f"postback:{account.pk}:{key}", 1, REPEAT_S):  # the same one again says nothing new
        polling.hinted(account.pk)
    return True


def postback_url(account: BrokerAccount) -> str:
    """Where this account's broker is to post to; the trader enters it in the Kite Connect app."""
    return f"{settings.BASE_URL.rstrip('/')}/postback/{account.broker}/{account.postback_token}"


def refused_postbacks(account_id: int) -> int:
    """Postbacks to this account's address within the hour that were not the broker's, as far as this process saw them."""
    return cache.get(f"postback:refused:{account_id}", 0)


def _account(token: str) -> BrokerAccount | None:
    try:
        return BrokerAccount.objects.filter(postback_token=token).first()
    except SecretUnreadable:
        logger.error("a postback could not be checked: the API secret of its account opens with no key in FIELD_KEYS")
        return None


def _unverified(account_id: int) -> None:
    """Counted here in memory: a stranger's post writes nothing, but for one event an hour when they come in numbers."""
    count = _count(f"postback:refused:{account_id}")
    logger.info("a postback was not the broker's", extra={"account_id": account_id or None, "within_the_hour": count})
    if count < FLOOD or not cache.add("postback:flood", 1, HOUR_S):
        return
    if SystemEvent.objects.filter(code="POSTBACK_FLOOD", at__gt=clock.now() - timedelta(seconds=HOUR_S)).exists():
        return
    text = f"{count} postbacks within an hour did not come from the broker. None was acted upon; if it goes on, block the sender at your proxy."
    sysevents.record("security", "POSTBACK_FLOOD", text, level=Level.WARNING, data={"account_id": account_id or None, "count": count})


def _count(key: str) -> int:
    if cache.add(key, 1, HOUR_S):
        return 1
    try:
        return cache.incr(key)
    except ValueError:  # the hour ended between the two calls
        return 1
