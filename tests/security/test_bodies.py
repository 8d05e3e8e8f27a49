"""What comes in over the API: bodies nobody can read, fields nobody may set, filters with hostile words. Never a 500."""

import itertools
import json

import pytest

from tests.security.routes import UNSAFE, routes
from tests.security.rows import fingerprint
from tests.security.test_pages import HOSTILE
from tests.tvapp.people import browser
from trading.models import Order, Strategy

pytestmark = pytest.mark.django_db

BODIES = {
    "deep": b"[" * 3000 + b"]" * 3000,
    "large": b'{"reason": "' + b"x" * 300_000 + b'"}',
    "list": b"[1]",
    "null": b"null",
    "empty": b"",
    "no utf-8": b'{"reason": "\xff"}',
    "surrogate": b'{"reason": "\\ud800", "name": "\\ud800", "username": "\\ud800", "password": "x"}',
    "nul": b'{"reason": "\\u0000", "name": "\\u0000", "username": "\\u0000", "password": "x"}',
    "no number": b'{"quantity": NaN, "version": Infinity, "max_order_value": 1e999, "account_id": 1e30}',
    "huge id": b'{"account_id": 99999999999999999999999, "strategy_id": 99999999999999999999999, "scope": "STRATEGY"}',
}
FORBIDDEN = {
    "owner": 1, "owner_id": 1, "secret_digest": "a" * 64, "old_secret_digest": "a" * 64, "archived_at": None, "limits": 1, "environment": "LIVE",
    "live": True, "armed": True, "is_superuser": True, "is_staff": True, "role": "admin", "status": "COMPLETE", "mode_rules": {}, "filled_quantity": "9",
    "average_price": "9", "simulated": False, "tag": "x", "broker_order_id": "x", "credentials": {}, "correlation_id": "x", "pk": 1,
}  # fmt: skip
QUERIES = [*itertools.product(
    ("q", "status", "strategy", "account", "symbol", "side", "mode", "from", "to", "before", "limit", "simulated", "scope", "account_id", "format",
     "owner__password__startswith", "ordering", "outcome", "edit", "sig", "sort", "age", "verdict"),
    (HOSTILE, "' OR 1=1 --", "\x00", "99999999999999999999999", "-1", "%", "0001-01-01", "9999-12-31", "maybe"),
)]  # fmt: skip


def _api():
    return [r for r in routes() if r.path.startswith("api/")]


@pytest.mark.parametrize("name", BODIES)
def test_it_never_stumbles_over_a_body(name, victim, boss):
    for route, method in itertools.product(_api(), UNSAFE):
        answer = boss.generic(method, route.url(victim.owner), BODIES[name], "application/json")
        assert answer.status_code < 500, (method, route.path)


@pytest.mark.parametrize("body", ["deep", "large", "surrogate", "nul"])
def test_it_never_stumbles_over_a_strangers_body(body, victim, stranger):
    codes = {stranger.generic("POST", r.url(victim.owner), BODIES[body], kind).status_code for r in _api() for kind in ("application/json", "text/xml", "")}
    assert codes <= {400, 401, 404, 405, 413, 415}


@pytest.mark.parametrize("field", FORBIDDEN)
def test_it_sets_no_field_that_is_not_the_senders(field, victim):
    client, before = browser(victim.owner), fingerprint()
    order = Order.objects.filter(status="WAITING").first()
    limits = Strategy.objects.get(pk=victim.auto.pk).limits_id
    new = {"/api/strategies": {"name": "new"}, "/api/risk-settings": {"scope": "STRATEGY", "strategy_id": victim.manual.pk}}
    present = [f"/api/strategies/{victim.auto.pk}", f"/api/orders/{order.pk}", f"/api/risk-settings/{limits}"]
    for url, body in (new | {key: {} for key in present}).items():
        answer = client.generic("POST" if body else "PATCH", url, json.dumps({**body, field: FORBIDDEN[field]}), "application/json")
        assert (answer.json()["code"], answer.json()["extra"]["field"]) == ("UNKNOWN_FIELD", field), url
    assert fingerprint() == before


@pytest.mark.parametrize("path", ["/api/orders", "/api/orders/queue", "/api/alerts", "/api/strategies", "/api/risk-settings", "/orders", "/queue", "/alerts"])
def test_it_never_stumbles_over_a_filter(path, victim):
    client = browser(victim.owner)
    assert [q for q in QUERIES if client.get(path, dict([q])).status_code >= 500] == []


@pytest.mark.parametrize("query", ["owner=1", "owner__password__startswith=p", "strategy__secret_digest__startswith=a", "ordering=owner__password", "limit=201"])
def test_it_filters_by_nothing_but_its_list(query, victim):
    assert browser(victim.owner).get(f"/api/orders?{query}").status_code == 400


@pytest.mark.parametrize("query", ["owner__password__startswith=p", "account__owner__username=boss", "_to_field=secret_digest"])
def test_it_looks_behind_no_row_in_the_settings(query, victim):
    assert browser(victim.owner).get(f"/admin/trading/strategy/?{query}").status_code == 400


@pytest.mark.parametrize("path", ["/static/../.env", "/static/%2e%2e/%2e%2e/.env", "/static/..%2f.env", "/static//etc/passwd", "/api/../.env", "/%00", "/api/%00"])
def test_it_serves_no_file_from_outside(path, victim, boss):
    answer = boss.get(path)
    assert answer.status_code == 404 and b"SECRET_KEY" not in b"".join(answer)


@pytest.mark.parametrize("sign", ["\n", "\x1b[31m", "\u202e", "\u200b", "\u2028"])
def test_it_names_no_strategy_by_what_cannot_be_seen(sign, victim):
    client, name = browser(victim.owner), f"a{sign}b"
    body = json.dumps({"name": name})
    assert client.post("/api/strategies", body, "application/json").json()["message"] == "name: Only visible characters, in one line."
    client.post(f"/admin/trading/strategy/{victim.auto.pk}/change/", {"name": name})
    assert not Strategy.objects.filter(name=name).exists()


def test_it_takes_a_name_in_any_script(victim):
    body = json.dumps({"name": "\u0915\u094d\u200d\u0937 \u2013 ORB-15"})
    assert browser(victim.owner).post("/api/strategies", body, "application/json").status_code == 201
