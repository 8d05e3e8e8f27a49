"""The table of moves: what the design says, and what must hold for any such table."""

from trading.domain import orderfsm
from trading.domain.orderfsm import MOVES, State, may_move


def test_it_has_a_row_a_word_and_a_meaning_for_every_state():
    assert set(MOVES) == set(orderfsm.WORDS) == set(orderfsm.MEANING) == set(State)


def test_it_reaches_every_state_from_a_start():
    seen, todo = set(), list(orderfsm.STARTS)
    while todo:
        state = todo.pop()
        if state not in seen:
            seen.add(state)
            todo += MOVES[state]
    assert seen == set(State)


def test_it_never_goes_from_the_broker_back_into_the_house():
    at_broker = orderfsm.LIVE | {State.COMPLETE, State.CANCELLED, State.EXPIRED, State.REJECTED}
    inside = {State.WAITING, State.HELD, State.QUEUED, State.SENDING, State.STALE, State.REJECTED_RISK}
    assert not any(MOVES[state] & inside for state in at_broker)


def test_it_never_sends_an_unknown_order_again():
    assert not may_move(State.UNKNOWN, State.QUEUED) and not may_move(State.NEEDS_REVIEW, State.QUEUED)


def test_it_lets_broker_evidence_only_move_ended_orders_upwards():
    assert MOVES[State.CANCELLED] == MOVES[State.EXPIRED] == {State.PARTIAL, State.COMPLETE}
    assert MOVES[State.FAILED] == {State.SENT, State.OPEN, State.PARTIAL, State.COMPLETE}


def test_it_leaves_the_truly_final_states_alone():
    assert all(not MOVES[s] for s in (State.COMPLETE, State.REJECTED, State.REJECTED_RISK, State.STALE))


def test_it_prints_itself_as_a_table():
    assert orderfsm.table().count("\n") == len(State) + 2 and "Outcome unknown" in orderfsm.table()
