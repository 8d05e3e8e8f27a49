"""Where every limit stands, on the page and in the API."""

from decimal import Decimal as D

import pytest
from django.template.loader import render_to_string
from rest_framework.test import APIClient

from risk.codes import Code
from risk.models import RiskSettings, Trip
from tests.trading.desk import make_desk
from trading.selectors import rms
from trading.selectors.results import Result
from tvapp.lib import clock


def scope(user, key: str) -> rms.ScopeStatus:
    return next(s for s in rms.status(user).scopes if s.key == key)


def gauge(user, key: str, parameter: str) -> rms.Gauge:
    return next(g for g in scope(user, key).gauges if g.parameter == parameter)


def test_it_shows_used_reserved_and_room_of_every_limit_that_counts(desk):
    desk.filled("auto")
    exposure = gauge(desk.owner, "GLOBAL", "max_gross_exposure")
    assert (exposure.used, exposure.reserved, exposure.limit) == (D(15000), D(0), D(1000000))
    assert (exposure.room, exposure.pct, exposure.tone) == (D(985000), D(1), "ok")
    assert gauge(desk.owner, "GLOBAL", "max_symbol_exposure").note == "NSE:INFY"
    assert [gauge(desk.owner, "GLOBAL", f"max_{name}").used for name in ("open_positions", "orders_per_day", "orders_per_minute")] == [1, 1, 1]
    assert {g.parameter for g in scope(desk.owner, "GLOBAL").gauges} <= set(RiskSettings.PARAMETERS)


@pytest.mark.parametrize(("limit", "pct", "tone"), [(100, 0, "ok"), (1, 100, "full"), (0, 100, "full")])
def test_it_colours_a_limit_by_how_full_it_is(desk, limit, pct, tone):
    if pct:
        desk.filled("auto")
    RiskSettings.objects.filter(scope="GLOBAL").update(max_open_positions=limit)
    found = gauge(desk.owner, "GLOBAL", "max_open_positions")
    assert (found.pct, found.tone) == (pct, tone)


@pytest.mark.parametrize(("used", "reserved", "pct", "tone", "said"), [
    ("49657", "0", 99, "near", "99 % used; only ₹343 left"), ("20000", "15000", 70, "ok", "70 % used, ₹15,000 of it by resting orders; ₹15,000 left"),
    ("39999", "0", 79, "ok", "79 % used; ₹10,001 left"), ("50000", "0", 100, "full", "100 % used; nothing left"), (None, "0", None, "unknown", "not known"),
])  # fmt: skip
def test_it_says_how_full_a_limit_is_and_what_is_left(used, reserved, pct, tone, said, rf):
    one = rms.Gauge("max_symbol_exposure", "Exposure, largest symbol", "INR", D(50000), D(used) if used else None, D(reserved))
    assert (one.pct, one.tone) == (pct, tone)
    scope = rms.ScopeStatus("GLOBAL", "GLOBAL", "The whole desk", False, [one], Result())
    page = render_to_string("trading/risk_live.html", {"status": rms.Status(clock.now(), [scope], [], [], []), "codes": []}, rf.get("/risk"))
    assert said in page and ("₹35,000 <small>of ₹50,000" in page) == (reserved == "15000")


def test_it_shows_what_stops_a_scope_and_its_trips(desk):
    Trip.objects.create(scope=f"ACCOUNT:{desk.account.pk}", code="RATE_MINUTE", reason="31 orders in a minute, limit 30")
    found = scope(desk.owner, f"ACCOUNT:{desk.account.pk}")
    assert (found.state, found.stop.reason, [t.code for t in found.trips]) == ("REDUCING", "31 orders in a minute, limit 30", ["RATE_MINUTE"])
    assert scope(desk.owner, "GLOBAL").state == "ACTIVE"


def test_it_shows_a_trader_what_is_theirs_and_nothing_of_others(desk):
    other = make_desk("ravi")
    keys = {s.key for s in rms.status(other.owner).scopes}
    assert keys == {f"ACCOUNT:{other.account.pk}"}


def test_it_counts_the_decisions_of_the_day_by_code(desk):
    desk.filled("auto")
    desk.filled("auto", trade={"quantity": 1000})
    assert {("ALLOW", "", 1), ("REJECT", "QTY_MAX", 1)} <= set(rms.status(desk.owner).codes)


def test_the_api_says_the_same(desk):
    desk.filled("auto")
    api = APIClient()
    api.force_authenticate(desk.owner)
    data = api.get("/api/risk/status").json()
    found = next(s for s in data["scopes"] if s["scope"] == "GLOBAL")
    limits = {g["parameter"]: g for g in found["limits"]}
    assert (found["state"], limits["max_gross_exposure"]["used"], limits["max_gross_exposure"]["pct"]) == ("ACTIVE", "15000", "1")
    assert data["decisions"][0]["verdict"] == "ALLOW" and data["data"]


def test_the_page_shows_limits_stops_and_decisions(desk, client):
    desk.filled("auto", trade={"quantity": 1000})
    Trip.objects.create(scope="GLOBAL", code="LOSS_DAILY", reason="the day's loss of ₹50,100.00 reached the limit of ₹50,000.00")
    client.force_login(desk.owner)
    page = client.get("/risk").content.decode()
    assert "Exposure, all symbols" in page and "Exits only" in page and "reached the limit of ₹50,000.00" in page
    assert 'href="/help/risk#QTY_MAX"' in page
    assert "<h1>Risk</h1>" in client.get("/risk", headers={"HX-Request": "true"}).content.decode()


def test_the_help_explains_every_code(desk, client):
    client.force_login(desk.owner)
    page = client.get("/help/risk").content.decode()
    assert [code for code in Code if f'id="{code.value}"' not in page] == []
