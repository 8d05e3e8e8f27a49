import dataclasses
from datetime import UTC, datetime
from decimal import Decimal as D

import pytest

from brokers.base import UnsupportedFeature
from brokers.errors import Ambiguous, AuthExpired, BrokerError, LimitCode, RateLimited, RejectCode, Rejected, Unavailable
from brokers.types import LIVE, TERMINAL, Fill, Instrument, Kind, OrderKey, PlaceAck, Session, Side, Status

AT = datetime(2026, 1, 5, 4, 0, tzinfo=UTC)


def _fill(**changes):
    return Fill("T1", "B1", D(1), D("812.35"), None, "INR", AT, **changes)


def test_it_splits_every_status_into_live_and_terminal():
    assert set(Status) == LIVE | TERMINAL
    assert not LIVE & TERMINAL


def test_it_counts_an_unmapped_status_as_live():
    assert Status.UNMAPPED in LIVE


def test_it_accepts_plain_strings_for_enumerations():
    assert Side("SELL").sign == -1
    assert Side.BUY == "BUY" and Side.BUY.sign == 1


def test_it_never_shows_what_the_broker_sent():
    assert "canary" not in repr(_fill(raw={"token": "canary"}))


def test_it_compares_and_hashes_values_without_the_raw_body():
    assert _fill(raw={"a": 1}) == _fill(raw={"a": 2})
    assert len({_fill(raw={"a": 1}), _fill()}) == 1


def test_it_masks_the_session_token_and_its_meta():
    text = repr(Session("AB1234", "canary", AT, None, {"refresh": "canary"}))
    assert "canary" not in text
    assert "AB1234" in text and "<hidden>" in text


def test_it_shows_that_a_session_has_no_token():
    assert "token=''" in repr(Session("paper", "", AT))


def test_it_cannot_be_changed_after_it_was_made():
    with pytest.raises(dataclasses.FrozenInstanceError):
        _fill().quantity = D(2)


def test_it_can_use_an_instrument_as_a_key():
    sbin = Instrument("NSE:SBIN", "NSE", "SBIN", Kind.EQ, D("0.05"), D(1), native={"token": "779521"})
    assert {sbin: 1}[dataclasses.replace(sbin)] == 1
    assert sbin.multiplier == 1


def test_it_acknowledges_without_claiming_a_fill():
    assert PlaceAck(OrderKey("B1", "pabc")).status is Status.SUBMITTED


@pytest.mark.parametrize(
    ("error", "sent"),
    [
        (Rejected(RejectCode.INSUFFICIENT_FUNDS, "Needs 500, has 100."), True),
        (Ambiguous("READ_TIMEOUT", "No answer within 15 s."), None),
        (AuthExpired("TOKEN", "The session ended."), True),
        (RateLimited(LimitCode.TOO_MANY_REQUESTS, "10 a second."), True),
        (RateLimited(LimitCode.TOO_MANY_REQUESTS, "10 a second.", local=True), False),
        (Unavailable("CONNECT_REFUSED", "Nobody listens."), False),
        (Unavailable("MAINTENANCE", "Back at 8.", sent=True), True),
        (UnsupportedFeature("No GTT here."), False),
    ],
)
def test_it_says_whether_the_request_reached_the_broker(error, sent):
    assert error.sent is sent
    assert isinstance(error, BrokerError)


def test_it_shows_code_and_sentence_but_not_the_answer():
    error = Rejected(RejectCode.PRICE_BAND, "Price 900 is above 880.", http_status=400, raw={"token": "canary"})
    assert repr(error) == "Rejected(PRICE_BAND: Price 900 is above 880.)"
    assert str(error) == "Price 900 is above 880."
    assert error.raw == {"token": "canary"} and error.http_status == 400


def test_it_keeps_how_long_to_wait():
    assert RateLimited(LimitCode.DAILY_ORDER_CAP, "5000 a day.", retry_after=3600).retry_after == 3600


def test_it_treats_an_unsupported_feature_as_a_proven_refusal():
    with pytest.raises(Rejected) as refused:
        raise UnsupportedFeature("Paper takes no AMO.")
    assert refused.value.code == RejectCode.NOT_PERMITTED
