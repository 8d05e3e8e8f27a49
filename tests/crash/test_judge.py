"""The judge of the crash test sees what it is there to see."""

import pytest

from tests.crash.judge import judge

ORDER = {"id": 1, "account_id": 7, "status": "COMPLETE", "pending_action": "", "tag": "a1", "broker_order_id": "900", "filled_quantity": "1",
         "gtt": False, "why": "All 1 is filled."}  # fmt: skip
TRUTH = {"order_id": "900", "tag": "a1", "status": "COMPLETE", "filled_quantity": 1}
STORY = [{"kind": "CREATED", "from_status": "", "to_status": "QUEUED"}, {"kind": "MOVE", "from_status": "QUEUED", "to_status": "COMPLETE"}]


def verdict(order=None, truth=(TRUTH,), story=STORY, acknowledged=(1,)):
    found = judge(acknowledged, [ORDER | (order or {})], truth, {1: story}, 7)
    return {name: len(said) for name, said in vars(found).items() if said}


def test_it_finds_nothing_where_desk_and_broker_agree():
    assert verdict() == {}


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("lost", {"acknowledged": (1, 2)}),
        ("doubled", {"truth": (TRUTH, TRUTH | {"order_id": "901"})}),
        ("ghosts", {"truth": ()}),
        ("ghosts", {"truth": (TRUTH | {"filled_quantity": 2},)}),
        ("ghosts", {"truth": (TRUTH | {"status": "OPEN"},)}),
        ("ghosts", {"truth": (TRUTH, {"order_id": "901", "tag": "b2", "status": "OPEN", "filled_quantity": 0})}),
        ("ghosts", {"truth": (TRUTH, {"order_id": "901", "tag": "", "status": "OPEN", "filled_quantity": 0})}),
        ("stuck", {"order": {"pending_action": "CANCEL"}}),
        ("unexplained", {"order": {"why": ""}}),
        ("unexplained", {"story": STORY[1:]}),
        ("unexplained", {"story": [STORY[0], STORY[1] | {"from_status": "SENT"}]}),
    ],
)
def test_it_finds_each_broken_promise(kind, changes):
    assert verdict(**changes) == {kind: 1}


@pytest.mark.parametrize("status", ["FAILED", "STALE", "REJECTED_RISK", "NEEDS_REVIEW", "HELD"])
def test_it_finds_an_order_that_lives_at_the_broker_and_is_called_not_sent(status):
    assert verdict({"status": status, "filled_quantity": "0"}, story=[STORY[0], STORY[1] | {"to_status": status}]) == {"ghosts": 1}


def test_it_knows_that_a_trigger_is_no_order_yet():
    waits = {"status": "OPEN", "filled_quantity": "0", "broker_order_id": ""}
    story = [STORY[0], STORY[1] | {"to_status": "OPEN"}]
    assert verdict(waits | {"gtt": True}, truth=(), story=story) == {}
    assert verdict(waits, truth=(), story=story) == {"ghosts": 1}


def test_it_lets_an_order_be_cancelled_that_never_left():
    gone = {"status": "CANCELLED", "filled_quantity": "0", "broker_order_id": ""}
    assert verdict(gone, truth=(), story=[STORY[0], STORY[1] | {"to_status": "CANCELLED"}]) == {}
