"""One trader with one of everything, and the people who try to get at it."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client

from brokers.models import BrokerAccount, BrokerSession, Instrument, Quote
from risk.models import LiveArm, RiskSettings, TradingState, Trip
from tests import factories as make
from tests.trading.desk import make_desk
from tests.tvapp.people import browser, person
from trading.services import strategies
from tvapp.lib import clock
from tvapp.models import DeskSettings
from tvapp.people import roles
from tvapp.people.auth import new_token


@pytest.fixture
def victim(db):
    """Owns an order in each of two states, alerts, limits, a secret, a token and a stopped strategy."""
    desk = make_desk("victim-asha")
    desk.filled("auto", st_user_id="victim-asha")
    desk.order("manual", st_user_id="victim-asha")
    strategies.limits_of(desk.auto, "test")
    strategies.issue_secret(desk.auto, "test")
    RiskSettings.objects.create(owner=desk.owner, scope="ACCOUNT", account=desk.account, max_order_value=Decimal(5000))
    TradingState.objects.create(scope=f"STRATEGY:{desk.auto.pk}", state="REDUCING", actor="test", reason="victim-reason")
    Trip.objects.create(scope=f"ACCOUNT:{desk.account.pk}", code="UNKNOWN_STREAK", reason="victim-reason")
    LiveArm.objects.create(strategy_key=desk.auto.pk, by="test", until=clock.now(), waiver="victim-waiver")
    new_token(desk.owner, "victim-key")
    Quote.objects.get_or_create(instrument=Instrument.objects.first(), defaults={"ltp": 1500})
    make.TvSymbolOverrideFactory(owner=desk.owner, tv_symbol="NSE:victim-index")
    make.SquareOffFactory(account=desk.account, state="DONE", note="victim-note", ended_at=clock.now())
    DeskSettings(id=1).save()
    _connected(desk.owner)
    return desk


def _connected(owner) -> None:
    """A Zerodha account that is logged in; no broker stands behind it."""
    facts = {"name": "victim-kite", "broker": "zerodha", "api_key": "victim-api-key", "credentials": "victim-api-secret"}
    account = BrokerAccount.objects.create(owner=owner, **facts)
    now = clock.now()
    tokens = {"access_token": "victim-access-token", "request_token": "victim-request-token"}
    BrokerSession.objects.create(account=account, state="ACTIVE", issued_at=now, expires_at=now + timedelta(hours=5), user_id="VI1234", **tokens)


@pytest.fixture
def stranger(db):
    return Client()


@pytest.fixture
def other(db):
    """A trader who owns nothing."""
    return browser(person("other", roles.TRADER))


@pytest.fixture
def viewer(db):
    return browser(person("viewer", roles.VIEWER))


@pytest.fixture
def nobody(db):
    """Signed in, without any role."""
    user = person("nobody", roles.VIEWER)
    user.groups.clear()
    return browser(user)


@pytest.fixture
def boss(db):
    return browser(person("boss", roles.ADMIN))
