"""What holds after any sequence of orders, changes, cancels, prices and days."""

from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.kitesim import books, engine
from brokers.kitesim.answers import Refused
from brokers.kitesim.state import Simulator

PRICES = st.sampled_from(["1480", "1490", "1500", "1510", "1520"])
PLACE = st.tuples(
    st.just("place"),
    st.fixed_dictionaries(
        {
            "exchange": st.just("NSE"),
            "tradingsymbol": st.just("INFY"),
            "transaction_type": st.sampled_from(["BUY", "SELL"]),
            "quantity": st.sampled_from(["1", "7", "40"]),
            "product": st.sampled_from(["MIS", "CNC"]),
            "order_type": st.sampled_from(["LIMIT", "MARKET", "SL", "SL-M"]),
            "price": PRICES,
            "trigger_price": PRICES,
            "market_protection": st.just("2"),
            "validity": st.sampled_from(["DAY", "IOC"]),
        }
    ),
)
STEPS = st.lists(
    st.one_of(
        PLACE,
        st.tuples(st.just("price"), PRICES, st.sampled_from([None, 3, 50])),
        st.tuples(st.just("modify"), st.integers(0, 9), PRICES),
        st.tuples(st.just("cancel"), st.integers(0, 9), st.booleans()),
        st.tuples(st.just("clock"), st.sampled_from([60, 86400])),
    ),
    min_size=1,
    max_size=25,
)


def _do(sim: Simulator, step: tuple) -> int:
    """One step; how many orders it accepted."""
    account, before = sim.account("simkey"), len(sim.truth)
    with suppress(Refused):
        if step[0] == "place":
            engine.place(sim, account, "regular", step[1])
        elif step[0] == "price":
            sim.set_prices({"NSE:INFY": {"price": step[1], "quantity": step[2]}})
        elif step[0] == "clock":
            sim.clock.advance(step[1])
            sim.sweep(at_once=True)
        elif step[1] < len(sim.truth):
            order_id = sim.truth[step[1]].order_id
            if step[0] == "modify":
                engine.modify(sim, account, "regular", order_id, {"price": step[2]})
            else:
                engine.cancel(sim, account, "regular", order_id, step[2])
        return len(sim.truth) - before
    assert len(sim.truth) == before, "a refused request left an order behind"
    return 0


@given(STEPS)
@settings(max_examples=100, deadline=None)
def test_it_keeps_its_books_true(steps):
    sim = Simulator(serial=1)
    accepted = sum(_do(sim, step) for step in steps)
    orders, trades = sim.truth, sim.account("simkey").trades
    assert accepted == len(orders) == len({o.order_id for o in orders}) == len([row for row in sim.log if row["event"] == "accepted"])
    for order in orders:
        mine = [t for t in trades if t.order is order]
        assert order.filled == sum(t.quantity for t in mine) <= order.quantity
        assert order.filled + order.cancelled + order.pending == order.quantity or order.status == books.REJECTED
        assert (order.status == books.COMPLETE) == (order.filled == order.quantity)
        assert all((order.price - t.price) * order.sign >= 0 for t in mine) or order.modified
        assert (order.order_id in sim.live) == order.live
    today = [t for t in trades if t.day == sim.day]
    for (_, product), position in sim.account("simkey").positions.items():
        assert position.net - position.overnight == sum(t.order.sign * t.quantity for t in today if t.order.product == product)


@given(STEPS)
@settings(max_examples=30, deadline=None)
def test_it_does_the_same_twice(steps):
    runs = []
    for _ in range(2):
        sim = Simulator(serial=1)
        sim.clock.freeze(True)
        sim.clock.set(sim.clock.now().replace(year=2026, month=11, day=23, hour=5, minute=0, second=0, microsecond=0))
        sim.sweep(at_once=True)
        for step in steps:
            _do(sim, step)
        runs.append(sim.truth_rows())
    assert runs[0] == runs[1]
