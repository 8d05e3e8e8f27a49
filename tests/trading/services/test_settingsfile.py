import json
import logging
from copy import deepcopy
from datetime import timedelta

import pytest

from risk.models import LiveArm, MarketHours, MarketSession, RiskSettings
from tests import factories as make
from trading.models import Strategy, SystemEvent
from trading.services import settingsfile, strategies
from tvapp.lib import clock
from tvapp.lib.errors import AppError
from tvapp.models import DeskSettings


@pytest.fixture
def filled(desk):
    """A desk with something in every part of the document."""
    make.MarketSessionFactory(exchange="NSE", date="2026-12-25", name="Christmas")
    make.MarketHoursFactory(exchange="NSE")
    make.FreezeLimitFactory()
    make.TvSymbolOverrideFactory(owner=desk.owner, scope="STRATEGY", strategy=desk.auto)
    desk.auto.limits = RiskSettings.objects.create(owner=desk.owner, scope="STRATEGY", max_order_value=5000, no_trade_windows=["12:00-13:00"])
    desk.auto.save()
    RiskSettings.objects.create(owner=desk.owner, scope="ACCOUNT", account=desk.account, max_daily_loss=1000)
    return desk


def written() -> dict:
    return json.loads(json.dumps(settingsfile.document()))


def by_part(data: dict) -> dict:
    return {section.name: sorted(json.dumps(r, sort_keys=True) for r in data[section.name]) for section in settingsfile.SECTIONS}


def row(data: dict, part: str, **key) -> dict:
    return next(r for r in data[part] if key.items() <= r.items())


def test_it_carries_every_part_and_reads_it_back_without_a_change(filled):
    data = written()
    assert all(data[section.name] for section in settingsfile.SECTIONS), [s.name for s in settingsfile.SECTIONS if not data[s.name]]
    assert settingsfile.load(data, actor="asha") == []


def test_it_never_carries_a_secret(filled):
    key = strategies.issue_secret(filled.auto, "test")
    filled.auto.refresh_from_db()
    text = json.dumps(settingsfile.document())
    assert key not in text and filled.auto.secret_digest not in text and "password" not in text and "api_key" not in text


def test_it_puts_changed_and_lost_rows_back(filled):
    data = written()
    DeskSettings(id=1, alert_age_auto_s=30).save()
    RiskSettings.objects.filter(scope="GLOBAL").update(max_order_value=7)
    MarketSession.objects.all().delete()
    strategies.archive(filled.auto, "test")
    done = settingsfile.load(data, actor="asha")
    assert by_part(written()) == by_part(data)
    again = Strategy.objects.standing().get(name="auto")
    assert (again.limits.max_order_value, again.secret_digest) == (5000, None)
    assert "~ limits: GLOBAL" in [line for change in done for line in change.lines()]


def test_it_shows_the_difference_and_writes_nothing_before_it_is_asked_to(filled, caplog):
    data = written()
    row(data, "limits", scope="GLOBAL")["max_order_value"] = "25000"
    caplog.set_level(logging.WARNING, "tvapp")
    (change,) = settingsfile.load(data, actor="asha", keep=False)
    assert list(change.lines()) == ["~ limits: GLOBAL", "    max_order_value: 100000 -> 25000"]
    assert RiskSettings.objects.get(scope="GLOBAL").max_order_value == 100000
    assert not SystemEvent.objects.filter(code="SETTINGS_LOADED").exists() and "read settings back" not in caplog.text
    settingsfile.load(data, actor="asha")
    assert "asha read settings back: 1 row made or changed." in caplog.text


def test_it_ends_every_live_arm_and_leaves_an_event(filled):
    LiveArm.objects.create(strategy_key=filled.auto.pk, by="asha", until=clock.now() + timedelta(hours=1))
    data = written()
    row(data, "strategies", name="auto")["description"] = "changed"
    settingsfile.load(data, actor="asha")
    assert LiveArm.objects.get().ended_at is not None
    assert SystemEvent.objects.get(code="SETTINGS_LOADED").data["changes"] == ["~ strategies: asha auto", "    description: nothing -> changed"]


def spoilt(part, name, value):
    def spoil(data):
        data[part][-1][name] = value

    return spoil


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        (lambda d: d.pop("format"), "NOT_SETTINGS", "no settings document"),
        (lambda d: d.update(version=9), "NOT_SETTINGS", "version 9"),
        (lambda d: d.update(orders=[]), "UNKNOWN_FIELD", "orders"),
        (lambda d: d.update(strategies="x"), "NOT_SETTINGS", "strategies must be a list"),
        (spoilt("strategies", "secret_digest", "x"), "UNKNOWN_FIELD", "secret_digest"),
        (spoilt("strategies", "account", "nowhere"), "NOT_FOUND", "no account called nowhere"),
        (spoilt("strategies", "mode", "WILD"), "INVALID_VALUE", "mode"),
        (spoilt("strategies", "sizing_value", "many"), "INVALID_VALUE", "sizing_value"),
        (spoilt("limits", "max_order_value", "-1"), "INVALID_VALUE", "max_order_value"),
        (spoilt("limits", "entry_cutoff", {"MIS": "25:00"}), "INVALID_VALUE", "entry_cutoff"),
        (lambda d: row(d, "limits", scope="GLOBAL").update(max_order_value=None), "LIMIT_MISSING", "GLOBAL"),
        (lambda d: row(d, "limits", scope="GLOBAL").update(session_policy=None), "INVALID_VALUE", "session_policy"),
        (lambda d: row(d, "limits", scope="GLOBAL").update(unlimited="max_order_value"), "INVALID_VALUE", "unlimited"),
        (lambda d: row(d, "limits", scope="GLOBAL").update(owner="asha", account="paper"), "INVALID_VALUE", "neither owner nor account"),
        (lambda d: row(d, "limits", scope="ACCOUNT").update(account=None), "INVALID_VALUE", "name account and owner"),
        (lambda d: row(d, "limits", scope="STRATEGY").update(strategy=None), "INVALID_VALUE", "name owner and strategy"),
        (lambda d: d["desk"][0].update(paper_only=False), "UNKNOWN_FIELD", "paper_only"),
        (spoilt("market_hours", "opens", "late"), "INVALID_VALUE", "opens"),
        (lambda d: d["desk"][0].update(alert_age_auto_s=1), "INVALID_VALUE", "alert_age_auto_s"),
        (lambda d: d["market_hours"][0].pop("exchange"), "NOT_SETTINGS", "exchange is missing"),
    ],
)
def test_it_refuses_a_bad_document_by_name_and_changes_nothing(filled, spoil, code, words):
    data = written()
    row(data, "strategies", name="auto")["description"] = "must not stay"
    spoil(data)
    before = by_part(written())
    with pytest.raises(AppError) as refused:
        settingsfile.load(deepcopy(data), actor="asha")
    assert (refused.value.code, words in refused.value.message) == (code, True), refused.value.message
    assert by_part(written()) == before


def test_it_takes_symbols_in_any_spelling_and_reads_them_twice_without_a_change(filled):
    data = written()
    row(data, "limits", scope="GLOBAL")["symbol_deny_list"] = [" nse:infy", "NSE:INFY"]
    assert len(settingsfile.load(data, actor="asha")) == 1
    assert RiskSettings.objects.get(scope="GLOBAL").symbol_deny_list == ["NSE:INFY"]
    assert settingsfile.load(data, actor="asha") == []


def test_it_leaves_the_switch_for_paper_only_as_it_is(filled):
    data = written()
    DeskSettings(id=1, paper_only=True).save()
    settingsfile.load(data, actor="asha")
    assert DeskSettings.objects.get().paper_only


def test_it_fits_a_desk_that_lacks_the_rows(filled):
    data = written()
    MarketHours.objects.all().delete()
    assert any(change.new for change in settingsfile.load(data, actor="asha"))
