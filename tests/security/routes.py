"""Every route there is, read from the resolver, so that a new one is walked without an edit here."""

import re
from dataclasses import dataclass

from django.apps import apps
from django.contrib import admin
from django.urls import URLPattern, get_resolver

from risk.models import RiskSettings
from tvapp.owned import OwnedModel

admin.autodiscover()

UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
_ARGUMENT = re.compile(r"<(?:\w+:)?(\w+)>")
_NOUNS = {m._meta.verbose_name_plural.replace(" ", "-"): m for m in apps.get_models() if issubclass(m, OwnedModel)}


@dataclass(frozen=True)
class Route:
    """`path` as the resolver writes it, without the leading slash."""

    path: str
    name: str
    view: object

    @property
    def takes_row(self) -> bool:
        return bool(_ARGUMENT.search(self.path)) and "token" not in self.path

    def url(self, owner=None) -> str:
        """The address with the ids of rows of `owner` in it."""
        row = _row_of(self, owner) if self.takes_row else None
        given = {"token": "nobody", "app_label": "trading", "url": "nowhere", "content_type_id": 1, "version_id": 1}
        path = _ARGUMENT.sub(lambda m: str(given.get(m[1], row.pk if row else 1)), self.path)
        return "/" + re.sub(r"\^\(\?P<app_label>[^)]*\)/\$|\^\(\?:api\|webhook\)/\.\*\$|\(\?P<url>\.\*\)\$", "api/nowhere/", path)


def _walk(patterns, prefix: str = "", space: str = ""):
    for entry in patterns:
        path = prefix + str(entry.pattern)
        if isinstance(entry, URLPattern):
            yield Route(path, f"{space}{entry.name}", entry.callback)
        else:
            yield from _walk(entry.url_patterns, path, f"{entry.namespace}:" if entry.namespace else space)


def all_routes() -> list[Route]:
    return list(_walk(get_resolver().url_patterns))


def routes() -> list[Route]:
    """Each once, although many answer with and without their trailing slash (test_routes: by the same view)."""
    every = all_routes()
    paths = {route.path for route in every}
    return [route for route in every if not (route.path.endswith("/") and route.path.rstrip("/") in paths)]


def _model_of(route: Route):
    for model in admin.site._registry:
        if route.name.startswith(f"admin:{model._meta.app_label}_{model._meta.model_name}_"):
            return model
    noun = route.path.partition("<")[0].rstrip("/").rpartition("/")[2]
    return next((m for name, m in _NOUNS.items() if name.endswith(noun)), None) if noun else None


def _row_of(route: Route, owner):
    """A row the route could be about: the owner's own where the model has owners. None: the route is about nobody's row."""
    model = _model_of(route)
    if model is None:
        assert route.name.startswith("admin:"), f"{route.path}: whose row is this? Name it so that routes.py finds the model."
        return None
    rows = model._default_manager.all()
    if model is RiskSettings:
        rows = rows.exclude(scope="GLOBAL")
    if hasattr(rows, "for_user"):
        rows = rows.filter(owner=owner)
    elif model._meta.model_name == "orderevent":
        rows = rows.filter(order__owner=owner)
    elif model._meta.model_name == "user":
        rows = rows.filter(pk=owner.pk)
    elif model._meta.model_name == "tradingstate":
        rows = rows.exclude(scope="GLOBAL")
    return rows.order_by("pk").first()
