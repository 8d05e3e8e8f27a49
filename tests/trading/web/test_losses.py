"""The dashboard's bar: today's result against the daily loss limit, in words and figures."""

from decimal import Decimal as D

import pytest
import time_machine
from django.urls import reverse

from brokers.models import BrokerAccount, ChargeSchedule
from risk.models import RiskSettings
from tests.trading.desk import make_desk
from tests.trading.money import at, price, trade
from trading.selectors import losses
from trading.services import losswatch
from tvapp.lib import clock

pytestmark = pytest.mark.django_db


@pytest.fixture
def moment(desk):
    ChargeSchedule.objects.all().delete()
    with time_machine.travel(at(), tick=False) as traveller:
        yield traveller


def page(client, desk) -> str:
    client.force_login(desk.owner)
    return " ".join(client.get(reverse("desk:dashboard")).content.decode().split())


def lost(desk, last: int) -> losses.LossBar:
    """100 bought at 1000, at this price now, under a limit of 5000."""
    RiskSettings.objects.update_or_create(scope="ACCOUNT", account=desk.account, defaults={"owner": desk.owner, "max_daily_loss": D(5000)})
    if not desk.account.positions.exists():
        trade(desk.auto, "BUY", 100, 1000)
    price("INFY", last)
    return next(bar for bar in losses.bars(desk.owner, clock.now()) if bar.name == "paper")


@pytest.mark.parametrize(("last", "tone", "pct", "words"), [
    (1010, "ok", 0, "No loss today, ₹5,000.00 left"),
    (970, "ok", 60, "60 % of it lost, ₹2,000.00 left"),
    (960, "near", 80, "80 % of it lost, ₹1,000.00 left: close to the limit"),
    (950, "full", 100, "The limit is reached: entries are refused"),
    (900, "full", 200, "The limit is reached: entries are refused"),
])  # fmt: skip
def test_it_says_how_much_of_the_limit_is_lost(desk, moment, last, tone, pct, words):
    bar = lost(desk, last)
    assert (bar.tone, bar.pct, bar.words) == (tone, pct, words)


def test_it_stands_on_the_dashboard_in_words(desk, moment, client):
    lost(desk, 960)
    shown = page(client, desk)
    assert "80 % of it lost, ₹1,000.00 left: close to the limit" in shown
    assert "−₹4,000.00 <small>of ₹5,000</small>" in shown and "Realised ₹0.00, open −₹4,000.00, charges ₹0.00" in shown


def test_it_stays_reached_for_the_day(desk, moment, client):
    lost(desk, 950)
    losswatch.watch()
    assert lost(desk, 1100).tone == "full"
    assert "The limit was reached: only exits leave until the next trading day" in page(client, desk)


def test_it_shows_the_desks_limit_where_an_account_has_none(desk, moment):
    other = make_desk("ravi")
    RiskSettings.objects.filter(scope="GLOBAL").update(max_daily_loss=D(7000))
    trade(other.auto, "BUY", 10, 1000)
    price("INFY", 900)
    (bar,) = losses.bars(other.owner, clock.now())
    assert (bar.name, bar.desk, bar.limit, bar.loss) == ("paper", True, 7000, 1000)
    assert [(b.name, b.loss) for b in losses.bars(desk.owner, clock.now())] == [("The whole desk", 1000)]


def test_it_says_what_the_figure_lacks(desk, moment):
    BrokerAccount.objects.filter(pk=desk.account.pk).update(broker="zerodha", environment="LIVE")
    desk.account.refresh_from_db()
    bar = lost(desk, 960)
    assert bar.notes == []
    moment.shift(61)
    bar = next(b for b in losses.bars(desk.owner, clock.now()) if b.name == "paper")
    assert (bar.live, bar.notes) == (True, ["1 position without a fresh price is left out"])


def test_it_is_not_there_without_a_limit(desk, moment, client):
    RiskSettings.objects.filter(scope="GLOBAL").update(max_daily_loss=None)
    assert "Result today" not in page(client, desk)
