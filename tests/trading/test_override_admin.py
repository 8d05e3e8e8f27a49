"""Overrides and freeze quantities in the settings: own rows, words for what is wrong, and a history."""

from datetime import date
from decimal import Decimal

import pytest
from django.urls import reverse

from brokers.models import FreezeLimit
from tests import factories as make
from tests.tvapp.people import browser, person, strategy_of
from trading.models import TvSymbolOverride
from tvapp.people import roles

pytestmark = pytest.mark.django_db
ADD = "admin:trading_tvsymboloverride_add"


@pytest.fixture
def asha():
    return person("asha")


@pytest.fixture
def future():
    return make.InstrumentFactory(exchange="NFO", tradingsymbol="NIFTY26DECFUT", name="NIFTY", kind="FUT", expiry=date(2026, 12, 29), lot=Decimal(65))


def form(instrument, **changes) -> dict:
    return {"tv_symbol": " nse:nifty ", "instrument": instrument.pk, "scope": "GLOBAL", "strategy": "", "account": "", "valid_from": "", "valid_to": "", **changes}


def test_a_trader_adds_changes_and_deletes_an_override_and_its_history_says_who(asha, future):
    client = browser(asha)
    assert client.post(reverse(ADD), form(future)).status_code == 302
    row = TvSymbolOverride.objects.get()
    assert (row.tv_symbol, row.owner, row.created_by) == ("NSE:NIFTY", asha, "asha")
    page = reverse("admin:trading_tvsymboloverride_change", args=[row.pk])
    assert client.post(page, form(future, valid_to="2026-12-29")).status_code == 302
    assert [h.history_user for h in row.history.all()] == [asha, asha]
    assert b"asha" in client.get(reverse("admin:trading_tvsymboloverride_history", args=[row.pk])).content
    client.post(reverse("admin:trading_tvsymboloverride_delete", args=[row.pk]), {"post": "yes"})
    assert not TvSymbolOverride.objects.exists()


def test_it_keeps_only_what_the_scope_needs(asha, future):
    strategy = strategy_of(asha)
    browser(asha).post(reverse(ADD), form(future, scope="STRATEGY", strategy=strategy.pk, account=strategy.account.pk))
    row = TvSymbolOverride.objects.get()
    assert (row.strategy, row.account) == (strategy, None)


@pytest.mark.parametrize(("changes", "words"), [
    ({"tv_symbol": "NIFTY"}, "Name the exchange, too"),
    ({"scope": "STRATEGY"}, "Choose the strategy it counts for"),
    ({"scope": "ACCOUNT"}, "Choose the account it counts for"),
    ({"valid_from": "2026-12-02", "valid_to": "2026-12-01"}, "lies before the first"),
])  # fmt: skip
def test_it_says_what_is_wrong_with_a_form(asha, future, changes, words):
    answer = browser(asha).post(reverse(ADD), form(future, **changes))
    assert words in answer.content.decode() and not TvSymbolOverride.objects.exists()


def test_it_refuses_an_index_a_second_row_and_a_foreign_strategy(asha, future):
    client = browser(asha)
    index = make.InstrumentFactory(tradingsymbol="NIFTY 50", kind="IDX")
    assert "cannot be traded" in client.post(reverse(ADD), form(index)).content.decode()
    client.post(reverse(ADD), form(future))
    assert "mapped there already" in client.post(reverse(ADD), form(future)).content.decode()
    foreign = strategy_of(person("ravi"))
    assert "valid choice" in client.post(reverse(ADD), form(future, scope="STRATEGY", strategy=foreign.pk)).content.decode()
    assert TvSymbolOverride.objects.count() == 1


def test_only_an_admin_changes_a_freeze_quantity(asha):
    page = reverse("admin:brokers_freezelimit_changelist")
    assert browser(asha).get(page).status_code == 200
    add, row = reverse("admin:brokers_freezelimit_add"), {"exchange": "NFO", "root": "NIFTY", "quantity": "1950", "since": "2027-01-01"}
    assert browser(asha).post(add, row).status_code == 403
    assert browser(person("boss", roles.ADMIN)).post(add, row).status_code == 302
    assert FreezeLimit.objects.filter(root="NIFTY").count() == 2
