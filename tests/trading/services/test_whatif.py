import pytest
from rest_framework.test import APIClient

from risk.codec import from_data, to_data
from risk.engine import evaluate
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
        ({"limits": {"STRATEGY:nobody's": {"max_order_value": "5"}}}, "INVALID_VALUE"),
        ({"limits": {"ACCOUNT": {"max_order_value": "5"}}}, "INVALID_VALUE"),
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


# ------------------------------------------------------------------------- a period again
def replayed(api, limits=None, **days) -> dict:
    body = {"from": "2020-01-01", "to": "2100-01-01", **days, "limits": limits or {}}
    return api.post("/api/risk/what-if", body, format="json").json()


@pytest.fixture
def decided(desk):
    """One allowed, one cut, one refused, one exit."""
    RiskSettings.objects.filter(scope="GLOBAL").update(max_quantity_per_order=50, clamp_mode="CLAMP")
    for side, quantity, price in (("BUY", 10, 100), ("BUY", 80, 100), ("BUY", 1, 500000), ("SELL", 30, 100)):
        desk.filled("auto", trade={"order_action": side, "quantity": quantity, "price": price})
    return desk


def test_it_finds_no_difference_under_the_limits_of_then(decided, api):
    found = replayed(api)
    assert (found["looked_at"], found["changed"], found["unreadable"]) == (4, 0, 0)


def test_it_computes_every_kept_decision_again_to_the_same_findings(decided):
    for row in Decision.objects.all():
        said = evaluate(*from_data(row.snapshot))
        assert [to_data(f) for f in said.findings] == row.findings
        assert (said.verdict, said.code, said.final, said.sentence) == (row.verdict, row.code, row.final, row.sentence)


@pytest.mark.parametrize(("limit", "unreadable"), [("max_loss_streak", 4), ("max_drawdown_pct", 4), ("max_daily_loss", 0)])
def test_it_does_not_guess_what_nobody_read_then(decided, api, limit, unreadable):
    found = replayed(api, {"GLOBAL": {limit: "50"}})
    assert (found["unreadable"], found["changed"]) == (unreadable, 0)


def test_it_reads_for_a_question_what_its_own_limits_look_at(desk, api):
    for side, price in (("BUY", 1100), ("SELL", 1000)):
        desk.filled("auto", trade={"order_action": side, "quantity": 10, "price": price})
    codes = [asked(api, limits={"GLOBAL": {name: value}})["code"] for name, value in (("max_loss_streak", "1"), ("max_drawdown_pct", "90"))]
    assert codes == ["RATE_LOSS_STREAK", ""]


def test_it_shows_which_orders_other_limits_would_have_changed_and_by_how_much(decided, api):
    found = replayed(api, {"GLOBAL": {"max_quantity_per_order": "8"}})
    assert [(c["before"]["verdict"], c["before"]["final"], c["after"]["final"]) for c in found["changes"]] == [("ALLOW", "10", "8"), ("CLAMP", "50", "8")]
    assert (found["changed"], found["by_code"]) == (2, {"QTY_MAX": 2})


def test_it_shows_what_a_looser_limit_would_have_let_pass(decided, api):
    found = replayed(api, {"GLOBAL": {"max_order_value": "1000000", "max_symbol_exposure": None}})
    assert [(c["before"]["code"], c["after"]["verdict"], c["after"]["final"]) for c in found["changes"]] == [("VALUE_MAX", "ALLOW", "1")]


def test_it_leaves_out_what_was_decided_outside_the_period_or_for_others(decided, api):
    assert replayed(api, **{"from": "2020-01-01", "to": "2020-02-01"})["looked_at"] == 0
    client = APIClient()
    client.force_authenticate(make_desk("ravi").owner)
    assert replayed(client)["looked_at"] == 0
    for wrong in ({"from": "soon"}, {"from": "2026-11-20", "to": "2026-11-01"}):
        assert replayed(api, **wrong)["code"] == "INVALID_VALUE"
    assert replayed(api, {"STRATEGY:nobody's": {"max_order_value": "5"}})["message"] == "There is no strategy called nobody's."


def test_it_counts_what_is_too_old_to_be_computed_again(decided, api):
    Decision.objects.filter(verdict="CLAMP").update(snapshot={})
    assert replayed(api)["unreadable"] == 1
