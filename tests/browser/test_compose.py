"""The compose screen: words of one's own, times, places, and without a mouse."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import SignIn
from tests.browser.test_broadcast import HANOI, add_place, begin, fill_flood, saved


def test_words_of_ones_own_are_kept_until_they_are_given_back(sign_in: SignIn) -> None:
    page = sign_in("ha")
    begin(page, "flood")
    fill_flood(page)
    add_place(page, "hong ha")
    saved(page)
    title = page.locator("#vi-push-title")
    template = title.input_value()
    title.fill("Rời bãi sông ngay bây giờ")
    expect(page.locator("#preview")).to_contain_text("Rời bãi sông ngay bây giờ")
    page.select_option("#f-river", "da")
    expect(page.locator("#preview")).to_contain_text("Lũ sông Đà")
    expect(title).to_have_value("Rời bãi sông ngay bây giờ")
    page.click('[data-piece="push.title"][data-in="vi"] [data-back]')
    page.select_option("#f-river", "hong")
    expect(title).to_have_value(template)


def test_a_kind_is_found_by_name_and_enter_alone_begins_nothing(sign_in: SignIn) -> None:
    page = sign_in("ha")
    page.goto("/console/alerts/new")
    find = page.locator("#find-kind")
    expect(find).to_be_focused()
    for nothing in ("", "   ", "không có loại này"):
        find.fill(nothing)
        find.press("Enter")
        assert page.url.endswith("/console/alerts/new")
    expect(page.locator("#none")).to_be_visible()
    find.fill("")
    find.press_sequentially("lu song hong")
    expect(page.locator("[data-kind]:visible")).to_have_count(1)
    find.press("Enter")
    page.wait_for_url("**/console/scenarios/*/use")
    expect(page.locator("h1")).to_contain_text("Lũ sông Hồng")


def test_times_are_taken_as_officials_write_them(sign_in: SignIn) -> None:
    page = sign_in("ha")
    begin(page, "flood")
    day = (datetime.now(HANOI) + timedelta(days=1)).strftime("%d/%m")
    crest = page.locator("#f-crest_at")
    for typed in (f"06:00 {day}", f"6h {day}", f"0600 {day.replace('/', '')}", f"6.00 {day}"):
        crest.fill(typed)
        crest.blur()
        expect(crest).to_have_value(f"06:00 {day}")
    crest.fill("25:00")
    expect(crest).to_have_attribute("aria-invalid", "true")
    crest.fill(f"07:15 {day}")
    expect(page.locator("#saved")).to_contain_text("Bản")
    expect(crest).to_have_attribute("aria-invalid", "false")
    page.wait_for_timeout(1500)
    page.reload()
    expect(crest).to_have_value(f"07:15 {day}")


def test_a_period_is_two_moments_and_a_wrong_one_is_told_beside_it(sign_in: SignIn) -> None:
    page = sign_in("ha")
    begin(page, "outage")
    day = (datetime.now(HANOI) + timedelta(days=1)).strftime("%d/%m")
    page.fill("#f-period-from", f"6h {day}")
    page.fill("#f-period-to", f"25:70 {day}")
    page.fill("#expires", "chiều mai")
    beside = page.locator('[data-wrong="values.period"]')
    expect(beside).to_contain_text("25:70")
    expect(page.locator('[data-wrong="expires"]')).to_contain_text("chiều mai")
    expect(page.locator("#f-period-from")).to_have_value(f"06:00 {day}")
    page.reload()
    page.wait_for_selector("#compose[data-ready]")
    expect(page.locator("#f-period-to")).to_have_value(f"25:70 {day}")
    expect(page.locator("#expires")).to_have_value("chiều mai")
    expect(page.locator("#f-period-to")).to_have_attribute("aria-invalid", "true")
    page.fill("#f-period-to", f"17h {day}")
    page.locator("#f-period-to").blur()
    expect(beside).to_be_hidden()
    expect(page.locator("#preview")).to_contain_text(f"06:00 đến 17:00 {day}")


@pytest.mark.parametrize("width", [1440, 360])
def test_a_former_district_is_one_click(sign_in: SignIn, width: int) -> None:
    page = sign_in("ha", width)
    begin(page, "storm")
    page.click("[data-tool=group]")
    box = page.locator("#map").bounding_box()
    assert box is not None
    page.locator("#map").click(position={"x": box["width"] * 0.2, "y": box["height"] * 0.35})
    expect(page.locator("#chosen .tag")).to_have_count(1)
    assert page.locator("#map path.on").count() > 1


def test_an_area_is_chosen_and_taken_back_by_keyboard_alone(sign_in: SignIn) -> None:
    page = sign_in("ha")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    begin(page, "storm")
    page.focus("#by-name")
    page.keyboard.type("ba dinh")
    page.keyboard.press("Enter")
    expect(page.locator("#chosen .tag")).to_have_count(1)
    page.keyboard.type("xyz")
    page.keyboard.press("Enter")
    expect(page.locator("#place-problem")).to_be_visible()
    page.locator("#chosen button").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#chosen .tag")).to_have_count(0)
    expect(page.locator("#by-name")).to_be_focused()


def test_no_screen_is_wider_than_a_phone(sign_in: SignIn) -> None:
    page = sign_in("tuan", 360)
    for path in ("", "/alerts", "/alerts/new", "/duty", "/incidents"):
        page.goto(f"/console{path}")
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") == 360, path
        choices = page.locator(".seg :is(a, label):visible")
        for box in (choice.bounding_box() for choice in choices.all()):
            assert box is not None
            assert box["x"] + box["width"] <= 360, path
