"""What the desk's health says about its brokers."""

from datetime import timedelta

import pytest

from brokers.models import BrokerAccount, BrokerSession
from tests.connect.conftest import work_off
from trading.services import connect, health


def _said() -> tuple[bool, str]:
    check = health.report()["checks"]["brokers"]
    return check["ok"], check["text"]


def test_it_is_well_while_nobody_ever_logged_in(login):
    assert _said() == (True, "No broker is connected; paper needs no session.")


@pytest.mark.parametrize(("state", "ok", "words"), [("READY", True, "1 connected"), ("RECOVERING", False, "1 being read")])
def test_it_is_well_when_the_books_are_read(login, state, ok, words):
    login.log_in()
    BrokerAccount.objects.filter(pk=login.account.pk).update(state=state)
    said, text = _said()
    assert said is ok and words in text


def test_it_is_not_well_after_a_session_was_lost_and_well_after_a_logout(login):
    login.log_in()
    connect.session_lost(login.account, "gone")
    assert _said() == (False, "Broker accounts: 1 not logged in.")
    login.log_in()
    connect.disconnect(login.account, actor="ravi")
    work_off()
    assert _said()[0] is True


def test_it_does_not_wait_for_the_sweeper_to_see_that_a_session_is_over(login):
    login.log_in()
    BrokerAccount.objects.filter(pk=login.account.pk).update(state="READY")
    BrokerSession.objects.update(expires_at=BrokerSession.objects.get().issued_at - timedelta(seconds=1))
    assert _said()[0] is False
