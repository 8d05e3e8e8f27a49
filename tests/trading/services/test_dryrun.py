import json
import logging

import pytest
from django.apps import apps
from rest_framework.test import APIClient

from risk.models import Decision, RiskSettings
from tests.trading.desk import make_desk
from trading.models import Alert, Order, OrderEvent, Signal, Strategy, SystemEvent
from tvapp.lib.log import ContextFilter

ROWS = (Alert, Signal, Order, OrderEvent, SystemEvent, Decision)


def counted() -> dict[str, int]:
    models = [*ROWS, apps.get_model("django_q", "OrmQ")]
    return {model.__name__: model.objects.count() for model in models}


@pytest.fixture
def api(desk):
    client = APIClient()
    client.force_authenticate(desk.owner)
    return client


def tried(api, body, **query) -> dict:
    answer = api.post("/api/alerts/dry-run" + "".join(f"?{k}={v}" for k, v in query.items()), json.dumps(body), content_type="application/json")
    return answer.json() | {"http": answer.status_code}


def test_it_shows_signal_order_and_every_rule_and_writes_nothing(desk, api, caplog):
    RiskSettings.objects.filter(scope="GLOBAL").update(max_quantity_per_order=4, clamp_mode="CLAMP")
    before = counted()
    caplog.handler.addFilter(ContextFilter())
    with caplog.at_level(logging.DEBUG, "tvapp"):
        found = tried(api, desk.body("auto"))
    (one,) = found["signals"]
    assert (found["http"], found["strategy"], found["duplicate"], one["step"]) == (200, "auto", False, "SENT")
    assert (one["order"]["symbol"], one["order"]["quantity"], one["signal"]["quantity"]) == ("NSE:INFY", "10", "10")
    assert (one["verdict"]["verdict"], one["verdict"]["final"], one["verdict"]["code"]) == ("CLAMP", "4", "QTY_MAX")
    assert len(one["verdict"]["findings"]) > 20
    assert counted() == before
    assert not [r for r in caplog.records if "order" in r.getMessage()]


def test_it_says_the_same_as_the_real_alert_then_does(desk, api):
    said = tried(api, desk.body("auto"))["signals"][0]
    real = desk.filled("auto")
    assert (said["order"]["quantity"], said["verdict"]["verdict"], real.status) == ("10", real.verdict, "COMPLETE")


@pytest.mark.parametrize(
    ("changes", "step", "words"),
    [
        ({"trade": {"quantity": None}}, "WAITS", "no quantity"),
        ({"timestamp": "2026-01-05T04:00:00Z"}, "STALE", "before it could be used"),
        ({"trade": {"order_action": "SELL", "exit": True}, "position_size": "0", "prev_market_position_size": "0"}, "SENT", "automatic"),
    ],
)
def test_it_says_how_far_an_alert_would_come(desk, api, changes, step, words):
    (one,) = tried(api, desk.body("auto", **changes))["signals"]
    assert (one["step"], words in one["why"]) == (step, True)


def test_it_knows_a_repeat(desk, api):
    body = desk.body("auto")
    desk.send(raw=json.dumps(body).encode())
    assert tried(api, body)["duplicate"] is True


def test_it_tries_a_body_with_the_strategy_that_is_chosen(desk, api):
    assert tried(api, desk.body("nobody"), strategy_id=desk.manual.pk)["strategy"] == "manual"


def test_it_refuses_in_the_words_of_the_webhook(desk, api):
    assert tried(api, desk.body("nobody"))["code"] == "STRATEGY_UNKNOWN"
    assert tried(api, {**desk.body("auto"), "symbol": "{{ticker}}"})["http"] == 400
    assert api.post("/api/alerts/dry-run", "x" * 17000, content_type="text/plain").status_code == 413


def test_it_tries_nobody_elses_strategy(desk):
    other, client = make_desk("ravi"), APIClient()
    Strategy.objects.filter(pk=desk.auto.pk).update(name="hers")
    client.force_authenticate(other.owner)
    assert tried(client, desk.body("hers"))["code"] == "STRATEGY_UNKNOWN"
    assert tried(client, desk.body("auto"), strategy_id=desk.auto.pk)["http"] == 404


# ------------------------------------------------------------------------- marked as a dry run
@pytest.mark.parametrize("way", ["alert", "strategy"])
def test_it_keeps_a_dry_alert_with_what_it_would_have_done(desk, way):
    Strategy.objects.filter(pk=desk.auto.pk).update(dry_run=way == "strategy")
    body = desk.body("auto", **({"dry_run": True} if way == "alert" else {}))
    answer = desk.send(raw=json.dumps(body).encode())
    alert = Alert.objects.get(pk=answer.alert_id)
    assert (answer.status, answer.word, answer.code, answer.order_ids) == (200, "ignored", "DRY_RUN", [])
    assert (alert.outcome, alert.evaluation[0]["step"], alert.evaluation[0]["verdict"]["verdict"]) == ("IGNORED", "SENT", "ALLOW")
    assert not Order.objects.exists() and not Signal.objects.exists()


def test_it_lets_the_real_alert_follow_a_dry_one_with_the_same_key(desk):
    body = desk.body("auto")
    desk.send(raw=json.dumps({**body, "dry_run": True}).encode())
    assert desk.send(raw=json.dumps(body).encode()).status == 201


# ---------------------------------------------------------------------------------- the page
def test_the_page_shows_the_verdict_rule_by_rule(desk, client):
    client.force_login(desk.owner)
    page = client.post("/alerts/try", {"body": json.dumps(desk.body("auto")), "strategy": ""}).content.decode()
    assert "It would be sent by itself." in page and "Quantity" in page and "for auto" in page
    assert "It would be refused" in client.post("/alerts/try", {"body": "{", "strategy": ""}).content.decode()
    assert f'value="{desk.auto.pk}" selected' in client.get(f"/alerts/try?strategy={desk.auto.pk}").content.decode()


@pytest.mark.parametrize(("mode", "said"), [("REJECT", "The risk check would reject it."), ("CLAMP", "It would be sent by itself, cut to 5.")])
def test_the_page_says_what_the_risk_check_makes_of_an_automatic_one(desk, client, mode, said):
    RiskSettings.objects.filter(scope="GLOBAL").update(max_quantity_per_order=5, clamp_mode=mode)
    client.force_login(desk.owner)
    page = client.post("/alerts/try", {"body": json.dumps(desk.body("auto")), "strategy": ""}).content.decode()
    assert said in page and "(GLOBAL)" not in page and "(desk-wide)" in page


def test_the_page_of_a_dry_alert_shows_what_it_would_have_done(desk, client):
    client.force_login(desk.owner)
    answer = desk.send("auto", dry_run=True)
    assert "It would be sent by itself." in client.get(f"/alerts/{answer.alert_id}").content.decode()
