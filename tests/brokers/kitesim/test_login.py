"""The way in: the page, the request token, the session, its end."""

from datetime import datetime
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from kiteconnect import KiteConnect
from kiteconnect.exceptions import InputException, PermissionException, TokenException

from tests.brokers.kitesim.conftest import sha


def _approve(bench, action="approve", **more):
    form = {"api_key": "simkey", "redirect_params": "state=a%20b", "action": action, **more}
    answer = requests.post(f"{bench.url}/connect/login", data=form, allow_redirects=False, timeout=5)
    return answer.status_code, answer.headers["Location"]


def test_it_shows_a_page_that_names_the_app_and_carries_its_parameters(bench):
    page = requests.get(f"{bench.url}/connect/login", params={"v": 3, "api_key": 'my"app', "redirect_params": "state=1"}, timeout=5)
    assert page.headers["Content-Type"] == "text/html" and page.headers["X-Simulator"] == "1"
    assert 'value="my&quot;app"' in page.text and 'value="state=1"' in page.text


def test_it_returns_to_the_app_with_a_token_and_the_apps_own_parameters(bench):
    status, url = _approve(bench)
    asked = parse_qs(urlsplit(url).query)
    assert status == 302 and url.startswith("http://127.0.0.1:1/callback?")
    assert (asked["status"], asked["action"], asked["state"], len(asked["request_token"])) == (["success"], ["login"], ["a b"], 1)


def test_it_returns_without_a_token_when_denied(bench):
    _, url = _approve(bench, "deny")
    assert "request_token" not in url and "status=cancelled" in url


def test_it_returns_to_the_accounts_own_address_and_only_on_this_machine(bench):
    bench.post("accounts", redirect_url="http://localhost:9/back?x=1")
    assert _approve(bench)[1].startswith("http://localhost:9/back?x=1&action=login")
    bench.post("accounts", redirect_url="https://example.com/")
    answer = requests.post(f"{bench.url}/connect/login", data={"api_key": "simkey"}, allow_redirects=False, timeout=5)
    assert answer.status_code == 400


def test_it_opens_a_session_for_the_client(bench):
    client = KiteConnect("simkey", root=bench.url)
    token = parse_qs(urlsplit(_approve(bench)[1]).query)["request_token"][0]
    session = client.generate_session(token, "simsecret")
    assert (session["user_id"], session["login_time"]) == ("AB1234", datetime(2026, 11, 23, 10))
    assert client.profile()["user_id"] == "AB1234"


def test_it_takes_a_request_token_once(bench):
    client = KiteConnect("simkey", root=bench.url)
    token = bench.post("login")["request_token"]
    client.generate_session(token, "simsecret")
    with pytest.raises(TokenException, match="Token is invalid or has expired"):
        client.generate_session(token, "simsecret")


def test_it_takes_a_request_token_for_minutes_only(bench):
    token = bench.post("login")["request_token"]
    bench.clock(advance_s=301)
    with pytest.raises(TokenException, match="Token is invalid or has expired"):
        KiteConnect("simkey", root=bench.url).generate_session(token, "simsecret")


def test_it_checks_the_checksum(bench):
    token = bench.post("login")["request_token"]
    with pytest.raises(TokenException, match="Invalid `checksum`"):
        KiteConnect("simkey", root=bench.url).generate_session(token, "wrong")
    form = {"api_key": "simkey", "request_token": token, "checksum": sha("simkey", token, "simsecret")}
    assert requests.post(f"{bench.url}/session/token", data=form, timeout=5).status_code == 200


def test_it_takes_a_request_token_only_from_its_own_app(bench):
    token = bench.post("login")["request_token"]
    with pytest.raises(TokenException):
        KiteConnect("another", root=bench.url).generate_session(token, "simsecret")


def test_it_ends_a_session_on_request(kite):
    kite.invalidate_access_token()
    with pytest.raises(TokenException, match="Incorrect `api_key` or `access_token`"):
        kite.profile()


def test_it_ends_every_session_at_six_in_the_morning(bench, kite):
    bench.clock(at="2026-11-24T05:59:59+05:30")
    assert kite.profile()
    bench.clock(advance_s=1)
    with pytest.raises(TokenException):
        kite.orders()
    assert bench.kite().profile()


def test_it_ends_sessions_when_the_control_side_says_so(bench, kite):
    called = []
    kite.set_session_expiry_hook(lambda: called.append(1))
    assert bench.post("expire", api_key="simkey")["ended"] == 1
    with pytest.raises(TokenException):
        kite.orders()
    assert called == [1]


@pytest.mark.parametrize("path", ["/orders", "/user/profile", "/quote?i=NSE:INFY", "/gtt/triggers", "/no/such/route", "/orders/regular"])
def test_it_refuses_everything_without_a_session(bench, path):
    answer = requests.get(bench.url + path, headers={"Authorization": "token simkey:wrong"}, timeout=5)
    assert (answer.status_code, answer.json()["error_type"]) == (403, "TokenException")


def test_it_knows_no_other_routes(bench, kite):
    answer = requests.get(f"{bench.url}/no/such", headers={"Authorization": f"token simkey:{kite.access_token}"}, timeout=5)
    assert answer.status_code == 404


def test_it_opens_an_account_for_every_key_and_keeps_them_apart(bench, kite, buy):
    other = bench.kite("otherkey")
    buy()
    assert other.profile()["user_id"] != "AB1234" and other.orders() == []
    assert [row["api_key"] for row in bench.accepted()] == ["simkey"]
    with pytest.raises(TokenException):
        KiteConnect("otherkey", kite.access_token, root=bench.url).orders()


def test_it_can_sign_in_somebody_else(bench):
    bench.post("accounts", user_id="ZZ9999")
    assert bench.kite().profile()["user_id"] == "ZZ9999"


def test_it_gives_no_prices_to_the_personal_plan(bench, kite):
    bench.post("accounts", plan="personal")
    for ask in (kite.quote, kite.ltp, kite.ohlc):
        with pytest.raises(PermissionException):
            ask("NSE:INFY")
    assert kite.margins()["equity"]["enabled"]


def test_it_refuses_orders_from_an_address_that_is_not_registered(bench, kite, buy):
    bench.post("accounts", ip_allowed=False)
    with pytest.raises(PermissionException, match=r"IP \(127.0.0.1\) is not allowed to place orders"):
        buy()
    assert kite.orders() == [] and bench.accepted() == []


def test_it_refuses_a_login_page_without_an_app(bench):
    answer = requests.get(f"{bench.url}/connect/login?v=3", timeout=5)
    assert answer.json()["error_type"] == InputException.__name__
