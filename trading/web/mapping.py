"""Map symbol: a page that searches, asks and keeps the choice; it works without a script."""

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from brokers.models import Instrument
from trading.domain import signal as signals
from trading.domain import symbols
from trading.models import Order, OverrideScope
from trading.selectors import instruments
from trading.services import instruments as listing
from trading.services import overrides
from trading.web import actions, views
from trading.web.rows import contract
from tvapp.lib import clock
from tvapp.lib.errors import AppError

SHOWN = 20
QUERY_MOST = 80


class MapForm(forms.Form):
    instrument = forms.CharField(max_length=80, error_messages={"required": "Choose an instrument from the list."})
    scope = forms.ChoiceField(choices=OverrideScope.choices, error_messages={"invalid_choice": "Choose where the mapping counts."})


@require_http_methods(["GET", "HEAD", "POST"])
def map_symbol(request: HttpRequest, pk: int) -> HttpResponse:
    """GET searches and asks; POST keeps the choice and plans the order anew."""
    actions.acting(request)
    order = views.own_order(request, pk)
    if request.method != "POST":
        return _page(request, order)
    form = MapForm(request.POST)
    if not form.is_valid():
        return _page(request, order, fault=next(iter(form.errors.values()))[0], status=422)
    try:
        overrides.map_symbol(order, form.cleaned_data["instrument"], form.cleaned_data["scope"], actor=actions.actor_of(request))
    except AppError as refused:
        return _page(request, order, fault=refused.message, status=refused.status)
    messages.success(request, f"{overrides.key_of(order)} is {order.symbol} from now on. The order waits for your decision.")
    return redirect("desk:order", order.pk)


def _page(request: HttpRequest, order: Order, *, fault: str = "", status: int = 200) -> HttpResponse:
    if not fault and not overrides.may_map(order):
        messages.warning(request, "There is nothing to map here: the order no longer waits, or its instrument is known.")
        return redirect("desk:order", order.pk)
    asked = request.POST.get("q") if request.method == "POST" else request.GET.get("q")
    text = _first_guess(order) if asked is None else asked[:QUERY_MOST]
    context = {
        "order": order,
        "key": overrides.key_of(order),
        "q": text,
        "fault": fault,
        "found": found(text),
        "loaded_at": listing.loaded_at(),
        "scopes": [choice for choice in OverrideScope.choices if choice[0] != OverrideScope.STRATEGY or order.strategy_id],
        "scope": request.POST.get("scope", ""),
        "chosen": request.POST.get("instrument", ""),
        "action": reverse("desk:map", args=[order.pk]),
    }
    return render(request, "trading/map_found.html" if views.is_fragment(request) and not fault else "trading/map.html", context, status=status)


def _first_guess(order: Order) -> str:
    """The root, so that the page opens with something to choose from."""
    query = symbols.query_of(signals.from_data(order.signal.data)) if order.signal else None
    return (query.roots or query.tradingsymbols or ("",))[0] if query else ""


def found(text: str) -> list[tuple[Instrument, str]]:
    """Instruments with how people call them."""
    return [(row, contract(row)) for row in instruments.search(text, clock.trading_day(clock.now()), SHOWN)]
