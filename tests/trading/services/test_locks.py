"""On PostgreSQL rows are locked as they are written: what writes several orders of an account locks the account's ledger before any of them."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from brokers.errors import Ambiguous
from trading.services import brackets, connect, dispatch, halt, squareoff

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("act", [
    lambda claimed: connect.session_lost(claimed.order.account, "its time is over"),
    lambda claimed: connect.reset(claimed.order.account, actor="asha"),
    lambda claimed: dispatch._unsent(claimed.order, claimed.attempt, halt.Bar("STATE_HALTED", "trading was stopped")),
    lambda claimed: dispatch._record_error(claimed.order, claimed.attempt, Ambiguous("OTHER", "no answer", sent=None)),
    lambda claimed: squareoff.start(claimed.order.account, actor="asha", reason="test"),
    lambda claimed: brackets.follow(claimed.order.pk),
])  # fmt: skip
def test_it_locks_the_ledger_first(desk, act):
    claimed = dispatch.claim(desk.order("auto").pk)
    with CaptureQueriesContext(connection) as seen:
        act(claimed)
    writes = [row["sql"] for row in seen if row["sql"].startswith(("UPDATE", "INSERT"))]
    assert 'UPDATE "risk_riskledger"' in writes[0], writes[0]
