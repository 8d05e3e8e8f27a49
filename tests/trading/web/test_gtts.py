"""Triggers and exits on pages and in the API: what stands, whose it is, and that one can be asked to go."""

import pytest

from tests import factories as make
from tests.trading.web.pages import me, text, waiting
from tests.trading.web.test_api import api_for
from trading.models import Gtt, Order, Source

pytestmark = pytest.mark.django_db
__all__ = ["me"]


def trigger(me, **facts) -> Gtt:
    values = {"state": "ACTIVE", "broker_gtt_id": "7001", "triggers": ["1470"], "legs": [{"side": "SELL", "quantity": "10", "product": "CNC", "price": "1455"}]}
    return make.GttFactory(owner=me.user, account=me.strategy.account, **{**values, **facts})


def kite(me):
    me.strategy.account.broker = "zerodha"
    me.strategy.account.save()


def test_it_lists_triggers_newest_first_and_only_ones_own(me):
    mine, foreign = trigger(me), make.GttFactory(state="ACTIVE", broker_gtt_id="9")
    found = api_for(me.user).get("/api/gtts").json()["results"]
    assert [(row["id"], row["symbol"], row["triggers"], row["order_id"]) for row in found] == [(mine.pk, "NSE:INFY", ["1470"], None)]
    assert api_for(me.user).delete(f"/api/gtts/{foreign.pk}").status_code == 404


def test_it_asks_for_the_end_of_a_trigger(me):
    row = trigger(me)
    answer = api_for(me.user).delete(f"/api/gtts/{row.pk}")
    assert (answer.status_code, answer.json()["delete_asked"]) == (202, True)
    row.state = "TRIGGERED"
    row.save()
    assert api_for(me.user).delete(f"/api/gtts/{row.pk}").json()["code"] == "GTT_NOT_ACTIVE"


def test_it_cancels_the_order_of_a_trigger_with_it(me):
    order = waiting(me, status="OPEN", gtt=True)
    api_for(me.user).delete(f"/api/gtts/{trigger(me, order=order).pk}")
    assert Order.objects.get(pk=order.pk).pending_action == "CANCEL"


def test_it_takes_gtt_for_a_waiting_limit_order_that_can_be_one(me):
    order = waiting(me, product="CNC")
    path, api = f"/api/orders/{order.pk}", api_for(me.user)
    assert api.patch(path, {"gtt": True}, format="json").json()["code"] == "GTT_NOT_POSSIBLE"
    kite(me)
    assert api.patch(path, {"gtt": True}, format="json").json()["gtt"] is True
    refused = api.patch(path, {"product": "MIS"}, format="json").json()
    assert refused["message"] == "A trigger (GTT) is for CNC on NSE and BSE and for NRML on NFO and BFO, not for MIS on NSE."
    assert api.patch(path, {"gtt": False, "product": "MIS"}, format="json").json()["gtt"] is False


def test_it_filters_and_marks_triggers_on_the_orders_page(me):
    plain, order = waiting(me), waiting(me, gtt=True)
    trigger(me)
    page = text(me.client.get("/orders?gtt=1"))
    assert f"O-{order.pk}" in page and f"O-{plain.pk}" not in page
    assert "Placed outside" in page and "7001" in page
    assert "Triggers at the broker" not in text(me.client.get("/orders"))
    assert [row["id"] for row in api_for(me.user).get("/api/orders?gtt=true").json()["results"]] == [order.pk]


def test_it_shows_the_prices_of_a_trigger_as_prices(me):
    row = trigger(me)
    Gtt.objects.filter(pk=row.pk).update(triggers=["1470", "1530.5"], legs=[{"side": "SELL", "quantity": 4, "price": "1469.5"}])
    page = text(me.client.get("/orders?gtt=1"))
    assert "1,470.00 or 1,530.50" in page and "sell 4 at 1,469.50" in page


def test_it_asks_for_the_end_of_a_trigger_from_the_page(me):
    row = trigger(me)
    assert me.client.post(f"/gtts/{row.pk}/delete").status_code == 302
    assert Gtt.objects.get().delete_asked
    assert me.client.post(f"/gtts/{make.GttFactory().pk}/delete").status_code == 404


def test_it_shows_exits_on_their_entry_and_the_entry_on_them(me):
    entry = waiting(me, status="COMPLETE", filled_quantity=10, covered=10)
    facts = {"parent": entry, "source": Source.BRACKET, "side": "SELL", "covered": 10, "reduce_only": True}
    stop = waiting(me, status="OPEN", role="TRAIL", order_type="SL_M", price=None, trigger_price=1485, **facts)
    target = waiting(me, status="OPEN", role="TARGET", gtt=True, price=1530, **facts)
    row = trigger(me, order=target)
    page = text(me.client.get(f"/orders/{entry.pk}"))
    assert "Stop and target" in page and f"/orders/{stop.pk}" in page and f"/orders/{target.pk}" in page
    assert "no price since" in page
    shown = text(me.client.get(f"/orders/{target.pk}"))
    assert f"/orders/{entry.pk}" in shown and row.broker_gtt_id in shown


def test_it_offers_a_trigger_in_the_edit_form_where_the_broker_keeps_them(me):
    order = waiting(me, product="CNC")
    path, box = f"/orders/{order.pk}?edit=1", 'name="gtt"'
    assert box not in text(me.client.get(path))
    kite(me)
    assert box in text(me.client.get(path))
    typed = {"quantity": "10", "order_type": "LIMIT", "price": "1490", "product": "CNC", "gtt": "1"}
    assert me.client.post(f"/orders/{order.pk}/edit", typed).status_code == 302
    assert Order.objects.get(pk=order.pk).gtt
    refused = me.client.post(f"/orders/{order.pk}/edit", {**typed, "product": "MIS", "page": "order"})
    assert (refused.status_code, "not for MIS on NSE" in text(refused)) == (422, True)
    me.client.post(f"/orders/{order.pk}/edit", {**typed, "gtt": ""})
    assert not Order.objects.get(pk=order.pk).gtt
