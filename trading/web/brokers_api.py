"""Accounts and broker sessions by API. Keys and secrets go in and never come out; whatever talks to a broker is left to a worker."""

from decimal import Decimal

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from brokers import secrets, session
from brokers.admin import masked
from brokers.models import BrokerAccount, BrokerName, Liquidity, SessionState
from trading.selectors import connections
from trading.services import connect
from trading.web.api import PAGING, actor_of, own, page, trader
from trading.web.serializers import Number, StrictMixin
from tvapp.lib.errors import AppError
from tvapp.validators import one_line

ACCOUNT_ID = OpenApiParameter("account_id", int, description="Which Zerodha account; may be left out while there is one.")


class AccountSerializer(StrictMixin, serializers.ModelSerializer):
    """`api_key` is shown by its last four characters; `api_secret` is only ever written."""

    broker = serializers.ChoiceField(choices=BrokerName.choices, required=False)
    api_secret = serializers.CharField(source="credentials", write_only=True, required=False, max_length=64, validators=[one_line])
    liquidity = serializers.ChoiceField(choices=Liquidity.choices, required=False)
    capital = Number(required=False, min_value=Decimal(0))
    slippage_bps = Number(required=False, max_digits=6, decimal_places=2, min_value=Decimal(0), max_value=1000)
    participation_pct = Number(required=False, max_digits=6, decimal_places=2, min_value=Decimal(0), max_value=100)
    has_secret = serializers.SerializerMethodField()
    connected = serializers.SerializerMethodField()
    expires_at = serializers.SerializerMethodField()

    class Meta:
        model = BrokerAccount
        fields = (
            "id", "name", "broker", "environment", "enabled", "state", "api_key", "api_secret", "has_secret", "client_id", "source_ip", "sell_t1",
            "capital", "slippage_bps", "liquidity", "participation_pct", "fill_on_touch", "connected", "expires_at", "created_at",
        )  # fmt: skip
        read_only_fields = ("id", "environment", "state", "created_at")
        extra_kwargs = {name: {"validators": [one_line]} for name in ("api_key", "client_id")}

    def get_has_secret(self, account) -> bool:
        return secrets.is_set(account, "credentials")

    def get_connected(self, account) -> bool:
        return session.is_connected(connections.row_of(account))

    def get_expires_at(self, account) -> str | None:
        row = connections.row_of(account)
        return row.expires_at.isoformat() if row and row.expires_at else None

    def to_representation(self, account) -> dict:
        return super().to_representation(account) | {"api_key": masked(account.api_key)}

    def validate_client_id(self, value: str) -> str:
        return value.strip().upper()

    def validate_broker(self, value: str) -> str:
        if self.instance is not None and value != self.instance.broker:
            raise serializers.ValidationError("The broker of an account stays what it is.")
        return value

    def validate(self, data: dict) -> dict:
        if self.instance is not None and data.get("api_key") == masked(self.instance.api_key):
            data.pop("api_key")  # what was shown came back
        return data


class AccountList(APIView):
    serializer_class = AccountSerializer

    @extend_schema(parameters=PAGING, responses=AccountSerializer(many=True), summary="Accounts")
    def get(self, request: Request) -> Response:
        return page(request, BrokerAccount.objects.for_user(request.user).select_related("session"), AccountSerializer)

    @extend_schema(responses={201: AccountSerializer}, summary="Add an account; a Zerodha one starts logged out")
    def post(self, request: Request) -> Response:
        trader(request)
        form = AccountSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        account = connect.add_account(request.user, {"broker": BrokerName.ZERODHA, **form.validated_data}, actor=actor_of(request))
        return Response(AccountSerializer(account).data, status=status.HTTP_201_CREATED)


class AccountDetail(APIView):
    serializer_class = AccountSerializer

    def get(self, request: Request, pk: int) -> Response:
        return Response(AccountSerializer(own(BrokerAccount, request.user, pk, select=("session",))).data)

    def patch(self, request: Request, pk: int) -> Response:
        trader(request)
        account = own(BrokerAccount, request.user, pk, select=("session", "owner"))
        form = AccountSerializer(account, data=request.data, partial=True)
        form.is_valid(raise_exception=True)
        return Response(AccountSerializer(connect.change_account(account, form.validated_data, actor=actor_of(request))).data)


class WhichSerializer(StrictMixin, serializers.Serializer):
    account_id = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=2**62)


class ConnectSerializer(WhichSerializer):
    request_token = serializers.CharField(max_length=2000)


class LoginUrlSerializer(serializers.Serializer):
    login_url = serializers.URLField()
    account_id = serializers.IntegerField()


class StatusSerializer(serializers.Serializer):
    connected = serializers.BooleanField()
    user_id = serializers.CharField(allow_null=True)
    user_name = serializers.CharField(allow_null=True)
    updated_at = serializers.DateTimeField(allow_null=True)
    expires_at = serializers.DateTimeField(allow_null=True)
    error = serializers.CharField(allow_null=True)
    error_code = serializers.CharField(allow_null=True)
    state = serializers.ChoiceField(choices=SessionState.choices)
    account_id = serializers.IntegerField(allow_null=True)


def _asked(request: Request) -> int | None:
    text = request.query_params.get("account_id")
    if text is None or (text.isdecimal() and len(text) < 19):
        return int(text) if text else None
    raise AppError("INVALID_VALUE", "account_id must be a whole number.", extra={"field": "account_id"})


def _status(account: BrokerAccount | None) -> dict[str, object]:
    row = session.row_of(account) if account else None
    names = ("user_id", "user_name", "updated_at", "expires_at", "error", "error_code")
    facts = {name: (getattr(row, name) or None) if row else None for name in names}
    state = row.state if row else SessionState.NONE
    return StatusSerializer({**facts, "connected": session.is_connected(row), "state": state, "account_id": account.pk if account else None}).data


class LoginUrl(APIView):
    @extend_schema(parameters=[ACCOUNT_ID], responses=LoginUrlSerializer, summary="Where to log in; good for ten minutes and one login")
    def get(self, request: Request) -> Response:
        trader(request)
        account = connect.one_account(request.user, _asked(request))
        return Response({"login_url": session.login_url(account, request.user), "account_id": account.pk})


class Connect(APIView):
    @extend_schema(request=ConnectSerializer, responses={202: StatusSerializer}, summary="Hand over a request token; a worker completes the login")
    def post(self, request: Request) -> Response:
        trader(request)
        form = ConnectSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        account = connect.one_account(request.user, form.validated_data.get("account_id") or _asked(request))
        connect.take_token(account, form.validated_data["request_token"])
        return Response(_status(account), status=status.HTTP_202_ACCEPTED)


class Status(APIView):
    @extend_schema(parameters=[ACCOUNT_ID], responses=StatusSerializer, summary="The session of a Zerodha account")
    def get(self, request: Request) -> Response:
        asked = _asked(request)
        none = asked is None and not connect.accounts_of(request.user).exists()
        return Response(_status(None if none else connect.one_account(request.user, asked)))


class Disconnect(APIView):
    @extend_schema(request=WhichSerializer, responses={202: StatusSerializer}, summary="End the session at the broker")
    def post(self, request: Request) -> Response:
        trader(request)
        form = WhichSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        account = connect.one_account(request.user, form.validated_data.get("account_id") or _asked(request))
        connect.disconnect(account, actor=actor_of(request))
        return Response(_status(account), status=status.HTTP_202_ACCEPTED)
