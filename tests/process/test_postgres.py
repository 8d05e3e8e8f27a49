"""The desk on PostgreSQL: what SQLite's one writer gives for nothing must hold here by row locks and conditional updates."""

from pathlib import Path

import pytest

from tests.process.desk import RunningDesk, running_desk
from tests.process.test_desk import (  # noqa: F401 - the same promises, on the desk below
    test_it_acknowledges_and_fills_two_hundred_alerts_of_one_bar_close,
    test_it_fills_an_automatic_alert_and_lets_a_manual_one_wait_for_execute,
    test_it_lets_execute_or_cancel_win_and_never_both,
    test_it_lets_one_of_two_edits_win,
    test_it_lets_one_of_two_people_execute_and_sends_once,
    test_it_makes_one_order_of_fifty_equal_alerts_at_once,
    test_it_moves_again_within_seconds_when_all_of_them_are_killed_at_once,
)

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def database(postgres):
    return postgres.url()


@pytest.fixture(scope="module")
def desk(database):
    with running_desk(RunningDesk(database=database)) as desk:
        yield desk


def test_it_keeps_everything_in_the_server_and_nothing_in_a_file(desk, database, postgres):
    order_id = desk.alert("kept-there")[1]["order_id"]
    desk.wait_filled({order_id}, 60)
    assert postgres.rows(database, "SELECT status FROM trading_order WHERE id = %s", order_id) == [("COMPLETE",)]
    assert not list(Path(desk.home).glob("*.sqlite3*"))
