"""The door for alerts: reads at most 16 KiB, decides by content, answers within milliseconds, talks to nobody else."""

import logging

from django.conf import settings
from django.core.cache import cache
from django.db import OperationalError
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.exceptions import Throttled
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import APIView

from trading.services import ingest
from tvapp.lib import log
from tvapp.lib.errors import AppError
from tvapp.people.address import client_address
from tvapp.throttles import parse

logger = logging.getLogger("tvapp.webhook")
MOST = 16 * 1024
DRAIN = 4 * 1024 * 1024


class AlertParser(BaseParser):
    """Takes any content type and hands on the bytes: what a body is, is decided by what is in it."""

    media_type = "*/*"

    def parse(self, stream, media_type=None, parser_context=None) -> bytes:
        raw = stream.read(MOST + 1)
        if len(raw) > MOST:
            _drain(stream)
            raise too_large()
        return raw


def too_large() -> AppError:
    return AppError("TOO_LARGE", "An alert may have at most 16 KiB. Send fewer fields.", status=413)


def _drain(stream) -> None:
    """Reads on for a while, so that the sender gets our answer instead of a broken connection."""
    left = DRAIN
    while left > 0 and (chunk := stream.read(min(left, 65536))):
        left -= len(chunk)


class JsonOnly(BaseContentNegotiation):
    """The answer is JSON, whatever the Accept header says; the parser takes every content type."""

    def select_parser(self, request, parsers):
        return parsers[0]

    def select_renderer(self, request, renderers, format_suffix=None):
        return renderers[0], renderers[0].media_type


class RefusedSecrets:
    """Counts refused secrets per address. A right secret is never asked: TradingView sends everybody's alerts from the same four addresses
    and does not send a refused one again, so a stranger's wrong guesses must not cost a good alert.
    """

    @staticmethod
    def check(address: str) -> None:
        """One refused secret more; raises 429 when there were too many within the window."""
        most, window = parse(settings.THROTTLES["anon"])
        key = f"webhook:refused:{address}"
        if cache.add(key, 1, window):
            return
        try:
            count = cache.incr(key)
        except ValueError:  # the window ended between the two calls
            return
        if count > most and not settings.TEST_MODE:
            raise Throttled(wait=window)


class WebhookView(APIView):
    """POST one TradingView alert. 201 stored, 200 repeated or ignored, 4xx refused for good, 503 try again."""

    authentication_classes = ()
    permission_classes = ()
    parser_classes = (AlertParser,)
    renderer_classes = (JSONRenderer,)
    content_negotiation_class = JsonOnly
    throttle_classes = ()
    http_method_names = ["post", "options"]

    @extend_schema(
        summary="Deliver a TradingView alert",
        description="Any dialect, any content type. The secret stands in the body, or the strategy's token in the path.",
        request={"application/json": {"type": "object"}, "text/plain": {"type": "string"}},
        responses={
            201: OpenApiResponse(description="Stored: id, alert_id, order_id, order_ids, status, duplicate, correlation_id."),
            200: OpenApiResponse(description="A repeat, or stored and not acted upon."),
            401: OpenApiResponse(description="The secret is missing or wrong."),
        },
        auth=[],
    )
    def post(self, request, token: str | None = None) -> Response:
        source = client_address(request)
        if settings.TV_IP_ALLOWLIST and source not in settings.TV_IP_ALLOWLIST:
            raise AppError("ADDRESS_NOT_ALLOWED", "Alerts from this address are not accepted here.", status=403)
        cid = request._request.correlation_id
        try:
            raw = request.data if isinstance(request.data, bytes) else b""  # DRF parses nothing at all when there is no body
            wanted = request.query_params.get("dialect", "")
            answer = ingest.receive(raw, token=token, source=source, correlation_id=cid, wanted_dialect=wanted)
        except AppError as refused:
            logger.warning("alert refused: %s", refused.message, extra={"code": refused.code, "source": source})
            if refused.status == 401:
                RefusedSecrets.check(source)
            raise
        except OperationalError as busy:
            logger.error("alert not stored: %s", busy)
            raise AppError("DATABASE_BUSY", "The database is busy; nothing was stored. Send it again.", status=503) from busy
        request._request.correlation_id = answer.correlation_id
        with log.bound(answer.correlation_id):
            logger.info("alert %s %s", answer.alert_id, answer.word, extra={"duplicate": answer.duplicate, "orders": str(answer.order_ids)})
        return Response(answer.body(), status=answer.status)
