"""Map symbol: by a page, with and without a script, and by the API; and the search of instruments."""

import json
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
import time_machine
from django.test import Client

from brokers import instruments as loader
from brokers.models import Environment
from risk.models import RiskSettings
from tests.brokers.listing import MONDAY, item, of_day
from tests.trading.desk import make_desk
from tests.trading.web.pages import HTMX, text
from trading.models import Order, OverrideScope, SystemEvent, TvSymbolOverride
from trading.services import orders, overrides
from tvapp.lib import clock
from tvapp.lib.errors import AppError
from tvapp.people import roles

D = Decimal
AT = datetime.combine(MONDAY, datetime.min.time(), clock.IST) + timedelta(hours=10)
FUTURE = "NFO:NIFTY26NOVFUT"

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk(db):
    with time_machine.travel(AT, tick=False):
        loader.load([*of_day(), item("NSE", "ODD", tick=None)], as_of=AT)
        yield make_desk()


@pytest.fixture
def me(desk):
    client = Client()
    client.force_login(desk.owner)
    return client


def index(desk, strategy: str = "manual", **trade) -> Order:
    """An alert on the index itself, which nobody can trade."""
    return desk.order(strategy, symbol="NSE:NIFTY", trade={"product": "NRML", "quantity": 65, "price": "24501.03", **trade})


def again(order: Order) -> Order:
    return Order.objects.select_related("instrument").get(pk=order.pk)


# ---------------------------------------------------------------------------- what it does
def test_it_plans_the_same_order_anew_and_keeps_it_waiting(desk):
    order = index(desk)
    overrides.map_symbol(order, FUTURE, "STRATEGY", actor="asha")
    mapped = again(order)
    assert (mapped.pk, mapped.status, mapped.status_reason, mapped.tag) == (order.pk, "WAITING", "", order.tag)
    assert (mapped.symbol, mapped.quantity, mapped.product) == (FUTURE, 65, "NRML")
    assert mapped.price == D("24501.00")  # on the future's tick of 0.10
    assert mapped.events.last().text == "Mapped NSE:NIFTY to NFO:NIFTY26NOVFUT by asha."
    assert mapped.why.startswith("Mapped NSE:NIFTY to NFO:NIFTY26NOVFUT by asha. It waits for your decision.")


def test_it_counts_lots_once_the_contract_is_known(desk):
    desk.manual.sizing, desk.manual.sizing_value = "LOTS", D(2)
    desk.manual.save()
    order = index(desk)
    assert order.quantity is None
    overrides.map_symbol(order, FUTURE, "GLOBAL", actor="asha")
    assert again(order).quantity == 130


def test_it_keeps_what_a_person_edited(desk):
    order = index(desk)
    orders.edit(order, {"quantity": D(130), "price": D(24400)}, actor="asha")
    overrides.map_symbol(order, FUTURE, "GLOBAL", actor="asha")
    assert (again(order).quantity, again(order).price) == (130, 24400)


def test_a_mapped_order_can_be_executed(desk):
    RiskSettings.objects.filter(scope="GLOBAL").update(max_order_value=D(10**7), max_symbol_exposure=D(10**7), max_gross_exposure=D(10**7))
    order = index(desk)
    overrides.map_symbol(order, FUTURE, "GLOBAL", actor="asha")
    assert orders.approve(again(order), actor="asha").status == "QUEUED"


def test_it_keeps_the_mapping_for_later_alerts_until_the_last_day(desk):
    overrides.map_symbol(index(desk), FUTURE, "ACCOUNT", actor="asha")
    kept = TvSymbolOverride.objects.get()
    assert (kept.scope, kept.account, kept.strategy, kept.tv_symbol) == ("ACCOUNT", desk.account, None, "NSE:NIFTY")
    assert (kept.valid_to.isoformat(), kept.created_by) == ("2026-11-24", "asha")
    assert index(desk, "auto").symbol == FUTURE


def test_a_later_choice_takes_the_place_of_the_first_and_both_are_kept_in_its_history(desk):
    order = index(desk)
    overrides.map_symbol(order, FUTURE, "GLOBAL", actor="asha")
    overrides.map_symbol(again(order), "NFO:NIFTY26DECFUT", "GLOBAL", actor="ravi")
    kept = TvSymbolOverride.objects.get()
    assert (kept.instrument.key, kept.created_by, again(order).symbol) == ("NFO:NIFTY26DECFUT", "ravi", "NFO:NIFTY26DECFUT")
    assert [h.created_by for h in kept.history.order_by("history_id")] == ["asha", "ravi"]


def test_other_orders_that_wait_for_the_same_symbol_are_found_too(desk):
    first, second, other = index(desk), index(desk), desk.order("manual", symbol="NSE:BANKNIFTY")
    overrides.map_symbol(first, FUTURE, "GLOBAL", actor="asha")
    assert again(second).symbol == FUTURE and again(second).status == "WAITING"
    assert again(other).instrument is None


def test_an_exit_with_nothing_to_close_waits_and_says_so(desk):
    body = {"meta": {"secret": "installation-secret-1", "platform": "TRADINGVIEW"}}
    body["signal"] = {"strategy_name": "manual", "symbol": "NIFTY", "exchange": "NSE", "side": "EXIT_LONG", "order_action": "SELL", "qty": 65, "order_id": "x"}
    order = Order.objects.get(pk=desk.send(raw=json.dumps(body).encode()).order_ids[0])
    overrides.map_symbol(order, FUTURE, "GLOBAL", actor="asha")
    mapped = again(order)
    assert (mapped.status, mapped.status_reason, mapped.symbol, mapped.reduce_only) == ("WAITING", "NO_ACTION", FUTURE, True)
    assert "no open position" in mapped.why


@pytest.mark.parametrize(("key", "code"), [
    ("NFO:NOSUCH", "INSTRUMENT_UNKNOWN"), ("NSE:NIFTY 50", "INSTRUMENT_UNKNOWN"), ("", "INSTRUMENT_UNKNOWN"), ("NSE:ODD", "INSTRUMENT_META_MISSING"),
])  # fmt: skip
def test_it_maps_to_nothing_that_cannot_be_traded(desk, key, code):
    order = index(desk)
    with pytest.raises(AppError) as refused:
        overrides.map_symbol(order, key, "GLOBAL", actor="asha")
    assert refused.value.code == code
    assert not TvSymbolOverride.objects.exists() and again(order).instrument is None


def test_it_leaves_alone_what_is_known_or_no_longer_waits(desk):
    cancelled = index(desk)
    orders.cancel(cancelled, actor="asha")
    for order in (desk.order("manual"), cancelled):
        with pytest.raises(AppError) as refused:
            overrides.map_symbol(order, FUTURE, "GLOBAL", actor="asha")
        assert (refused.value.status, refused.value.code) == (409, "ORDER_NOT_WAITING")


def test_it_keeps_no_mapping_for_an_order_that_changed_meanwhile(desk):
    order = index(desk)
    Order.objects.filter(pk=order.pk).update(version=9)
    with pytest.raises(AppError):
        overrides.map_symbol(order, FUTURE, "GLOBAL", actor="asha")
    assert not TvSymbolOverride.objects.exists()


def test_an_order_without_a_strategy_is_mapped_for_the_account_or_everywhere(desk):
    order = desk.order("nobody-knows", symbol="NSE:NIFTY")
    with pytest.raises(AppError, match="no strategy"):
        overrides.map_symbol(order, FUTURE, "STRATEGY", actor="asha")
    overrides.map_symbol(order, FUTURE, "ACCOUNT", actor="asha")
    assert (again(order).symbol, again(order).status_reason) == (FUTURE, "STRATEGY_UNKNOWN")


# ---------------------------------------------------------------------------- pages
def test_the_queue_and_the_order_page_offer_it_where_it_helps(desk, me):
    order, known = index(desk), desk.order("manual")
    page = text(me.get("/queue"))
    assert f'href="/orders/{order.pk}/map"' in page and f'href="/orders/{known.pk}/map"' not in page
    assert f'href="/orders/{order.pk}/map"' in text(me.get(f"/orders/{order.pk}"))
    assert f'href="/orders/{known.pk}/map"' not in text(me.get(f"/orders/{known.pk}"))


def test_the_page_opens_with_contracts_of_the_root(desk, me):
    order = index(desk)
    page = text(me.get(f"/orders/{order.pk}/map"))
    assert "What is NSE:NIFTY?" in page and "NIFTY 24 Nov 2026 future" in page and "NIFTY 24 Nov 2026 24500 CE" in page
    assert "BANKNIFTY" not in page and 'value="NFO:NIFTY26NOVFUT"' in page


def test_the_page_says_how_old_the_list_is(desk, me):
    order = index(desk)
    assert "No instrument list was loaded" in text(me.get(f"/orders/{order.pk}/map"))
    SystemEvent.objects.create(code="INSTRUMENTS_LOADED", category="broker", message="m", at=AT - timedelta(days=1, hours=2))
    assert "Instrument list of 22 Nov" in text(me.get(f"/orders/{order.pk}/map"))


def test_the_search_gives_the_list_alone_to_a_script(desk, me):
    order = index(desk)
    part = text(me.get(f"/orders/{order.pk}/map?q=sensex", headers=HTMX))
    assert part.startswith('<div id="found">') and "SENSEX" in part and "NIFTY26NOVFUT" not in part
    assert "No instrument begins with xyz" in text(me.get(f"/orders/{order.pk}/map?q=xyz", headers=HTMX))


def test_a_form_without_a_script_maps_and_shows_how_it_was_found(desk, me):
    order = index(desk)
    answer = me.post(f"/orders/{order.pk}/map", {"instrument": FUTURE, "scope": "STRATEGY", "q": "NIFTY"}, follow=True)
    page = text(answer)
    assert answer.redirect_chain == [(f"/orders/{order.pk}", 302)]
    assert "NSE:NIFTY is NFO:NIFTY26NOVFUT from now on" in page
    assert "NFO · NIFTY 24 Nov 2026 future · from NSE:NIFTY" in page
    assert "NSE:NIFTY is mapped to NFO:NIFTY26NOVFUT, expiry 24 Nov 2026 by asha." in page
    assert "NFO · NIFTY 24 Nov 2026 future · from NSE:NIFTY" in text(me.get("/queue"))


@pytest.mark.parametrize(("form", "words"), [
    ({"scope": "GLOBAL", "q": "NIFTY"}, "Choose an instrument from the list."),
    ({"instrument": FUTURE, "scope": "MOON"}, "Choose where the mapping counts."),
    ({"instrument": "NFO:NOSUCH", "scope": "GLOBAL"}, "NFO:NOSUCH is not in the instrument list"),
])  # fmt: skip
def test_a_form_that_cannot_be_taken_says_why(desk, me, form, words):
    order = index(desk)
    answer = me.post(f"/orders/{order.pk}/map", form)
    assert answer.status_code in (400, 422) and words in text(answer)
    assert again(order).instrument is None


def test_there_is_no_page_where_there_is_nothing_to_map(desk, me):
    order = desk.order("manual")
    assert me.get(f"/orders/{order.pk}/map").url == f"/orders/{order.pk}"
    assert me.post(f"/orders/{order.pk}/map", {"instrument": FUTURE, "scope": "GLOBAL"}).status_code == 409


def test_nobody_maps_for_another_person(desk):
    order = index(desk)
    other = make_desk("ravi")
    client = Client()
    client.force_login(other.owner)
    assert client.get(f"/orders/{order.pk}/map").status_code == 404
    assert client.post(f"/orders/{order.pk}/map", {"instrument": FUTURE, "scope": "GLOBAL"}).status_code == 404
    assert client.post(f"/api/orders/{order.pk}/map", {"instrument": FUTURE}, "application/json").status_code == 404


# ---------------------------------------------------------------------------- API
def test_the_api_maps(desk, me):
    order = index(desk)
    answer = me.post(f"/api/orders/{order.pk}/map", {"instrument": FUTURE, "scope": "ACCOUNT"}, "application/json")
    assert (answer.status_code, answer.json()["symbol"], answer.json()["status"]) == (200, FUTURE, "WAITING")
    assert TvSymbolOverride.objects.get().scope == OverrideScope.ACCOUNT


@pytest.mark.parametrize(("body", "status", "code"), [
    ({}, 400, None), ({"instrument": FUTURE, "scope": "MOON"}, 400, None), ({"instrument": FUTURE, "owner": 3}, 400, "UNKNOWN_FIELD"),
    ({"instrument": "NFO:NOSUCH"}, 400, "INSTRUMENT_UNKNOWN"),
])  # fmt: skip
def test_the_api_says_what_is_wrong(desk, me, body, status, code):
    answer = me.post(f"/api/orders/{index(desk).pk}/map", body, "application/json")
    assert answer.status_code == status and (code is None or answer.json()["code"] == code)


def test_a_viewer_searches_and_maps_nothing(desk):
    order = index(desk)
    roles.assign(desk.owner, roles.VIEWER)
    client = Client()
    client.force_login(desk.owner)
    assert client.post(f"/api/orders/{order.pk}/map", {"instrument": FUTURE}, "application/json").status_code == 403
    assert client.get(f"/orders/{order.pk}/map").status_code == 403
    assert client.get("/api/instruments?q=INFY").json()["results"][0]["symbol"] in ("NSE:INFY", "BSE:INFY")


def keys(me, q: str, **more) -> list[str]:
    return [row["symbol"] for row in me.get("/api/instruments", {"q": q, **more}).json()["results"]]


def test_the_search_knows_symbols_roots_kinds_strikes_and_exchanges(desk, me):
    assert keys(me, "nifty fut") == ["NFO:NIFTY26NOVFUT", "NFO:NIFTY26DECFUT"]
    assert set(keys(me, "NIFTY 24500 CE")) == {"NFO:NIFTY26NOV24500CE", "NFO:NIFTY26D0124500CE"}
    assert keys(me, "BSE:SBIN") == ["BSE:SBIN"] and keys(me, "NSE:M&") == ["NSE:M&M"]
    assert keys(me, "INFOSYS") == ["NSE:INFY", "BSE:INFY"] or keys(me, "INFOSYS") == ["BSE:INFY", "NSE:INFY"]
    assert keys(me, "NIFTY26NOVFUT")[0] == FUTURE
    assert keys(me, "") == keys(me, "ZZZ") == keys(me, "NSE:NIFTY 50") == []


def test_the_search_shows_exact_facts_and_at_most_what_was_asked(desk, me):
    row = me.get("/api/instruments", {"q": FUTURE}).json()["results"][0]
    assert (row["kind"], row["expiry"], row["lot"], row["tick"], row["freeze"], row["strike"]) == ("FUT", "2026-11-24", "65", "0.1", "1755", None)
    assert len(keys(me, "N", limit=3)) == 3
    assert me.get("/api/instruments?q=N&limit=99").status_code == me.get("/api/instruments?x=1").status_code == 400


def test_the_search_is_for_people_of_the_desk(desk):
    assert Client().get("/api/instruments?q=INFY").status_code == 401


def test_a_live_account_is_mapped_the_same_way(desk):
    desk.account.environment, desk.account.broker = Environment.SIM, "zerodha"
    desk.account.save()
    order = index(desk, "auto")
    overrides.map_symbol(order, FUTURE, "STRATEGY", actor="asha")
    assert (again(order).symbol, again(order).status, again(order).status_reason) == (FUTURE, "WAITING", "")
