"""Pages of a broker's books, a fresh read of them on demand, and the moves of an order that needs review."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from trading.models import Drift, Order
from trading.selectors import books as read
from trading.selectors import drift as drifts
from trading.selectors import turned as crossings
from trading.services import drift, polling, resolve, turned
from trading.web import actions, views
from trading.web.forms import AdoptForm
from tvapp.lib.errors import AppError
from tvapp.people.roles import may_trade

BACK = {"orders": "desk:orders", "positions": "desk:positions", "holdings": "desk:holdings", "brokers": "desk:brokers"}
_SAID = {
    "SENT": "It is attached when the order book, which is read again now, shows it.",
    "NOT_SENT": "Marked as not sent. Its tag stays watched.",
    "LOOK_AGAIN": "The order book is read again now.",
}


@require_safe
def positions_page(request: HttpRequest) -> HttpResponse:
    rows = read.positions(request.user)
    context = {"rows": rows, "drifts": sum(row.drift for row in rows), "differences": drifts.shown(request.user)}
    context |= {"turned": crossings.of_user(request.user)}
    return render(request, "trading/positions.html", context | {"may_act": may_trade(request.user)})


@require_POST
def adopt(request: HttpRequest, pk: int) -> HttpResponse:
    """Takes over the broker's figure of one position, as the page showed it."""
    actions.acting(request)
    row = get_object_or_404(Drift.objects.for_user(request.user), pk=pk)
    form = AdoptForm(request.POST)
    try:
        if not form.is_valid():
            raise AppError("INVALID_VALUE", "The form could not be read. Reload the page and look at the position again.")
        drift.adopt(row, actor=actions.actor_of(request), **form.cleaned_data)
        messages.success(request, f"{row.tradingsymbol}: the desk counts what the broker holds from here on.")
    except AppError as refused:
        messages.error(request, f"{refused.message} ({request.correlation_id})")
    return redirect("desk:positions")


@require_safe
def holdings_page(request: HttpRequest) -> HttpResponse:
    return render(request, "trading/holdings.html", {"rows": read.holdings(request.user)})


@require_POST
def sync_now(request: HttpRequest) -> HttpResponse:
    """Asks for a fresh read of every account of this person, and goes back to the page the button stood on."""
    actions.acting(request)
    for row in read.synced(request.user):
        try:
            polling.ask(row.account)
            messages.success(request, f"{row.account.name}: its books are being read.")
        except AppError as refused:
            messages.warning(request, refused.message)
    return redirect(BACK.get(request.POST.get("page", ""), "desk:orders"))


@require_POST
def settle(request: HttpRequest, pk: int) -> HttpResponse:
    """One of the moves of an order that needs review; what the desk refuses is said with its reason."""
    actions.acting(request)
    order: Order = views.own_order(request, pk)
    way = request.POST.get("as", "")
    try:
        if way not in resolve.WAYS:
            raise AppError("INVALID_VALUE", "The form could not be read. Reload the page and look at the order again.")
        settled = resolve.resolve(order, way, actor=actions.actor_of(request), broker_order_id=request.POST.get("broker_order_id", ""))
    except AppError as refused:
        messages.error(request, f"{refused.message} ({request.correlation_id})")
        return redirect("desk:order", pk)
    messages.success(request, _SAID.get(way, f"Sent again in place of order {pk}."))
    return redirect("desk:order", settled.pk)


@require_POST
def close(request: HttpRequest, pk: int) -> HttpResponse:
    """Closes what a stop or target turned around."""
    actions.acting(request)
    order: Order = views.own_order(request, pk)
    try:
        made = turned.close(order, actor=actions.actor_of(request))
    except AppError as refused:
        messages.error(request, f"{refused.message} ({request.correlation_id})")
        return redirect("desk:order", pk)
    messages.success(request, f"Order {made.pk} closes it: {actions.named(made)}.")
    return redirect("desk:order", made.pk)
