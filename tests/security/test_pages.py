"""What every answer carries, and what hostile text becomes on every page, chart and answer."""

import json
import re

import pytest
from django.test import Client

from brokers.models import BrokerAccount, BrokerSession
from risk.models import Decision, TradingState
from tests import factories as make
from tests.security.routes import routes
from tests.tvapp.people import browser
from trading.models import Alert, Order, OrderAttempt, OrderEvent, Strategy, SystemEvent

pytestmark = pytest.mark.django_db

HOSTILE = "\"'><xss-7f3a onload=q(1)>{{7919*7907}}{% debug %}\u2028=cmd"
INLINE = re.compile(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)|<[a-z][^>]*\son[a-z]+\s*=|javascript:", re.I)
TO_KITE = ("/brokers", "/brokers/add")  # their form leads to the broker's login page
UNSAFE_MARKS = ("<xss-7f3a", "62615533")


def answers(client, owner):
    for route in routes():
        yield route, client.get(route.url(owner))


def _broken_pages(owner) -> list:
    client, strict = browser(owner), Client(enforce_csrf_checks=True)
    found = [client.get("/nothing"), client.get("/", headers={"Host": "elsewhere.example"}), client.get("/orders/999999999")]
    return [*found, strict.post("/login/", {"username": "x"}), client.get("/api/nothing"), client.post("/api/orders"), client.get("/orders/1/execute")]


def test_it_sends_every_protection_with_every_answer(victim, boss):
    for answer in [*(a for _, a in answers(boss, victim.owner)), *_broken_pages(victim.owner)]:
        where, policy = answer.request["PATH_INFO"], answer["Content-Security-Policy"]
        directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
        assert directives["script-src"] == "'self'" and directives["frame-ancestors"] == "'none'", where
        assert directives["default-src"] == directives["base-uri"] == "'none'", where
        assert directives["form-action"] == ("'self' https://kite.zerodha.com" if where in TO_KITE else "'self'"), where
        assert answer["X-Content-Type-Options"] == "nosniff" and answer["Referrer-Policy"] == "same-origin", where
        assert answer["X-Request-ID"] and "X-Powered-By" not in answer, where


def test_it_keeps_every_answer_out_of_caches(victim, boss):
    kept = [r.path for r, a in answers(boss, victim.owner) if "no-store" not in a["Cache-Control"]]
    assert kept == []


def test_it_writes_no_script_of_its_own_into_a_page(victim, boss):
    pages = [(r.path, a) for r, a in answers(boss, victim.owner) if a.get("Content-Type", "").startswith("text/html")]
    assert len(pages) > 30
    assert [(path, INLINE.search(a.content.decode())) for path, a in pages if INLINE.search(a.content.decode())] == []


def _poison(owner) -> None:
    """Hostile text in every column that holds somebody else's words, past all validation."""
    for row in Strategy.objects.filter(owner=owner):
        Strategy.objects.filter(pk=row.pk).update(name=f"{row.pk}{HOSTILE}"[:80], description=HOSTILE)
    for row in BrokerAccount.objects.filter(owner=owner):
        BrokerAccount.objects.filter(pk=row.pk).update(name=f"{row.pk}{HOSTILE}"[:40], client_id=HOSTILE[:20])
    BrokerSession.objects.filter(account__owner=owner).update(user_name=HOSTILE, error=HOSTILE)
    for row in Order.objects.all():
        Order.objects.filter(pk=row.pk).update(broker_order_id=f"{row.pk}{HOSTILE}"[:60])
    Order.objects.update(why=HOSTILE, broker_message=HOSTILE, tv_symbol=HOSTILE[:60], tradingsymbol=HOSTILE[:50])
    Alert.objects.update(strategy_ref=HOSTILE, symbol=HOSTILE[:80], message=HOSTILE, body=json.dumps({HOSTILE: HOSTILE}))
    OrderEvent.objects.update(text=HOSTILE, actor=HOSTILE[:40], data={"payload": HOSTILE})
    OrderAttempt.objects.update(message=HOSTILE, payload={"x": HOSTILE}, answer={"x": HOSTILE})
    Decision.objects.update(sentence=HOSTILE)
    SystemEvent.objects.update(message=HOSTILE, data={"x": HOSTILE})
    type(owner).objects.filter(pk=owner.pk).update(first_name=HOSTILE[:80], last_name=HOSTILE[:80])


def test_it_shows_hostile_text_as_text_on_every_page(victim, boss):
    make.TradingStateFactory(scope="GLOBAL", reason=HOSTILE, actor=HOSTILE[:40])
    _poison(victim.owner)
    for client in (boss, browser(victim.owner)):
        for route, answer in answers(client, victim.owner):
            if answer.get("Content-Type", "").startswith("text/html"):
                assert not [m for m in UNSAFE_MARKS if m in answer.content.decode()], route.path


def test_it_shows_hostile_text_as_text_to_a_script(victim):
    """Fragments and charts: what htmx puts into the page and Plotly reads as a little HTML."""
    _poison(victim.owner)
    client = browser(victim.owner)
    for path in ("/", "/queue", f"/orders/{Order.objects.filter(status='WAITING').first().pk}"):
        assert "<xss-7f3a" not in client.get(path, headers={"HX-Request": "true"}).content.decode()
    for path in ("/charts/waiting", "/charts/orders-today"):
        assert "<xss-7f3a" not in json.dumps(client.get(path).json())


def test_it_puts_hostile_text_into_no_header(victim):
    _poison(victim.owner)
    order = Order.objects.filter(status="WAITING").first()
    answer = browser(victim.owner).post(f"/orders/{order.pk}/cancel", headers={"HX-Request": "true"})
    said = json.loads(answer["HX-Trigger"])["toast"]["text"]
    assert answer["HX-Trigger"].isascii() and "<xss" in said  # text for textContent, in JSON


@pytest.mark.parametrize("wanted", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "///evil.example"])
def test_it_leads_nowhere_else_after_the_sign_in(victim, wanted):
    signed_in = {"username": victim.owner.username, "password": "a-long-Passw0rd", "next": wanted}
    assert Client().post("/login/", signed_in)["Location"] == "/"


def test_it_gives_a_new_session_key_at_the_sign_in(victim):
    client = Client()
    client.cookies["sessionid"] = "fixed0fixed0fixed0fixed0fixed012"
    client.post("/login/", {"username": victim.owner.username, "password": "a-long-Passw0rd"})
    cookie = client.cookies["sessionid"]
    assert cookie.value != "fixed0fixed0fixed0fixed0fixed012" and cookie["httponly"] and cookie["samesite"] == "Lax"


def test_it_says_a_stop_to_a_viewer_and_offers_nothing(victim, viewer):
    assert viewer.get("/kill").status_code == 403
    TradingState.objects.create(scope="GLOBAL", state="HALTED", actor="asha", reason="storm")
    page = viewer.get("/kill")
    assert page.status_code == 200 and b"storm" in page.content and b'action="/kill"' not in page.content
    assert viewer.post("/kill").status_code == 403
