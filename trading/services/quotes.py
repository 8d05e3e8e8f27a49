"""Prices: which are needed now, where they come from, and what a new one sets off.

One lane for each source: a logged-in Zerodha account, or a paper account that chose a file or the random walk. The sweeper rings when a read
is due; a task of the batch cluster makes one call and stores what came. An instrument has one price for the whole desk: where several
sources could give it, a real one goes before a file and a file before the walk. `Quote.serves` says whose orders may use which.
"""

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from django.db.models import F, Q, QuerySet

from brokers import prices, registry
from brokers.errors import AuthExpired, BrokerError, RejectCode
from brokers.models import BrokerAccount, BrokerName, BrokerPosition, Instrument, PaperOrder, PriceFeed, Quote, QuoteFrom, QuoteSource, WatchedKey
from brokers.models import SessionState as S
from brokers.types import QuoteTick
from trading.domain import orderfsm
from trading.domain.orderfsm import State
from trading.models import Order, Position
from trading.services import connect, doorbell, sysevents
from tvapp.lib import clock

logger = logging.getLogger("tvapp.quotes")

MOST = 500  # one call of the broker takes so many
CHUNK = 100
STUCK_S = 60
HURRY_S = 2  # between two reads while an order waits for its price; brokers take one a second
WANTED_BY = (State.WAITING, State.HELD, State.QUEUED, *orderfsm.LIVE)
RESTS = (PaperOrder.Status.OPEN, PaperOrder.Status.TRIGGER_PENDING)
MARK = {QuoteFrom.FILE: QuoteSource.FILE, QuoteFrom.WALK: QuoteSource.WALK}
RANK = {QuoteSource.FEED: 0, QuoteSource.FILE: 1, QuoteSource.WALK: 2}
MADE_UP = (QuoteSource.FILE, QuoteSource.WALK)
FIELDS = ("ltp", "bid", "ask", "bid_qty", "ask_qty")


def watch(keys: Iterable[str], until: datetime) -> None:
    """Somebody looks at these instruments (`NSE:INFY`): their prices are read, too, until then."""
    rows = [WatchedKey(key=key, until=until) for key in sorted(set(keys))]
    WatchedKey.objects.bulk_create(rows, update_conflicts=True, unique_fields=["key"], update_fields=["until"])


# ---------------------------------------------------------------------------- what the sweeper asks
def feeders(now: datetime) -> QuerySet[BrokerAccount]:
    """Accounts that give prices now. One whose plan has none is not asked again on the same day."""
    logged_in = Q(broker=BrokerName.ZERODHA, session__state__in=(S.ACTIVE, S.EXCHANGE), session__expires_at__gt=now)
    made_up = Q(broker=BrokerName.PAPER, quote_source__in=MARK)
    rows = BrokerAccount.objects.filter(logged_in | made_up, enabled=True).exclude(feed__refused_on=clock.trading_day(now))
    return rows.select_related("feed").defer("credentials").order_by("id")


def ring_due() -> int:
    """Rings the batch cluster for each feed whose next price is due and wanted; how many were rung."""
    now = clock.now()
    return sum(_ring(account, now) for account in feeders(now))


def _ring(account: BrokerAccount, now: datetime) -> bool:
    feed = getattr(account, "feed", None)
    if feed and not _is_due(feed, interval(account), now):
        return False
    if not wanted(account, now):
        return False
    feed = feed or PriceFeed.objects.get_or_create(account=account)[0]
    if not PriceFeed.objects.filter(pk=feed.pk, rung_at=feed.rung_at).update(rung_at=now):
        return False
    doorbell.ring_quotes(account.pk)
    return True


def hurry(order: Order) -> bool:
    """Asks at once for a price of the order's instrument. False: no feed could give one its account may use."""
    now = clock.now()
    feeds = [account for account in feeders(now) if _may_price(account, order)]
    if feeds:
        watch([order.instrument.key], now + clock.seconds(STUCK_S))
    for account in feeds:
        feed = getattr(account, "feed", None) or PriceFeed.objects.get_or_create(account=account)[0]
        if _is_due(feed, clock.seconds(HURRY_S), now) and PriceFeed.objects.filter(pk=feed.pk, rung_at=feed.rung_at).update(rung_at=now):
            doorbell.ring_quotes(account.pk)
    return bool(feeds)


def _may_price(feed: BrokerAccount, order: Order) -> bool:
    """A real price serves everybody, a made-up one the account that makes it; a walk begins at a price that is known."""
    if feed.broker != BrokerName.PAPER:
        return True
    return feed.pk == order.account_id and (feed.quote_source != QuoteFrom.WALK or _last_known(order.instrument) is not None)


def _is_due(feed: PriceFeed, every: timedelta, now: datetime) -> bool:
    """A ring nobody answered yet is not repeated: the batch cluster may have longer work, and one read is as good as ten."""
    if feed.rung_at is None:
        return True
    waits = feed.read_at is None or feed.read_at < feed.rung_at
    return now - feed.rung_at >= (max(every, clock.seconds(STUCK_S)) if waits else every)


def interval(account: BrokerAccount) -> timedelta:
    """Time between two reads: the account's own, or the shortest of the paper accounts it feeds."""
    return clock.seconds(min([account.quote_every_s, *(fed.quote_every_s for fed in _fed_by(account))]))


def _fed_by(account: BrokerAccount) -> list[BrokerAccount]:
    if account.broker == BrokerName.PAPER:
        return []
    rows = BrokerAccount.objects.filter(broker=BrokerName.PAPER, quote_source=QuoteFrom.KITE, quote_account=account, enabled=True)
    return list(rows.only("id", "quote_every_s"))


# ---------------------------------------------------------------------------- what is needed
def wanted(account: BrokerAccount, now: datetime) -> list[Instrument]:
    """Instruments this account is to price, those without a price or with the oldest one first, no more than one call takes."""
    ids = _needs(account, now)
    for other in feeders(now) if account.broker == BrokerName.PAPER and ids else ():
        if RANK[_mark(other)] < RANK[_mark(account)]:
            ids -= _needs(other, now)
    rows = Instrument.objects.filter(pk__in=ids, active=True).select_related("quote")
    return list(rows.order_by(F("quote__at").asc(nulls_first=True), "id")[:MOST])


def _needs(account: BrokerAccount, now: datetime) -> set[int]:
    """What is held, what rests, what waits for a decision, and what somebody looks at."""
    whose = [account.pk, *(fed.pk for fed in _fed_by(account))]
    ids = set(Position.objects.filter(account__in=whose).exclude(quantity=0).values_list("instrument_id", flat=True))
    ids |= set(PaperOrder.objects.filter(account__in=whose, status__in=RESTS).values_list("instrument_id", flat=True))
    ids |= set(Order.objects.filter(account__in=whose, status__in=WANTED_BY, instrument__isnull=False).values_list("instrument_id", flat=True))
    held = BrokerPosition.objects.filter(account__in=whose).exclude(net_qty=0)
    keys = [(p.exchange, p.tradingsymbol) for p in held]
    keys += [tuple(key.split(":", 1)) for key in WatchedKey.objects.filter(until__gt=now).values_list("key", flat=True) if ":" in key]
    return ids | set(_named(keys))


def _named(keys: Iterable[tuple[str, ...]]) -> Iterable[int]:
    keys = set(keys)
    if not keys:
        return []
    rows = Instrument.objects.filter(tradingsymbol__in={symbol for _, symbol in keys})
    return [pk for pk, exchange, symbol in rows.values_list("id", "exchange", "tradingsymbol") if (exchange, symbol) in keys]


def _mark(account: BrokerAccount) -> QuoteSource:
    return MARK[QuoteFrom(account.quote_source)] if account.broker == BrokerName.PAPER else QuoteSource.FEED


# ---------------------------------------------------------------------------- the task
def read(account_id: int) -> str:
    """One read of one feed. Returns a short count for the log; what stood against it is noted in its PriceFeed row."""
    began = clock.now()
    account = feeders(began).filter(pk=account_id).select_related("feed", "owner").first()
    if account is None:
        PriceFeed.objects.filter(account_id=account_id).update(read_at=began)
        return "no feed"
    instruments = {i.key: i for i in wanted(account, began)}
    if not instruments:
        return _ended(account, "nothing to price")
    try:
        ticks = _ticks(account, instruments, began)
    except prices.NoFile as exc:
        return _ended(account, "no file", error=str(exc))
    except BrokerError as exc:
        return _refused(account, exc, began)
    changed = _store(instruments, ticks, _mark(account), interval(account), began)
    _rematch(changed)
    return _ended(account, f"{len(changed)} of {len(instruments)} priced", priced_at=began, error=_missing(instruments, ticks))


def _ticks(account: BrokerAccount, instruments: Mapping[str, Instrument], now: datetime) -> Iterable[QuoteTick]:
    if account.broker != BrokerName.PAPER:
        return registry.adapter_for(account).quote(list(instruments))
    if account.quote_source == QuoteFrom.FILE:
        return prices.from_file(account.quote_file, instruments, now)
    return [prices.walked(key, last, i.tick) for key, i in instruments.items() if (last := _last_known(i)) is not None]


def _last_known(instrument: Instrument):
    """Where a walk begins: the last price, else the newest alert's; without either there is none."""
    quote = getattr(instrument, "quote", None)
    if quote:
        return quote.ltp
    alerts = Order.objects.filter(instrument=instrument, ref_price__gt=0).order_by("-id")
    return alerts.values_list("ref_price", flat=True).first()


def _missing(instruments: Mapping[str, Instrument], ticks: Iterable[QuoteTick]) -> str:
    left = sorted(set(instruments) - {tick.key for tick in ticks})
    return f"No price for {', '.join(left[:5])}{' and others' if len(left) > 5 else ''}." if left else ""


def _refused(account: BrokerAccount, exc: BrokerError, began: datetime) -> str:
    if isinstance(exc, AuthExpired):
        connect.session_lost(account, f"the broker no longer accepts the session ({exc.message})", seen_at=began)
        return _ended(account, "session ended", error=exc.message)
    if exc.code != RejectCode.NOT_PERMITTED:
        return _ended(account, "unread", error=exc.message)
    text = f"The plan of {account.name} has no prices. Orders go on with the price of their alert; it is asked again tomorrow."
    sysevents.record("broker", "QUOTES_NOT_PERMITTED", text, owner=account.owner, data={"account_id": account.pk})
    return _ended(account, "not permitted", error=text, refused_on=clock.trading_day(began))


def _ended(account: BrokerAccount, word: str, *, error: str = "", **facts: object) -> str:
    if error:
        logger.info("prices of %s: %s", account.name, error, extra={"account_id": account.pk})
    values = {"read_at": clock.now(), "error": error[:300], **facts}
    PriceFeed.objects.update_or_create(account=account, defaults=values)
    WatchedKey.objects.filter(until__lte=clock.now()).delete()
    return word


# ---------------------------------------------------------------------------- the rows
def _store(instruments: Mapping[str, Instrument], ticks: Iterable[QuoteTick], mark: QuoteSource, every: timedelta, now: datetime) -> list[int]:
    """Stores what is news, a hundred rows a transaction. Returns the instruments with a new price."""
    rows = []
    for tick in ticks:
        instrument = instruments.get(tick.key)
        if instrument and tick.ltp > 0:
            new = _row(instrument, tick, mark, now)
            if _is_news(getattr(instrument, "quote", None), new, every):
                rows.append(new)
    fields = [*FIELDS, "volume", "day_volume", "close", "source", "at"]
    for start in range(0, len(rows), CHUNK):
        Quote.objects.bulk_create(rows[start : start + CHUNK], update_conflicts=True, unique_fields=["instrument"], update_fields=fields)
    return [row.instrument_id for row in rows]


def _row(instrument: Instrument, tick: QuoteTick, mark: QuoteSource, now: datetime) -> Quote:
    values = {name: getattr(tick, name) for name in FIELDS}
    old, at = getattr(instrument, "quote", None), min(tick.at, now)
    facts = {"volume": _traded(old, tick), "day_volume": tick.volume, "close": tick.close or _close(old, mark, at)}
    return Quote(instrument_id=instrument.pk, source=mark, at=at, **facts, **values)


def _close(old: Quote | None, mark: QuoteSource, at: datetime):
    """The close before this price where its source does not say: the last price of the same source before the day."""
    if old is None or old.source != mark:
        return None
    return old.ltp if clock.trading_day(old.at) < clock.trading_day(at) else old.close


def _traded(old: Quote | None, tick: QuoteTick):
    """What was traded since the last price; None when that is not known. Brokers count from the morning."""
    if old is None or old.day_volume is None or tick.volume is None or clock.trading_day(old.at) != clock.trading_day(tick.at):
        return None
    return tick.volume - old.day_volume if tick.volume >= old.day_volume else None


def _is_news(old: Quote | None, new: Quote, every: timedelta) -> bool:
    """An older price never replaces a newer one, unless that was made up and this one is not."""
    if old is None:
        return True
    if new.at < old.at:
        return old.source in MADE_UP and RANK[QuoteSource(new.source)] < RANK[QuoteSource(old.source)]
    changed = any(getattr(old, name) != getattr(new, name) for name in (*FIELDS, "source"))
    return changed or new.at - old.at >= every * 0.9


def _rematch(instruments: Iterable[int]) -> None:
    """Rings for each paper account with an order resting in one of these: its book is matched against the new prices."""
    rests = PaperOrder.objects.filter(instrument__in=list(instruments), status__in=RESTS)
    for account_id in rests.values_list("account_id", flat=True).distinct():
        doorbell.ring_sync(account_id)
