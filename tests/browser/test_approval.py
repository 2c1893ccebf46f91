"""An emergency in a ward at night: its chairwoman has no second factor yet, and no time to lose."""

from __future__ import annotations

import re

import pyotp
from playwright.sync_api import Page, expect

from broadcaster.demo.seed import ENROLMENT_CODE, FACTOR_SECRET, PASSWORD
from tests.browser.conftest import SignIn, Watch
from tests.browser.test_broadcast import add_place, begin, fill_flood, saved
from tests.browser.test_follow_ups import code_of


def submitted(author: Page) -> str:
    """A flood emergency of the author's own ward, sent for approval."""
    begin(author, "flood")
    fill_flood(author)
    add_place(author, "phu thuong")
    saved(author)
    author.click("#submit")
    return code_of(author)


def enrol(page: Page) -> list[str]:
    """Enrol the phone from the page that shows its key; returns the recovery codes."""
    page.wait_for_url(re.compile(r"/console/account/second-factor\?next="))
    expect(page.locator(".qr-box svg")).to_be_visible()
    page.click("summary:has-text('Không quét được')")
    secret = page.locator("#key").inner_text().replace(" ", "")
    page.fill("#present", ENROLMENT_CODE)
    page.fill("#password", PASSWORD)
    page.fill("#code", pyotp.TOTP(secret).now())
    page.keyboard.press("Enter")
    codes = page.locator("#codes li")
    expect(codes).to_have_count(10)
    return codes.all_inner_texts()


def test_who_has_no_second_factor_enrols_on_the_way_and_approves(
    sign_in: SignIn, watch: Watch
) -> None:
    watch.provoked = "403"
    code = submitted(sign_in("long"))
    page = sign_in("lan")
    page.goto(f"/console/alerts/{code}/review")
    expect(page.locator("#approve")).to_have_count(0)
    page.click("text=Đăng ký ngay")
    codes = enrol(page)
    page.click("text=Tôi đã cất các mã")
    page.wait_for_url(f"**/console/alerts/{code}/review")
    page.fill("#code", "000000")
    page.click("#approve")
    expect(page.locator("#code-problem")).to_contain_text("còn 4 lần thử")
    page.click("summary:has-text('mã khôi phục')")
    page.fill("#recovery", codes[0].lower())
    page.click("#approve")
    page.wait_for_url(re.compile(f"/console/alerts/{code}$"))
    page.goto("/console/account")
    expect(page.locator("main")).to_contain_text("9 mã khôi phục còn lại")


def test_on_a_phone_all_is_read_before_the_code_is_typed(sign_in: SignIn) -> None:
    code = submitted(sign_in("long", 360, 780))
    page = sign_in("mai", 360, 780)
    page.goto(f"/console/alerts/{code}/review")
    decision, preview = page.locator("#h-decide"), page.locator("#h-preview")
    above, below = preview.bounding_box(), decision.bounding_box()
    assert above is not None
    assert below is not None
    assert above["y"] < below["y"]
    page.fill("#code", "12 34 56")
    expect(page.locator("#code")).to_have_value("123456")
    page.fill("#code", pyotp.TOTP(FACTOR_SECRET).now())
    page.focus("#code")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(f"/console/alerts/{code}$"))
