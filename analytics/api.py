"""Figures over the API: the same selectors as the pages, exact numbers as JSON."""

from datetime import timedelta

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from analytics import latency
from trading.web.forms import LatencyFilter
from tvapp.lib.errors import AppError

FILTERS = [
    OpenApiParameter("from", OpenApiTypes.DATE, description="First day (IST)."),
    OpenApiParameter("to", OpenApiTypes.DATE, description="Last day (IST)."),
    OpenApiParameter("strategy", OpenApiTypes.INT, description="Id of a strategy."),
    OpenApiParameter("account", OpenApiTypes.INT, description="Id of an account."),
    OpenApiParameter("include_simulated", OpenApiTypes.BOOL, description="false: only orders of live accounts. Default: true."),
]
YES, NO = ("true", "1"), ("false", "0")


class Latency(APIView):
    @extend_schema(parameters=FILTERS, responses={200: {"type": "object"}}, summary="How long orders took, stage by stage, in milliseconds")
    def get(self, request: Request) -> Response:
        found = latency.of(request.user, _values(request))
        slowest = [{"order_id": order.pk, "ms": _ms(span)} for order, span in found.slowest]
        return Response({"orders": found.count, "cut": found.cut, "stages": [_stage(stage) for stage in found.stages], "slowest": slowest})


def _stage(stage: latency.Stage) -> dict[str, object]:
    spans = {f"{name}_ms": _ms(value) for name, value in vars(stage).items() if isinstance(value, timedelta)}
    return {name: getattr(stage, name) for name in ("name", "label", "who", "count")} | spans


def _ms(span: timedelta) -> float:
    return round(span / timedelta(milliseconds=1), 3)


def _values(request: Request) -> dict[str, object]:
    """The filters, checked: what is not on the list, or cannot be read, is refused by name."""
    names = {parameter.name for parameter in FILTERS}
    if unknown := sorted(request.query_params.keys() - names - {"format"}):
        raise AppError("UNKNOWN_FILTER", f"There is no filter {unknown[0]}.", extra={"field": unknown[0], "known": sorted(names)})
    simulated = request.query_params.get("include_simulated", "true").lower()
    if simulated not in YES + NO:
        raise AppError("INVALID_VALUE", "include_simulated: say true or false.", extra={"field": "include_simulated"})
    form = LatencyFilter({**request.query_params.dict(), "live": "1" if simulated in NO else ""}, user=request.user)
    if not form.is_valid():
        field, texts = next(iter(form.errors.items()))
        raise AppError("INVALID_VALUE", f"{field}: {texts[0]}", extra={"field": field})
    return form.values()
