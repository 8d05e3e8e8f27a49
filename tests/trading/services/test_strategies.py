"""Strategies: names, owners, secrets that are shown once, and the end of one."""

import json
from datetime import timedelta

import pytest

from risk.models import Scope
from tests.trading.desk import make_desk
from trading.domain import dialects
from trading.models import Strategy, SystemEvent
from trading.services import ingest, strategies
from tvapp.lib import clock
from tvapp.lib.errors import AppError
from tvapp.models import DeskSettings
from tvapp.people.auth import digest


@pytest.fixture
def other(desk):
    return make_desk("ravi")


def _code(call, *args, **kwargs) -> str:
    with pytest.raises(AppError) as refused:
        call(*args, **kwargs)
    return refused.value.code


def _reaches(strategy: Strategy, key: str) -> bool:
    try:
        return ingest.authenticate({"secret": key}, None).strategy == strategy
    except AppError:
        return False


# ---------------------------------------------------------------------------- names and owners
def test_it_makes_a_strategy_of_its_owner(desk):
    row = strategies.create(owner=desk.owner, actor="asha", name="ORB-15", account=desk.account)
    assert (row.owner, row.mode, row.secret_digest) == (desk.owner, "MANUAL", None)


def test_it_refuses_a_name_twice(desk):
    assert _code(strategies.create, owner=desk.owner, actor="asha", name="manual", account=desk.account) == "NAME_TAKEN"


def test_it_lets_two_people_use_one_name(desk, other):
    assert strategies.create(owner=other.owner, actor="ravi", name="ORB", account=other.account)
    assert strategies.create(owner=desk.owner, actor="asha", name="ORB", account=desk.account)


def test_it_refuses_a_taken_name_on_rename(desk):
    assert _code(strategies.update, desk.auto, {"name": "manual"}, actor="asha") == "NAME_TAKEN"


def test_it_lets_a_strategy_keep_its_own_name(desk):
    assert strategies.update(desk.auto, {"name": "auto", "symbol": "NSE:INFY"}, actor="asha").symbol == "NSE:INFY"


def test_it_refuses_somebody_elses_account(desk, other):
    assert _code(strategies.create, owner=desk.owner, actor="asha", name="x", account=other.account) == "ACCOUNT_NOT_YOURS"
    assert _code(strategies.update, desk.auto, {"account": other.account}, actor="asha") == "ACCOUNT_NOT_YOURS"


def test_it_tells_the_loser_of_a_race_that_the_name_is_taken(desk, monkeypatch):
    real, calls = strategies.check_name, []
    monkeypatch.setattr(strategies, "check_name", lambda *a, **k: calls.append(1) or (len(calls) > 1 and real(*a, **k)))
    assert _code(strategies.create, owner=desk.owner, actor="asha", name="manual", account=desk.account) == "NAME_TAKEN"


def test_it_writes_down_who_changed_what(desk):
    strategies.update(desk.auto, {"symbol": "NSE:SBIN"}, actor="asha")
    assert desk.auto.history.first().history_change_reason == "Changed by asha."


# ---------------------------------------------------------------------------- secrets
def test_it_keeps_only_the_hash_of_a_secret(desk):
    key = strategies.issue_secret(desk.auto, "asha")
    row = Strategy.objects.filter(pk=desk.auto.pk).values().get()
    assert len(key) == 43
    assert row["secret_digest"] == digest(key)
    assert key not in str(row) + str(list(desk.auto.history.values())) + str(list(SystemEvent.objects.values()))


def test_it_gives_another_secret_each_time(desk):
    assert len({strategies.issue_secret(desk.auto, "asha") for _ in range(5)}) == 5


def test_it_lets_the_secret_before_work_for_the_grace_time(desk, time_machine):
    DeskSettings(secret_grace_h=2).save()
    first, second = strategies.issue_secret(desk.auto, "asha"), strategies.issue_secret(desk.auto, "asha")
    assert _reaches(desk.auto, first) and _reaches(desk.auto, second)
    time_machine.move_to(clock.now() + timedelta(hours=2, seconds=1))
    assert not _reaches(desk.auto, first) and _reaches(desk.auto, second)


def test_it_lets_only_one_old_secret_work(desk):
    first, _, _ = (strategies.issue_secret(desk.auto, "asha") for _ in range(3))
    assert not _reaches(desk.auto, first)


def test_it_stops_a_leaked_secret_at_once(desk):
    leaked = strategies.issue_secret(desk.auto, "asha")
    fresh = strategies.issue_secret(desk.auto, "asha", keep_old=False)
    assert not _reaches(desk.auto, leaked) and _reaches(desk.auto, fresh)


def test_it_knows_no_grace_when_the_desk_allows_none(desk):
    DeskSettings(secret_grace_h=0).save()
    old = strategies.issue_secret(desk.auto, "asha")
    strategies.issue_secret(desk.auto, "asha")
    assert not _reaches(desk.auto, old)


def test_it_leaves_an_event_that_says_who_made_a_secret(desk):
    strategies.issue_secret(desk.auto, "asha")
    event = SystemEvent.objects.get(code="SECRET_ISSUED")
    assert (event.owner, event.data) == (desk.owner, {"strategy_id": desk.auto.pk})
    assert event.message.startswith("asha made a new webhook secret for auto.")


def test_it_shows_the_caller_the_new_state(desk):
    strategies.issue_secret(desk.auto, "asha")
    assert desk.auto.secret_digest == Strategy.objects.get(pk=desk.auto.pk).secret_digest


# ---------------------------------------------------------------------------- the end of one
def test_it_archives_a_strategy_and_frees_its_name(desk):
    key = strategies.issue_secret(desk.auto, "asha")
    strategies.archive(desk.auto, "asha")
    assert not _reaches(desk.auto, key)
    assert desk.auto.archived_at <= clock.now()
    assert not desk.auto.enabled
    assert strategies.create(owner=desk.owner, actor="asha", name="auto", account=desk.account).pk != desk.auto.pk


def test_it_keeps_the_orders_of_an_archived_strategy(desk):
    order = desk.order("manual")
    strategies.archive(desk.manual, "asha")
    order.refresh_from_db()
    assert order.strategy == desk.manual


def test_it_archives_only_once(desk):
    strategies.archive(desk.auto, "asha")
    strategies.archive(desk.auto, "ravi")
    assert SystemEvent.objects.filter(code="STRATEGY_ARCHIVED").count() == 1


@pytest.mark.parametrize("act", ["issue", "update", "limits"])
def test_it_does_nothing_more_with_an_archived_strategy(desk, act):
    strategies.archive(desk.auto, "asha")
    acts = {
        "issue": lambda: strategies.issue_secret(desk.auto, "asha"),
        "update": lambda: strategies.update(desk.auto, {"enabled": True}, actor="asha"),
        "limits": lambda: strategies.limits_of(desk.auto, "asha"),
    }
    assert _code(acts[act]) == "STRATEGY_ARCHIVED"


# ---------------------------------------------------------------------------- limits
def test_it_makes_one_empty_limits_row_and_finds_it_again(desk):
    row = strategies.limits_of(desk.auto, "asha")
    assert strategies.limits_of(desk.auto, "asha") == row
    assert (row.scope, row.owner, row.max_order_value, row.strategy) == (Scope.STRATEGY, desk.owner, None, desk.auto)


# ---------------------------------------------------------------------------- what to paste
SAMPLE = {
    "{{exchange}}:{{ticker}}": "NSE:INFY", "{{interval}}": "15", "{{time}}": "2026-11-20T04:00:00Z", "{{timenow}}": "2026-11-20T04:15:01Z",
    "{{strategy.order.action}}": "buy", "{{strategy.order.contracts}}": "10", "{{strategy.order.price}}": "1512.5", "{{strategy.order.id}}": "L1",
    "{{strategy.order.comment}}": "", "{{strategy.position_size}}": "10", "{{strategy.prev_market_position}}": "flat",
    "{{strategy.prev_market_position_size}}": "0", "{{strategy.market_position}}": "long", "{{strategy.market_position_size}}": "10",
    "{{ticker}}": "INFY",
}  # fmt: skip


def _fired(text: str) -> dict:
    for name, value in SAMPLE.items():
        text = text.replace(name, value)
    return json.loads(text)


@pytest.mark.parametrize(("kind", "becomes"), [("MARKET", "MARKET"), ("LIMIT", "LIMIT"), ("SL_M", "MARKET")])
def test_it_writes_an_alert_message_that_its_own_parser_takes(desk, kind, becomes):
    desk.auto.default_order_type = kind
    body = _fired(strategies.alert_message(desk.auto, "key"))
    signal = dialects.detect(body, "").to_signals(body, dialects.Context(received_at=clock.now()))[0]
    assert (signal.action, signal.quantity, signal.order_type, signal.ref_price) == ("BUY", 10, becomes, 1512.5)
    assert (signal.strategy_ref, signal.idempotency_key) == ("auto", "INFY-2026-11-20T04:15:01Z-L1-long-10")


def test_it_leaves_the_quantity_to_the_strategy_when_that_sizes(desk):
    desk.auto.sizing = "FIXED_QTY"
    assert "quantity" not in json.loads(strategies.alert_message(desk.auto))["trade_details"]


def test_it_names_the_address_with_and_without_the_secret(settings):
    settings.BASE_URL = "https://desk.example.org/"
    assert strategies.webhook_url() == "https://desk.example.org/webhook/tradingview"
    assert strategies.webhook_url("k1") == "https://desk.example.org/webhook/tv/k1"


def test_it_is_reached_through_its_own_message(desk):
    body = _fired(strategies.alert_message(desk.auto, strategies.issue_secret(desk.auto, "asha")))
    body["timestamp"] = clock.now().isoformat()
    answer = ingest.receive(json.dumps(body).encode(), token=None, source="127.0.0.1", correlation_id="c1")
    assert (answer.status, len(answer.order_ids)) == (201, 1)


def test_it_writes_only_what_was_changed_over_a_delete_of_the_same_moment(desk):
    stale = Strategy.objects.get(pk=desk.auto.pk)
    strategies.archive(desk.auto, "ravi")
    strategies.update(stale, {"description": "breakouts"}, actor="asha")
    row = Strategy.objects.get(pk=desk.auto.pk)
    assert (row.description, row.enabled) == ("breakouts", False) and row.archived_at is not None
