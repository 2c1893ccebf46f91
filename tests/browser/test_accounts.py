"""An account from its making to an administrator's desk: what is handed over, and each step."""

from __future__ import annotations

import re

import pyotp
import pytest
from playwright.sync_api import Page, expect

from tests.browser import looks
from tests.browser.conftest import SignIn, Watch

OWN = "mật khẩu tự chọn lấy"


def made(admin: Page, login: str) -> tuple[str, str]:
    """Make an account for a ward's approver; returns the password and the code to enrol."""
    admin.goto("/console/officials")
    admin.click("a[href='/console/officials/new']")
    admin.fill("#name", "Bùi Thị Mới")
    admin.fill("#login", login)
    admin.select_option("#lang", "vi")
    admin.select_option("#role", "approver")
    admin.select_option("#place", label="Phu Thuong Ward")
    admin.keyboard.press("Tab")
    admin.click("text=Make the account")
    expect(admin.locator("#password")).to_have_text(re.compile(r"^[0-9A-Z-]{14}$"))
    assert looks.broken(admin) == []
    return admin.locator("#password").inner_text(), admin.locator("#code").inner_text()


def enter(page: Page, login: str, password: str) -> None:
    page.goto("/console")
    page.fill("#login", login)
    page.fill("#password", password)
    page.keyboard.press("Enter")


@pytest.mark.slow
@pytest.mark.parametrize("width", [1440, 360])
def test_an_account_is_made_taken_over_enrolled_and_retired(
    sign_in: SignIn, watch: Watch, width: int
) -> None:
    watch.provoked = "422"
    admin, page, login = sign_in("anna", width), sign_in(None, width), f"moi{width}"
    password, code = made(admin, login)
    enter(page, login, password)
    page.wait_for_url("**/console/sign-in/step**")
    assert looks.broken(page) == []
    assert looks.overflow(page) == 0
    page.fill("#password", password)
    page.keyboard.press("Enter")
    expect(page.locator("#problem")).to_contain_text("trùng mật khẩu cũ")
    page.fill("#password", OWN)
    page.keyboard.press("Enter")
    expect(page.locator(".who-name")).to_contain_text("Bùi Thị Mới")

    page.goto("/console/account/second-factor")
    page.click("summary:has-text('Không quét được')")
    secret = page.locator("#key").inner_text().replace(" ", "")
    page.fill("#present", code)
    page.fill("#password", OWN)
    page.fill("#code", pyotp.TOTP(secret).now())
    page.keyboard.press("Enter")
    expect(page.locator("#codes li")).to_have_count(10)

    admin.goto(f"/console/officials/{login}")
    expect(admin.locator("main")).to_contain_text("since")
    admin.fill("#retire-why", "moved away")
    admin.keyboard.press("Enter")
    expect(admin.locator("main [role=status]")).to_contain_text("out of use")
    page.goto("/console")
    page.wait_for_url("**/console/sign-in**")
    admin.goto("/console/audit?action=official.retired&official=anna")
    expect(admin.locator("main")).to_contain_text("moved away")
    expect(admin.locator("main")).to_contain_text("Bùi Thị Mới")
