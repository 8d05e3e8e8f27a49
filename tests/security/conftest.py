"""One trader with one of everything, and the people who try to get at it."""

from decimal import Decimal

import pytest
from django.test import Client

from brokers.models import Instrument, Quote
from risk.models import RiskSettings, TradingState
from tests import factories as make
from tests.trading.desk import make_desk
from tests.tvapp.people import browser, person
from trading.services import strategies
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
    new_token(desk.owner, "victim-key")
    Quote.objects.get_or_create(instrument=Instrument.objects.first(), defaults={"ltp": 1500})
    make.TvSymbolOverrideFactory(owner=desk.owner, tv_symbol="NSE:victim-index")
    DeskSettings(id=1).save()
    return desk


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
