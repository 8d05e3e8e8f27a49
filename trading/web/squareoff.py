"""Square-off by a person: a page with one form for each account, and the API. Both only ask for it; workers do it."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from brokers.models import BrokerAccount
from trading.models import SquareOff
from trading.selectors import squareoff as read
from trading.services import squareoff
from trading.web import actions, api
from trading.web.serializers import StrictMixin
from tvapp.lib.errors import AppError
from tvapp.people.roles import may_trade

REASON = "a person asked for it"


class SquareOffSerializer(StrictMixin, serializers.Serializer):
    account_id = serializers.IntegerField(min_value=1)
    confirm = serializers.CharField(max_length=80, help_text="The account's name, typed again.")


class SquareOffs(APIView):
    @extend_schema(request=SquareOffSerializer, responses={202: {"type": "object"}}, summary="Cancel and close everything of an account")
    def post(self, request: Request) -> Response:
        api.trader(request)
        form = SquareOffSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        account = api.own(BrokerAccount, request.user, form.validated_data["account_id"])
        row = squareoff.ask(account, confirm=form.validated_data["confirm"], actor=api.actor_of(request), reason=REASON)
        return Response(shown(row), status=status.HTTP_202_ACCEPTED)


class SquareOffDetail(APIView):
    @extend_schema(responses={200: {"type": "object"}}, summary="How far a square-off is")
    def get(self, request: Request, pk: int) -> Response:
        return Response(shown(api.own(SquareOff, request.user, pk)))


def shown(row: SquareOff) -> dict[str, object]:
    """A square-off as JSON: `state` CANCELLING, READING, CLOSING, DONE or NEEDS_REVIEW, and in `note` what it waits for or how it ended."""
    return {
        "id": row.pk, "account_id": row.account_id, "strategy_id": row.strategy_id, "products": row.products, "exchanges": row.exchanges,
        "state": row.state, "round": row.round, "note": row.note, "reason": row.reason, "by": row.actor, "correlation_id": row.correlation_id,
        "started_at": row.started_at, "ended_at": row.ended_at, "order_ids": list(read.orders_of(row).order_by("id").values_list("id", flat=True)),
    }  # fmt: skip


@require_http_methods(["GET", "HEAD", "POST"])
def square_off_page(request: HttpRequest) -> HttpResponse:
    """GET shows the accounts, each with its form, and the last square-offs; POST asks for one."""
    if request.method != "POST":
        return _page(request)
    actions.acting(request)
    account = get_object_or_404(BrokerAccount.objects.for_user(request.user), pk=_number(request.POST.get("account_id", "")))
    try:
        row = squareoff.ask(account, confirm=request.POST.get("confirm", "")[:80], actor=actions.actor_of(request), reason=REASON)
    except AppError as refused:
        messages.error(request, f"{refused.message} ({request.correlation_id})")
        return _page(request, status=422, typed=(account.pk, request.POST.get("confirm", "")[:80]))
    messages.warning(request, f"{row.account.name}: what rests is being cancelled, then what is open is closed.")
    return redirect("desk:square-off")


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0


def _page(request: HttpRequest, status: int = 200, typed: tuple[int, str] = (0, "")) -> HttpResponse:
    accounts = BrokerAccount.objects.for_user(request.user).order_by("name")
    last = SquareOff.objects.for_user(request.user).select_related("account", "strategy").order_by("-id")[:20]
    context = {"accounts": accounts, "last": last, "busy": any(row.state in read.ACTIVE for row in last), "may_act": may_trade(request.user)}
    context["typed_for"], context["typed"] = typed
    return render(request, "trading/square_off.html", context, status=status)
