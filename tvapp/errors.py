"""Refusals as people and programs see them: one JSON shape for the API, pages in the product's look, never a stack trace."""

import logging

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.core.exceptions import ValidationError as ModelValidationError
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from rest_framework import exceptions as drf
from rest_framework.response import Response

from tvapp.lib.errors import AppError

logger = logging.getLogger("tvapp.errors")

PAGES = {
    400: ("This request could not be read", "Go back and try once more. If you came from a link, it may be old."),
    403: ("This is not yours to open", "Ask an admin of this desk if you think it should be."),
    404: ("There is nothing here", "The page or row does not exist, or it belongs to somebody else."),
    429: ("Too many requests", "Wait a few seconds and try again."),
    500: ("The desk stumbled", "Nothing was sent because of this. The line in the log carries the id below."),
    503: ("The desk is busy", "Nothing was changed. Try again in a few seconds."),
}


def shape(code: str, message: str, correlation_id: str, extra: object = None) -> dict[str, object]:
    """The one error body: code, message, correlation_id, extra."""
    return {"code": code, "message": message, "correlation_id": correlation_id, "extra": extra or {}}


def _of(exc: Exception) -> tuple[int, str, str, dict[str, object]] | None:
    """Status, code, sentence and detail of an exception we know; None for one we do not."""
    if isinstance(exc, AppError):
        return exc.status, exc.code, exc.message, exc.extra
    if isinstance(exc, drf.ValidationError):
        return _validation(exc.detail)
    if isinstance(exc, ModelValidationError):
        detail = exc.message_dict if hasattr(exc, "error_dict") else {"": exc.messages}
        return _validation({k: [str(m) for m in v] for k, v in detail.items()})
    if isinstance(exc, Http404 | drf.NotFound):
        return 404, "NOT_FOUND", "There is no such row, or it belongs to somebody else.", {}
    if isinstance(exc, drf.NotAuthenticated | drf.AuthenticationFailed):
        return 401, "NOT_AUTHENTICATED", "Sign in, or send the header 'Authorization: Token …'.", {}
    if isinstance(exc, PermissionDenied | drf.PermissionDenied):
        return 403, "FORBIDDEN", str(getattr(exc, "detail", "")) or "This is not yours to do.", {}
    if isinstance(exc, drf.Throttled):
        return 429, "TOO_MANY_REQUESTS", "Too many requests. Wait a little and try again.", {"retry_after_s": int(exc.wait or 1)}
    if isinstance(exc, drf.ParseError):
        return 400, "NOT_JSON", "The body is not readable JSON.", {}
    if isinstance(exc, RequestDataTooBig):
        return 413, "TOO_LARGE", "The body is larger than the desk takes. Send less at once.", {}
    if isinstance(exc, SuspiciousOperation):
        return 400, "BAD_REQUEST", "This request could not be read.", {}
    if isinstance(exc, OperationalError):
        return 503, "DATABASE_BUSY", "The database is busy. Nothing was changed; try again in a moment.", {}
    if isinstance(exc, drf.APIException):
        return exc.status_code, str(exc.default_code).upper(), str(exc.detail), {}
    return None


def _validation(detail: object) -> tuple[int, str, str, dict[str, object]]:
    if isinstance(detail, dict) and detail:
        field, texts = next(iter(detail.items()))
        text = texts[0] if isinstance(texts, list) and texts else texts
        code = getattr(text, "code", "") or "INVALID_VALUE"
        code = str(code).upper() if str(code).isupper() else "INVALID_VALUE"
        sentence = f"{field}: {text}" if field and field != "non_field_errors" and code == "INVALID_VALUE" else str(text)
        return 400, code, sentence, {"field": field}
    text = detail[0] if isinstance(detail, list) and detail else detail
    return 400, "INVALID_VALUE", str(text), {}


def api_exception(exc: Exception, context: dict[str, object]) -> Response | None:
    """DRF's handler: every refusal in the one shape; an unknown exception is logged and answers 500 without detail."""
    request = context["request"]
    known = _of(exc)
    if known is None:
        logger.exception("unhandled exception in %s", getattr(request, "path", ""), exc_info=exc)
        known = 500, "INTERNAL", "The desk stumbled over this request; the log has the details under this id.", {}
    status, code, message, extra = known
    response = Response(shape(code, message, request.correlation_id, extra), status=status)
    response.exception = True
    if status == 429:
        response["Retry-After"] = str(extra.get("retry_after_s", 1))
    if status == 401:
        response["WWW-Authenticate"] = "Token"
    return response


def _page(request: HttpRequest, status: int, title: str = "", text: str = "", code: str = "") -> HttpResponse:
    cid = getattr(request, "correlation_id", "")
    default_title, default_text = PAGES[status]
    title, text = title or default_title, text or default_text
    if request.path.startswith(("/api/", "/webhook", "/postback/")):
        codes = {400: "BAD_REQUEST", 403: "FORBIDDEN", 404: "NOT_FOUND", 500: "INTERNAL", 503: "DATABASE_BUSY"}
        return JsonResponse(shape(code or codes.get(status, "REFUSED"), f"{title}. {text}", cid), status=status)
    context = {"status": status, "title": title, "text": text, "correlation_id": cid}
    return render(request, "error.html", context, status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _page(request, 400)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _page(request, 403)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _page(request, 404)


def server_error(request: HttpRequest) -> HttpResponse:
    return _page(request, 500)


def busy(request: HttpRequest) -> HttpResponse:
    """503: the database did not answer in time; nothing was changed."""
    return _page(request, 503)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    text = "The form was open for too long or came from another site. Go back, reload the page and try again."
    return _page(request, 403, "This form is no longer valid", text, "CSRF_FAILED")


def app_error_page(request: HttpRequest, exc: AppError) -> HttpResponse:
    """A refusal of the desk as a page of its own, for forms without JavaScript."""
    status = exc.status if exc.status in PAGES else 400
    context = {"status": exc.status, "title": "The desk refused this", "text": exc.message, "correlation_id": request.correlation_id}
    response = render(request, "error.html", context, status=status)
    response.status_code = exc.status
    return response
