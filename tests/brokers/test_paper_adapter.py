from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal as D

import pytest
import time_machine
from django.contrib.auth import get_user_model
from django.db import IntegrityError, connection

from brokers.base import Adapter, UnsupportedFeature
from brokers.errors import RejectCode, Rejected
from brokers.models import BrokerAccount, Instrument, PaperOrder, PaperTrade, Quote
from brokers.paper.adapter import PaperAdapter
from brokers.registry import ADAPTERS, adapter_for, caps_for
from brokers.types import Instrument as Listed
from brokers.types import Kind, OrderKey, OrderRequest, OrderType, Product, Side, Status, Validity
from tvapp.lib import clock, ids

from .contract import AdapterContract

pytestmark = pytest.mark.django_db
MONDAY_10 = datetime(2026, 1, 5, 4, 30, tzinfo=UTC)  # 10:00 IST


@pytest.fixture(autouse=True)
def clock_stands():
    with time_machine.travel(MONDAY_10, tick=False) as traveller:
        yield traveller


@pytest.fixture
def owner():
    return get_user_model().objects.create_user("trader")


@pytest.fixture
def account(owner):
    return BrokerAccount.objects.create(owner=owner, name="paper", slippage_bps=D(0), liquidity="DEPTH")


@pytest.fixture
def adapter(account):
    return adapter_for(account)


@pytest.fixture
def stranger(owner):
    return adapter_for(BrokerAccount.objects.create(owner=owner, name="second"))


@pytest.fixture
def infy():
    return Instrument.objects.create(exchange="NSE", tradingsymbol="INFY", tick=D("0.05"), lot=D(1))


@pytest.fixture
def order(infy):
    listed = Listed(infy.key, infy.exchange, infy.tradingsymbol, Kind.EQ, infy.tick, infy.lot)

    def make(**changes):
        plain = OrderRequest(ids.order_tag("PAPER"), listed, Side.BUY, D(100), OrderType.LIMIT, Product.MIS, price=D(810))
        return replace(plain, **changes)

    return make


@pytest.fixture
def price(infy, clock_stands):
    """Sets the instrument's price, a second after the last one."""

    def make(ltp, **more):
        clock_stands.shift(timedelta(seconds=1))
        values = {"ltp": D(ltp), "bid": None, "ask": None, "bid_qty": None, "ask_qty": None, "volume": None, "at": clock.now(), **more}
        Quote.objects.update_or_create(instrument=infy, defaults=values)

    return make


@pytest.fixture
def market(price, adapter):
    def make(ltp, available=None):
        book = {} if available is None else {"bid": D(ltp), "ask": D(ltp), "bid_qty": D(available), "ask_qty": D(available)}
        price(ltp, **book)
        adapter.step(clock.now())

    return make


class TestPaperAdapter(AdapterContract):
    pass


def _market_order(order, **changes):
    return order(order_type=OrderType.MARKET, price=None, **changes)


def _later(traveller, **delta):
    traveller.shift(timedelta(**delta))
    return clock.now()


# ---------------------------------------------------------------------------- placing
def test_it_answers_a_repeated_reference_with_the_same_order_and_changes_nothing(adapter, order, price):
    price("809")
    request = order()
    first = adapter.place(request)
    before = adapter.get_order(first.key)
    price("700")
    assert adapter.place(replace(request, quantity=D(500), side=Side.SELL)).key == first.key
    assert adapter.get_order(first.key) == before
    assert (PaperOrder.objects.count(), PaperTrade.objects.count()) == (1, 1)


def test_it_refuses_a_reference_of_another_account(adapter, stranger, order):
    request = order()
    stranger.place(request)
    with pytest.raises(Rejected) as refused:
        adapter.place(request)
    assert refused.value.code == RejectCode.INVALID_TAG


@pytest.mark.parametrize("ref", ["", "p" * 21])
def test_it_refuses_a_reference_it_could_not_keep(adapter, order, ref):
    with pytest.raises(Rejected) as refused:
        adapter.place(order(ref=ref))
    assert refused.value.code == RejectCode.INVALID_TAG


def test_it_fills_at_a_fresh_price_rather_than_at_the_alerts(adapter, order, price):
    price("820")
    ack = adapter.place(_market_order(order, ref_price=D(800)))
    [fill] = adapter.list_fills(ack.key)
    assert (ack.status, fill.price, fill.priced_by) == (Status.FILLED, D(820), "QUOTE")


def test_it_fills_at_the_alerts_price_when_the_last_price_is_too_old(adapter, order, price, clock_stands):
    price("820")
    _later(clock_stands, seconds=11)
    [fill] = adapter.list_fills(adapter.place(_market_order(order, ref_price=D(800))).key)
    assert (fill.quantity, fill.price, fill.priced_by) == (100, D(800), "ALERT")


def test_it_flags_a_price_that_came_from_another_alert(adapter, order, price):
    price("820", source=Quote.Source.ALERT)
    [fill] = adapter.list_fills(adapter.place(_market_order(order)).key)
    assert fill.priced_by == "ALERT"


def test_it_rests_without_any_price_and_fills_when_one_arrives(adapter, order, market):
    ack = adapter.place(_market_order(order, protection=D(3)))
    assert (ack.status, adapter.list_fills()) == (Status.OPEN, ())
    market("812")
    row = PaperOrder.objects.get()
    assert (row.status, row.cap, row.value) == ("FILLED", D("836.35"), D(81200))


def test_it_keeps_a_refused_order_in_the_book_with_its_reason(adapter, order):
    report = adapter.get_order(adapter.place(order(price=D("810.02"))).key)
    assert report.status == Status.REJECTED
    assert report.message == "INVALID_PRICE: Price 810.02 is not a multiple of the tick 0.05"


def test_it_judges_a_trigger_against_the_alerts_price(adapter, order):
    ack = adapter.place(order(order_type=OrderType.SL_M, price=None, trigger_price=D(810), ref_price=D(811)))
    assert adapter.get_order(ack.key).message.startswith("TRIGGER_SIDE: BUY trigger 810 must be above the last price 811")


def test_it_cancels_the_rest_of_an_ioc_order(adapter, order, market):
    market("810", available=30)
    report = adapter.get_order(adapter.place(order(validity=Validity.IOC)).key)
    assert (report.status, report.filled, report.cancelled) == (Status.CANCELLED, 30, 70)


@pytest.mark.parametrize("changes", [{"order_type": "TRAILING"}, {"product": "BO"}, {"side": "HOLD"}, {"validity": "TTL"}])
def test_it_refuses_words_it_does_not_know(adapter, order, changes):
    with pytest.raises(Rejected) as refused:
        adapter.place(order(**changes))
    assert refused.value.code == RejectCode.INVALID_FIELD
    assert PaperOrder.objects.count() == 0


def test_it_assumes_a_tick_and_a_lot_before_an_instrument_list_was_loaded(adapter, order, price):
    Instrument.objects.update(tick=None, lot=None)
    price("808.81")
    assert adapter.get_order(adapter.place(order()).key).avg_price == D("808.85")
    assert adapter.place(order(price=D("810.02"))).status == Status.REJECTED


def test_it_leaves_nothing_behind_when_the_trade_cannot_be_stored(adapter, order, price):
    price("809")
    other = PaperOrder.objects.get(ref=adapter.place(order(price=D(700))).key.ref)
    PaperTrade.objects.create(account=adapter.account, order=other, trade_id=f"PT-{other.pk + 1}-1", quantity=1, price=1, at=clock.now())
    request = order()
    with pytest.raises(IntegrityError):
        adapter.place(request)
    assert adapter.find_by_ref(request.ref) == ()


# ---------------------------------------------------------------------------- the book after a restart
def test_it_knows_its_book_after_a_restart(adapter, account, order, market):
    market("812", available=40)
    ack = adapter.place(order(price=D(812)))
    again = PaperAdapter(BrokerAccount.objects.get(pk=account.pk))
    assert again.get_order(ack.key) == adapter.get_order(ack.key)
    assert again.list_fills() == adapter.list_fills()


def test_it_does_not_take_the_same_depth_twice_after_a_restart(adapter, account, order, market):
    market("812", available=40)
    ack = adapter.place(order(price=D(812)))
    again = PaperAdapter(BrokerAccount.objects.get(pk=account.pk))
    assert again.step(clock.now()) == 0
    again.modify(ack.key, quantity=D(90))
    assert again.get_order(ack.key).filled == 40


def test_it_finds_an_order_by_reference_when_the_id_is_not_known(adapter, order):
    ack = adapter.place(order())
    assert adapter.get_order(OrderKey("", ack.key.ref)).key == ack.key


STRANGE_IDS = ["PAPER-", "PAPER-x", "PAPER-²", "250105000000001", "PAPER-99999999999999999999", "' OR 1=1", "{pk}", "PAPER-{pk} "]


@pytest.mark.parametrize("broker_id", STRANGE_IDS)
def test_it_proves_that_a_strange_id_is_not_in_the_book(adapter, order, broker_id):
    ref = adapter.place(order()).key.ref
    with pytest.raises(Rejected) as refused:
        adapter.get_order(OrderKey(broker_id.format(pk=PaperOrder.objects.get().pk), ref))
    assert refused.value.code == RejectCode.ORDER_NOT_FOUND


# ---------------------------------------------------------------------------- steps
def test_it_counts_how_many_orders_a_step_changed(adapter, order, price):
    price("812")
    for limit in (810, 809, 700):
        adapter.place(order(price=D(limit)))
    price("808")
    assert [adapter.step(clock.now()), adapter.step(clock.now())] == [2, 0]


def test_it_does_not_fill_at_a_price_that_is_too_old(adapter, order, price, clock_stands):
    adapter.place(order())
    price("808")
    assert adapter.step(_later(clock_stands, seconds=11)) == 0
    assert adapter.list_fills() == ()


def test_it_leaves_other_accounts_alone(adapter, stranger, order, price):
    stranger.place(order())
    price("808")
    assert adapter.step(clock.now()) == 0


def test_it_gives_the_opening_price_of_the_next_day(adapter, order, market, clock_stands):
    market("812")
    ack = adapter.place(order())
    _later(clock_stands, hours=23)
    market("802")
    assert adapter.get_order(ack.key).avg_price == 802


def test_it_keeps_a_triggered_stop_resting_at_its_limit(adapter, order, market):
    market("807")
    ack = adapter.place(order(side=Side.SELL, order_type=OrderType.SL, price=D(804), trigger_price=D(805)))
    assert ack.status == Status.TRIGGER_PENDING
    market("798")
    assert adapter.get_order(ack.key).status == Status.OPEN
    market("804.05")
    assert adapter.get_order(ack.key).avg_price == 804


def _sneak_in(statement, action):
    """Runs `action` once: right before the first statement on the paper orders that begins with `statement`."""
    done = []

    def wrapper(execute, sql, params, many, context):
        if sql.startswith(statement) and "brokers_paperorder" in sql and not done:
            done.append(sql)
            action()
        return execute(sql, params, many, context)

    return connection.execute_wrapper(wrapper)


def _cancelled_elsewhere():
    PaperOrder.objects.update(status="CANCELLED")


def test_it_fills_nothing_when_the_order_was_cancelled_while_it_matched(adapter, order, price):
    adapter.place(order())
    price("808")
    with _sneak_in("UPDATE", _cancelled_elsewhere):
        assert adapter.step(clock.now()) == 0
    assert (PaperTrade.objects.count(), PaperOrder.objects.get().filled) == (0, 0)


def test_it_reads_the_order_again_before_it_fills_it(adapter, order, price):
    adapter.place(order())
    price("808")
    rows = PaperOrder.objects.filter(status="OPEN")
    with _sneak_in(_first_words(rows.select_related("instrument")), _cancelled_elsewhere):
        assert adapter.step(clock.now()) == 0
    assert PaperOrder.objects.get().status == "CANCELLED"


def _first_words(queryset):
    """The joined read of one order, as far as its columns go: only the step's own read looks like it."""
    return str(queryset.query).partition(" FROM ")[0]


@pytest.mark.parametrize("write", [lambda adapter, key: adapter.cancel(key), lambda adapter, key: adapter.modify(key, quantity=D(50))])
def test_it_reports_a_lost_race_as_busy(adapter, order, write):
    key = adapter.place(order()).key
    with _sneak_in("UPDATE", lambda: PaperOrder.objects.update(filled=40)), pytest.raises(Rejected) as refused:
        write(adapter, key)
    assert refused.value.code == RejectCode.ORDER_BUSY
    assert PaperOrder.objects.get().status == "OPEN"


# ---------------------------------------------------------------------------- modify
def test_it_fills_a_limit_that_was_moved_to_the_market(adapter, order, price):
    price("812")
    ack = adapter.place(order())
    assert adapter.modify(ack.key, price=D("812.50")).status == Status.FILLED
    report = adapter.get_order(ack.key)
    assert (report.price, report.avg_price) == (D("812.50"), 812)


def test_it_moves_a_stop(adapter, order, price):
    price("807")
    ack = adapter.place(order(side=Side.SELL, order_type=OrderType.SL, price=D(804), trigger_price=D(805)))
    adapter.modify(ack.key, trigger_price=D(803), price=D(802))
    report = adapter.get_order(ack.key)
    assert (report.status, report.trigger_price, report.price) == (Status.TRIGGER_PENDING, 803, 802)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"price": D("810.02")}, RejectCode.INVALID_PRICE),
        ({"quantity": D("0.5")}, RejectCode.INVALID_FIELD),
        ({"quantity": D(0)}, RejectCode.INVALID_FIELD),
        ({"trigger_price": D(805)}, RejectCode.INVALID_FIELD),
        ({"product": "CNC"}, RejectCode.INVALID_FIELD),
        ({}, RejectCode.INVALID_FIELD),
    ],
)
def test_it_refuses_a_change_that_makes_no_sense_and_keeps_the_order(adapter, order, changes, code):
    ack = adapter.place(order())
    before = adapter.get_order(ack.key)
    with pytest.raises(Rejected) as refused:
        adapter.modify(ack.key, **changes)
    assert refused.value.code == code
    assert adapter.get_order(ack.key) == before


def test_it_refuses_to_cut_an_order_below_what_is_filled(adapter, order, market):
    market("812", available=40)
    ack = adapter.place(order(price=D(812)))
    with pytest.raises(Rejected, match="above the 40 already filled"):
        adapter.modify(ack.key, quantity=D(40))


def test_it_refuses_a_stop_moved_across_the_last_price(adapter, order, price):
    price("807")
    ack = adapter.place(order(side=Side.SELL, order_type=OrderType.SL_M, price=None, trigger_price=D(805)))
    with pytest.raises(Rejected) as refused:
        adapter.modify(ack.key, trigger_price=D(808))
    assert refused.value.code == RejectCode.TRIGGER_SIDE


# ---------------------------------------------------------------------------- days
def test_it_lists_today_and_what_is_still_live(adapter, order, price, clock_stands):
    price("812")
    done, live = adapter.place(order(price=D(812))), adapter.place(order())
    _later(clock_stands, hours=14)  # 00:00 IST
    today = adapter.place(order())
    assert [r.key.ref for r in adapter.list_orders()] == [live.key.ref, today.key.ref]
    assert adapter.list_fills() == ()
    assert len(adapter.list_fills(done.key)) == 1


# ---------------------------------------------------------------------------- positions and funds
def _trade(adapter, order, market, side, quantity, at):
    market(at)
    return adapter.place(_market_order(order, side=Side(side), quantity=D(quantity)))


def test_it_values_a_position_by_the_average_price(adapter, order, market):
    for side, quantity, at in (("BUY", 10, "100"), ("BUY", 10, "110"), ("SELL", 5, "112")):
        _trade(adapter, order, market, side, quantity, at)
    [position] = adapter.positions()
    assert (position.net_qty, position.realised, position.unrealised, position.ltp) == (15, 35, 105, 112)
    assert (position.buy_avg, position.sell_avg) == (105, 112)


def test_it_turns_a_position_around_at_the_new_price(adapter, order, market):
    _trade(adapter, order, market, "BUY", 10, "100")
    _trade(adapter, order, market, "SELL", 25, "104")
    market("101")
    [position] = adapter.positions()
    assert (position.net_qty, position.realised, position.unrealised) == (-15, 40, 45)


def test_it_carries_a_position_over_the_night_and_forgets_a_flat_one(adapter, order, market, clock_stands):
    _trade(adapter, order, market, "BUY", 10, "100")
    _later(clock_stands, days=1)
    [position] = adapter.positions()
    assert (position.overnight_qty, position.buy_qty, position.realised, position.ltp, position.unrealised) == (10, 0, 0, None, None)
    _trade(adapter, order, market, "SELL", 10, "103")
    [flat] = adapter.positions()
    assert (flat.net_qty, flat.overnight_qty, flat.realised) == (0, 10, 30)
    _later(clock_stands, days=1)
    assert adapter.positions() == ()


def test_it_keeps_products_apart(adapter, order, market):
    market("100")
    adapter.place(_market_order(order, product=Product.CNC))
    adapter.place(_market_order(order, side=Side.SELL, product=Product.MIS))
    assert {(p.product, p.net_qty) for p in adapter.positions()} == {("CNC", 100), ("MIS", -100)}


def test_it_multiplies_money_by_the_contract(adapter, order, market, infy):
    Instrument.objects.update(multiplier=D(10))
    _trade(adapter, order, market, "BUY", 10, "100")
    _trade(adapter, order, market, "SELL", 4, "101")
    assert adapter.positions()[0].realised == 40
    assert adapter.funds()[0].used == 6000


def test_it_counts_capital_result_and_cost(adapter, order, market):
    _trade(adapter, order, market, "BUY", 10, "100")
    _trade(adapter, order, market, "SELL", 4, "110")
    [funds] = adapter.funds()
    assert (funds.total, funds.used, funds.available) == (1_000_040, 600, 999_440)


def test_it_starts_with_its_capital(adapter):
    assert adapter.funds()[0].available == 1_000_000
    assert adapter.positions() == ()


# ---------------------------------------------------------------------------- the registry
def test_it_opens_every_registered_adapter():
    assert {broker: caps_for(broker).broker for broker in ADAPTERS} == {broker: broker for broker in ADAPTERS}


def test_it_says_that_the_paper_book_is_proof():
    caps = caps_for("paper")
    assert caps.absence_is_proof and caps.ack_is_final and caps.horizon_s == 0


def test_it_has_nothing_to_step_at_a_broker_that_lives_elsewhere(adapter):
    assert Adapter.step(adapter, clock.now()) == 0


def test_it_has_no_adapter_for_an_unknown_broker(account):
    account.broker = "nosuch"
    with pytest.raises(UnsupportedFeature, match="nosuch"):
        adapter_for(account)
