"""The pages people read: dashboard, queue, orders, an order's story, alerts. What changes something is in actions.py."""

from collections.abc import Mapping
from decimal import Decimal

from csp.decorators import csp_update
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from brokers.models import BrokerAccount
from trading.domain import orderfsm
from trading.domain.orderfsm import State
from trading.models import Order, Source
from trading.selectors import gtts, losses, pricing, queue, stranded
from trading.selectors import orders as read
from trading.selectors import turned as crossings
from trading.services import health, modify, resolve
from trading.services.advice import advise
from trading.web import rows, story, tryout
from trading.web.forms import AlertFilter, OrderEdit, OrderFilter, OrderModify, QueueFilter
from trading.web.verdict import rules, shown
from tvapp.lib import clock
from tvapp.models import DeskSettings
from tvapp.people.roles import may_trade

# Plotly sets style attributes while it draws; pages with a chart, and only those, allow them.
with_charts = csp_update({"style-src": ["'unsafe-inline'"]})
WAITING_SHOWN = 6
TRIGGERS_SHOWN = 50
FILLED = (State.COMPLETE, State.PARTIAL)
REFUSED = (State.REJECTED, State.REJECTED_RISK, State.FAILED)


def is_fragment(request: HttpRequest) -> bool:
    """Whether htmx asks for a part of a page, not for the page."""
    return bool(request.htmx) and not request.htmx.history_restore_request


# ------------------------------------------------------------------------- dashboard
@require_safe
@with_charts
def dashboard(request: HttpRequest) -> HttpResponse:
    now, user = clock.now(), request.user
    counts = read.today(user, now)
    waiting = list(queue.waiting(user, {}, now)[:WAITING_SHOWN])
    held, found = stranded.on_hold(user), health.report()
    context = {
        "today": clock.trading_day(now),
        "counts": counts,
        "total": sum(n for _, n in counts),
        "filled": _sum(counts, FILLED),
        "refused": _sum(counts, REFUSED),
        "rows": rows.rows(waiting, now),
        "stranded": stranded.standing(user),
        "others": list(held[:WAITING_SHOWN]),
        "held": held.count(),
        "accounts": BrokerAccount.objects.for_user(user).order_by("name"),
        "checks": found["checks"].items(),
        "to_look_at": sum(not c["ok"] for c in found["checks"].values()),
        "events": read.recent_events(user),
        "losses": losses.bars(user, now),
    }
    return render(request, "trading/dashboard_live.html" if is_fragment(request) else "trading/dashboard.html", context)


def _sum(counts: list[tuple[State, int]], states: tuple[State, ...]) -> int:
    return sum(n for state, n in counts if state in states)


# ----------------------------------------------------------------------------- queue
def own_order(request: HttpRequest, pk: int) -> Order:
    """This person's order, or 404 also when it is somebody else's."""
    return get_object_or_404(Order.objects.for_user(request.user).select_related(*queue.RELATED), pk=pk)


@require_safe
@with_charts
def queue_page(request: HttpRequest) -> HttpResponse:
    now = clock.now()
    form = QueueFilter(request.GET, user=request.user)
    values = form.values()
    orders = list(queue.waiting(request.user, values, now)[: queue.LIMIT])
    others, needs = list(stranded.on_hold(request.user)[: queue.LIMIT]), stranded.standing(request.user)
    print_ = queue.fingerprint(orders, [*others, *(row.order for row in needs.rows)], now)
    if is_fragment(request) and request.GET.get("sig") == print_:
        return HttpResponse(status=204)
    found = rows.rows(orders, now, str(values.get("verdict", "")))
    context = {
        "form": form,
        "filtered": form.active(),
        "rows": found,
        "others": others,
        "stranded": needs,
        "sig": print_,
        "facts": rows.facts(found, now),
        "back": back_query(request.GET),
        "heaps": queue.heaps((r.order for r in found), now),
        "ages": queue.AGES,
        "most": queue.LIMIT,
        "open": _open_edit(request, found),
    }
    return render(request, "trading/queue_live.html" if is_fragment(request) else "trading/queue.html", context)


def back_query(query) -> str:
    """The filters of the queue as a query string, without what belongs to one moment and without what filters nothing."""
    kept = query.copy()
    for name in [n for n in kept if n in ("edit", "sig") or kept[n] in ("", "exits")]:
        del kept[name]
    return kept.urlencode()


def _open_edit(request: HttpRequest, found: list[rows.QueueRow]) -> Mapping[str, object] | None:
    """The row that `?edit=<id>` opens, with its form; None for a row that is not shown."""
    wanted = request.GET.get("edit", "")
    row = next((r for r in found if str(r.order.pk) == wanted), None)
    return {"row": row, "form": OrderEdit(order=row.order)} if row and may_trade(request.user) else None


def row_of(order: Order) -> rows.QueueRow:
    return rows.row(order, clock.now(), DeskSettings.current())


# ---------------------------------------------------------------------------- orders
def _before(request: HttpRequest) -> int | None:
    """The id a page continues below; what is no such number starts at the newest row."""
    text = request.GET.get("before", "")
    return int(text) if text.isdecimal() and len(text) < 19 else None


@require_safe
def orders_page(request: HttpRequest) -> HttpResponse:
    form = OrderFilter(request.GET, user=request.user)
    before = _before(request)
    values = form.values()
    context = {"form": form, "filtered": form.active(), "page": read.page(request.user, values, before), "before": before}
    if values.get("gtt") and before is None:
        context["triggers"] = gtts.of_user(request.user).order_by("-id")[:TRIGGERS_SHOWN]
    return render(request, "trading/orders.html", context)


@require_safe
def order_page(request: HttpRequest, pk: int) -> HttpResponse:
    order = get_object_or_404(read.with_story(request.user), pk=pk)
    if is_fragment(request) and request.GET.get("v") == str(order.version):
        return HttpResponse(status=204)
    return render(request, "trading/order_live.html" if is_fragment(request) else "trading/order.html", order_context(request, order))


def order_context(request: HttpRequest, order: Order, form: OrderEdit | None = None) -> dict[str, object]:
    """Everything the story of one order shows; `form` is an edit that was refused."""
    state = State(order.status)
    waiting = row_of(order) if state == State.WAITING else None
    decision = waiting.decision if waiting else order.decision
    first, rest = rules(decision) if decision else ([], [])
    possible = rows.actions(order) if may_trade(request.user) else frozenset()
    if form is None and request.GET.get("edit") and "edit" in possible:
        form = OrderEdit(order=order)
    return {
        "order": order,
        "row": waiting,
        "can": possible,
        "form": form,
        "decision": decision,
        "advice": waiting is not None,
        "verdict": shown(decision) if decision else None,
        "rules": first,
        "more_rules": rest,
        "nodes": story.timeline(order),
        "bars": story.waterfall(order),
        "times": story.summary(order),
        "tone": _tone(state),
        "place": rows.place(order),
        "resolution": story.resolution(order),
        "lots": rows.lots(order, order.quantity),
        "value": waiting.value if waiting else _value(order),
        **_slices(order),
        "exits": read.exits(order),
        "trigger": gtts.last_of(order),
        "turned": crossings.of(order),
        "may_send_again": state == State.NEEDS_REVIEW and resolve.may_send_again(order),
        "modify_form": OrderModify(order=order, names=modify.fields_of(order)) if "modify" in possible else None,
        "fills": [(fill, fill.quantity * fill.price) for fill in order.fills.all()],
        "live": state not in orderfsm.ENDED,
        "quote": queue.quote_of(order),
        **_against_alert(order),
    }


def _slices(order: Order) -> dict[str, object]:
    """The orders it was cut into, with their sums."""
    found = read.slices(order)
    total, filled = sum((o.quantity or 0 for o in found), Decimal(0)), sum((o.filled_quantity for o in found), Decimal(0))
    count = sum(o.status not in orderfsm.ENDED for o in found)
    return {"slices": found, "slices_total": total, "slices_filled": filled, "slices_open": count}


def _tone(state: State) -> tuple[str, str]:
    """Class and icon of the why line."""
    if state in (State.HELD, State.UNKNOWN, State.NEEDS_REVIEW):
        return "why-review", "warn"
    if state in REFUSED:
        return "why-bad", "ban"
    return ("", "check") if state == State.COMPLETE else ("why-calm", "info")


def _value(order: Order):
    """Rupees that changed hands; before the first fill what it would be worth. None when no price is known."""
    if order.filled_quantity and order.average_price:
        return order.filled_quantity * order.average_price * (order.instrument.multiplier if order.instrument_id else 1)
    return queue.value(order)


def _against_alert(order: Order) -> dict[str, object]:
    """How much better (or worse) a unit was bought or sold than the alert's price said."""
    if not order.average_price or not order.ref_price or order.source == Source.BRACKET:  # an exit's alert gave the price of the entry
        return {}
    gap = order.ref_price - order.average_price if order.side == "BUY" else order.average_price - order.ref_price
    return {"better": gap} if gap >= 0 else {"worse": -gap}


def preview(request: HttpRequest, order: Order, form: OrderEdit) -> HttpResponse:
    """The verdict with the values typed so far. Nothing is written: the row is changed in memory only."""
    context: dict[str, object] = {"order": order, "form": form}
    if form.is_valid() and order.instrument_id is not None:
        for name, value in form.changes().items():
            setattr(order, name, value)
        decision = advise(order)
        said = shown(decision)
        final = decision.final if said.sendable else order.quantity
        context |= {"verdict": said, "final": final, "value": queue.value(order, final), "unit": queue.unit_price(order)}
        context["sent_as"] = pricing.offer(order, clock.now()).note
    return render(request, "trading/edit_preview.html", context)


# ---------------------------------------------------------------------------- alerts
@require_safe
def alerts_page(request: HttpRequest) -> HttpResponse:
    form = AlertFilter(request.GET, user=request.user)
    before = _before(request)
    context = {"form": form, "filtered": form.active(), "page": read.alerts(request.user, form.values(), before), "before": before}
    return render(request, "trading/alerts.html", context)


@require_safe
def alert_page(request: HttpRequest, pk: int) -> HttpResponse:
    alert = get_object_or_404(read.alert_with_orders(request.user), pk=pk)
    signals = [(s, story.redacted(s.data)) for s in alert.signals.all()]
    context = {"alert": alert, "raw": story.raw_body(alert), "understood": signals, "signals": tryout.told(alert.evaluation)}
    return render(request, "trading/alert.html", context)
