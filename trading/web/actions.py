"""What a person does on the pages: execute, cancel, edit, put back, copy, stop and release. Every one is a POST that works without a script.

Without htmx the answer is a redirect with a message, so that a reload never sends an order again. With htmx it is the changed
row and a toast, and a refusal keeps its HTTP status.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from risk.models import TradingMode
from trading.domain.orderfsm import State
from trading.models import Order, Strategy
from trading.selectors import gtts, live, queue, stops
from trading.selectors.orders import slices, with_story
from trading.services import arming, gtt, halt, orders, refusals, slicing
from trading.services import modify as modifying
from trading.templatetags.desk import qty
from trading.web import views
from trading.web.forms import KillForm, OrderEdit, OrderModify, ReleaseForm, ShownForm
from tvapp.lib.errors import AppError
from tvapp.owned import may_see_all
from tvapp.people import stepup
from tvapp.people.roles import may_trade


def actor_of(request: HttpRequest) -> str:
    return request.user.get_username()


def acting(request: HttpRequest) -> None:
    """Raises 403 for somebody who may only look."""
    if not may_trade(request.user):
        raise PermissionDenied


def named(order: Order) -> str:
    """buy 67 RELIANCE"""
    return " ".join(p for p in (order.side.lower(), qty(order.quantity) if order.quantity else "", order.tradingsymbol) if p)


# --------------------------------------------------------------------------- answers
def toast(response: HttpResponse, text: str, *, level: str = "ok", href: str = "", link: str = "", correlation_id: str = "") -> HttpResponse:
    """Asks the page to show a short notice; htmx hands the header to toast.js whatever the status is."""
    said = {"text": text, "level": level, "href": href, "link": link, "id": correlation_id}
    response["HX-Trigger"] = json.dumps({"toast": said})
    return response


def _back(request: HttpRequest, order: Order | None = None) -> HttpResponseRedirect:
    """To the page the form came from: the order, the dashboard, or the queue with its filters. Only these, whatever was posted."""
    if order is not None and request.POST.get("page") == "order":
        return redirect("desk:order", order.pk)
    if request.POST.get("page") == "dashboard":
        return redirect("desk:dashboard")
    query = QueryDict(request.POST.get("back", "")[:2000]).urlencode()
    return redirect(reverse("desk:queue") + (f"?{query}" if query else ""))


def _part(request: HttpRequest, order: Order, *, form: OrderEdit | None = None, status: int = 200) -> HttpResponse:
    """The row as it is now (gone when it no longer waits), its edit row, and the count in the navigation."""
    fresh = views.own_order(request, order.pk)
    row = views.row_of(fresh) if fresh.status == State.WAITING else None
    context = {"row": row, "edit": form, "order": fresh, "back": request.POST.get("back") or request.GET.get("back", "")}
    context["closing"] = "edit_open" in request.GET or "edit_open" in request.POST
    return HttpResponse(render_to_string("trading/queue_part.html", context, request), status=status)


def _done(request: HttpRequest, order: Order, text: str) -> HttpResponse:
    href = reverse("desk:order", args=[order.pk])
    if request.htmx:
        return toast(_part(request, order), text, href=href, link="Its story")
    on_order = request.POST.get("page") == "order"
    messages.success(request, text if on_order else format_html('{} <a href="{}">Its story</a>', text, href))
    return _back(request, order)


def _refused(request: HttpRequest, order: Order, refused: AppError, before: str = "") -> HttpResponse:
    text = f"{before}{refused.message}"
    if request.htmx:
        return toast(_part(request, order, status=refused.status), text, level="neg", correlation_id=request.correlation_id)
    messages.error(request, f"{text} ({request.correlation_id})")
    return _back(request, order)


def _do(request: HttpRequest, pk: int, act: Callable[[Order], str]) -> HttpResponse:
    """Runs `act` on this person's order; what the desk refuses becomes a notice with its correlation id."""
    acting(request)
    order = views.own_order(request, pk)
    try:
        return _done(request, order, act(order))
    except AppError as refused:
        return _refused(request, order, refused)


# -------------------------------------------------------------------------- one order
@require_POST
def execute(request: HttpRequest, pk: int) -> HttpResponse:
    """Sends what the person was shown: another version or quantity by now is a refusal, not a surprise."""
    seen = ShownForm(request.POST)
    if not seen.is_valid():
        return _do(request, pk, _unreadable)

    def act(order: Order) -> str:
        orders.approve(order, actor=actor_of(request), version=seen.cleaned_data["version"], quantity=seen.cleaned_data["quantity"])
        return f"Executed: {order.side.lower()} {qty(seen.cleaned_data['quantity'] or order.quantity)} {order.tradingsymbol}."

    return _do(request, pk, act)


def _unreadable(order: Order) -> str:
    raise AppError("INVALID_VALUE", "The form could not be read. Reload the page and look at the order again.")


@require_POST
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    def act(order: Order) -> str:
        orders.cancel(order, actor=actor_of(request))
        return f"Cancel asked of the broker: {named(order)}." if order.pending_action else f"Cancelled: {named(order)}."

    return _do(request, pk, act)


@require_POST
def cancel_slices(request: HttpRequest, pk: int) -> HttpResponse:
    """Cancels every slice of an order above the freeze quantity that has not ended."""

    def act(order: Order) -> str:
        done, of = slicing.cancel_all(slices(order), actor=actor_of(request))
        if not of:
            raise AppError("ORDER_NOT_WAITING", "There is nothing left to cancel: every slice has ended.", status=409)
        rest = "" if done == of else f" {of - done} {'is' if of - done == 1 else 'are'} being sent or looked up right now: look again in a moment."
        return f"Cancel asked for {done} of {of} open slices.{rest}"

    return _do(request, pk, act)


@require_POST
def modify(request: HttpRequest, pk: int) -> HttpResponse:
    """Asks the broker for other values of a live order. It keeps the old ones until the broker shows the new."""

    def act(order: Order) -> str:
        form = OrderModify(request.POST, order=order, names=modifying.fields_of(order))
        if not form.is_valid():
            _unreadable(order)
        changes = form.changes(order)
        if not changes:
            return f"Nothing to change: {named(order)}."
        modifying.modify(order, changes, actor=actor_of(request), version=form.cleaned_data["version"])
        return f"Change asked of the broker: {named(order)}."

    return _do(request, pk, act)


@require_POST
def delete_gtt(request: HttpRequest, pk: int) -> HttpResponse:
    """Asks the broker to delete a trigger; one of our orders is cancelled with it."""
    acting(request)
    row = get_object_or_404(gtts.of_user(request.user), pk=pk)
    try:
        gtt.ask_delete(row, actor=actor_of(request))
        messages.success(request, f"Delete asked of the broker: GTT {row.broker_gtt_id} {row.tradingsymbol}.")
    except AppError as refused:
        messages.error(request, f"{refused.message} ({request.correlation_id})")
    return redirect(f"{reverse('desk:orders')}?gtt=1")


@require_POST
def back_to_queue(request: HttpRequest, pk: int) -> HttpResponse:
    def act(order: Order) -> str:
        orders.back_to_queue(order, actor=actor_of(request))
        return f"Back in the queue: {named(order)}."

    return _do(request, pk, act)


@require_POST
def requeue(request: HttpRequest, pk: int) -> HttpResponse:
    """Sends on what waits on hold for a person, as it was seen."""
    seen = ShownForm(request.POST)

    def act(order: Order) -> str:
        if not seen.is_valid():
            _unreadable(order)
        orders.requeue(order, actor=actor_of(request), version=seen.cleaned_data["version"])
        return f"Requeued: {named(order)}."

    return _do(request, pk, act)


@require_POST
def resubmit(request: HttpRequest, pk: int) -> HttpResponse:
    acting(request)
    order = views.own_order(request, pk)
    try:
        copy = orders.resubmit(order, actor=actor_of(request))
    except AppError as refused:
        return _refused(request, order, refused)
    messages.success(request, f"Copied from order {order.pk}. It waits for your decision.")
    return redirect("desk:order", copy.pk)


# ------------------------------------------------------------------------------- edit
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """GET opens the inline edit; POST saves it, and executes it when that button was pressed."""
    acting(request)
    order = views.own_order(request, pk)
    if request.method != "POST":
        if request.htmx and order.status == State.WAITING:
            return _part(request, order, form=OrderEdit(order=order))
        return redirect(f"{reverse('desk:queue')}?edit={pk}")
    form = OrderEdit(request.POST, order=order)
    return _save(request, order, form) if form.is_valid() else _show_faults(request, order, form)


def _show_faults(request: HttpRequest, order: Order, form: OrderEdit) -> HttpResponse:
    if request.htmx:
        return _part(request, order, form=form, status=422)
    story = with_story(request.user).get(pk=order.pk)
    return render(request, "trading/order.html", views.order_context(request, story, form), status=422)


def _save(request: HttpRequest, order: Order, form: OrderEdit) -> HttpResponse:
    try:
        orders.edit(order, form.changes(), actor=actor_of(request), version=form.cleaned_data["version"])
    except AppError as refused:
        return _refused(request, order, refused)
    if request.POST.get("do") != "save-execute":
        return _done(request, order, f"Saved: {named(order)}.")
    try:
        orders.approve(order, actor=actor_of(request), version=order.version, quantity=_shown_quantity(request, order))
    except AppError as refused:
        return _refused(request, order, refused, before="Saved, not executed. ")
    return _done(request, order, f"Saved and executed: {named(order)}.")


def _shown_quantity(request: HttpRequest, order: Order) -> Decimal | None:
    """What the preview said would be sent; without a preview the quantity typed."""
    seen = ShownForm({"quantity": request.POST.get("shown", "")})
    return (seen.cleaned_data["quantity"] if seen.is_valid() else None) or order.quantity


@require_POST
def preview(request: HttpRequest, pk: int) -> HttpResponse:
    acting(request)
    order = views.own_order(request, pk)
    return views.preview(request, order, OrderEdit(request.POST, order=order))


@require_safe
def row(request: HttpRequest, pk: int) -> HttpResponse:
    """The closed row again: what Discard asks for."""
    return _part(request, views.own_order(request, pk)) if request.htmx else redirect("desk:queue")


# ------------------------------------------------------------------------------- bulk
@require_POST
def bulk(request: HttpRequest) -> HttpResponse:
    """Several rows at once. Execute asks first and shows each one; cancel does it and says how many."""
    acting(request)
    chosen = [pk for pk in request.POST.getlist("id") if pk.isdecimal() and len(pk) < 19][: queue.LIMIT]
    if not chosen:
        messages.warning(request, "Nothing was selected.")
        return _back(request)
    found = Order.objects.for_user(request.user).filter(pk__in=chosen).select_related(*queue.RELATED).order_by("id")
    if request.POST.get("do") == "cancel":
        return _each(request, found, "Cancelled", lambda order: orders.cancel(order, actor=actor_of(request)))
    if request.POST.get("confirmed") != "yes":
        shown = [views.row_of(order) for order in found if order.status == State.WAITING]
        able = [r for r in shown if not r.reason]
        return render(request, "trading/bulk.html", {"rows": able, "left_out": [r for r in shown if r.reason], "back": request.POST.get("back", "")})
    return _each(request, found, "Executed", lambda order: _approve_shown(request, order))


def _approve_shown(request: HttpRequest, order: Order) -> None:
    seen = ShownForm({name: request.POST.get(f"{name}-{order.pk}", "") for name in ("version", "quantity")})
    if not seen.is_valid() or not seen.cleaned_data["version"] or not seen.cleaned_data["quantity"]:
        _unreadable(order)
    orders.approve(order, actor=actor_of(request), **seen.cleaned_data)


def _each(request: HttpRequest, found, word: str, act: Callable[[Order], object]) -> HttpResponse:
    done = 0
    for order in found:
        try:
            act(order)
            done += 1
        except AppError as refused:
            messages.error(request, f"{named(order)}: {refused.message} ({request.correlation_id})")
    if done:
        messages.success(request, f"{word} {done} {'order' if done == 1 else 'orders'}.")
    return _back(request)


# --------------------------------------------------------------------- what was refused
@require_POST
def acknowledge(request: HttpRequest, pk: int) -> HttpResponse:
    """Seen: the entries of this strategy may leave again."""
    acting(request)
    strategy = get_object_or_404(Strategy.objects.for_user(request.user).standing(), pk=pk)
    try:
        refusals.acknowledge(strategy, actor=actor_of(request))
    except AppError as refused:
        messages.error(request, f"{refused.message} ({request.correlation_id})")
    else:
        messages.success(request, f"Acknowledged. Entries of {strategy.name} may leave again; what waits is yours to execute.")
    return redirect("desk:queue")


# ------------------------------------------------------------------------ kill switch
@require_http_methods(["GET", "HEAD", "POST"])
def kill(request: HttpRequest) -> HttpResponse:
    """GET asks, or says to everybody that trading is stopped; POST stops: when it answers, no new order leaves."""
    reads = request.method != "POST"
    if not (reads and any(state.scope == "GLOBAL" for state in halt.status())):
        acting(request)
    if reads:
        return _kill_page(request)
    form = KillForm(request.POST)
    if not form.is_valid():
        return _kill_page(request, form=form, status=422)
    done = halt.kill("GLOBAL", reason=form.cleaned_data["reason"], actor=actor_of(request), cancel_open=form.cleaned_data["cancel_open"])
    said = halt.told(done)
    messages.warning(request, "Trading is stopped. No order leaves this desk" + (f"; {said}." if said else "."))
    return redirect("desk:kill")


def _kill_page(request: HttpRequest, *, form: KillForm | None = None, release_form: ReleaseForm | None = None, status: int = 200) -> HttpResponse:
    found = halt.status()
    asked = (release_form["scope"].value() or "GLOBAL", release_form["code"].value() or "") if release_form else None
    said, general = stops.names(found), ("GLOBAL", "")
    rows = [
        {"stop": stop, "name": said[stop.scope], "form": _release_of(stop, number, release_form if asked == (stop.scope, stop.code) else None)}
        for number, stop in enumerate(found)
    ]
    context = {"form": form or KillForm(initial={"cancel_open": True}), "release_form": (asked == general and release_form) or ReleaseForm()}
    context |= {"rows": [row for row in rows if (row["stop"].scope, row["stop"].code) != general or row["stop"].state != TradingMode.HALTED]}
    context |= {"may_go_live": settings.ALLOW_LIVE, "paper_only": live.barred() == live.PAPER_ONLY}
    return render(request, "trading/kill.html", context, status=status)


def _release_of(stop: stops.Stop, number: int, typed: ReleaseForm | None) -> ReleaseForm:
    """The form that releases one stop: what was typed when it was that one's, else an empty one."""
    form = typed or ReleaseForm(initial={"scope": stop.scope, "code": stop.code})
    form.auto_id = f"id_{number}_%s"
    return form


@require_POST
def paper_only(request: HttpRequest) -> HttpResponse:
    """On with one click; off by an admin who types the password."""
    acting(request)
    on = request.POST.get("on") == "1"
    if not on:
        if not may_see_all(request.user):
            raise PermissionDenied
        try:
            stepup.confirm(request.user, password=request.POST.get("password", "")[:256])
        except AppError as refused:
            messages.error(request, f"{refused.message} ({request.correlation_id})")
            return redirect("desk:kill")
    arming.paper_only(on, actor=actor_of(request))
    said = "The desk is on paper only: no live order leaves, exits included." if on else "Live orders may leave again, where a strategy is armed."
    messages.warning(request, said)
    return redirect("desk:kill")


@require_POST
def release(request: HttpRequest) -> HttpResponse:
    """Lets trading go on: an admin, with a reason."""
    if not may_see_all(request.user):
        raise PermissionDenied
    form = ReleaseForm(request.POST)
    if not form.is_valid():
        return _kill_page(request, release_form=form, status=422)
    said = form.cleaned_data
    try:
        stepup.confirm(request.user, password=said["password"])
    except AppError as refused:
        form.add_error("password", refused.message)
        return _kill_page(request, release_form=form, status=refused.status)
    seen = datetime.fromtimestamp(said["seen"], UTC) if said["seen"] else None
    try:
        halt.release(said["scope"], reason=said["reason"], actor=actor_of(request), code=said["code"], seen=seen)
    except AppError as refused:
        messages.error(request, f"{refused.message} ({request.correlation_id})")
        return redirect("desk:kill")
    goes_on = "Trading goes on" if said["scope"] == "GLOBAL" and not said["code"] else "Released"
    messages.success(request, f"{goes_on}. Orders on hold do not leave by themselves: they wait for you, or end as too old.")
    return redirect("desk:dashboard")
