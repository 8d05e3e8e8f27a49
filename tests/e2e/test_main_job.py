"""What a trader does all day, in a real browser: sign in, an alert arrives, look, edit, execute, filled."""

import re

import pytest
from playwright.sync_api import expect

from tests.process.desk import PASSWORD

pytestmark = pytest.mark.browser


def sign_in(page) -> None:
    page.goto("/")
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/$"))


@pytest.fixture
def complaints(page):
    """What the browser's console complains about: a refused script, a missing file, a broken page."""
    found = []
    page.on("console", lambda m: found.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda e: found.append(str(e)))
    return found


def test_it_edits_and_executes_a_waiting_alert_until_it_is_filled(page, desk, complaints):
    sign_in(page)
    page.goto("/queue")
    order_id = desk.alert("browser-1", "demo-manual", "NSE:WIPRO")[1]["order_id"]
    row = page.locator(f"#q-{order_id}")
    page.reload()
    expect(row).to_contain_text("WIPRO")
    row.get_by_role("link", name=re.compile("Edit")).click()
    edit = page.locator(f"#edit-{order_id}")
    edit.get_by_label("Quantity").fill("7")
    edit.get_by_role("button", name="Save", exact=True).click()
    expect(row).to_contain_text("7")
    row.get_by_role("button", name=re.compile("Execute")).click()
    expect(row).to_have_count(0)
    desk.wait_filled({order_id}, 60)
    page.goto(f"/orders/{order_id}")
    expect(page.get_by_text("Complete").first).to_be_visible()
    expect(page.locator("main")).to_contain_text("quantity 1 to 7")
    assert complaints == []


def test_it_shows_a_new_alert_on_an_open_queue_without_a_reload(page, desk):
    sign_in(page)
    page.goto("/queue")
    order_id = desk.alert("browser-2", "demo-manual", "NSE:TCS")[1]["order_id"]
    expect(page.locator(f"#q-{order_id}")).to_be_visible(timeout=10_000)


def test_it_works_without_javascript(browser, desk, base_url):
    page = browser.new_context(java_script_enabled=False, base_url=base_url).new_page()
    sign_in(page)
    order_id = desk.alert("browser-3", "demo-manual", "NSE:ITC")[1]["order_id"]
    page.goto("/queue")
    page.locator(f"#q-{order_id}").get_by_role("button", name=re.compile("Execute")).click()
    desk.wait_filled({order_id}, 60)
    page.context.close()


def test_it_stops_trading_from_the_header_and_lets_it_go_on(page, desk):
    sign_in(page)
    page.locator(".btn-kill").click()
    page.locator("#kill").get_by_role("button", name=re.compile("Stop everything")).click()
    held = desk.alert("browser-4")[1]["order_id"]
    desk.wait(lambda: desk.call("GET", f"/api/orders/{held}")[1]["status"] == "HELD", 60, "the order is held")
    page.goto("/kill")
    page.locator("main").get_by_label("Reason").first.fill("test is over")
    page.locator("main").get_by_label(re.compile("password", re.I)).first.fill(PASSWORD)
    page.get_by_role("button", name="Resume trading").click()
    desk.wait(lambda: desk.call("GET", f"/api/orders/{held}")[1]["status"] == "WAITING", 60, "the held order waits again")


@pytest.mark.parametrize("path", ["/", "/queue", "/orders", "/alerts", "/admin/"])
@pytest.mark.parametrize("width", [390, 1440])
def test_it_fits_the_screen_and_keeps_the_console_clean(page, desk, complaints, path, width):
    page.set_viewport_size({"width": width, "height": 900})
    sign_in(page)
    page.goto(path)
    page.wait_for_load_state("networkidle")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth + 1")
    assert complaints == []
