"""The brokers page: accounts, logging in and out. What a login gives back is stored for a worker; no page talks to a broker."""

from collections.abc import Callable
from urllib.parse import urlsplit

from csp.decorators import csp_update
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST, require_safe

from brokers import session
from brokers.models import BrokerAccount
from trading.selectors import connections
from trading.services import connect
from trading.web.actions import acting, actor_of
from trading.web.brokers_forms import AddZerodha
from trading.web.views import is_fragment
from tvapp.lib.errors import AppError


def _leads_to_login(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """The form that logs in is answered with the way to the broker's page, and a browser asks the page's own policy whether it may go there."""

    def shown(request: HttpRequest, *args, **more) -> HttpResponse:
        there = urlsplit(settings.KITE_LOGIN_URL)
        return csp_update({"form-action": [f"{there.scheme}://{there.netloc}"]})(view)(request, *args, **more)

    return shown


def own_account(request: HttpRequest, pk: int) -> BrokerAccount:
    """This person's account, or 404 also when it is somebody else's."""
    return get_object_or_404(connections.accounts(request.user), pk=pk)


@_leads_to_login
@require_safe
def brokers_page(request: HttpRequest) -> HttpResponse:
    return _page(request, AddZerodha())


def _page(request: HttpRequest, form: AddZerodha, status: int = 200) -> HttpResponse:
    cards = [connections.card(account) for account in connections.accounts(request.user)]
    base, has_one = settings.BASE_URL.rstrip("/"), any(c.is_zerodha for c in cards)
    elsewhere = base if has_one and urlsplit(base).netloc != request.get_host() else ""  # the sign-in here does not count under another name
    context = {"cards": cards, "form": form, "elsewhere": elsewhere, "redirect_url": connections.redirect_url(), "add": form.is_bound or not has_one}
    return render(request, "brokers/brokers.html", context, status=status)


@require_safe
def account_part(request: HttpRequest, pk: int) -> HttpResponse:
    """What changes by itself on a card; when other buttons are due, the page is loaded anew."""
    card = connections.card(own_account(request, pk))
    if not is_fragment(request):
        return redirect("desk:brokers")
    if request.GET.get("sig") != card.sig:
        return HttpResponse(status=204, headers={"HX-Refresh": "true"})
    return render(request, "brokers/account_live.html", {"card": card})


@require_safe
def chips(request: HttpRequest) -> HttpResponse:
    """The login chips of the header, which count down while a page stays open."""
    return render(request, "components/conn.html", {"chips": connections.chips(request.user)}) if request.htmx else redirect("desk:brokers")


@_leads_to_login
@sensitive_post_parameters()
@require_POST
def add(request: HttpRequest) -> HttpResponse:
    acting(request)
    form = AddZerodha(request.POST)
    if not form.is_valid():
        return _page(request, form, status=422)
    try:
        account = connect.add_account(request.user, form.facts(), actor=actor_of(request))
    except AppError as refused:
        form.add_error(refused.extra.get("field"), refused.message)
    except ValidationError as refused:
        form.add_error(None, refused.messages)
    else:
        messages.success(request, f"Added {account.name}. Connect it now.")
        return redirect("desk:brokers")
    return _page(request, form, status=422)


def _do(request: HttpRequest, pk: int, act: Callable[[BrokerAccount], str]) -> HttpResponse:
    acting(request)
    account = own_account(request, pk)
    try:
        messages.info(request, act(account))
    except AppError as refused:
        messages.error(request, f"{refused.message} ({request.correlation_id})")
    return redirect("desk:brokers")


@require_POST
def begin(request: HttpRequest, pk: int) -> HttpResponse:
    """To the broker's login page; it comes back to `callback`."""
    acting(request)
    try:
        return redirect(session.login_url(own_account(request, pk), request.user))
    except AppError as refused:
        messages.error(request, f"{refused.message} ({request.correlation_id})")
        return redirect("desk:brokers")


@sensitive_post_parameters()
@require_POST
def token(request: HttpRequest, pk: int) -> HttpResponse:
    def act(account: BrokerAccount) -> str:
        connect.take_token(account, request.POST.get("request_token", "")[:2000])
        return f"The login of {account.name} is being completed."

    return _do(request, pk, act)


@require_POST
def disconnect(request: HttpRequest, pk: int) -> HttpResponse:
    def act(account: BrokerAccount) -> str:
        connect.disconnect(account, actor=actor_of(request))
        return f"{account.name} is disconnected. Nothing more is sent; what rests at the broker stays there."

    return _do(request, pk, act)


@require_safe
def callback(request: HttpRequest) -> HttpResponse:
    """Where the broker's login page leads back to. A state that is not this person's own is refused; nothing is stored then."""
    acting(request)
    try:
        account = connect.take_callback(request.user, {name: request.GET.get(name, "")[:2000] for name in ("state", "status", "request_token")})
    except AppError as refused:
        if refused.code == "BAD_STATE":
            raise
        messages.error(request, f"{refused.message} ({request.correlation_id})")
    else:
        messages.info(request, f"The login of {account.name} is being completed.")
    return redirect("desk:brokers")
