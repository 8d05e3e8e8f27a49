"""What a person does: by a plain form that ends in a redirect, and by htmx that ends in a row and a toast."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse

from risk.models import RiskSettings, TradingState
from tests import factories as make
from tests.trading.web.pages import HTMX, me, text, waiting
from trading.models import Order
from trading.selectors import live
from trading.services import halt, trips
from tvapp.lib import clock
from tvapp.people import roles

__all__ = ["me"]
EDIT = {"quantity": "12", "order_type": "LIMIT", "price": "1490.05", "trigger_price": "", "product": "MIS"}


@pytest.fixture(autouse=True)
def _limits(db):
    RiskSettings.objects.filter(scope="GLOBAL").update(clamp_mode="CLAMP", max_order_value=Decimal(20_000), max_quantity_per_order=Decimal(1_000))


def post(me, name, order, data=None, **more):
    return me.client.post(reverse(f"desk:{name}", args=[order.pk]), data or {}, **more)


def status(order) -> str:
    return Order.objects.values_list("status", flat=True).get(pk=order.pk)


def toast(answer) -> dict:
    return json.loads(answer["HX-Trigger"])["toast"]


# --------------------------------------------------------------------------- execute
def test_it_executes_and_goes_back_to_the_filtered_queue_with_a_link(me):
    order = waiting(me)
    answer = post(me, "execute", order, {"version": 1, "quantity": "10", "back": "side=BUY"}, follow=True)
    assert answer.redirect_chain == [("/queue?side=BUY", 302)] and status(order) == "QUEUED"
    assert "Executed: buy 10 INFY." in text(answer) and f'<a href="/orders/{order.pk}">Its story</a>' in text(answer)


def test_it_executes_by_htmx_and_takes_the_row_away(me):
    order = waiting(me)
    answer = post(me, "execute", order, {"version": 1, "quantity": "10"}, headers=HTMX)
    assert answer.status_code == 200 and f'id="q-{order.pk}"' not in text(answer)
    assert toast(answer)["text"] == "Executed: buy 10 INFY." and toast(answer)["href"] == f"/orders/{order.pk}"


def test_it_refuses_a_changed_quantity_with_the_fresh_row(me):
    order = waiting(me)
    RiskSettings.objects.filter(scope="GLOBAL").update(max_order_value=Decimal(9_000))
    answer = post(me, "execute", order, {"version": 1, "quantity": "10"}, headers=HTMX)
    assert answer.status_code == 409 and status(order) == "WAITING" and "<b>6</b>" in text(answer)
    assert "now allows 6, not 10" in toast(answer)["text"] and toast(answer)["id"] == answer["X-Request-ID"]


def test_it_says_a_refusal_on_the_page_when_there_is_no_script(me):
    order = waiting(me, version=2)
    answer = post(me, "execute", order, {"version": 1, "quantity": "10"}, follow=True)
    assert "The order changed since you opened it" in text(answer) and 'role="alert"' in text(answer) and status(order) == "WAITING"


def test_it_refuses_what_risk_rejects_with_its_own_status(me):
    RiskSettings.objects.filter(scope="GLOBAL").update(clamp_mode="REJECT", max_order_value=Decimal(1_000))
    order = waiting(me)
    answer = post(me, "execute", order, {"version": 1}, headers=HTMX)
    assert answer.status_code == 422 and toast(answer)["level"] == "neg" and status(order) == "WAITING"


@pytest.mark.parametrize("data", [{"version": "x"}, {"version": 1, "quantity": "NaN"}, {"version": 1, "quantity": "-3"}])
def test_it_never_executes_on_a_form_it_cannot_read(me, data):
    order = waiting(me)
    assert post(me, "execute", order, data, headers=HTMX).status_code == 400 and status(order) == "WAITING"


def test_it_lets_only_one_of_two_win(me):
    order = waiting(me)
    first, second = (post(me, "execute", order, {"version": 1, "quantity": "10"}, headers=HTMX).status_code for _ in range(2))
    assert (first, second) == (200, 409)


def test_it_takes_no_post_without_the_form_token(me):
    order = waiting(me)
    client = Client(enforce_csrf_checks=True)
    client.force_login(me.user)
    assert client.post(reverse("desk:execute", args=[order.pk])).status_code == 403 and status(order) == "WAITING"


def test_it_changes_nothing_by_a_get(me):
    order = waiting(me)
    for name in ("execute", "cancel", "back", "resubmit"):
        assert me.client.get(reverse(f"desk:{name}", args=[order.pk])).status_code == 405
    assert status(order) == "WAITING"


def test_it_follows_no_foreign_address_back(me):
    order = waiting(me)
    answer = post(me, "cancel", order, {"back": "//evil.example/?x=1", "next": "https://evil.example/"})
    assert answer["Location"].startswith("/queue?")


# ------------------------------------------------------------------- cancel and others
def test_it_cancels_what_has_not_left(me):
    order = waiting(me)
    assert post(me, "cancel", order, {"page": "order"})["Location"] == f"/orders/{order.pk}" and status(order) == "CANCELLED"


def test_it_asks_the_broker_to_cancel_what_rests_there(me):
    order = waiting(me, status="OPEN")
    page = text(post(me, "cancel", order, {"page": "order"}, follow=True))
    assert "Cancel asked of the broker" in page and "the order is live until the broker says otherwise" in page and status(order) == "OPEN"


def test_it_puts_a_held_order_back(me):
    order = waiting(me, status="HELD")
    post(me, "back", order)
    assert status(order) == "WAITING"


def test_it_copies_an_ended_order_into_a_new_waiting_one(me):
    order = waiting(me, status="STALE")
    answer = post(me, "resubmit", order, {"page": "order"}, follow=True)
    copy = Order.objects.get(copied_from=order)
    assert answer.redirect_chain[0][0] == f"/orders/{copy.pk}" and copy.status == "WAITING"


def test_it_offers_only_what_is_possible(me):
    offered = {s: text(me.client.get(f"/orders/{waiting(me, status=s).pk}")) for s in ("WAITING", "HELD", "OPEN", "STALE", "COMPLETE")}
    words = {"WAITING": "/execute", "HELD": "/back", "OPEN": "/cancel", "STALE": "/resubmit"}
    for state, page in offered.items():
        assert {w for w in words.values() if w in page} == {words.get(state)} - {None} | ({"/cancel"} if state in ("WAITING", "HELD") else set()), state


# ------------------------------------------------------------------------------- edit
def test_it_saves_an_edit(me):
    order = waiting(me)
    post(me, "edit", order, EDIT | {"version": 1})
    order.refresh_from_db()
    assert (order.quantity, order.price, order.version) == (Decimal(12), Decimal("1490.05"), 2)


def test_it_saves_and_executes_in_one_go(me):
    order = waiting(me)
    post(me, "edit", order, EDIT | {"version": 1, "do": "save-execute"})
    assert status(order) == "QUEUED"


def test_it_saves_but_does_not_execute_what_nobody_was_shown(me):
    order = waiting(me)
    answer = post(me, "edit", order, EDIT | {"quantity": "90", "version": 1, "do": "save-execute"}, headers=HTMX)
    assert answer.status_code == 409 and status(order) == "WAITING" and toast(answer)["text"].startswith("Saved, not executed.")


def test_it_executes_the_quantity_the_preview_showed(me):
    order = waiting(me)
    post(me, "edit", order, EDIT | {"quantity": "90", "version": 1, "do": "save-execute", "shown": "13"})
    assert status(order) == "QUEUED"


@pytest.mark.parametrize(("changes", "fault"), [
    ({"quantity": "0"}, "The quantity must be above 0."),
    ({"quantity": "many"}, "The quantity must be a number."),
    ({"price": ""}, "This type needs a limit price."),
    ({"price": "0.02"}, "Price 0.02 is below one tick, 0.05."),
    ({"order_type": "SL_M"}, "This type needs a trigger price."),
])  # fmt: skip
def test_it_says_what_is_wrong_with_a_field_and_keeps_the_order(me, changes, fault):
    order = waiting(me)
    for headers in ({}, HTMX):
        answer = post(me, "edit", order, EDIT | changes | {"version": 1}, headers=headers)
        assert answer.status_code == 422 and fault in text(answer)
    order.refresh_from_db()
    assert (order.quantity, order.version) == (Decimal(10), 1)


def test_it_moves_a_price_to_the_tick_and_says_so(me):
    order = waiting(me)
    shown = text(post(me, "preview", order, EDIT | {"price": "1490.03"}, headers=HTMX))
    assert "Price 1490.03 -&gt; 1490, the tick is 0.05." in shown
    post(me, "edit", order, EDIT | {"price": "1490.03", "version": 1})
    order.refresh_from_db()
    assert (order.price, order.events.last().text.endswith("Price 1490.03 -> 1490, the tick is 0.05.")) == (1490, True)


def test_it_drops_prices_the_type_does_not_have(me):
    order = waiting(me)
    post(me, "edit", order, EDIT | {"order_type": "MARKET", "version": 1})
    order.refresh_from_db()
    assert (order.order_type, order.price, order.trigger_price) == ("MARKET", None, None)


def test_it_previews_without_writing(me):
    order = waiting(me)
    answer = post(me, "preview", order, EDIT | {"quantity": "90"}, headers=HTMX)
    assert "Clamped" in text(answer) and '<input type="hidden" name="shown" value="13">' in text(answer)
    order.refresh_from_db()
    assert (order.quantity, order.version) == (Decimal(10), 1)


def test_it_opens_and_closes_an_edit_by_htmx(me):
    order = waiting(me)
    opened = text(me.client.get(reverse("desk:edit", args=[order.pk]), headers=HTMX))
    closed = text(me.client.get(reverse("desk:row", args=[order.pk]) + "?edit_open=1", headers=HTMX))
    assert f'id="edit-{order.pk}"' in opened and f'id="edit-{order.pk}" hx-swap-oob="delete"' in closed


# ------------------------------------------------------------------------------- bulk
def test_it_asks_before_it_executes_several(me):
    first, second, blocked = waiting(me), waiting(me), waiting(me, instrument=None)
    page = text(me.client.post("/queue/selected", {"do": "execute", "id": [first.pk, second.pk, blocked.pk]}))
    assert "Execute 2 orders?" in page and "Left out:" in page and status(first) == "WAITING"


def test_it_executes_several_as_they_were_shown(me):
    first, second = waiting(me), waiting(me, version=5)
    data = {"do": "execute", "confirmed": "yes", "id": [first.pk, second.pk]}
    data |= {f"version-{first.pk}": 1, f"quantity-{first.pk}": "10", f"version-{second.pk}": 4, f"quantity-{second.pk}": "10"}
    page = text(me.client.post("/queue/selected", data, follow=True))
    assert (status(first), status(second)) == ("QUEUED", "WAITING") and "Executed 1 order." in page and "The order changed" in page


def test_it_cancels_several_but_no_foreign_one(me):
    mine, foreign = waiting(me), make.OrderFactory()
    me.client.post("/queue/selected", {"do": "cancel", "id": [mine.pk, foreign.pk, "x", "9" * 30]})
    assert (status(mine), status(foreign)) == ("CANCELLED", "WAITING")


# ------------------------------------------------------------------------ kill switch
def test_it_stops_trading_and_says_so_on_every_page(me):
    order = waiting(me, status="QUEUED")
    me.client.post("/kill", {"reason": "too fast", "cancel_open": "on"})
    assert status(order) == "HELD" and TradingState.objects.get(scope="GLOBAL").reason == "too fast"
    for url in ("/", "/queue", "/orders"):
        assert "STOPPED" in text(me.client.get(url)) and "too fast" in text(me.client.get(url))


def test_it_lets_only_an_admin_release_and_only_with_a_reason(me):
    make.TradingStateFactory()
    assert me.client.post("/release", {"reason": "looked at", "password": "a-long-Passw0rd"}).status_code == 403
    roles.assign(me.user, roles.ADMIN)
    faults = [{"reason": "", "password": "a-long-Passw0rd"}, {"reason": "x"}, {"reason": "x", "password": "wrong"}]
    assert [me.client.post("/release", fault).status_code for fault in faults] == [422, 422, 403]
    assert me.client.post("/release", {"reason": "looked at", "password": "a-long-Passw0rd"})["Location"] == "/"
    assert TradingState.objects.get(scope="GLOBAL").state == "ACTIVE"


def test_it_does_not_release_what_somebody_stopped_after_the_page_was_opened(me):
    roles.assign(me.user, roles.ADMIN)
    halt.kill("GLOBAL", reason="first", actor="ravi")
    form = me.client.get("/kill").context["release_form"]
    halt.kill("GLOBAL", reason="worse now", actor="ravi")
    said = {"reason": "looked at", "password": "a-long-Passw0rd"}
    page = me.client.post("/release", {**said, "seen": form["seen"].value()}, follow=True)
    assert "once more after you opened the page (worse now)" in text(page) and TradingState.objects.get(scope="GLOBAL").state == "HALTED"
    me.client.post("/release", {**said, "seen": page.context["release_form"]["seen"].value()})
    assert TradingState.objects.get(scope="GLOBAL").state == "ACTIVE"


def test_it_shows_every_automatic_stop_with_its_reason_and_releases_it_alone(me):
    roles.assign(me.user, roles.ADMIN)
    key = f"STRATEGY:{me.strategy.pk}"
    trips.trip(key, "RATE_MINUTE", "31 orders in a minute")
    trips.trip("GLOBAL", "LOSS_DAILY", "lost enough", until=clock.now() + timedelta(hours=2))
    page = text(me.client.get("/kill"))
    assert "31 orders in a minute" in page and 'value="RATE_MINUTE"' in page and "Stop trading?" in page
    strip = text(me.client.get("/queue"))
    assert "only closes positions, entries are stopped by the desk: 31 orders in a minute." in strip and "It ends by itself" in strip
    me.client.post("/release", {"scope": key, "code": "RATE_MINUTE", "reason": "loop mended", "password": "a-long-Passw0rd"})
    assert [stop.code for stop in halt.status()] == ["LOSS_DAILY"]


def test_it_keeps_what_was_typed_for_one_stop_and_says_at_that_one_what_was_wrong(me):
    roles.assign(me.user, roles.ADMIN)
    trips.trip(f"STRATEGY:{me.strategy.pk}", "RATE_MINUTE", "max_orders_per_minute=30 (GLOBAL), 31 orders")
    trips.trip("GLOBAL", "LOSS_DAILY", "lost enough")
    asked = {"scope": f"STRATEGY:{me.strategy.pk}", "code": "RATE_MINUTE", "reason": "loop mended", "password": "wrong"}
    refused = me.client.post("/release", asked)
    own = text(refused).partition("Strategy Breakout: exits only")[2].partition("</form>")[0]
    assert refused.status_code == 403 and "max_orders_per_minute=30 (desk-wide), 31 orders." in own
    assert 'value="loop mended"' in own and "field-err" in own and text(refused).count("field-err") == 1
    assert "The whole desk: exits only" in text(refused) and ">GLOBAL<" not in text(refused)


def test_it_goes_on_paper_only_with_one_click_and_back_with_the_password(me, settings):
    settings.ALLOW_LIVE = True
    me.client.post("/paper-only", {"on": "1"})
    assert live.barred() == live.PAPER_ONLY
    assert me.client.post("/paper-only", {"on": "0", "password": "a-long-Passw0rd"}).status_code == 403
    roles.assign(me.user, roles.ADMIN)
    me.client.post("/paper-only", {"on": "0", "password": "wrong"})
    assert live.barred() == live.PAPER_ONLY and "only" in text(me.client.get("/kill"))
    me.client.post("/paper-only", {"on": "0", "password": "a-long-Passw0rd"})
    assert live.barred() == ""


# -------------------------------------------------------------------------- sign-in
def test_it_signs_in_and_out(db):
    user, client = make.UserFactory(), Client()
    answer = client.post("/login/", {"username": user.username, "password": "a-long-Passw0rd", "next": "/queue"})
    assert answer["Location"] == "/queue" and client.get("/queue").status_code == 200
    assert client.post("/logout/")["Location"] == "/login/" and client.get("/queue").status_code == 302


def test_it_does_not_sign_out_by_a_link(me):
    assert me.client.get("/logout/").status_code == 405


def test_it_refuses_a_wrong_password_on_the_page(db):
    page = text(Client().post("/login/", {"username": "nobody", "password": "wrong"}))
    assert 'role="alert"' in page


def test_it_slows_down_who_keeps_guessing(db, settings):
    settings.TEST_MODE, settings.THROTTLES = False, {**settings.THROTTLES, "anon": "2/60s"}
    codes = [Client().post("/login/", {"username": "a", "password": "b"}).status_code for _ in range(3)]
    assert codes == [200, 200, 429]
