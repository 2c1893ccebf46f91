"""What follows an alert, in a browser: an update, stop and tell, and one sent in error."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.carriers import slow_carriers
from tests.browser.conftest import SignIn
from tests.browser.phone import approve
from tests.browser.test_broadcast import DELIVERED_WITHIN_MS, add_place, begin, fill_flood, saved

CODE = re.compile(r"/console/alerts/(HN-[0-9-]+)$")


def code_of(page: Page) -> str:
    page.wait_for_url(CODE)
    found = CODE.search(page.url)
    assert found
    return found[1]


def submitted(author: Page, place: str) -> str:
    """A flood warning for a place, sent for approval; its author is on its page."""
    begin(author, "flood")
    fill_flood(author)
    add_place(author, place)
    saved(author)
    author.click("#submit")
    return code_of(author)


def approved(author: Page, approver: Page, place: str) -> str:
    """A flood warning for a place, approved; both are on its page."""
    code = submitted(author, place)
    approver.goto(f"/console/alerts/{code}/review")
    expect(approver.locator(".g-approve")).to_contain_text("Để sẵn: khi tin bị gửi nhầm")
    approve(approver)
    assert code_of(approver) == code
    return code


def is_sent(page: Page) -> None:
    figures = page.locator("#progress .figs")
    expect(figures).to_have_attribute("data-state", "sent", timeout=DELIVERED_WITHIN_MS)


def public_page(page: Page, code: str) -> str:
    page.goto(f"/alerts/{code}")
    return page.locator("main").inner_text()


def test_an_alert_is_updated_then_stopped_and_those_reached_are_told(
    sign_in: SignIn, demo_folder: Path
) -> None:
    author, approver = sign_in("ha"), sign_in("tuan")
    first = approved(author, approver, "quận long biên")
    is_sent(approver)

    author.goto(f"/console/alerts/{first}")
    author.click("#follow-ups form[action$='/update'] button")
    author.wait_for_url(re.compile("/edit$"))
    author.wait_for_selector("#compose[data-ready]")
    kept = author.locator("[data-difference=kept]")
    people = int(kept.inner_text().replace(".", ""))
    assert people > 0
    expect(author.locator("[data-difference=added]")).to_have_text("0")
    add_place(author, "phu thuong")
    expect(author.locator("[data-difference=added]")).not_to_have_text("0")
    expect(kept).to_have_text(re.compile(str(people)))
    left = author.locator("[data-variant='left_wording'][data-in=vi][data-piece='sms.text'] .in")
    left.fill("Canh bao nay khong con ap dung cho noi cua ban. Goi 114 khi can.")
    expect(author.locator("#preview")).to_contain_text("Goi 114 khi can")
    saved(author)
    author.click("#submit")
    update = code_of(author)
    approver.goto(f"/console/alerts/{update}/review")
    expect(approver.locator(".g-approve")).to_contain_text("Goi 114 khi can")
    with slow_carriers(demo_folder):
        approve(approver)
        approver.wait_for_url(f"**/console/alerts/{update}")
        expect(approver.locator("#progress .figs")).to_have_attribute("data-state", "sending")
        approver.check("#stop input[value=tell]")
        approver.fill("#reason", "nhầm vùng")
        approver.click("#stop button")
        approver.wait_for_url(lambda address: not address.endswith(update))
    cancel = code_of(approver)
    is_sent(approver)
    expect(approver.locator("#follow-ups .tl li")).to_have_count(3)
    approver.goto(f"/console/alerts/{update}")
    expect(approver.locator("#follow-ups")).to_contain_text(f"Tin {cancel} đã thay tin này")
    assert "Đã hủy" in public_page(approver, update)
    assert "Đã có tin mới" in public_page(approver, first) or "Đã hủy" in public_page(
        approver, first
    )


def test_sent_in_error_by_keyboard_on_a_phone(sign_in: SignIn) -> None:
    author, approver = sign_in("ha"), sign_in("tuan", 360, 780)
    code = approved(author, approver, "bo de")
    is_sent(approver)
    approver.reload()
    approver.focus("details:has(#correct) > summary")
    approver.keyboard.press("Enter")
    words = approver.locator("#correct .fu-words")
    expect(words).to_contain_text("Tin gửi nhầm, hãy bỏ qua")
    assert approver.evaluate("document.documentElement.scrollWidth") <= 360
    # Without the tick nothing leaves: the browser itself keeps the form here.
    approver.click("#correct button")
    assert approver.url.endswith(code)
    approver.check("#correct input[name=sure]")
    approver.click("#correct button")
    approver.wait_for_url(lambda address: not address.endswith(code))
    correction = code_of(approver)
    is_sent(approver)
    approver.goto(f"/console/alerts/{code}")
    expect(approver.locator("#follow-ups")).to_contain_text(correction)
    expect(approver.locator("#correct")).to_have_count(0)
    assert "Gửi nhầm" in public_page(approver, code)
    assert "gửi nhầm" in public_page(approver, correction)
