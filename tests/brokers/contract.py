"""What every adapter must do, whoever the broker is. A broker's test inherits AdapterContract and provides only fixtures:

adapter          the adapter under test
stranger         an adapter of another account at the same broker
order(**changes) an OrderRequest: a fresh reference, BUY 100 LIMIT 810 MIS on an instrument with tick 0.05 and lot 1, unless changed
market(ltp, available=None)  sets the price the broker sees, with `available` units on offer at it (None: without end), and lets it work
"""

from dataclasses import replace
from decimal import Decimal as D

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brokers.errors import RejectCode, Rejected
from brokers.types import LIVE, TERMINAL, Capabilities, OrderKey, OrderReport, OrderType, Product, Side, Status

INHERITED = [HealthCheck.function_scoped_fixture, HealthCheck.differing_executors]  # one suite, a class for each broker
FEW = settings(max_examples=25, deadline=None, suppress_health_check=INHERITED)
FIELDS = [
    {},
    {"side": Side.SELL, "price": D("815.05"), "product": Product.CNC, "quantity": D(7)},
    {"order_type": OrderType.SL, "price": D("816"), "trigger_price": D("815"), "product": Product.NRML},
    {"order_type": OrderType.SL_M, "side": Side.SELL, "price": None, "trigger_price": D("805.10")},
]


def _only(found) -> OrderReport:
    [report] = found
    return report


class AdapterContract:
    KEPT_AS: dict[OrderType, OrderType] = {}  # a broker that keeps these as a limit order at a cap of its own

    # C01
    @pytest.mark.parametrize("changes", FIELDS)
    def test_it_reads_back_what_was_placed(self, adapter, order, market, changes):
        market("812")
        request = order(**changes)
        report = adapter.get_order(adapter.place(request).key)
        assert (report.key.ref, report.side, report.quantity) == (request.ref, request.side, request.quantity)
        assert (report.order_type, report.product) == (self.KEPT_AS.get(request.order_type, request.order_type), request.product)
        assert report.trigger_price == request.trigger_price
        if request.order_type in self.KEPT_AS:
            edge = request.trigger_price or D("812")
            assert 0 <= (report.price - edge) * request.side.sign <= edge * D("0.05") and report.price % request.instrument.tick == 0
        else:
            assert report.price == request.price
        assert report.key.symbol == request.instrument.key
        assert report.status in LIVE

    def test_it_lists_what_was_placed(self, adapter, order, market):
        market("812")
        placed = {adapter.place(order()).key.broker_order_id for _ in range(3)}
        assert placed <= {report.key.broker_order_id for report in adapter.list_orders()}

    def test_it_finds_an_order_by_the_reference_alone_in_the_book(self, adapter, order, market):
        market("812")
        ack = adapter.place(order())
        assert _only(r for r in adapter.list_orders() if r.key.ref == ack.key.ref) == adapter.get_order(ack.key)

    def test_it_tells_what_it_can_do(self, adapter):
        assert isinstance(adapter.caps, Capabilities)
        assert adapter.caps.ref_max >= 17

    def test_it_proves_its_session(self, adapter):
        session = adapter.check_session()
        assert session.user_id
        assert session.expires_at is None or session.expires_at > session.issued_at

    # C02
    def test_it_finds_nothing_for_a_reference_nobody_used(self, adapter, order, market):
        market("812")
        adapter.place(order())
        assert adapter.find_by_ref(order().ref) == ()

    def test_it_finds_exactly_the_order_of_a_reference(self, adapter, order, market):
        market("812")
        ack = [adapter.place(order()) for _ in range(3)][1]
        assert _only(adapter.find_by_ref(ack.key.ref)).key.broker_order_id == ack.key.broker_order_id

    def test_it_finds_every_order_of_a_reference(self, adapter, order, market):
        market("812")
        request = order()
        placed = {adapter.place(request).key.broker_order_id for _ in range(2)}
        assert {report.key.broker_order_id for report in adapter.find_by_ref(request.ref)} == placed

    def test_it_does_not_take_a_reference_for_another_that_looks_alike(self, adapter, order, market):
        market("812")
        ref = adapter.place(order()).key.ref
        assert [adapter.find_by_ref(other) for other in (ref[:-1], ref[1:], ref.upper(), "", "%")] == [()] * 5

    def test_it_does_not_see_the_orders_of_another_account(self, adapter, stranger, order, market):
        market("812")
        ack = stranger.place(order())
        assert adapter.find_by_ref(ack.key.ref) == ()
        assert ack.key.broker_order_id not in {report.key.broker_order_id for report in adapter.list_orders()}

    def test_it_refuses_an_order_that_does_not_exist_only_as_not_found(self, adapter):
        for call in (adapter.get_order, adapter.cancel):
            with pytest.raises(Rejected) as refused:
                call(OrderKey("999999999999", "pnosuchorderatall"))
            assert refused.value.code == RejectCode.ORDER_NOT_FOUND

    # C13
    def test_it_reports_a_part_as_a_part(self, adapter, order, market):
        market("812", available=40)
        report = adapter.get_order(adapter.place(order(price=D(812))).key)
        assert (report.status, report.filled, report.quantity) == (Status.PARTIAL, 40, 100)

    def test_it_keeps_the_fills_of_a_cancelled_order(self, adapter, order, market):
        market("812", available=40)
        ack = adapter.place(order(price=D(812)))
        adapter.cancel(ack.key)
        report = adapter.get_order(ack.key)
        assert (report.status, report.filled, report.cancelled) == (Status.CANCELLED, 40, 60)
        assert sum(fill.quantity for fill in adapter.list_fills(ack.key)) == 40

    def test_it_never_goes_back(self, adapter, order, market):
        market("812")
        ack = adapter.place(order())
        seen = []
        for price, available in (("811", 10), ("809.95", None), ("812", None), ("790", None)):
            market(price, available)
            seen.append(adapter.get_order(ack.key))
        assert [r.filled for r in seen] == sorted(r.filled for r in seen)
        ended = [r for r in seen if r.status in TERMINAL]
        assert ended and {(r.status, r.filled, r.avg_price) for r in ended} == {(Status.FILLED, 100, ended[0].avg_price)}

    # C14
    def test_it_reports_no_average_while_nothing_is_filled(self, adapter, order, market):
        market("812")
        report = adapter.get_order(adapter.place(order()).key)
        assert (report.filled, report.avg_price) == (0, None)
        assert adapter.list_fills(report.key) == ()

    def test_it_reports_no_average_for_a_cancelled_order_without_fills(self, adapter, order, market):
        market("812")
        ack = adapter.place(order())
        adapter.cancel(ack.key)
        report = adapter.get_order(ack.key)
        assert (report.status, report.filled, report.avg_price, report.cancelled) == (Status.CANCELLED, 0, None, 100)

    # C16
    def test_it_lets_a_fill_win_over_a_later_cancel(self, adapter, order, market):
        market("812")
        ack = adapter.place(order(price=D(812)))
        with pytest.raises(Rejected) as refused:
            adapter.cancel(ack.key)
        assert refused.value.code == RejectCode.ORDER_BUSY
        report = adapter.get_order(ack.key)
        assert (report.status, report.filled) == (Status.FILLED, 100)

    def test_it_does_not_fill_what_was_cancelled(self, adapter, order, market):
        market("812")
        ack = adapter.place(order())
        adapter.cancel(ack.key)
        market("805")
        report = adapter.get_order(ack.key)
        assert (report.status, report.filled) == (Status.CANCELLED, 0)

    def test_it_refuses_to_cancel_twice(self, adapter, order, market):
        market("812")
        ack = adapter.place(order())
        adapter.cancel(ack.key)
        with pytest.raises(Rejected) as refused:
            adapter.cancel(ack.key)
        assert refused.value.code == RejectCode.ORDER_BUSY

    def test_it_refuses_to_change_what_has_ended(self, adapter, order, market):
        market("812")
        ack = adapter.place(order(price=D(812)))
        with pytest.raises(Rejected) as refused:
            adapter.modify(ack.key, price=D(800))
        assert refused.value.code == RejectCode.ORDER_BUSY

    # C19
    @FEW
    @given(st.decimals(min_value=D("0.01"), max_value=D(2000), places=2), st.integers(1, 500))
    def test_it_never_moves_a_price_against_the_trader_nor_rounds_a_quantity_up(self, adapter, order, market, price, quantity):
        market("812")
        request = order(price=price, quantity=D(quantity))
        try:
            report = adapter.get_order(adapter.place(request).key)
        except Rejected:
            return
        assert report.quantity <= request.quantity
        assert report.status == Status.REJECTED or (report.price <= price and report.price % request.instrument.tick == 0)
        assert price % request.instrument.tick or (report.price == price and report.quantity == quantity)

    @pytest.mark.parametrize("changes", [{"price": D("810.02")}, {"quantity": D("0.5")}])
    def test_it_never_makes_a_live_order_off_the_grid(self, adapter, order, market, changes):
        market("812")
        try:
            report = adapter.get_order(adapter.place(order(**changes)).key)
        except Rejected:
            return
        tick = order().instrument.tick
        assert report.status == Status.REJECTED or (report.price % tick == 0 and report.quantity % 1 == 0)
        assert report.status == Status.REJECTED or report.quantity > 0

    # C30
    def test_it_gives_every_fill_an_id_of_its_own(self, adapter, order, market):
        market("812")
        for _ in range(3):
            adapter.place(order(price=D(812)))
        ids = [fill.trade_id for fill in adapter.list_fills()]
        assert len(ids) == len(set(ids)) == 3

    def test_it_reports_fills_that_add_up_to_the_order(self, adapter, order, market):
        market("812", available=40)
        ack = adapter.place(order(price=D(812)))
        market("811", available=200)
        report, fills = adapter.get_order(ack.key), adapter.list_fills(ack.key)
        assert sum(f.quantity for f in fills) == report.filled == 100
        assert sum(f.quantity * f.price for f in fills) == pytest.approx(report.avg_price * report.filled)
        assert {f.broker_order_id for f in fills} == {ack.key.broker_order_id}

    def test_it_reports_the_same_fills_each_time(self, adapter, order, market):
        market("812")
        ack = adapter.place(order(price=D(812)))
        market("811")
        assert adapter.list_fills(ack.key) == adapter.list_fills(ack.key)
        assert set(adapter.list_fills(ack.key)) <= set(adapter.list_fills())

    def test_it_reports_positions_that_equal_the_fills(self, adapter, order, market):
        market("812")
        adapter.place(order(price=D(812)))
        adapter.place(order(side=Side.SELL, price=D(812), quantity=D(30)))
        position = _only(adapter.positions())
        assert (position.net_qty, position.buy_qty, position.sell_qty) == (70, 100, 30)
        assert position.net_qty == position.overnight_qty + position.buy_qty - position.sell_qty
        assert position.native["tradingsymbol"] == order().instrument.symbol

    def test_it_reports_funds_that_add_up(self, adapter):
        for row in adapter.funds():
            assert row.total == row.available + row.used
            assert row.currency

    # what a broker cannot do
    def test_it_refuses_an_after_market_order_loudly_unless_it_takes_them(self, adapter, order):
        if adapter.caps.amo:
            assert adapter.place(order(amo=True)).key.broker_order_id
            return
        with pytest.raises(Rejected) as refused:
            adapter.place(order(amo=True))
        assert refused.value.sent is False

    def test_it_refuses_an_instrument_it_does_not_know(self, adapter, order):
        request = order()
        with pytest.raises(Rejected) as refused:
            adapter.place(replace(request, instrument=replace(request.instrument, key="NSE:NOSUCH", symbol="NOSUCH", native={})))
        assert refused.value.code == RejectCode.INSTRUMENT_UNKNOWN
