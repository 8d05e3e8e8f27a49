"""From a signal to an order: which instrument, how much, and whether a person has to look first. Runs inside ingest's transaction."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import ROUND_FLOOR, Decimal

from brokers import registry
from brokers.models import BrokerAccount, Instrument
from risk.codes import WAITS, Code
from trading.domain import brackets as domain_brackets
from trading.domain import intents, orderfsm
from trading.domain import signal as signals
from trading.domain.orderfsm import State
from trading.domain.signal import Signal as Parsed
from trading.domain.sizing import BY_MONEY, Sizing
from trading.domain.types import Action, Effect, Intent, QuantityUnit, SizingMethod
from trading.domain.types import OrderType as SignalType
from trading.domain.types import Product as SignalProduct
from trading.models import Alert, Level, Mode, OnDrift, Order, Position, Product, Signal, Source, Strategy
from trading.selectors import brackets, capital, instruments
from trading.services import orders, positions, sysevents
from tvapp.lib import clock
from tvapp.lib.errors import AppError
from tvapp.models import DeskSettings

ACTOR = "router"
SLIPPAGE_STEP = Decimal("0.001")
REPLANNED = (
    "instrument", "exchange", "tradingsymbol", "side", "reduce_only", "requested_quantity", "quantity", "order_type", "price", "trigger_price",
    "ref_price", "product", "validity", "max_slippage_pct", "brackets",
)  # fmt: skip
MOST_DIGITS = 15  # SQLite keeps no more of a number

# Routing speaks about these before the gate has anything to measure.
_EARLY = {
    Code.STRATEGY_DISABLED: "The strategy is switched off.",
    Code.SIGNAL_IN_FUTURE: "The alert claims to have fired in the future; check the clocks.",
    Code.SIGNAL_TOO_OLD: "The alert arrived too long after it fired.",
}


def sentence(code: str) -> str:
    """What a routing code says to a trader; empty for no code, and for one that only the gate can put into words."""
    if code not in Code.__members__:
        return ""
    known = Code(code)
    text = _EARLY.get(known) or ("" if "{" in known.sentence else known.sentence[0].upper() + known.sentence[1:] + ".")
    return text + " It waits for you." if known.effect == WAITS else text


@dataclass(frozen=True)
class Routed:
    """What became of one signal: an order, or nothing to do (`ignored`) with its code and sentence."""

    order: Order | None
    ignored: bool = False
    code: str = ""
    text: str = ""


@dataclass(frozen=True)
class Case:
    """One signal with everything routing looks at."""

    row: Signal
    parsed: Parsed
    alert: Alert
    account: BrokerAccount
    problem: str
    strategy: Strategy | None
    found: instruments.Found
    product: str  # what the order will have
    held: Decimal | None  # the strategy's position in it; None while the instrument is not known


def place(row: Signal, parsed: Parsed, alert: Alert, account: BrokerAccount, problem: str) -> Routed:
    """Makes the order of a signal, in WAITING, QUEUED or STALE, or says why there is nothing to do."""
    case = _case(row, parsed, alert, account, problem, clock.trading_day(alert.received_at))
    plan = _plan(case)
    if plan.action == intents.PlanAction.CANCEL:
        return _cancel(case)
    if plan.action == intents.PlanAction.NO_ACTION:
        return Routed(None, True, "NO_ACTION", sentence("NO_ACTION"))
    return _order(case, _possible(case, _guarded(case, plan)))


def _possible(case: Case, plan: intents.Plan) -> intents.Plan:
    """The plan, told to wait when the account's broker does not know such an order."""
    fault = _cannot(case, plan)
    return replace(plan, reasons=(*plan.reasons, Code.BROKER_CANNOT.value), notes=(*plan.notes, fault)) if fault else plan


def _cannot(case: Case, plan: intents.Plan) -> str:
    caps, legs = registry.caps_for(case.account.broker), case.parsed.iceberg_legs or 0
    broker, validity = case.account.get_broker_display(), str(plan.validity or "DAY")
    if str(plan.product) not in caps.products:
        return f"{broker} has no product {plan.product}."
    if validity not in caps.validities:
        return f"{broker} has no validity {validity}."
    if validity == "TTL" and not case.parsed.validity_minutes:
        return "The validity TTL needs its minutes (validity_minutes)."
    if legs and not caps.iceberg:
        return f"{broker} takes no iceberg orders."
    return "An iceberg needs a limit price." if legs and plan.order_type != SignalType.LIMIT else ""


def _guarded(case: Case, plan: intents.Plan) -> intents.Plan:
    """The plan, told to wait when the account's broker cannot keep the stop and target it came with."""
    if not plan.brackets or intents.WaitReason.BRACKET_UNSUPPORTED in plan.reasons or case.found.instrument is None:
        return plan
    fault = brackets.fault(Order(**_fields(case, plan)))
    if not fault:
        return plan
    reasons, note = (*plan.reasons, intents.WaitReason.BRACKET_UNSUPPORTED.value), f"{fault} The order waits rather than go without."
    return replace(plan, reasons=reasons, notes=(*plan.notes, note))


def _case(row: Signal, parsed: Parsed, alert: Alert, account: BrokerAccount, problem: str, today: date) -> Case:
    found = instruments.resolve(parsed, account, today, alert.strategy)
    product = _product_of(alert.strategy, parsed, account, found.instrument)
    held = _position(alert.strategy, account, found.instrument, product) if found.instrument else None
    return Case(row, parsed, alert, account, problem, alert.strategy, found, product, held)


def resolve_again(order: Order, *, actor: str, said: str = "") -> bool:
    """Looks for the instrument of a WAITING order once more and plans it as if its alert had just come: the same order, which goes on waiting.

    What a person edited stays as edited. False: there is still no instrument, or the order changed meanwhile; nothing was written.
    `order` is read with account, strategy, alert and signal; `said` begins the line in its story, else it is how the instrument was found.
    """
    if order.status != State.WAITING or order.signal is None or order.alert is None:
        return False
    now = clock.now()
    problem = "STRATEGY_UNKNOWN" if order.strategy is None else "" if order.strategy.enabled else "STRATEGY_DISABLED"
    case = _case(order.signal, signals.from_data(order.signal.data), order.alert, order.account, problem, clock.trading_day(now))
    if case.found.instrument is None:
        return False
    plan = _guarded(case, _plan(case))
    reasons = ["NO_ACTION"] if plan.action == intents.PlanAction.NO_ACTION else _reasons(case, plan, now)
    changes = _replanned(order, case, plan)
    code = next(iter(reasons), "")
    waits = _reason_text(case, code) if code else "It waits for your decision."
    why = " ".join(part for part in (said or case.found.note, waits, *plan.notes) if part)
    text = said or f"{actor} looked again. {case.found.note or f'It is {case.found.instrument.key}.'}"
    data = {"reasons": reasons, "notes": list(plan.notes), "resolution": case.found.note}
    return orders.note(order, "MAPPED", text, actor=actor, code=code, data=data, status_reason=code, why=why, **changes)


def _replanned(order: Order, case: Case, plan: intents.Plan) -> dict[str, object]:
    """What the plan sets anew. Where it finds nothing to do only the instrument is set: the gate judges the rest when a person executes it."""
    fields = _fields(case, plan)
    names = [n for n in REPLANNED if n in fields] if plan.action == intents.PlanAction.ORDER else ["instrument", "exchange", "tradingsymbol"]
    edited = {name for event in order.events.filter(kind="EDITED") for name in event.data.get("changes", {})}
    return {name: fields[name] for name in names if name not in edited and not (name == "side" and not plan.side)}


def check_values(parsed: Parsed) -> None:
    """What no order of ours can carry is refused here, before anything is stored."""
    names = ("quantity", "limit_price", "trigger_price", "ref_price", *(["target_position"] if parsed.intent == Intent.TARGET else []))
    for name in names:
        value = getattr(parsed, name)
        if value is not None and round(value, 8) != value:
            raise AppError("BAD_NUMBER", f"{name} has more than 8 decimals.", extra={"field": name})
        if value is not None and len(value.normalize().as_tuple().digits) > MOST_DIGITS:
            raise AppError("BAD_NUMBER", f"{name} has more than {MOST_DIGITS} digits.", extra={"field": name})


def _plan(case: Case) -> intents.Plan:
    instrument, wanted = case.found.instrument, _product(case.strategy, case.parsed)
    plan = intents.plan(
        case.parsed if case.product == wanted else replace(case.parsed, product=None),
        position=case.held,
        sellable=_sellable(case) if instrument else None,
        lot=instrument.lot if instrument else None,
        tick=instrument.tick if instrument else None,
        sizing=_sizing(case),
        defaults=_defaults(case),
    )
    return plan if case.product == wanted else replace(plan, notes=(*plan.notes, f"It closes the {case.product} position; {wanted} has none."))


def _sizing(case: Case) -> Sizing:
    strategy, instrument = case.strategy, case.found.instrument
    method, value = (SizingMethod(strategy.sizing), strategy.sizing_value) if strategy else (SizingMethod.FROM_SIGNAL, None)
    plain_figure = method not in BY_MONEY and case.parsed.quantity_unit in (None, QuantityUnit.UNITS, QuantityUnit.LOTS)
    if plain_figure or instrument is None:
        return Sizing(method, value)
    base, price = capital.capital_of(strategy, case.account), capital.fresh_price(instrument, case.account, clock.now())
    return Sizing(method, value, base, instrument.multiplier, price)


def _sellable(case: Case) -> Decimal:
    """What the account holds of it over all strategies: shares bought elsewhere may be sold, too."""
    rows = Position.objects.filter(account=case.account, instrument=case.found.instrument, product=case.product)
    return max(sum(rows.values_list("quantity", flat=True), Decimal(0)), Decimal(0))


def _defaults(case: Case) -> intents.Defaults:
    strategy, other = case.strategy, case.product != _product(case.strategy, case.parsed)
    if strategy is None:
        return intents.Defaults(case.product if other else SignalProduct.MIS)
    return intents.Defaults(case.product if other else strategy.default_product, strategy.product_from_signal, strategy.default_order_type)


def _product_of(strategy: Strategy | None, parsed: Parsed, account: BrokerAccount, instrument: Instrument | None) -> str:
    """The product the order will have. An exit closes what there is: with nothing in its own product, the only other one that is held."""
    wanted, flat = _product(strategy, parsed), parsed.intent == Intent.TARGET and parsed.target_position == 0
    closes = flat or parsed.intent == Intent.FLAT or parsed.action == Action.EXIT or parsed.effect == Effect.EXIT
    if instrument is None or not closes:
        return wanted
    book = positions.book_of(strategy.pk if strategy else None)
    held = set(Position.objects.filter(account=account, instrument=instrument, book=book).exclude(quantity=0).values_list("product", flat=True))
    return held.pop() if len(held) == 1 else wanted


def _product(strategy: Strategy | None, parsed: Parsed) -> str:
    """The product that was asked for: the alert's where the strategy lets it speak, else the default."""
    free = strategy is None or strategy.product_from_signal
    return str(parsed.product if free and parsed.product else strategy.default_product if strategy else SignalProduct.MIS)


def _position(strategy: Strategy | None, account: BrokerAccount, instrument: Instrument, product: str) -> Decimal:
    """This strategy's signed position on the instrument, with what its live orders may still fill."""
    key = {"account": account, "instrument": instrument, "product": product}
    book = positions.book_of(strategy.pk if strategy else None)
    held = Position.objects.filter(**key, book=book).values_list("quantity", flat=True).first() or Decimal(0)
    working = [State.QUEUED, *orderfsm.MAYBE_LIVE, *orderfsm.LIVE]
    live = Order.objects.filter(**key, strategy=strategy, status__in=working).exclude(source=Source.BRACKET)  # of a pair one fills, and only perhaps
    rests = live.values_list("side", "quantity", "filled_quantity")
    return held + sum(((q - f) * (1 if side == "BUY" else -1) for side, q, f in rests if q is not None), Decimal(0))


def _order(case: Case, plan: intents.Plan) -> Routed:
    now = clock.now()
    reasons = _reasons(case, plan, now)
    auto = case.strategy is not None and case.strategy.mode == Mode.AUTO and not reasons
    stale = _too_old(case, now, auto=auto)
    status = State.STALE if stale else State.QUEUED if auto else State.WAITING
    code = "SIGNAL_TOO_OLD" if stale else next(iter(reasons), "")
    text = _text(case, plan, status, code, now)
    fields = _fields(case, plan) | {"mode": Mode.AUTO if auto else Mode.MANUAL}
    data = {"reasons": reasons, "notes": list(plan.notes), "resolution": case.found.note}
    order = orders.create(status, code=code, text=text, actor=case.strategy.name if case.strategy else ACTOR, data=data, **fields)
    if reasons:
        _warn(case, order, reasons)
    return Routed(order, ignored=stale, code=code if stale else "", text=text)


def _fields(case: Case, plan: intents.Plan) -> dict[str, object]:
    instrument: Instrument | None = case.found.instrument
    exchange = instrument.exchange if instrument else (case.parsed.tv_exchange or "")
    symbol = instrument.tradingsymbol if instrument else (case.parsed.tv_symbol or "")
    return {
        "owner": case.alert.owner, "alert": case.alert, "signal": case.row, "strategy": case.strategy, "account": case.account,
        "instrument": instrument, "exchange": exchange[:12], "tradingsymbol": symbol[:64], "tv_symbol": case.alert.symbol, "side": str(plan.side),
        "reduce_only": plan.reduce_only, "requested_quantity": plan.quantity, "quantity": plan.quantity, "order_type": _order_type(plan),
        "price": plan.price, "trigger_price": plan.trigger_price, "ref_price": plan.ref_price, "product": _known_product(plan),
        "validity": str(plan.validity or "DAY"), "simulated": case.account.environment != "LIVE", "correlation_id": case.alert.correlation_id,
        "max_slippage_pct": _slippage(case), "validity_minutes": case.parsed.validity_minutes or 0, "iceberg_legs": case.parsed.iceberg_legs or 0,
        "fired_at": case.parsed.fired_at, "received_at": case.alert.received_at, "max_age_s": _max_age(case),
        "brackets": domain_brackets.to_data(plan.brackets),
    }  # fmt: skip


def _known_product(plan: intents.Plan) -> str:
    return str(plan.product) if str(plan.product) in Product.values else Product.MIS


def _order_type(plan: intents.Plan) -> str:
    """A trailing stop waits as a plain stop-market: it carries BRACKET_UNSUPPORTED and cannot leave by itself."""
    return str(plan.order_type) if plan.order_type != SignalType.TRAILING else "SL_M"


def _slippage(case: Case) -> Decimal | None:
    """The strategy's limit; an alert may only ask for less."""
    given = [pct for pct in (case.strategy and case.strategy.max_slippage_pct, case.parsed.max_slippage_pct) if pct and 0 < pct < 100]
    return max(min(given).quantize(SLIPPAGE_STEP, ROUND_FLOOR), SLIPPAGE_STEP) if given else None


def _max_age(case: Case) -> int | None:
    return case.parsed.max_age_s or (case.strategy.max_age_s if case.strategy else None)


def _reasons(case: Case, plan: intents.Plan, now: datetime) -> list[str]:
    """Why a person has to look, the gravest first; empty when nothing stands in the way."""
    strategy, found = case.strategy, case.found
    checks = (
        (found.reason, bool(found.reason)),
        (case.problem, bool(case.problem)),
        ("DELAYED_DATA", bool(case.parsed.extras.get("delayed"))),
        ("SYMBOL_OTHER", strategy is not None and not _own_symbol(strategy, case)),
        ("OUTSIDE_HOURS", strategy is not None and strategy.mode == Mode.AUTO and not _inside_hours(strategy, now)),
        ("SIGNAL_IN_FUTURE", _age_s(case, now) < -DeskSettings.current().future_skew_s),
        ("SENDER_POSITION_DRIFT", _drifted(case)),
    )
    return [code for code, true in checks if true] + [str(r) for r in plan.reasons]


def _own_symbol(strategy: Strategy, case: Case) -> bool:
    """Whether the alert is about the one symbol the strategy trades, as TradingView or as the exchange names it."""
    if not strategy.symbol:
        return True
    wanted, instrument = strategy.symbol.strip().upper(), case.found.instrument
    names = {case.alert.symbol, case.parsed.tv_symbol or ""} | ({instrument.key, instrument.tradingsymbol} if instrument else set())
    return wanted in {n.upper() for n in names}


def _inside_hours(strategy: Strategy, now: datetime) -> bool:
    at = now.astimezone(clock.IST).time()
    return (strategy.hours_from is None or at >= strategy.hours_from) and (strategy.hours_to is None or at <= strategy.hours_to)


def _age_s(case: Case, now: datetime) -> float:
    return (now - (case.parsed.fired_at or case.alert.received_at)).total_seconds()


def _too_old(case: Case, now: datetime, *, auto: bool) -> bool:
    desk = DeskSettings.current()
    limit = (_max_age(case) or desk.alert_age_auto_s) if auto else desk.alert_dead_manual_h * 3600
    return _age_s(case, now) > limit


def _drifted(case: Case) -> bool:
    """The sender said what it held before, and the desk holds something else; a hold only where the strategy wants one."""
    if case.held is None or case.strategy is None:
        return False
    said = intents.sender_drift(case.parsed, case.held)
    if not said:
        return False
    text = f"{case.strategy.name}, {case.alert.symbol}: {said}"
    sysevents.record("alert", "SENDER_POSITION_DRIFT", text, level=Level.WARNING, owner=case.alert.owner, alert=case.alert)
    return case.strategy.on_drift == OnDrift.HOLD


def _text(case: Case, plan: intents.Plan, status: State, code: str, now: datetime) -> str:
    if status == State.STALE:
        said = f"Not sent: the alert fired {_age_s(case, now):.0f} s before it could be used."
    elif status == State.QUEUED:
        said = f"Released by {case.strategy}: the strategy is automatic."
    else:
        said = _reason_text(case, code) if code else f"Waits for your decision: {case.strategy} is manual."
    return " ".join(part for part in (said, *plan.notes) if part) or code


def _reason_text(case: Case, code: str) -> str:
    """Why it waits. A symbol that was not found is explained by the search itself, a plan's own reason by its notes."""
    return case.found.note if code == case.found.reason else sentence(code)


def _warn(case: Case, order: Order, reasons: Sequence[str]) -> None:
    """Only what an automatic strategy did not expect is worth an event; a manual alert waits anyway."""
    unexpected = [r for r in reasons if r not in ("QUANTITY_UNKNOWN", "OUTSIDE_HOURS")]
    if unexpected:
        closes = order.reduce_only or case.parsed.target_position == 0  # the sender is flat afterwards
        exit_order = " An exit is affected." if closes else ""
        text = f"Order {order.pk} waits. {_reason_text(case, unexpected[0]) or order.why}{exit_order}"
        level = Level.ERROR if closes else Level.WARNING
        sysevents.record("alert", unexpected[0], text, level=level, owner=order.owner, order=order, alert=case.alert)


def _cancel(case: Case) -> Routed:
    rows = Order.objects.filter(strategy=case.strategy, account=case.account, instrument=case.found.instrument).exclude(strategy=None)
    working = rows.filter(status__in=[*orderfsm.CANCEL_HERE, *orderfsm.LIVE]).exclude(source=Source.BRACKET)  # what guards a position stays
    for order in working.select_related("account").order_by("pk"):
        orders.cancel(order, actor=case.strategy.name)
    return Routed(None, True, "CANCEL_DONE", sentence("CANCEL_DONE"))
