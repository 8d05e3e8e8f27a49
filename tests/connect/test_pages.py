"""The brokers page in a browser's place: adding, connecting, coming back, disconnecting; and whose account is whose."""

from datetime import timedelta

import pytest
import time_machine
from django.contrib.messages import get_messages

from brokers.models import BrokerAccount, BrokerSession
from tests.connect.conftest import work_off
from tests.tvapp.people import browser, person
from trading.models import SystemEvent
from trading.services import books
from tvapp.people import roles


@pytest.fixture
def ravi(login):
    return browser(login.desk.owner)


def _said(answer) -> str:
    return " ".join(str(m) for m in get_messages(answer.wsgi_request))


def _begin(client, login) -> str:
    return client.post(f"/brokers/accounts/{login.account.pk}/connect")["Location"]


def test_it_goes_to_the_login_page_and_comes_back_connected(login, ravi):
    there = _begin(ravi, login)
    assert there.startswith(f"{login.bench.url}/connect/login?") and "simsecret" not in there
    back = ravi.get(login.approve(there).removeprefix("http://127.0.0.1:8000"))
    assert (back.status_code, back["Location"]) == (302, "/brokers")
    assert b"being completed" in ravi.get("/brokers").content
    assert "connected" in work_off()
    page = ravi.get("/brokers").content.decode()
    assert "AB1234, Simulated Trader AB1234" in page and "Disconnect zerodha" in page


def test_it_refuses_a_login_nobody_began_here(login, ravi):
    answer = ravi.get("/brokers/zerodha/callback", {"state": "made-up", "status": "success", "request_token": login.request_token()})
    assert answer.status_code == 403
    assert b"not begun on this desk" in answer.content
    assert not BrokerSession.objects.exists()


def test_it_refuses_a_login_somebody_else_began(login, ravi):
    back = login.approve(_begin(ravi, login)).removeprefix("http://127.0.0.1:8000")
    assert browser(person("eve", roles.ADMIN)).get(back).status_code == 403
    assert ravi.get(back).status_code == 302  # the right person still can
    assert ravi.get(back).status_code == 403  # once


def test_it_asks_for_the_sign_in_before_it_takes_a_login(login, ravi, client):
    back = login.approve(_begin(ravi, login)).removeprefix("http://127.0.0.1:8000")
    assert client.get(back)["Location"].startswith("/login/")
    assert not BrokerSession.objects.exists()


def test_it_takes_a_pasted_token(login, ravi):
    answer = ravi.post(f"/brokers/accounts/{login.account.pk}/token", {"request_token": login.request_token()})
    assert "being completed" in _said(answer) and "connected" in work_off()


def test_it_says_in_words_why_a_login_failed(login, ravi):
    login.fail(credentials="wrong")
    assert "does not accept the API secret" in ravi.get("/brokers").content.decode()


def test_it_loads_the_page_anew_when_other_buttons_are_due(login, ravi):
    url, htmx = f"/brokers/accounts/{login.account.pk}", {"HX-Request": "true"}
    assert ravi.get(url, {"sig": "-DISCONNECTED-True"}, headers=htmx).status_code == 200
    login.log_in()
    changed = ravi.get(url, {"sig": "-DISCONNECTED-True"}, headers=htmx)
    assert (changed.status_code, changed["HX-Refresh"]) == (204, "true")


def test_it_disconnects(login, ravi):
    login.log_in()
    token = login.row.access_token
    ravi.post(f"/brokers/accounts/{login.account.pk}/disconnect")
    work_off()
    assert not login.alive_at_broker(token)
    assert b"Not logged in" in ravi.get("/brokers").content


@pytest.mark.parametrize(("left", "look", "words"), [(timedelta(hours=3), "ok", "login valid to"), (timedelta(minutes=42), "soon", "login ends in 41 m")])
def test_it_shows_the_login_on_every_page(login, ravi, left, look, words):
    login.log_in()
    BrokerSession.objects.update(expires_at=login.row.issued_at + left)
    page = ravi.get("/orders").content.decode()
    assert f'class="conn conn-{look}"' in page and words in page


def test_it_shows_an_expired_login_on_every_page(login, ravi):
    login.log_in()
    with time_machine.travel(login.row.expires_at + timedelta(seconds=5), tick=True):
        from trading.services import connect

        connect.sweep()
        login.desk.owner.refresh_from_db()
        assert "login expired 06:00" in browser(login.desk.owner).get("/").content.decode()


def test_it_says_when_a_login_would_lead_back_to_another_address(login, ravi, settings):
    settings.ALLOWED_HOSTS, settings.BASE_URL = ["*"], "http://127.0.0.1:8000"
    assert "a login leads back" not in ravi.get("/brokers", headers={"host": "127.0.0.1:8000"}).content.decode()
    elsewhere = ravi.get("/brokers", headers={"host": "localhost:8000"}).content.decode()
    assert "You opened the desk at localhost:8000" in elsewhere and 'href="http://127.0.0.1:8000/brokers"' in elsewhere


@pytest.mark.parametrize(("allowed", "environment", "words"), [(True, "LIVE", "Real money"), (False, "LIVE", "Simulated fills"), (True, "SIM", "Simulated fills")])
def test_it_says_on_every_page_whether_orders_can_reach_the_market(login, ravi, settings, allowed, environment, words):
    settings.ALLOW_LIVE = allowed
    BrokerAccount.objects.filter(pk=login.account.pk).update(environment=environment)
    for path in ("/", "/orders"):
        page = ravi.get(path).content.decode()
        assert words in page and ("no order reaches the market" in page) == (words != "Real money")


def test_it_says_that_the_session_is_over_and_nothing_of_the_reads_that_failed_with_it(login, ravi):
    login.log_in()
    login.bench.post("expire", api_key="simkey")
    books.sync_account(login.account.pk)
    page = ravi.get("/brokers").content.decode()
    assert "The broker no longer accepts the session" in page and "could not be read" not in page


def test_it_adds_an_account_that_belongs_to_the_person(login, ravi):
    given = {"name": "second", "api_key": "otherkey", "api_secret": "othersecret", "client_id": "ab9999"}
    assert ravi.post("/brokers/add", given).status_code == 302
    made = BrokerAccount.objects.get(name="second")
    assert (made.owner, made.broker, made.environment, made.state) == (login.desk.owner, "zerodha", "SIM", "DISCONNECTED")
    assert (made.api_key, made.credentials, made.client_id) == ("otherkey", "othersecret", "AB9999")
    assert "othersecret" not in ravi.get("/brokers").content.decode()


@pytest.mark.parametrize("given", [{"name": "zerodha"}, {"name": ""}, {"name": "!"}, {"name": "x", "api_key": "k"}])
def test_it_says_what_is_wrong_with_a_new_account(login, ravi, given):
    answer = ravi.post("/brokers/add", given)
    assert answer.status_code == 422 and b"field-err" in answer.content
    assert BrokerAccount.objects.count() == 2


@pytest.mark.parametrize("path", ["", "/connect", "/token", "/disconnect"])
def test_it_hides_accounts_of_others(login, path):
    eve = browser(person("eve"))
    assert (eve.post if path else eve.get)(f"/brokers/accounts/{login.account.pk}{path}").status_code == 404
    assert b"zerodha</h2>" not in eve.get("/brokers").content


@pytest.mark.parametrize("path", ["/brokers/add", "/brokers/accounts/{}/connect", "/brokers/accounts/{}/token", "/brokers/accounts/{}/disconnect"])
def test_it_lets_no_viewer_connect(login, path):
    roles.assign(login.desk.owner, roles.VIEWER)
    client = browser(login.desk.owner)
    assert client.post(path.format(login.account.pk)).status_code == 403
    assert client.get("/brokers").status_code == 200
    assert client.get("/brokers/zerodha/callback").status_code == 403


# -------------------------------------------------------------------------------------------------------------------- admin
FORM = {"name": "zerodha", "enabled": "on", "quote_every_s": 5}


def _change(login) -> str:
    return f"/admin/brokers/brokeraccount/{login.account.pk}/change/"


def test_it_changes_a_secret_in_the_admin_without_showing_it(login, ravi):
    page = ravi.get(_change(login)).content.decode()
    assert "simsecret" not in page and "simkey" not in page and "…mkey" in page
    assert ravi.post(_change(login), {**FORM, "client_id": "AB1234"}).status_code == 302
    login.account.refresh_from_db()
    assert (login.account.api_key, login.account.credentials, login.account.client_id) == ("simkey", "simsecret", "AB1234")
    ravi.post(_change(login), {**FORM, "api_key": "newkey", "api_secret": "newsecret"})
    login.account.refresh_from_db()
    assert (login.account.api_key, login.account.credentials) == ("newkey", "newsecret")
    assert "newkey" not in str(list(login.account.history.values())) + ravi.get(_change(login).replace("change", "history")).content.decode()


def test_it_keeps_the_key_of_a_connected_account(login, ravi):
    login.log_in()
    answer = ravi.post(_change(login), {**FORM, "api_key": "newkey"})
    assert answer.status_code == 200 and b"Disconnect the account before" in answer.content


@pytest.mark.parametrize(("action", "code"), [("reset_token", "SESSION_RESET"), ("end_sessions", "SESSION_ENDED")])
def test_it_lets_an_admin_end_sessions_of_others_with_an_event(login, action, code):
    login.log_in()
    boss = browser(person("boss", roles.ADMIN))
    boss.post("/admin/brokers/brokeraccount/", {"action": action, "_selected_action": [login.account.pk]})
    work_off()
    assert login.state == ("NONE", "DISCONNECTED")
    assert SystemEvent.objects.get(code=code).message.startswith("boss ")


def test_it_offers_these_actions_to_admins_only(login, ravi):
    login.log_in()
    assert b"reset_token" not in ravi.get("/admin/brokers/brokeraccount/").content
    ravi.post("/admin/brokers/brokeraccount/", {"action": "reset_token", "_selected_action": [login.account.pk]})
    assert login.state[0] == "ACTIVE"
