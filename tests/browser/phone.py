"""The phone of the demo's approver, which shows each code once."""

from __future__ import annotations

import time

import pyotp
from playwright.sync_api import Page

from broadcaster.demo.seed import FACTOR_SECRET
from broadcaster.people.second_factor import DRIFT, STEP

_used = -1


def code() -> str:
    """The next code nobody has used: a phone may run ahead of the server before one waits."""
    global _used
    _used = max(_used + 1, int(time.time()) // STEP)
    while _used > int(time.time()) // STEP + DRIFT:
        time.sleep(0.5)
    return pyotp.TOTP(FACTOR_SECRET).generate_otp(_used)


def approve(page: Page) -> None:
    """Approve what the review page shows, with a code where it asks for one."""
    if page.locator("#code").count():
        page.fill("#code", code())
    page.click("#approve")
