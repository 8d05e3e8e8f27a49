"""Figures as plain dicts: what Plotly draws in the browser. No plotly here; colours are names of CSS tokens, resolved where it is drawn.

Names come from people and Plotly reads a little HTML in labels, so every name is escaped first. Numbers are floats: a picture, never money.
"""

from collections.abc import Mapping, Sequence
from html import escape

from trading.domain.orderfsm import WORDS, State
from trading.selectors.queue import AGES, Heap
from trading.templatetags.desk import LAKH, money

Figure = dict[str, object]

MARK, SECOND, GOOD, BAD, FAINT = "--mark-1", "--mark-2", "--mark-pos", "--mark-neg", "--mark-gap"
_TONES: Mapping[State, str] = {
    State.COMPLETE: GOOD, State.PARTIAL: GOOD, State.REJECTED: BAD, State.REJECTED_RISK: BAD, State.FAILED: BAD, State.UNKNOWN: SECOND,
    State.NEEDS_REVIEW: SECOND, State.HELD: SECOND, State.CANCELLED: FAINT, State.EXPIRED: FAINT, State.STALE: FAINT,
}  # fmt: skip
_AGE_TONES = {"1": MARK, "5": GOOD, "15": SECOND, "old": BAD}


def _layout(height: int, **more: object) -> Figure:
    """What all figures share; the page adds fonts and colours of the theme."""
    return {"height": height, "margin": {"l": 8, "r": 16, "t": 8, "b": 32, "pad": 4}, "showlegend": False, "bargap": 0.35, **more}


def label(name: str, most: int = 28) -> str:
    """A person's text as a label: shortened, then harmless."""
    return escape(name if len(name) <= most else f"{name[: most - 1]}…", quote=False)  # Plotly shows `&quot;` as it stands


def orders_by_state(counts: Sequence[tuple[State, int]]) -> Figure:
    """Horizontal bars, one a state, in the order given; each bar prints its count. `customdata` is the state's name."""
    bar = {
        "type": "bar", "orientation": "h", "y": [WORDS[s] for s, _ in counts], "x": [n for _, n in counts], "text": [str(n) for _, n in counts],
        "textposition": "outside", "cliponaxis": False, "customdata": [s.value for s, _ in counts], "meta": [_TONES.get(s, MARK) for s, _ in counts],
        "hovertemplate": "%{y}: %{x}<extra></extra>",
    }  # fmt: skip
    axes = {"xaxis": {"rangemode": "tozero", "tickformat": "d"}, "yaxis": {"autorange": "reversed", "automargin": True}}
    return {"data": [bar], "layout": _layout(64 + 30 * max(1, len(counts)), **axes)}


def waiting_value(heaps: Sequence[Heap]) -> Figure:
    """Stacked horizontal bars: waiting value in lakh by strategy, one colour an age. `customdata` is [strategy id, age] for the filter."""
    names = list(dict.fromkeys((h.strategy_id, h.strategy) for h in heaps))
    traces = [_age_trace(age, names, [h for h in heaps if h.age == age]) for age in AGES]
    ticks = {"tickmode": "array", "tickvals": list(range(len(names))), "ticktext": [label(n) for _, n in names]}
    layout = _layout(110 + 34 * max(1, len(names)), barmode="stack") | {
        "showlegend": True,
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "margin": {"l": 8, "r": 16, "t": 40, "b": 32, "pad": 4},
        "xaxis": {"rangemode": "tozero", "tickprefix": "₹", "ticksuffix": " L"},
        "yaxis": {"autorange": "reversed", "automargin": True, **ticks},
    }
    return {"data": [t for t in traces if t["x"]], "layout": layout}


def _age_trace(age: str, names: Sequence[tuple[int | None, str]], heaps: Sequence[Heap]) -> Figure:
    place = {pk: i for i, (pk, _) in enumerate(names)}
    return {
        "type": "bar",
        "orientation": "h",
        "name": AGES[age][0],
        "y": [place[h.strategy_id] for h in heaps],
        "x": [float(h.value / LAKH) for h in heaps],
        "customdata": [[h.strategy_id or "", age] for h in heaps],
        "meta": _AGE_TONES[age],
        "text": [f"{money(h.value)}, {h.orders} {'order' if h.orders == 1 else 'orders'}" for h in heaps],
        "textposition": "none",
        "hovertemplate": "%{text}<extra>" + AGES[age][0] + "</extra>",
    }
