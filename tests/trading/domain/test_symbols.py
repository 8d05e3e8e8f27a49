from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.domain.symbols import Form, Reason, choose, parse_symbol

D = Decimal
TICK, LOT = D("0.05"), D(1)
TODAY = date(2026, 11, 20)


@dataclass(frozen=True)
class Row:
    exchange: str
    tradingsymbol: str
    name: str = ""
    kind: str = "EQ"
    expiry: date | None = None
    strike: Decimal | None = None
    tick: Decimal | None = TICK
    lot: Decimal | None = LOT


def fut(tradingsymbol, name, expiry, exchange="NFO"):
    return Row(exchange, tradingsymbol, name, "FUT", expiry, D(0))


def opt(tradingsymbol, name, expiry, strike, kind="CE", exchange="NFO"):
    return Row(exchange, tradingsymbol, name, kind, expiry, D(strike))


NOV, DEC, JAN = date(2026, 11, 24), date(2026, 12, 29), date(2027, 1, 26)
WEEKLY = date(2026, 12, 22)
ROWS = [
    Row("NSE", "RELIANCE", "RELIANCE INDUSTRIES"),
    Row("NSE", "SBIN"),
    Row("BSE", "SBIN"),
    Row("NSE", "M&M"),
    Row("NSE", "BAJAJ-AUTO"),
    Row("NSE", "NIFTY 50", "NIFTY 50", "IDX"),
    Row("NSE", "BANKNIFTY", "NIFTY BANK", "IDX"),
    fut("NIFTY26NOVFUT", "NIFTY", NOV),
    fut("NIFTY26DECFUT", "NIFTY", DEC),
    fut("NIFTY27JANFUT", "NIFTY", JAN),
    fut("NIFTYNXT5026NOVFUT", "NIFTYNXT50", date(2026, 11, 23)),
    fut("M&M26NOVFUT", "M&M", NOV),
    fut("CRUDEOIL26DECFUT", "CRUDEOIL", date(2026, 12, 18), "MCX"),
    fut("CRUDEOILM26DECFUT", "CRUDEOILM", date(2026, 12, 18), "MCX"),
    fut("USDINR26DECFUT", "USDINR", DEC, "CDS"),
    fut("SENSEX26DECFUT", "SENSEX", date(2026, 12, 31), "BFO"),
    opt("NIFTY26D2226000CE", "NIFTY", WEEKLY, 26000),
    opt("NIFTY26DEC26000CE", "NIFTY", DEC, 26000),
    opt("NIFTY26DEC26000PE", "NIFTY", DEC, 26000, "PE"),
    opt("VEDL26DEC292.5CE", "VEDL", DEC, "292.5"),
    opt("SENSEX26DEC84500CE", "SENSEX", date(2026, 12, 31), 84500, exchange="BFO"),
    Row("BINANCE", "BTCUSDT", "BTC", "SPOT"),
    Row("BINANCE", "BTCUSDT", "BTC", "SWAP"),
    Row("BYBIT", "ETHUSDT", "ETH", "SWAP"),
]


def resolve(exchange, symbol, rows=ROWS, today=TODAY, **options):
    return choose(parse_symbol(exchange, symbol), rows, today, **options)


@pytest.mark.parametrize(
    ("exchange", "symbol", "found"),
    [
        ("NSE", "RELIANCE", "NSE:RELIANCE"),
        (" nse ", "reliance", "NSE:RELIANCE"),
        ("BSE", "SBIN", "BSE:SBIN"),
        ("NSE", "SBIN", "NSE:SBIN"),
        ("NSE", "M_M", "NSE:M&M"),
        ("NSE", "M&M", "NSE:M&M"),
        ("NSE", "BAJAJ_AUTO", "NSE:BAJAJ-AUTO"),
        ("", "RELIANCE", "NSE:RELIANCE"),
        ("NSE", "NIFTY1!", "NFO:NIFTY26NOVFUT"),
        ("NSE", "NIFTY2!", "NFO:NIFTY26DECFUT"),
        ("NFO", "NIFTY3!", "NFO:NIFTY27JANFUT"),
        ("", "NIFTY1!", "NFO:NIFTY26NOVFUT"),
        ("NSE", "NIFTYNXT501!", "NFO:NIFTYNXT5026NOVFUT"),
        ("NSE", "M_M1!", "NFO:M&M26NOVFUT"),
        ("MCX", "CRUDEOIL1!", "MCX:CRUDEOIL26DECFUT"),
        ("NSE", "USDINR1!", "CDS:USDINR26DECFUT"),
        ("BSE", "BSX1!", "BFO:SENSEX26DECFUT"),
        ("NSE", "NIFTYX2026", "NFO:NIFTY26NOVFUT"),
        ("NSE", "NIFTYZ2026", "NFO:NIFTY26DECFUT"),
        ("MCX", "CRUDEOILZ2026", "MCX:CRUDEOIL26DECFUT"),
        ("NSE", "NIFTY261229C26000", "NFO:NIFTY26DEC26000CE"),
        ("NSE", "NIFTY261229P26000", "NFO:NIFTY26DEC26000PE"),
        ("NSE", "NIFTY261222C26000.0", "NFO:NIFTY26D2226000CE"),
        ("NSE", "VEDL261229C292.5", "NFO:VEDL26DEC292.5CE"),
        ("BSE", "BSX261231C84500", "BFO:SENSEX26DEC84500CE"),
        ("NFO", "NIFTY29DEC26FUT", "NFO:NIFTY26DECFUT"),
        ("NFO", "NIFTY29DEC2626000CE", "NFO:NIFTY26DEC26000CE"),
        ("NSE", "VEDL29DEC26292.5CE", "NFO:VEDL26DEC292.5CE"),
        ("NSE", "NIFTY26DECFUT", "NFO:NIFTY26DECFUT"),
        ("NFO", "NIFTY26DEC26000CE", "NFO:NIFTY26DEC26000CE"),
        ("BYBIT", "ETHUSDT.P", "BYBIT:ETHUSDT"),
    ],
)
def test_it_finds_the_one_row(exchange, symbol, found):
    resolution = resolve(exchange, symbol)
    assert resolution.reason is None
    assert f"{resolution.row.exchange}:{resolution.row.tradingsymbol}" == found


@pytest.mark.parametrize(
    ("exchange", "symbol", "reason"),
    [
        ("NSE", "NOSUCH", Reason.INSTRUMENT_UNKNOWN),
        ("BSE", "RELIANCE", Reason.INSTRUMENT_UNKNOWN),
        ("NSE", "A_B_C_D_E_F", Reason.INSTRUMENT_UNKNOWN),
        ("", "SBIN", Reason.INSTRUMENT_AMBIGUOUS),
        ("NSE", "NIFTY", Reason.INSTRUMENT_NOT_TRADABLE),
        ("NSE", "BANKNIFTY", Reason.INSTRUMENT_NOT_TRADABLE),
        ("NSE", "CNXFINANCE", Reason.INSTRUMENT_NOT_TRADABLE),
        ("BSE", "SENSEX", Reason.INSTRUMENT_NOT_TRADABLE),
        ("NSE_INDEX", "ANYTHING", Reason.INSTRUMENT_NOT_TRADABLE),
        ("NSE", "NIFTY 50", Reason.INSTRUMENT_NOT_TRADABLE),
        ("NSE", "NIFTY4!", Reason.INSTRUMENT_UNKNOWN),
        ("MCX", "NIFTY1!", Reason.INSTRUMENT_UNKNOWN),
        ("NSE", "NIFTYG2027", Reason.INSTRUMENT_UNKNOWN),
        ("NSE", "NIFTYV2026", Reason.INSTRUMENT_EXPIRED),
        ("NSE", "NIFTY261229C26050", Reason.INSTRUMENT_UNKNOWN),
        ("NSE", "NIFTY261229C2600", Reason.INSTRUMENT_UNKNOWN),
        ("NSE", "NIFTY261230C26000", Reason.INSTRUMENT_UNKNOWN),
        ("NSE", "NIFTY261027C26000", Reason.INSTRUMENT_EXPIRED),
        ("NSE", "NIFTY261329C26000", Reason.INSTRUMENT_UNKNOWN),
        ("NFO", "NIFTY31FEB26FUT", Reason.INSTRUMENT_UNKNOWN),
        ("NFO", "NIFTY29DEX26FUT", Reason.INSTRUMENT_UNKNOWN),
        ("NFO", "NIFTY26DEC26100CE", Reason.INSTRUMENT_UNKNOWN),
        ("BINANCE", "ETHUSDT", Reason.INSTRUMENT_UNKNOWN),
        ("BYBIT", "ETHUSDT", Reason.INSTRUMENT_UNKNOWN),
    ],
)
def test_it_says_why_there_is_no_row(exchange, symbol, reason):
    resolution = resolve(exchange, symbol)
    assert (resolution.row, resolution.reason) == (None, reason)
    assert resolution.note.endswith(".")


def test_it_tells_spot_and_perpetual_of_one_market_apart():
    assert resolve("BINANCE", "BTCUSDT").row.kind == "SPOT"
    assert resolve("BINANCE", "BTCUSDT.P").row.kind == "SWAP"


def test_it_keeps_the_nearest_future_through_its_day_of_expiry():
    assert resolve("NSE", "NIFTY1!", today=NOV).row.expiry == NOV
    assert resolve("NSE", "NIFTY1!", today=date(2026, 11, 25)).row.expiry == DEC
    assert resolve("NSE", "NIFTY2!", today=date(2026, 11, 25)).row.expiry == JAN


def test_it_rolls_earlier_when_asked():
    assert resolve("NSE", "NIFTY1!", today=NOV, roll_days_before=1).row.expiry == DEC
    assert resolve("NSE", "NIFTY1!", today=date(2026, 11, 22), roll_days_before=2).row.expiry == NOV
    assert resolve("NSE", "NIFTY1!", today=date(2026, 11, 22), roll_days_before=3).row.expiry == DEC


def test_it_says_which_contract_it_took():
    assert resolve("NSE", "NIFTY1!").note == "NSE:NIFTY1! is NFO:NIFTY26NOVFUT, expiry 24 Nov 2026."
    assert resolve("NSE", "NIFTY261229C26000").note == "NSE:NIFTY261229C26000 is NFO:NIFTY26DEC26000CE, expiry 29 Dec 2026, strike 26000."
    assert resolve("NSE", "M_M").note == "NSE:M_M is NSE:M&M."
    assert resolve("NSE", "RELIANCE").note == ""


def test_it_takes_weekly_and_monthly_options_by_their_own_day():
    assert resolve("NSE", "NIFTY261222C26000").row.tradingsymbol == "NIFTY26D2226000CE"
    both = [opt("NIFTY26D2926000CE", "NIFTY", DEC, 26000), opt("NIFTY26DEC26000CE", "NIFTY", DEC, 26000)]
    resolution = resolve("NSE", "NIFTY261229C26000", both)
    assert resolution.reason is Reason.INSTRUMENT_AMBIGUOUS
    assert resolution.note == "NSE:NIFTY261229C26000 could be NFO:NIFTY26D2926000CE, NFO:NIFTY26DEC26000CE."


def test_it_does_not_choose_between_two_spellings_or_two_futures_of_a_month():
    assert resolve("NSE", "A_B", [Row("NSE", "A&B"), Row("NSE", "A-B")]).reason is Reason.INSTRUMENT_AMBIGUOUS
    assert resolve("NSE", "A_B", [Row("NSE", "A&B"), Row("NSE", "A_B")]).row.tradingsymbol == "A_B"
    two = [fut("X1", "X", date(2026, 12, 1)), fut("X2", "X", DEC)]
    assert resolve("NFO", "XZ2026", two).reason is Reason.INSTRUMENT_AMBIGUOUS


def test_it_tries_every_mix_of_signs_for_several_underscores():
    assert resolve("NSE", "A_B_C", [Row("NSE", "A&B-C")]).row.tradingsymbol == "A&B-C"


def test_it_refuses_an_expired_contract_named_exactly():
    resolution = resolve("NFO", "NIFTY26NOVFUT", today=date(2026, 11, 25))
    assert (resolution.reason, resolution.note) == (Reason.INSTRUMENT_EXPIRED, "NIFTY26NOVFUT expired on 24 Nov 2026.")
    assert resolve("NSE", "NIFTYX2026", today=date(2026, 11, 25)).reason is Reason.INSTRUMENT_EXPIRED


@pytest.mark.parametrize("facts", [{"tick": None}, {"lot": None}, {"tick": D(0)}])
def test_it_refuses_a_row_without_tick_or_lot(facts):
    assert resolve("NSE", "NEW", [Row("NSE", "NEW", **facts)]).reason is Reason.INSTRUMENT_META_MISSING


def test_it_prefers_the_exchange_as_sent_to_its_derivatives():
    assert resolve("NSE", "X", [Row("NFO", "X"), Row("NSE", "X")]).row.exchange == "NSE"


def test_it_trades_an_index_name_that_is_a_real_instrument():
    assert resolve("NSE", "SENSEX", [Row("NSE", "SENSEX")]).row.kind == "EQ"


@pytest.mark.parametrize(
    ("exchange", "symbol", "form", "plain"),
    [
        ("NSE", "INFY", Form.EQUITY, True),
        ("BSE", "INFY", Form.EQUITY, True),
        ("NSE", "M_M", Form.EQUITY, False),
        ("MCX", "GOLD", Form.EQUITY, False),
        ("", "INFY", Form.EQUITY, False),
        ("NSE", "NIFTY", Form.INDEX, False),
        ("NSE", "NIFTY1!", Form.CONTINUOUS, False),
        ("BYBIT", "BTCUSDT", Form.CRYPTO, False),
    ],
)
def test_it_knows_a_plain_share(exchange, symbol, form, plain):
    query = parse_symbol(exchange, symbol)
    assert (query.form, query.plain_equity) == (form, plain)


def test_it_gives_a_database_what_to_search_for():
    query = parse_symbol("NSE", "M_M261229C3000.5")
    assert (query.form, query.kind, query.expiry, query.strike) == (Form.OPTION, "CE", DEC, D("3000.5"))
    assert (query.exchanges, query.roots) == (("NSE", "NFO"), ("M_M", "M&M", "M-M"))
    assert parse_symbol("NSE", "NIFTYX2026").month == date(2026, 11, 1)
    assert parse_symbol("BSE", "USDINR1!").exchanges == ("BSE", "BCD")


_symbols = st.one_of(
    st.text(alphabet="ABMNIFTY_&-.!0123456789CPEFUTDEC", max_size=20), st.sampled_from([row.tradingsymbol for row in ROWS])
)


@settings(max_examples=100)
@given(st.sampled_from(["NSE", "BSE", "NFO", "MCX", "BINANCE", "", "X"]), _symbols, st.permutations(ROWS))
def test_it_gives_a_row_or_a_reason_whatever_the_symbol_and_the_order_of_rows(exchange, symbol, rows):
    resolution = resolve(exchange, symbol, rows)
    assert (resolution.row is None) == (resolution.reason is not None)
    assert resolution == resolve(exchange, symbol)
