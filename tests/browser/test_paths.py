"""One path for each role, on a desk and on a phone; and an alert without a mouse, end to end."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from broadcaster.demo.seed import PASSWORD
from tests.browser import looks, phone
from tests.browser.carriers import slow_carriers
from tests.browser.city import HANOI, City
from tests.browser.conftest import SignIn
from tests.browser.looks import PHONE
from tests.browser.test_broadcast import saved
from tests.browser.test_follow_ups import code_of

WIDTHS = pytest.mark.parametrize("width", [1440, PHONE])


def way(page: Page, name: str) -> None:
    """Go where the navigation says; on a phone through its bar and what is under More."""
    href = f'a[href="{name}"]'
    bar = page.locator(".tabbar" if page.viewport_size["width"] <= PHONE else ".top")  # type: ignore[index]
    link = bar.locator(href)
    if not link.first.is_visible():
        bar.locator("details:has(" + href + ") > summary").click()
    link.first.click()
    page.wait_for_url(f"**{name}")
    assert looks.overflow(page) == 0, name
    assert looks.foreign(page) == [], name
    if page.viewport_size["width"] <= PHONE:  # type: ignore[index]
        assert looks.small(page) == [], name


@WIDTHS
def test_an_author_goes_from_a_scenario_to_its_draft(
    sign_in: SignIn, city: City, width: int
) -> None:
    page = sign_in("dung", width)
    way(page, "/console/scenarios")
    way(page, "/console/templates")
    way(page, "/console/alerts/new")
    expect(page.locator("a[href='/console/policy']")).to_have_count(0)
    page.click("button[value=storm]")
    page.wait_for_selector("#compose[data-ready]")
    assert looks.overflow(page) == 0


@WIDTHS
def test_an_approver_finds_what_waits_and_returns_it_with_a_reason(
    sign_in: SignIn, city: City, width: int
) -> None:
    page = sign_in("tuan", width)
    page.click(f'a[href="/console/alerts/{city.submitted}/review"]')
    page.wait_for_selector("#h-decide")
    assert looks.overflow(page) == 0
    page.click(".decide form[action$='/return'] button >> nth=0")
    expect(page.locator("#reason:invalid")).to_have_count(1)
    assert page.url.endswith("/review")


@WIDTHS
def test_staff_take_an_incident_on(sign_in: SignIn, city: City, width: int) -> None:
    page = sign_in("ha", width)
    way(page, "/console/incidents")
    page.click(f"[data-code='{city.incident}']")
    page.wait_for_url(f"**/console/incidents/{city.incident}")
    assert looks.overflow(page) == 0
    expect(page.locator(".say")).not_to_be_empty()


@WIDTHS
def test_an_administrator_and_monitor_goes_through_what_they_keep(
    sign_in: SignIn, width: int
) -> None:
    page = sign_in("anna", width)
    assert page.get_attribute("html", "lang") == "en"
    for name in (
        "policy", "approval-rules", "officials", "exercises", "providers", "dead-letters",
        "people", "audit",
    ):  # fmt: skip
        way(page, f"/console/{name}")
    way(page, "/console/duty")
    expect(page.locator("a[href='/console/alerts/new']")).to_have_count(0)


def _tab_to(page: Page, selector: str) -> None:
    """Press Tab until it is there: a person without a mouse has no other way."""
    for _ in range(250):
        if page.evaluate("(s) => !!document.activeElement?.matches(s)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{selector} is not reached by Tab on {page.url}")


def _type(page: Page, selector: str, text: str) -> None:
    _tab_to(page, selector)
    page.keyboard.press("Control+a")
    page.keyboard.type(text)


def _press(page: Page, selector: str) -> None:
    """Press what leads to another page, and wait for that page."""
    _tab_to(page, selector)
    with page.expect_navigation():
        page.keyboard.press("Enter")


@pytest.mark.slow
def test_an_alert_is_written_approved_and_stopped_by_keyboard_alone(
    sign_in: SignIn, city: City, demo_folder: Path
) -> None:
    author = sign_in(None)
    author.goto("/console")
    _keys_in(author, "ha")
    _press(author, "a[href='/console/scenarios']")
    _press(author, f"a[href='/console/scenarios/{city.scenario}/use']")
    hour = datetime.now(HANOI) + timedelta(hours=1)
    _type(author, "[name='v.start']", hour.strftime("%H:%M %d/%m"))
    _press(author, "main form button")
    author.wait_for_selector("#compose[data-ready]")
    saved(author)
    _press(author, "#submit")
    code = code_of(author)

    approver = sign_in(None)
    approver.goto(f"/console/alerts/{code}/review")
    _keys_in(approver, "tuan")
    if approver.locator("#code").count():
        _type(approver, "#code", phone.code())
    with slow_carriers(demo_folder):
        _press(approver, "#approve")
        assert code_of(approver) == code
        # Those reached can be told as soon as there are some: from then on one has to choose.
        approver.wait_for_selector("#stop input[value=tell]:enabled")
        _tab_to(approver, "#stop input[type=radio]")
        approver.keyboard.press("Space")
        _type(approver, "#reason", "nham vung")
        _press(approver, "#stop button")
        expect(approver.locator("main")).to_contain_text("Đã dừng")


def _keys_in(page: Page, login: str) -> None:
    _type(page, "#login", login)
    _type(page, "#password", PASSWORD)
    with page.expect_navigation():
        page.keyboard.press("Enter")
