"""The strip on every page: what the broker refused until it is acknowledged, and accounts that were stopped."""

import pytest

from tests.trading.web.pages import me, text, waiting
from trading.models import Strategy, SystemEvent
from trading.services import halt, sysevents
from tvapp.people import roles

pytestmark = pytest.mark.django_db
SAID = "Breakout, buy INFY: Zerodha refused it: Insufficient funds. Required margin is 95417.84 but available margin is 74251.80."


def refuse(strategy: Strategy) -> None:
    Strategy.objects.filter(pk=strategy.pk).update(refusal={"code": "INSUFFICIENT_FUNDS", "text": SAID, "order": None, "at": ""})


def test_it_shows_what_was_refused_on_every_page_until_it_is_acknowledged(me):
    assert "note-act" not in text(me.client.get("/orders"))
    refuse(me.strategy)
    for page in ("/", "/queue", "/orders", "/alerts"):
        assert SAID in text(me.client.get(page)) and "Acknowledge" in text(me.client.get(page))
    assert me.client.post(f"/strategies/{me.strategy.pk}/acknowledge").status_code == 302
    assert SAID not in text(me.client.get("/orders"))
    assert SystemEvent.objects.get(code="REFUSAL_ACKNOWLEDGED").owner == me.user
    assert "Nothing of Breakout waits" in text(me.client.post(f"/strategies/{me.strategy.pk}/acknowledge", follow=True))


def test_it_acknowledges_over_the_api_once(me):
    refuse(me.strategy)
    answer = me.client.post(f"/api/strategies/{me.strategy.pk}/acknowledge")
    assert (answer.status_code, answer.json()["refusal"]) == (200, {})
    assert me.client.post(f"/api/strategies/{me.strategy.pk}/acknowledge").json()["code"] == "NOTHING_TO_ACKNOWLEDGE"


def test_it_lets_a_viewer_see_the_refusal_and_not_acknowledge_it(me):
    refuse(me.strategy)
    roles.assign(me.user, roles.VIEWER)
    page = text(me.client.get("/orders"))
    assert SAID in page and "Acknowledge</button>" not in page
    assert me.client.post(f"/strategies/{me.strategy.pk}/acknowledge").status_code == 403
    assert me.client.post(f"/api/strategies/{me.strategy.pk}/acknowledge").status_code == 403


def test_it_shows_a_stopped_account_to_its_owner_and_lets_an_admin_release_it(me):
    account = me.strategy.account
    halt.kill(f"ACCOUNT:{account.pk}", reason="the broker does not take orders from this address", actor="desk", cancel_open=False)
    said = f"{account.name} is stopped by desk: the broker does not take orders from this address."
    assert said in text(me.client.get("/orders"))
    roles.assign(me.user, roles.ADMIN)
    assert f'value="ACCOUNT:{account.pk}"' in text(me.client.get("/kill"))
    assert me.client.post("/release", {"scope": f"ACCOUNT:{account.pk}", "reason": "address registered", "password": "a-long-Passw0rd"}).status_code == 302
    assert said not in text(me.client.get("/orders")) and halt.status() == []


def test_it_takes_no_scope_it_does_not_know(me):
    roles.assign(me.user, roles.ADMIN)
    assert me.client.post("/release", {"scope": "EVERYTHING", "reason": "x"}).status_code == 422


def test_it_shows_an_answer_nobody_could_read_on_the_order_page(me):
    order = waiting(me)
    data = {"unclassified": True, "body": {"message": "Markets are in a funny mood", "access_token": "t0p-secret"}}
    sysevents.record("broker", "ANSWER_UNCLASSIFIED", "Kite answered something", level="WARNING", owner=me.user, order=order, data=data)
    page = text(me.client.get(f"/orders/{order.pk}"))
    assert "Kite answered something" in page and "funny mood" in page and "t0p-secret" not in page


__all__ = ["me"]
