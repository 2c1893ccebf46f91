"""The main job in a browser: write, draw, approve, watch, and hear what people answer."""

from __future__ import annotations

import os
import re
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import SignIn
from tests.browser.phone import approve

HANOI = ZoneInfo("Asia/Ho_Chi_Minh")
CORNERS = ((0.32, 0.3), (0.56, 0.26), (0.62, 0.52), (0.42, 0.66))
"""Of the drawn shape, as shares of the map's width and height."""
DELIVERED_WITHIN_MS = 150_000


def begin(page: Page, event: str) -> None:
    """Start a draft and wait until its map can be drawn on."""
    page.goto("/console/alerts/new")
    page.click(f"button[value={event}]")
    page.wait_for_selector("#compose[data-ready]")


def fill_flood(page: Page) -> None:
    leave = datetime.now(HANOI) + timedelta(hours=4)
    page.select_option("#f-river", "hong")
    page.select_option("#f-alarm", "III")
    page.fill("#f-leave_by", leave.strftime("%Hh%M %d/%m"))
    page.fill("#f-source-vi", "Đài Khí tượng Thủy văn, bản tin 03:00")
    page.fill("#f-source-en", "Hydro-Met Service, bulletin of 03:00")


def add_place(page: Page, name: str) -> None:
    page.fill("#by-name", name)
    page.press("#by-name", "Enter")


def draw(page: Page) -> None:
    """Draw a shape: its corners, then its first corner again."""
    page.click("[data-tool=polygon]")
    expect(page.locator("#map.leaflet-container")).to_be_visible()
    expect(page.locator("#map.geoman-draw-cursor")).to_be_visible()
    area = page.locator("#map")
    box = area.bounding_box()
    assert box is not None
    for x, y in (*CORNERS, CORNERS[0]):
        area.click(position={"x": box["width"] * x, "y": box["height"] * y})
    expect(page.locator("#chosen")).to_contain_text("Hình vẽ 1")


def saved(page: Page) -> None:
    """Wait until what was written is saved and nothing is left to correct."""
    expect(page.locator("#submit")).not_to_have_attribute("aria-disabled", "true")
    expect(page.locator("#dock")).to_contain_text("Không chỗ nào phải sửa")


def keep_picture(page: Page) -> None:
    """Keep the picture of the console that README shows, when it is asked for."""
    target = os.environ.get("CONSOLE_SCREENSHOT")
    if target:
        page.evaluate("scrollTo(0, 0)")
        page.mouse.move(0, 0)
        page.wait_for_timeout(300)
        page.screenshot(path=Path(target))


@pytest.mark.parametrize("width", [1440, 360])
def test_a_flood_warning_from_the_first_word_to_an_answer(sign_in: SignIn, width: int) -> None:
    height = 900 if width > 400 else 780
    author = sign_in("ha", width, height)
    begin(author, "flood")
    fill_flood(author)
    add_place(author, "phu thuong")
    add_place(author, "quận long biên")
    expect(author.locator("#chosen .tag")).to_have_count(2)
    before = author.locator("#audience [data-people]")
    expect(before).to_be_visible()
    fewer = int(before.get_attribute("data-people") or 0)
    draw(author)
    expect(author.locator("#audience")).to_contain_text("một phần")
    expect(before).not_to_have_attribute("data-people", str(fewer))
    saved(author)
    more = int(author.locator("#audience [data-people]").get_attribute("data-people") or 0)
    assert more > fewer > 0
    assert "‹" not in author.locator("#preview").inner_text()
    expect(author.locator("#dock")).to_contain_text(str(more))
    if width > 400:
        keep_picture(author)
    author.click("#submit")
    author.wait_for_url(re.compile(r"/console/alerts/HN-[0-9-]+$"))
    address = author.url

    approver = sign_in("tuan", width, height)
    code = address.rsplit("/", 1)[1]
    approver.click(f'a.btn[href="/console/alerts/{code}/review"]')
    expect(approver.locator("#map path.poly")).to_have_count(1)
    expect(approver.locator("#approve")).to_contain_text(str(more))
    approve(approver)
    approver.wait_for_url(address)

    figures = approver.locator("#progress .figs")
    expect(figures).to_have_attribute("data-state", "sent", timeout=DELIVERED_WITHIN_MS)
    settled, total = (figures.get_attribute(f"data-{name}") for name in ("settled", "total"))
    assert settled == total
    assert int(total or 0) >= more * 0.9
    expect(approver.locator("[data-channel]")).to_have_count(3)
    expect(approver.locator("#stop")).to_have_count(0)

    answer_from_the_lab(approver, code, width)


def answer_from_the_lab(page: Page, code: str, width: int) -> None:
    """Write back as somebody who got the alert, and find it on the board and on the map."""
    page.goto("/lab/sms")
    page.locator("tbody th a").first.click()
    text = f"ngap nua met o phuong bo de, xe chet may, ho tro voi {width}"
    page.fill("textarea[name=text]", text)
    page.locator("form:has(textarea[name=text]) button[type=submit]").click()
    page.wait_for_load_state()
    for _ in range(40):
        page.goto("/console/incidents")
        row = page.locator(".inc", has_text=str(width)).filter(has_text="bo de")
        if row.count():
            break
        page.wait_for_timeout(500)
    expect(row.first).to_contain_text("SMS")
    expect(row.first).to_contain_text(code)
    incident = row.first.get_attribute("data-code")
    expect(page.locator(".map-incident").first).to_be_visible()
    row.first.click()
    page.wait_for_url(f"**/console/incidents/{incident}")
    expect(page.locator(".say")).to_have_text(text)
    expect(page.locator(".map-incident-on")).to_be_visible()
    page.click("button[value=assigned]")
    expect(page.locator(".head")).to_contain_text("Trần Quốc Tuấn")
