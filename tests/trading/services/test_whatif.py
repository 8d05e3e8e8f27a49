import pytest
from rest_framework.test import APIClient

from risk.models import Decision, RiskSettings
from tests.trading.desk import make_desk
from trading.models import Order


@pytest.fixture
def api(desk):
    client = APIClient()
    client.force_authenticate(desk.owner)
    return client


def asked(api, intent=None, **body) -> dict:
    given = {"symbol": "NSE:INFY", "side": "BUY", "quantity": 120, "ref_price": "100", **(intent or {})}
    return api.post("/api/risk/what-if", {"intent": given, **body}, format="json").json()


def test_it_judges_an_order_nobody_placed_and_writes_nothing(desk, api):
    found = asked(api)
    assert (found["verdict"], found["final"], found["what_if"]) == ("ALLOW", "120", "This is a what-if, not an approval.")
    assert not Order.objects.exists() and not Decision.objects.exists()


@pytest.mark.parametrize(
    ("limits", "verdict", "final"),
    [
        ({"GLOBAL": {"max_quantity_per_order": "50"}}, "REJECT", "0"),
        ({"GLOBAL": {"max_quantity_per_order": "50", "clamp_mode": "CLAMP"}}, "CLAMP", "50"),
        ({"ACCOUNT:paper": {"max_order_value": 5050, "clamp_mode": "CLAMP"}}, "CLAMP", "50"),
        ({"GLOBAL": {"symbol_deny_list": ["nse:infy"]}}, "REJECT", "0"),
        ({"GLOBAL": {"max_order_value": None}}, "ALLOW", "120"),
    ],
)
def test_it_judges_under_other_limits_and_leaves_those_in_force(desk, api, limits, verdict, final):
    found = asked(api, limits=limits)
    assert (found["verdict"], found["final"]) == (verdict, final), found["sentence"]
    assert RiskSettings.objects.get().max_quantity_per_order == 500


def test_it_shows_every_rule_even_after_the_first_that_refuses(desk, api):
    found = asked(api, {"quantity": 10**6})
    assert {"QTY_MAX", "VALUE_MAX"} <= {f["code"] for f in found["findings"] if f["verdict"] == "REJECT"}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"limits": {"MOON": {}}}, "INVALID_VALUE"),
        ({"limits": {"GLOBAL": {"max_luck": 1}}}, "UNKNOWN_FIELD"),
        ({"limits": {"GLOBAL": {"max_order_value": "much"}}}, "INVALID_VALUE"),
        ({"limits": []}, "INVALID_VALUE"),
        ({"wish": 1}, "UNKNOWN_FIELD"),
        ({"intent": {"symbol": "INFY", "side": "BUY", "quantity": 1}}, "INVALID_VALUE"),
    ],
)
def test_it_says_what_is_wrong_with_the_question(desk, api, body, code):
    given = {"intent": {"symbol": "NSE:INFY", "side": "BUY", "quantity": 1}, **body}
    assert api.post("/api/risk/what-if", given, format="json").json()["code"] == code


def test_it_judges_for_nobody_elses_account(desk):
    other, client = make_desk("ravi"), APIClient()
    client.force_authenticate(other.owner)
    given = {"symbol": "NSE:INFY", "side": "BUY", "quantity": 1, "account_id": desk.account.pk}
    assert client.post("/api/risk/what-if", {"intent": given}, format="json").status_code == 404
