"""A day with Zerodha in a real browser: add the account, log in through the broker's page, execute, watch it fill, log in again when it ended."""

import os
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e.test_main_job import sign_in
from tests.process.desk import RunningDesk
from tests.process.kite import running_beside

pytestmark = pytest.mark.browser
PICTURES = os.environ.get("TVAPP_TEST_PICTURES", "")


@pytest.fixture(scope="module")
def both():
    with running_beside() as both:
        yield both


@pytest.fixture
def page(browser, both):
    """A window onto this desk: the one of the other browser tests belongs to another desk."""
    context = browser.new_context(base_url=f"http://127.0.0.1:{both[0].port}")
    yield context.new_page()
    context.close()


@pytest.fixture
def complaints(page, both):
    """What the console says about the desk's own pages."""
    base_url = f"http://127.0.0.1:{both[0].port}"
    found = []
    page.on("console", lambda m: found.append(f"{m.text} {m.location}") if m.type == "error" and m.location.get("url", "").startswith(base_url) else None)
    page.on("pageerror", lambda e: found.append(str(e)))
    return found


def connect(page) -> None:
    """One click here, one on the broker's page, and back."""
    page.goto("/brokers")
    page.get_by_role("button", name=re.compile("Connect")).click()
    expect(page).to_have_title("Kite simulator")
    page.get_by_role("button", name="Approve").click()
    expect(page).to_have_url(re.compile("/brokers"))
    expect(page.locator("main")).to_contain_text("Valid to", timeout=20_000)
    expect(page.locator(".conns")).to_contain_text("zerodha")


def fits(page, name: str) -> None:
    """No sideways scroll on a telephone and on a desk, in both looks; pictures where somebody asked for them."""
    for width in (390, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        for look in ("light", "dark"):
            page.emulate_media(color_scheme=look)
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth + 1"), f"{name} at {width}"
            if PICTURES:
                page.screenshot(path=Path(PICTURES) / f"{name}-{width}-{look}.png", full_page=True, animations="disabled")
    page.emulate_media(color_scheme="light")


def alert(desk: RunningDesk, key: str, strategy: str, **trade) -> int:
    status, answer = desk.alert(key, strategy, **trade)
    assert status == 201, answer
    return answer["order_id"]


def test_it_adds_an_account_and_trades_through_the_day(page, both, complaints):
    desk, kite = both
    sign_in(page)
    _adds_the_account(page)
    connect(page)
    fits(page, "brokers")
    account = desk.call("GET", "/api/zerodha/status")[1]["account_id"]
    for mode in ("AUTO", "MANUAL"):
        assert desk.call("POST", "/api/strategies", {"name": f"kite-{mode.lower()}", "mode": mode, "account_id": account})[0] == 201
    desk.wait(lambda: desk.call("GET", f"/api/brokers/accounts/{account}")[1]["state"] == "READY", 30, "the books were compared")
    order_id = _executes(page, desk, kite)
    _follows_it_to_the_end(page, desk, kite, order_id)
    _shows_the_position(page)
    _goes_on_after_the_session_ended(page, desk, kite)
    assert complaints == []


def _adds_the_account(page) -> None:
    page.goto("/brokers")
    form = page.locator("form", has=page.get_by_role("button", name="Add account"))
    if not form.is_visible():
        page.get_by_text("Add a Zerodha account").click()
    fits(page, "brokers-add")
    form.get_by_label("API key").fill("simkey")
    form.get_by_label("API secret").fill("simsecret")
    form.get_by_role("button", name="Add account").click()
    expect(page.locator("main")).to_contain_text("zerodha")


def _executes(page, desk, kite) -> int:
    kite.price("NSE:INFY", 1500, quantity=4)
    order_id = alert(desk, "browser-kite-1", "kite-manual", quantity=10)
    page.goto("/queue")
    row = page.locator(f"#q-{order_id}")
    expect(row).to_contain_text("INFY")
    fits(page, "queue")
    row.get_by_role("button", name=re.compile("Execute")).click()
    expect(row).to_have_count(0)
    return order_id


def _follows_it_to_the_end(page, desk, kite, order_id: int) -> None:
    page.goto(f"/orders/{order_id}")
    main = page.locator("main")
    expect(main).to_contain_text("Partly filled", timeout=20_000)
    expect(main).to_contain_text(kite.orders()[-1]["order_id"])
    fits(page, "order-partial")
    kite.price("NSE:INFY", 1500)
    expect(page.get_by_text("Complete").first).to_be_visible(timeout=20_000)
    fits(page, "order-complete")


def _shows_the_position(page) -> None:
    page.goto("/positions")
    expect(page.locator("main")).to_contain_text("INFY")
    fits(page, "positions")
    page.goto("/holdings")
    expect(page.locator("main")).to_contain_text("RELIANCE")
    fits(page, "holdings")


def _goes_on_after_the_session_ended(page, desk, kite) -> None:
    kite.post("expire")
    held = alert(desk, "browser-kite-2", "kite-auto")
    desk.wait(lambda: desk.call("GET", f"/api/orders/{held}")[1]["status"] == "HELD", 60, "the order is held")
    page.goto(f"/orders/{held}")
    expect(page.locator("main")).to_contain_text("On hold")
    expect(page.locator(".conns")).to_contain_text(re.compile("ended|expired|log", re.I))
    fits(page, "order-held")
    page.goto("/")
    fits(page, "dashboard-expired")
    page.goto("/brokers")
    fits(page, "brokers-expired")
    connect(page)
    desk.wait_filled({held}, 30)
