"""Every limit there is, switched on and off: the same alert, from the webhook to its order's outcome, must end differently."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal as D

import pytest
import time_machine
from django.db import transaction
from django.test import Client
from django.utils.module_loading import import_string
from django_q.models import OrmQ

from brokers.models import BrokerAccount, Quote
from risk.models import MarketHours, RiskSettings
from tests.factories import InstrumentFactory
from tests.trading.desk import Desk, wide_limits
from trading.models import Order, Strategy
from trading.services import sweeper

pytestmark = pytest.mark.django_db
LOSS = 1000  # rupees, of `loses`


@dataclass(frozen=True)
class Flip:
    """`on` is set for one of two runs, `always` for both; `before` happens first. `code` is what the run with it on must name."""

    on: Mapping[str, object]
    code: str
    before: Callable[["Road"], object] = lambda road: None
    alert: Mapping[str, object] = field(default_factory=dict)
    always: Mapping[str, object] = field(default_factory=dict)
    clock: str = "10:10"
    after: Callable[["Road"], object] = lambda road: None


class Road:
    """Alerts over HTTP, bells answered as the clusters do it."""

    def __init__(self, desk: Desk, clock: str):
        self.desk, self.day = desk, "2026-11-23T{}+05:30"
        self.at(clock)

    def at(self, clock: str) -> None:
        self.clock = clock

    def alert(self, symbol: str = "NSE:INFY", **more) -> Order:
        trade = {name: more.pop(name) for name in ("order_action", "quantity", "price", "product", "order_type") if name in more}
        body = self.desk.body("auto", symbol=symbol, trade=trade, **more)
        with time_machine.travel(self.day.format(self.clock), tick=False):
            answer = Client().post("/webhook/tradingview", json.dumps(body), content_type="application/json")
            self.work()
        return Order.objects.get(pk=answer.json()["order_id"])

    def work(self) -> None:
        while bell := OrmQ.objects.order_by("id").first():
            task = bell.task
            bell.delete()
            import_string(task["func"])(*task["args"], **task["kwargs"])

    def sweep(self, clock: str) -> None:
        self.at(clock)
        with time_machine.travel(self.day.format(clock), tick=False):
            for _ in range(3):
                sweeper.sweep()
                self.work()

    # ------------------------------------------------------------------ what happened before
    def wins(self) -> None:
        self.alert(price=1000, quantity=10)
        self.alert(price=1100, quantity=10, order_action="SELL")

    def loses(self) -> None:
        self.alert(price=1100, quantity=10)
        self.alert(price=1000, quantity=10, order_action="SELL")

    def buys(self) -> Order:
        return self.alert()

    def buys_another(self) -> Order:
        return self.alert("NSE:SBIN", price=100)

    def rests(self) -> Order:
        self.quoted(1600, "SBIN")
        return self.alert("NSE:SBIN", order_type="LIMIT", price=1500)

    def quoted(self, price, symbol: str = "INFY") -> None:
        with time_machine.travel(self.day.format(self.clock), tick=False):
            Quote.objects.create(instrument=InstrumentFactory(tradingsymbol=symbol), ltp=D(price))

    def in_bars(self) -> Order:
        Strategy.objects.filter(name="auto").update(timeframe="15")
        return self.alert()

    def after_a_fall(self) -> None:
        """The account won and then lost: its equity is below its best."""
        BrokerAccount.objects.update(capital=D(10_000))
        self.wins()
        self.sweep(self.clock)
        self.loses()


def lots(road: Road) -> None:
    InstrumentFactory(exchange="NFO", tradingsymbol="NIFTY26DECFUT", kind="FUT", name="NIFTY", expiry="2026-12-31", lot=D(75), tick=D("0.05"), freeze=D(1800))


def lots_before(road: Road) -> None:
    lots(road)
    road.alert(**FUTURE)


def poor(road: Road) -> None:
    BrokerAccount.objects.update(capital=D(16_000))


def nse(road: Road) -> None:
    MarketHours.objects.create(exchange="NSE", opens="09:15", closes="15:30", maintained_from="2026-01-01", maintained_to="2027-12-31")


FUTURE = {"symbol": "NFO:NIFTY26DECFUT", "quantity": 150, "price": 100, "product": "NRML"}
LIMIT = {"order_type": "LIMIT"}
FLIPS: dict[str, Flip] = {
    "max_quantity_per_order": Flip({"max_quantity_per_order": 5}, "QTY_MAX"),
    "max_lots_per_order": Flip({"max_lots_per_order": 1}, "LOTS_ORDER", lots, FUTURE),
    "max_lots_per_day": Flip({"max_lots_per_day": 3}, "LOTS_DAY", lots_before, FUTURE),
    "max_order_value": Flip({"max_order_value": 14_999}, "VALUE_MAX"),
    "max_symbol_exposure": Flip({"max_symbol_exposure": 20_000}, "EXPOSURE_SYMBOL", Road.buys),
    "max_gross_exposure": Flip({"max_gross_exposure": 16_000}, "EXPOSURE_GROSS", Road.buys_another),
    "warn_exposure_pct": Flip({"warn_exposure_pct": 50}, "EXPOSURE_GROSS", always={"max_gross_exposure": 20_000}),
    "max_open_positions": Flip({"max_open_positions": 1}, "COUNT_OPEN_POSITIONS", Road.buys_another),
    "max_open_orders": Flip({"max_open_orders": 1}, "COUNT_OPEN_ORDERS", Road.rests),
    "max_orders_per_minute": Flip({"max_orders_per_minute": 1}, "RATE_MINUTE", Road.buys_another),
    "max_orders_per_day": Flip({"max_orders_per_day": 1}, "RATE_DAY", Road.buys_another),
    "max_repeats_per_minute": Flip({"max_repeats_per_minute": 1}, "RATE_REPEATED", Road.buys),
    "max_trades_per_symbol_day": Flip({"max_trades_per_symbol_day": 1}, "RATE_SYMBOL_DAY", Road.buys),
    "min_bars_between": Flip({"min_bars_between": 3}, "RATE_MIN_BARS", Road.in_bars),
    "cooldown_minutes": Flip({"cooldown_minutes": 10}, "RATE_COOLDOWN", Road.wins),
    "cooldown_after_loss": Flip({"cooldown_after_loss": 10}, "RATE_COOLDOWN", Road.loses),
    "max_loss_streak": Flip({"max_loss_streak": 1}, "RATE_LOSS_STREAK", Road.loses),
    "max_daily_loss": Flip({"max_daily_loss": LOSS}, "LOSS_DAILY", Road.loses),
    "warn_loss_pct": Flip({"warn_loss_pct": 10}, "LOSS_DAILY", Road.loses, always={"max_daily_loss": 5 * LOSS}),
    "on_loss_breach": Flip(
        {"on_loss_breach": "BLOCK"}, "", lambda road: (road.loses(), road.quoted(1600)), LIMIT,
        always={"max_daily_loss": 10 * LOSS}, after=lambda road: (limits(max_daily_loss=LOSS), road.sweep("10:11"), road.sweep("10:12")),
    ),
    "max_drawdown_pct": Flip({"max_drawdown_pct": 5}, "LOSS_DRAWDOWN", Road.after_a_fall, {"quantity": 1}),
    "margin_buffer_pct": Flip({"margin_buffer_pct": 50}, "MARGIN_INSUFFICIENT", poor, {"product": "CNC"}),
    "collar_aggressive_pct": Flip({"collar_aggressive_pct": 3}, "PRICE_OUT_OF_COLLAR", lambda road: road.quoted(1400), LIMIT),
    "collar_passive_pct": Flip({"collar_passive_pct": 3}, "PRICE_OUT_OF_COLLAR", lambda road: road.quoted(1600), LIMIT),
    "collar_without_quote": Flip({"collar_without_quote": "REJECT"}, "PRICE_OUT_OF_COLLAR", always={"collar_aggressive_pct": 3}),
    "session_policy": Flip({"session_policy": "REJECT"}, "SESSION_CLOSED", nse, clock="18:00"),
    "defer_max_age": Flip({"defer_max_age": 5}, "SESSION_CLOSED", nse, always={"session_policy": "DEFER"}, clock="09:05"),
    "no_trade_windows": Flip({"no_trade_windows": ["10:00-10:30"]}, "SESSION_NO_TRADE_WINDOW"),
    "entry_cutoff": Flip({"entry_cutoff": {"MIS": "10:00"}}, "SESSION_ENTRY_CUTOFF"),
    "square_off_time": Flip({"square_off_time": {"MIS": "10:15"}}, "", nse, after=lambda road: (road.sweep("10:16"), road.sweep("10:17"))),
    "max_signal_age": Flip({"max_signal_age": 5}, "SIGNAL_TOO_OLD", alert={"timestamp": "2026-11-23T10:09:50+05:30"}),
    "allow_short_selling": Flip({"allow_short_selling": False}, "SHORT_NOT_ALLOWED", alert={"order_action": "SELL"}, always={"allow_short_selling": True}),
    "symbol_allow_list": Flip({"symbol_allow_list": ["NSE:SBIN"]}, "SYMBOL_NOT_ALLOWED"),
    "symbol_deny_list": Flip({"symbol_deny_list": ["NSE:INFY"]}, "SYMBOL_DENIED"),
}


def limits(**values) -> None:
    RiskSettings.objects.filter(scope="GLOBAL").update(**values)


def outcome(desk: Desk, flip: Flip, on: bool) -> tuple[str, ...]:
    """Where the order is, why, what it was warned of, and what is held in the end. Undone again."""
    with transaction.atomic():
        wide_limits(session_policy="WARN", no_trade_windows=[], entry_cutoff={}, square_off_time={})
        limits(**flip.always)
        road = Road(desk, flip.clock)
        flip.before(road)
        if on:
            limits(**flip.on)
        order = road.alert(**flip.alert)
        flip.after(road)
        order.refresh_from_db()
        warned = sorted({f["code"] for f in order.decision.findings if f["verdict"] == "WARN"}) if order.decision else []
        held = sum(desk.account.positions.values_list("quantity", flat=True), D(0))
        transaction.set_rollback(True)
        return order.status, order.status_reason, " ".join(warned), str(held.normalize()), order.why


@pytest.mark.parametrize("name", FLIPS)
def test_it_changes_what_becomes_of_an_alert(desk, name):
    flip = FLIPS[name]
    off, on = outcome(desk, flip, on=False), outcome(desk, flip, on=True)
    assert off[:4] != on[:4], f"{name} makes no difference: {on}"
    assert flip.code in on[1] + on[2], (off, on)


def test_it_has_a_flip_for_every_limit_there_is():
    assert set(FLIPS) == set(RiskSettings.PARAMETERS)


def test_it_cuts_instead_of_refusing_where_the_row_says_so(desk):
    cut = Flip({"clamp_mode": "CLAMP"}, "QTY_MAX", always={"max_quantity_per_order": 5})
    assert [outcome(desk, cut, on)[0] for on in (False, True)] == ["REJECTED_RISK", "COMPLETE"]


def test_it_takes_a_limit_of_zero_for_zero_and_not_for_none(desk):
    never = Flip({"max_signal_age": 0}, "SIGNAL_TOO_OLD", alert={"timestamp": "2026-11-23T10:09:59+05:30"})
    assert outcome(desk, never, on=True)[1] == never.code
