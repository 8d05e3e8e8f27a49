"""What must hold for every order, every position and every set of limits."""

from dataclasses import fields, replace
from decimal import Decimal as D
from decimal import localcontext

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from risk.engine import ARITHMETIC, case_of
from risk.types import Counters, Limits, OrdersFacts, PositionFacts, ScopeFacts
from tests.risk.cases import FUNDS, INFY, NIFTY, NOW, OPEN, READY, SCOPES, counted, desk, evaluate, order, quoted

many = settings(max_examples=60, deadline=None)
many = settings(max_examples=100, deadline=None)
STOPPED = ("REJECT", "DEFER")

figures = st.one_of(
    st.integers(1, 400).map(D),
    st.decimals(D("0.00000001"), D(10) ** 12, places=8, allow_nan=False, allow_infinity=False),
    st.sampled_from([D("1E-8"), D("1E+12"), D(75), D(150)]),
)
maybe = st.one_of(st.none(), figures)
instruments = st.sampled_from([
    INFY,
    NIFTY,
    replace(INFY, lot=D("1E-8"), tick=D("1E-8")),
    replace(INFY, lot=D(10), min_quantity=D(30)),
    replace(INFY, lot=D("0.001"), min_notional=D(500)),
])
positions = st.builds(
    lambda net, sellable, closing: PositionFacts(D(net), D(sellable), D(closing), NOW),
    st.integers(-300, 300), st.integers(0, 300), st.integers(0, 200),
)
intents = st.builds(
    order,
    st.sampled_from(["BUY", "SELL"]),
    st.one_of(st.integers(1, 400).map(D), st.integers(1, 6).map(lambda lots: D(75 * lots)), figures),
    st.one_of(st.none(), st.integers(1, 5000).map(D)),
    product=st.sampled_from(["CNC", "MIS", "NRML"]),
    mode=st.sampled_from(["AUTO", "MANUAL"]),
    reduce_only=st.sampled_from([False, False, False, True]),
    ref_price=st.sampled_from([D(100), D(90), D(2812), None]),
    fired_at=st.sampled_from([None, NOW]),
)
rupees = st.integers(-60000, 60000).map(D)
spent = st.integers(0, 40000).map(D)
few = st.integers(0, 4)
scope_facts = st.builds(
    ScopeFacts, open_symbols=few, holds_symbol=st.booleans(), open_orders=few, orders_minute=few, orders_day=few, repeats_minute=few,
    symbol_trades_day=few, lots_day=few.map(D), bars_since_entry=st.one_of(st.none(), few.map(D)), closed_s_ago=st.one_of(st.none(), spent),
    loss_streak=few, net_value=rupees, buys=spent, sells=spent, others=spent, realised=rupees, unrealised=rupees, charges=few.map(D),
    drawdown_pct=st.integers(0, 12).map(D),
)
quiet = st.just(counted())
counters = st.one_of(quiet, quiet, st.lists(scope_facts, min_size=3, max_size=3).map(lambda facts: Counters(dict(zip(SCOPES, facts, strict=True)), as_of=NOW)))
funds = st.sampled_from([FUNDS, FUNDS, replace(FUNDS, available=D(30000)), replace(FUNDS, available=D(0))])
sessions = st.sampled_from([OPEN, OPEN, OPEN, replace(OPEN, open=False), replace(OPEN, open=False, next_open=NOW)])
counts = st.sampled_from([3, 5, 9]).map(D)
values_of_counts = dict.fromkeys(("max_open_positions", "max_open_orders", "max_orders_per_minute", "max_orders_per_day", "max_repeats_per_minute", "max_trades_per_symbol_day", "max_loss_streak", "max_lots_per_day"), counts)
sums = st.integers(1, 120).map(lambda thousands: D(thousands * 1000))
new_values = {
    **values_of_counts,
    "max_lots_per_order": st.integers(1, 4).map(D),
    "max_symbol_exposure": sums,
    "max_gross_exposure": sums,
    "max_daily_loss": sums,
    "max_drawdown_pct": st.sampled_from([D(8), D(20), D(30)]),
    "margin_buffer_pct": st.sampled_from([D(0), D(5)]),
    "collar_aggressive_pct": st.sampled_from([D(3), D(30)]),
    "collar_passive_pct": st.sampled_from([D(20), D(90)]),
    "collar_without_quote": st.sampled_from(["REJECT", "WARN", "WARN"]),
    "session_policy": st.sampled_from(["REJECT", "DEFER", "WARN"]),
    "no_trade_windows": st.sampled_from([[], [], ["09:15-09:20"], ["09:50-10:00 DEFER"]]),
    "entry_cutoff": st.sampled_from([{}, {"MIS": "15:00"}, {"CNC": "09:30", "NSE:MIS": "15:10"}]),
    "min_bars_between": st.integers(1, 3).map(D),
    "cooldown_minutes": st.integers(1, 30).map(D),
}
values = st.fixed_dictionaries({}, optional={
    "max_quantity_per_order": st.one_of(st.integers(20, 300).map(D), figures),
    "max_order_value": st.one_of(st.integers(1, 90).map(lambda thousands: D(thousands * 1000)), figures),
    "allow_short_selling": st.sampled_from([True, True, False]),
    "market_buffer_pct": st.integers(0, 5),
    "max_signal_age": st.integers(1, 90),
    "symbol_deny_list": st.sampled_from([[], [], [], ["NSE:SBIN"], ["NSE:SBIN"], ["INFY"]]),
    "symbol_allow_list": st.sampled_from([[], [], [], ["NSE:INFY"], ["INFY"], ["SBIN"]]),
})
one_or_two = st.lists(st.sampled_from(sorted(new_values)), max_size=2, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({name: new_values[name] for name in names})
)
values = st.tuples(values, one_or_two).map(lambda pair: pair[0] | pair[1])
limit_rows = st.lists(
    st.builds(
        Limits,
        st.sampled_from(["GLOBAL", "ACCOUNT", "STRATEGY"]), st.just(""), st.sampled_from(["CLAMP", "CLAMP", "REJECT"]), values,
    ),
    max_size=4,
)
desks = st.builds(
    desk,
    st.sampled_from(["LIVE", "PAPER"]),
    instrument=instruments,
    position=positions,
    orders=st.sampled_from([OrdersFacts(0, NOW)] * 9 + [OrdersFacts(1, NOW)]),
    states=st.sampled_from([READY] * 12 + [replace(READY, state="REDUCING"), replace(READY, state="HALTED"), replace(READY, armed=False)]),
    quote=st.sampled_from([None, quoted(100), quoted("2812.4"), quoted(900, age=30)]),
    counters=counters, funds=funds, sessions=sessions,
)


@many
@given(intents, desks, limit_rows)
def test_it_never_enlarges_and_stays_on_the_lot(intent, facts, limits):
    decision = evaluate(intent, facts, limits)
    assert 0 <= decision.final <= intent.quantity
    assert (decision.final == 0) == (decision.verdict in STOPPED)
    assert (decision.final == intent.quantity) == (decision.verdict == "ALLOW")
    position = facts.position
    held = position.sellable if intent.product == "CNC" and intent.side == "SELL" else position.net * (1 if intent.side == "SELL" else -1)
    assert decision.final % facts.instrument.lot == 0 or decision.final == held - position.closing


calm_desks = st.builds(
    desk, instrument=st.sampled_from([INFY, NIFTY]), position=positions, quote=st.sampled_from([None, quoted(100)]), counters=counters, funds=funds,
)
cuts = {
    "max_quantity_per_order": st.integers(20, 300).map(D), "max_order_value": st.integers(1, 90).map(lambda thousands: D(thousands * 1000)),
    "max_lots_per_order": st.integers(1, 4).map(D), "max_lots_per_day": st.integers(3, 9).map(D), "max_symbol_exposure": sums,
    "max_gross_exposure": sums, "margin_buffer_pct": st.sampled_from([D(0), D(5)]), "max_drawdown_pct": st.sampled_from([D(8), D(20), D(30)]),
}
calm_rows = st.lists(
    st.builds(
        Limits, st.sampled_from(["GLOBAL", "ACCOUNT", "STRATEGY"]), st.just(""), st.just("CLAMP"),
        st.fixed_dictionaries({"allow_short_selling": st.sampled_from([True, True, False])}, optional=cuts),
    ),
    min_size=1, max_size=3,
)
calm_intents = st.builds(
    order, st.sampled_from(["BUY", "SELL"]), st.integers(1, 400), st.sampled_from([None, 90, 2000]), product=st.sampled_from(["CNC", "MIS"])
)


@many
@given(st.one_of(calm_intents, intents), calm_desks, calm_rows)
def test_it_allows_what_it_left(intent, facts, limits):
    decision = evaluate(intent, facts, limits)
    assume(decision.final > 0)
    again = evaluate(replace(intent, quantity=decision.final, asked=intent.quantity), facts, limits)
    assert (again.verdict, again.final) == ("ALLOW", decision.final)


@many
@given(calm_intents, calm_desks, calm_rows, st.sampled_from(sorted(cuts.keys() - {"margin_buffer_pct"})), st.integers(1, 300))
def test_it_cuts_more_under_a_tighter_cut(intent, facts, limits, name, figure):
    loose, tight = ([*limits, Limits("ACCOUNT", "", "CLAMP", {name: value})] for value in (figure * 100, figure))
    assert evaluate(intent, facts, tight).final <= evaluate(intent, facts, loose).final <= evaluate(intent, facts, limits).final


TIGHTER = {
    "max_quantity_per_order": lambda v: v / 3,
    "max_order_value": lambda v: v * D("0.7"),
    "allow_short_selling": lambda v: False,
    "market_buffer_pct": lambda v: v + 2,
    "max_signal_age": lambda v: v - 30,
    "symbol_deny_list": lambda v: [*v, "NSE:INFY"],
    "symbol_allow_list": lambda v: ["NSE:SBIN"],
    **{name: lambda v: v / 3 for name in (*values_of_counts, "max_lots_per_order", "max_daily_loss", "max_drawdown_pct")},
    **{name: lambda v: v * D("0.7") for name in ("max_symbol_exposure", "max_gross_exposure", "collar_aggressive_pct", "collar_passive_pct")},
    **{name: lambda v: v + 5 for name in ("margin_buffer_pct", "min_bars_between", "cooldown_minutes")},
    **{name: lambda v: "REJECT" for name in ("collar_without_quote", "session_policy")},
    "no_trade_windows": lambda v: [*v, "09:50-10:00"],
    "entry_cutoff": lambda v: {**v, "NSE:MIS": "09:40"},
}


@many
@given(st.one_of(calm_intents, intents), st.one_of(calm_desks, desks), st.one_of(calm_rows, limit_rows.filter(bool)), st.data())
def test_it_never_gives_more_under_a_tighter_limit(intent, facts, limits, data):
    index = data.draw(st.integers(0, len(limits) - 1))
    row = limits[index]
    name = data.draw(st.sampled_from(["clamp_mode", *row.values]))
    tight = replace(row, clamp_mode="REJECT") if name == "clamp_mode" else replace(
        row, values={**row.values, name: TIGHTER[name](row.values[name])}
    )
    before, after = evaluate(intent, facts, limits), evaluate(intent, facts, [*limits[:index], tight, *limits[index + 1 :]])
    assert after.final <= before.final
    assert before.verdict not in STOPPED or after.verdict in STOPPED


@many
@given(intents, desks, limit_rows, st.sampled_from(sorted(cuts)), figures)
def test_it_never_gives_more_under_one_more_limit(intent, facts, limits, name, figure):
    row = Limits("ACCOUNT", "", "CLAMP", {name: figure})
    before, after = evaluate(intent, facts, limits), evaluate(intent, facts, [*limits, row])
    assert after.final <= before.final


@many
@given(intents, desks, limit_rows.flatmap(lambda limits: st.tuples(st.just(limits), st.permutations(limits))))
def test_it_does_not_care_for_the_order_of_the_rows(intent, facts, pair):
    turned = replace(facts, counters=replace(facts.counters, scopes=dict(reversed(facts.counters.scopes.items()))))
    assert evaluate(intent, facts, pair[0]) == evaluate(intent, turned, pair[1]) == evaluate(intent, facts, pair[0])


PARTS = [("instrument", n) for n in (None, "tick", "lot", "as_of")]
PARTS += [("position", n) for n in (None, "as_of")] + [("orders", None), ("quote", None), ("quote", "ltp"), ("quote", "as_of")]
PARTS += [("counters", None), ("funds", None), ("funds", "available"), ("funds", "as_of"), ("sessions", None), ("sessions", "open")]
PARTS += [("states", n) for n in (None, "state", "account_state", "account_enabled", "strategy_enabled", "live_allowed", "armed")]


@many
@given(intents, desks, limit_rows, st.sampled_from(PARTS))
def test_it_never_lets_a_live_entry_through_for_want_of_a_datum(intent, facts, limits, part):
    name, inner = part
    facts, intent = replace(facts, environment="LIVE"), replace(intent, reduce_only=False, ref_price=None)
    limits = [replace(row, values={k: v for k, v in row.values.items() if k != "collar_without_quote"}) for row in limits]  # a person's word to go blind
    before = evaluate(intent, facts, limits)
    known = getattr(facts, name)
    assume(before.order_class == "ENTRY" and known is not None)
    after = evaluate(intent, replace(facts, **{name: replace(known, **{inner: None}) if inner else None}), limits)
    assert after.final <= before.final
    assert before.verdict not in STOPPED or after.verdict in STOPPED


UNKNOWABLE = ("open_symbols", "open_orders", "orders_minute", "orders_day", "repeats_minute", "symbol_trades_day", "lots_day", "loss_streak")
UNKNOWABLE += ("net_value", "buys", "sells", "others", "realised", "unrealised", "charges", "drawdown_pct")


@many
@given(intents, desks, limit_rows.filter(bool), st.sampled_from(SCOPES), st.sampled_from([None, *UNKNOWABLE]))
def test_it_never_lets_a_live_entry_through_for_want_of_a_figure(intent, facts, limits, scope, name):
    facts, intent = replace(facts, environment="LIVE"), replace(intent, reduce_only=False)
    before = evaluate(intent, facts, limits)
    assume(before.order_class == "ENTRY")
    known = facts.counters.scopes
    less = {k: v for k, v in known.items() if k != scope} if name is None else known | {scope: replace(known[scope], **{name: None})}
    after = evaluate(intent, replace(facts, counters=replace(facts.counters, scopes=less)), limits)
    assert after.final <= before.final
    assert before.verdict not in STOPPED or after.verdict in STOPPED


CAPS = {
    "max_open_positions": lambda f: f.open_symbols + (not f.holds_symbol), "max_open_orders": lambda f: f.open_orders + 1,
    "max_orders_per_minute": lambda f: f.orders_minute + 1, "max_orders_per_day": lambda f: f.orders_day + 1,
    "max_repeats_per_minute": lambda f: f.repeats_minute + 1, "max_trades_per_symbol_day": lambda f: f.symbol_trades_day + 1,
    "max_loss_streak": lambda f: f.loss_streak + 1, "max_daily_loss": lambda f: max(D(0), -f.day_pnl) + D("1E-9"),
    "max_drawdown_pct": lambda f: f.drawdown_pct + D("1E-9"),
}


def projected(name, case, final, facts):
    """What a cap is held against once `final` is on its way, worked out anew."""
    unit, closable = case.unit_value, case.closable
    opened, buying = final - min(final, closable), case.intent.side == "BUY"
    buys, sells = facts.buys + (final * unit if buying else 0), facts.sells + (0 if buying else final * unit)
    symbol = max(abs(facts.net_value + buys), abs(facts.net_value - sells))
    derivative = case.snapshot.instrument.kind == "FUT"
    return {
        "max_quantity_per_order": opened, "max_order_value": opened * unit, "max_symbol_exposure": symbol, "max_gross_exposure": facts.others + symbol,
        "max_lots_per_order": opened / case.lot if derivative else 0, "max_lots_per_day": facts.lots_day + opened / case.lot if derivative else 0,
    }[name]


@many
@given(calm_intents, calm_desks, st.one_of(calm_rows, calm_rows, limit_rows))
def test_it_never_lets_a_projected_value_exceed_a_cap_in_force(intent, facts, limits):
    final = evaluate(intent, facts, limits).final
    with localcontext(ARITHMETIC):
        case = case_of(intent, facts, limits)
        for row in limits if final > case.closable else []:
            known = facts.counters.scopes[{"GLOBAL": "GLOBAL", "ACCOUNT": "ACCOUNT:paper", "STRATEGY": "STRATEGY:breakout"}[row.scope]]
            for name, cap in row.values.items():
                if name in CAPS:
                    least = known.open_symbols if name == "max_open_positions" and known.holds_symbol else 0
                    assert CAPS[name](known) <= max(D(cap), least), name
                elif name in (*cuts, "max_lots_per_day") and name != "margin_buffer_pct":
                    assert projected(name, case, final, known) <= D(cap), name
                elif name == "margin_buffer_pct" and facts.instrument.kind == "EQ":
                    assert (final - case.closable) * case.unit_value <= facts.funds.available * (100 - D(cap)) / 100


@many
@given(st.integers(1, 300), st.integers(0, 200), st.integers(0, 200), limit_rows, st.sampled_from(["CNC", "MIS"]))
def test_it_never_calls_a_close_a_short(quantity, closing, rest, limits, product):
    held = quantity + closing + rest
    position = PositionFacts(D(held if product == "MIS" else -rest), D(held if product == "CNC" else 0), D(closing), NOW)
    decision = evaluate(order("SELL", quantity, 100, product=product), desk(position=position), limits, advisory=True)
    assert decision.order_class == "EXIT"
    assert all(f.verdict == "PASS" for f in decision.findings if f.code.startswith("SHORT_"))


@many
@given(intents, desks, limit_rows)
def test_it_gives_the_same_verdict_as_advice(intent, facts, limits):
    alone, advice = evaluate(intent, facts, limits), evaluate(intent, facts, limits, advisory=True)
    assert [getattr(alone, f.name) for f in fields(alone) if f.name != "findings"] == [
        getattr(advice, f.name) for f in fields(advice) if f.name != "findings"
    ]
    assert advice.findings[: len(alone.findings)] == alone.findings


@many
@given(st.sampled_from(["BUY", "SELL"]), st.lists(st.integers(1, 200), min_size=1, max_size=5), positions, limit_rows)
def test_it_never_crosses_zero_with_parallel_exits(side, quantities, position, limits):
    held, closing = position.net if side == "SELL" else -position.net, position.closing
    for quantity in quantities:
        facts = desk(position=replace(position, closing=closing))
        closing += evaluate(order(side, quantity, 100, reduce_only=True), facts, limits).final
    assert closing <= max(held, position.closing)


texts = st.text(max_size=12)
anything = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts, st.lists(texts), st.decimals(), st.dictionaries(texts, texts))


@many
@given(
    st.builds(
        lambda side, quantity, price, **given: replace(order(), side=side, quantity=quantity, price=price, **given),
        texts, st.decimals(), st.one_of(st.none(), st.decimals()),
        order_type=texts, product=texts, symbol=texts, exchange=texts, strategy=texts, account=texts,
        trigger_price=st.one_of(st.none(), st.decimals()),
        ref_price=st.one_of(st.none(), st.decimals()), mode=texts, reduce_only=st.booleans(),
    ),
    st.dictionaries(st.sampled_from([*TIGHTER]), anything),
    st.builds(lambda tick, lot, net: (replace(INFY, tick=tick, lot=lot), PositionFacts(net)), st.decimals(), st.decimals(), st.decimals()),
)
def test_it_answers_nonsense_with_a_decision(intent, values, facts):
    decision = evaluate(intent, desk("PAPER", instrument=facts[0], position=facts[1]), [Limits("GLOBAL", values=values)], advisory=True)
    assert (decision.verdict, decision.final) == ("REJECT", 0) and decision.sentence
