"""What an alert's symbol means: the whole table of forms on the list of a day, and what a person mapped before all of it."""

import json
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest
import time_machine

from brokers import instruments as loader
from brokers.models import BrokerAccount, Environment, Instrument
from tests import factories as make
from tests.brokers.listing import MONDAY, item, of_day
from tests.trading.desk import make_desk
from trading.domain.signal import ContractRef, Signal
from trading.domain.types import ContractKind
from trading.models import OverrideScope, SystemEvent, TvSymbolOverride
from trading.selectors import instruments
from tvapp.lib import clock

D = Decimal
EXPIRY = date(2026, 11, 24)
AT = datetime.combine(MONDAY, datetime.min.time(), clock.IST) + timedelta(hours=10)

pytestmark = pytest.mark.django_db


@pytest.fixture
def listed(db):
    """The simulator's list, and what it does not list: a stock's future, a third NIFTY future, a decimal strike, SENSEX futures."""
    dec, jan = date(2026, 12, 29), date(2027, 1, 26)
    more = [
        item("NFO", "M&M26NOVFUT", "FUT", name="M&M", expiry=EXPIRY, lot=D(200)),
        item("NFO", "NIFTY27JANFUT", "FUT", name="NIFTY", expiry=jan, lot=D(65)),
        item("NFO", "NIFTYNXT5026NOVFUT", "FUT", name="NIFTYNXT50", expiry=EXPIRY, lot=D(25)),
        item("NFO", "VEDL26DEC292.5CE", "CE", name="VEDL", expiry=dec, strike=D("292.5"), lot=D(1150)),
        item("BFO", "SENSEX26NOVFUT", "FUT", name="SENSEX", expiry=date(2026, 11, 26), lot=D(20)),
    ]
    loader.load([*of_day(), *more], as_of=AT)


@pytest.fixture
def account(db):
    return make.BrokerAccountFactory(environment=Environment.LIVE, broker="zerodha")


def signal(exchange: str, symbol: str = "", **contract) -> Signal:
    ref = ContractRef(**contract) if contract else None
    return Signal(tv_exchange=exchange, tv_symbol=symbol or contract.get("root"), contract=ref)


def found(account: BrokerAccount, parsed: Signal, today: date = MONDAY, strategy=None) -> str:
    """The key of what was found, else the reason."""
    result = instruments.resolve(parsed, account, today, strategy)
    return result.instrument.key if result.instrument else result.reason


@pytest.mark.parametrize(("exchange", "symbol", "key"), [
    ("NSE", "INFY", "NSE:INFY"),
    ("BSE", "SBIN", "BSE:SBIN"),
    ("NSE", "M_M", "NSE:M&M"),
    ("NSE", "BAJAJ_AUTO", "NSE:BAJAJ-AUTO"),
    ("NSE", "NIFTY", "INSTRUMENT_NOT_TRADABLE"),
    ("NSE", "NIFTY 50", "INSTRUMENT_NOT_TRADABLE"),
    ("BSE", "SENSEX", "INSTRUMENT_NOT_TRADABLE"),
    ("NSE", "NIFTY1!", "NFO:NIFTY26NOVFUT"),
    ("NSE", "NIFTY2!", "NFO:NIFTY26DECFUT"),
    ("NSE", "NIFTYNXT501!", "NFO:NIFTYNXT5026NOVFUT"),
    ("NSE", "M_M1!", "NFO:M&M26NOVFUT"),
    ("BSE", "BSX1!", "BFO:SENSEX26NOVFUT"),
    ("MCX", "CRUDEOIL1!", "MCX:CRUDEOIL26NOVFUT"),
    ("NSE", "USDINR1!", "CDS:USDINR26NOVFUT"),
    ("NSE", "NIFTYX2026", "NFO:NIFTY26NOVFUT"),
    ("NSE", "NIFTYZ2026", "NFO:NIFTY26DECFUT"),
    ("NSE", "NIFTYV2026", "INSTRUMENT_EXPIRED"),
    ("NSE", "NIFTY261124C24500", "NFO:NIFTY26NOV24500CE"),
    ("NSE", "NIFTY261201P24500", "NFO:NIFTY26D0124500PE"),
    ("NSE", "BANKNIFTY261124C55000", "NFO:BANKNIFTY26NOV55000CE"),
    ("NSE", "VEDL261229C292.5", "NFO:VEDL26DEC292.5CE"),
    ("NSE", "NIFTY24NOV26FUT", "NFO:NIFTY26NOVFUT"),
    ("NSE", "NIFTY24NOV2624500CE", "NFO:NIFTY26NOV24500CE"),
    ("NSE", "VEDL29DEC26292.5CE", "NFO:VEDL26DEC292.5CE"),
    ("NFO", "NIFTY26NOV24500CE", "NFO:NIFTY26NOV24500CE"),
    ("NSE", "NIFTY261124C24550", "INSTRUMENT_UNKNOWN"),
    ("NSE", "NIFTY261027C24500", "INSTRUMENT_EXPIRED"),
    ("NSE", "UNHEARD", "INSTRUMENT_UNKNOWN"),
    ("", "SBIN", "INSTRUMENT_AMBIGUOUS"),
])  # fmt: skip
def test_it_finds_every_form_on_a_loaded_list(listed, account, exchange, symbol, key):
    assert found(account, signal(exchange, symbol)) == key


def test_it_finds_the_sensex_option_of_the_week_by_its_alias(listed, account):
    option = Instrument.objects.get(exchange="BFO", kind="CE")
    assert found(account, signal("BSE", f"BSX{option.expiry:%y%m%d}C80000")) == option.key


def test_it_keeps_the_continuous_future_on_its_last_day_and_moves_on_after_it(listed, account):
    assert [found(account, signal("NSE", f"NIFTY{n}!"), EXPIRY) for n in (1, 2)] == ["NFO:NIFTY26NOVFUT", "NFO:NIFTY26DECFUT"]
    loader.load(of_day(EXPIRY + timedelta(days=1)), as_of=AT + timedelta(days=2))
    after = EXPIRY + timedelta(days=1)
    assert found(account, signal("NSE", "NIFTY1!"), after) == "NFO:NIFTY26DECFUT"
    assert found(account, signal("NFO", "NIFTY26NOVFUT"), after) == "INSTRUMENT_EXPIRED"  # told from one that never was


@pytest.mark.parametrize(("exchange", "contract", "key"), [
    ("NSE", {"root": "NIFTY", "kind": ContractKind.CE, "expiry": EXPIRY, "strike": D("24500.0")}, "NFO:NIFTY26NOV24500CE"),
    ("NSE", {"root": "NIFTY", "kind": ContractKind.PE, "expiry": date(2026, 12, 1), "strike": D(24500)}, "NFO:NIFTY26D0124500PE"),
    ("NSE", {"root": "NIFTY", "kind": ContractKind.FUT, "expiry": EXPIRY}, "NFO:NIFTY26NOVFUT"),
    ("NSE", {"root": "NIFTY", "kind": ContractKind.FUT, "month": "2026-12"}, "NFO:NIFTY26DECFUT"),
    ("NSE", {"root": "NIFTY", "kind": ContractKind.FUT, "nth": 2}, "NFO:NIFTY26DECFUT"),
    ("NSE", {"root": "NIFTY", "kind": ContractKind.CE, "nth": 1, "strike": D(24500)}, "NFO:NIFTY26NOV24500CE"),
    ("NSE", {"root": "NIFTY", "kind": ContractKind.CE, "strike": D(24500)}, "INSTRUMENT_AMBIGUOUS"),
    ("NSE", {"root": "NIFTY", "kind": ContractKind.CE, "nth": 4, "strike": D(24500)}, "INSTRUMENT_UNKNOWN"),
    ("BSE", {"root": "BSX", "kind": ContractKind.FUT, "nth": 1}, "BFO:SENSEX26NOVFUT"),
    ("MCX", {"root": "CRUDEOIL", "kind": ContractKind.FUT, "month": "2026-11"}, "MCX:CRUDEOIL26NOVFUT"),
    ("NSE", {"root": "USDINR", "kind": ContractKind.FUT, "month": "2026-11"}, "CDS:USDINR26NOVFUT"),
    ("NSE", {"root": "M&M", "kind": ContractKind.EQ}, "NSE:M&M"),
    ("NSE", {"root": "NIFTY", "kind": ContractKind.CE, "expiry": date(2026, 10, 27), "strike": D(24500)}, "INSTRUMENT_EXPIRED"),
    ("NSE", {"root": "NIFTY", "kind": ContractKind.FUT, "month": "2026-13"}, "INSTRUMENT_AMBIGUOUS"),
])  # fmt: skip
def test_it_finds_a_contract_given_field_by_field(listed, account, exchange, contract, key):
    assert found(account, signal(exchange, **contract)) == key


def test_it_says_how_a_contract_was_found(listed, account):
    parsed = signal("NSE", root="NIFTY", kind=ContractKind.CE, expiry=EXPIRY, strike=D(24500))
    note = instruments.resolve(parsed, account, MONDAY).note
    assert note == "NSE:NIFTY 24 Nov 2026 24500 CE is NFO:NIFTY26NOV24500CE, expiry 24 Nov 2026, strike 24500."


# ---------------------------------------------------------------------------- what only paper may do
def test_it_makes_a_provisional_share_on_paper_only(account):
    paper = make.BrokerAccountFactory()
    assert found(account, signal("NSE", "INFY")) == "INSTRUMENT_UNKNOWN"
    assert found(paper, signal("NSE", "INFY")) == "NSE:INFY" and Instrument.objects.get().provisional
    assert found(account, signal("NSE", "INFY")) == "INSTRUMENT_UNKNOWN"
    assert found(paper, signal("NSE", "NIFTY1!")) == "INSTRUMENT_UNKNOWN"


@pytest.mark.parametrize(("today", "reason"), [
    (MONDAY, ""), (MONDAY + timedelta(days=1), ""), (MONDAY + timedelta(days=2), "INSTRUMENT_STALE"),
    (date(2026, 11, 29), "INSTRUMENT_STALE"),
])  # fmt: skip
def test_it_lets_an_order_wait_when_the_list_is_older_than_the_last_trading_day(listed, account, today, reason):
    result = instruments.resolve(signal("NSE", "INFY"), account, today)
    assert (result.instrument.key, result.reason) == ("NSE:INFY", reason)
    assert not reason or "last named NSE:INFY on 23 Nov 2026" in result.note
    assert instruments.resolve(signal("NSE", "INFY"), make.BrokerAccountFactory(), today).reason == ""


def test_it_takes_fridays_list_on_a_monday(listed, account):
    Instrument.objects.update(as_of=AT - timedelta(days=3))
    assert instruments.resolve(signal("NSE", "INFY"), account, MONDAY).reason == ""


# ---------------------------------------------------------------------------- overrides
def override(account, key: str, scope=OverrideScope.GLOBAL, symbol: str = "NSE:NIFTY", **more) -> TvSymbolOverride:
    exchange, _, name = key.partition(":")
    row = Instrument.objects.get(exchange=exchange, tradingsymbol=name)
    more |= {"account": account} if scope == OverrideScope.ACCOUNT else {}
    return TvSymbolOverride.objects.create(owner=account.owner, scope=scope, tv_symbol=symbol, instrument=row, created_by="asha", **more)


def test_it_takes_the_narrowest_override(listed, account):
    strategy = make.StrategyFactory(owner=account.owner, account=account)
    nifty = signal("NSE", "NIFTY")
    override(account, "NFO:NIFTY26NOVFUT")
    assert found(account, nifty, strategy=strategy) == "NFO:NIFTY26NOVFUT"
    override(account, "NFO:NIFTY26DECFUT", OverrideScope.ACCOUNT)
    assert found(account, nifty, strategy=strategy) == "NFO:NIFTY26DECFUT"
    override(account, "NFO:NIFTY27JANFUT", OverrideScope.STRATEGY, strategy=strategy)
    assert found(account, nifty, strategy=strategy) == "NFO:NIFTY27JANFUT"
    assert found(account, nifty) == "NFO:NIFTY26DECFUT"
    note = instruments.resolve(nifty, account, MONDAY, strategy).note
    assert note == "NSE:NIFTY is mapped to NFO:NIFTY27JANFUT, expiry 26 Jan 2027 by asha."


def test_it_takes_nobody_elses_override(listed, account):
    override(make.BrokerAccountFactory(), "NFO:NIFTY26NOVFUT")
    override(make.BrokerAccountFactory(owner=account.owner), "NFO:NIFTY26NOVFUT", OverrideScope.ACCOUNT)
    override(account, "NFO:NIFTY26NOVFUT", OverrideScope.STRATEGY, strategy=make.StrategyFactory(owner=account.owner, account=account))
    assert found(account, signal("NSE", "NIFTY"), strategy=make.StrategyFactory(owner=account.owner, account=account)) == "INSTRUMENT_NOT_TRADABLE"


@pytest.mark.parametrize(("days", "valid"), [(-1, False), (0, True), (2, True), (3, False)])
def test_it_takes_an_override_from_its_first_to_its_last_day(listed, account, days, valid):
    override(account, "NFO:NIFTY26DECFUT", valid_from=MONDAY, valid_to=MONDAY + timedelta(days=2))
    today = MONDAY + timedelta(days=days)
    assert found(account, signal("NSE", "NIFTY"), today) == ("NFO:NIFTY26DECFUT" if valid else "INSTRUMENT_NOT_TRADABLE")


def test_it_overrides_even_an_exact_name_but_not_a_named_contract(listed, account):
    override(account, "NFO:NIFTY26NOVFUT", symbol="NSE:INFY")
    override(account, "NFO:NIFTY26NOVFUT", symbol="NSE:NIFTY")
    assert found(account, signal("NSE", "INFY")) == "NFO:NIFTY26NOVFUT"
    assert found(account, signal("NSE", root="NIFTY", kind=ContractKind.FUT, nth=2)) == "NFO:NIFTY26DECFUT"


def test_it_never_replaces_a_mapped_contract_that_expired_or_is_gone(listed, account):
    override(account, "NFO:NIFTY26NOVFUT")
    result = instruments.resolve(signal("NSE", "NIFTY"), account, date(2026, 11, 25))
    assert (result.instrument, result.reason) == (None, "INSTRUMENT_EXPIRED") and result.note.endswith("expired on 24 Nov 2026. Map it again.")
    Instrument.objects.filter(tradingsymbol="NIFTY26NOVFUT").update(active=False)
    assert found(account, signal("NSE", "NIFTY")) == "INSTRUMENT_UNKNOWN"


# ---------------------------------------------------------------------------- on the road
@pytest.fixture
def at_ten():
    with time_machine.travel(AT, tick=False):
        yield


def test_it_counts_lots_of_the_contract_it_found(at_ten, listed):
    desk = make_desk()
    desk.manual.sizing, desk.manual.sizing_value = "LOTS", D(2)
    desk.manual.save()
    order = desk.order("manual", symbol="NSE:NIFTY1!", trade={"product": "NRML"})
    assert (order.symbol, order.quantity) == ("NFO:NIFTY26NOVFUT", 130)
    assert order.events.get(kind="CREATED").data["resolution"] == "NSE:NIFTY1! is NFO:NIFTY26NOVFUT, expiry 24 Nov 2026."


def test_an_automatic_alert_waits_when_the_list_is_too_old(at_ten, listed):
    desk = make_desk()
    BrokerAccount.objects.filter(pk=desk.account.pk).update(environment=Environment.SIM, broker="zerodha")
    Instrument.objects.update(as_of=AT - timedelta(days=5))
    order = desk.order("auto")
    assert (order.status, order.status_reason, order.instrument.key) == ("WAITING", "INSTRUMENT_STALE", "NSE:INFY")
    assert "Load the instruments" in order.why


def test_an_exit_that_is_not_found_is_an_error_event(at_ten, listed):
    desk = make_desk()
    body = desk.body("auto", symbol="NSE:UNHEARD_OF")
    body["trade_details"] |= {"order_action": "SELL"}
    body |= {"market_position": "flat", "position_size": 0, "prev_market_position": "long", "prev_market_position_size": 10}
    answer = desk.send("auto", raw=json.dumps(body).encode())
    event = SystemEvent.objects.get(code="INSTRUMENT_UNKNOWN")
    assert (event.level, event.order_id) == ("ERROR", answer.order_ids[0]) and "An exit is affected" in event.message
