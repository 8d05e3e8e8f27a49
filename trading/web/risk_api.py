"""Where the limits stand, over the API. Thin: the selector decides, this only shows."""

from datetime import date, datetime, time
from decimal import Decimal

from django.utils.dateparse import parse_datetime
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from brokers.models import BrokerAccount
from trading.models import Mode, OrderType, Product, Side, Strategy
from trading.selectors import rms
from trading.services import whatif
from trading.web.api import own, trader
from trading.web.serializers import Number, StrictMixin
from tvapp.lib import clock
from tvapp.lib.errors import AppError
from tvapp.lib.money import plain


class RiskStatus(APIView):
    @extend_schema(summary="Limits used, reserved and left; what is stopped; how old the data is", responses={200: {"type": "object"}})
    def get(self, request: Request) -> Response:
        return Response(shown(rms.status(request.user)))


class IntentSerializer(StrictMixin, serializers.Serializer):
    """An order nobody placed. `symbol` is EXCHANGE:SYMBOL; account and strategy by id."""

    account_id = serializers.IntegerField(required=False)
    strategy_id = serializers.IntegerField(required=False)
    symbol = serializers.CharField(max_length=80)
    side = serializers.ChoiceField(choices=Side.choices)
    quantity = Number(min_value=Decimal("0.00000001"))
    order_type = serializers.ChoiceField(choices=OrderType.choices, default=OrderType.MARKET)
    product = serializers.ChoiceField(choices=Product.choices, default=Product.MIS)
    mode = serializers.ChoiceField(choices=Mode.choices, default=Mode.MANUAL)
    price = Number(required=False, allow_null=True, min_value=Decimal("0.00000001"))
    trigger_price = Number(required=False, allow_null=True, min_value=Decimal("0.00000001"))
    ref_price = Number(required=False, allow_null=True, min_value=Decimal("0.00000001"))
    reduce_only = serializers.BooleanField(default=False)


class WhatIf(APIView):
    @extend_schema(summary="What the risk check would say", request={"application/json": {"type": "object"}}, responses={200: {"type": "object"}})
    def post(self, request: Request) -> Response:
        trader(request)
        body = request.data if isinstance(request.data, dict) else {}
        for name in body.keys() - {"intent", "limits", "from", "to"}:
            raise AppError("UNKNOWN_FIELD", f"There is no field {name} that could be set here.", extra={"field": name})
        if "intent" in body:
            return Response(whatif.shown(whatif.one(**self._intent(request, body["intent"]), limits=body.get("limits"))))
        start, end = (_instant(body, name) for name in ("from", "to"))
        if start > end:
            raise AppError("INVALID_VALUE", "from must not be later than to.", extra={"field": "from"})
        return Response(whatif.period_shown(whatif.period(request.user, start, end, body.get("limits", {}))))

    def _intent(self, request: Request, given: object) -> dict[str, object]:
        form = IntentSerializer(data=given)
        form.is_valid(raise_exception=True)
        data = dict(form.validated_data)
        strategy_id, account_id = data.pop("strategy_id", None), data.pop("account_id", None)
        strategy = own(Strategy, request.user, strategy_id, select=("account",)) if strategy_id else None
        account = own(BrokerAccount, request.user, account_id) if account_id else strategy.account if strategy else _only_account(request)
        return {"strategy": strategy, "account": account, "instrument": whatif.instrument(data.pop("symbol")), **data}


def _instant(body: dict, name: str) -> datetime:
    """A day or a time; a day without a zone is one in IST."""
    text = str(body.get(name, ""))
    try:
        found = parse_datetime(text) or datetime.combine(date.fromisoformat(text), time.min)
    except ValueError as exc:
        words = "Give an intent to judge one order, or from and to (a day or an ISO time) for the decisions of a period."
        raise AppError("INVALID_VALUE", words, extra={"field": name}) from exc
    return found if found.tzinfo else found.replace(tzinfo=clock.IST)


def _only_account(request: Request) -> BrokerAccount:
    account = BrokerAccount.objects.for_user(request.user).order_by("id").first()
    if account is None:
        raise AppError("MISSING_FIELD", "There is no account to judge it for.", extra={"field": "account_id"})
    return account


def shown(status: rms.Status) -> dict[str, object]:
    """The status as JSON; figures are exact texts."""
    return {
        "at": status.at.isoformat(),
        "scopes": [_scope(one) for one in status.scopes],
        "data": [{"name": d.name, "of": d.of, "at": d.at, "age_s": d.age_s, "fresh_for_s": d.fresh_s, "old": d.old} for d in status.data],
        "codes": [{"verdict": verdict, "code": code, "count": count} for verdict, code, count in status.codes],
        "decisions": [
            {"id": d.pk, "order_id": d.order_key, "at": d.at, "verdict": d.verdict, "code": d.code, "sentence": d.sentence} for d in status.decisions
        ],
    }


def _scope(one: rms.ScopeStatus) -> dict[str, object]:
    day = {name: plain(_paisa(getattr(one.result, name))) for name in ("realised", "unrealised", "charges", "day_pnl")}
    return {
        "scope": one.label, "key": one.key, "live": one.live, "state": one.state, "reason": one.stop.reason if one.stop else "",
        "limits_id": one.limits_id, "limits": [_gauge(gauge) for gauge in one.gauges],
        "day": {**day, "estimated": one.result.estimated, "without_price": one.result.marks_stale},
        "trips": [{"id": t.pk, "code": t.code, "effect": t.effect, "reason": t.reason, "at": t.at, "until": t.until} for t in one.trips],
    }  # fmt: skip


def _gauge(gauge: rms.Gauge) -> dict[str, object]:
    figures = {name: plain(value) if (value := getattr(gauge, name)) is not None else None for name in ("limit", "used", "reserved", "room", "pct")}
    return {"parameter": gauge.parameter, "label": gauge.label, "unit": gauge.unit, **figures, "note": gauge.note}


def _paisa(value: Decimal) -> Decimal:
    return round(value, 4)
