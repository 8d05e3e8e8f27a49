"""Square-off by a person: asked for on the page and over the API, done by workers, waited for by the command."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django_q.models import OrmQ

from tests import factories as make
from tests.tvapp.people import browser, person
from trading.models import Position, SquareOff
from trading.services import squareoff
from tvapp.lib import clock
from tvapp.people import roles

pytestmark = pytest.mark.django_db


@pytest.fixture
def client(desk):
    return browser(desk.owner)


def ask(client, account, confirm="paper"):
    return client.post("/api/risk/square-off", {"account_id": account.pk, "confirm": confirm}, content_type="application/json")


def test_it_is_taken_over_the_api_and_looked_up_there(client, desk):
    desk.filled()
    said = ask(client, desk.account)
    assert (said.status_code, said.json()["state"]) == (202, "CANCELLING")
    assert OrmQ.objects.count() and SquareOff.objects.get().pk == said.json()["id"]
    squareoff.push(SquareOff.objects.get())
    seen = client.get(f"/api/risk/square-offs/{said.json()['id']}").json()
    assert (seen["state"], len(seen["order_ids"])) == ("CLOSING", 1)


@pytest.mark.parametrize("confirm", ["", "Paper", "other"])
def test_it_wants_the_name_of_the_account(client, desk, confirm):
    assert ask(client, desk.account, confirm).status_code == 400
    refused = client.post("/square-off", {"account_id": desk.account.pk, "confirm": confirm})
    assert refused.status_code == 422 and f'value="{confirm}" autofocus' in refused.content.decode()
    assert not SquareOff.objects.exists()


def test_it_is_asked_for_on_its_page(client, desk):
    assert client.post("/square-off", {"account_id": desk.account.pk, "confirm": "paper"}).status_code == 302
    page = client.get("/square-off").content.decode()
    assert "Cancelling what rests" in page and "A person asked for it" in page


def test_it_is_nothing_for_strangers_and_viewers(desk):
    stranger, viewer = browser(person("ravi", roles.TRADER)), person("mira", roles.VIEWER)
    assert ask(stranger, desk.account).status_code == 404
    assert ask(browser(viewer), desk.account).status_code == 403
    assert "Square off paper" not in browser(viewer).get("/square-off").content.decode()


def test_it_says_so_to_somebody_without_an_account(db):
    new = browser(person("nila", roles.TRADER))
    pages = [new.get(path).content.decode() for path in ("/square-off", "/risk")]
    assert all("There is no account of yours yet" in page for page in pages) and "<th" not in pages[0]


def test_it_stands_on_every_page_until_one_closed_everything(client, desk):
    make.SquareOffFactory(account=desk.account, state="NEEDS_REVIEW", note="Still open: INFY 10 MIS.", ended_at=clock.now())
    assert "needs you. Still open: INFY 10 MIS." in client.get("/orders").content.decode()
    make.SquareOffFactory(account=desk.account, state="DONE", ended_at=clock.now())
    assert "Still open" not in client.get("/orders").content.decode()


# ---------------------------------------------------------------------------- the command
def run(*words: str) -> str:
    said = StringIO()
    call_command("squareoff", *words, stdout=said)
    return said.getvalue()


def test_the_command_closes_everything_without_a_worker(desk, monkeypatch):
    monkeypatch.setenv("TVAPP_TIME_SCALE", "0.05")
    desk.filled()
    said = run("--account", "paper", "--confirm", "paper")
    assert said.splitlines()[-1] == "paper is flat. Closed: sold 10 INFY."
    assert Position.objects.get().quantity == 0


@pytest.mark.parametrize("words", [["--account", "nobody", "--confirm", "nobody"], ["--account", "paper", "--confirm", "papier"]])
def test_the_command_refuses_in_one_line(desk, words):
    with pytest.raises(CommandError) as refused:
        run(*words)
    assert "\n" not in str(refused.value) and not SquareOff.objects.exists()
