"""The API from outside: shapes, refusals, ownership, races' losers."""

import pytest
from rest_framework.test import APIClient

from risk.models import RiskSettings, TradingState
from tests.trading.desk import make_desk
from trading.models import Order, Strategy, SystemEvent
from trading.services import dispatch, limits, orders
from tvapp.lib.errors import AppError
from tvapp.models import ApiToken
from tvapp.people import roles

pytestmark = pytest.mark.django_db


def api_for(user) -> APIClient:
    client = APIClient()
    client.force_authenticate(user)
    return client


@pytest.fixture
def api(desk) -> APIClient:
    return api_for(desk.owner)


@pytest.fixture
def other(desk):
    """A second trader with a desk of their own."""
    return make_desk("ravi")


def again(order) -> Order:
    return Order.objects.select_related("account", "strategy", "instrument", "owner").get(pk=order.pk)


# ------------------------------------------------------------------------------- sign-in
def test_it_gives_a_token_that_works_without_csrf_and_dies_at_logout(desk):
    client = APIClient(enforce_csrf_checks=True)
    token = client.post("/api/auth/login", {"username": "asha", "password": "a-long-Passw0rd"}, format="json").json()["token"]
    client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    assert client.get("/api/auth/me").json()["username"] == "asha"
    assert ApiToken.objects.get().digest != token
    assert client.post("/api/auth/logout").status_code == 204
    assert client.get("/api/auth/me").status_code == 401


@pytest.mark.parametrize("body", [{"username": "asha", "password": "wrong"}, {"username": "nobody", "password": "a-long-Passw0rd"}])
def test_it_refuses_wrong_credentials_in_the_one_shape(desk, body):
    answer = APIClient().post("/api/auth/login", body, format="json")
    assert answer.status_code == 401 and answer.json()["code"] == "WRONG_CREDENTIALS"


def test_it_asks_a_session_for_a_csrf_token(desk):
    client = APIClient(enforce_csrf_checks=True)
    client.login(username="asha", password="a-long-Passw0rd")
    assert client.post(f"/api/orders/{desk.order().pk}/cancel").status_code == 403


@pytest.mark.parametrize("path", ["/api/orders", "/api/strategies/1", "/api/risk-settings", "/api/schema/", "/api/nothing", "/api/docs/"])
def test_it_answers_a_stranger_401_everywhere(db, client, path):
    assert client.get(path).status_code == 401


def test_it_tells_health_to_everybody_and_checks_only_to_people(desk, api, client):
    assert set(client.get("/health").json()) == {"status", "service", "environment"}
    assert set(api.get("/api/health/").json()["checks"]) == {"database", "worker", "queue", "brokers", "sync", "disk"}


# -------------------------------------------------------------------------------- orders
def test_it_shows_an_order_with_exactly_the_promised_fields(desk, api):
    order = desk.filled("auto")
    shown = api.get(f"/api/orders/{order.pk}").json()
    assert (shown["symbol"], shown["quantity"], shown["average_price"], shown["strategy"]) == ("NSE:INFY", "10", "1500", "auto")
    assert shown["fills"][0]["price"] == "1500"


def test_it_pages_by_key_without_losing_or_repeating_a_row(desk, api):
    made = {desk.order().pk for _ in range(7)}
    seen, url = [], "/api/orders?limit=3"
    while url:
        body = api.get(url).json()
        seen += [row["id"] for row in body["results"]]
        url = body["next"]
    assert sorted(seen) == sorted(made) and len(seen) == 7


FILTERS = [("status=WAITING", 1), ("status=QUEUED", 1), ("status=WAITING&status=QUEUED", 2), ("side=SELL", 0), ("strategy=auto", 1), ("symbol=NSE:INFY", 2),
           ("symbol=INFY", 2), ("account=paper", 2), ("mode=AUTO", 1), ("simulated=true", 2), ("q=inf", 2), ("from=2999-01-01", 0), ("to=2999-01-01", 2)]  # fmt: skip


@pytest.mark.parametrize(("query", "count"), FILTERS)
def test_it_filters_orders(desk, api, query, count):
    desk.order("manual")
    desk.order("auto")
    assert len(api.get(f"/api/orders?{query}").json()["results"]) == count


@pytest.mark.parametrize("query", ["nonsense=1", "status=GONE", "from=yesterday", "limit=0", "limit=201", "before=x"])
def test_it_refuses_a_filter_it_does_not_know(desk, api, query):
    answer = api.get(f"/api/orders?{query}")
    assert answer.status_code == 400 and answer.json()["code"] in ("UNKNOWN_FILTER", "INVALID_VALUE")


def test_it_executes_a_waiting_order_and_the_second_click_loses(desk, api):
    order = desk.order()
    first = api.post(f"/api/orders/{order.pk}/execute")
    second = api.post(f"/api/orders/{order.pk}/execute")
    assert (first.status_code, first.json()["status"]) == (202, "QUEUED")
    assert (second.status_code, second.json()["code"]) == (409, "ORDER_NOT_WAITING")


def test_it_answers_a_repeated_execute_with_the_same_key_as_the_first(desk, api):
    order = desk.order()
    codes = [api.post(f"/api/orders/{order.pk}/execute", HTTP_IDEMPOTENCY_KEY="click-1").status_code for _ in range(2)]
    assert codes == [202, 202]


def test_it_does_something_else_although_its_key_was_used_before(desk, api):
    order = desk.order()
    api.post(f"/api/orders/{order.pk}/execute", HTTP_IDEMPOTENCY_KEY="one-for-all")
    assert api.post(f"/api/orders/{order.pk}/cancel", HTTP_IDEMPOTENCY_KEY="one-for-all").status_code < 300
    assert again(order).status == "CANCELLED"


def test_it_advises_against_an_order_the_gate_would_refuse_and_leaves_it_waiting(desk, api):
    order = desk.order(trade={"quantity": 501, "price": 10})
    answer = api.post(f"/api/orders/{order.pk}/execute")
    assert (answer.status_code, answer.json()["code"], answer.json()["extra"]["code"]) == (422, "RISK_ADVISORY_REJECT", "QTY_MAX")
    assert again(order).status == "WAITING"


def test_it_does_not_execute_what_has_no_instrument(desk, api):
    order = desk.order(symbol="NSE:NIFTY1!")
    assert api.post(f"/api/orders/{order.pk}/execute").status_code == 422


def test_it_asks_to_look_again_when_the_quantity_changed(desk, api):
    RiskSettings.objects.filter(scope="GLOBAL").update(max_quantity_per_order=5, clamp_mode="CLAMP")
    answer = api.post(f"/api/orders/{desk.order().pk}/execute", {"quantity": "10"}, format="json")
    assert (answer.status_code, answer.json()["code"], answer.json()["extra"]["quantity"]) == (409, "QUANTITY_CHANGED", "5")


def test_it_edits_a_waiting_order_and_keeps_the_change_in_its_story(desk, api):
    order = desk.order()
    answer = api.patch(f"/api/orders/{order.pk}", {"quantity": "7", "order_type": "LIMIT", "price": 1490.5, "version": order.version}, format="json")
    assert (answer.status_code, answer.json()["quantity"], answer.json()["price"], answer.json()["version"]) == (200, "7", "1490.5", order.version + 1)
    assert "quantity 10 to 7" in order.events.get(kind="EDITED").text


@pytest.mark.parametrize(("change", "code"), [({"side": "SELL"}, "UNKNOWN_FIELD"), ({"quantity": -1}, "INVALID_VALUE"), ({"quantity": "NaN"}, "INVALID_VALUE"),
                                              ({"order_type": "X"}, "INVALID_VALUE"), ({"version": 99}, "VERSION_CONFLICT")])  # fmt: skip
def test_it_refuses_an_edit_that_cannot_be(desk, api, change, code):
    answer = api.patch(f"/api/orders/{desk.order().pk}", change, format="json")
    assert answer.status_code in (400, 409) and answer.json()["code"] == code


def test_it_takes_a_field_named_with_its_present_value(desk, api):
    assert api.patch(f"/api/orders/{desk.order().pk}", {"side": "BUY", "quantity": 3}, format="json").json()["quantity"] == "3"


def test_it_does_not_edit_what_was_executed(desk, api):
    order = desk.order()
    orders.approve(again(order), actor="asha")
    assert api.patch(f"/api/orders/{order.pk}", {"quantity": 3}, format="json").json()["code"] == "ORDER_NOT_WAITING"


def test_it_cancels_by_post_and_by_status(desk, api):
    one, two = desk.order(), desk.order()
    assert api.post(f"/api/orders/{one.pk}/cancel").json()["status"] == "CANCELLED"
    assert api.patch(f"/api/orders/{two.pk}/status", {"status": "CANCELLED"}, format="json").json()["status"] == "CANCELLED"
    assert api.post(f"/api/orders/{one.pk}/cancel").json()["code"] == "ORDER_NOT_WAITING"


def test_it_puts_a_queued_order_back_to_waiting(desk, api):
    order = desk.order("auto")
    assert api.patch(f"/api/orders/{order.pk}/status", {"status": "WAITING"}, format="json").json()["status"] == "WAITING"
    assert api.patch(f"/api/orders/{order.pk}/status", {"status": "COMPLETE"}, format="json").status_code == 400


def test_it_copies_an_ended_order_into_a_new_waiting_one(desk, api):
    old = desk.filled("auto", trade={"quantity": 501, "price": 10})
    answer = api.post(f"/api/orders/{old.pk}/resubmit")
    assert (answer.status_code, answer.json()["status"]) == (201, "WAITING")
    assert Order.objects.get(pk=answer.json()["id"]).copied_from_id == old.pk
    assert api.post(f"/api/orders/{answer.json()['id']}/resubmit").json()["code"] == "ORDER_NOT_ENDED"


def test_it_lists_the_story_of_an_order(desk, api):
    events = api.get(f"/api/orders/{desk.filled('auto').pk}/events").json()["results"]
    assert [e["to_status"] for e in reversed(events)] == ["QUEUED", "SENDING", "SENT", "COMPLETE"]


# ---------------------------------------------------------------------------- ownership
def test_it_shows_another_persons_rows_to_nobody_but_an_admin(desk, other):
    mine, stranger = desk.order(), api_for(other.owner)
    for path in (f"/api/orders/{mine.pk}", f"/api/orders/{mine.pk}/events", f"/api/alerts/{mine.alert_id}", f"/api/strategies/{desk.auto.pk}"):
        assert stranger.get(path).status_code == 404
    assert stranger.post(f"/api/orders/{mine.pk}/execute").status_code == 404
    assert stranger.get("/api/orders").json()["results"] == []
    assert api_for(desk.owner).get(f"/api/strategies/{other.auto.pk}").status_code == 200


def test_it_does_not_let_a_strategy_use_a_foreign_account(desk, other):
    body = {"name": "x", "account_id": desk.account.pk}
    assert api_for(other.owner).post("/api/strategies", body, format="json").status_code == 400


def test_it_lets_a_viewer_look_and_not_act(desk, other):
    roles.assign(other.owner, roles.VIEWER)
    order = other.order(secret=other.secret(other.manual), strategy="manual")
    viewer = api_for(other.owner)
    assert viewer.get(f"/api/orders/{order.pk}").status_code == 200
    assert viewer.post(f"/api/orders/{order.pk}/execute").status_code == 403


# ------------------------------------------------------------------------- strategies
def test_it_makes_changes_and_archives_a_strategy(desk, api):
    made = api.post("/api/strategies", {"name": "ORB-15", "mode": "AUTO"}, format="json")
    assert (made.status_code, made.json()["account_id"], made.json()["mode"]) == (201, desk.account.pk, "AUTO")
    path = f"/api/strategies/{made.json()['id']}"
    assert api.patch(path, {"mode": "MANUAL"}, format="json").json()["mode"] == "MANUAL"
    assert api.post(f"{path}/toggle").json()["enabled"] is False
    assert api.delete(path).status_code == 204 and api.get(path).status_code == 404
    assert api.post("/api/strategies", {"name": "ORB-15"}, format="json").status_code == 201


@pytest.mark.parametrize(("body", "code"), [({"name": "auto"}, "NAME_TAKEN"), ({"name": "x", "colour": 1}, "UNKNOWN_FIELD"), ({"name": "x", "mode": "MAYBE"}, "INVALID_VALUE"),
                                            ({"name": "x", "sizing": "FIXED_QTY"}, "INVALID_VALUE"), ({}, "INVALID_VALUE")])  # fmt: skip
def test_it_refuses_a_strategy_that_cannot_be(desk, api, body, code):
    answer = api.post("/api/strategies", body, format="json")
    assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_it_shows_a_secret_once_and_the_alert_json_works(desk, api, client):
    shown = api.post(f"/api/strategies/{desk.manual.pk}/deploy").json()
    assert shown["secret"] in shown["alert_json"] and shown["token_url"].endswith(shown["secret"])
    assert shown["secret"] not in str(api.get(f"/api/strategies/{desk.manual.pk}").json())
    path = shown["token_url"].split("8000")[1]
    assert client.post(path, desk.body(secret=None), content_type="application/json").status_code == 201


# ------------------------------------------------------------------------------- limits
def test_it_changes_the_global_limits(desk, api):
    row = api.get("/api/risk-settings?scope=GLOBAL").json()["results"][0]
    answer = api.patch(f"/api/risk-settings/{row['id']}", {"max_quantity_per_order": "1000000000000"}, format="json")
    assert (answer.status_code, answer.json()["max_quantity_per_order"]) == (200, "1000000000000")
    assert SystemEvent.objects.get(code="LIMITS_CHANGED").data == {"max_quantity_per_order": ["500", "1000000000000"]}


def test_it_keeps_the_global_row_and_its_rails(desk, api, settings):
    path = f"/api/risk-settings/{RiskSettings.objects.get(scope='GLOBAL').pk}"
    assert (api.delete(path).status_code, api.delete(path).json()["code"]) == (409, "GLOBAL_REQUIRED")
    settings.ALLOW_LIVE = True
    assert api.delete(path).json()["code"] == "GLOBAL_REQUIRED"  # no password is asked for what cannot be
    settings.ALLOW_LIVE = False
    assert api.patch(path, {"max_order_value": None}, format="json").json()["code"] == "LIMIT_MISSING"
    assert api.patch(path, {"max_order_value": None, "unlimited": ["max_order_value"]}, format="json").status_code == 200


def test_it_takes_every_parameter_and_gives_it_back_exactly(desk, api):
    path = f"/api/risk-settings/{RiskSettings.objects.get(scope='GLOBAL').pk}"
    values = dict.fromkeys(RiskSettings.FIGURES, "7.5") | {"no_trade_windows": ["12:00-13:00 DEFER"], "entry_cutoff": {"MIS": "15:00"}}
    values |= {"square_off_time": {"MCX:MIS": "23:10"}, "session_policy": "DEFER", "collar_without_quote": "REJECT", "on_loss_breach": "BLOCK"}
    assert api.patch(path, values, format="json").status_code == 200
    shown = api.get(path).json()
    assert {name: shown[name] for name in values} == values
    assert set(RiskSettings.PARAMETERS) <= shown.keys()


@pytest.mark.parametrize("body", [{"no_trade_windows": ["13:00-12:00"]}, {"entry_cutoff": {"MIS": "25:00"}}, {"square_off_time": {"mis": "15:00"}},
                                  {"session_policy": "MAYBE"}, {"max_daily_loss": -1}, {"no_trade_windows": "12:00-13:00"}, {"margin_buffer_pct": 101},
                                  {"entry_cutoff": {"MIS": 15}}, {"entry_cutoff": []}, {"no_trade_windows": [["12:00-13:00"]]},
                                  {"symbol_deny_list": ["NSE:INFY,NSE:SBIN"]}, {"symbol_deny_list": ["NSE:"]}])  # fmt: skip
def test_it_refuses_a_limit_that_means_nothing(desk, api, body):
    path = f"/api/risk-settings/{RiskSettings.objects.get(scope='GLOBAL').pk}"
    answer = api.patch(path, body, format="json")
    assert (answer.status_code, next(iter(body)) in str(answer.json())) == (400, True), answer.content


def test_it_makes_limits_for_one_strategy_and_the_stricter_wins(desk, api):
    made = api.post("/api/risk-settings", {"scope": "STRATEGY", "strategy_id": desk.auto.pk, "max_quantity_per_order": 5, "clamp_mode": "CLAMP"}, format="json")
    assert (made.status_code, made.json()["strategy_id"]) == (201, desk.auto.pk)
    assert api.get(f"/api/risk-settings?strategy_id={desk.auto.pk}").json()["results"][0]["id"] == made.json()["id"]
    assert desk.filled("auto").quantity == 5
    assert api.post("/api/risk-settings", {"scope": "STRATEGY", "strategy_id": desk.auto.pk}, format="json").json()["code"] == "LIMITS_EXIST"
    assert api.delete(f"/api/risk-settings/{made.json()['id']}").status_code == 204
    assert Strategy.objects.get(pk=desk.auto.pk).limits is None


@pytest.mark.parametrize("body", [{"scope": "GLOBAL"}, {"scope": "STRATEGY"}, {"scope": "ACCOUNT", "max_order_value": -1}, {"scope": "MOON"},
                                  {"scope": "ACCOUNT", "symbol_allow_list": "NSE:INFY"}, {"scope": "ACCOUNT", "max_loss_of_everything": 1}])  # fmt: skip
def test_it_refuses_limits_that_cannot_be(desk, api, body):
    body = {**body, **({"account_id": desk.account.pk} if body["scope"] == "ACCOUNT" else {})}
    answer = api.post("/api/risk-settings", body, format="json")
    assert answer.status_code in (400, 409) and answer.json()["message"]


def test_it_makes_one_row_of_two_made_at_once(desk):
    limits.create({"scope": "STRATEGY", "strategy_id": Strategy.objects.get(pk=desk.auto.pk)}, actor="asha")
    with pytest.raises(AppError, match="already"):
        limits.create({"scope": "STRATEGY", "strategy_id": desk.auto}, actor="asha")
    assert RiskSettings.objects.filter(scope="STRATEGY").count() == 1


def test_it_refuses_a_number_it_could_not_keep_exactly(desk, api):
    answer = api.patch(f"/api/orders/{desk.order().pk}", {"price": "1234567890.1234567"}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_VALUE")


def test_it_does_not_let_a_trader_change_the_global_limits(desk, other):
    path = f"/api/risk-settings/{RiskSettings.objects.get(scope='GLOBAL').pk}"
    trader = api_for(other.owner)
    assert trader.get(path).status_code == 200
    assert trader.patch(path, {"max_order_value": 1}, format="json").status_code == 403


# --------------------------------------------------------------------------------- kill
def test_it_names_whose_limits_were_made(desk, api):
    assert api.post("/api/risk-settings", {"scope": "STRATEGY", "strategy_id": desk.auto.pk, "max_daily_loss": "5"}, format="json").status_code == 201
    assert api.post("/api/risk-settings", {"scope": "ACCOUNT", "account_id": desk.account.pk}, format="json").status_code == 201
    texts = SystemEvent.objects.filter(code="LIMITS_MADE").order_by("id").values_list("message", flat=True)
    assert [text.partition(" made ")[2] for text in texts] == [f"limits of strategy {desk.auto.name}.", "limits of account paper."]


def test_it_kills_and_releases_over_the_api(desk, api):
    order = desk.order("auto")
    said = api.post("/api/risk/kill", {"reason": "look"}, format="json").json()
    assert said == {"scope": "GLOBAL", "state": "HALTED", "held": 1, "cancelled": 0, "external": 0}
    dispatch.work(order.pk)
    assert again(order).status_reason == "STATE_HALTED"
    assert api.post("/api/risk/release", {}, format="json").json()["code"] == "REASON_MISSING"
    assert api.post("/api/risk/release", {"reason": "fine"}, format="json").status_code == 200
    assert TradingState.objects.get().state == "ACTIVE"


def test_it_names_in_the_events_what_was_stopped_and_released(desk, api):
    body = {"scope": "ACCOUNT", "account_id": desk.account.pk, "reason": "look"}
    assert [api.post(f"/api/risk/{act}", body, format="json").status_code for act in ("kill", "release")] == [200, 200]
    api.post("/api/risk/kill", {"reason": "storm"}, format="json")
    texts = SystemEvent.objects.filter(code__startswith="KILL_").order_by("id").values_list("message", flat=True)
    said = [" ".join(text.split()[1:]) for text in texts]
    assert said == ["stopped trading of account paper: look.", "released trading of account paper: look.", "stopped trading: storm."]
    owners = SystemEvent.objects.filter(code__startswith="KILL_").order_by("id").values_list("owner", flat=True)
    assert list(owners) == [desk.owner.pk, desk.owner.pk, None]  # a name is for those it belongs to


def test_it_does_not_let_a_trader_release_or_stop_the_account_of_another(desk, other):
    trader = api_for(other.owner)
    assert trader.post("/api/risk/release", {"reason": "x"}, format="json").status_code == 403
    body = {"scope": "ACCOUNT", "account_id": desk.account.pk}
    assert trader.post("/api/risk/kill", body, format="json").status_code == 404


# ---------------------------------------------------------------------------- documents
def test_it_describes_itself_and_lists_the_webhook(desk, api):
    schema = api.get("/api/schema/?format=json").json()
    assert "/webhook/tradingview" in schema["paths"] and "/api/orders/{id}/execute" in schema["paths"]


def test_it_says_404_in_json_for_a_path_that_is_not_there(desk, api):
    assert api.get("/api/moon").json()["code"] == "NOT_FOUND"


def test_it_describes_itself_without_a_warning(desk, capsys):
    from django.core.management import call_command

    call_command("spectacular", "--validate", "--fail-on-warn", "--file", "/dev/null")
    assert "Warning" not in capsys.readouterr().err
