"""The daily loss is watched while no alert comes: a falling price alone stops entries, cancels them, or closes everything."""

from datetime import timedelta
from decimal import Decimal as D

import pytest
import time_machine

from brokers.models import BrokerAccount, ChargeSchedule
from risk.models import RiskSettings, Trip
from tests.trading.money import at, day_of, order, price, trade
from trading.models import EquityPeak, Order, Position, SquareOff, Strategy, SystemEvent
from trading.selectors.stops import state_of
from trading.services import dispatch, losswatch, squareoff, sweeper
from tvapp.lib import clock

pytestmark = pytest.mark.django_db


@pytest.fixture
def moment(desk):
    ChargeSchedule.objects.all().delete()
    with time_machine.travel(at(), tick=False) as traveller:
        yield traveller


def limit(desk, amount=5000, **more) -> RiskSettings:
    row = RiskSettings.objects.create(scope="ACCOUNT", account=desk.account, owner=desk.owner, max_daily_loss=D(amount), **more)
    return row


def key(desk) -> str:
    return f"ACCOUNT:{desk.account.pk}"


def falls(desk, to, quantity=100, symbol="INFY") -> None:
    """Bought at 1000, and the price goes there by itself."""
    if not Position.objects.filter(instrument__tradingsymbol=symbol).exists():
        trade(desk.auto, "BUY", quantity, 1000, symbol=symbol)
    price(symbol, to)
    losswatch.watch()


def events(code: str) -> list[str]:
    return list(SystemEvent.objects.filter(code=code).values_list("message", flat=True))


def test_it_warns_once_a_day_and_stops_at_the_limit(desk, moment):
    limit(desk, on_loss_breach="BLOCK")
    falls(desk, 961)
    assert not Trip.objects.exists() and events("LOSS_WARNING") == []
    falls(desk, 960)
    falls(desk, 959)
    assert events("LOSS_WARNING") == ["paper lost ₹4,000.00 today, 80 % of the limit of ₹5,000.00. At the limit only exits leave."]
    falls(desk, 950)
    stop = state_of([key(desk)])
    assert (stop.state, stop.code) == ("REDUCING", "LOSS_DAILY")
    assert stop.reason == "a loss of ₹5,000.00 today reached the limit of ₹5,000.00 (max_daily_loss of paper)"
    assert (Trip.objects.get().until, len(events("LOSS_DAILY"))) == (at(hour=0) + timedelta(days=1), 1)
    moment.move_to(at(hour=0) + timedelta(days=1, seconds=1))
    assert state_of([key(desk)]) is None


def test_it_stays_stopped_when_the_price_comes_back(desk, moment):
    limit(desk)
    falls(desk, 950)
    falls(desk, 1100)
    assert state_of([key(desk)]).code == "LOSS_DAILY" and Trip.objects.count() == 1


def test_it_lets_resting_entries_be_with_block(desk, moment):
    limit(desk, on_loss_breach="BLOCK")
    entry = order(desk.auto, "BUY", 1)
    falls(desk, 950)
    entry.refresh_from_db()
    assert (Trip.objects.count(), entry.pending_action) == (1, "")


def test_it_cancels_what_would_open_and_keeps_what_closes(desk, moment):
    limit(desk)
    entry, exit_ = order(desk.auto, "BUY", 1), order(desk.auto, "SELL", 1, reduce_only=True)
    elsewhere, stop = order(desk.account, "BUY", 1, source="EXTERNAL"), order(desk.auto, "SELL", 1, source="BRACKET", role="STOP")
    falls(desk, 950)
    asked = set(Order.objects.filter(pending_action="CANCEL").values_list("pk", flat=True))
    assert asked == {entry.pk} and not asked & {exit_.pk, elsewhere.pk, stop.pk}
    assert not SquareOff.objects.exists()


def test_it_closes_everything_once(desk, moment):
    limit(desk, 2000, on_loss_breach="SQUARE_OFF")
    price("INFY", 1000)
    desk.filled("auto", trade={"quantity": 50, "price": 1000})
    for _ in range(15):
        moment.shift(3)
        price("INFY", 950)
        sweeper.sweep()
        for row in SquareOff.objects.all():
            squareoff.work(row.pk)
        for pk in Order.objects.filter(status="QUEUED").values_list("pk", flat=True):
            dispatch.work(pk)
    assert (Position.objects.get().quantity, SquareOff.objects.get().state) == (0, "DONE")
    trade(desk.account, "BUY", 10, 950)  # somebody buys elsewhere
    price("INFY", 900)
    losswatch.watch()
    assert SquareOff.objects.count() == 1


def test_it_closes_nothing_while_a_price_is_missing(desk, moment):
    limit(desk, on_loss_breach="SQUARE_OFF")
    BrokerAccount.objects.filter(pk=desk.account.pk).update(broker="zerodha", environment="LIVE")
    desk.account.refresh_from_db()
    trade(desk.auto, "BUY", 100, 1000, clock.now() - timedelta(minutes=6), symbol="SBIN", simulated=False)
    price("SBIN", 1200, when=clock.now() - timedelta(minutes=5))
    falls(desk, 950)
    assert (Trip.objects.get().scope, SquareOff.objects.count()) == (key(desk), 0)
    price("SBIN", 1000)
    losswatch.watch()
    assert SquareOff.objects.get().schedule == f"loss {Trip.objects.get().pk} {desk.account.pk}"


def test_it_stops_the_strategy_that_lost_and_no_other(desk, moment):
    desk.auto.limits = RiskSettings.objects.create(scope="STRATEGY", owner=desk.owner, max_daily_loss=D(1000), on_loss_breach="SQUARE_OFF")
    desk.auto.save()
    falls(desk, 985)
    assert [t.scope for t in Trip.objects.all()] == [f"STRATEGY:{desk.auto.pk}"]
    assert SquareOff.objects.get().strategy == desk.auto


def test_it_stops_the_desk_and_beside_live_accounts_only_paper(desk, moment):
    RiskSettings.objects.filter(scope="GLOBAL").update(max_daily_loss=D(5000))
    falls(desk, 950)
    assert [t.scope for t in Trip.objects.all()] == ["GLOBAL"]
    Trip.objects.all().delete()
    BrokerAccount.objects.create(owner=desk.owner, name="kite", broker="zerodha", environment="LIVE")
    losswatch.watch()
    assert [t.scope for t in Trip.objects.all()] == [key(desk)]


def test_it_looks_as_often_as_the_desk_says(desk, moment):
    limit(desk)
    sweeper.sweep()
    trade(desk.auto, "BUY", 100, 1000)
    price("INFY", 900)
    sweeper.sweep()
    assert not Trip.objects.exists()
    moment.shift(31)
    assert "losses=1" in sweeper.sweep() and Trip.objects.exists()


def test_it_remembers_the_best_equity(desk, moment):
    falls(desk, 1010)
    falls(desk, 1005)
    peak = EquityPeak.objects.get(scope=key(desk))
    assert (peak.peak, round(day_of(key(desk)).drawdown_pct, 4)) == (1000, round(D(500) / D(1001000) * 100, 4))


def test_it_closes_nothing_of_a_live_account_for_what_paper_lost_before_it_was_made(desk, moment):
    RiskSettings.objects.filter(scope="GLOBAL").update(max_daily_loss=D(5000), on_loss_breach="SQUARE_OFF")
    falls(desk, 950)
    assert Trip.objects.get().scope == "GLOBAL"
    live = BrokerAccount.objects.create(owner=desk.owner, name="kite", broker="zerodha", environment="LIVE")
    losswatch.watch()
    assert {row.account for row in SquareOff.objects.all()} == {desk.account}
    other = Strategy.objects.create(owner=desk.owner, name="real", account=live, mode="AUTO")
    trade(other, "BUY", 100, 1000, symbol="SBIN", simulated=False)
    price("SBIN", 950)
    losswatch.watch()
    assert {row.account for row in SquareOff.objects.all()} == {desk.account, live}


def test_it_watches_also_when_another_step_of_the_sweep_fails(desk, moment, monkeypatch):
    limit(desk)
    trade(desk.auto, "BUY", 100, 1000)
    price("INFY", 900)
    monkeypatch.setattr(sweeper.brackets, "sweep", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        sweeper.sweep()
    assert Trip.objects.get().scope == key(desk)
