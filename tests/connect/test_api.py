"""Accounts and sessions by API."""

import pytest

from brokers.models import BrokerAccount, BrokerSession
from tests.connect.conftest import work_off
from tests.tvapp.people import browser, person
from tvapp.people import roles


@pytest.fixture
def ravi(login):
    return browser(login.desk.owner)


def _post(client, path, **body):
    return client.post(path, body, content_type="application/json")


def _patch(client, path, **body):
    return client.patch(path, body, content_type="application/json")


def test_it_connects_by_the_address_it_gives(login, ravi):
    before = ravi.get("/api/zerodha/status").json()
    assert {before[name] for name in ("connected",)} == {False}
    assert (before["user_id"], before["expires_at"], before["account_id"]) == (None, None, login.account.pk)
    address = ravi.get("/api/zerodha/login-url").json()["login_url"]
    assert not BrokerSession.objects.exists()  # reading writes nothing
    assert ravi.get(login.approve(address).removeprefix("http://127.0.0.1:8000")).status_code == 302
    work_off()
    now = ravi.get("/api/zerodha/status").json()
    assert (now["connected"], now["user_id"], now["user_name"], now["error"]) == (True, "AB1234", "Simulated Trader AB1234", None)
    assert now["expires_at"].endswith("+05:30") or now["expires_at"].endswith("Z")


def test_it_takes_a_request_token_and_says_later_what_came_of_it(login, ravi):
    taken = _post(ravi, "/api/zerodha/connect", request_token=login.request_token())
    assert (taken.status_code, taken.json()["state"]) == (202, "EXCHANGE")
    work_off()
    assert ravi.get("/api/zerodha/status").json()["connected"] is True
    _post(ravi, "/api/zerodha/connect", request_token="used-or-made-up")
    work_off()
    assert "Log in again" in ravi.get("/api/zerodha/status").json()["error"]


def test_it_disconnects(login, ravi):
    login.log_in()
    assert _post(ravi, "/api/zerodha/disconnect").status_code == 202
    work_off()
    assert ravi.get("/api/zerodha/status").json()["state"] == "NONE"


def test_it_wants_to_know_which_of_two_accounts(login, ravi):
    other = BrokerAccount.objects.create(owner=login.desk.owner, name="two", broker="zerodha", api_key="twokey", credentials="simsecret")
    for answer in (ravi.get("/api/zerodha/login-url"), ravi.get("/api/zerodha/status"), _post(ravi, "/api/zerodha/connect", request_token="a" * 32)):
        assert (answer.status_code, answer.json()["code"]) == (400, "ACCOUNT_NEEDED")
    assert ravi.get(f"/api/zerodha/login-url?account_id={other.pk}").json()["account_id"] == other.pk
    assert _post(ravi, "/api/zerodha/connect", request_token=login.request_token("twokey"), account_id=other.pk).status_code == 202


def test_it_says_that_there_is_no_account_yet(db):
    client = browser(person("mira"))
    assert client.get("/api/zerodha/status").json()["connected"] is False
    assert client.get("/api/zerodha/login-url").json()["code"] == "NO_ACCOUNT"


@pytest.mark.parametrize("text", ["x", "-1", "1.5", "9" * 30])
def test_it_refuses_an_account_id_that_is_no_number(login, ravi, text):
    assert ravi.get("/api/zerodha/status", {"account_id": text}).status_code == 400


def test_it_makes_an_account_and_never_shows_its_secret(login, ravi):
    made = _post(ravi, "/api/brokers/accounts", name="second", api_key="secondkey", api_secret="second-secret", client_id="ab1")
    assert made.status_code == 201
    told = made.json()
    assert (told["broker"], told["environment"], told["state"], told["client_id"]) == ("zerodha", "SIM", "DISCONNECTED", "AB1")
    assert (told["api_key"], told["has_secret"]) == ("…dkey", True)
    assert "second-secret" not in made.content.decode() + ravi.get("/api/brokers/accounts").content.decode()
    paper = _post(ravi, "/api/brokers/accounts", name="paper2", broker="paper", capital="5000").json()
    assert (paper["environment"], paper["state"], paper["capital"]) == ("PAPER", "READY", "5000")


def test_it_changes_what_is_named_and_nothing_else(login, ravi):
    url = f"/api/brokers/accounts/{login.account.pk}"
    assert _patch(ravi, url, api_secret="new-secret", enabled=False, api_key="…mkey").json()["enabled"] is False
    login.account.refresh_from_db()
    assert (login.account.credentials, login.account.api_key) == ("new-secret", "simkey")
    for wrong in ({"state": "READY"}, {"environment": "LIVE"}, {"owner": 1}, {"credentials": "x"}, {"broker": "paper"}):
        assert _patch(ravi, url, **wrong).status_code == 400, wrong
    assert _post(ravi, "/api/brokers/accounts", name="zerodha").json()["code"] == "NAME_TAKEN"


def test_it_keeps_the_key_of_a_connected_account(login, ravi):
    login.log_in()
    assert _patch(ravi, f"/api/brokers/accounts/{login.account.pk}", api_key="another").json()["code"] == "SESSION_ACTIVE"


def test_it_hides_accounts_of_others(login):
    eve, pk = browser(person("eve")), login.account.pk
    assert eve.get("/api/brokers/accounts").json()["results"] == []
    assert eve.get(f"/api/brokers/accounts/{pk}").status_code == 404
    assert _patch(eve, f"/api/brokers/accounts/{pk}", name="mine").status_code == 404
    assert eve.get(f"/api/zerodha/login-url?account_id={pk}").status_code == 404
    assert _post(eve, "/api/zerodha/connect", request_token="a" * 32, account_id=pk).status_code == 404
    assert _post(eve, "/api/zerodha/disconnect", account_id=pk).status_code == 404


def test_it_lets_no_viewer_connect(login):
    roles.assign(login.desk.owner, roles.VIEWER)
    client = browser(login.desk.owner)
    assert client.get("/api/zerodha/login-url").status_code == 403
    for path in ("/api/zerodha/connect", "/api/zerodha/disconnect", "/api/brokers/accounts"):
        assert _post(client, path, request_token="a" * 32, name="x").status_code == 403
