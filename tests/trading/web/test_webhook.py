"""The webhook over HTTP: every example body, and everything that is not one."""

import json
from pathlib import Path

import pytest
from django.db import OperationalError

from tests.trading.desk import INSTALLATION
from trading.models import Alert, Order
from trading.services import ingest

pytestmark = pytest.mark.django_db
EXAMPLES = sorted((Path(__file__).parents[1] / "domain" / "examples").glob("*.json"))


def post(client, raw, path="/webhook/tradingview", **headers):
    data = raw if isinstance(raw, bytes) else json.dumps(raw).encode()
    return client.generic("POST", path, data, content_type=headers.pop("content_type", "text/plain"), headers=headers)


def test_it_answers_201_with_ids_and_the_correlation_id_everywhere(desk, client):
    answer = post(client, desk.body())
    order = Order.objects.get()
    assert answer.status_code == 201
    body = {"id": 1, "alert_id": 1, "order_id": 1, "order_ids": [1], "status": "accepted", "duplicate": False}
    body |= {"id": order.alert_id, "alert_id": order.alert_id, "order_id": order.pk, "order_ids": [order.pk]}
    assert answer.json() == {**body, "correlation_id": order.correlation_id}
    assert answer["X-Request-ID"] == order.correlation_id == order.events.get().correlation_id


def test_it_answers_a_repeat_with_the_first_correlation_id(desk, client):
    body = desk.body()
    first, again = post(client, body), post(client, body)
    assert (again.status_code, again.json()["duplicate"]) == (200, True)
    assert again["X-Request-ID"] == first.json()["correlation_id"] == again.json()["correlation_id"]


@pytest.mark.parametrize("path", ["/webhook/tradingview", "/webhook/tradingview/", "/webhook", "/webhook/", "/api/webhook/tradingview"])
def test_it_listens_on_every_alias(desk, client, path):
    assert post(client, desk.body(), path).status_code == 201


KINDS = ["application/json", "text/plain; charset=utf-8", "application/x-www-form-urlencoded", "multipart/form-data", "nonsense"]


@pytest.mark.parametrize("kind", KINDS)
def test_it_takes_any_content_type(desk, client, kind):
    assert post(client, desk.body(), content_type=kind).status_code == 201


def test_it_takes_the_token_in_the_path_with_and_without_a_slash(desk, client):
    token = desk.secret(desk.manual)
    for path in (f"/webhook/tv/{token}", f"/webhook/tv/{token}/"):
        assert post(client, desk.body(secret=None), path).status_code == 201
    assert post(client, desk.body(secret=None), "/webhook/tv/wrong").status_code == 401


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_it_answers_every_example_body_with_a_code_or_an_order(desk, client, path):
    example = json.loads(path.read_text())
    body = example.get("body", example)
    raw = json.dumps(body).replace('"s3"', json.dumps(INSTALLATION)).encode()
    answer = post(client, raw)
    assert answer.status_code in (200, 201, 400)
    assert answer.json().get("code") or answer.json()["alert_id"] == Alert.objects.get().pk


def _trade(desk, **changes) -> bytes:
    return json.dumps(desk.body(trade=changes)).encode()


BAD = {
    "no json": (lambda d: b"hello", 400),
    "empty": (lambda d: b"", 400),
    "one megabyte": (lambda d: b"[" + b"1," * 500_000 + b"1]", 413),
    "ten thousand levels": (lambda d: b"[" * 10_000 + b"]" * 10_000, 413),
    "a thousand levels": (lambda d: b"[" * 1_000 + b"]" * 1_000, 400),
    "an array": (lambda d: json.dumps([d.body()]).encode(), 400),
    "not utf-8": (lambda d: b'{"secret": "\xff\xfe"}', 400),
    "a placeholder left in": (lambda d: _trade(d, price="{{close}}"), 400),
    "an action placeholder": (lambda d: _trade(d, order_action="{{strategy.order.action}}"), 400),
    "quantity -1": (lambda d: _trade(d, quantity=-1), 400),
    "quantity 0": (lambda d: _trade(d, quantity=0), 400),
    "quantity 1.5x": (lambda d: _trade(d, quantity="1.5x"), 400),
    "quantity NUL": (lambda d: _trade(d, quantity="1\0"), 400),
    "action HOLD": (lambda d: _trade(d, order_action="HOLD"), 400),
    "NaN": (lambda d: json.dumps(d.body()).replace("1500", "NaN").encode(), 400),
    "1e400": (lambda d: json.dumps(d.body()).replace("1500", "1e400").encode(), 400),
    "no symbol": (lambda d: json.dumps({k: v for k, v in d.body().items() if k != "symbol"}).encode(), 400),
    "a key twice": (lambda d: json.dumps(d.body())[:-1].encode() + b', "symbol": "NSE:SBIN"}', 400),
    "wrong secret": (lambda d: json.dumps(d.body(secret="no")).encode(), 401),
    "no secret": (lambda d: json.dumps({k: v for k, v in d.body().items() if k != "secret"}).encode(), 401),
}


@pytest.mark.parametrize("name", BAD)
def test_it_refuses_a_bad_body_with_a_code_and_a_sentence_and_makes_no_order(desk, client, name):
    make, status = BAD[name]
    answer = post(client, make(desk))
    error = answer.json()
    assert answer.status_code == status
    assert error["code"].isupper() and len(error["message"]) > 15 and error["correlation_id"] == answer["X-Request-ID"]
    assert not Order.objects.exists()


def test_it_gives_the_same_answer_for_every_wrong_secret(desk, client):
    bodies = [desk.body(secret="no"), desk.body(secret=None), desk.body(strategy="auto", secret=desk.secret(desk.manual))]
    answers = [post(client, b).json() | {"correlation_id": ""} for b in bodies]
    assert answers[0] == answers[1] == answers[2]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_it_takes_only_post(desk, client, method):
    assert client.generic(method, "/webhook/tradingview").status_code == 405


def test_it_asks_to_send_again_when_the_database_is_busy(desk, client, monkeypatch):
    def busy(*args, **kwargs):
        raise OperationalError("database is locked")

    monkeypatch.setattr(ingest, "_store", busy)
    answer = post(client, desk.body())
    assert (answer.status_code, answer.json()["code"]) == (503, "DATABASE_BUSY")


def test_it_counts_refused_secrets_per_address_and_never_slows_a_good_sender(desk, client, settings):
    settings.TEST_MODE = False
    settings.THROTTLES = {**settings.THROTTLES, "anon": "3/60s"}
    codes = [post(client, desk.body(secret="no"), REMOTE_ADDR="10.0.0.1").status_code for _ in range(4)]
    assert codes == [401, 401, 401, 429]
    assert post(client, desk.body(), REMOTE_ADDR="10.0.0.1").status_code == 201


def test_it_keeps_to_the_address_list(desk, client, settings):
    settings.TV_IP_ALLOWLIST = ["52.89.214.238"]
    assert post(client, desk.body()).json()["code"] == "ADDRESS_NOT_ALLOWED"
    settings.TRUSTED_PROXY_HOPS = 1
    forged = {"X-Forwarded-For": "52.89.214.238, 10.1.1.1"}
    assert post(client, desk.body(), **forged).status_code == 403
    assert post(client, desk.body(), **{"X-Forwarded-For": "10.1.1.1, 52.89.214.238"}).status_code == 201
