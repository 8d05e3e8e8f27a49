"""One factory per model: the smallest row that stands, with everything it needs. Tests name only what they are about."""

from datetime import date, time, timedelta
from decimal import Decimal

import factory
from django.contrib.auth import get_user_model
from factory.django import DjangoModelFactory

from brokers.models import (
    BrokerAccount,
    BrokerFunds,
    BrokerHolding,
    BrokerPosition,
    BrokerSession,
    ChargeSchedule,
    FreezeLimit,
    Instrument,
    PaperOrder,
    PaperTrade,
    PriceFeed,
    Quote,
    RateBucket,
    SyncState,
    WatchedKey,
)
from risk.models import Decision, LiveArm, MarketHours, MarketSession, RiskLedger, RiskSettings, TradingState, Trip
from trading.models import (
    Alert,
    Correction,
    Drift,
    EquityPeak,
    Fill,
    Gtt,
    Order,
    OrderAttempt,
    OrderEvent,
    Position,
    PositionDay,
    Signal,
    SquareOff,
    SquareOffLeg,
    Strategy,
    SystemEvent,
    TvSymbolOverride,
)
from tvapp.lib import clock, ids
from tvapp.models import ApiToken, DeskSettings, Heartbeat


class UserFactory(DjangoModelFactory):
    class Meta:
        model = get_user_model()
        skip_postgeneration_save = True

    username = factory.Sequence(lambda n: f"person{n}")
    password = factory.django.Password("a-long-Passw0rd")


class BrokerAccountFactory(DjangoModelFactory):
    class Meta:
        model = BrokerAccount

    owner = factory.SubFactory(UserFactory)
    name = factory.Sequence(lambda n: f"paper{n}")


class InstrumentFactory(DjangoModelFactory):
    class Meta:
        model = Instrument
        django_get_or_create = ("exchange", "tradingsymbol")

    exchange = "NSE"
    tradingsymbol = "INFY"
    tick = Decimal("0.05")
    lot = Decimal(1)


class QuoteFactory(DjangoModelFactory):
    class Meta:
        model = Quote

    instrument = factory.SubFactory(InstrumentFactory)
    ltp = Decimal(1500)


class PaperOrderFactory(DjangoModelFactory):
    class Meta:
        model = PaperOrder

    account = factory.SubFactory(BrokerAccountFactory)
    ref = factory.LazyFunction(lambda: ids.order_tag("PAPER"))
    instrument = factory.SubFactory(InstrumentFactory)
    side = "BUY"
    order_type = "LIMIT"
    product = "MIS"
    quantity = Decimal(10)
    price = Decimal(1500)
    placed_at = factory.LazyFunction(clock.now)
    updated_at = factory.LazyFunction(clock.now)


class PaperTradeFactory(DjangoModelFactory):
    class Meta:
        model = PaperTrade

    order = factory.SubFactory(PaperOrderFactory)
    account = factory.SelfAttribute("order.account")
    trade_id = factory.Sequence(lambda n: f"PT-{n}")
    quantity = Decimal(10)
    price = Decimal(1500)
    at = factory.LazyFunction(clock.now)


class BrokerSessionFactory(DjangoModelFactory):
    class Meta:
        model = BrokerSession

    account = factory.SubFactory(BrokerAccountFactory)


class RateBucketFactory(DjangoModelFactory):
    class Meta:
        model = RateBucket

    account = factory.SubFactory(BrokerAccountFactory)
    kind = "order"
    window_s = 1


class SyncStateFactory(DjangoModelFactory):
    class Meta:
        model = SyncState

    account = factory.SubFactory(BrokerAccountFactory)


class PriceFeedFactory(DjangoModelFactory):
    class Meta:
        model = PriceFeed

    account = factory.SubFactory(BrokerAccountFactory)


class WatchedKeyFactory(DjangoModelFactory):
    class Meta:
        model = WatchedKey

    key = factory.Sequence(lambda n: f"NSE:S{n}")
    until = factory.LazyFunction(clock.now)


class BrokerPositionFactory(DjangoModelFactory):
    class Meta:
        model = BrokerPosition

    account = factory.SubFactory(BrokerAccountFactory)
    exchange = "NSE"
    tradingsymbol = "INFY"
    product = "MIS"
    net_qty = Decimal(10)
    at = factory.LazyFunction(clock.now)


class BrokerHoldingFactory(DjangoModelFactory):
    class Meta:
        model = BrokerHolding

    account = factory.SubFactory(BrokerAccountFactory)
    exchange = "NSE"
    tradingsymbol = "INFY"
    quantity = Decimal(10)
    at = factory.LazyFunction(clock.now)


class BrokerFundsFactory(DjangoModelFactory):
    class Meta:
        model = BrokerFunds

    account = factory.SubFactory(BrokerAccountFactory)
    segment = "equity"
    available = Decimal(90000)
    used = Decimal(10000)
    total = Decimal(100000)
    at = factory.LazyFunction(clock.now)


class FreezeLimitFactory(DjangoModelFactory):
    class Meta:
        model = FreezeLimit

    exchange = "NFO"
    root = factory.Sequence(lambda n: f"ROOT{n}")
    quantity = Decimal(1800)
    since = factory.LazyFunction(lambda: clock.trading_day(clock.now()))


class ChargeScheduleFactory(DjangoModelFactory):
    class Meta:
        model = ChargeSchedule

    broker = "paper"
    segment = "MIS"
    exchange = factory.Sequence(lambda n: f"X{n}")
    valid_from = date(2026, 4, 1)


class RiskSettingsFactory(DjangoModelFactory):
    class Meta:
        model = RiskSettings

    owner = factory.SubFactory(UserFactory)
    scope = "STRATEGY"


class DecisionFactory(DjangoModelFactory):
    class Meta:
        model = Decision

    owner = factory.SubFactory(UserFactory)
    order_key = 1
    engine = "test"
    limits = "G1v1"
    requested = Decimal(10)
    final = Decimal(10)
    verdict = "ALLOW"
    order_class = "ENTRY"
    sentence = "Allowed: all 1 rules pass"


class RiskLedgerFactory(DjangoModelFactory):
    class Meta:
        model = RiskLedger

    scope = factory.Sequence(lambda n: f"STRATEGY:{n}")


class TradingStateFactory(DjangoModelFactory):
    class Meta:
        model = TradingState

    scope = "GLOBAL"
    state = "HALTED"
    actor = "test"


class StrategyFactory(DjangoModelFactory):
    class Meta:
        model = Strategy

    owner = factory.SubFactory(UserFactory)
    name = factory.Sequence(lambda n: f"Strategy {n}")
    account = factory.SubFactory(BrokerAccountFactory, owner=factory.SelfAttribute("..owner"))


class AlertFactory(DjangoModelFactory):
    class Meta:
        model = Alert

    strategy = factory.SubFactory(StrategyFactory)
    owner = factory.SelfAttribute("strategy.owner")
    correlation_id = factory.LazyFunction(ids.correlation_id)
    symbol = "NSE:INFY"
    body = '{"symbol": "NSE:INFY"}'
    body_hash = factory.Sequence(lambda n: f"{n:064x}")
    outcome = "ACCEPTED"


class SignalFactory(DjangoModelFactory):
    class Meta:
        model = Signal

    alert = factory.SubFactory(AlertFactory)
    owner = factory.SelfAttribute("alert.owner")
    scope = "1"
    dedupe_key = factory.Sequence(lambda n: f"key-{n}")
    symbol = "NSE:INFY"
    action = "BUY"
    data = factory.LazyFunction(dict)


class OrderFactory(DjangoModelFactory):
    """A WAITING limit order over 10 INFY at 1500, without alert and without a story."""

    class Meta:
        model = Order

    strategy = factory.SubFactory(StrategyFactory)
    owner = factory.SelfAttribute("strategy.owner")
    account = factory.SelfAttribute("strategy.account")
    instrument = factory.SubFactory(InstrumentFactory)
    status = "WAITING"
    mode = "MANUAL"
    exchange = factory.LazyAttribute(lambda o: o.instrument.exchange if o.instrument else "NSE")
    tradingsymbol = factory.LazyAttribute(lambda o: o.instrument.tradingsymbol if o.instrument else "XYZ")
    side = "BUY"
    requested_quantity = Decimal(10)
    quantity = factory.SelfAttribute("requested_quantity")
    order_type = "LIMIT"
    price = Decimal(1500)
    product = "MIS"
    tag = factory.LazyFunction(lambda: ids.order_tag("PAPER"))
    correlation_id = factory.LazyFunction(ids.correlation_id)
    why = "Waits for a decision."


class GttFactory(DjangoModelFactory):
    class Meta:
        model = Gtt

    owner = factory.SubFactory(UserFactory)
    account = factory.SubFactory(BrokerAccountFactory, owner=factory.SelfAttribute("..owner"))
    kind = "SINGLE"
    exchange = "NSE"
    tradingsymbol = "INFY"


class TvSymbolOverrideFactory(DjangoModelFactory):
    class Meta:
        model = TvSymbolOverride

    owner = factory.SubFactory(UserFactory)
    scope = "GLOBAL"
    tv_symbol = "NSE:NIFTY"
    instrument = factory.SubFactory(InstrumentFactory)


class OrderAttemptFactory(DjangoModelFactory):
    class Meta:
        model = OrderAttempt

    order = factory.SubFactory(OrderFactory)
    no = factory.Sequence(lambda n: n + 1)
    payload_hash = "0" * 64
    process = "host:1:1"


class OrderEventFactory(DjangoModelFactory):
    class Meta:
        model = OrderEvent

    order = factory.SubFactory(OrderFactory)
    seq = factory.Sequence(lambda n: n + 1)
    kind = "MOVE"
    text = "It moved."
    actor = "test"
    correlation_id = factory.SelfAttribute("order.correlation_id")


class FillFactory(DjangoModelFactory):
    class Meta:
        model = Fill

    order = factory.SubFactory(OrderFactory)
    owner = factory.SelfAttribute("order.owner")
    account = factory.SelfAttribute("order.account")
    strategy = factory.SelfAttribute("order.strategy")
    instrument = factory.SelfAttribute("order.instrument")
    exchange = factory.SelfAttribute("order.exchange")
    product = factory.SelfAttribute("order.product")
    side = factory.SelfAttribute("order.side")
    trade_id = factory.Sequence(lambda n: f"T-{n}")
    quantity = Decimal(10)
    price = Decimal(1500)
    at = factory.LazyFunction(clock.now)
    trading_day = factory.LazyAttribute(lambda fill: clock.trading_day(fill.at))


class PositionFactory(DjangoModelFactory):
    class Meta:
        model = Position

    strategy = factory.SubFactory(StrategyFactory)
    owner = factory.SelfAttribute("strategy.owner")
    account = factory.SelfAttribute("strategy.account")
    book = factory.LazyAttribute(lambda p: f"STRATEGY:{p.strategy.pk}")
    instrument = factory.SubFactory(InstrumentFactory)
    product = "MIS"


class DriftFactory(DjangoModelFactory):
    class Meta:
        model = Drift

    account = factory.SubFactory(BrokerAccountFactory)
    owner = factory.SelfAttribute("account.owner")
    exchange = "NSE"
    tradingsymbol = "INFY"
    product = "MIS"
    ours = Decimal(10)
    booked = Decimal(10)
    confirmed_at = factory.LazyFunction(clock.now)


class SquareOffFactory(DjangoModelFactory):
    class Meta:
        model = SquareOff

    account = factory.SubFactory(BrokerAccountFactory)
    owner = factory.SelfAttribute("account.owner")
    reason = "a person asked for it"
    actor = "asha"
    correlation_id = factory.LazyFunction(ids.correlation_id)


class SquareOffLegFactory(DjangoModelFactory):
    class Meta:
        model = SquareOffLeg

    square_off = factory.SubFactory(SquareOffFactory)
    account = factory.SelfAttribute("square_off.account")
    exchange = "NSE"
    tradingsymbol = "INFY"
    product = "MIS"
    no = 1
    round = 1
    net = closing = Decimal(10)


class CorrectionFactory(DjangoModelFactory):
    class Meta:
        model = Correction

    drift = factory.SubFactory(DriftFactory)
    account = factory.SelfAttribute("drift.account")
    owner = factory.SelfAttribute("drift.owner")
    instrument = factory.SubFactory(InstrumentFactory)
    product = "MIS"
    side = "SELL"
    quantity = Decimal(10)
    price = Decimal(1500)
    actor = "asha"


class SystemEventFactory(DjangoModelFactory):
    class Meta:
        model = SystemEvent

    owner = factory.SubFactory(UserFactory)
    category = "order"
    code = "TEST"
    message = "Something was done."


class DeskSettingsFactory(DjangoModelFactory):
    class Meta:
        model = DeskSettings

    id = 1


class ApiTokenFactory(DjangoModelFactory):
    class Meta:
        model = ApiToken

    owner = factory.SubFactory(UserFactory)
    digest = factory.Sequence(lambda n: f"{n:064x}")


class HeartbeatFactory(DjangoModelFactory):
    class Meta:
        model = Heartbeat

    name = factory.Sequence(lambda n: f"beat{n}")
    at = factory.LazyFunction(clock.now)
    process = "host:1:1"


class TripFactory(DjangoModelFactory):
    class Meta:
        model = Trip

    scope = factory.Sequence(lambda n: f"ACCOUNT:{n + 1}")
    code = "RATE_MINUTE"
    reason = "more than 30 orders in a minute"


class LiveArmFactory(DjangoModelFactory):
    class Meta:
        model = LiveArm

    strategy_key = factory.Sequence(lambda n: n + 1)
    by = "trader"
    until = factory.LazyFunction(lambda: clock.now() + timedelta(hours=1))


class MarketHoursFactory(DjangoModelFactory):
    class Meta:
        model = MarketHours

    exchange = factory.Sequence(lambda n: f"EX{n}")
    opens = time(9, 15)
    closes = time(15, 30)


class MarketSessionFactory(DjangoModelFactory):
    class Meta:
        model = MarketSession

    exchange = "NSE"
    date = factory.Sequence(lambda n: date(2026, 1, 1) + timedelta(days=n))
    name = "Holiday"


class PositionDayFactory(DjangoModelFactory):
    class Meta:
        model = PositionDay

    position = factory.SubFactory(PositionFactory)
    day = date(2026, 11, 20)


class EquityPeakFactory(DjangoModelFactory):
    class Meta:
        model = EquityPeak

    scope = "GLOBAL"
    simulated = True
    peak = Decimal(0)
