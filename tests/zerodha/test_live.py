"""Real money, as far as a simulator can be that: nothing opens without an arm, and what ends an arm."""

from datetime import date, time, timedelta

import pytest
from django.test import Client
from django.urls import reverse

from brokers.models import BrokerAccount
from risk.models import LiveArm, RiskSettings, Trip
from tests import factories as make
from trading.models import Strategy, SystemEvent
from trading.selectors import live as read
from trading.selectors import sessions
from trading.services import arming, disarming, dispatch, halt, limits, overrides, strategies, trips
from tvapp.lib import clock
from tvapp.lib.errors import AppError
from tvapp.models import DeskSettings
from tvapp.people import stepup

pytestmark = pytest.mark.django_db
PASSWORD = "a-long-Passw0rd"


@pytest.fixture
def live(road, settings, monkeypatch):
    """The account is LIVE on a loopback simulator, which only a test may be."""
    monkeypatch.setenv("TVAPP_TEST", "1")
    settings.TEST_MODE = settings.ALLOW_LIVE = True
    BrokerAccount.objects.filter(pk=road.account.pk).update(environment="LIVE")
    Strategy.objects.filter(pk=road.auto.pk).update(symbol="NSE:INFY")
    road.account.refresh_from_db()
    limits.for_live(road.account)
    make.MarketHoursFactory(exchange="NSE", opens=time(9, 15), closes=time(15, 30), maintained_from=date(2026, 1, 1), maintained_to=date(2026, 12, 31))
    sessions.forget()
    RiskSettings.objects.filter(account=road.account).update(collar_without_quote="WARN", session_policy="WARN")
    road.auto = Strategy.objects.select_related("account", "owner").get(pk=road.auto.pk)
    road.client = Client()
    road.client.force_login(road.owner)
    yield road
    sessions.forget()


def post(road, path: str, **body):
    answer = road.client.post(path, body, content_type="application/json")
    return answer.status_code, answer.json()


def arm(road, **body):
    wanted = {"confirm": "kite-auto", "password": PASSWORD, "waiver": "tried on paper elsewhere", **body}
    return post(road, f"/api/strategies/{road.auto.pk}/arm", **wanted)


def sent(road, **trade) -> tuple[str, str, int]:
    """Status, code and how many orders reached the simulator of a new alert."""
    order_id = road.alert(**trade)
    road.go(0, 1, 5)
    order = road.order(order_id)
    return order.status, order.status_reason, len(road.truth(order_id))


def is_armed(road) -> bool:
    return read.arm_of(road.auto.pk, clock.now()) is not None


REFUSED = ("REJECTED_RISK", "LIVE_NOT_ARMED", 0)


def test_it_opens_nothing_live_before_it_is_armed_and_after_it_is_disarmed(live):
    assert sent(live) == REFUSED
    status, said = arm(live)
    assert (status, said["armed"], said["until"]) == (200, True, "2026-11-23T10:00:00Z"), said
    assert sent(live, price=1489)[::2] == ("OPEN", 1)
    assert post(live, f"/api/strategies/{live.auto.pk}/disarm") [1]["armed"] is False
    assert sent(live, price=1488) == REFUSED
    assert list(SystemEvent.objects.filter(code__startswith="LIVE_").order_by("id").values_list("code", flat=True)) == ["LIVE_ARMED", "LIVE_DISARMED"]


def test_it_lets_a_live_exit_leave_without_an_arm_but_not_without_the_permission_of_the_installation(live, settings):
    arm(live)
    assert sent(live, price=1505)[0] == "COMPLETE"
    post(live, f"/api/strategies/{live.auto.pk}/disarm")
    settings.ALLOW_LIVE = False
    assert sent(live, order_action="SELL", price=1490) == ("REJECTED_RISK", "LIVE_NOT_ALLOWED", 0)
    settings.ALLOW_LIVE = True
    assert sent(live, order_action="SELL", price=1489)[::2] == ("COMPLETE", 1)


@pytest.mark.parametrize(("body", "code"), [
    ({"confirm": "kite"}, "NAME_MISMATCH"), ({"password": "wrong"}, "WRONG_PASSWORD"), ({"password": ""}, "INVALID_VALUE"),
    ({"otp": "123456"}, "OTP_NOT_ENROLLED"), ({"waiver": ""}, "PAPER_FIRST"),
])  # fmt: skip
def test_it_is_armed_only_by_who_proves_who_they_are_and_types_the_name(live, body, code):
    status, said = arm(live, **body)
    assert status >= 400 and said["code"] == code and not is_armed(live)


def test_it_needs_paper_orders_first_only_where_it_trades_by_itself(live):
    DeskSettings(paper_orders_first=1).save()
    assert arm(live, waiver="")[1]["code"] == "PAPER_FIRST"
    make.OrderFactory(strategy=live.auto, simulated=True, broker_order_id="P1")
    assert arm(live, waiver="")[0] == 200


def test_it_is_not_armed_where_there_is_nothing_to_arm(live, settings):
    BrokerAccount.objects.filter(pk=live.account.pk).update(environment="SIM")
    assert arm(live)[1]["code"] == "NOT_LIVE"
    BrokerAccount.objects.filter(pk=live.account.pk).update(environment="LIVE")
    settings.ALLOW_LIVE = False
    assert arm(live)[1]["code"] == "LIVE_NOT_ALLOWED"
    settings.ALLOW_LIVE = True
    trips.trip(f"ACCOUNT:{live.account.pk}", "UNKNOWN_STREAK", "2 unknown outcomes")
    assert arm(live)[1]["code"] == "TRADING_STOPPED"
    Trip.objects.all().delete()
    live.time.shift(timedelta(hours=5, minutes=30))
    assert arm(live)[1]["code"] == "MARKET_OVER" and not LiveArm.objects.exists()


def test_it_ends_with_the_market_by_itself_and_is_armed_anew_the_next_day(live):
    arm(live)
    assert arm(live)[0] == 200 and LiveArm.objects.count() == 1
    live.time.shift(timedelta(hours=5, minutes=30))
    assert not is_armed(live)
    live.time.shift(timedelta(hours=18))
    live.client.force_login(live.owner)
    assert arm(live)[0] == 200 and is_armed(live) and LiveArm.objects.count() == 2


def loosen(road):
    limits.update(RiskSettings.objects.get(account=road.account), {"max_order_value": 90000}, actor="asha")


def tighten(road):
    limits.update(RiskSettings.objects.get(account=road.account), {"max_order_value": 24000}, actor="asha")


def stop(road):
    trips.trip(f"ACCOUNT:{road.account.pk}", "UNKNOWN_STREAK", "2 unknown outcomes")


def more(road):
    strategies.update(road.auto, {"sizing_value": 100}, actor="asha")


def later(road):
    strategies.update(road.auto, {"max_age_s": 600}, actor="asha")


def rename(road):
    strategies.update(road.auto, {"description": "breakouts"}, actor="asha")


def remap(road):
    row = make.TvSymbolOverrideFactory(owner=road.owner, scope="ACCOUNT", account=road.account)
    overrides.after_mapping(row, actor="asha")


@pytest.mark.parametrize(("change", "stays"), [(loosen, False), (tighten, True), (stop, False), (more, False), (later, False), (rename, True), (remap, False)])
def test_it_is_disarmed_by_what_lets_more_through(live, change, stays):
    arm(live)
    change(live)
    assert is_armed(live) is stays


def test_it_asks_for_the_password_before_a_limit_is_loosened_where_real_money_can_move(live, settings):
    url = f"/api/risk-settings/{RiskSettings.objects.get(account=live.account).pk}"

    def patch(**body):
        return live.client.patch(url, body, content_type="application/json").status_code

    assert [patch(max_order_value="90000"), patch(max_order_value="90000", password="wrong"), patch(max_order_value="20000")] == [403, 403, 200]
    assert patch(max_order_value="90000", password=PASSWORD) == 200
    settings.ALLOW_LIVE = False
    assert patch(max_order_value="95000") == 200
    event = SystemEvent.objects.filter(code="LIMITS_CHANGED", data__max_order_value=["20000", "90000"]).get()
    assert "loosened max_order_value" in event.message


def test_it_gives_a_live_account_its_first_limits_and_others_none(live):
    row = RiskSettings.objects.get(account=live.account)
    assert (row.scope, row.max_order_value, row.max_daily_loss) == ("ACCOUNT", 25000, 5000)
    assert limits.for_live(live.account) is None and limits.for_live(make.BrokerAccountFactory()) is None


def test_it_keeps_every_live_order_back_while_the_desk_is_on_paper_only(live):
    arm(live)
    assert post(live, "/api/risk/paper-only", on=True) == (200, {"paper_only": True})
    assert not is_armed(live) and arm(live)[1]["code"] == "LIVE_NOT_ALLOWED"
    status, code, reached = sent(live)
    assert (status, code, reached) == ("REJECTED_RISK", "LIVE_NOT_ALLOWED", 0)
    DeskSettings.forget()  # another process, or the same after a restart
    assert sent(live, price=1489)[1] == "LIVE_NOT_ALLOWED"
    assert [post(live, "/api/risk/paper-only", on=False, **more)[0] for more in ({}, {"password": "x"}, {"password": PASSWORD})] == [403, 403, 200]
    assert arm(live)[0] == 200 and sent(live, price=1488)[::2] == ("OPEN", 1)


def test_it_reads_the_switch_once_more_right_before_the_write(live, monkeypatch):
    arm(live)
    claim = dispatch.claim

    def switched(*args):
        done = claim(*args)
        arming.paper_only(True, actor="ravi")
        return done

    monkeypatch.setattr(dispatch, "claim", switched)
    order_id = live.alert()
    live.go(0)
    order = live.order(order_id)
    assert (order.status, order.status_reason, live.truth(order_id)) == ("HELD", "LIVE_NOT_ALLOWED", []) and "paper only" in order.why


def test_it_slows_down_who_keeps_guessing_the_password(live):
    assert [arm(live, password="x")[1]["code"] for _ in range(6)] == ["WRONG_PASSWORD"] * 5 + ["TOO_MANY_TRIES"]
    assert arm(live)[0] == 429 and not is_armed(live)


def test_it_is_armed_and_disarmed_on_the_strategys_page(live):
    url = reverse("admin:trading_strategy_arm", args=[live.auto.pk])
    assert url in live.client.get(reverse("admin:trading_strategy_change", args=[live.auto.pk])).content.decode()
    said = {"confirm": "kite-auto", "waiver": "tried on paper elsewhere"}
    assert "not your password" in live.client.post(url, {**said, "password": "x"}).content.decode() and not is_armed(live)
    live.client.post(url, {**said, "password": PASSWORD})
    assert is_armed(live) and "15:30 IST" in live.client.get(url).content.decode()
    live.client.post(url, {"disarm": "1"})
    assert not is_armed(live) and 'name="confirm"' in live.client.get(url).content.decode()
    halt.kill(f"STRATEGY:{live.auto.pk}", reason="storm", actor="ravi")
    page = live.client.get(url).content.decode()
    assert "Entries are stopped (Strategy kite-auto: storm). Release it first." in page and 'name="confirm"' not in page


def test_it_asks_in_the_admin_for_the_password_before_a_limit_is_loosened(live):
    arm(live)
    row = RiskSettings.objects.get(account=live.account)
    url = reverse("admin:risk_risksettings_change", args=[row.pk])
    form = live.client.get(url).context["adminform"].form
    data = {name: value for name in form.fields if (value := form[name].value()) not in (None, "", [])}

    def save(**changes) -> str:
        live.client.post(url, {**data, **changes, "_save": "Save"})
        return f"{RiskSettings.objects.get(pk=row.pk).max_order_value:.0f}"

    assert save(max_order_value="24000") == "24000" and is_armed(live)
    assert save(max_order_value="90000") == "24000" and is_armed(live)
    assert save(max_order_value="90000", password=PASSWORD) == "90000" and not is_armed(live)


@pytest.mark.parametrize(("undo", "code"), [
    (lambda road: disarming.disarm(road.auto, "ravi disarmed it", actor="ravi"), "LIVE_NOT_ARMED"),
    (lambda road: BrokerAccount.objects.update(enabled=False), "ACCOUNT_DISABLED"),
])  # fmt: skip
def test_it_needs_the_arm_and_the_account_right_before_the_write_too(live, monkeypatch, undo, code):
    arm(live)
    claim = dispatch.claim

    def disarmed(*args):
        done = claim(*args)
        undo(live)
        return done

    monkeypatch.setattr(dispatch, "claim", disarmed)
    order_id = live.alert()
    live.go(0)
    order = live.order(order_id)
    assert (order.status, order.status_reason, live.truth(order_id)) == ("HELD", code, [])
    live.go(1, 5)
    assert (live.order(order_id).status_reason, live.truth(order_id)) == (code, [])


def test_it_opens_nothing_on_the_account_the_strategy_traded_on_before(live):
    order_id = live.alert()
    other = make.BrokerAccountFactory(owner=live.owner, broker="zerodha", environment="LIVE")
    live.auto = strategies.update(live.auto, {"account": other}, actor="asha")
    assert arm(live)[0] == 200 and is_armed(live)
    live.go(0, 1, 5)
    order = live.order(order_id)
    assert (order.status, order.status_reason, live.truth(order_id)) == ("REJECTED_RISK", "LIVE_NOT_ARMED", [])


def test_it_sends_no_change_of_a_live_entry_without_an_arm_or_the_permission(live):
    arm(live)
    order_id = live.alert()
    live.go(0, 1, 5)
    live.change(order_id, price="1480")
    disarming.disarm(live.auto, "seen", actor="asha")
    live.go(0, 1, 5)
    assert live.truth(order_id)[0]["price"] == 1490 and "not armed" in live.story(order_id)
    live.change(order_id, quantity="4")
    live.go(0, 1, 5)
    assert live.truth(order_id)[0]["quantity"] == 4, live.story(order_id)


@pytest.mark.parametrize(("stops", "code"), [
    (lambda: halt.kill("GLOBAL", reason="storm", actor="ravi"), "TRADING_STOPPED"), (lambda: arming.paper_only(True, actor="ravi"), "LIVE_NOT_ALLOWED"),
])  # fmt: skip
def test_it_is_not_armed_when_somebody_stops_trading_at_the_same_moment(live, monkeypatch, stops, code):
    made = arming._arm

    def behind_a_stop(*args):
        stops()  # it ends every arm there is, and this one is not there yet
        return made(*args)

    monkeypatch.setattr(arming, "_arm", behind_a_stop)
    assert arm(live)[1]["code"] == code and not is_armed(live)


def test_it_changes_nothing_of_an_armed_strategy_without_disarming_it(live, monkeypatch):
    arm(live)
    monkeypatch.setattr(disarming, "disarm", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        strategies.update(live.auto, {"sizing_value": 100}, actor="asha")
    assert is_armed(live) and Strategy.objects.get(pk=live.auto.pk).sizing_value is None


def test_it_counts_guesses_that_come_at_once(live, monkeypatch):
    guesses = []

    def slow(self, raw):
        if len(guesses) < 8:
            guesses.append(raw)
            with pytest.raises(AppError):  # the next one comes while this one is looked at
                stepup.confirm(live.owner, password="x")
        return False

    monkeypatch.setattr(type(live.owner), "check_password", slow)
    with pytest.raises(AppError):
        stepup.confirm(live.owner, password="x")
    assert len(guesses) == 5
