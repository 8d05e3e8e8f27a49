"""The API of triggers (GTT): what stands at the broker, and the wish that one goes."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from trading.models import Gtt
from trading.selectors import gtts
from trading.services import gtt
from trading.web import api


class GttSerializer(serializers.ModelSerializer):
    symbol = serializers.SerializerMethodField()

    class Meta:
        model = Gtt
        fields = (
            "id", "account_id", "order_id", "broker_gtt_id", "kind", "state", "symbol", "exchange", "tradingsymbol", "triggers", "legs", "results",
            "delete_asked", "message", "created_at", "updated_at", "seen_at",
        )  # fmt: skip
        read_only_fields = fields

    def get_symbol(self, row) -> str:
        return f"{row.exchange}:{row.tradingsymbol}"


class GttList(api.APIView):
    serializer_class = GttSerializer

    @extend_schema(parameters=api.PAGING, responses=GttSerializer(many=True), summary="Triggers (GTT), newest first, those placed outside too")
    def get(self, request: Request) -> Response:
        return api.page(request, gtts.of_user(request.user), GttSerializer)


class GttDetail(api.APIView):
    serializer_class = GttSerializer

    def get(self, request: Request, pk: int) -> Response:
        return Response(GttSerializer(api.own(Gtt, request.user, pk)).data)

    @extend_schema(request=None, responses={202: GttSerializer}, summary="Ask the broker to delete a trigger; its order is cancelled with it")
    def delete(self, request: Request, pk: int) -> Response:
        api.trader(request)
        row = gtt.ask_delete(api.own(Gtt, request.user, pk, select=("order", "order__account")), actor=api.actor_of(request))
        return Response(GttSerializer(row).data, status=status.HTTP_202_ACCEPTED)
