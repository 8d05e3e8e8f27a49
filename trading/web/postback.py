"""Where a broker posts that an order moved. The answer is always the same; what it says is checked and then only asks for a read."""

import logging

from django.db import DatabaseError
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import APIView

from trading.services import hints
from trading.web.webhook import AlertParser, JsonOnly
from tvapp.lib.errors import AppError

logger = logging.getLogger("tvapp.postback")


class PostbackView(APIView):
    """POST what the broker has to say. 200 and one body for everything: a stranger learns nothing."""

    authentication_classes = ()
    permission_classes = ()
    parser_classes = (AlertParser,)
    renderer_classes = (JSONRenderer,)
    content_negotiation_class = JsonOnly
    throttle_classes = ()
    http_method_names = ["post", "options"]

    @extend_schema(
        summary="A broker's postback",
        description="Kite's checksum is verified; a true one makes the desk read the order book, any other one does nothing.",
        request={"application/json": {"type": "object"}},
        responses={200: OpenApiResponse(description="Received.")},
        auth=[],
    )
    def post(self, request, token: str) -> Response:
        try:
            hints.postback(token, _body(request))
        except DatabaseError as busy:  # a lost hint costs seconds: the next poll reads the book anyway
            logger.warning("a postback was not noted: %s", busy)
        return Response({"received": True})


def _body(request) -> bytes:
    """The bytes, nothing for a body that is too large or breaks off."""
    try:
        return request.data if isinstance(request.data, bytes) else b""
    except AppError:
        return b""
