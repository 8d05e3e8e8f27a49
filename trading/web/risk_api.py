"""Where the limits stand, over the API. Thin: the selector decides, this only shows."""

from decimal import Decimal

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from trading.selectors import rms
from tvapp.lib.money import plain


class RiskStatus(APIView):
    @extend_schema(summary="Limits used, reserved and left; what is stopped; how old the data is", responses={200: {"type": "object"}})
    def get(self, request: Request) -> Response:
        return Response(shown(rms.status(request.user)))


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
