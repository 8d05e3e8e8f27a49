"""Who may send, what counts as a repeat, and where an alert goes."""

import json
from datetime import timedelta

import pytest
import time_machine

from brokers.models import Instrument
from tests import factories as make
from tests.trading.desk import INSTALLATION, make_desk
from trading.models import Alert, Order, Signal, SystemEvent
from trading.services import ingest, strategies
from tvapp.lib import clock
from tvapp.lib.errors import AppError

pytestmark = pytest.mark.django_db


def refused(desk, **changes) -> AppError:
    with pytest.raises(AppError) as caught:
        desk.send(**changes)
    return caught.value


# ------------------------------------------------------------------------- secrets
@pytest.mark.parametrize("secret", [None, "", "wrong", 7, ["installation-secret-1"], {"a": 1}])
def test_it_refuses_a_missing_or_wrong_secret_and_stores_nothing(desk, secret):
    error = refused(desk, secret=secret)
    assert (error.status, error.code) == (401, "UNAUTHORIZED")
    assert not Alert.objects.exists()


def test_it_takes_a_strategys_own_secret(desk):
    answer = desk.send(secret=desk.secret(desk.manual))
    assert answer.status == 201 and Order.objects.get().strategy == desk.manual


def test_it_refuses_an_own_secret_with_another_strategys_name(desk):
    assert refused(desk, strategy="auto", secret=desk.secret(desk.manual)).status == 401


def test_it_takes_the_token_in_the_path_without_a_secret_in_the_body(desk):
    answer = desk.send(token=desk.secret(desk.manual), secret=None)
    assert answer.status == 201 and Alert.objects.get().endpoint == "path"


def test_it_wants_both_right_when_both_are_given(desk):
    assert refused(desk, token=desk.secret(desk.manual), secret="wrong").status == 401


def test_it_lets_the_old_secret_live_through_its_grace_and_no_longer(desk):
    old = desk.secret(desk.manual)
    desk.secret(desk.manual)
    assert desk.send(secret=old).status == 201
    with time_machine.travel(clock.now() + timedelta(hours=24, seconds=1), tick=False):
        assert refused(desk, secret=old).status == 401


def test_it_refuses_the_secret_of_a_deactivated_owner(desk):
    secret = desk.secret(desk.manual)
    type(desk.owner).objects.update(is_active=False)
    assert refused(desk, secret=secret).status == 401


def test_it_refuses_the_secret_of_a_deleted_strategy(desk):
    secret = desk.secret(desk.manual)
    strategies.archive(desk.manual, "test")
    assert refused(desk, secret=secret).status == 401


def test_it_has_no_installation_secret_when_none_is_set(desk, settings):
    settings.TRADINGVIEW_WEBHOOK_SECRET = ""
    assert refused(desk, secret="").status == 401


def test_it_never_stores_a_secret(desk):
    desk.send()
    assert INSTALLATION not in Alert.objects.get().body and '"secret":"hidden"' in Alert.objects.get().body.replace(" ", "")


# ------------------------------------------------------------------------- repeats
def test_it_answers_a_repeat_with_the_first_ids(desk):
    first = desk.send(idempotency_key="k1")
    again = desk.send(idempotency_key="k1")
    assert (again.status, again.duplicate, again.order_ids, again.alert_id) == (200, True, first.order_ids, first.alert_id)
    assert Alert.objects.get().duplicate_count == 1 and Order.objects.count() == 1


def test_it_keeps_the_first_when_a_key_comes_with_another_content(desk):
    desk.send(idempotency_key="k1")
    desk.send(idempotency_key="k1", trade={"quantity": 99})
    assert SystemEvent.objects.get(code="IDEMPOTENCY_CONFLICT").alert_id == Alert.objects.get().pk
    assert Order.objects.get().quantity == 10


def test_it_tells_two_symbols_with_one_key_apart(desk):
    desk.send(idempotency_key="k1")
    assert desk.send(idempotency_key="k1", symbol="NSE:SBIN").status == 201


def test_it_tells_the_two_fills_of_a_reversal_apart(desk):
    times = {"timestamp": clock.now().isoformat(), "idempotency_key": None}
    one = desk.send(trade={"order_action": "SELL"}, order_id="close", **times)
    two = desk.send(trade={"order_action": "SELL"}, order_id="open", **times)
    assert (one.status, two.status) == (201, 201)


@pytest.mark.parametrize(("later", "duplicate"), [(59, True), (61, False)])
def test_it_counts_an_equal_body_without_times_as_a_repeat_for_a_minute(desk, later, duplicate):
    raw = json.dumps(desk.body(idempotency_key=None)).encode()
    with time_machine.travel(clock.now(), tick=False) as clock_hand:
        desk.send(raw=raw)
        clock_hand.shift(later)
        assert desk.send(raw=raw).duplicate is duplicate


def test_it_answers_one_sender_never_with_anothers_alert(desk):
    other = make_desk("ravi")
    mine = desk.send(secret=desk.secret(desk.manual), idempotency_key="k1")
    theirs = other.send(secret=other.secret(other.manual), idempotency_key="k1")
    assert theirs.status == 201 and theirs.alert_id != mine.alert_id


# ------------------------------------------------------------------------- routing
def test_it_lets_an_unknown_strategy_wait_on_the_default_account_with_a_warning(desk):
    order = desk.order("nobody")
    assert (order.status, order.status_reason, order.strategy, order.account) == ("WAITING", "STRATEGY_UNKNOWN", None, desk.account)
    assert SystemEvent.objects.get(code="STRATEGY_UNKNOWN").level == "WARNING"


def test_it_lets_a_disabled_strategy_wait_when_the_installation_secret_spoke(desk):
    type(desk.auto).objects.update(enabled=False)
    order = desk.order("auto")
    assert (order.status, order.status_reason, order.mode) == ("WAITING", "STRATEGY_DISABLED", "MANUAL")


def test_it_keeps_and_ignores_a_disabled_strategys_own_alert_until_it_is_replayed(desk):
    secret = desk.secret(desk.auto)
    type(desk.auto).objects.update(enabled=False)
    answer = desk.send("auto", secret=secret)
    assert (answer.status, answer.word, answer.code, answer.order_ids) == (200, "ignored", "STRATEGY_DISABLED", [])
    ingest.replay(answer.alert_id)
    assert Order.objects.get().status == "WAITING"
    with pytest.raises(AppError):
        ingest.replay(answer.alert_id)


def test_it_ignores_an_alert_for_another_platform(desk):
    answer = desk.send(platform="METATRADER")
    assert (answer.status, answer.code) == (200, "PLATFORM_IGNORED") and not Order.objects.exists()


def test_it_lets_an_unresolved_symbol_wait_with_its_reason(desk):
    order = desk.order("auto", symbol="NSE:NIFTY1!")
    assert (order.status, order.status_reason, order.instrument) == ("WAITING", "INSTRUMENT_UNKNOWN", None)


def test_it_lets_an_index_wait_because_it_cannot_be_traded(desk):
    assert desk.order("auto", symbol="NSE:NIFTY").status_reason == "INSTRUMENT_NOT_TRADABLE"


def test_it_lets_another_symbol_than_the_strategys_wait(desk):
    type(desk.auto).objects.filter(pk=desk.auto.pk).update(symbol="NSE:SBIN")
    assert desk.order("auto").status_reason == "SYMBOL_OTHER"
    assert desk.order("auto", symbol="NSE:SBIN").status == "QUEUED"


def test_it_lets_delayed_data_wait(desk):
    assert desk.order("auto", symbol="NSE_DLY:INFY").status_reason == "DELAYED_DATA"


def test_it_lets_an_automatic_alert_outside_its_hours_wait(desk):
    now = clock.now().astimezone(clock.IST)
    later = (now + timedelta(hours=1)).time()
    type(desk.auto).objects.filter(pk=desk.auto.pk).update(hours_from=later, hours_to=later)
    assert desk.order("auto").status_reason == "OUTSIDE_HOURS"


AGES = [("auto", 59, "QUEUED"), ("auto", 61, "STALE"), ("manual", 3600, "WAITING"), ("manual", 21601, "STALE")]


@pytest.mark.parametrize(("strategy", "age_s", "status"), AGES)
def test_it_judges_the_age_of_an_alert_by_its_mode(desk, strategy, age_s, status):
    fired = clock.now() - timedelta(seconds=age_s)
    answer = desk.send(strategy, timestamp=fired.isoformat())
    assert Order.objects.get().status == status
    assert answer.word == ("ignored" if status == "STALE" else "accepted")


def test_it_lets_an_alert_from_the_future_wait(desk):
    fired = clock.now() + timedelta(seconds=45)
    assert desk.order("auto", timestamp=fired.isoformat()).status_reason == "SIGNAL_IN_FUTURE"


def test_it_takes_the_strategys_size_when_the_alert_names_none(desk):
    type(desk.auto).objects.filter(pk=desk.auto.pk).update(sizing="FIXED_QTY", sizing_value=25)
    assert desk.order("auto").quantity == 25


def test_it_waits_for_a_quantity_when_nobody_says_one(desk):
    order = desk.order("auto", trade={"quantity": None})
    assert (order.status, order.status_reason, order.quantity) == ("WAITING", "QUANTITY_UNKNOWN", None)


def test_it_holds_when_the_charts_position_differs_and_the_strategy_wants_that(desk):
    type(desk.auto).objects.filter(pk=desk.auto.pk).update(on_drift="HOLD")
    order = desk.order("auto", prev_market_position="long", prev_market_position_size=5)
    assert order.status_reason == "SENDER_POSITION_DRIFT"


# ------------------------------------------------------------------------- refused bodies
def test_it_keeps_a_bad_body_of_a_good_sender_to_look_at(desk):
    assert refused(desk, trade={"quantity": -1}).code == "BAD_QUANTITY"
    alert = Alert.objects.get()
    assert (alert.outcome, alert.code, Order.objects.count(), Signal.objects.count()) == ("REJECTED", "BAD_QUANTITY", 0, 0)


def test_it_does_not_keep_a_bad_body_of_a_stranger(desk):
    assert refused(desk, secret="wrong", trade={"quantity": -1}).status == 401
    assert not Alert.objects.exists()


def test_it_refuses_more_decimals_than_it_can_keep(desk):
    assert refused(desk, trade={"quantity": "1.000000001"}).code == "BAD_NUMBER"


# ------------------------------------------------------------------------------- the product of an exit
def leaving(desk, **changes):
    """A signal that says: be flat afterwards."""
    return desk.order("auto", position_size="0", prev_market_position="long", market_position="flat", **changes)


def test_it_closes_the_product_that_is_held_when_an_exit_names_another(desk):
    type(desk.auto).objects.filter(pk=desk.auto.pk).update(use_target=True)
    make.PositionFactory(strategy=desk.auto, instrument=infy(), product="NRML", quantity=10)
    order = leaving(desk, trade={"order_action": "SELL", "product": "MIS"})
    assert (order.side, order.quantity, order.product, order.reduce_only) == ("SELL", 10, "NRML", True)
    assert "It closes the NRML position; MIS has none." in order.why


def test_it_leaves_other_products_alone_when_the_named_one_is_held(desk):
    type(desk.auto).objects.filter(pk=desk.auto.pk).update(use_target=True)
    for product, quantity in (("NRML", 10), ("MIS", 4)):
        make.PositionFactory(strategy=desk.auto, instrument=infy(), product=product, quantity=quantity)
    order = leaving(desk, trade={"order_action": "SELL", "product": "MIS"})
    assert (order.quantity, order.product) == (4, "MIS")


def infy():
    return Instrument.objects.filter(tradingsymbol="INFY").first() or make.InstrumentFactory(exchange="NSE", tradingsymbol="INFY")
