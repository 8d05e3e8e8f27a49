"""A trader chooses in the admin where a paper account's prices come from."""

import pytest
from django.urls import reverse

from tests import factories as make
from tests.tvapp.people import browser, person
from tvapp.people import roles

pytestmark = pytest.mark.django_db


@pytest.fixture
def asha():
    return person("asha", roles.TRADER)


@pytest.fixture
def account(asha):
    return make.BrokerAccountFactory(owner=asha, name="paper")


@pytest.fixture
def kite(asha):
    return make.BrokerAccountFactory(owner=asha, name="kite", broker="zerodha", environment="SIM")


def save(account, **changes):
    """Posts the account's page as a browser does and gives what the form refused."""
    fields = ("name", "capital", "slippage_bps", "liquidity", "participation_pct", "quote_source", "quote_file", "quote_every_s")
    data = {name: getattr(account, name) for name in fields} | {"enabled": "on", "quote_account": "", **changes}
    answer = browser(account.owner).post(reverse("admin:brokers_brokeraccount_change", args=[account.pk]), data)
    account.refresh_from_db()
    return set(answer.context["adminform"].form.errors) if answer.status_code == 200 else set()


def test_it_takes_each_source_with_what_it_needs(account, kite):
    for wanted in ({"quote_source": "WALK"}, {"quote_source": "FILE", "quote_file": "prices.csv"}, {"quote_source": "KITE", "quote_account": kite.pk}):
        assert save(account, **wanted) == set()
        assert account.quote_source == wanted["quote_source"]
    assert (account.quote_account, account.quote_file) == (kite, "prices.csv")


@pytest.mark.parametrize(("source", "missing"), [("KITE", "quote_account"), ("FILE", "quote_file")])
def test_it_says_what_a_source_needs(account, source, missing):
    assert save(account, quote_source=source) == {missing} and account.quote_source == "NONE"


@pytest.mark.parametrize("name", ["../prices.csv", "/etc/passwd", "a/../../b.csv", ".env", "tvapp.sqlite3"])
def test_it_takes_no_file_but_a_csv_of_the_data_directory(account, name):
    assert save(account, quote_source="FILE", quote_file=name) == {"quote_file"} and account.quote_file == ""


def test_it_takes_prices_from_ones_own_zerodha_account_alone(account):
    foreign = make.BrokerAccountFactory(broker="zerodha", environment="SIM")
    other_paper = make.BrokerAccountFactory(owner=account.owner)
    for wrong in (foreign, other_paper, account):
        assert save(account, quote_source="KITE", quote_account=wrong.pk) == {"quote_account"}


@pytest.mark.parametrize(("seconds", "refused"), [(0, True), (1, False), (14400, False), (14401, True)])
def test_it_reads_prices_between_each_second_and_every_four_hours(account, seconds, refused):
    assert (save(account, quote_every_s=seconds) == {"quote_every_s"}) is refused


def test_it_asks_a_zerodha_account_for_no_source(kite):
    page = browser(kite.owner).get(reverse("admin:brokers_brokeraccount_change", args=[kite.pk])).content.decode()
    assert "quote_every_s" in page and "quote_source" not in page
