"""The queue: what each row says, its filters, and everything done on it with and without a script."""

from datetime import timedelta
from decimal import Decimal

import pytest

from risk.models import RiskSettings
from tests import factories as make
from tests.trading.web.pages import HTMX, me, text, waiting
from trading.models import Order
from tvapp.lib import clock

__all__ = ["me"]


@pytest.fixture(autouse=True)
def _limits(db):
    RiskSettings.objects.filter(scope="GLOBAL").update(clamp_mode="CLAMP", max_order_value=Decimal(20_000), max_quantity_per_order=Decimal(1_000))


def ids_in(answer) -> list[int]:
    return [row.order.pk for row in answer.context["rows"]]


def instrument(symbol, **more):
    return make.InstrumentFactory(tradingsymbol=symbol, **more)


# ------------------------------------------------------------------------------ rows
def test_it_says_what_would_be_sent_after_a_clamp(me):
    waiting(me, requested_quantity=Decimal(20))
    page = text(me.client.get("/queue"))
    assert "20</s> <b>13</b>" in page and "Order value limit ₹20,000 allows 13" in page and "₹19,500.00" in page


def test_it_says_where_a_symbol_came_from(me):
    waiting(me, instrument=instrument("M&M"), tv_symbol="NSE:M_M")
    assert "NSE · from NSE:M_M" in text(me.client.get("/queue"))


def test_it_shows_lots_of_what_trades_in_lots(me):
    waiting(me, instrument=instrument("NIFTYFUT", exchange="NFO", kind="FUT", lot=Decimal(65)), requested_quantity=Decimal(130), price=Decimal(10))
    assert "2 lots × 65" in text(me.client.get("/queue"))


@pytest.mark.parametrize(("changes", "reason"), [
    ({"instrument": None}, "Not in the instrument list"),
    ({"requested_quantity": None}, "No quantity: edit it and say how many"),
])  # fmt: skip
def test_it_cannot_execute_what_is_not_known_and_says_why(me, changes, reason):
    order = waiting(me, **changes)
    page = text(me.client.get("/queue"))
    assert reason in page and 'aria-disabled="true"' in page and f'action="/orders/{order.pk}/execute"' not in page


def test_it_cannot_execute_what_risk_would_reject(me):
    RiskSettings.objects.filter(scope="GLOBAL").update(clamp_mode="REJECT")
    order = waiting(me, requested_quantity=Decimal(20))
    page = text(me.client.get("/queue"))
    assert "Would be rejected" in page and "Order value ₹30,000, limit ₹20,000" in page and f'action="/orders/{order.pk}/execute"' not in page


def test_it_marks_a_row_that_becomes_old(me):
    now = clock.now()
    waiting(me, received_at=now - timedelta(minutes=14, seconds=30))
    waiting(me, received_at=now - timedelta(minutes=20))
    page = text(me.client.get("/queue"))
    assert "age-late" in page and "left</span>" in page and ">old</span>" in page


def test_it_lists_orders_on_hold_with_what_can_be_done(me):
    order = waiting(me, status="HELD", why="On hold: the broker could not be reached.")
    page = text(me.client.get("/queue"))
    assert "On hold: the broker could not be reached." in page and f'action="/orders/{order.pk}/back"' in page


def test_it_shows_at_most_a_hundred_rows(me):
    make.OrderFactory.create_batch(103, strategy=me.strategy, instrument=None)
    answer = me.client.get("/queue")
    assert len(ids_in(answer)) == 100 and "The first 100 are shown" in text(answer)


# --------------------------------------------------------------------------- filters
def test_it_sorts_exits_first_then_newest(me):
    old, exit_, new = waiting(me), waiting(me, reduce_only=True), waiting(me)
    assert ids_in(me.client.get("/queue")) == [exit_.pk, new.pk, old.pk]


def test_it_sorts_by_age_and_by_value(me):
    now = clock.now()
    small = waiting(me, received_at=now - timedelta(minutes=1))
    large = waiting(me, price=Decimal(3000), received_at=now - timedelta(minutes=2))
    assert ids_in(me.client.get("/queue?sort=oldest")) == [large.pk, small.pk]
    assert ids_in(me.client.get("/queue?sort=value")) == [large.pk, small.pk]


def test_it_filters_by_side_strategy_and_search(me):
    other = make.StrategyFactory(owner=me.user, name="Pullback", account=me.strategy.account)
    buy = waiting(me)
    sell = make.OrderFactory(strategy=other, side="SELL", instrument=instrument("SBIN"))
    for query, wanted in (("side=SELL", sell), (f"strategy={me.strategy.pk}", buy), ("q=sbi", sell), ("q=break", buy)):
        assert ids_in(me.client.get(f"/queue?{query}")) == [wanted.pk], query


def test_it_filters_by_verdict_and_age(me):
    clamped = waiting(me, requested_quantity=Decimal(20))
    passes = waiting(me, received_at=clock.now() - timedelta(minutes=3))
    assert ids_in(me.client.get("/queue?verdict=CLAMP")) == [clamped.pk]
    assert ids_in(me.client.get("/queue?age=5")) == [passes.pk]


def test_it_takes_a_bad_filter_for_none(me):
    order = waiting(me)
    assert ids_in(me.client.get("/queue?side=UP&strategy=99999999999999999999&sort=x&age=9&verdict=%00&q=%00&edit=abc")) == [order.pk]


def test_it_never_offers_a_foreign_strategy(me):
    foreign = make.StrategyFactory(name="Their secret idea")
    assert foreign.name not in text(me.client.get("/queue"))


# ---------------------------------------------------------------------- live updates
def test_it_answers_a_poll_with_nothing_while_nothing_changed(me):
    order = waiting(me)
    sig = me.client.get("/queue").context["sig"]
    assert me.client.get(f"/queue?sig={sig}", headers=HTMX).status_code == 204
    Order.objects.filter(pk=order.pk).update(version=2)
    assert me.client.get(f"/queue?sig={sig}", headers=HTMX).status_code == 200


def test_it_answers_a_poll_with_the_rows_only(me):
    order = waiting(me)
    page = text(me.client.get("/queue", headers=HTMX))
    assert "<html" not in page and f'id="q-{order.pk}"' in page and 'id="nav-count" hx-swap-oob="true"' in page


def test_it_gives_the_whole_page_when_the_browser_goes_back(me):
    assert "<html" in text(me.client.get("/queue", headers={**HTMX, "HX-History-Restore-Request": "true"}))


def test_it_opens_an_edit_without_a_script(me):
    order = waiting(me)
    page = text(me.client.get(f"/queue?edit={order.pk}"))
    assert f'id="edit-{order.pk}"' in page and 'value="1500.00"' in page and "Save or discard your edit first" in page


# --------------------------------------------------------------------------- prices
def test_it_says_since_when_there_is_no_price(me):
    order = waiting(me, instrument=instrument("INFY"))
    quote = make.QuoteFactory(instrument=order.instrument, ltp=Decimal("1500.05"), at=clock.now() - timedelta(seconds=5))
    assert "LTP 1,500.05" in text(me.client.get("/queue")) and "no price since" not in text(me.client.get("/queue"))
    for ago, where in ((timedelta(minutes=2), "/queue"), (timedelta(days=3), f"/orders/{order.pk}")):
        type(quote).objects.update(at=clock.now() - ago)
        page = text(me.client.get(where))
        assert "1,500.05" in page and "no price since" in page
    type(quote).objects.all().delete()
    assert "no price yet" in text(me.client.get(f"/orders/{order.pk}"))


def test_it_shows_nobody_a_price_that_another_account_made_up(me):
    order = waiting(me, instrument=instrument("INFY"))
    make.QuoteFactory(instrument=order.instrument, ltp=Decimal("1234.55"), source="WALK")
    for where in ("/queue", f"/orders/{order.pk}"):
        assert "1,234.55" not in text(me.client.get(where))
    type(order.account).objects.update(quote_source="WALK")
    assert "LTP 1,234.55, random walk" in text(me.client.get("/queue"))
