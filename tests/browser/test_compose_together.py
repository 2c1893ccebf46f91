"""A draft without a connection, and two who write on one: nothing is lost or overwritten."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import SignIn, Watch
from tests.browser.test_broadcast import begin

OFFLINE = "ERR_INTERNET_DISCONNECTED"
GONE_WITHIN_MS = 15_000


def kept(page: Page) -> None:
    """Wait until the page can be opened without a connection."""
    expect(page.locator("html")).to_have_attribute("data-kept", "")


def usable(page: Page) -> None:
    page.wait_for_selector("#compose[data-usable]")


def test_what_is_written_offline_survives_a_reload_and_is_sent_when_the_connection_is_back(
    sign_in: SignIn, watch: Watch
) -> None:
    watch.provoked = OFFLINE
    page = sign_in("ha")
    begin(page, "storm")
    kept(page)
    page.fill("#f-storm-vi", "bão số 3")
    expect(page.locator("#saved")).to_contain_text("Bản 2")
    page.context.set_offline(True)
    page.fill("#f-storm-vi", "bão số 9")
    expect(page.locator("#away")).to_contain_text("Mất kết nối từ")
    expect(page.locator("#away")).to_contain_text("số chỗ sửa đang chờ: 1")
    page.reload()
    usable(page)
    expect(page.locator("#f-storm-vi")).to_have_value("bão số 9")
    expect(page.locator("#away")).to_contain_text("Trang này mở từ bản máy giữ lúc")
    page.fill("#f-storm-en", "storm 9")
    expect(page.locator("#away")).to_contain_text("số chỗ sửa đang chờ: 2")
    page.context.set_offline(False)
    expect(page.locator("#saved")).to_contain_text("Bản 3")
    expect(page.locator("#away")).to_be_hidden()
    page.reload()
    expect(page.locator("#f-storm-vi")).to_have_value("bão số 9")
    expect(page.locator("#f-storm-en")).to_have_value("storm 9")


@pytest.mark.slow
def test_a_field_changed_here_offline_and_by_another_keeps_both_texts(
    sign_in: SignIn, watch: Watch
) -> None:
    watch.provoked = OFFLINE
    first = sign_in("ha")
    begin(first, "storm")
    kept(first)
    second = sign_in("tuan")
    second.goto(first.url)
    usable(second)
    first.context.set_offline(True)
    first.fill("#f-storm-vi", "bão số 9")
    first.fill("#f-storm-en", "storm 9")
    first.reload()
    usable(first)
    second.fill("#f-storm-vi", "bão số 4")
    expect(second.locator("#saved")).to_contain_text("Bản 2")
    watch.provoked = "409 (Conflict)"
    first.context.set_offline(False)
    expect(first.locator("#conflict")).to_contain_text("bão số 9")
    expect(first.locator("#conflict")).to_contain_text("bão số 4")
    expect(first.locator(".clash-row")).to_have_count(1)  # the English one is nobody else's
    first.click("[data-take=mine]")
    expect(first.locator("#saved")).to_contain_text("Bản 3")
    expect(second.locator("#f-storm-vi")).to_have_value("bão số 9")
    expect(second.locator("#f-storm-en")).to_have_value("storm 9")


@pytest.mark.slow
def test_two_on_one_draft_see_each_other_and_what_the_other_writes(sign_in: SignIn) -> None:
    first = sign_in("ha")
    begin(first, "storm")
    second = sign_in("tuan")
    second.goto(first.url)
    usable(second)
    first.focus("#f-storm-vi")
    expect(second.locator("#people")).to_contain_text("Lê Thu Hà")
    expect(second.locator("#people")).to_contain_text("đang ở “Tên bão”")
    first.fill("#f-storm-vi", "bão số 3")
    expect(second.locator("#f-storm-vi")).to_have_value("bão số 3")
    second.click("label:has([value=emergency])")
    first.fill("#f-storm-vi", "bão số 3 mới")
    expect(second.locator("#f-storm-vi")).to_have_value("bão số 3 mới")
    expect(first.locator("[name=class][value=emergency]")).to_be_checked()
    first.goto("/console")
    expect(second.locator("#people")).not_to_contain_text("Hà", timeout=GONE_WITHIN_MS)
