"""Every route against everybody who should not get in: nobody signed in, another trader, a viewer, somebody without a role, another site."""

import pytest
from django.test import Client

from tests.security.routes import UNSAFE, all_routes, routes
from tests.security.rows import fingerprint
from tests.tvapp.people import browser

ALERTS = {f"{path}{slash}" for path in ("webhook", "webhook/tradingview", "api/webhook/tradingview", "webhook/tv/<str:token>") for slash in ("", "/")}
POSTBACKS = {"postback/zerodha/<str:token>", "postback/zerodha/<str:token>/"}
LOGIN = {"api/auth/login", "api/auth/login/"}
# Reachable without a session. Everything else answers 401, 403, 404, 405 or leads to the sign-in.
PUBLIC = {"login/", "favicon.ico", "health", "health/", "api/health", "api/health/", "admin/logout/"} | LOGIN | ALERTS | POSTBACKS
CSRF_EXEMPT = ALERTS | POSTBACKS | LOGIN
REFUSALS = {401, 403, 404, 405}
# What everybody may do to themselves.
OWN_AFFAIRS = {"logout/", "api/auth/logout", "api/auth/logout/"} | PUBLIC
# Rows that belong to the desk: everybody with a role may read them.
SHARED = ("admin:brokers_instrument_", "admin:brokers_quote_", "admin:brokers_freezelimit_", "admin:brokers_chargeschedule_")

pytestmark = pytest.mark.django_db


def _refused(answer) -> bool:
    to_sign_in = answer.status_code == 302 and answer["Location"].startswith(("/login/", "/admin/login/"))
    return answer.status_code in REFUSALS or to_sign_in


def _denied(answer) -> bool:
    """The admin leads away from a row that is not there, and does not say whether it is; its old addresses lead to the change page."""
    away = answer.status_code == 302 and (answer["Location"] in ("/admin/", "/queue") or answer["Location"].endswith("/change/"))
    return away or _refused(answer)


def _not_denied(client, owner, walked) -> list[tuple[str, str]]:
    """Who may look may also POST to a settings page; what counts there is that nothing changed. Its other methods are reads."""
    pages = [r for r in walked if not r.name.startswith("admin:")]
    for route in set(walked) - set(pages):
        assert client.post(route.url(owner), "{}", "application/json").status_code < 500, route.path
    return [(m, r.path) for r in pages for m in UNSAFE if not _denied(client.generic(m, r.url(owner), "{}", "application/json"))]


def test_it_lets_a_stranger_into_the_public_routes_only(victim, stranger):
    before = fingerprint()
    open_to_all = {r.path for r in all_routes() for method in ("GET", "HEAD", *UNSAFE) if not _refused(stranger.generic(method, r.url(victim.owner)))}
    assert open_to_all - PUBLIC == set()
    assert fingerprint() == before


def test_it_lists_no_public_route_that_is_gone():
    assert PUBLIC - {r.path for r in all_routes()} == set()


def test_it_serves_the_same_with_and_without_the_trailing_slash():
    views = {}
    for route in all_routes():
        views.setdefault(route.path.rstrip("/"), set()).add(_code(route.view))
    assert [path for path, code in views.items() if path and len(code) > 1] == []


def _code(view) -> object:
    return getattr(view, "cls", view)


def test_it_asks_every_session_for_a_csrf_token_but_on_the_listed_routes():
    def exempt(view) -> bool:
        by_session = any("Session" in a.__name__ for a in getattr(getattr(view, "cls", None), "authentication_classes", ()))
        return getattr(view, "csrf_exempt", False) and not by_session

    assert {r.path for r in all_routes() if exempt(r.view)} == CSRF_EXEMPT


def test_it_does_nothing_for_another_site_in_the_owners_browser(victim):
    client = Client(enforce_csrf_checks=True)
    client.force_login(victim.owner)
    before = fingerprint()
    walked = [r for r in routes() if r.path not in CSRF_EXEMPT]
    done = [(m, r.path) for r in walked for m in (UNSAFE if r.path.startswith("api/") else ["POST"]) if client.generic(m, r.url(victim.owner), "{}", "application/json").status_code < 400]
    assert done == []
    assert fingerprint() == before


def test_it_changes_nothing_by_reading(victim, boss):
    owner = browser(victim.owner)
    before = fingerprint()
    for route in routes():
        for client in (owner, boss):
            assert client.get(route.url(victim.owner)).status_code < 500 or "health" in route.path, route.path
    assert fingerprint() == before


@pytest.mark.parametrize("who", ["other", "viewer", "nobody"])
def test_it_shows_nobody_a_foreign_row(who, victim, request):
    client = request.getfixturevalue(who)
    walked = [r for r in routes() if r.takes_row and not r.name.startswith(SHARED)]
    assert [r.path for r in walked if not _denied(client.get(r.url(victim.owner)))] == []


@pytest.mark.parametrize("who", ["other", "viewer", "nobody"])
def test_it_lets_nobody_change_a_foreign_row(who, victim, request):
    client = request.getfixturevalue(who)
    before = fingerprint()
    assert _not_denied(client, victim.owner, [r for r in routes() if r.takes_row]) == []
    assert fingerprint() == before


@pytest.mark.parametrize("who", ["other", "viewer", "nobody"])
def test_it_names_nothing_foreign_on_any_list(who, victim, request):
    client = request.getfixturevalue(who)
    told = [r.path for r in routes() if b"victim" in client.get(r.url(victim.owner)).content]
    assert told == []


@pytest.mark.parametrize("who", ["viewer", "nobody"])
def test_it_lets_only_traders_act(who, victim, request):
    client = request.getfixturevalue(who)
    before = fingerprint()
    assert _not_denied(client, victim.owner, [r for r in routes() if r.path not in OWN_AFFAIRS]) == []
    assert fingerprint() == before
