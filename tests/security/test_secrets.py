"""Marked secrets go through the desk; afterwards none of them is in a row, on a page, in an answer or in a line of the log."""

import logging

import pytest

from tests.security.routes import routes
from tests.security.rows import dump
from tests.tvapp.people import browser
from trading.services import dispatch, strategies
from tvapp.lib.log import JsonFormatter

pytestmark = pytest.mark.django_db


@pytest.fixture
def lines():
    """Everything that is logged, down to DEBUG, as the log file would hold it."""
    found: list[str] = []
    root, handler = logging.getLogger(), logging.Handler(logging.DEBUG)
    handler.emit = lambda record: found.append(JsonFormatter().format(record))
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield found
    root.setLevel(before)
    root.removeHandler(handler)


@pytest.fixture
def used(victim, client, lines) -> dict[str, str]:
    """Each kind of secret, used once rightly and once in the wrong place."""
    secret = strategies.issue_secret(victim.auto, "test")
    signed_in = {"username": victim.owner.username, "password": "a-long-Passw0rd"}
    token = client.post("/api/auth/login", signed_in, content_type="application/json").json()["token"]
    sent = client.post("/webhook", victim.body("auto", secret=secret), content_type="application/json").json()
    dispatch.work(sent["order_id"])
    client.post("/webhook", victim.body("auto", secret=secret, trade={"quantity": "many"}), content_type="application/json")
    client.post("/webhook", victim.body("manual", secret=secret), content_type="application/json")
    client.post(f"/webhook/tv/{secret}", {"symbol": "NSE:INFY", "side": "BUY", "token": secret}, content_type="application/json")
    client.post(f"/webhook/tv/{secret}/nowhere", {})
    client.get("/api/orders", headers={"Authorization": f"Token {token}"})
    client.post("/login/", {**signed_in, "username": "wrong"})
    return {"secret": secret, "token": token, "password": "a-long-Passw0rd", "installation": "installation-secret-1"}


def test_it_keeps_no_secret_in_any_row(used):
    assert [(name, table) for table, rows in dump().items() for name, value in used.items() if any(value in row for row in rows)] == []


def test_it_logs_no_secret(used, lines):
    assert len(lines) > 5
    assert [(name, line) for line in lines for name, value in used.items() if value in line] == []


def test_it_shows_no_secret_on_any_page(used, victim, boss):
    digest = type(victim.auto).objects.get(pk=victim.auto.pk).secret_digest
    broker = {name: f"victim-{name}" for name in ("api-secret", "access-token", "request-token")}
    hidden = {**used, **broker, "digest": digest, "hash": victim.owner.password}
    for client in (browser(victim.owner), boss):
        for route in routes():
            text = client.get(route.url(victim.owner)).content.decode(errors="replace")
            assert [name for name, value in hidden.items() if value in text] == [], route.path


def test_it_writes_one_line_for_one_request_whatever_it_is_called(victim, boss, lines):
    boss.get("/orders%0a%7b%22level%22:%22FORGED%22%7d%0d%1b[31m")
    assert lines and not [line for line in lines if "\n" in line or "\x1b" in line or '"level":"FORGED"' in line]
