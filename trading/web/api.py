"""The API of the desk: orders, queue, alerts, strategies, limits, kill switch, sign-in, health. Thin: parse, ask a service, show."""

from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth import authenticate, logout
from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers as fields
from rest_framework import status
from rest_framework.exceptions import NotAuthenticated, PermissionDenied
from rest_framework.permissions import AllowAny
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from brokers.models import BrokerAccount
from risk.models import RiskSettings, Scope
from trading.domain.orderfsm import State
from trading.models import Alert, Order, OrderEvent, Strategy
from trading.selectors import instruments
from trading.selectors.stops import state_of
from trading.services import halt, health, ingest, limits, modify, orders, overrides, refusals, strategies
from trading.web import serializers as show
from trading.web.filters import AlertFilters, OrderFilters, StrategyFilters
from trading.web.webhook import AlertParser, JsonOnly
from tvapp.lib import clock
from tvapp.lib.errors import AppError
from tvapp.owned import may_see_all
from tvapp.people import roles, stepup
from tvapp.people.auth import new_token
from tvapp.throttles import AnonThrottle, OrderThrottle

PAGE = 50
PAGE_MOST = 200
_ACTION_THROTTLES = [] if settings.TEST_MODE else [OrderThrottle]
PAGING = [OpenApiParameter("before", int, description="Rows with a smaller id."), OpenApiParameter("limit", int, description=f"At most {PAGE_MOST}.")]


def actor_of(request: Request) -> str:
    return request.user.get_username()


def _int(request: Request, name: str, default: int | None, most: int) -> int | None:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not text.isdecimal() or len(text) > 19 or not 0 < int(text) <= most:
        raise AppError("INVALID_VALUE", f"{name} must be a whole number from 1 to {most}.", extra={"field": name})
    return int(text)


def page(request: Request, rows, serializer) -> Response:
    """One keyset page, newest first: `next` continues below the last id shown, whatever was added above meanwhile."""
    before, limit = _int(request, "before", None, 2**62), _int(request, "limit", PAGE, PAGE_MOST)
    if before is not None:
        rows = rows.filter(pk__lt=before)
    found = list(rows.order_by("-pk")[: limit + 1])
    shown, more = found[:limit], len(found) > limit
    query = {**request.query_params.dict(), **({"before": shown[-1].pk} if more else {})}
    query_pairs = [(k, v) for k in request.query_params if k != "before" for v in request.query_params.getlist(k)]
    following = f"{request.path}?{urlencode([*query_pairs, ('before', query['before'])])}" if more else None
    return Response({"results": serializer(shown, many=True, context={"request": request}).data, "next": following})


def own(model, user, pk: int, **relations):
    """This person's row, or 404 also when it is somebody else's."""
    row = model.objects.for_user(user).select_related(*relations.get("select", ())).filter(pk=pk).first()
    if row is None:
        raise Http404
    return row


def trader(request: Request) -> None:
    """Viewers, and people without a role, look; they do not act."""
    if not roles.may_trade(request.user):
        raise PermissionDenied("You can look at this, not change it: that needs the role trader.")


def admin(request: Request) -> None:
    if not may_see_all(request.user):
        raise PermissionDenied("Only an admin of this desk can do this.")


ORDER_RELATED = ("account", "strategy", "instrument", "owner")


def order_row(request: Request, pk: int) -> Order:
    return own(Order, request.user, pk, select=ORDER_RELATED)


def _order(order: Order, code: int = status.HTTP_200_OK) -> Response:
    fresh = Order.objects.select_related("strategy").get(pk=order.pk)
    return Response(show.OrderSerializer(fresh).data, status=code)


class OrderList(APIView):
    serializer_class = show.OrderSerializer

    @extend_schema(parameters=PAGING, responses=show.OrderSerializer(many=True), summary="Orders, newest first")
    def get(self, request: Request) -> Response:
        rows = Order.objects.for_user(request.user).select_related("strategy")
        return page(request, OrderFilters(request.query_params, rows).checked(), show.OrderSerializer)


class QueueList(APIView):
    serializer_class = show.OrderSerializer

    @extend_schema(parameters=PAGING, responses=show.OrderSerializer(many=True), summary="Orders that wait for a decision")
    def get(self, request: Request) -> Response:
        rows = Order.objects.for_user(request.user).filter(status=State.WAITING).select_related("strategy")
        return page(request, OrderFilters(request.query_params, rows).checked(), show.OrderSerializer)


class OrderDetail(APIView):
    serializer_class = show.OrderSerializer

    def get(self, request: Request, pk: int) -> Response:
        order = order_row(request, pk)
        return Response({**show.OrderSerializer(order).data, "fills": show.FillSerializer(order.fills.all(), many=True).data})

    @extend_schema(request=show.OrderEditSerializer, responses=show.OrderSerializer, summary="Edit a waiting order")
    def patch(self, request: Request, pk: int) -> Response:
        trader(request)
        order = order_row(request, pk)
        form = show.OrderEditSerializer(order, data=request.data, partial=True)
        form.is_valid(raise_exception=True)
        changes = dict(form.validated_data)
        version = changes.pop("version", None)
        return _order(orders.edit(order, changes, actor=actor_of(request), version=version))


class OrderEvents(APIView):
    serializer_class = show.EventSerializer

    def get(self, request: Request, pk: int) -> Response:
        return page(request, OrderEvent.objects.filter(order=order_row(request, pk)), show.EventSerializer)


class _OrderAction(APIView):
    throttle_classes = _ACTION_THROTTLES


class OrderExecute(_OrderAction):
    @extend_schema(request=show.ExecuteSerializer, responses={202: show.OrderSerializer}, summary="Execute a waiting order")
    def post(self, request: Request, pk: int) -> Response:
        trader(request)
        order = order_row(request, pk)
        form = show.ExecuteSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        key = request.headers.get("Idempotency-Key", "")[:128]
        order = orders.approve(order, actor=actor_of(request), key=key, **form.validated_data)
        return _order(order, status.HTTP_202_ACCEPTED)


class OrderModify(_OrderAction):
    @extend_schema(request=show.ModifySerializer, responses={202: show.OrderSerializer}, summary="Ask the broker to change a live order")
    def post(self, request: Request, pk: int) -> Response:
        trader(request)
        order = order_row(request, pk)
        form = show.ModifySerializer(data=request.data)
        form.is_valid(raise_exception=True)
        changes = dict(form.validated_data)
        version = changes.pop("version", None)
        return _order(modify.modify(order, changes, actor=actor_of(request), version=version), status.HTTP_202_ACCEPTED)


class OrderCancel(_OrderAction):
    @extend_schema(request=None, responses={202: show.OrderSerializer}, summary="Cancel, or ask the broker to cancel")
    def post(self, request: Request, pk: int) -> Response:
        trader(request)
        key = request.headers.get("Idempotency-Key", "")[:128]
        return _order(orders.cancel(order_row(request, pk), actor=actor_of(request), key=key), status.HTTP_202_ACCEPTED)


class OrderStatusChange(_OrderAction):
    @extend_schema(request=show.StatusSerializer, responses={202: show.OrderSerializer}, summary="CANCELLED, or WAITING from HELD or QUEUED")
    def patch(self, request: Request, pk: int) -> Response:
        trader(request)
        order = order_row(request, pk)
        form = show.StatusSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        act = orders.cancel if form.validated_data["status"] == State.CANCELLED else orders.back_to_queue
        return _order(act(order, actor=actor_of(request)), status.HTTP_202_ACCEPTED)


class OrderRequeue(_OrderAction):
    @extend_schema(request=show.RequeueSerializer, responses={202: show.OrderSerializer}, summary="Send on what waits on hold for a person")
    def post(self, request: Request, pk: int) -> Response:
        trader(request)
        order = order_row(request, pk)
        form = show.RequeueSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        key = request.headers.get("Idempotency-Key", "")[:128]
        return _order(orders.requeue(order, actor=actor_of(request), key=key, **form.validated_data), status.HTTP_202_ACCEPTED)


class OrderResubmit(_OrderAction):
    @extend_schema(request=None, responses={201: show.OrderSerializer}, summary="Copy an ended order into a new waiting one")
    def post(self, request: Request, pk: int) -> Response:
        trader(request)
        return _order(orders.resubmit(order_row(request, pk), actor=actor_of(request)), status.HTTP_201_CREATED)


class OrderMap(_OrderAction):
    @extend_schema(request=show.MapSerializer, responses=show.OrderSerializer, summary="Say what the symbol of a waiting order means")
    def post(self, request: Request, pk: int) -> Response:
        trader(request)
        order = own(Order, request.user, pk, select=(*ORDER_RELATED, "signal", "alert"))
        form = show.MapSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        overrides.map_symbol(order, form.validated_data["instrument"], form.validated_data["scope"], actor=actor_of(request))
        return _order(order)


class InstrumentSearch(APIView):
    """The best matches only: a longer text narrows, so there is no second page."""

    serializer_class = show.InstrumentSerializer
    KNOWN = ("q", "limit", "format")

    @extend_schema(
        parameters=[OpenApiParameter("q", str, required=True, description="NIFTY 24500 CE, NFO:NIFTY FUT, INFY."), OpenApiParameter("limit", int)],
        responses=show.InstrumentSerializer(many=True), summary="Instruments whose symbol or root begins like this",
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        for name in request.query_params:
            if name not in self.KNOWN:
                raise AppError("UNKNOWN_FILTER", f"There is no filter {name}.", extra={"field": name, "known": ["limit", "q"]})
        limit = _int(request, "limit", 20, instruments.FOUND_MOST)
        found = instruments.search(request.query_params.get("q", "")[:80], clock.trading_day(clock.now()), limit)
        return Response({"results": show.InstrumentSerializer(found, many=True).data, "next": None})


class AlertList(APIView):
    serializer_class = show.AlertSerializer

    @extend_schema(parameters=PAGING, responses=show.AlertSerializer(many=True), summary="Received alerts, refused ones too")
    def get(self, request: Request) -> Response:
        rows = Alert.objects.for_user(request.user).select_related("strategy").prefetch_related("orders")
        return page(request, AlertFilters(request.query_params, rows).checked(), show.AlertSerializer)


class AlertDetail(APIView):
    serializer_class = show.AlertSerializer

    def get(self, request: Request, pk: int) -> Response:
        return Response(show.AlertSerializer(own(Alert, request.user, pk, select=("strategy",))).data)


def _first_account(user) -> BrokerAccount:
    account = BrokerAccount.objects.filter(owner=user).order_by("id").first()
    if account is None:
        text = "You have no account yet. Make one in the settings under Broker accounts; a strategy needs one."
        raise AppError("NO_ACCOUNT", text, extra={"field": "account_id"})
    return account


class AlertDryRun(APIView):
    parser_classes = [AlertParser]
    content_negotiation_class = JsonOnly
    renderer_classes = [JSONRenderer]

    @extend_schema(
        request={"application/json": {"type": "object"}}, responses={200: {"type": "object"}}, summary="What a body would do",
        parameters=[OpenApiParameter("strategy_id", int, description="The strategy it is meant for; without it the one it names.")],
    )
    def post(self, request: Request) -> Response:
        trader(request)
        pk = _int(request, "strategy_id", None, 2**63 - 1)
        strategy = own(Strategy, request.user, pk, select=("account", "owner")) if pk else None
        if strategy is not None and strategy.archived_at is not None:
            raise Http404
        raw = request.data if isinstance(request.data, bytes) else b""
        cid = request._request.correlation_id
        return Response(ingest.rehearse(raw, user=request.user, strategy=strategy, correlation_id=cid))


class StrategyList(APIView):
    serializer_class = show.StrategySerializer

    @extend_schema(parameters=PAGING, responses=show.StrategySerializer(many=True))
    def get(self, request: Request) -> Response:
        rows = Strategy.objects.for_user(request.user).standing().select_related("account")
        return page(request, StrategyFilters(request.query_params, rows).checked(), show.StrategySerializer)

    def post(self, request: Request) -> Response:
        trader(request)
        form = show.StrategySerializer(data=request.data, context={"request": request})
        form.is_valid(raise_exception=True)
        data = dict(form.validated_data)
        data.setdefault("account", _first_account(request.user))
        strategy = strategies.create(owner=request.user, actor=actor_of(request), **data)
        return Response(show.StrategySerializer(strategy).data, status=status.HTTP_201_CREATED)


def strategy_row(request: Request, pk: int) -> Strategy:
    strategy = own(Strategy, request.user, pk, select=("account", "owner"))
    if strategy.archived_at is not None:
        raise Http404
    return strategy


class StrategyDetail(APIView):
    serializer_class = show.StrategySerializer

    def get(self, request: Request, pk: int) -> Response:
        return Response(show.StrategySerializer(strategy_row(request, pk)).data)

    def put(self, request: Request, pk: int) -> Response:
        return self._write(request, pk, partial=False)

    def patch(self, request: Request, pk: int) -> Response:
        return self._write(request, pk, partial=True)

    def _write(self, request: Request, pk: int, *, partial: bool) -> Response:
        trader(request)
        strategy = strategy_row(request, pk)
        form = show.StrategySerializer(strategy, data=request.data, partial=partial, context={"request": request})
        form.is_valid(raise_exception=True)
        return Response(show.StrategySerializer(strategies.update(strategy, form.validated_data, actor=actor_of(request))).data)

    def delete(self, request: Request, pk: int) -> Response:
        trader(request)
        strategies.archive(strategy_row(request, pk), actor_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


class StrategyToggle(APIView):
    @extend_schema(request=None, responses=show.StrategySerializer, summary="Enable or disable")
    def post(self, request: Request, pk: int) -> Response:
        trader(request)
        strategy = strategy_row(request, pk)
        return Response(show.StrategySerializer(strategies.update(strategy, {"enabled": not strategy.enabled}, actor=actor_of(request))).data)


class StrategyDeploy(APIView):
    @extend_schema(request=None, responses=inline_serializer("Deploy", {
        "secret": fields.CharField(), "webhook_url": fields.CharField(), "token_url": fields.CharField(), "alert_json": fields.CharField()}),
        summary="Issue or rotate the secret; it is shown this once")  # fmt: skip
    def post(self, request: Request, pk: int) -> Response:
        trader(request)
        strategy = strategy_row(request, pk)
        secret = strategies.issue_secret(strategy, actor_of(request))
        urls = {"webhook_url": strategies.webhook_url(), "token_url": strategies.webhook_url(secret)}
        return Response({"secret": secret, **urls, "alert_json": strategies.alert_message(strategy, secret)})


class StrategyAcknowledge(APIView):
    @extend_schema(request=None, responses=show.StrategySerializer, summary="What the broker refused was seen: entries may leave again")
    def post(self, request: Request, pk: int) -> Response:
        trader(request)
        strategy = strategy_row(request, pk)
        refusals.acknowledge(strategy, actor=actor_of(request))
        return Response(show.StrategySerializer(strategy).data)


class RiskSettingsList(APIView):
    serializer_class = show.RiskSettingsSerializer
    FILTERS = {"scope": "scope", "account_id": "account_id", "strategy_id": "strategy__id"}

    @extend_schema(parameters=[*PAGING, *[OpenApiParameter(n, str) for n in FILTERS]], responses=show.RiskSettingsSerializer(many=True))
    def get(self, request: Request) -> Response:
        rows = RiskSettings.objects.for_user(request.user).select_related("strategy", "account")
        for name, column in self.FILTERS.items():
            value = request.query_params.get(name)
            if value is not None:
                self._check(name, value)
                rows = rows.filter(**{column: value})
        return page(request, rows, show.RiskSettingsSerializer)

    @staticmethod
    def _check(name: str, value: str) -> None:
        fits = value in Scope.values if name == "scope" else value.isdecimal() and len(value) < 19
        if not fits:
            raise AppError("INVALID_VALUE", f"{name}: {value[:40]} is not possible.", extra={"field": name})

    def post(self, request: Request) -> Response:
        trader(request)
        form = show.RiskSettingsSerializer(data=request.data, context={"request": request})
        form.is_valid(raise_exception=True)
        row = limits.create(form.validated_data, actor=actor_of(request))
        return Response(show.RiskSettingsSerializer(row).data, status=status.HTTP_201_CREATED)


class RiskSettingsDetail(APIView):
    serializer_class = show.RiskSettingsSerializer

    def _row(self, request: Request, pk: int) -> RiskSettings:
        return own(RiskSettings, request.user, pk, select=("strategy", "account"))

    def get(self, request: Request, pk: int) -> Response:
        return Response(show.RiskSettingsSerializer(self._row(request, pk)).data)

    def put(self, request: Request, pk: int) -> Response:
        return self._write(request, pk, partial=False)

    def patch(self, request: Request, pk: int) -> Response:
        return self._write(request, pk, partial=True)

    def _write(self, request: Request, pk: int, *, partial: bool) -> Response:
        trader(request)
        row = self._row(request, pk)
        if row.scope == Scope.GLOBAL:
            admin(request)
        data, proof = _without_proof(request.data)
        form = show.RiskSettingsSerializer(row, data=data, partial=partial, context={"request": request})
        form.is_valid(raise_exception=True)
        limits.ask_who(request.user, limits.loosened(row, form.validated_data), **proof)
        return Response(show.RiskSettingsSerializer(limits.update(row, form.validated_data, actor=actor_of(request))).data)

    def delete(self, request: Request, pk: int) -> Response:
        trader(request)
        row, (_, proof) = self._row(request, pk), _without_proof(request.data)
        if row.scope != Scope.GLOBAL:  # that one stays, whoever asks
            limits.ask_who(request.user, ["every limit"], **proof)
        limits.delete(row, actor=actor_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


def _without_proof(data: dict) -> tuple[dict, dict[str, str]]:
    """What is to be changed, and who says so (`password`, `otp`): asked for where a limit is loosened and real money can move."""
    known = {name: str(data[name]) for name in ("password", "otp") if isinstance(data, dict) and name in data}
    return {name: value for name, value in data.items() if name not in known} if known else data, known


class Kill(APIView):
    @extend_schema(request=show.KillSerializer, responses={200: {"type": "object"}}, summary="Stop trading")
    def post(self, request: Request) -> Response:
        trader(request)
        data, key = _kill_request(request)
        done = halt.kill(key, reason=data["reason"], actor=actor_of(request), cancel_open=data["cancel_open"])
        return Response({"scope": key, "state": "HALTED", **done})


class Release(APIView):
    """Where real money can move, whoever releases proves who they are; elsewhere the sign-in is enough."""

    @extend_schema(request=show.ReleaseSerializer, responses={200: {"type": "object"}}, summary="Let trading go on")
    def post(self, request: Request) -> Response:
        admin(request)
        data, key = _kill_request(request, show.ReleaseSerializer)
        if settings.ALLOW_LIVE or data["password"] or data["otp"]:
            stepup.confirm(request.user, password=data["password"], otp=data["otp"])
        halt.release(key, reason=data["reason"], actor=actor_of(request), code=data["code"])
        stop = state_of([key])
        return Response({"scope": key, "state": stop.state if stop else "ACTIVE"})


def _kill_request(request: Request, serializer: type[show.KillSerializer] = show.KillSerializer) -> tuple[dict, str]:
    form = serializer(data=request.data)
    form.is_valid(raise_exception=True)
    data = form.validated_data
    for model, pk in ((BrokerAccount, data["account_id"]), (Strategy, data["strategy_id"])):
        if pk is not None:
            own(model, request.user, pk)
    return data, halt.scope_key(data["scope"], data["account_id"], data["strategy_id"])


class Health(APIView):
    """Public and never throttled: one word. Signed in: the checks behind it."""

    permission_classes = (AllowAny,)
    throttle_classes = ()

    @extend_schema(responses={200: {"type": "object"}, 503: {"type": "object"}})
    def get(self, request: Request) -> Response:
        found = health.report()
        body = {"status": found["status"], "service": "tvapp", "environment": settings.PROFILE}
        if request.user.is_authenticated:
            body |= {"version": settings.VERSION, "checks": found["checks"]}
        return Response(body, status=503 if found["status"] == "down" else 200)


class Login(APIView):
    """Takes credentials, gives a token. It stands without CSRF because it trusts no cookie."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = () if settings.TEST_MODE else (AnonThrottle,)

    @extend_schema(request=show.LoginSerializer, responses=inline_serializer("Token", {"token": fields.CharField()}), auth=[])
    def post(self, request: Request) -> Response:
        form = show.LoginSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        user = authenticate(request._request, **form.validated_data)
        if user is None:
            raise AppError("WRONG_CREDENTIALS", "User name or password is wrong.", status=401)
        return Response({"token": new_token(user, "API sign-in")})


class Logout(APIView):
    @extend_schema(request=None, responses={204: None})
    def post(self, request: Request) -> Response:
        if request.auth is not None:
            type(request.auth).objects.filter(pk=request.auth.pk).update(revoked_at=clock.now())
        else:
            logout(request._request)
        return Response(status=status.HTTP_204_NO_CONTENT)


class Me(APIView):
    @extend_schema(responses={200: {"type": "object"}})
    def get(self, request: Request) -> Response:
        user = request.user
        return Response({"id": user.pk, "username": user.get_username(), "role": roles.role_of(user)})


class NothingHere(APIView):
    """Any other path under /api/: JSON, whoever asks."""

    permission_classes = (AllowAny,)

    @extend_schema(exclude=True)
    def get(self, request: Request, **kwargs) -> Response:
        if not request.user.is_authenticated:
            raise NotAuthenticated
        raise Http404

    post = put = patch = delete = get
