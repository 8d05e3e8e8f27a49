"""Real money over the API: arming a strategy, taking that back, and the desk's switch. Thin: who asks proves it, a service decides."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from risk.models import LiveArm
from trading.selectors import live
from trading.services import arming, disarming
from trading.web.api import actor_of, admin, strategy_row, trader
from trading.web.serializers import StrictMixin
from tvapp.lib import clock
from tvapp.people import stepup


class ProofSerializer(StrictMixin, serializers.Serializer):
    """Who asks, once more: the password, or the code of a second factor where one is enrolled."""

    password = serializers.CharField(max_length=256, required=False, default="", trim_whitespace=False)
    otp = serializers.CharField(max_length=16, required=False, default="")


class ArmSerializer(ProofSerializer):
    confirm = serializers.CharField(max_length=120, help_text="The strategy's name, typed.")
    waiver = serializers.CharField(max_length=200, required=False, default="", allow_blank=True, help_text="Why it may go without the paper orders.")


class PaperOnlySerializer(ProofSerializer):
    on = serializers.BooleanField()


def _shown(strategy_id: int, row: LiveArm | None) -> Response:
    facts = {"armed": row is not None, "by": row.by if row else None, "at": row.at if row else None, "until": row.until if row else None}
    return Response({"strategy_id": strategy_id, **facts})


class StrategyArm(APIView):
    @extend_schema(request=ArmSerializer, responses={200: {"type": "object"}}, summary="Arm for live orders until the market closes today")
    def post(self, request: Request, pk: int) -> Response:
        trader(request)
        strategy = strategy_row(request, pk)
        form = ArmSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        said = form.validated_data
        stepup.confirm(request.user, password=said["password"], otp=said["otp"])
        return _shown(pk, arming.arm(strategy, confirm=said["confirm"], waiver=said["waiver"], actor=actor_of(request)))


class StrategyDisarm(APIView):
    @extend_schema(request=None, responses={200: {"type": "object"}}, summary="Live entries of the strategy are refused from now on")
    def post(self, request: Request, pk: int) -> Response:
        trader(request)
        disarming.disarm(strategy_row(request, pk), f"{actor_of(request)} disarmed it", actor=actor_of(request))
        return _shown(pk, live.arm_of(pk, clock.now()))


class PaperOnly(APIView):
    @extend_schema(request=PaperOnlySerializer, responses={200: {"type": "object"}}, summary="No live order leaves; off needs the password")
    def post(self, request: Request) -> Response:
        trader(request)
        form = PaperOnlySerializer(data=request.data)
        form.is_valid(raise_exception=True)
        said = form.validated_data
        if not said["on"]:
            admin(request)
            stepup.confirm(request.user, password=said["password"], otp=said["otp"])
        arming.paper_only(said["on"], actor=actor_of(request))
        return Response({"paper_only": said["on"]})
