"""What an order may close and what money it may use: on paper from our own rows, at a broker from what was read last and what happened since."""

from datetime import timedelta
from decimal import Decimal as D

import pytest

from risk import engine
from risk.models import RiskSettings
from tests.factories import (
    BrokerAccountFactory,
    BrokerFundsFactory,
    BrokerHoldingFactory,
    BrokerPositionFactory,
    DriftFactory,
    FillFactory,
    InstrumentFactory,
    OrderFactory,
    PositionFactory,
    StrategyFactory,
    SyncStateFactory,
)
from trading.selectors import closable, funds, snapshot
from trading.selectors.facts import Book, counters
from tvapp.lib import clock

NOW = clock.now()
READ = NOW - timedelta(seconds=20)


@pytest.fixture
def paper(db):
    return StrategyFactory(account__capital=D(100_000))


@pytest.fixture
def remote(db):
    strategy = StrategyFactory(account=BrokerAccountFactory(environment="LIVE", broker="zerodha"))
    SyncStateFactory(account=strategy.account, positions_at=READ, holdings_at=READ)
    return strategy


def asked(strategy, **facts):
    simulated = strategy.account.environment != "LIVE"
    return OrderFactory(strategy=strategy, status="QUEUED", simulated=simulated, **{"side": "SELL", "product": "CNC", **facts})


def position(order):
    return closable.position(order, NOW, Book(order, NOW))


def available(order) -> D:
    return funds.funds(order, NOW, Book(order, NOW)).available


# ------------------------------------------------------------------------- what can be closed
def test_it_sells_what_is_settled_and_what_was_traded_today(remote):
    """3 were sold today and 2 are pledged; the broker tells of what was sold in both books."""
    BrokerHoldingFactory(account=remote.account, quantity=D(25), used_quantity=D(5), t1_quantity=D(7))
    BrokerPositionFactory(account=remote.account, product="CNC", net_qty=D(-3))
    assert (position(asked(remote)).sellable, position(asked(remote)).as_of) == (20, READ)
    remote.account.sell_t1 = True
    assert position(asked(remote)).sellable == 27


@pytest.mark.parametrize(("quantity", "t1", "net"), [(25, 0, 0), (4, 6, 0), (6, 0, -4)])
def test_it_takes_a_purchase_after_a_sale_of_shares_for_an_entry(remote, quantity, t1, net):
    """10 were sold through the desk: only what was sold beyond the shares there were is a short that a purchase closes."""
    holding = BrokerHoldingFactory(account=remote.account, quantity=D(quantity), used_quantity=D(min(quantity, 10)), t1_quantity=D(t1))
    BrokerPositionFactory(account=remote.account, product="CNC", net_qty=D(-10))
    PositionFactory(strategy=remote, instrument=InstrumentFactory(), product="CNC", quantity=D(-10))
    assert position(asked(remote, side="BUY")).net == net, holding


def test_it_takes_off_what_was_sold_since_the_read(remote):
    BrokerHoldingFactory(account=remote.account, quantity=D(25))
    sold = OrderFactory(strategy=remote, side="SELL", product="CNC", status="COMPLETE", simulated=False)
    FillFactory(order=sold, quantity=D(10), at=NOW, seen_at=NOW)
    FillFactory(order=sold, quantity=D(4), at=READ - timedelta(hours=1), seen_at=READ - timedelta(hours=1))
    OrderFactory(strategy=remote, side="SELL", product="CNC", status="OPEN", simulated=False, requested_quantity=D(6))
    found = position(asked(remote))
    assert (found.sellable, found.closing) == (15, 6)


@pytest.mark.parametrize(
    ("told", "sent", "sellable"),
    [(0, READ - timedelta(seconds=1), 10), (10, READ - timedelta(seconds=1), 10), (10, READ + timedelta(seconds=1), 20), (3, None, 3)],
)
def test_it_counts_a_purchase_of_the_second_of_the_read_once(remote, told, sent, sellable):
    """The broker's time has no parts of a second: whether the read knew of it is told by the figure itself, or by when the order left."""
    if told:
        BrokerPositionFactory(account=remote.account, product="CNC", net_qty=D(told))
    bought = OrderFactory(strategy=remote, side="BUY", product="CNC", status="COMPLETE", simulated=False, sent_at=sent)
    FillFactory(order=bought, quantity=D(10), at=READ - timedelta(milliseconds=400), seen_at=READ + timedelta(milliseconds=100))
    assert position(asked(remote)).sellable == sellable


def test_it_knows_no_position_that_was_never_read_and_the_age_of_old_holdings(remote):
    old = NOW - timedelta(hours=1)
    remote.account.sync.holdings_at = old
    remote.account.sync.save()
    assert position(asked(remote)).as_of == old and position(asked(remote, side="BUY")).as_of == READ
    remote.account.sync.delete()
    assert position(asked(remote)) is None


def test_it_tells_of_a_difference_with_the_brokers_figure(remote):
    PositionFactory(strategy=remote, instrument=InstrumentFactory(), quantity=D(10))
    assert not position(asked(remote, product="MIS")).drifted
    DriftFactory(account=remote.account, product="MIS", ours=D(10), theirs=D(4), booked=D(10))
    found = position(asked(remote, product="MIS"))
    assert (found.drifted, found.net, found.broker_net) == (True, 10, 4)


@pytest.mark.parametrize(("status", "product", "count"), [("UNKNOWN", "MIS", 1), ("NEEDS_REVIEW", "CNC", 1), ("OPEN", "MIS", 0)])
def test_it_counts_orders_without_a_known_outcome_in_every_product(remote, status, product, count):
    OrderFactory(strategy=remote, status=status, product=product, simulated=False)
    order = asked(remote, side="BUY")
    assert closable.orders(order, NOW, Book(order, NOW)).unresolved == count


@pytest.mark.parametrize(("product", "booked", "theirs", "at_stake"), [("NRML", 0, -75, 75 * 200), ("NRML", 10, 30, 20 * 200), ("NRML", 10, 4, 0), ("CNC", 0, 75, 0)])
def test_it_counts_what_the_broker_holds_beyond_the_books(remote, product, booked, theirs, at_stake):
    """Carried over from before the desk: nobody's strategy, but at stake."""
    held = InstrumentFactory(tradingsymbol="SBIN")
    DriftFactory(account=remote.account, tradingsymbol="SBIN", product=product, ours=D(booked), booked=D(booked), theirs=D(theirs))
    BrokerPositionFactory(account=remote.account, tradingsymbol="SBIN", product=product, net_qty=D(theirs), ltp=D(200), at=NOW)
    found = counters(asked(remote, side="BUY"), NOW).scopes
    counted = [(facts.others, facts.open_symbols) for facts in (found["GLOBAL"], found[f"STRATEGY:{remote.name}"])]
    assert counted == [(at_stake, int(at_stake > 0)), (0, 0)], held


# ------------------------------------------------------------------------- money
def test_it_binds_positions_and_resting_entries_on_paper(paper):
    infy = InstrumentFactory()
    PositionFactory(strategy=paper, instrument=infy, product="CNC", quantity=D(10), average=D(1000), realised=D(500), charges=D(100))
    assert available(asked(paper)) == 100_000 + 500 - 100 - 10_000
    PositionFactory(strategy=paper, instrument=infy, product="MIS", quantity=D(-10), average=D(1000))
    assert available(asked(paper)) == 90_400 - 2_000
    OrderFactory(strategy=paper, status="OPEN", price=D(1000), requested_quantity=D(15))  # 10 of them close the short
    OrderFactory(strategy=paper, status="OPEN", side="SELL", product="CNC", price=D(1000), reduce_only=True)
    assert available(asked(paper)) == 88_400 - 1_000


@pytest.mark.parametrize(
    ("kind", "side", "price", "needs"), [("FUT", "BUY", 200, 200 * 75 // 5), ("CE", "BUY", 20, 20 * 75), ("CE", "SELL", 20, 25_000 * 75 // 5)]
)
def test_it_works_out_a_contracts_margin_on_paper(paper, kind, side, price, needs):
    row = InstrumentFactory(exchange="NFO", tradingsymbol=f"NIFTY{kind}", kind=kind, lot=D(75), strike=D(25_000) if kind == "CE" else None)
    order = asked(paper, instrument=row, side=side, product="NRML", price=D(price), requested_quantity=D(75))
    found = funds.funds(order, NOW, Book(order, NOW))
    assert (found.margin, found.margin_at) == (needs, NOW)


def test_it_takes_what_left_since_off_a_brokers_figure(remote):
    BrokerFundsFactory(account=remote.account, available=D(50_000), at=READ)
    mine = {"strategy": remote, "simulated": False, "product": "CNC", "price": D(1000)}
    OrderFactory(status="OPEN", sent_at=READ - timedelta(seconds=1), **mine)  # the figure has it
    assert available(asked(remote)) == 50_000
    OrderFactory(status="OPEN", sent_at=NOW, **mine)
    OrderFactory(status="CANCELLED", sent_at=NOW, filled_quantity=D(2), **mine)
    OrderFactory(status="UNKNOWN", sent_at=READ - timedelta(seconds=9), **mine)
    assert available(asked(remote)) == 50_000 - 10_000 - 2_000 - 10_000
    assert funds.funds(asked(remote, exchange="MCX"), NOW, Book(asked(remote), NOW)) is None  # another segment, never read


def test_it_counts_what_a_changed_order_binds_itself_once(remote):
    BrokerFundsFactory(account=remote.account, available=D(2_000), at=READ)
    mine = {"strategy": remote, "simulated": False, "product": "CNC", "price": D(1000), "requested_quantity": D(10), "filled_quantity": D(4)}
    assert available(OrderFactory(status="OPEN", sent_at=READ - timedelta(seconds=1), **mine)) == 2_000 + 6_000
    assert available(OrderFactory(status="OPEN", sent_at=NOW, **mine)) == 2_000  # the figure does not have it


def test_it_leaves_the_brokers_margin_to_the_claim(remote):
    """A person cannot be told what only the broker knows: the claim asks it, and stops without an answer."""
    RiskSettings.objects.filter(scope="GLOBAL").update(margin_buffer_pct=D(5))
    BrokerFundsFactory(account=remote.account, available=D(50_000), at=NOW)
    row = InstrumentFactory(exchange="NFO", tradingsymbol="NIFTYFUT", kind="FUT", lot=D(75))
    order = asked(remote, instrument=row, side="BUY", product="NRML", price=D(200), requested_quantity=D(75))

    def says(**given):
        put = snapshot.question(order, NOW, **given)
        found = engine.evaluate(put.intent, put.snapshot, put.limits, advisory=True).findings
        return [(f.verdict, f.code) for f in found if f.rule == "margin_buffer_pct"]

    assert (says(later=True), says()) == ([("WARN", "MARGIN_UNKNOWN")], [("REJECT", "MARGIN_UNKNOWN")])
    assert says(margin=funds.Margin(D(47_501), NOW), later=True) == [("REJECT", "MARGIN_INSUFFICIENT")]


# ------------------------------------------------------------------------- what may be traded
@pytest.mark.parametrize(
    ("environment", "named", "tv_symbol", "allowed"),
    [
        ("LIVE", "", "", [""]),
        ("LIVE", "nse:infy", "", ["NSE:INFY"]),
        ("LIVE", "INFY", "", ["NSE:INFY"]),
        ("LIVE", "NSE:INFY1!", "NSE:INFY1!", ["NSE:INFY"]),
        ("LIVE", "NSE:TCS", "", ["NSE:TCS"]),
        ("PAPER", "", "", None),
        ("SIM", "", "", None),
    ],
)
def test_it_takes_an_empty_list_on_a_live_account_for_the_symbol_the_strategy_names(remote, environment, named, tv_symbol, allowed):
    remote.symbol, remote.account.environment = named, environment
    order = asked(remote, side="BUY", tv_symbol=tv_symbol)
    assert snapshot.question(order, NOW).limits[-1].values.get("symbol_allow_list") == allowed


def test_it_leaves_a_list_that_says_something_as_it_is(remote):
    RiskSettings.objects.filter(scope="GLOBAL").update(symbol_allow_list=["NSE:SBIN"])
    assert snapshot.question(asked(remote, side="BUY"), NOW).limits[0].values["symbol_allow_list"] == ["NSE:SBIN"]
