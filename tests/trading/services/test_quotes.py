"""Prices: who needs them, who gives them, how old they may be, and what a new one fills."""

import os
from datetime import timedelta
from decimal import Decimal as D
from pathlib import Path

import pytest
import time_machine
from django.conf import settings as django_settings
from django_q.models import OrmQ

from brokers import prices, registry
from brokers.errors import AuthExpired, RateLimited, RejectCode, Rejected
from brokers.models import BrokerAccount, Instrument, PaperOrder, PriceFeed, Quote, QuoteSource, WatchedKey
from brokers.types import QuoteTick
from tests import factories as make
from trading.models import Order, SystemEvent
from trading.services import books, quotes
from tvapp.lib import clock
from tvapp.models import DeskSettings

pytestmark = pytest.mark.django_db
INFY, SBIN = "NSE:INFY", "NSE:SBIN"


class Feed:
    """A broker that gives the prices a test sets, or what it raises."""

    def __init__(self):
        self.prices, self.asked, self.refusal = {}, [], None

    def quote(self, keys):
        self.asked.append(sorted(keys))
        if self.refusal:
            raise self.refusal
        return tuple(self.tick(key, value) for key, value in self.prices.items() if key in keys)

    def tick(self, key, value):
        return value if isinstance(value, QuoteTick) else QuoteTick(key, D(value), clock.now())


@pytest.fixture
def now():
    with time_machine.travel("2026-11-23T05:00:00Z", tick=False) as hand:
        yield hand


@pytest.fixture
def wire(monkeypatch):
    feed, real = Feed(), registry.adapter_for
    monkeypatch.setattr(registry, "adapter_for", lambda account: feed if account.broker == "zerodha" else real(account))
    return feed


@pytest.fixture
def kite(now, wire):
    """A Zerodha account that is logged in."""
    account = make.BrokerAccountFactory(broker="zerodha", environment="SIM", name="kite", state="READY", api_key="k")
    make.BrokerSessionFactory(account=account, state="ACTIVE", issued_at=clock.now(), expires_at=clock.now() + timedelta(hours=12))
    return account


def paper(**more) -> BrokerAccount:
    return make.BrokerAccountFactory(**more)


def resting(account, limit="1490", symbol="INFY", **more) -> Order:
    """A LIMIT BUY that rests in the paper book, and the desk's row of it."""
    instrument = make.InstrumentFactory(tradingsymbol=symbol)
    order = make.OrderFactory(account=account, owner=account.owner, strategy=None, instrument=instrument, status="OPEN", price=D(limit), ref_price=None, **more)
    make.PaperOrderFactory(account=account, ref=order.tag, instrument=instrument, price=D(limit))
    return order


def waiting(account, symbol="INFY", **more) -> Order:
    instrument = make.InstrumentFactory(tradingsymbol=symbol)
    return make.OrderFactory(account=account, owner=account.owner, strategy=None, instrument=instrument, **more)


def rung(task: str) -> list[int]:
    found = [row.task for row in OrmQ.objects.order_by("id")]
    return [row["args"][0] for row in found if row["func"] == f"trading.tasks.{task}"]


def keys(account) -> list[str]:
    return sorted(i.key for i in quotes.wanted(account, clock.now()))


# ---------------------------------------------------------------------------- what is needed
def test_it_prices_what_is_held_rests_waits_or_is_looked_at(kite):
    waiting(kite, "A")
    make.OrderFactory(account=kite, owner=kite.owner, strategy=None, instrument=make.InstrumentFactory(tradingsymbol="OVER"), status="CANCELLED")
    make.PositionFactory(account=kite, strategy=None, book="UNASSIGNED", owner=kite.owner, instrument=make.InstrumentFactory(tradingsymbol="B"), quantity=-5)
    make.PositionFactory(account=kite, strategy=None, book="UNASSIGNED", owner=kite.owner, instrument=make.InstrumentFactory(tradingsymbol="FLAT"))
    make.BrokerPositionFactory(account=kite, tradingsymbol="C", net_qty=7)
    for symbol in ("C", "D", "E", "F"):
        make.InstrumentFactory(tradingsymbol=symbol)
    quotes.watch(["NSE:D", "NSE:NOBODY", "nonsense"], clock.now() + timedelta(seconds=30))
    quotes.watch(["NSE:E"], clock.now() - timedelta(seconds=1))
    assert keys(kite) == ["NSE:A", "NSE:B", "NSE:C", "NSE:D"]


def test_it_asks_first_for_what_has_no_price_and_never_for_more_than_one_call_takes(kite, monkeypatch):
    for symbol, seconds in (("OLD", 60), ("NEW", 1)):
        make.QuoteFactory(instrument=waiting(kite, symbol).instrument, at=clock.now() - timedelta(seconds=seconds))
    waiting(kite, "NONE")
    monkeypatch.setattr(quotes, "MOST", 2)
    assert [i.tradingsymbol for i in quotes.wanted(kite, clock.now())] == ["NONE", "OLD"]


def test_it_reads_for_the_paper_accounts_that_chose_it(kite, wire):
    fed, other = paper(quote_source="KITE", quote_account=kite, quote_every_s=2), paper()
    resting(fed, symbol="INFY"), resting(other, symbol="SBIN")
    wire.prices = {INFY: 1500, SBIN: 800}
    quotes.read(kite.pk)
    assert (wire.asked, quotes.interval(kite)) == ([[INFY]], timedelta(seconds=2))
    assert not Quote.objects.filter(instrument__tradingsymbol="SBIN").exists()


def test_it_prolongs_a_watch_and_forgets_it_when_it_is_over(kite, now):
    make.InstrumentFactory()
    for seconds in (10, 30):
        quotes.watch([INFY], clock.now() + timedelta(seconds=seconds))
    now.shift(20)
    assert keys(kite) == [INFY]
    now.shift(20)
    quotes.read(kite.pk)
    assert not WatchedKey.objects.exists()


# ---------------------------------------------------------------------------- when
def test_it_rings_the_batch_cluster_when_a_price_is_due_and_wanted(kite, wire, now):
    assert quotes.ring_due() == 0
    waiting(kite)
    assert (quotes.ring_due(), rung("read_quotes")) == (1, [kite.pk])
    assert OrmQ.objects.get().key == "batch"
    quotes.read(kite.pk)
    assert quotes.ring_due() == 0
    now.shift(kite.quote_every_s)
    assert quotes.ring_due() == 1


def test_it_does_not_heap_up_rings_while_the_cluster_is_busy(kite, now):
    waiting(kite)
    for _ in range(59):
        quotes.ring_due()
        now.shift(1)
    assert len(rung("read_quotes")) == 1
    now.shift(2)
    quotes.ring_due()
    assert len(rung("read_quotes")) == 2


@pytest.mark.parametrize("state", [{"expires_at": clock.now() - timedelta(days=900)}, {"state": "EXPIRED"}, {"state": "NONE"}])
def test_it_asks_nobody_who_is_not_logged_in(kite, wire, state):
    waiting(kite)
    type(kite.session).objects.update(**state)
    assert (quotes.ring_due(), quotes.read(kite.pk), wire.asked) == (0, "no feed", [])


# ---------------------------------------------------------------------------- what is stored
def test_it_stores_price_depth_time_and_source(kite, wire):
    waiting(kite)
    at = clock.now() - timedelta(seconds=2)
    wire.prices = {INFY: QuoteTick(INFY, D("1500.05"), at, D("1500"), D("1500.10"), D(40), D(60), D(9000))}
    assert quotes.read(kite.pk) == "1 of 1 priced"
    row = Quote.objects.get()
    assert (row.ltp, row.bid, row.ask, row.bid_qty, row.ask_qty) == (D("1500.05"), 1500, D("1500.10"), 40, 60)
    assert (row.source, row.at, row.volume, row.day_volume) == ("FEED", at, None, 9000)
    assert (kite.feed.priced_at, kite.feed.error) == (clock.now(), "")


def test_it_keeps_the_close_of_the_day_before(kite, wire, now):
    waiting(kite)
    seen = []
    for ltp, close, gap in ((1500, 1490, 0), (1510, None, 10), (1520, None, 86400), (1530, None, 10)):
        now.shift(gap)
        type(kite.session).objects.update(expires_at=clock.now() + timedelta(hours=1))
        wire.prices = {INFY: QuoteTick(INFY, D(ltp), clock.now(), close=close and D(close))}
        quotes.read(kite.pk)
        seen.append(Quote.objects.get().close)
    assert seen == [1490, 1490, 1510, 1510]


def test_it_counts_what_was_traded_since_the_last_price(kite, wire, now):
    waiting(kite)
    traded = []
    for volume, gap in ((9000, 0), (9400, 10), (100, 86400), (250, 10), (90, 10)):
        now.shift(gap)
        type(kite.session).objects.update(expires_at=clock.now() + timedelta(hours=1))
        wire.prices = {INFY: QuoteTick(INFY, D(1500), clock.now(), volume=D(volume))}
        quotes.read(kite.pk)
        traded.append(Quote.objects.get().volume)
    assert traded == [None, 400, None, 150, None]


def test_it_writes_what_changed_and_else_once_an_interval(kite, wire, now):
    waiting(kite)
    wire.prices = {INFY: 1500}
    seen = []
    for gap in (0, 1, 1, 5):
        now.shift(gap)
        quotes.read(kite.pk)
        seen.append(Quote.objects.get().at)
    assert seen == [seen[0]] * 3 + [clock.now()]
    now.shift(1)
    wire.prices = {INFY: 1501}
    quotes.read(kite.pk)
    assert (Quote.objects.get().ltp, Quote.objects.get().at) == (1501, clock.now())


def test_it_never_puts_an_older_price_over_a_newer_one_unless_that_was_made_up(kite, wire):
    waiting(kite)
    closing = clock.now() - timedelta(hours=14)
    wire.prices = {INFY: QuoteTick(INFY, D(1480), closing)}
    row = make.QuoteFactory(ltp=1500, source="ADMIN")
    quotes.read(kite.pk)
    assert Quote.objects.get().ltp == 1500
    Quote.objects.filter(pk=row.pk).update(source="WALK")
    quotes.read(kite.pk)
    assert (Quote.objects.get().ltp, Quote.objects.get().at, Quote.objects.get().source) == (1480, closing, "FEED")


def test_it_takes_no_price_from_the_future_and_none_of_nothing(kite, wire):
    waiting(kite), waiting(kite, "SBIN")
    wire.prices = {INFY: QuoteTick(INFY, D(1500), clock.now() + timedelta(hours=5)), SBIN: QuoteTick(SBIN, D(0), clock.now())}
    quotes.read(kite.pk)
    assert [(q.instrument.key, q.at) for q in Quote.objects.all()] == [(INFY, clock.now())]


def test_it_names_what_the_broker_does_not_price(kite, wire):
    waiting(kite), waiting(kite, "SBIN")
    wire.prices = {INFY: 1500}
    quotes.read(kite.pk)
    assert PriceFeed.objects.get().error == "No price for NSE:SBIN."


# ---------------------------------------------------------------------------- what stands against it
def test_it_asks_a_plan_without_prices_once_a_day_and_says_so_once(kite, wire, now):
    waiting(kite)
    wire.refusal = Rejected(RejectCode.NOT_PERMITTED, "Insufficient permission for that call.")
    for _ in range(20):
        quotes.ring_due()
        quotes.read(kite.pk)
        now.shift(60)
    assert len(wire.asked) == 1
    event = SystemEvent.objects.get()
    assert (event.level, event.code, event.owner) == ("INFO", "QUOTES_NOT_PERMITTED", kite.owner)
    now.shift(86400)
    type(kite.session).objects.update(expires_at=clock.now() + timedelta(hours=12))
    wire.refusal, wire.prices = None, {INFY: 1500}
    assert quotes.read(kite.pk) == "1 of 1 priced"


def test_it_goes_on_after_a_refusal_for_the_moment(kite, wire):
    waiting(kite)
    wire.refusal = RateLimited("TOO_MANY_REQUESTS", "the desk sends at most 1 a second here", local=True, retry_after=1)
    assert quotes.read(kite.pk) == "unread"
    assert PriceFeed.objects.get().error == "the desk sends at most 1 a second here"
    wire.refusal, wire.prices = None, {INFY: 1500}
    assert quotes.read(kite.pk) == "1 of 1 priced"


def test_it_tells_the_desk_that_the_session_is_over(kite, wire):
    waiting(kite)
    wire.refusal = AuthExpired("TOKEN", "Token is invalid or has expired.")
    quotes.read(kite.pk)
    kite.refresh_from_db()
    assert kite.state == "DISCONNECTED"


# ---------------------------------------------------------------------------- files
@pytest.fixture
def priced_file():
    place = Path(django_settings.HOME) / "prices.csv"
    yield place
    place.unlink(missing_ok=True)


def write(place: Path, text: str, ago: float = 0) -> None:
    place.write_text(text)
    at = clock.now().timestamp() - ago
    os.utime(place, (at, at))


def test_it_reads_a_file_again_when_it_changed(now, priced_file):
    account = paper(quote_source="FILE", quote_file="prices.csv")
    waiting(account)
    write(priced_file, "exchange:symbol,price\nNSE:INFY,1500.05\n\nnse:sbin , 800\nNSE:BAD,abc\nNSE:NAN,NaN\nNSE:NEG,-1\nNSE:BIG,1e99\n")
    quotes.read(account.pk)
    assert (Quote.objects.get().ltp, Quote.objects.get().source) == (D("1500.05"), "FILE")
    now.shift(20)
    write(priced_file, "NSE:INFY,1499")
    quotes.read(account.pk)
    assert (Quote.objects.get().ltp, Quote.objects.get().at) == (1499, clock.now())


def test_it_fills_nothing_by_a_file_nobody_writes_any_more(now, priced_file):
    account = paper(quote_source="FILE", quote_file="prices.csv")
    order = resting(account, "1510")
    write(priced_file, "NSE:INFY,1500", ago=DeskSettings().max_quote_age_s + 1)
    quotes.read(account.pk)
    books.sync_account(account.pk)
    assert Order.objects.get(pk=order.pk).status == "OPEN"
    write(priced_file, "NSE:INFY,1500.00")
    quotes.read(account.pk)
    books.sync_account(account.pk)
    assert Order.objects.get(pk=order.pk).status == "COMPLETE"


LEADS_OUT = ["../prices.csv", "/etc/passwd", "/etc/hosts.csv", "a/../../prices.csv", "link.csv", "", ".env", "tvapp.sqlite3", "x\x00.csv", "~/prices.csv/../../../p.csv"]


@pytest.mark.parametrize("name", LEADS_OUT)
def test_it_reads_no_file_but_a_csv_of_the_data_directory(now, name, tmp_path):
    (tmp_path / "outside.csv").write_text("NSE:INFY,1")
    link = Path(django_settings.HOME) / "link.csv"
    link.symlink_to(tmp_path / "outside.csv")
    account = paper(quote_source="FILE", quote_file=name)
    waiting(account)
    try:
        with pytest.raises(prices.NoFile):
            prices.file_of(name)
        assert quotes.read(account.pk) == "no file" and not Quote.objects.exists()
        assert PriceFeed.objects.get().error
    finally:
        link.unlink()


def test_it_says_that_the_file_is_not_there(now):
    account = paper(quote_source="FILE", quote_file="nowhere.csv")
    waiting(account)
    assert quotes.read(account.pk) == "no file"
    assert "nowhere.csv is not in the data directory" in PriceFeed.objects.get().error


# ---------------------------------------------------------------------------- the walk
def test_it_walks_from_the_last_known_price_and_says_that_it_does(now):
    account = paper(quote_source="WALK")
    make.QuoteFactory(instrument=waiting(account).instrument, ltp=1500, at=clock.now() - timedelta(days=1))
    waiting(account, "SBIN", ref_price=D("812.35"))
    waiting(account, "UNKNOWN")
    path = []
    for _ in range(40):
        quotes.read(account.pk)
        path.append(Quote.objects.get(instrument__tradingsymbol="INFY").ltp)
        now.shift(5)
    assert 1400 < min(path) < max(path) < 1600 and all(price % D("0.05") == 0 for price in path)
    assert {q.instrument.tradingsymbol: q.source for q in Quote.objects.all()} == {"INFY": "WALK", "SBIN": "WALK"}
    assert 750 < Quote.objects.get(instrument__tradingsymbol="SBIN").ltp < 870


def test_it_never_walks_below_one_tick():
    last = D("0.05")
    for _ in range(50):
        last = prices.walk(last, D("0.05"))
        assert last >= D("0.05")


def test_it_lets_a_real_price_go_before_a_file_and_a_file_before_the_walk(kite, wire, priced_file):
    walker, reader = paper(quote_source="WALK"), paper(quote_source="FILE", quote_file="prices.csv")
    for symbol, accounts in {"A": (kite, reader, walker), "B": (reader, walker), "C": (walker,)}.items():
        for account in accounts:
            waiting(account, symbol, ref_price=D(100))
    assert [keys(account) for account in (kite, reader, walker)] == [["NSE:A"], ["NSE:B"], ["NSE:C"]]
    type(kite.session).objects.update(state="EXPIRED")
    assert keys(reader) == ["NSE:A", "NSE:B"]


@pytest.mark.parametrize(
    ("source", "chose", "broker", "counts"),
    [
        ("FEED", "NONE", "paper", True), ("FEED", "WALK", "paper", True), ("FEED", "NONE", "zerodha", True), ("ADMIN", "NONE", "zerodha", True),
        ("ALERT", "NONE", "paper", True), ("ALERT", "NONE", "zerodha", False), ("WALK", "WALK", "paper", True), ("WALK", "NONE", "paper", False),
        ("WALK", "FILE", "paper", False), ("FILE", "FILE", "paper", True), ("WALK", "WALK", "zerodha", False), ("FILE", "FILE", "zerodha", False),
    ],
)  # fmt: skip
def test_it_prices_nobodys_orders_by_what_another_made_up(source, chose, broker, counts):
    assert Quote(source=source).serves(BrokerAccount(broker=broker, quote_source=chose)) is counts


# ---------------------------------------------------------------------------- what a new price fills
def test_it_rings_for_each_paper_account_with_an_order_resting_in_what_moved(kite, wire, now):
    first, second, third = paper(quote_source="KITE", quote_account=kite), paper(), paper()
    resting(first), resting(second), resting(third, symbol="SBIN")
    wire.prices = {INFY: 1500}
    quotes.read(kite.pk)
    assert sorted(rung("sync_account")) == [first.pk, second.pk]
    OrmQ.objects.all().delete()
    quotes.read(kite.pk)
    assert rung("sync_account") == []


def test_it_fills_a_resting_limit_when_the_price_crosses_it(kite, wire, now):
    account = paper(quote_source="KITE", quote_account=kite, slippage_bps=0)
    order = resting(account, "1490")
    seen = []
    for price in ("1500", "1490", "1489.95"):
        wire.prices = {INFY: price}
        quotes.read(kite.pk)
        books.sync_account(account.pk)
        order.refresh_from_db()
        seen.append((order.status, order.average_price))
        now.shift(5)
    assert seen == [("OPEN", None), ("OPEN", None), ("COMPLETE", 1490)]


def test_it_fills_nothing_by_a_price_that_is_older_than_the_desk_allows(kite, wire, now):
    account = paper(quote_source="KITE", quote_account=kite)
    order, oldest = resting(account, "1510"), DeskSettings().max_quote_age_s
    for age in (3600, oldest + 1):
        wire.prices = {INFY: QuoteTick(INFY, D(1500), clock.now() - timedelta(seconds=age))}
        quotes.read(kite.pk)
        books.sync_account(account.pk)
        assert Order.objects.get(pk=order.pk).status == "OPEN" and not PaperOrder.objects.filter(filled__gt=0).exists()
        now.shift(20)
    wire.prices = {INFY: QuoteTick(INFY, D(1500), clock.now() - timedelta(seconds=oldest))}
    quotes.read(kite.pk)
    books.sync_account(account.pk)
    assert Order.objects.get(pk=order.pk).status == "COMPLETE"


def test_it_stores_many_prices_with_few_statements(kite, wire, django_assert_max_num_queries):
    for number in range(250):
        waiting(kite, f"S{number}")
    wire.prices = {i.key: 100 for i in Instrument.objects.all()}
    with django_assert_max_num_queries(30):
        assert quotes.read(kite.pk) == "250 of 250 priced"
    assert Quote.objects.filter(source=QuoteSource.FEED).count() == 250
