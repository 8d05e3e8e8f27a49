"""Positions, holdings, trades, a fresh read on demand, and the moves of an order that needs review: on the pages and in the API."""

from datetime import timedelta
from decimal import Decimal as D

import pytest
from django_q.models import OrmQ

from brokers.models import BrokerAccount, BrokerHolding, BrokerPosition, Instrument, Quote, SyncState
from tests import factories as make
from tests.tvapp.people import browser, person
from trading.models import Order, OrderAttempt, Position
from trading.services import health
from tvapp.lib import clock
from tvapp.people import roles

pytestmark = pytest.mark.django_db


@pytest.fixture
def client(desk):
    return browser(desk.owner)


@pytest.fixture
def kite(desk):
    return BrokerAccount.objects.create(owner=desk.owner, name="kite", broker="zerodha", environment="SIM", state="READY")


@pytest.fixture
def held(desk, kite):
    """10 INFY here, 14 at the broker."""
    make.PositionFactory(strategy=desk.auto, account=kite, quantity=D(10), average=D(1500))
    facts = {"exchange": "NSE", "tradingsymbol": "INFY", "product": "MIS", "ltp": D(1510), "average": D(1505), "realised": D(40)}
    BrokerPosition.objects.create(account=kite, net_qty=D(14), at=clock.now(), **facts)
    BrokerHolding.objects.create(account=kite, exchange="NSE", tradingsymbol="TCS", quantity=D(5), t1_quantity=D(2), average=D(3000), ltp=D(3100), at=clock.now())
    SyncState.objects.create(account=kite, orders_at=clock.now() - timedelta(seconds=3), changed=4)


@pytest.fixture
def review(desk, kite, time_machine):
    """An order whose outcome nobody knows, five minutes after its attempt; in the morning, far from the hour at which order books are cleared."""
    time_machine.move_to(clock.day_start(clock.trading_day(clock.now())) + timedelta(hours=10))
    order = make.OrderFactory(strategy=desk.auto, account=kite, status="NEEDS_REVIEW", looks=8, why="Absent.")
    began = clock.now() - timedelta(minutes=5)
    make.OrderAttemptFactory(order=order, started_at=began)
    return order


# ---------------------------------------------------------------------------- positions, holdings, trades
def test_it_shows_the_brokers_figure_beside_ours(client, held):
    text = client.get("/positions").content.decode()
    assert "differs" in text and "1 position differs" in text and ">14" in text and ">10" in text
    assert "synced" in text and "4 changed" in text and "Sync now" in text
    (row,) = client.get("/api/positions").json()["results"]
    assert (row["quantity"], row["ours"], row["broker"], row["drift"], row["unrealised"], row["realised"]) == ("14", "10", "14", True, "70", "40")


def test_it_shows_the_change_of_the_day(client, held):
    assert "% today" not in client.get("/positions").content.decode()
    BrokerPosition.objects.update(close_price=D(1500))
    BrokerHolding.objects.update(close_price=D(3200))
    assert "+0.67 % today" in client.get("/positions").content.decode()
    assert "\u22123.13 % today" in client.get("/holdings").content.decode()


def test_it_offers_a_fresh_read_only_to_who_is_logged_in(client, held, kite):
    assert "Sync now" in client.get("/brokers").content.decode()
    BrokerAccount.objects.update(state="DISCONNECTED")
    for page in ("/brokers", "/orders", "/positions"):
        assert "Sync now" not in client.get(page).content.decode()


def test_it_takes_the_younger_price(client, held):
    Quote.objects.create(instrument=Instrument.objects.get(tradingsymbol="INFY"), ltp=D(1520), at=clock.now() + timedelta(seconds=1))
    assert client.get("/api/positions").json()["results"][0]["ltp"] == "1520"


def test_it_shows_paper_positions_from_the_desks_own_rows(client, desk):
    desk.filled("auto")
    (row,) = client.get("/api/positions").json()["results"]
    assert (row["quantity"], row["broker"], row["drift"]) == ("10", None, False)
    assert "Sync now" not in client.get("/positions").content.decode()


def test_it_shows_what_may_be_sold(client, held, kite):
    assert "and 2 arrive tomorrow" in client.get("/holdings").content.decode()
    assert client.get("/api/holdings").json()["results"][0]["sellable"] == "5"
    BrokerAccount.objects.filter(pk=kite.pk).update(sell_t1=True)
    (row,) = client.get("/api/holdings").json()["results"]
    assert (row["sellable"], row["value"], row["result"]) == ("7", "21700", "700")


def test_it_lists_trades_newest_first(client, desk):
    first, second = desk.filled("auto"), desk.filled("auto")
    rows = client.get("/api/trades").json()["results"]
    assert [r["order_id"] for r in rows] == [second.pk, first.pk] and rows[0]["symbol"] == "NSE:INFY"


def test_it_shows_nobody_elses_books(held):
    other = browser(person("other", roles.TRADER))
    assert [other.get(f"/api/{name}").json()["results"] for name in ("positions", "holdings", "trades")] == [[], [], []]


# ---------------------------------------------------------------------------- positions that differ
@pytest.fixture
def gone(desk, kite):
    """10 INFY of a strategy, 3 of them left at the broker, as two reads said."""
    make.PositionFactory(strategy=desk.auto, account=kite, quantity=D(10), average=D(1500))
    BrokerPosition.objects.create(account=kite, exchange="NSE", tradingsymbol="INFY", product="MIS", net_qty=D(3), sell_avg=D(1510), at=clock.now())
    SyncState.objects.create(account=kite, positions_at=clock.now())
    return make.DriftFactory(account=kite, owner=desk.owner, theirs=D(3))


def test_it_says_both_numbers_and_takes_over_the_brokers(client, gone):
    for page in ("/positions", "/brokers"):
        assert "Zerodha holds 3 INFY (MIS), the desk counts 10 (auto 10)." in client.get(page).content.decode()
    (row,) = client.get("/api/positions/drifts").json()["results"]
    assert (row["id"], row["ours"], row["theirs"], row["strategies"]) == (gone.pk, "10", "3", [])
    page = client.post(f"/positions/drifts/{gone.pk}/adopt", {"ours": "10", "theirs": "3"}, follow=True).content.decode()
    assert "counts what the broker holds" in page and "the desk counts 10" not in page
    position = Position.objects.get()
    assert (position.quantity, position.realised) == (3, 70)
    assert client.post(f"/api/positions/drifts/{gone.pk}/adopt", {}, content_type="application/json").json()["code"] == "DRIFT_SETTLED"


def test_it_asks_again_when_the_figures_changed(client, gone):
    answer = client.post(f"/api/positions/drifts/{gone.pk}/adopt", {"ours": "10", "theirs": "4"}, content_type="application/json")
    assert (answer.status_code, answer.json()["code"], Position.objects.get().quantity) == (409, "DRIFT_CHANGED", 10)


def test_it_lets_the_person_say_which_strategy_was_closed(client, desk, kite, gone):
    make.PositionFactory(strategy=desk.manual, account=kite, quantity=D(8), average=D(1500))
    gone.ours = gone.booked = D(18)
    gone.save()
    assert "manual was closed" in client.get("/positions").content.decode()
    client.post(f"/positions/drifts/{gone.pk}/adopt", {"ours": "18", "theirs": "3", "strategy_id": desk.manual.pk})
    assert dict(Position.objects.values_list("strategy__name", "quantity")) == {"manual": 0, "auto": 3}


def test_it_counts_delivered_shares_for_what_was_bought_here(client, desk, kite):
    make.PositionFactory(strategy=desk.auto, account=kite, product="CNC", quantity=D(10), average=D(1500))
    BrokerHolding.objects.create(account=kite, exchange="NSE", tradingsymbol="INFY", quantity=D(110), average=D(1500), at=clock.now())
    (row,) = client.get("/api/positions").json()["results"]
    assert (row["quantity"], row["drift"]) == ("10", False)


# ---------------------------------------------------------------------------- sync now
def test_it_asks_for_a_read_and_says_so(client, kite):
    answer = client.post(f"/api/brokers/accounts/{kite.pk}/sync")
    assert (answer.status_code, answer.json()["waits"]) == (202, True)
    assert OrmQ.objects.count() == 1 and SyncState.objects.get().wanted_at
    page = client.post("/sync", {"page": "positions"}, follow=True)
    assert "kite: its books are being read." in page.content.decode() and page.redirect_chain[0][0] == "/positions"
    assert OrmQ.objects.count() == 1


def test_it_does_not_promise_a_read_without_a_login(client, kite):
    BrokerAccount.objects.filter(pk=kite.pk).update(state="DISCONNECTED")
    answer = client.post(f"/api/brokers/accounts/{kite.pk}/sync")
    assert (answer.status_code, answer.json()["code"]) == (409, "ACCOUNT_DISCONNECTED")


def test_it_calls_a_desk_degraded_whose_books_are_old(kite):
    SyncState.objects.create(account=kite, orders_at=clock.now() - timedelta(minutes=10), error="Down.")
    for name in ("orders", "sweeper"):
        make.HeartbeatFactory(name=name)
    check = health.report()["checks"]["sync"]
    assert check["ok"] is False and "for a while: 1" in check["text"]
    SyncState.objects.update(orders_at=clock.now())
    assert health.report()["checks"]["sync"]["ok"] is True


# ---------------------------------------------------------------------------- orders placed elsewhere
def test_it_marks_and_filters_orders_placed_elsewhere(client, desk):
    make.OrderFactory(strategy=None, owner=desk.owner, account=desk.account, source="EXTERNAL", status="OPEN", broker_order_id="X1")
    mine = desk.order("manual")
    text = client.get("/orders").content.decode()
    assert text.count("EXTERNAL</span>") == 1
    shown = client.get("/orders?source=EXTERNAL").content.decode()
    assert f"O-{mine.pk}" not in shown
    assert len(client.get("/api/orders?source=EXTERNAL").json()["results"]) == 1


# ---------------------------------------------------------------------------- settle
def settle(client, order, **body):
    return client.post(f"/api/orders/{order.pk}/resolve", body, content_type="application/json")


@pytest.mark.parametrize("seen", [None, timedelta(minutes=4), timedelta(seconds=90)])
def test_it_does_not_believe_that_nothing_was_sent_before_a_late_and_fresh_look(client, review, seen):
    Order.objects.update(clean_look_at=clock.now() - seen if seen else None)
    for way in ("NOT_SENT", "SEND_NOW"):
        answer = settle(client, review, **{"as": way})
        assert (answer.status_code, answer.json()["code"]) == (409, "TOO_EARLY")
    assert Order.objects.get().status == "NEEDS_REVIEW" and SyncState.objects.get().wanted_at


def test_it_does_not_believe_it_within_two_minutes_of_the_attempt(client, review):
    OrderAttempt.objects.update(started_at=clock.now() - timedelta(seconds=100))
    Order.objects.update(clean_look_at=clock.now())
    answer = settle(client, review, **{"as": "NOT_SENT"})
    assert answer.json()["code"] == "TOO_EARLY" and "s at the earliest" in answer.json()["message"]


def test_it_marks_as_not_sent_after_a_fresh_look(client, review):
    Order.objects.update(clean_look_at=clock.now())
    answer = settle(client, review, **{"as": "NOT_SENT"})
    assert (answer.status_code, answer.json()["status"], answer.json()["status_reason"]) == (202, "FAILED", "MARKED_NOT_SENT")


def test_it_sends_a_new_order_with_its_own_tag(client, review):
    Order.objects.update(clean_look_at=clock.now())
    answer = settle(client, review, **{"as": "SEND_NOW"})
    new = Order.objects.get(pk=answer.json()["id"])
    assert (answer.status_code, new.status, new.copied_from_id, new.source) == (202, "QUEUED", review.pk, "RESUBMIT")
    assert new.tag != review.tag and Order.objects.get(pk=review.pk).status == "FAILED"


def test_it_notes_the_wish_to_attach_and_asks_for_the_book(client, review):
    answer = settle(client, review, **{"as": "SENT", "broker_order_id": "2611230001"})
    assert answer.status_code == 202 and Order.objects.get().pending_changes == {"attach": "2611230001"}
    assert Order.objects.get().status == "NEEDS_REVIEW" and OrmQ.objects.count() == 1
    assert "2611230001" in client.get(f"/orders/{review.pk}").content.decode()


def test_it_refuses_to_attach_what_belongs_to_another_order(client, desk, review):
    make.OrderFactory(strategy=desk.auto, account=review.account, status="OPEN", broker_order_id="2611230001")
    answer = settle(client, review, **{"as": "SENT", "broker_order_id": "2611230001"})
    assert (answer.status_code, answer.json()["code"]) == (409, "BROKER_ORDER_TAKEN")


@pytest.mark.parametrize("body", [{}, {"as": "MAYBE"}, {"as": "SENT"}, {"as": "LOOK_AGAIN", "force": True}])
def test_it_refuses_a_decision_it_cannot_read(client, review, body):
    assert settle(client, review, **body).status_code == 400


def test_it_settles_only_what_needs_review(client, desk):
    assert settle(client, desk.order("manual"), **{"as": "LOOK_AGAIN"}).json()["code"] == "ORDER_NOT_IN_REVIEW"


def test_it_offers_the_safe_moves_on_the_page_and_does_them(client, review):
    Order.objects.update(clean_look_at=clock.now())
    text = client.get(f"/orders/{review.pk}").content.decode()
    assert "Look it up again" in text and "Attach it" in text and "Mark as not sent" in text
    assert "read again now" in client.post(f"/orders/{review.pk}/settle", {"as": "LOOK_AGAIN"}, follow=True).content.decode()
    page = client.post(f"/orders/{review.pk}/settle", {"as": "SEND_NOW"}, follow=True)
    assert page.redirect_chain[0][0] == f"/orders/{Order.objects.order_by('-id').first().pk}"


def test_it_says_why_it_cannot_be_settled_yet(client, review):
    assert "Try again then" in client.post(f"/orders/{review.pk}/settle", {"as": "NOT_SENT"}, follow=True).content.decode()
    assert "could not be read" in client.post(f"/orders/{review.pk}/settle", {"as": "?"}, follow=True).content.decode()


