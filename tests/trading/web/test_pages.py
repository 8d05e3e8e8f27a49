"""Each page: rendered for its owner, closed to others, whatever a hostile sender wrote."""

import re

import pytest
from django.test import Client
from django.urls import reverse

from tests import factories as make
from tests.trading.web.pages import me, text, waiting
from trading.web import urls
from tvapp.people import roles

__all__ = ["me"]
HOSTILE = '<script>alert("x")</script>{{ 7|add:7 }}'  # 42 characters: it fits the shortest column
PLAIN = ["desk:dashboard", "desk:queue", "desk:orders", "desk:alerts", "desk:kill", "charts:waiting", "charts:orders-today"]


@pytest.mark.parametrize("name", PLAIN)
def test_it_renders_for_somebody_who_has_nothing_yet(me, name):
    assert me.client.get(reverse(name)).status_code == 200


@pytest.mark.parametrize("name", PLAIN)
def test_it_sends_a_stranger_to_the_sign_in(db, name):
    answer = Client().get(reverse(name))
    assert (answer.status_code, answer["Location"].partition("?")[0]) == (302, "/login/")


def test_it_shows_an_own_order_and_hides_a_foreign_one(me):
    mine, foreign = waiting(me), make.OrderFactory()
    assert me.client.get(reverse("desk:order", args=[mine.pk])).status_code == 200
    assert me.client.get(reverse("desk:order", args=[foreign.pk])).status_code == 404


def test_it_shows_an_own_alert_and_hides_a_foreign_one(me):
    mine, foreign = make.AlertFactory(strategy=me.strategy), make.AlertFactory()
    assert me.client.get(reverse("desk:alert", args=[mine.pk])).status_code == 200
    assert me.client.get(reverse("desk:alert", args=[foreign.pk])).status_code == 404


@pytest.mark.parametrize("name", [p.name for p in urls.urlpatterns if str(p.pattern).startswith("orders/<int:pk>/")])
@pytest.mark.parametrize("method", ["get", "post"])
def test_it_answers_404_for_anything_asked_of_a_foreign_order(me, name, method):
    foreign = make.OrderFactory()
    answer = getattr(me.client, method)(reverse(f"desk:{name}", args=[foreign.pk]), headers={"HX-Request": "true"})
    assert answer.status_code in (404, 405)
    foreign.refresh_from_db()
    assert (foreign.status, foreign.version) == ("WAITING", 1)


def test_it_lists_only_own_rows(me):
    waiting(me)
    make.OrderFactory(instrument=make.InstrumentFactory(tradingsymbol="FOREIGN"))
    make.AlertFactory(symbol="NSE:FOREIGN")
    for name in ("desk:dashboard", "desk:queue", "desk:orders", "desk:alerts"):
        assert "FOREIGN" not in text(me.client.get(reverse(name)))


def test_it_shows_an_admin_every_row(me):
    roles.assign(me.user, roles.ADMIN)
    order = make.OrderFactory()
    assert f"q-{order.pk}" in text(me.client.get(reverse("desk:queue")))


def test_it_escapes_whatever_a_sender_wrote(me):
    alert = make.AlertFactory(strategy=me.strategy, symbol=HOSTILE, body=f'{{"comment": "{HOSTILE}"}}', message=HOSTILE, strategy_ref=HOSTILE)
    order = waiting(me, instrument=None, alert=alert, tradingsymbol=HOSTILE, tv_symbol=HOSTILE, why=HOSTILE, broker_message=HOSTILE)
    make.OrderEventFactory(order=order, text=HOSTILE, to_status="WAITING", data={"changes": {"price": HOSTILE}})
    make.OrderAttemptFactory(order=order, kind="CANCEL", message=HOSTILE, payload={"a": HOSTILE}, answer={"b": HOSTILE})
    make.SystemEventFactory(owner=me.user, message=HOSTILE)
    pages = ["/", "/queue", f"/queue?edit={order.pk}", "/orders", f"/orders/{order.pk}", "/alerts", f"/alerts/{alert.pk}"]
    for url in pages:
        page = text(me.client.get(url))
        assert "<script>alert" not in page and "&lt;script&gt;alert" in page and "{{ 7|add:7 }}" in page, url


def test_it_hides_secrets_in_a_body_once_more(me):
    alert = make.AlertFactory(strategy=me.strategy, body='{"secret": "s3cr3t-value", "nested": {"apiKey": "k3y-value"}}')
    page = text(me.client.get(reverse("desk:alert", args=[alert.pk])))
    assert "s3cr3t-value" not in page and "k3y-value" not in page and "hidden" in page


def test_it_writes_no_style_and_no_script_into_a_page(me):
    order = waiting(me)
    for url in ("/", "/queue", f"/queue?edit={order.pk}", "/orders", f"/orders/{order.pk}", "/alerts", "/kill"):
        page = text(me.client.get(url))
        assert " style=" not in page and "<style" not in page and " onclick=" not in page
        assert page.count("<script") == page.count('<script src="/static/'), url


def test_it_allows_inline_styles_only_where_a_chart_is_drawn(me):
    allowed = {url for url in ("/", "/queue", "/orders", "/alerts", "/kill") if "'unsafe-inline'" in me.client.get(url)["Content-Security-Policy"]}
    assert allowed == {"/", "/queue"}


def test_it_puts_the_correlation_id_on_an_error_page(me):
    answer = me.client.get("/orders/999999")
    assert answer.status_code == 404 and answer["X-Request-ID"] in text(answer)


def test_it_has_only_links_to_pages_that_exist(me):
    page = text(me.client.get("/"))
    nav = page.partition('aria-label="Main"')[2].partition("</nav>")[0]
    links = set(re.findall(r'href="([^"]*)"', nav))
    assert {"/queue", "/orders", "/positions", "/alerts", "/brokers", "/admin/"} <= links
    assert {url: me.client.get(url).status_code for url in links} == dict.fromkeys(links, 200)


def test_it_counts_what_waits_in_the_navigation(me):
    waiting(me)
    waiting(me)
    assert '>2<span class="vh"> waiting' in text(me.client.get("/orders"))


def test_it_shows_a_viewer_everything_and_lets_nothing_be_pressed(me):
    roles.assign(me.user, roles.VIEWER)
    order = waiting(me)
    page = text(me.client.get("/queue"))
    assert order.tradingsymbol in page and "Execute" not in page
    assert me.client.post(reverse("desk:execute", args=[order.pk])).status_code == 403
    assert me.client.post(reverse("desk:kill")).status_code == 403


def test_it_says_on_the_dashboard_how_the_desk_is(me):
    page = text(me.client.get("/"))
    assert "Desk health" in page and "No beat of the order worker" in page and "to look at" in page


def test_it_shows_today_by_state_on_the_dashboard(me):
    waiting(me)
    waiting(me, status="COMPLETE", filled_quantity=10)
    page = text(me.client.get("/"))
    assert "1 filled, 0 refused" in page and "status=COMPLETE" in page
