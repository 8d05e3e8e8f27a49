"""Every answer carries X-Request-ID, equal to the correlation id in bodies, rows and logs; every page asks who you are."""

import logging
import re
import time
from collections.abc import Callable

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse

from tvapp import errors
from tvapp.lib import ids, log
from tvapp.lib.errors import AppError

logger = logging.getLogger("tvapp.web")

# Reachable without a session: each one is listed here on purpose and a test holds the list against the routes.
PUBLIC_PATHS = re.compile(r"^/(login/|health/?$|static/|favicon\.ico$)")
# These answer for themselves: the API with 401 in JSON, the webhook and postbacks with their own secrets, the admin with its own login.
OWN_AUTH_PATHS = re.compile(r"^/(api/|webhook|postback/|admin/)")


class CorrelationMiddleware:
    """First in, last out: makes the correlation id, logs one line an answer, keeps data pages out of caches."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.correlation_id = ids.correlation_id()
        started = time.perf_counter()
        with log.bound(request.correlation_id):
            response = self.get_response(request)
            self._log(request, response, started)
        response["X-Request-ID"] = request.correlation_id
        response._has_been_logged = True  # our line above carries the correlation id; Django's own would be a second one without it
        if not request.path.startswith("/static/"):
            response.setdefault("Cache-Control", "no-store")
        return response

    @staticmethod
    def process_exception(request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """What a page's view refused, or a busy database, becomes a page that says so; anything else is a stumble (500)."""
        if isinstance(exception, AppError):
            return errors.app_error_page(request, exception)
        if isinstance(exception, OperationalError):
            logger.error("database busy: %s", exception)
            return errors.busy(request)
        return None

    @staticmethod
    def _log(request: HttpRequest, response: HttpResponse, started: float) -> None:
        if request.path.startswith("/static/") or request.path.rstrip("/") in ("/health", "/api/health"):
            return
        level = logging.WARNING if response.status_code >= 500 else logging.INFO
        facts = {"status": response.status_code, "ms": round((time.perf_counter() - started) * 1000, 1)}
        logger.log(level, "%s %s", request.method, request.path, extra=facts)


class LoginRequiredMiddleware:
    """A page without a session goes to the login; an htmx fragment is told to reload the page there."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if PUBLIC_PATHS.match(request.path) or OWN_AUTH_PATHS.match(request.path) or request.user.is_authenticated:
            return self.get_response(request)
        if request.headers.get("HX-Request"):
            return HttpResponse(status=204, headers={"HX-Redirect": settings.LOGIN_URL})
        return redirect_to_login(request.get_full_path(), settings.LOGIN_URL)
