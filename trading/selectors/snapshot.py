"""Builds what the gate looks at: intent, snapshot and limits of one order, read from rows and nowhere else.

The same builder serves the claim (authority) and the queue page (advice). A datum that cannot be read is None, never a guess.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial

from django.db.models import Q

from brokers.models import BrokerAccount, Environment, QuoteSource
from risk import types as risk
from risk.engine import PRICE_FRESH
from risk.models import RiskSettings, Scope, TradingMode
from risk.rules.timing import DEFER_MIN
from trading.domain.orderfsm import State
from trading.models import AfterHours, Order, Source
from trading.selectors import closable, facts, funds, live, pricing, sessions
from trading.selectors.stops import state_of
from tvapp.models import DeskSettings

DEFERRED = ("SESSION_CLOSED", "SESSION_NO_TRADE_WINDOW")
OWN_EXITS = (Source.BRACKET, Source.SQUARE_OFF, Source.CLOSE)
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Question:
    """Everything `risk.engine.evaluate` takes, and the versions of the limit rows that apply."""

    intent: risk.OrderIntent
    snapshot: risk.Snapshot
    limits: Sequence[risk.Limits]
    versions: str


def scopes(order: Order) -> list[str]:
    """Scope keys that apply to an order, from wide to narrow. Ledgers are always bumped in this order."""
    keys = ["GLOBAL", f"ACCOUNT:{order.account_id}"]
    return [*keys, f"STRATEGY:{order.strategy_id}"] if order.strategy_id else keys


def question(
    order: Order, now: datetime, offer: pricing.Offer | None = None, margin: funds.Margin | None = None, *, later: bool = False,
    also: Iterable[str] = (),
) -> Question:  # fmt: skip
    """The question to the gate for this order at this moment; `offer` is how it will be sent, `margin` what its broker wants for it, where known.

    `later`: it is asked again, with the broker's answer, before the order leaves. `also`: limits that are not set, and whose figures are wanted.
    """
    desk, rows = DeskSettings.current(), _limit_rows(order)
    offer, limits = offer or pricing.offer(order, now), _only_named([_limits(row, order, now, desk) for row in rows], order)
    money = partial(funds.funds, said=margin, later=later)
    asked = {name for row in limits for name in row.values} | {*also}
    return Question(_intent(order, offer), _snapshot(order, now, offer, asked, money), limits, _versions(rows))


def _intent(order: Order, offer: pricing.Offer) -> risk.OrderIntent:
    return risk.OrderIntent(
        account=order.account.name, strategy=order.strategy.name if order.strategy_id else "", symbol=order.tradingsymbol, exchange=order.exchange,
        product=order.product, side=order.side, order_type=offer.order_type.replace("_", "-"), quantity=order.quantity or Decimal(0),
        price=offer.price, trigger_price=offer.trigger_price, ref_price=order.ref_price, reduce_only=order.reduce_only,
        mode="SQUARE_OFF" if order.source == Source.SQUARE_OFF else order.mode,
        received_at=order.received_at, fired_at=order.fired_at, off_hours=_off_hours(order), asked=order.requested_quantity,
    )  # fmt: skip


def _off_hours(order: Order) -> str:
    """What becomes of it when its market is closed: what it is already, else what its strategy wants."""
    if order.gtt or order.variety == "amo":
        return AfterHours.GTT if order.gtt else AfterHours.AMO
    return order.strategy.after_hours if order.strategy_id else AfterHours.OFF


def _limit_rows(order: Order) -> list[RiskSettings]:
    wanted = Q(scope=Scope.GLOBAL) | Q(scope=Scope.ACCOUNT, account_id=order.account_id)
    if order.strategy_id and order.strategy.limits_id:
        wanted |= Q(pk=order.strategy.limits_id)
    rank = [Scope.GLOBAL, Scope.ACCOUNT, Scope.STRATEGY]
    return sorted(RiskSettings.objects.filter(wanted), key=lambda r: rank.index(Scope(r.scope)))


def _limits(row: RiskSettings, order: Order, now: datetime, desk: DeskSettings) -> risk.Limits:
    values: dict[str, object] = {name: value for name in row.PARAMETERS if (value := getattr(row, name)) not in (None, "", [], {})}
    _set_age(values, row, order, now, desk)
    if row.scope == Scope.GLOBAL:
        values |= {"market_buffer_pct": desk.market_buffer_pct, "mis_margin_pct": desk.mis_margin_pct}
        own = order.max_age_s or 0 if order.source in OWN_EXITS else 0  # what guards a fill may wait for a person as long as it may wait at all
        values |= {"old_after_s": Decimal(desk.alert_old_manual_min * 60), "dead_after_s": Decimal(max(desk.alert_dead_manual_h * 3600, own))}
        values |= {"future_skew_s": Decimal(desk.future_skew_s)}
    target = {Scope.ACCOUNT: order.account.name, Scope.STRATEGY: order.strategy.name if order.strategy_id else ""}.get(Scope(row.scope), "")
    return risk.Limits(scope=row.scope, target=target, clamp_mode=row.clamp_mode, values=values)


def _only_named(limits: list[risk.Limits], order: Order) -> list[risk.Limits]:
    """With real money an empty allow list does not mean every instrument: it means the one the strategy names, and nothing when it names none."""
    listed = any(row.values.get("symbol_allow_list") for row in limits)
    if listed or not limits or not order.strategy_id or order.account.environment != Environment.LIVE:
        return limits
    here = f"{order.exchange}:{order.tradingsymbol}".upper()
    named = order.strategy.symbol.strip().upper()
    same = named in (here, order.tradingsymbol.upper(), order.tv_symbol.upper())
    nearest = replace(limits[-1], values={**limits[-1].values, "symbol_allow_list": [here if named and same else named]})
    return [*limits[:-1], nearest]


def _set_age(values: dict[str, object], row: RiskSettings, order: Order, now: datetime, desk: DeskSettings) -> None:
    """How old the alert may be: a row's figure, else the strategy's or alert's own, else the desk's; the smaller one where both say something.

    What the desk itself placed to close a position has only its own age. An order that was held for its market may be as old as that took.
    """
    own = order.max_age_s
    if order.source in OWN_EXITS:
        values.pop("max_signal_age", None)
    given = [Decimal(value) for value in (values.get("max_signal_age"), own or None) if value is not None]
    if row.scope == Scope.GLOBAL:
        values["max_signal_age"] = min(given, default=Decimal(desk.alert_age_auto_s))
    most = values.get("max_signal_age")
    if most is not None and now - (order.fired_at or order.received_at) > timedelta(seconds=float(most)) and was_deferred(order):
        values["max_signal_age"] = max(most, Decimal((defer_limit(order) + MINUTE).total_seconds()))


def was_deferred(order: Order) -> bool:
    """Whether it was held until its market opened or a window without entries ended."""
    return order.pk is not None and order.events.filter(to_status=State.HELD, code__in=DEFERRED).exists()


def defer_limit(order: Order) -> timedelta:
    """How long after its alert an order may be held for its market, by the strictest row."""
    given = [row.defer_max_age for row in _limit_rows(order) if row.defer_max_age is not None]
    return timedelta(minutes=float(min(given, default=DEFER_MIN)))


def _versions(rows: Sequence[RiskSettings]) -> str:
    return "/".join(f"{row.scope[0]}{row.pk}v{row.version}" for row in rows)


def _snapshot(
    order: Order, now: datetime, offer: pricing.Offer, asked: Collection[str], money: Callable[..., risk.FundsFacts | None]
) -> risk.Snapshot:
    book = facts.Book(order, now)
    return risk.Snapshot(
        now=now, environment=order.account.environment, instrument=_instrument(order, now), position=closable.position(order, now, book),
        orders=closable.orders(order, now, book), funds=money(order, now, book), quote=_quote(order, now, book),
        counters=facts.counters(order, now, offer.price, asked, book), states=_states(order, now), sessions=sessions.facts(order.exchange, now),
    )  # fmt: skip


def _instrument(order: Order, now: datetime) -> risk.InstrumentFacts:
    row = order.instrument
    if row is None:
        blank = {"kind": "", "tick": None, "lot": None, "freeze": None, "expiry": None, "provisional": False, "resolved": False, "version": ""}
        return risk.InstrumentFacts(
            symbol=order.tradingsymbol, exchange=order.exchange, reason=order.status_reason or "INSTRUMENT_UNKNOWN", as_of=now, **blank
        )
    return risk.InstrumentFacts(
        symbol=row.tradingsymbol, exchange=row.exchange, kind=row.kind, tick=row.tick, lot=row.lot, freeze=row.freeze, expiry=row.expiry,
        provisional=row.provisional, resolved=True, reason="", version=row.as_of.isoformat(), as_of=row.as_of, multiplier=row.multiplier,
    )  # fmt: skip


def _quote(order: Order, now: datetime, book: facts.Book) -> risk.Quote | None:
    """The price of now while it is fresh, else the mark of what the account holds of it; else whatever there is, for the record of its age."""
    row = getattr(order.instrument, "quote", None) if order.instrument_id else None
    mark = next((held.mark for held in book.held if (held.spot.account_id, held.spot.instrument_id) == book.own and held.mark), None)
    serves = row is not None and row.serves(order.account)
    if mark is not None and mark.at is not None and not (serves and now - row.at <= PRICE_FRESH["QUOTE"]):
        return risk.Quote(ltp=mark.price, source="MARK", as_of=mark.at, independent=mark.independent)
    if not serves:
        return None
    return risk.Quote(ltp=row.ltp, bid=row.bid, ask=row.ask, source="QUOTE", as_of=row.at, independent=row.source != QuoteSource.ALERT)


def _states(order: Order, now: datetime) -> risk.StateFacts:
    row = state_of(scopes(order))
    account: BrokerAccount = order.account
    bar, armed = ("", False) if not live.is_live(account) else (live.barred(), live.armed(order, now))
    return risk.StateFacts(
        state=row.state if row else TradingMode.ACTIVE, scope=_label(order, row.scope) if row else "", reason=row.reason if row else "",
        account_state=account.state, account_enabled=account.enabled, strategy_enabled=not order.strategy_id or order.strategy.enabled,
        live_allowed=not bar, live_word=bar, armed=armed, refusal=_refusal(order), as_of=now,
    )  # fmt: skip


def _label(order: Order, key: str) -> str:
    """The scope as findings name it: by the name of the order's account or strategy, not by its number."""
    kind = key.partition(":")[0]
    row = {"ACCOUNT": order.account, "STRATEGY": order.strategy}.get(kind)
    return f"{kind}:{row.name}" if row else key


def _refusal(order: Order) -> str:
    """The code of a refusal nobody acknowledged yet; the claim reads the row behind the ledgers."""
    return str((order.strategy.refusal or {}).get("code", "")) if order.strategy_id else ""
