"""Positions closed past the desk: in Kite itself, by the broker, or on a day the desk was off. On the simulator; its own book is the judge."""

import pytest

from tests.zerodha.test_books import outside
from trading.models import Correction, Drift, Order, Position, SystemEvent
from trading.selectors import drift as read
from trading.services import books, drift
from tvapp.lib.errors import AppError

BOTH = {"stop_loss": {"points": 30}, "take_profit": {"points": 50}}


def entered(road, product: str = "MIS", **more) -> Order:
    """A buy of 10 INFY at 1500, filled, with its stop and target standing."""
    order_id = road.alert(order_type="LIMIT", price=1500, product=product, **{**BOTH, **more})
    road.go(0, 1, 5, 5)
    order = road.order(order_id)
    assert order.status == "COMPLETE" and {c.status for c in order.children.all()} == {"OPEN"}, road.story(order_id)
    return order


def held(road) -> dict:
    return {p.book.partition(":")[0]: p.quantity for p in Position.objects.filter(account=road.account)}


def there(road) -> int:
    return sum(p.net for account in road.bench.state.accounts.values() for p in account.positions.values())


def vanish(road, quantity: int) -> None:
    """So many are gone at the broker, and no order of today's book tells of it."""
    (position,) = next(iter(road.bench.state.accounts.values())).positions.values()
    position.trade(-1, quantity, position.average())


def full_reads(road, *pauses) -> None:
    for seconds in pauses:
        road.go(seconds)
        books.read_all(road.account.pk)
        road.work_off()


def test_it_lets_no_exit_turn_around_what_was_closed_in_kite(road):
    order = entered(road)
    outside(road, transaction_type="SELL", quantity=10, price=1499, order_type="LIMIT")
    road.read_books()
    road.go(1, 5, 5)
    assert [c.status for c in order.children.all()] == ["CANCELLED", "CANCELLED"]
    assert {"Zerodha holds 0 INFY (MIS) and its strategy counts 10" in c.why for c in order.children.all()} == {True}, [c.why for c in order.children.all()]
    road.market(1400)
    road.market(1600)
    assert (there(road), held(road)) == (0, {"STRATEGY": 10, "UNASSIGNED": -10})


def test_it_cuts_the_exits_to_what_was_left_in_kite(road):
    order = entered(road)
    outside(road, transaction_type="SELL", quantity=6, price=1499)
    road.read_books()
    road.go(1, 5, 5)
    assert [(c.status, c.quantity) for c in order.children.all()] == [("OPEN", 4), ("OPEN", 4)]


def test_it_books_the_trade_outside_to_the_strategy_when_a_person_says_so(road):
    entered(road)
    road.market(1495)
    outside(road, transaction_type="SELL", quantity=10, price=1490)
    full_reads(road, 1, 5, 15, 5)
    row = Drift.objects.get()
    assert (row.ours, row.theirs, read.blocked(road.account.pk)) == (10, 0, {("NSE", "INFY", "MIS")})
    event = SystemEvent.objects.get(code="POSITION_DRIFT")
    assert event.level == "ERROR" and "holds 0 INFY (MIS), the desk counts 10 (kite-auto 10, traded outside -10)" in event.message
    drift.adopt(row, actor="asha", ours=row.ours, theirs=row.theirs)
    assert (held(road), read.count(road.account.pk)) == ({"STRATEGY": 0, "UNASSIGNED": 0}, 0)
    assert Position.objects.get(strategy=road.auto).realised == -50
    assert {(c.strategy_id, c.side, c.quantity, c.price, c.actor) for c in Correction.objects.all()} == {
        (road.auto.pk, "SELL", 10, 1495, "asha"), (None, "BUY", 10, 1495, "asha"),
    }  # fmt: skip
    full_reads(road, 5, 20)
    assert (Drift.objects.count(), SystemEvent.objects.filter(code="POSITION_DRIFT").count()) == (1, 1)


def test_it_believes_a_difference_only_when_a_later_read_shows_it_again(road):
    order = entered(road)
    vanish(road, 10)
    full_reads(road, 0)
    assert Drift.objects.get().confirmed_at is None and read.count(road.account.pk) == 0
    assert {c.pending_action for c in order.children.all()} == {""}
    full_reads(road, 20)
    assert read.count(road.account.pk) == 1
    road.go(1, 5, 5)
    assert {c.status for c in order.children.all()} == {"CANCELLED"}


def test_it_forgets_a_difference_that_was_none(road):
    entered(road)
    vanish(road, 10)
    full_reads(road, 0)
    vanish(road, -10)
    full_reads(road, 20)
    assert not Drift.objects.exists() and not SystemEvent.objects.filter(level="ERROR").exists()


def test_it_draws_nothing_from_a_book_that_lacks_orders(road):
    entered(road)
    vanish(road, 10)
    road.bench.fault("orders", "empty_book", times=0)
    full_reads(road, 0, 20, 20)
    assert not Drift.objects.exists()


def test_it_draws_nothing_while_an_outcome_of_the_symbol_is_unknown(road):
    entered(road)
    vanish(road, 10)
    road.bench.fault("place", "hang_before", delay_s=3)
    road.alert(price=1300)
    full_reads(road, 0, 20)
    assert not Drift.objects.exists()


def test_it_deletes_the_trigger_of_shares_that_were_sold_elsewhere(road):
    next(iter(road.bench.state.accounts.values())).holdings.clear()
    order = entered(road, "CNC")
    vanish(road, 10)
    full_reads(road, 0, 20)
    road.go(1, 5, 5)
    assert (order.children.get().status, road.triggers("INFY")) == ("CANCELLED", 0), road.story(order.children.get().pk)


def test_it_takes_the_traders_own_shares_for_no_difference(road):
    order_id = road.alert(symbol="NSE:SBIN", order_type="MARKET", product="CNC")
    road.go(0, 1, 5, 5)
    assert road.order(order_id).status == "COMPLETE", road.story(order_id)
    road.time.shift(86400)
    road.log_in()
    full_reads(road, 1, 20, 20)
    assert not Drift.objects.exists()


def test_it_asks_which_of_two_strategies_was_closed(road):
    entered(road)
    road.manual.mode = "AUTO"
    road.manual.save()
    road.alert(strategy="kite-manual", order_type="LIMIT", price=1500)
    road.go(0, 1, 5, 5)
    vanish(road, 5)
    full_reads(road, 1, 20)
    row = read.standing().get()
    with pytest.raises(AppError, match="say which of them"):
        drift.adopt(row, actor="asha")
    drift.adopt(row, actor="asha", strategy_id=road.manual.pk)
    assert {p.strategy_id: p.quantity for p in Position.objects.filter(account=road.account)} == {road.auto.pk: 10, road.manual.pk: 5}


def test_it_takes_over_no_figure_that_changed_or_is_old(road):
    entered(road)
    vanish(road, 10)
    full_reads(road, 0, 20)
    row = read.standing().get()
    with pytest.raises(AppError, match="the broker holds 0, the desk counts 10"):
        drift.adopt(row, actor="asha", ours=row.ours, theirs=row.theirs + 1)
    road.time.shift(400)
    with pytest.raises(AppError, match="read too long ago"):
        drift.adopt(row, actor="asha")
