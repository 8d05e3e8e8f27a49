"""The figures limits over many orders are held against: who counts where, at which price, and that nothing is counted twice."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.factories import (
    BrokerAccountFactory,
    BrokerPositionFactory,
    DecisionFactory,
    InstrumentFactory,
    OrderFactory,
    PositionFactory,
    QuoteFactory,
    StrategyFactory,
)
from trading.domain.timeframe import bar_seconds
from trading.selectors.facts import counters
from trading.selectors.marks import read_once
from tvapp.lib import clock

NOW = clock.now()
LOSS = ["max_daily_loss"]


class World:
    """One paper account with a strategy, the order that is asked about, and rows around it."""

    def __init__(self) -> None:
        self.strategy = StrategyFactory(name="breakout", account__name="paper")
        self.account = self.strategy.account
        self.infy, self.sbin = InstrumentFactory(), InstrumentFactory(tradingsymbol="SBIN")
        self.order = self.place("QUEUED")

    def place(self, status="OPEN", instrument=None, strategy=None, **facts):
        kind = facts.pop("order_class", "ENTRY")
        facts["decision"] = DecisionFactory(owner=self.strategy.owner, order_class=kind) if facts.get("sent_at") else None
        return OrderFactory(strategy=strategy or self.strategy, instrument=instrument or self.infy, status=status, **{"price": Decimal(1000), **facts})

    def hold(self, quantity, instrument=None, strategy=None, **facts):
        return PositionFactory(strategy=strategy or self.strategy, instrument=instrument or self.infy, quantity=Decimal(quantity), **facts)

    def facts(self, label="STRATEGY:breakout", order=None):
        return counters(order or self.order, NOW).scopes[label]


@pytest.fixture
def world(db) -> World:
    return World()


def test_it_counts_nothing_on_an_empty_desk(world):
    found = world.facts("GLOBAL")
    assert (found.open_symbols, found.holds_symbol, found.open_orders, found.buys, found.others, found.unpriced) == (0, False, 0, 0, 0, 0)


def test_it_reserves_what_is_live_sending_or_unresolved_and_nothing_else(world):
    for status in ("SENDING", "UNKNOWN", "NEEDS_REVIEW", "SENT", "OPEN", "PARTIAL"):
        world.place(status, filled_quantity=Decimal(4))
    for status in ("WAITING", "HELD", "QUEUED", "COMPLETE", "CANCELLED", "REJECTED"):
        world.place(status)
    found = world.facts()
    assert (found.open_orders, found.buys, found.open_symbols, found.holds_symbol) == (6, Decimal(6 * 6 * 1000), 1, True)


def test_it_keeps_scopes_and_books_apart(world):
    other = StrategyFactory(account=world.account)
    world.place(strategy=other)
    world.place(strategy=StrategyFactory(account=BrokerAccountFactory(environment="SIM", broker="zerodha")), instrument=world.sbin)
    world.place(simulated=False, strategy=StrategyFactory(account=BrokerAccountFactory(environment="LIVE", broker="zerodha")))
    scopes = counters(world.order, NOW).scopes
    assert [scopes[label].open_orders for label in ("GLOBAL", "ACCOUNT:paper", "STRATEGY:breakout")] == [2, 1, 0]
    assert (scopes["GLOBAL"].others, scopes["ACCOUNT:paper"].others) == (Decimal(10_000), 0)


def test_it_values_each_side_as_if_it_filled_alone(world):
    """Worked example 12: 20 held at a mark of 1000, an open and an unknown order."""
    QuoteFactory(instrument=world.infy, ltp=Decimal(1000), at=NOW)
    world.hold(20)
    world.place("OPEN", requested_quantity=Decimal(10), price=Decimal(1010))
    world.place("UNKNOWN", requested_quantity=Decimal(5), price=Decimal(1005))
    world.place("OPEN", side="SELL", requested_quantity=Decimal(1), price=Decimal(900))  # sold for more than asked, if the market is there
    found = world.facts()
    assert (found.net_value, found.buys, found.sells) == (Decimal(20_000), Decimal(15_125), Decimal(1000))
    assert world.facts(order=world.place("QUEUED", world.sbin)).others == Decimal(35_125)


def test_it_counts_a_pair_of_exits_once_and_never_beyond_zero(world):
    QuoteFactory(instrument=world.infy, ltp=Decimal(1000), at=NOW)
    world.hold(10)
    entry = world.place("COMPLETE", filled_quantity=Decimal(10))
    pair = {"parent": entry, "covered": Decimal(10), "source": "BRACKET", "side": "SELL", "reduce_only": True}
    world.place("OPEN", role="STOP", order_type="SL_M", price=None, trigger_price=Decimal(900), **pair)
    world.place("OPEN", role="TARGET", **{**pair, "price": Decimal(1500)})
    found = world.facts()
    assert (found.sells, found.open_orders, found.open_symbols) == (Decimal(10_000), 1, 1)


def test_it_takes_slices_for_one_order_and_their_room_for_reserved(world):
    first = world.place("OPEN", sent_at=NOW)
    for status, sent_at in (("OPEN", NOW), ("QUEUED", None)):
        world.place(status, parent=first, role="SLICE", source="SLICE", sent_at=sent_at)
    found = world.facts()
    assert (found.open_orders, found.buys, found.orders_minute, found.repeats_minute, found.symbol_trades_day) == (1, Decimal(30_000), 1, 1, 1)
    last = world.place("QUEUED", parent=first, role="SLICE", source="SLICE")
    assert (world.facts(order=last).orders_minute, world.facts(order=last).repeats_minute, world.facts(order=last).open_orders) == (0, 0, 0)


def test_it_counts_the_larger_of_old_and_new_until_a_change_is_confirmed(world):
    more, less = {"quantity": "30", "price": "1100"}, {"quantity": "5"}
    world.place("OPEN", pending_action="MODIFY", pending_changes=more)
    world.place("OPEN", pending_action="MODIFY", pending_changes=less)
    assert world.facts().buys == Decimal(30 * 1100 + 10 * 1000)


@pytest.mark.parametrize(("age_s", "at_broker_s", "price"), [(59, None, 1500), (61, 10, 1400), (61, 61, None)])
def test_it_marks_a_real_position_by_quote_then_broker_then_not_at_all(db, age_s, at_broker_s, price):
    strategy = StrategyFactory(account=BrokerAccountFactory(environment="LIVE", broker="zerodha"))
    QuoteFactory(ltp=Decimal(1500), source="FEED", at=NOW - timedelta(seconds=age_s))
    if at_broker_s:
        BrokerPositionFactory(account=strategy.account, ltp=Decimal(1400), at=NOW - timedelta(seconds=at_broker_s))
    PositionFactory(strategy=strategy, instrument=InstrumentFactory(), quantity=Decimal(1))
    found = counters(OrderFactory(strategy=strategy, simulated=False), NOW).scopes["GLOBAL"]
    assert (found.net_value, found.unpriced) == (price, int(price is None))


def test_it_marks_paper_by_the_last_quote_the_last_alert_or_the_cost(world):
    QuoteFactory(instrument=world.infy, ltp=Decimal(1200), at=NOW - timedelta(hours=3))
    world.hold(1)
    world.hold(1, world.sbin, average=Decimal(800))
    assert (world.facts().net_value, world.facts().others) == (Decimal(1200), Decimal(800))
    world.place("COMPLETE", world.sbin, sent_at=NOW, ref_price=Decimal(850))
    assert world.facts().others == Decimal(850)


def test_it_counts_sends_of_the_minute_and_the_day_exits_and_refused_ones_too(world):
    for status, seconds, kind in (("FAILED", 5, "ENTRY"), ("COMPLETE", 30, "EXIT"), ("COMPLETE", 61, "ENTRY"), ("COMPLETE", 90_000, "ENTRY")):
        filled = Decimal(10 if status == "COMPLETE" else 0)
        world.place(status, sent_at=NOW - timedelta(seconds=seconds), order_class=kind, filled_quantity=filled)
    world.place("OPEN", source="EXTERNAL")
    day_began = NOW - clock.day_start(clock.trading_day(NOW)) > timedelta(seconds=61)
    found = world.facts()
    assert (found.orders_minute, found.repeats_minute) == (2, 2)
    if day_began:
        assert (found.orders_day, found.symbol_trades_day) == (3, 1)


def test_it_calls_the_same_side_quantity_and_price_a_repeat(world):
    sent = {"sent_at": NOW}
    for other in ({"side": "SELL"}, {"requested_quantity": Decimal(11)}, {"price": Decimal(1001)}, {"instrument": world.sbin}, {"order_type": "MARKET"}):
        world.place("COMPLETE", **{**sent, **other})
    assert world.facts().repeats_minute == 0
    market = world.place("QUEUED", order_type="MARKET", price=None)
    assert world.facts(order=market).repeats_minute == 1  # whatever the first one was limited to
    world.place("CANCELLED", quantity=Decimal(3), requested_quantity=Decimal(10), **sent)
    assert world.facts().repeats_minute == 1  # cut by the gate, asked for again in full


def test_it_counts_lots_of_contracts_opened_or_reserved_today(world):
    future = InstrumentFactory(exchange="NFO", tradingsymbol="NIFTY26DECFUT", kind="FUT", lot=Decimal(75))
    world.place("CANCELLED", future, requested_quantity=Decimal(150), filled_quantity=Decimal(75), sent_at=NOW)
    world.place("OPEN", future, requested_quantity=Decimal(150), sent_at=NOW)
    world.place("COMPLETE", future, requested_quantity=Decimal(75), filled_quantity=Decimal(75), sent_at=NOW, order_class="EXIT")
    assert (world.facts(order=world.place("QUEUED", future)).lots_day, world.facts().lots_day) == (3, 0)


def test_it_counts_bars_since_the_last_entry_and_knows_the_newest_signal(world):
    world.strategy.timeframe = "15"
    world.strategy.save()
    asked = {"strategy": world.strategy}
    world.place("COMPLETE", filled_quantity=Decimal(10), sent_at=NOW - timedelta(minutes=45), fired_at=NOW - timedelta(minutes=46))
    world.place("COMPLETE", filled_quantity=Decimal(10), sent_at=NOW - timedelta(minutes=5), fired_at=NOW - timedelta(minutes=6), order_class="EXIT")
    world.place("FAILED", sent_at=NOW - timedelta(minutes=2))
    order = world.place("QUEUED", **asked)
    found = counters(order, NOW)
    assert found.scopes["GLOBAL"].bars_since_entry == 3
    assert found.last_signal_at == NOW - timedelta(minutes=6)


@pytest.mark.parametrize(
    ("text", "seconds"), [("15", 900), ("5m", 300), ("1h", 3600), ("D", 86400), ("1W", 604800), ("1M", 2592000), ("30S", 30), ("", None), ("fast", None)]
)
def test_it_reads_a_timeframe(text, seconds):
    assert bar_seconds(text) == seconds


def test_it_asks_the_database_few_questions_however_much_is_held(world):
    for number in range(5):
        world.hold(1, InstrumentFactory(tradingsymbol=f"S{number}"), average=Decimal(1))
        world.place("OPEN", InstrumentFactory(tradingsymbol=f"S{number}"), sent_at=NOW)
    with CaptureQueriesContext(connection) as asked:
        counters(world.order, NOW, asked=["max_daily_loss"])
    assert len(asked) <= 7, [q["sql"][:80] for q in asked]


def test_it_reads_for_many_orders_at_once_what_they_share(world):
    world.hold(1, average=Decimal(1000))
    orders = [world.place("WAITING") for _ in range(3)]
    alone = [counters(order, NOW, asked=LOSS) for order in orders]
    with CaptureQueriesContext(connection) as asked, read_once():
        together = [counters(order, NOW, asked=LOSS) for order in orders]
    assert together == alone
    assert sum("trading_position" in q["sql"] for q in asked) <= 2  # what is held, and the part of it that is of today
