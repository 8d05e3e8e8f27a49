from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from trading.domain.dedupe import body_hash, dedupe_key
from trading.domain.signal import ContractRef, Signal
from trading.domain.types import Action, ContractKind, Effect, Intent

D = Decimal
BAR = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
FIRED = datetime(2026, 11, 20, 4, 15, 1, tzinfo=UTC)
SIGNAL = Signal(
    tv_exchange="NSE",
    tv_symbol="INFY",
    action=Action.SELL,
    intent=Intent.DELTA,
    effect=Effect.UNKNOWN,
    quantity=D(10),
    target_position=D(0),
    order_ref="L1",
    tag="A",
    bar_time=BAR,
    fired_at=FIRED,
    ref_price=D(100),
    limit_price=D(100),
)
HASH = body_hash(b"{}")


def key(signal=SIGNAL, scope="BAR", body=HASH, **changes):
    return dedupe_key(replace(signal, **changes), body, scope)


def test_it_knows_a_resend_by_what_the_signal_says():
    kind, text = key()
    assert kind == "s" and text.startswith("s:") and len(text) == 66
    assert key(body="another") == key(received_at=FIRED) == key(ref_price=D(101)) == key(comment="x") == (kind, text)


@pytest.mark.parametrize(
    "change",
    [
        {"tv_exchange": "BSE"},
        {"tv_symbol": "TCS"},
        {"contract": ContractRef("NIFTY", ContractKind.FUT, date(2026, 12, 29))},
        {"action": Action.BUY},
        {"intent": Intent.TARGET},
        {"effect": Effect.ENTRY},
        {"order_ref": "L2"},
        {"tag": "B"},
        {"quantity": D(11)},
        {"target_position": D(-10)},
        {"leg_no": 2},
        {"bar_time": BAR + timedelta(minutes=15)},
    ],
)
def test_it_tells_signals_apart_by_every_fact(change):
    assert key(**change) != key()


def test_it_keeps_both_fills_of_a_reversal_that_fire_in_one_second():
    closing, opening = SIGNAL, replace(SIGNAL, target_position=D(-10))
    assert key(closing) != key(opening)


def test_it_treats_equal_numbers_and_moments_as_equal():
    ist = timezone(timedelta(hours=5, minutes=30))
    assert key(quantity=D("10.00"), target_position=D("-0"), bar_time=BAR.astimezone(ist)) == key()


def test_it_takes_two_firings_in_one_bar_as_one_unless_every_firing_counts():
    later = FIRED + timedelta(seconds=30)
    assert key(fired_at=later) == key()
    assert key(limit_price=D(101)) == key()
    assert key(scope="FIRE", fired_at=later) != key(scope="FIRE")
    assert key(scope="FIRE", limit_price=D(101)) != key(scope="FIRE")
    assert key(scope="FIRE", trigger_price=D(1)) != key(scope="FIRE")


def test_it_uses_the_fire_time_when_there_is_no_bar_time():
    assert key(bar_time=None) != key(bar_time=None, fired_at=FIRED + timedelta(seconds=1))
    assert key(bar_time=None)[0] == "s"
    assert key(fired_at=None) == key()


def test_it_lets_the_senders_own_key_decide():
    kind, text = key(idempotency_key="k1")
    assert kind == "k" and text.startswith("k:")
    assert key(idempotency_key="k1", action=Action.BUY, quantity=D(99), body="x") == (kind, text)
    assert key(idempotency_key="k2") != (kind, text)


def test_it_keeps_one_key_apart_for_two_symbols_and_two_legs():
    keys = {
        key(idempotency_key="k"),
        key(idempotency_key="k", tv_symbol="TCS"),
        key(idempotency_key="k", tv_exchange="BSE"),
        key(idempotency_key="k", leg_no=2),
    }
    assert len(keys) == 4


def test_it_falls_back_to_the_body_when_nothing_else_is_there():
    bare = replace(SIGNAL, bar_time=None, fired_at=None)
    assert key(bare)[0] == "b"
    assert key(bare) == key(bare, quantity=D(11))
    assert key(bare) != key(bare, body=body_hash(b"{} "))
    assert key(bare) != key(bare, leg_no=2)


def test_it_hashes_the_very_bytes():
    assert body_hash(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
