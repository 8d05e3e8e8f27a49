"""What must hold for every order, every position and every set of limits."""

from dataclasses import fields, replace
from decimal import Decimal as D

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from risk.engine import evaluate
from risk.types import Limits, OrdersFacts, PositionFacts
from tests.risk.cases import INFY, NIFTY, NOW, READY, desk, order, quoted

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
values = st.fixed_dictionaries({}, optional={
    "max_quantity_per_order": st.one_of(st.integers(20, 300).map(D), figures),
    "max_order_value": st.one_of(st.integers(1, 90).map(lambda thousands: D(thousands * 1000)), figures),
    "allow_short_selling": st.sampled_from([True, True, False]),
    "market_buffer_pct": st.integers(0, 5),
    "max_signal_age": st.integers(1, 90),
    "symbol_deny_list": st.sampled_from([[], [], [], ["NSE:SBIN"], ["NSE:SBIN"], ["INFY"]]),
    "symbol_allow_list": st.sampled_from([[], [], [], ["NSE:INFY"], ["INFY"], ["SBIN"]]),
})
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


calm_desks = st.builds(desk, instrument=st.sampled_from([INFY, NIFTY]), position=positions, quote=st.sampled_from([None, quoted(100)]))
calm_rows = st.lists(
    st.builds(
        Limits, st.sampled_from(["GLOBAL", "ACCOUNT", "STRATEGY"]), st.just(""), st.just("CLAMP"),
        st.fixed_dictionaries({"allow_short_selling": st.sampled_from([True, True, False])}, optional={
            "max_quantity_per_order": st.integers(20, 300), "max_order_value": st.integers(1, 90).map(lambda thousands: thousands * 1000),
        }),
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
    again = evaluate(replace(intent, quantity=decision.final), facts, limits)
    assert (again.verdict, again.final) == ("ALLOW", decision.final)


@many
@given(calm_intents, calm_desks, calm_rows, st.sampled_from(["max_quantity_per_order", "max_order_value"]), st.integers(1, 300))
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
@given(intents, desks, limit_rows, st.sampled_from(["max_quantity_per_order", "max_order_value"]), figures)
def test_it_never_gives_more_under_one_more_limit(intent, facts, limits, name, figure):
    row = Limits("ACCOUNT", "", "CLAMP", {name: figure})
    before, after = evaluate(intent, facts, limits), evaluate(intent, facts, [*limits, row])
    assert after.final <= before.final


@many
@given(intents, desks, limit_rows.flatmap(lambda limits: st.tuples(st.just(limits), st.permutations(limits))))
def test_it_does_not_care_for_the_order_of_the_rows(intent, facts, pair):
    assert evaluate(intent, facts, pair[0]) == evaluate(intent, facts, pair[1])


PARTS = [("instrument", n) for n in (None, "tick", "lot", "as_of")]
PARTS += [("position", n) for n in (None, "as_of")] + [("orders", None), ("quote", None), ("quote", "ltp"), ("quote", "as_of")]
PARTS += [("states", n) for n in (None, "state", "account_state", "account_enabled", "strategy_enabled", "live_allowed", "armed")]


@many
@given(intents, desks, limit_rows, st.sampled_from(PARTS))
def test_it_never_lets_a_live_entry_through_for_want_of_a_datum(intent, facts, limits, part):
    name, inner = part
    facts, intent = replace(facts, environment="LIVE"), replace(intent, reduce_only=False, ref_price=None)
    before = evaluate(intent, facts, limits)
    known = getattr(facts, name)
    assume(before.order_class == "ENTRY" and known is not None)
    after = evaluate(intent, replace(facts, **{name: replace(known, **{inner: None}) if inner else None}), limits)
    assert after.final <= before.final
    assert before.verdict not in STOPPED or after.verdict in STOPPED


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
