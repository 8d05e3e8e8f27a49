"""Every example body against what it must become: the signal, or the refusal."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from trading.domain import alertjson, dialects
from trading.domain.signal import from_data, to_data
from tvapp.lib.errors import AppError

EXAMPLES = sorted((Path(__file__).parent / "examples").glob("*.json"))
RECEIVED = datetime(2026, 11, 20, 4, 15, 2, tzinfo=UTC)


def _example(path):
    example = json.loads(path.read_text(), parse_float=Decimal)
    body = alertjson.parse_body(alertjson.to_json(example["body"]).encode())
    return example, body, dialects.Context(received_at=RECEIVED, **example.get("context", {}))


def _read(body, context):
    alertjson.check_placeholders(body)
    return dialects.detect(body).to_signals(body, context)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_it_reads_or_refuses_every_example(path):
    example, body, context = _example(path)
    if "refused" in example:
        with pytest.raises(AppError) as refused:
            _read(body, context)
        assert (refused.value.code, refused.value.extra["field"]) == (example["refused"]["code"], example["refused"]["field"])
        assert refused.value.status == 400
        return
    (signal,) = _read(body, context)
    assert to_data(signal) == {**example["signal"], "received_at": "2026-11-20T04:15:02Z"}


@pytest.mark.parametrize("path", [p for p in EXAMPLES if "signal" in json.loads(p.read_text())], ids=lambda p: p.stem)
def test_it_reads_a_stored_signal_back_as_it_was(path):
    _, body, context = _example(path)
    (signal,) = _read(body, context)
    assert from_data(json.loads(json.dumps(to_data(signal)))) == signal


def test_it_has_an_example_of_every_dialect():
    names = {dialect.NAME for dialect in dialects.DIALECTS}
    assert names == {"sigma_flat", "sigma_v6", "algodatta"}
    assert all(any(p.stem.startswith(name) for p in EXAMPLES) for name in names)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_it_never_keeps_a_secret(path):
    example, body, context = _example(path)
    assert "s3" not in alertjson.to_json(alertjson.redact(body)).replace('"secret": "hidden"', "")
    if "signal" in example:
        (signal,) = _read(body, context)
        assert "s3" not in json.dumps(to_data(signal))


def test_it_names_the_keys_and_the_nearest_format_of_an_unknown_body():
    with pytest.raises(AppError) as refused:
        dialects.detect({"symbol": "INFY", "Side2": "x", "qty": 1, "timeframe": "5"})
    assert refused.value.code == "UNKNOWN_DIALECT"
    assert refused.value.extra["keys"] == ["symbol", "Side2", "qty", "timeframe"]
    assert refused.value.extra["nearest"] == "algodatta"


def test_it_prefers_a_named_dialect_over_the_shape():
    body = {"symbol": "INFY", "side": "BUY", "order_action": "SELL"}
    assert dialects.detect(body).NAME == "sigma_flat"
    assert dialects.detect(body, "algodatta").NAME == "algodatta"
    assert dialects.detect({**body, "dialect": " Algodatta "}, "sigma_flat").NAME == "algodatta"


@pytest.mark.parametrize("name", ["other", 5])
def test_it_refuses_a_dialect_it_does_not_have(name):
    with pytest.raises(AppError) as refused:
        dialects.detect({"dialect": name, "order_action": "BUY"})
    assert refused.value.extra["hint"] == "Known formats: sigma_v6, sigma_flat, algodatta."


@pytest.mark.parametrize(
    ("body", "ignored"),
    [
        ({}, False),
        ({"platform": "TRADINGVIEW"}, False),
        ({"platform": "zerodha"}, False),
        ({"platform": ["ANGEL", "PAPER"]}, False),
        ({"platform": ["ANGEL", "DHAN"]}, True),
        ({"platform": "METATRADER"}, True),
        ({"platform": Decimal(5)}, True),
        ({"meta": {"platform": "METATRADER"}}, True),
        ({"meta": {"platform": "TradingView"}}, False),
        ({"meta": "x"}, False),
    ],
)
def test_it_knows_alerts_that_are_meant_for_another_platform(body, ignored):
    assert dialects.ignored_platform(body) is ignored


def test_it_takes_the_platforms_of_configured_brokers():
    assert not dialects.ignored_platform({"platform": "DHAN"}, frozenset({"DHAN"}))
