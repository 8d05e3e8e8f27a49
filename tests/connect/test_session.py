"""How a login is completed, ends and is lost, with the real client against the simulator."""

from datetime import timedelta
from urllib.parse import parse_qsl

import pytest
import time_machine
from django.core import signing
from django.core.exceptions import ValidationError
from django.db import IntegrityError

from brokers import session
from brokers.models import BrokerAccount, BrokerSession, RateBucket
from tests.connect.conftest import work_off
from tests.tvapp.people import person
from trading.models import SystemEvent
from trading.services import connect, sweeper
from trading.tasks import end_session, exchange_login
from tvapp.lib import clock
from tvapp.lib.errors import AppError
from tvapp.people import roles


def _events(code: str) -> list[str]:
    return list(SystemEvent.objects.filter(code=code).values_list("level", flat=True))


def _later(**span):
    return time_machine.travel(clock.now() + timedelta(**span), tick=True)


# ------------------------------------------------------------------------------------------------------------- logging in
def test_it_logs_in_and_reads_the_books_first(login):
    assert login.log_in() == "connected"
    row = login.row
    assert login.state == ("ACTIVE", "RECOVERING")
    assert (row.user_id, row.user_name, row.error) == ("AB1234", "Simulated Trader AB1234", "")
    assert login.alive_at_broker(row.access_token)
    assert _events("SESSION_STARTED") == ["INFO"]


@pytest.mark.parametrize(("now", "end"), [("2026-11-23T05:59:00+05:30", "2026-11-23T06:00:00+05:30"), ("2026-11-23T06:00:00+05:30", "2026-11-24T06:00:00+05:30")])
def test_it_lets_a_session_end_at_six_in_the_morning(db, now, end):
    assert session.ends_at(clock.datetime.fromisoformat(now)) == clock.datetime.fromisoformat(end)


def test_it_uses_a_request_token_once(login):
    token = login.request_token()
    connect.take_token(login.account, token)
    assert exchange_login(login.account.pk) == "connected"
    assert exchange_login(login.account.pk) == "nothing"
    first = login.row.access_token
    connect.take_token(login.account, token)
    assert exchange_login(login.account.pk) == "failed"
    assert login.row.error_code == "LOGIN_TOKEN_USED"
    assert login.row.access_token == first and login.row.state == "ACTIVE"  # a mistake does not cut off what works


def test_it_takes_the_whole_address_for_the_token(login):
    connect.take_token(login.account, f"http://127.0.0.1:8000/x?status=success&request_token={login.request_token()}&action=login")
    assert work_off()[0] == "connected"


@pytest.mark.parametrize("text", ["", "short", "with space in it", "x" * 129, "<script>alert(1)</script>"])
def test_it_stores_nothing_that_is_no_token(login, text):
    with pytest.raises(AppError):
        connect.take_token(login.account, text)
    assert not BrokerSession.objects.filter(request_token__isnull=False).exists()


def test_it_completes_one_login_at_a_time(login):
    connect.take_token(login.account, login.request_token())
    with pytest.raises(AppError, match="just being completed"):
        connect.take_token(login.account, login.request_token())


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"credentials": "wrong"}, "WRONG_SECRET", "API secret"),
        ({"api_key": "other"}, "LOGIN_TOKEN_USED", "Log in again"),  # the simulator knows every key, but not this token for it
        ({"client_id": "XY9999"}, "OTHER_USER", "Log in as XY9999"),
    ],
)
def test_it_tells_apart_why_a_login_failed(login, changes, code, words):
    said, text = login.fail(**changes)
    assert said == code and words in text
    assert login.state == ("FAILED", "DISCONNECTED")
    assert login.row.access_token is None
    assert _events(code) == ["WARNING"]


def test_it_lets_only_the_first_user_log_in_when_none_is_named(login):
    login.log_in()
    login.bench.post("accounts", api_key="simkey", user_id="ZZ0001")
    assert login.fail()[0] == "OTHER_USER"


def test_it_gives_a_client_one_account(login):
    login.log_in()
    twin = BrokerAccount.objects.create(owner=person("mira"), name="again", broker="zerodha", api_key="other", credentials="simsecret")
    login.bench.post("accounts", api_key="other", user_id="ab1234")
    connect.take_token(twin, login.request_token("other"))
    assert exchange_login(twin.pk) == "failed"
    row = BrokerSession.objects.get(account=twin)
    assert (row.state, row.error_code, row.access_token) == ("FAILED", "CLIENT_TAKEN", None) and "one order book" in row.error
    assert login.state == ("ACTIVE", "RECOVERING")


def test_it_adds_no_second_account_of_a_client(login):
    login.log_in()
    with pytest.raises(ValidationError, match="an account of ab1234 already"):
        connect.add_account(login.desk.owner, {"name": "two", "broker": "zerodha", "api_key": "k", "client_id": "ab1234"}, actor="ravi")
    other = connect.add_account(login.desk.owner, {"name": "two", "broker": "zerodha", "api_key": "k", "client_id": "CD5678"}, actor="ravi")
    with pytest.raises(ValidationError, match="already"):
        connect.change_account(other, {"client_id": "AB1234"}, actor="ravi")
    with pytest.raises(IntegrityError):
        BrokerAccount.objects.filter(pk=other.pk).update(client_id="Ab1234")


def test_it_says_that_the_broker_could_not_be_reached(login, settings):
    token = login.request_token()
    settings.KITE_ROOT_URL = "http://127.0.0.1:9"
    connect.take_token(login.account, token)
    assert work_off() == ["failed"]
    assert login.row.error_code == "NO_CONNECTION"


@pytest.mark.parametrize("mode", ["drop_after", "drop_before", "malformed", "html_502"])
def test_it_asks_for_another_login_when_the_answer_is_lost(login, mode):
    login.bench.fault("token", mode)
    code, text = login.fail()
    assert "Log in again" in text or "again" in text
    assert login.state == ("FAILED", "DISCONNECTED"), code


def test_it_ends_a_login_whose_worker_died(login, monkeypatch):
    connect.take_token(login.account, login.request_token())
    row = login.row
    BrokerSession.objects.filter(pk=row.pk).update(request_token=None)  # taken out, then killed
    connect.sweep()
    assert login.row.state == "EXCHANGE"
    with _later(seconds=session.EXCHANGE_S + 1):
        connect.sweep()
        assert (login.row.state, login.row.error_code) == ("FAILED", "LOGIN_UNKNOWN")
        assert login.log_in() == "connected"


def test_it_rings_again_for_a_login_whose_bell_was_lost(login):
    session.take_token(login.account, login.request_token())
    with _later(seconds=3):
        sweeper.sweep()
        assert "connected" in work_off()


def test_it_keeps_a_login_that_the_desks_own_limit_held_back(login):
    RateBucket.objects.create(account=login.account, kind="read", window_s=1, blocked_until=clock.now() + timedelta(minutes=1))
    assert login.log_in() == "nothing"
    assert login.row.state == "EXCHANGE"
    RateBucket.objects.all().delete()
    assert exchange_login(login.account.pk) == "connected"


def test_it_needs_a_key_and_a_secret(login, settings):
    BrokerAccount.objects.filter(pk=login.account.pk).update(api_key="")
    login.account.refresh_from_db()
    with pytest.raises(AppError, match="no API key"):
        session.login_url(login.account, login.desk.owner)
    settings.KITE_API_KEY, settings.KITE_API_SECRET = "simkey", "simsecret"
    assert login.log_in() == "connected"


def test_it_keeps_a_simulated_account_away_from_the_real_broker(login, settings):
    assert login.account.environment == "SIM"
    settings.KITE_ROOT_URL = settings.KITE_PRODUCTION_ROOT
    with pytest.raises(AppError, match="SIM account"):
        session.login_url(login.account, login.desk.owner)


def test_it_makes_a_live_account_where_the_desk_leads_to_the_broker(db):
    account = BrokerAccount.objects.create(owner=person("mira"), name="kite", broker="zerodha")
    assert (account.environment, account.state) == ("LIVE", "DISCONNECTED")


# ------------------------------------------------------------------------------------------------------------- the callback
def _params(url: str) -> dict[str, str]:
    return dict(parse_qsl(url.partition("?")[2]))


@pytest.fixture
def back(login) -> dict[str, str]:
    """What the login page sends the browser back with."""
    return _params(login.approve(session.login_url(login.account, login.desk.owner)))


def test_it_takes_what_the_login_page_gives_back(login, back):
    assert connect.take_callback(login.desk.owner, back) == login.account
    assert login.row.nonce_digest and back["state"] not in login.row.nonce_digest
    assert work_off()[0] == "connected"


def _refused(user, back, words):
    with pytest.raises(AppError, match=words) as refused:
        connect.take_callback(user, back)
    assert (refused.value.code, refused.value.status) == ("BAD_STATE", 403)
    assert not BrokerSession.objects.filter(request_token__isnull=False).exists()


@pytest.mark.parametrize("state", ["", "made-up", "a:b:c", signing.dumps([1, 2, "x", "y"], salt="other")], ids=["none", "made up", "odd", "signed elsewhere"])
def test_it_refuses_a_state_of_its_own_making(login, back, state):
    _refused(login.desk.owner, {**back, "state": state}, "not begun on this desk")


def test_it_refuses_a_state_of_another_person(login, back):
    _refused(person("eve", roles.ADMIN), back, "somebody else")


def test_it_refuses_a_state_that_is_too_old(login, back):
    with _later(seconds=session.STATE_LIVES_S + 1):
        _refused(login.desk.owner, back, "too long ago")


def test_it_uses_a_state_once_and_with_it_all_that_were_given_out_before(login):
    older, newer = (_params(login.approve(session.login_url(login.account, login.desk.owner))) for _ in range(2))
    connect.take_callback(login.desk.owner, newer)
    assert work_off()[0] == "connected"
    for back in (newer, older):
        _refused(login.desk.owner, back, "used already")


def test_it_stores_nothing_of_a_cancelled_login(login, back):
    with pytest.raises(AppError, match="cancelled"):
        connect.take_callback(login.desk.owner, {"status": "cancelled", "state": back["state"]})
    assert not BrokerSession.objects.exclude(state="NONE").exists()


# ------------------------------------------------------------------------------------------------------------- the end
def test_it_notices_the_end_of_a_session_by_the_clock_once(login):
    login.log_in()
    end = login.row.expires_at
    with time_machine.travel(end + timedelta(seconds=1), tick=True):
        connect.sweep()
        connect.sweep()
        assert login.state == ("EXPIRED", "DISCONNECTED")
        assert login.row.access_token is None and login.row.expires_at == end
    assert _events("ACCOUNT_DISCONNECTED") == ["ERROR"]


def test_it_tells_of_a_loss_once_and_holds_what_is_queued(login):
    login.log_in()
    BrokerAccount.objects.filter(pk=login.account.pk).update(state="READY")
    login.desk.auto.account = login.account
    login.desk.auto.save()
    order = login.desk.order("auto")
    began = clock.now()
    assert [connect.session_lost(login.account, "the session is gone", seen_at=began) for _ in range(3)] == [True, False, False]
    order.refresh_from_db()
    assert (order.status, order.status_reason) == ("HELD", "ACCOUNT_DISCONNECTED")
    assert _events("ACCOUNT_DISCONNECTED") == ["ERROR"]


def test_it_does_not_believe_old_news_about_a_new_session(login):
    began = clock.now()
    login.log_in()
    assert not connect.session_lost(login.account, "the session is gone", seen_at=began)
    assert login.state == ("ACTIVE", "RECOVERING")


def test_it_ends_a_session_at_the_broker_and_forgets_it(login):
    login.log_in()
    token = login.row.access_token
    connect.disconnect(login.account, actor="ravi")
    assert login.state == ("ENDING", "DISCONNECTED")
    assert end_session(login.account.pk) == "ended"
    assert login.state == ("NONE", "DISCONNECTED")
    assert (login.row.access_token, login.row.expires_at) == (None, None)
    assert not login.alive_at_broker(token)
    assert _events("ACCOUNT_DISCONNECTED") == [] and _events("SESSION_ENDED") == ["WARNING"]


def test_it_forgets_a_session_whose_broker_does_not_answer_the_logout(login, settings):
    login.log_in()
    settings.KITE_ROOT_URL = "http://127.0.0.1:9"
    connect.disconnect(login.account, actor="ravi")
    assert end_session(login.account.pk) == "later"
    with _later(seconds=connect.LOGOUT_S + 1):
        connect.sweep()
    assert login.state == ("NONE", "DISCONNECTED") and login.row.access_token is None
    assert _events("LOGOUT_UNANSWERED") == ["WARNING"]


def test_it_leaves_a_newer_login_alone_when_a_logout_is_answered_late(login, monkeypatch):
    login.log_in()
    connect.disconnect(login.account, actor="ravi")

    def meanwhile(adapter):
        connect.reset(login.account, actor="boss")
        login.log_in()

    with monkeypatch.context() as patch:
        patch.setattr("brokers.zerodha.adapter.ZerodhaAdapter.end_session", meanwhile)
        assert end_session(login.account.pk) == "nothing"
    assert login.state == ("ACTIVE", "RECOVERING") and login.alive_at_broker(login.row.access_token)


def test_it_forgets_at_once_when_an_admin_resets_it(login):
    login.log_in()
    connect.reset(login.account, actor="boss")
    assert login.state == ("NONE", "DISCONNECTED")
    assert login.row.access_token is None and _events("SESSION_RESET") == ["WARNING"]


# -------------------------------------------------------------------------------------------------- orders that waited for it
def _held(login, mode: str = "auto", **ages):
    strategy = getattr(login.desk, mode)
    strategy.account = login.account
    strategy.save()
    BrokerAccount.objects.filter(pk=login.account.pk).update(state="READY")
    order = login.desk.order(mode)
    type(order).objects.filter(pk=order.pk).update(status="HELD", status_reason="ACCOUNT_DISCONNECTED", **{k: clock.now() - v for k, v in ages.items()})
    order.refresh_from_db()
    return order


@pytest.mark.parametrize("state", ["DISCONNECTED", "RECOVERING"])
def test_it_keeps_an_order_on_hold_until_the_books_are_read(login, state):
    order = _held(login)
    BrokerAccount.objects.filter(pk=login.account.pk).update(state=state)
    sweeper.sweep()
    order.refresh_from_db()
    assert order.status == "HELD"


@pytest.mark.parametrize(
    ("mode", "ages", "status"),
    [
        ("auto", {}, "QUEUED"),
        ("auto", {"received_at": timedelta(minutes=5)}, "WAITING"),
        ("manual", {"received_at": timedelta(minutes=20), "queued_at": timedelta(minutes=2)}, "QUEUED"),
        ("manual", {"received_at": timedelta(minutes=40), "queued_at": timedelta(minutes=30)}, "WAITING"),
        ("auto", {"received_at": timedelta(hours=7)}, "STALE"),
    ],
)
def test_it_sends_what_is_fresh_and_asks_about_what_is_old_after_a_login(login, mode, ages, status):
    order = _held(login, mode, **ages)
    sweeper.sweep()
    order.refresh_from_db()
    assert order.status == status, order.why
