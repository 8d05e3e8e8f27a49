"""The yardstick of start and memory: Django and DRF with our URLs and nothing of ours behind them.

What `startproject` gives, plus DRF; every page is a template of one line, every API route an APIView that answers an empty object.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.bench import place

_LIST = """
import json, django
django.setup()
from django.urls import get_resolver
def walk(patterns, root=""):
    for one in patterns:
        if hasattr(one, "url_patterns"):
            yield from walk(one.url_patterns, root + str(one.pattern))
        elif not root.startswith("admin/"):
            yield root + str(one.pattern), type(one.pattern).__name__ == "RegexPattern"
print(json.dumps(list(walk(get_resolver().url_patterns))))
"""


def write_routes(home: Path) -> Path:
    """The desk's routes (the admin's are Django's own) as JSON: [route, whether it is a regular expression]."""
    env = place.environment(home, DJANGO_SETTINGS_MODULE="tvapp.settings")
    said = subprocess.run([sys.executable, "-c", _LIST], cwd=place.ROOT, env=env, capture_output=True, text=True, check=True)
    file = home / "routes.json"
    file.write_text(said.stdout)
    return file


def _configure() -> None:
    from django.conf import settings

    contrib = ("admin", "auth", "contenttypes", "sessions", "messages", "staticfiles")
    middleware = (
        "django.middleware.security.SecurityMiddleware", "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware", "django.contrib.messages.middleware.MessageMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    )  # fmt: skip
    context = [f"django.{name}" for name in ("template.context_processors.request", "contrib.auth.context_processors.auth")]
    context.append("django.contrib.messages.context_processors.messages")
    engine = {"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True, "OPTIONS": {"context_processors": context}}
    settings.configure(
        SECRET_KEY="yardstick", ROOT_URLCONF="tests.bench.bare_django", ALLOWED_HOSTS=["*"], USE_TZ=True, STATIC_URL="/static/",
        INSTALLED_APPS=[*(f"django.contrib.{name}" for name in contrib), "rest_framework"], MIDDLEWARE=list(middleware), TEMPLATES=[engine],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{os.environ['TVAPP_HOME']}/tvapp.sqlite3"}},
    )  # fmt: skip


def _patterns() -> list:
    from django.contrib import admin
    from django.http import HttpResponse
    from django.template import engines
    from django.urls import path, re_path
    from rest_framework.response import Response
    from rest_framework.views import APIView

    class Nothing(APIView):
        permission_classes = ()

        def get(self, request, **kwargs):
            return Response({})

    def page(request, **kwargs):
        return HttpResponse(engines["django"].from_string("{{ request.path }}").render({}, request))

    routes = json.loads(Path(os.environ["BARE_ROUTES"]).read_text())
    views = [(re_path if regex else path, route, Nothing.as_view() if "api" in route or "health" in route else page) for route, regex in routes]
    return [path("admin/", admin.site.urls), *(make(route, view) for make, route, view in views)]


if "BARE_ROUTES" in os.environ:
    _configure()
    from django.core.wsgi import get_wsgi_application

    application = get_wsgi_application()
    urlpatterns = _patterns()
