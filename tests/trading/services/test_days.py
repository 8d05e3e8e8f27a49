"""The day's result: worked examples, days that add up, late fills, and what a scope does not know."""

from datetime import timedelta
from decimal import Decimal as D

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brokers.models import BrokerAccount, BrokerFunds, BrokerPosition, ChargeSchedule, SyncState
from risk.models import MarketHours
from tests.trading.money import MONDAY, at, day_of, fill, order, price, trade
from trading.domain.ledger import Book
from trading.models import EquityPeak, Fill, Position, PositionDay
from trading.selectors import marks, sessions
from tvapp.lib import clock

pytestmark = pytest.mark.django_db
TUESDAY = MONDAY + timedelta(days=1)


@pytest.fixture
def moment():
    with time_machine.travel(at(), tick=False) as traveller:
        yield traveller


def charges_of(day=MONDAY) -> D:
    return sum(PositionDay.objects.filter(day=day).values_list("charges", flat=True), D(0))


def test_it_counts_what_was_carried_from_the_previous_close(desk, moment):
    trade(desk.auto, "BUY", 10, 100)
    moment.move_to(at(TUESDAY))
    price("INFY", 112, close=110)
    exit_ = trade(desk.auto, "SELL", 4, 115)
    Fill.objects.filter(pk=exit_.pk).update(charges=D("1.20"))
    PositionDay.objects.filter(day=TUESDAY).update(charges=D("1.20"))
    found = day_of(f"STRATEGY:{desk.auto.pk}")
    assert (found.realised, found.unrealised, found.day_pnl, found.estimated) == (20, 12, D("30.80"), False)
    assert exit_.realised == 60  # what the trade won since it was opened is another figure


def test_it_adds_up_the_limits_example(desk, moment):
    """Realised -1,800, unrealised -2,900, charges 350."""
    trade(desk.auto, "BUY", 100, 500)
    trade(desk.auto, "SELL", 100, 482)
    trade(desk.auto, "BUY", 100, 600, symbol="SBIN")
    PositionDay.objects.update(charges=D(175))
    price("SBIN", 571)
    found = day_of()
    assert (found.realised, found.unrealised, found.charges, found.day_pnl) == (-1800, -2900, 350, -5050)


def test_it_counts_a_position_nobody_touched_today(desk, moment):
    trade(desk.auto, "SELL", 10, 100)
    moment.move_to(at(TUESDAY))
    price("INFY", 108, close=105)
    assert (day_of().unrealised, day_of().charges, PositionDay.objects.filter(day=TUESDAY).exists()) == (-30, 0, False)


def test_it_says_when_the_close_is_not_known(desk, moment):
    trade(desk.auto, "BUY", 10, 100)
    moment.move_to(at(TUESDAY))
    price("INFY", 112)
    assert (day_of().unrealised, day_of().estimated) == (120, True)
    trade(desk.auto, "BUY", 10, 112)
    row = PositionDay.objects.get(day=TUESDAY)
    assert (row.start_quantity, row.start_basis, row.basis_from, day_of().estimated) == (10, 100, "AVERAGE", True)


def test_it_does_not_count_yesterday_again_before_the_market_opens(desk, moment):
    trade(desk.auto, "BUY", 10, 100)
    price("INFY", 60, close=100)
    assert day_of().unrealised == -400
    moment.move_to(at(TUESDAY, 8))
    assert (day_of().unrealised, day_of().estimated) == (0, True)
    price("INFY", 60, close=100)  # told again this morning, with the close before yesterday's
    assert (day_of().unrealised, day_of().estimated) == (0, True)


@pytest.mark.parametrize(("hour", "open_", "expected"), [(8, True, 0), (10, True, -50), (10, False, 0)])
def test_it_takes_the_brokers_close_once_the_market_has_opened(desk, moment, hour, open_, expected):
    BrokerAccount.objects.filter(pk=desk.account.pk).update(broker="zerodha", environment="SIM")
    desk.account.refresh_from_db()
    trade(desk.auto, "BUY", 10, 100)
    MarketHours.objects.update_or_create(
        exchange="NSE", defaults={"days": "12345" if open_ else "1", "opens": "09:15", "closes": "15:30", "maintained_to": TUESDAY})  # fmt: skip
    sessions.forget()
    moment.move_to(at(TUESDAY, hour))
    BrokerPosition.objects.create(
        account=desk.account, exchange="NSE", tradingsymbol="INFY", product="MIS", net_qty=10, ltp=D(90), close_price=D(95), at=clock.now())  # fmt: skip
    assert day_of().unrealised == expected
    sessions.forget()


def test_it_counts_what_was_placed_elsewhere_for_the_account(desk, moment):
    trade(desk.account, "BUY", 10, 100)
    price("INFY", 90)
    assert (day_of(f"ACCOUNT:{desk.account.pk}").unrealised, day_of().unrealised) == (-100, -100)
    trade(desk.auto, "BUY", 1, 100)
    assert day_of(f"STRATEGY:{desk.auto.pk}").unrealised == -10


def test_it_leaves_out_a_price_that_is_too_old_and_says_so(desk, moment):
    BrokerAccount.objects.filter(pk=desk.account.pk).update(broker="zerodha", environment="LIVE")
    desk.account.refresh_from_db()
    trade(desk.auto, "BUY", 10, 100, clock.now() - timedelta(seconds=61), simulated=False)
    price("INFY", 90, when=clock.now() - timedelta(seconds=61))
    found = day_of(simulated=False)
    assert (found.unrealised, found.marks_stale, day_of().marks_stale) == (0, 1, 0)
    trade(desk.auto, "BUY", 1, 100, simulated=False)  # says nothing about the ten
    assert day_of(simulated=False).marks_stale == 1


def test_it_takes_the_fill_for_the_price_of_what_was_just_opened(desk, moment):
    BrokerAccount.objects.filter(pk=desk.account.pk).update(broker="zerodha", environment="LIVE")
    desk.account.refresh_from_db()
    trade(desk.auto, "BUY", 6, 100, simulated=False)
    trade(desk.auto, "BUY", 4, 101, simulated=False)
    found = day_of(simulated=False)
    assert (found.unrealised, found.marks_stale, found.estimated) == (6, 0, False)
    price("INFY", 90)
    with CaptureQueriesContext(connection) as asked:
        held = marks.held(marks.Prices(False, clock.now(), desk.account.pk))
    assert (held[0].mark.source, len(asked)) == ("QUOTE", 1)
    moment.shift(timedelta(seconds=61))
    assert day_of(simulated=False).marks_stale == 1


def test_it_keeps_paper_and_live_apart(desk, moment):
    trade(desk.auto, "BUY", 10, 100)
    assert day_of(simulated=False).charges == 0 and day_of().charges > 0


def test_it_makes_one_trade_of_one_exit(desk, moment):
    trade(desk.auto, "BUY", 30, 100)
    won = trade(desk.auto, "SELL", 5, 120, at(hour=11))
    first = order(desk.auto, "SELL", 10)
    rest = order(desk.auto, "SELL", 10, parent=first, role="SLICE")
    fill(first, 4, 90, at(hour=12))
    fill(first, 6, 89, at(hour=12, minute=5))
    last = fill(rest, 10, 88, at(hour=12, minute=10))
    trade(desk.auto, "BUY", 5, 100)
    found = day_of(f"STRATEGY:{desk.auto.pk}")
    assert (found.loss_streak, found.closed_at, found.lost_at) == (1, last.at, last.at)
    assert Fill.objects.filter(realised__isnull=True).count() == 2 and won.realised == 100
    trade(desk.auto, "SELL", 1, 80, at(hour=13))
    assert day_of(f"STRATEGY:{desk.auto.pk}").loss_streak == 2
    moment.move_to(at(TUESDAY))
    assert day_of().loss_streak == 0


def test_it_charges_each_fill_and_its_position(desk, moment):
    row = order(desk.auto, "BUY", 300)
    first, second = fill(row, 100, 500), fill(row, 200, 500)
    assert (first.charges, second.charges) == (D("21.0703"), D("12.6406"))
    assert Position.objects.get().charges == charges_of() == D("33.7109")
    assert second.charge_parts == {"brokerage": "5", "exchange": "3.07", "sebi": "0.1", "stamp": "3", "gst": "1.4706"}


def test_it_books_without_a_rate(desk, moment):
    ChargeSchedule.objects.all().delete()
    assert trade(desk.auto, "BUY", 10, 100).charges is None
    assert (day_of().charges, Position.objects.get().quantity) == (0, 10)


def test_it_charges_the_depository_once_a_day_and_symbol(desk, moment):
    trade(desk.auto, "BUY", 10, 100, product="CNC")
    moment.move_to(at(TUESDAY))
    trade(desk.auto, "BUY", 5, 100, product="CNC")
    sales = [trade(desk.auto, "SELL", n, 100, product="CNC") for n in (5, 1, 1)]
    assert [s.charge_parts.get("dp") for s in sales] == [None, "15.34", None]
    moment.move_to(at(TUESDAY + timedelta(days=1)))
    assert trade(desk.auto, "SELL", 1, 100, product="CNC").charge_parts["dp"] == "15.34"


def test_it_puts_a_late_fill_into_its_own_day(desk, moment):
    trade(desk.auto, "BUY", 10, 100)
    moment.move_to(at(TUESDAY))
    price("INFY", 112, close=110)
    trade(desk.auto, "SELL", 4, 115)
    fill(order(desk.auto, "BUY", 5), 5, 104, at(MONDAY, 15, 29))
    monday, tuesday = PositionDay.objects.order_by("day")
    assert (monday.quantity, round(monday.average, 4)) == (15, D("101.3333"))
    assert (tuesday.start_quantity, tuesday.start_basis, tuesday.quantity, tuesday.realised) == (15, 110, 11, 20)
    assert day_of().unrealised == 22
    assert charges_of(MONDAY) + charges_of(TUESDAY) == Position.objects.get().charges


def test_it_gives_a_day_without_fills_a_late_one(desk, moment):
    trade(desk.auto, "BUY", 10, 100)
    moment.move_to(at(TUESDAY + timedelta(days=1)))
    fill(order(desk.auto, "SELL", 10), 10, 90, at(TUESDAY, 15))
    row = PositionDay.objects.get(day=TUESDAY)
    assert (row.start_quantity, row.start_basis, row.basis_from, row.realised, row.quantity) == (10, 100, "AVERAGE", -100, 0)
    assert day_of().day_pnl == 0


DAYS = st.lists(
    st.tuples(st.decimals("50", "150", places=2), st.lists(st.tuples(st.sampled_from(["BUY", "SELL"]), st.integers(1, 20), st.decimals("50", "150", places=2)), max_size=3)),
    min_size=1, max_size=5,
)  # fmt: skip


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(DAYS)
def test_its_days_add_up_to_what_the_position_won(desk, days):
    Fill.objects.all().delete()
    PositionDay.objects.all().delete()
    Position.objects.all().delete()
    before, total = None, D(0)
    for number, (close, fills) in enumerate(days):
        with time_machine.travel(at(MONDAY + timedelta(days=number)), tick=False):
            price("INFY", close, close=before)
            for side, quantity, paid in fills:
                trade(desk.auto, side, quantity, paid)
            total += day_of().day_pnl
        before = close
    held = Position.objects.first()
    net = held.realised - held.charges + (close - held.average) * held.quantity if held else D(0)
    assert abs(total - net) < D("0.0001")


def test_it_falls_from_the_best_equity(desk, moment):
    BrokerAccount.objects.filter(pk=desk.account.pk).update(capital=D(100000))
    EquityPeak.objects.create(scope=f"ACCOUNT:{desk.account.pk}", simulated=True, peak=D(25000))
    ChargeSchedule.objects.all().delete()
    trade(desk.auto, "BUY", 100, 100)
    price("INFY", 150)
    found = day_of(f"ACCOUNT:{desk.account.pk}")
    assert (found.equity, found.drawdown_pct) == (105000, 16)
    desk.auto.capital = D(10000)
    desk.auto.save()
    assert (day_of(f"STRATEGY:{desk.auto.pk}").equity, day_of(f"STRATEGY:{desk.auto.pk}").drawdown_pct) == (15000, 0)


def test_it_counts_capital_at_a_broker_from_its_funds(desk, moment):
    BrokerAccount.objects.filter(pk=desk.account.pk).update(broker="zerodha", environment="SIM")
    desk.account.refresh_from_db()
    assert (day_of(f"ACCOUNT:{desk.account.pk}").equity, day_of(f"ACCOUNT:{desk.account.pk}").drawdown_pct) == (None, None)
    BrokerFunds.objects.create(account=desk.account, segment="equity", available=D(40000), used=D(10000), total=D(50000), at=clock.now())
    assert (day_of(f"ACCOUNT:{desk.account.pk}").equity, SyncState.objects.count()) == (50000, 0)


def test_it_keeps_the_same_book_as_the_ledger(desk, moment):
    trade(desk.auto, "BUY", 10, 100)
    trade(desk.auto, "SELL", 15, 110)
    row = PositionDay.objects.get()
    assert Book(row.quantity, row.average, row.realised) == Book(D(-5), D(110), D(100))
