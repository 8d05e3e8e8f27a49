"""The API of a broker's books: positions, holdings and trades as of the last read, a fresh read on demand, and settling an order under review."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from brokers.models import BrokerAccount
from trading.models import Drift, Fill
from trading.selectors import books as read
from trading.selectors import drift as drifts
from trading.services import drift, polling, resolve, turned
from trading.web import api
from trading.web.serializers import Number, OrderSerializer, StrictMixin
from tvapp.lib.money import plain


class TradeSerializer(serializers.ModelSerializer):
    symbol = serializers.CharField(source="instrument.key", read_only=True)
    quantity = Number(read_only=True)
    price = Number(read_only=True)

    class Meta:
        model = Fill
        fields = (
            "id", "order_id", "account_id", "strategy_id", "symbol", "exchange", "trade_id", "trading_day", "side", "product", "quantity", "price",
            "at", "simulated",
        )  # fmt: skip


class ResolveSerializer(StrictMixin, serializers.Serializer):
    """`as` is a Python keyword, so the field is added below."""

    broker_order_id = serializers.CharField(max_length=40, required=False, default="", allow_blank=True)

    def get_fields(self):
        return {"as": serializers.ChoiceField(choices=[(way, way) for way in resolve.WAYS]), **super().get_fields()}


def books_of(user) -> list[dict[str, object]]:
    """When each account's books were read last, and what went wrong since."""
    return [_book(row) for row in read.synced(user)]


def _book(row: read.Synced) -> dict[str, object]:
    state = row.state
    return {
        "account_id": row.account.pk, "account": row.account.name, "state": row.account.state, "synced_at": row.at,
        "positions_at": state.positions_at if state else None, "holdings_at": state.holdings_at if state else None,
        "changed": state.changed if state else 0, "waits": row.waits, "error_code": state.error_code if state else "",
        "error": state.error if state else "",
    }  # fmt: skip


def _position(row: read.Row) -> dict[str, object]:
    numbers = {"quantity": row.quantity, "ours": row.ours, "broker": row.broker, "average_price": row.average, "ltp": row.ltp}
    numbers |= {"unrealised": row.unrealised, "realised": row.realised}
    return {
        "account_id": row.account.pk, "symbol": f"{row.exchange}:{row.tradingsymbol}", "product": row.product, "drift": row.drift,
        "ltp_at": row.ltp_at, "at": row.at, **{name: plain(value) for name, value in numbers.items()},
    }  # fmt: skip


def _holding(row: read.HoldingRow) -> dict[str, object]:
    there = row.row
    numbers = {"quantity": there.quantity, "t1_quantity": there.t1_quantity, "used_quantity": there.used_quantity, "sellable": row.sellable}
    numbers |= {"collateral_quantity": there.collateral_qty, "average_price": there.average, "ltp": row.ltp, "value": row.value, "result": row.result}
    return {
        "account_id": row.account.pk, "symbol": f"{there.exchange}:{there.tradingsymbol}", "ltp_at": row.ltp_at, "at": there.at,
        **{name: plain(value) for name, value in numbers.items()},
    }  # fmt: skip


class AdoptSerializer(StrictMixin, serializers.Serializer):
    """`ours` and `theirs` as they were shown; `strategy_id` where several strategies could be the one that was closed."""

    ours = serializers.DecimalField(max_digits=22, decimal_places=8, required=False)
    theirs = serializers.DecimalField(max_digits=22, decimal_places=8, required=False)
    strategy_id = serializers.IntegerField(required=False)


def _difference(one: drifts.Shown) -> dict[str, object]:
    row = one.row
    return {
        "id": row.pk, "account_id": row.account_id, "symbol": f"{row.exchange}:{row.tradingsymbol}", "product": row.product,
        "ours": plain(row.ours), "theirs": plain(row.theirs), "since": row.since, "read_at": row.read_at, "text": one.text,
        "strategies": [{"id": pk, "name": name} for pk, name in one.choices.items()], "settled_at": row.settled_at, "settled_by": row.settled_by,
    }  # fmt: skip


class Differences(APIView):
    @extend_schema(responses={200: {"type": "object"}}, summary="Positions in which the broker and the desk disagree")
    def get(self, request: Request) -> Response:
        return Response({"results": [_difference(one) for one in drifts.shown(request.user)], "next": None})


class Adopt(APIView):
    throttle_classes = api._ACTION_THROTTLES

    @extend_schema(request=AdoptSerializer, responses={200: {"type": "object"}}, summary="Take over the broker's figure of a position")
    def post(self, request: Request, pk: int) -> Response:
        api.trader(request)
        row = api.own(Drift, request.user, pk)
        form = AdoptSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        return Response(_difference(drifts.show(drift.adopt(row, actor=api.actor_of(request), **form.validated_data))))


class Positions(APIView):
    @extend_schema(responses={200: {"type": "object"}}, summary="Open positions and those closed today, the broker's figure beside ours")
    def get(self, request: Request) -> Response:
        rows = [_position(row) for row in read.positions(request.user)]
        return Response({"results": rows, "next": None, "accounts": books_of(request.user)})


class Holdings(APIView):
    @extend_schema(responses={200: {"type": "object"}}, summary="Shares in the depository")
    def get(self, request: Request) -> Response:
        rows = [_holding(row) for row in read.holdings(request.user)]
        return Response({"results": rows, "next": None, "accounts": books_of(request.user)})


class Trades(APIView):
    serializer_class = TradeSerializer

    @extend_schema(parameters=api.PAGING, responses=TradeSerializer(many=True), summary="Executions, newest first")
    def get(self, request: Request) -> Response:
        return api.page(request, read.trades(request.user), TradeSerializer)


class AccountSync(APIView):
    @extend_schema(request=None, responses={202: {"type": "object"}}, summary="Read the account's books now")
    def post(self, request: Request, pk: int) -> Response:
        api.trader(request)
        account = api.own(BrokerAccount, request.user, pk)
        polling.ask(account)
        shown = next((book for book in books_of(request.user) if book["account_id"] == pk), {"account_id": pk, "account": account.name})
        return Response(shown, status=status.HTTP_202_ACCEPTED)


class OrderResolve(APIView):
    throttle_classes = api._ACTION_THROTTLES

    @extend_schema(request=ResolveSerializer, responses={202: OrderSerializer}, summary="Settle an order that needs review")
    def post(self, request: Request, pk: int) -> Response:
        api.trader(request)
        order = api.order_row(request, pk)
        form = ResolveSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        data = form.validated_data
        settled = resolve.resolve(order, data["as"], actor=api.actor_of(request), broker_order_id=data["broker_order_id"])
        return api._order(settled, status.HTTP_202_ACCEPTED)


class OrderClose(APIView):
    throttle_classes = api._ACTION_THROTTLES

    @extend_schema(request=None, responses={202: OrderSerializer}, summary="Close what this stop or target turned around")
    def post(self, request: Request, pk: int) -> Response:
        api.trader(request)
        return api._order(turned.close(api.order_row(request, pk), actor=api.actor_of(request)), status.HTTP_202_ACCEPTED)
