import json
import time
from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trading.domain import alertjson
from trading.domain.alertjson import check_placeholders, find_secret, parse_body, redact, to_json
from tvapp.lib.errors import AppError


def refusal(raw):
    with pytest.raises(AppError) as refused:
        parse_body(raw if isinstance(raw, bytes) else raw.encode())
    return refused.value


def placeholder_refusal(body):
    with pytest.raises(AppError) as refused:
        check_placeholders(body)
    return refused.value


def test_it_reads_numbers_as_their_own_text():
    body = parse_body(b'{"price": 0.1, "quantity": 10, "big": 12345678901234567890, "small": 1e-12, "zero": -0.0}')
    assert body["price"] == Decimal("0.1") and str(body["price"]) == "0.1"
    assert body["quantity"] == 10 and isinstance(body["quantity"], Decimal)
    assert body["big"] == Decimal("12345678901234567890")
    assert str(body["small"]) == "1E-12"
    assert str(body["zero"]) == "0"


def test_it_tolerates_a_byte_order_mark_and_line_breaks_in_a_comment():
    assert parse_body('\ufeff{"comment": "a\n\tb\\r"}'.encode()) == {"comment": "a\n\tb\r"}


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "NOT_JSON"),
        (b"hello", "NOT_JSON"),
        (b'{"a": 1} x', "NOT_JSON"),
        (b"{'a': 1}", "NOT_JSON"),
        (b'{"a": }', "NOT_JSON"),
        (b'{"a": "x', "NOT_JSON"),
        (b'{"a": "x\\', "NOT_JSON"),
        (b'{"a": .5}', "NOT_JSON"),
        (b'{"a": 1,}', "NOT_JSON"),
        (b'[{"a": 1}]', "NOT_AN_OBJECT"),
        (b'"text"', "NOT_AN_OBJECT"),
        (b"12", "NOT_AN_OBJECT"),
        (b"null", "NOT_AN_OBJECT"),
        (b'{"secret": "\xff\xfe"}', "NOT_UTF8"),
        ('{"a": "x"}'.encode("utf-16"), "NOT_UTF8"),
        (b'{"a": 1, "a": 1}', "DUPLICATE_KEY"),
        (b'{"a": {"b": 1, "b": 2}}', "DUPLICATE_KEY"),
        (b'{"a": NaN}', "BAD_NUMBER"),
        (b'{"a": [-Infinity]}', "BAD_NUMBER"),
        (b'{"a": 1e400}', "BAD_NUMBER"),
        (b'{"a": 1e13}', "BAD_NUMBER"),
        (b'{"a": 1e-13}', "BAD_NUMBER"),
        (b'{"a": 1e99999999999999999999}', "BAD_NUMBER"),
        (b'{"a": 123456789012345678901}', "BAD_NUMBER"),
        (b'{"a": 1.12345678901234567890}', "BAD_NUMBER"),
        (b'{"a": 0.' + b"0" * 33 + b"1}", "BAD_NUMBER"),
        (b'{"a": ' + b"9" * 10000 + b"}", "BAD_NUMBER"),
        (b'{"a": "1\\u0000"}', "BAD_TEXT"),
        (b'{"a": "x\x01"}', "BAD_TEXT"),
        (b'{"a": ["x\\u007f"]}', "BAD_TEXT"),
        (b'{"a": "\\ud800"}', "BAD_TEXT"),
        (b'{"a\\u0007": 1}', "BAD_TEXT"),
    ],
)
def test_it_refuses_with_a_code_of_its_own(raw, code):
    refused = refusal(raw)
    assert (refused.code, refused.status) == (code, 400)
    assert set(refused.extra) >= {"field", "hint"}


def test_it_refuses_what_is_too_large_by_one_byte():
    filler = b'{"a": "' + b"x" * (alertjson.MAX_BYTES - 9) + b'"}'
    assert len(filler) == alertjson.MAX_BYTES
    assert parse_body(filler)
    assert (refusal(filler + b" ").code, refusal(filler + b" ").status) == ("TOO_LARGE", 413)


def test_it_takes_eight_levels_and_refuses_nine():
    assert parse_body(b'{"a":' * 7 + b"[]" + b"}" * 7)
    assert refusal(b'{"a":' * 8 + b"[]" + b"}" * 8).code == "TOO_DEEP"


@pytest.mark.parametrize("raw", [b"[" * 8000 + b"]" * 8000, b'{"a":' * 2700, b"{" * 16000, b'{"a": [' + b"[" * 9000])
def test_it_refuses_thousands_of_levels_without_recursion(raw):
    assert refusal(raw).code == "TOO_DEEP"


def test_it_does_not_count_brackets_inside_text():
    assert parse_body(b'{"a": "[[[[[[[[[[ \\" [[[["}') == {"a": '[[[[[[[[[[ " [[[['}


def test_it_limits_keys_in_one_object_and_in_all():
    assert parse_body(json.dumps({str(n): "x" for n in range(64)}).encode())
    assert refusal(json.dumps({str(n): "x" for n in range(65)})).code == "TOO_MANY_KEYS"
    groups = {f"g{g}": {str(n): "x" for n in range(55)} for g in range(7)}
    assert parse_body(json.dumps(groups).encode())
    groups["g7"] = {str(n): "x" for n in range(9)}
    assert refusal(json.dumps(groups)).code == "TOO_MANY_KEYS"


@pytest.mark.parametrize(
    ("raw", "hint"),
    [
        (b" ", "The alert message is empty."),
        (b"buy now", "The message must be a JSON object that starts with {."),
        (b'{"price": , "b": 1}', "The value of price is empty."),
        (b'{"price": }', "The value of price is empty."),
        (b'{"price": na}', "The value of price is not a number."),
        (b'{"price": {{close}}}', "The value of price is not in quotes."),
        (b'{"ticker": INFY}', "The value of ticker is not in quotes."),
        (b'{"a": true, }', "There is a comma before a closing bracket."),
        ("{“a”: 1}".encode(), "The message has curly quotes."),
        (b"{'a': 1}", "The message has single quotes."),
        (b'{"a": 1\n "b": 2}', "The first problem is in line 2, column 2."),
    ],
)
def test_it_says_in_plain_words_why_it_is_not_json(raw, hint):
    assert refusal(raw).extra["hint"].startswith(hint)


def test_it_names_the_field_of_a_number_that_resolved_to_nothing():
    refused = refusal(b'{"trade_details": {"quantity": 1, "price": NaN}}')
    assert refused.extra["field"] == "price"
    assert "resolved to nothing" in refused.extra["hint"]
    assert refusal(b'{"a": 1, "price": 1e400}').extra["field"] == "price"
    assert refusal(b"[NaN]").extra["field"] == ""


# JSON-like bodies reach much deeper into the reader than random bytes do
_leaf = st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=8))
_json = st.recursive(
    _leaf, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=6), inner, max_size=4)), max_leaves=20
)
_alphabet = st.sampled_from([*'{}[]",:\\ \n', "{{", "}}", '"a":', "1e5", "-", "NaN", "true", "\\ud800", "é", "\x00"])
_bodies = st.one_of(
    st.binary(max_size=400),
    _json.map(lambda value: json.dumps(value).encode()),
    st.lists(_alphabet, max_size=60).map(lambda parts: "".join(parts).encode()),
)


@settings(max_examples=100, deadline=None)
@example(b'"\\' * 8000)
@example(b'{"a":' + b" " * 16000)
@example(b'"a"' * 5400)
@example(b'{"a": "' + b"\\" * 16000)
@example(b"," * 16384)
@example(b'{"1e' + b"1" * 16000)
@given(raw=_bodies)
def test_it_gives_a_dict_or_a_refusal_for_any_bytes_and_soon(raw):
    started = time.process_time()
    try:
        body = parse_body(raw)
        assert isinstance(body, dict)
        assert parse_body(to_json(body).encode()) == body
    except AppError as refused:
        assert refused.status in (400, 413) and refused.code.isupper() and refused.message
    assert time.process_time() - started < 0.05


@settings(max_examples=100)
@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**11), max_value=10**11, places=8))
def test_it_writes_and_reads_decimals_exactly(value):
    assert parse_body(to_json({"n": value}).encode()) == {"n": value}


def test_it_writes_everything_it_reads_and_nothing_else():
    body = {"a": [Decimal("1.50"), True, None, "ü\n"], "b": {"c": 3}}
    assert to_json(body) == '{"a": [1.50, true, null, "ü\\n"], "b": {"c": 3}}'
    with pytest.raises(TypeError):
        to_json({"a": 1.5})


# --- placeholders -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("{{strategy.order.action}}", "is replaced only in order-fill alerts of a strategy"),
        ("{{close}}", "This message was sent without that, perhaps by hand."),
        ('{{plot("RSI")}}', "perhaps by hand"),
        ("{{Close}}", "Write {{close}}: placeholders have no spaces and no capitals."),
        ("{{ close }}", "Write {{close}}"),
        ("{{strategy_id}}-{{timestamp}}-{{bar}}", "{{strategy_id}} is not a TradingView placeholder. Use the id itself"),
        ("{{timestamp}}", "Use {{timenow}}."),
        ("{{strategy.order.contract}}", "Did you mean {{strategy.order.contracts}}?"),
        ("{{qqqqqqqq}}", "{{qqqqqqqq}} is not a TradingView placeholder."),
        ("50 }}", "Two curly brackets stand alone."),
    ],
)
def test_it_names_the_likely_cause_of_a_placeholder(text, hint):
    refused = placeholder_refusal({"trade_details": {"price": text}})
    assert (refused.code, refused.extra["field"]) == ("UNREPLACED_PLACEHOLDER", "trade_details.price")
    assert hint in refused.extra["hint"]


def test_it_lists_the_placeholders_there_are():
    known = placeholder_refusal({"a": ["x", "{{nope}}"]}).extra["known"]
    assert {"{{close}}", "{{plot_19}}", "{{strategy.position_size}}"} <= set(known)


def test_it_finds_placeholders_in_lists_and_keys_too():
    assert placeholder_refusal({"legs": [{"symbol": "{{ticker}}"}]}).extra["field"] == "legs.0.symbol"
    assert placeholder_refusal({"{{ticker}}": "x"}).extra["field"] == ""


def test_it_passes_a_body_without_placeholders():
    assert check_placeholders({"a": "{x}", "b": [Decimal(1), None, {"c": "} }"}]}) is None


# --- secrets ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "secret"),
    [
        ({"secret": "a", "apikey": "b"}, "a"),
        ({"meta": {"secret": "a"}, "apikey": "b"}, "a"),
        ({"apikey": "b"}, "b"),
        ({"secret": None, "apikey": "b"}, "b"),
        ({"secret": ["a"], "apikey": "b"}, None),
        ({"secret": Decimal(5)}, None),
        ({"meta": "secret"}, None),
        ({}, None),
    ],
)
def test_it_finds_the_secret(body, secret):
    assert find_secret(body) == secret


def test_it_hides_every_spelling_of_a_secret_at_every_level():
    body = {
        "Secret": "x",
        "meta": {"secret": ["x"]},
        "legs": [{"apiKey": "x", "api_key": "x", "keep": "y"}],
        "PASSPHRASE": "x",
        "token": Decimal(1),
    }
    hidden = redact(body)
    assert '"x"' not in to_json(hidden) and hidden["token"] == "hidden"
    assert hidden["legs"] == [{"apiKey": "hidden", "api_key": "hidden", "keep": "y"}]
    assert body["Secret"] == "x"
