"""What each known answer proves, as a table; and what stays unproven."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.errors import Ambiguous, AuthExpired, RateLimited, Rejected, Unavailable
from brokers.zerodha.errors import TABLE, Answer, Purpose, classify, code_of, known, redact

WRITE, READ, LOGIN = Purpose.WRITE, Purpose.READ, Purpose.LOGIN
POOL = "HTTPSConnectionPool(host='api.kite.trade', port=443): "
URL = POOL + "Max retries exceeded with url: /orders/regular (Caused by "


def said(text: str, status: int, error_type: str = "InputException", data=None) -> Answer:
    body = {"status": "error", "message": text, "data": data, "error_type": error_type}
    return Answer(status, {"Content-Type": "application/json"}, json.dumps(body).encode())


def judge(text: str, status: int = 400, error_type: str = "InputException", purpose: Purpose = WRITE, **more):
    """A JSON error of Kite, as the client raises it."""
    return classify(Exception(text), said(text, status, error_type), purpose, **more)


# id, text, HTTP status, error_type, purpose, class, code
API = [
    ("order_timed_out", "Order request timed out. Please check the order book and confirm before placing again.", 400, "OrderException", WRITE, Ambiguous, "OMS_TIMEOUT"),
    ("gateway_timed_out", "Gateway timed out", 504, "NetworkException", WRITE, Ambiguous, "OMS_TIMEOUT"),
    ("oms_failed", "Request failed (kitetrade-oms).", 503, "NetworkException", WRITE, Ambiguous, "OMS_ERROR"),
    ("too_many_requests", "Too many requests", 429, "NetworkException", WRITE, RateLimited, "TOO_MANY_REQUESTS"),
    ("daily_order_cap", "Maximum allowed order requests exceeded.", 400, "InputException", WRITE, RateLimited, "DAILY_ORDER_CAP"),
    ("batch_too_large", "Too many tokens requested. Max permitted is 500.", 400, "InputException", READ, Rejected, "BATCH_TOO_LARGE"),
    ("token_incorrect", "Incorrect `api_key` or `access_token`.", 403, "TokenException", WRITE, AuthExpired, "TOKEN"),
    ("token_invalid", "Invalid or expired token.", 403, "TokenException", WRITE, AuthExpired, "TOKEN"),
    ("request_token_dead", "Token is invalid or has expired.", 403, "TokenException", LOGIN, AuthExpired, "LOGIN_TOKEN_USED"),
    ("bad_checksum", "Invalid `checksum`.", 403, "TokenException", LOGIN, AuthExpired, "LOGIN_BAD_SECRET"),
    ("user_not_enabled", "The user is not enabled on the app.", 403, "ForbiddenError", LOGIN, Rejected, "NOT_PERMITTED"),
    ("not_permitted", "That API call is not allowed for the authenticated user", 403, "PermissionException", READ, Rejected, "NOT_PERMITTED"),
    ("totp_required", "TOTP is mandatory to place orders on third-party apps.", 400, "InputException", WRITE, Rejected, "TOTP_REQUIRED"),
    ("ip_not_allowed", "IP (203.0.113.7) is not allowed to place orders for this app. Update allowed IPs on the Kite developer console.", 403, "PermissionException", WRITE, Rejected, "IP_NOT_ALLOWED"),
    ("no_market_protection", "Market orders without market protection are not allowed via API. Please set market protection or use a Limit order.", 400, "InputException", WRITE, Rejected, "MARKET_PROTECTION"),
    ("protection_not_number", "Invalid request (failed to decode market_protection, got: True (expected decimal))", 400, "InputException", WRITE, Rejected, "INVALID_FIELD"),
    ("invalid_field", "Invalid `product`.", 400, "InputException", WRITE, Rejected, "INVALID_FIELD"),
    ("tick_size", "Tick size for this script is 0.10. Kindly enter price in the multiple of tick size for this script", 400, "InputException", WRITE, Rejected, "INVALID_PRICE"),
    ("no_instrument", "The instrument you are placing an order for has either expired or does not exist.", 400, "InputException", WRITE, Rejected, "INSTRUMENT_UNKNOWN"),
    ("margin_refused", "Insufficient funds. Required margin is 1000.00 but available margin is 900.00.", 400, "MarginException", WRITE, Rejected, "INSUFFICIENT_FUNDS"),
    ("holdings_short", "Insufficient stock holding or there are pending sell orders for this stock. Check the orderbook", 400, "HoldingException", WRITE, Rejected, "INSUFFICIENT_HOLDINGS"),
    ("amo_hint", "MIS (intraday) are blocked as the markets are not open for trading today. Try placing an AMO order.", 400, "InputException", WRITE, Rejected, "MARKET_CLOSED"),
    ("amo_not_converted", "Your order could not be converted to a After Market Order (AMO).", 400, "InputException", WRITE, Rejected, "MARKET_CLOSED"),
    ("markets_closed", "Markets are closed right now.", 400, "InputException", WRITE, Rejected, "MARKET_CLOSED"),
    ("mis_cutoff", "Intraday orders (MIS) are allowed only till 3:12 PM", 400, "InputException", WRITE, Rejected, "PRODUCT_CUTOFF"),
    ("cancel_busy", "Order cannot be cancelled as it is being processed. Try later.", 400, "InputException", WRITE, Rejected, "ORDER_BUSY"),
    ("modify_busy", "Order cannot be modified as it is being processed. Try later.", 400, "InputException", WRITE, Rejected, "ORDER_BUSY"),
    ("variety_locked", "Order variety cannot be modified", 400, "InputException", WRITE, Rejected, "INVALID_FIELD"),
    ("tag_length", "`tag` should be max 8 characters", 400, "InputException", WRITE, Rejected, "INVALID_TAG"),
    ("lpp_limit", "This order is outside the allowed LPP limit (100.05). You can place an order within the range or use GTT for long-standing orders.", 400, "InputException", WRITE, Rejected, "PRICE_BAND"),
    ("circuit_limit", "Your order price is lower than the current lower circuit limit of 70.65. Place an order within the daily range.", 400, "InputException", WRITE, Rejected, "PRICE_BAND"),
    ("trigger_circuit", "Trigger price for stoploss sell orders cannot be below the lower circuit price. Please try placing the order with trigger price above 144.05.", 400, "InputException", WRITE, Rejected, "PRICE_BAND"),
    ("no_such_order", "Couldn't find that `order_id`.", 404, "GeneralException", READ, Rejected, "ORDER_NOT_FOUND"),
    ("modified_too_often", "Maximum allowed order modifications exceeded.", 400, "InputException", WRITE, Rejected, "OTHER"),
    ("gtt_ended", "Trigger cannot be deleted.", 400, "InputException", WRITE, Rejected, "ORDER_BUSY"),
    ("gtt_too_many", "Maximum allowed active GTTs is 250.", 400, "InputException", WRITE, Rejected, "OTHER"),
]  # fmt: skip
NO_ANSWER, HTML, OK = None, Answer(502, {}, b"<html>502 Bad Gateway</html>"), Answer(200, {}, b"{}")
# id, what the client raised, the answer it had, purpose, class, code
RAISED = [
    ("read_timeout", POOL + "Read timed out. (read timeout=7)", NO_ANSWER, WRITE, Ambiguous, "TIMEOUT"),
    ("proxy_dropped_after_send", URL + "ProxyError('Unable to connect to proxy', RemoteDisconnected('...')))", NO_ANSWER, WRITE, Ambiguous, "CONN_DROPPED"),
    ("conn_dropped", "('Connection aborted.', RemoteDisconnected('Remote end closed connection without response'))", NO_ANSWER, WRITE, Ambiguous, "CONN_DROPPED"),
    ("tls_broken", URL + "SSLError(SSLError(1, '[SSL: WRONG_VERSION_NUMBER] wrong version number')))", NO_ANSWER, WRITE, Ambiguous, "TLS_BROKEN"),
    ("redirected", "Exceeded 0 redirects.", Answer(307), WRITE, Ambiguous, "REDIRECTED"),
    ("html_body", "Unknown Content-Type (text/html) with response: (b'<html>502 Bad Gateway</html>')", HTML, WRITE, Ambiguous, "BAD_BODY"),
    ("bad_json", "Couldn't parse the JSON response received from the server: b'{oops'", Answer(200, {}, b"{oops"), WRITE, Ambiguous, "BAD_BODY"),
    ("sdk_no_content_type", "'content-type'", OK, WRITE, Ambiguous, "BAD_BODY"),
    ("sdk_no_error_type", "attribute name must be string, not 'NoneType'", Answer(400, {}, b'{"status":"error"}'), WRITE, Ambiguous, "BAD_BODY"),
    ("sdk_no_message", "'message'", Answer(400, {}, b'{"status":"error","error_type":"InputException"}'), WRITE, Ambiguous, "BAD_BODY"),
    ("sdk_no_data", "'data'", OK, WRITE, Ambiguous, "BAD_BODY"),
    ("sdk_no_order_id", "'order_id'", OK, WRITE, Ambiguous, "BAD_BODY"),
    ("sdk_null_data", "'NoneType' object is not subscriptable", OK, WRITE, Ambiguous, "BAD_BODY"),
    ("sdk_list_body", "'list' object has no attribute 'get'", Answer(200, {}, b"[]"), WRITE, Ambiguous, "BAD_BODY"),
    ("sdk_list_body", "'list' object has no attribute 'get'", Answer(200, {}, b"[]"), READ, Unavailable, "BAD_BODY"),
    ("cert_invalid", URL + "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed')))", NO_ANSWER, WRITE, Unavailable, "TLS_CERT"),
    ("not_connected", URL + "NewConnectionError(...))", NO_ANSWER, WRITE, Unavailable, "NO_CONNECTION"),
    ("proxy_tunnel_refused", URL + "ProxyError('Unable to connect to proxy', OSError('Tunnel connection failed: 407 Proxy Authentication Required')))", NO_ANSWER, WRITE, Unavailable, "NO_CONNECTION"),
    ("local_not_serialisable", "Object of type Decimal is not JSON serializable", NO_ANSWER, WRITE, Unavailable, "LOCAL_BUG"),
    ("local_bad_argument", "KiteConnect.place_order() got an unexpected keyword argument 'client_id'", NO_ANSWER, WRITE, Unavailable, "LOCAL_BUG"),
    ("sdk_orders_null", "cannot access local variable '_list' where it is not associated with a value", OK, READ, Unavailable, "BAD_BODY"),
]  # fmt: skip
# id, text, channel, code: what stands in the order book, in a trigger's result or on the socket
ELSEWHERE = [
    ("margin_in_book", "Insufficient funds. Required margin is 1000.00 but available margin is 900.00. Check the orderbook for open orders.", "book", "INSUFFICIENT_FUNDS"),
    ("margin_raw", "RMS:Margin Exceeds,Required:1000.00, Available:900.00 for entity account-XXXXXX across exchange across segment across product", "book", "INSUFFICIENT_FUNDS"),
    ("holdings_short", "Insufficient stock holding", "book", "INSUFFICIENT_HOLDINGS"),
    ("variety_locked", "order variety cannot be modified", "book", "INVALID_FIELD"),
    ("lpp_limit", "This order is outside the allowed LPP limit (100.05).", "book", "PRICE_BAND"),
    ("circuit_or_lpp", "Price exceeds circuit limits for the instrument. Place an order within the daily range.", "book", "PRICE_BAND"),
    ("circuit_limit", "Your order price is higher than the current upper circuit limit of 70.65.", "gtt", "PRICE_BAND"),
    ("freeze_quantity", "RMS:Rule: Check freeze quantity for NSE CASH", "book", "FREEZE_QTY"),
    ("exchange_adapter", "The exchange connection (adapter) did not accept the order. Please retry.", "book", "EXCHANGE_DOWN"),
    ("ws_upgrade_403", "connection was closed uncleanly (WebSocket connection upgrade failed (403 - Forbidden))", "ws", "OTHER"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "status", "error_type", "purpose", "kind", "code"), API, ids=[row[0] for row in API])
def test_it_knows_what_kite_says(name, text, status, error_type, purpose, kind, code):
    error = judge(text, status, error_type, purpose)
    assert (type(error), error.code, error.http_status) == (kind, code, status)
    assert error.message == text.replace("`", "").rstrip(".")
    assert error.raw["known"] == name and "unclassified" not in error.raw


@pytest.mark.parametrize(("name", "text", "answer", "purpose", "kind", "code"), RAISED, ids=[f"{row[0]}-{row[3]}" for row in RAISED])
def test_it_knows_what_the_client_raises(name, text, answer, purpose, kind, code):
    error = classify(Exception(text), answer, purpose)
    assert (type(error), error.code) == (kind, code)
    assert error.raw["known"] == name
    assert error.sent is (False if kind is Unavailable and purpose is WRITE else True if kind is Unavailable else None)
    assert "Pool" not in error.message and "Exception" not in error.message


@pytest.mark.parametrize(("name", "text", "channel", "code"), ELSEWHERE, ids=[f"{row[0]}-{row[2]}" for row in ELSEWHERE])
def test_it_knows_what_stands_in_the_books(name, text, channel, code):
    assert known(text, channel).id == name
    assert code_of(text, channel) == code


def test_every_row_of_the_table_is_tried():
    assert {row.id for row in TABLE} == {row[0] for row in [*API, *RAISED, *ELSEWHERE]}


@pytest.mark.parametrize("name", [row[0] for row in API if row[5] is not Rejected or row[4] is WRITE])
def test_case_does_not_matter(name):
    row = next(row for row in API if row[0] == name)
    assert judge(row[1].upper(), *row[2:5]).code == row[6]


# ---------------------------------------------------------------------------- the order of evidence
def test_a_text_of_doubt_beats_a_status_of_refusal():
    assert isinstance(judge("Order request timed out.", 400, "InputException", unmatched_rejects=True), Ambiguous)


@pytest.mark.parametrize("status", [200, 500, 502, 503, 504])
def test_a_text_of_refusal_proves_nothing_without_a_status_of_refusal(status):
    assert isinstance(judge("Invalid `product`.", status), Ambiguous)


@pytest.mark.parametrize("error_type", ["InputException", "OrderException", "UserException", "TwoFAException", "NetworkException", "Whatever"])
def test_a_refusal_in_unknown_words_is_looked_up_and_kept(error_type):
    error = judge("The moon is in the wrong house", 400, error_type)
    assert isinstance(error, Ambiguous) and error.raw["unclassified"] is True
    assert "wrong house" in error.raw["body"] and error.message == "The moon is in the wrong house"


def test_a_refusal_in_unknown_words_is_a_refusal_where_the_desk_says_so():
    error = judge("The moon is in the wrong house", 400, "InputException", unmatched_rejects=True)
    assert (type(error), error.code, error.raw["unclassified"]) == (Rejected, "OTHER", True)


def test_a_proxys_page_is_no_refusal_whatever_the_desk_says():
    page = Answer(403, {"Content-Type": "text/html"}, b"<html>Forbidden</html>")
    assert isinstance(classify(Exception("Unknown Content-Type (text/html)"), page, WRITE, unmatched_rejects=True), Ambiguous)


@pytest.mark.parametrize(("error_type", "code"), [("MarginException", "INSUFFICIENT_FUNDS"), ("HoldingException", "INSUFFICIENT_HOLDINGS")])
def test_missing_money_and_shares_are_refusals_in_any_words(error_type, code):
    assert judge("Zu wenig davon", 400, error_type).code == code
    assert isinstance(judge("Zu wenig davon", 500, error_type), Ambiguous)


def test_a_dead_token_is_known_by_status_and_type_alone():
    assert isinstance(judge("Session gone", 403, "TokenException"), AuthExpired)
    assert isinstance(judge("Session gone", 500, "TokenException"), Ambiguous)


@pytest.mark.parametrize("answer", [
    Answer(429, {"Retry-After": "7", "Content-Type": "text/html"}, b"<html>slow down</html>"),
    Answer(429, {"retry-after": "7"}, b""),
    said("Slow down", 429, "NetworkException"),
])  # fmt: skip
@pytest.mark.parametrize("purpose", Purpose)
def test_429_is_known_behind_any_body(answer, purpose):
    error = classify(Exception("Unknown Content-Type (text/html) with response: (b'')"), answer, purpose)
    assert isinstance(error, RateLimited) and not error.local
    assert error.retry_after == (7 if answer.headers.get("Retry-After") or answer.headers.get("retry-after") else None)


@pytest.mark.parametrize("status", [400, 404, 405, 410, 500, 502, 503, 504])
def test_a_read_that_failed_is_no_evidence(status):
    error = judge("Something", status, "GeneralException", READ)
    assert isinstance(error, Unavailable) and error.sent is True


def test_a_login_that_was_cut_off_may_have_used_its_token_up():
    broken = Exception("('Connection aborted.', RemoteDisconnected('Remote end closed connection without response'))")
    assert classify(broken, None, LOGIN).sent is None
    assert classify(wrapped(NewConnectionError("x")), None, LOGIN).sent is False


def test_a_plan_without_a_permission_is_a_refusal_of_a_read_and_a_doubt_on_a_write():
    assert judge("Plan", 403, "PermissionException", READ).code == "NOT_PERMITTED"
    assert isinstance(judge("Plan", 403, "PermissionException", WRITE), Ambiguous)


@given(st.text(max_size=60), st.integers(200, 599), st.sampled_from(["InputException", "GeneralException", "NetworkException", ""]), st.binary(max_size=40))
def test_no_text_of_no_table_proves_a_refusal(text, status, error_type, junk):
    for answer in (said(text, status, error_type), Answer(status, {}, junk)):
        error = classify(Exception(text), answer, WRITE)
        assert isinstance(error, Ambiguous | RateLimited) or known(text, "api") or known(text, "exception")


# ---------------------------------------------------------------------------- what never left
class NewConnectionError(Exception):
    """Known by its name: the pure room knows no HTTP library."""


class SSLCertVerificationError(OSError):
    pass


def wrapped(cause: BaseException) -> Exception:
    outer = Exception(Exception("Max retries"))
    outer.args[0].reason = cause
    return outer


@pytest.mark.parametrize(("cause", "code"), [
    (NewConnectionError("refused"), "NO_CONNECTION"),
    (SSLCertVerificationError("self-signed"), "TLS_CERT"),
    (Exception("Unable to connect to proxy", NewConnectionError("x")), "NO_CONNECTION"),
    (Exception("Unable to connect to proxy", OSError("Tunnel connection failed: 407 Nope")), "NO_CONNECTION"),
])  # fmt: skip
def test_the_cause_at_the_end_of_the_chain_proves_that_nothing_was_sent(cause, code):
    error = classify(wrapped(cause), None, WRITE)
    assert (type(error), error.code, error.sent) == (Unavailable, code, False)


def test_a_cause_proves_nothing_once_an_answer_was_heard():
    assert isinstance(classify(wrapped(NewConnectionError("x")), Answer(502), WRITE), Ambiguous)


def test_what_the_caller_was_busy_with_proves_nothing():
    """An exception's context is the caller's own trouble with somebody else's server."""
    with pytest.raises(Exception, match="aborted") as raised:
        try:
            raise NewConnectionError("of another server")
        except NewConnectionError:
            raise Exception("('Connection aborted.', RemoteDisconnected())")  # noqa: B904
    assert isinstance(raised.value.__context__, NewConnectionError)
    assert isinstance(classify(raised.value, None, WRITE), Ambiguous)


def test_a_chain_that_bites_its_tail_ends():
    loop = Exception("a")
    loop.reason = loop
    assert isinstance(classify(loop, None, WRITE), Ambiguous)


# ---------------------------------------------------------------------------- what is kept
CANARY = "canary0123456789"


@pytest.mark.parametrize("text", [
    f"url: /session/token?api_key=abc&access_token={CANARY}",
    f"Authorization: token key:{CANARY}",
    f'{{"access_token": "{CANARY}", "x": 1}}',
    f'{{\\"access_token\\": \\"{CANARY}\\", \\"x\\": 1}}',
    f"for entity account-{CANARY} across",
    f"'request_token={CANARY}'",
])  # fmt: skip
def test_no_secret_stays_in_a_text(text):
    assert CANARY not in str(redact(text))


def test_no_secret_and_no_client_id_stays_in_a_row():
    row = {"placed_by": "AB1234", "tags": [CANARY, "t1"], "n": 1, "meta": {"user_id": "AB1234", "ok": None}, "x": f"a{CANARY}b"}
    kept = redact(row, [CANARY])
    assert CANARY not in str(kept) and "AB1234" not in str(kept)
    assert kept["n"] == 1 and kept["meta"]["ok"] is None and kept["tags"][1] == "t1"


def test_an_error_keeps_no_secret():
    error = judge(f"No way with {CANARY}", secrets=[CANARY])
    assert CANARY not in f"{error!r} {error} {error.raw}"


def test_it_keeps_the_facts_a_text_names():
    assert judge(API[13][1], 403).raw["ip"] == "203.0.113.7"
    assert judge(API[17][1]).raw["tick"] == "0.10"
