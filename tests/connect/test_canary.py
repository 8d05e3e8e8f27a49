"""Marked secrets go through logins, failures and logouts; afterwards none of them is anywhere in clear."""

import logging
from pathlib import Path

import pytest
from django.apps import apps
from django.db import connection
from django_q.models import OrmQ

from brokers.models import BrokerAccount
from tests.connect.conftest import work_off
from tests.security.routes import routes
from tests.security.rows import dump
from tests.tvapp.people import browser, person
from trading.services import connect
from tvapp.lib.log import JsonFormatter, TextFormatter
from tvapp.people import roles

SECRET = "CANARYsecret" + "q" * 20


@pytest.fixture
def lines():
    """Everything that is logged, down to DEBUG, by whatever library, in both forms."""
    found: list[str] = []
    root, handler = logging.getLogger(), logging.Handler(logging.DEBUG)
    handler.addFilter(lambda record: record.name != "brokers.kitesim")  # the broker's own log
    handler.emit = lambda record: found.extend((JsonFormatter().format(record), TextFormatter().format(record)))
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield found
    root.setLevel(before)
    root.removeHandler(handler)


@pytest.fixture
def payloads(monkeypatch) -> list[str]:
    """Every bell that rang, unpickled."""
    found: list[str] = []
    save = OrmQ.save

    def seen(row, *args, **kwargs):
        save(row, *args, **kwargs)
        found.append(repr(row.task))

    monkeypatch.setattr(OrmQ, "save", seen)
    return found


@pytest.fixture
def used(login, lines, payloads) -> dict[str, str]:
    """Each kind of secret, used rightly, used wrongly, and after its end."""
    login.bench.post("accounts", api_key="canarykey", secret=SECRET)
    ravi = browser(login.desk.owner)
    ravi.post("/brokers/add", {"name": "canary", "api_key": "canarykey", "api_secret": SECRET})
    account = BrokerAccount.objects.get(name="canary")
    ravi.patch(f"/api/brokers/accounts/{account.pk}", {"api_secret": SECRET}, content_type="application/json")
    tokens = {"secret": SECRET, "request": login.request_token("canarykey"), "second": login.request_token("canarykey")}
    back = login.approve(ravi.post(f"/brokers/accounts/{account.pk}/connect")["Location"]).removeprefix("http://127.0.0.1:8000")
    tokens["callback"] = back.partition("request_token=")[2].partition("&")[0]
    ravi.get(back)
    work_off()
    tokens["first access"] = account.session.access_token
    for name in ("request", "request", "second"):  # once rightly, once used up, once with a server that breaks off
        if name == "second":
            login.bench.fault("token", "drop_after")
        ravi.post("/api/zerodha/connect", {"request_token": tokens[name], "account_id": account.pk}, content_type="application/json")
        work_off()
    account.refresh_from_db()
    tokens["access"] = account.session.access_token
    login.bench.post("expire", api_key="canarykey")
    connect.disconnect(account, actor="ravi")
    work_off()
    ravi.get(back)  # used up: a page that refuses
    ravi.post(f"/brokers/accounts/{account.pk}/token", {"request_token": f"<{tokens['request']}>"})
    connect.take_token(account, login.request_token("canarykey"))
    work_off()
    account.refresh_from_db()
    tokens["last access"] = account.session.access_token
    assert all(len(token or "") > 20 for token in tokens.values()), tokens
    return tokens


def _found(used: dict[str, str], text: str) -> list[str]:
    return [name for name, value in used.items() if value in text]


def test_it_keeps_none_in_clear_in_any_row_history_event_or_file(used):
    assert [(table, _found(used, row)) for table, rows in dump().items() for row in rows if _found(used, row)] == []
    if connection.vendor == "sqlite" and Path(str(connection.settings_dict["NAME"])).exists():
        raw = Path(connection.settings_dict["NAME"]).read_bytes().decode("latin-1")
        assert _found(used, raw) == []


def test_it_logs_none(used, lines):
    assert len(lines) > 20
    assert [line for line in lines if _found(used, line)] == []


def test_it_hands_none_to_a_task(used, payloads):
    assert len(payloads) > 4
    assert [text for text in payloads if _found(used, text)] == []
    assert not [t for t in apps.get_model("django_q", "Task").objects.all() if _found(used, repr((t.args, t.kwargs, t.result)))]


def test_it_shows_none_on_any_page_answer_or_in_the_admin(used, login):
    owner, boss = browser(login.desk.owner), browser(person("boss", roles.ADMIN))
    account = BrokerAccount.objects.get(name="canary")
    more = [f"/admin/brokers/brokeraccount/{account.pk}/{what}/" for what in ("change", "history")]
    more += [f"/api/brokers/accounts/{account.pk}", f"/api/zerodha/status?account_id={account.pk}", "/admin/brokers/brokeraccount/add/"]
    for client in (owner, boss):
        for url in [*(r.url(login.desk.owner) for r in routes() if not r.takes_row), *more]:
            assert _found(used, client.get(url).content.decode(errors="replace")) == [], url


def test_it_opens_no_secret_to_show_a_page(used, monkeypatch, login):
    monkeypatch.setattr("brokers.secrets.unseal", lambda blob: pytest.fail("opened"))
    assert browser(login.desk.owner).get("/brokers").status_code == 200
