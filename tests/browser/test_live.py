"""The page of an alert while it is sent, in a browser: plot, map, timeline, a lost network."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.carriers import slow_carriers
from tests.browser.conftest import SignIn, Watch
from tests.browser.phone import approve
from tests.browser.test_follow_ups import approved, is_sent, submitted

COUNTED_WITHIN_MS = 30_000
WITHIN_MS = 20_000


@pytest.mark.slow
@pytest.mark.parametrize("width", [1440, 360])
def test_an_alert_is_followed_to_its_end_and_taken_along(
    sign_in: SignIn, watch: Watch, width: int
) -> None:
    author, approver = sign_in("ha"), sign_in("tuan", width, 900)
    code = approved(author, approver, "quận long biên")
    is_sent(approver)
    _map_and_table_say_the_same(approver)
    expect(approver.locator("#plot canvas")).to_be_visible()
    assert approver.locator(".tb.against tbody tr").count() == 4
    assert approver.evaluate("document.documentElement.scrollWidth") <= width
    _keeps_the_reader_in_place(approver)
    _filters_by_keyboard(approver)
    _says_when_its_figures_are_old(approver, watch)
    with approver.expect_download() as saved:
        approver.click('a[href$="/record.pdf"]')
    assert saved.value.suggested_filename == f"{code}.vi.pdf"


def _map_and_table_say_the_same(page: Page) -> None:
    rows = page.locator("#live-communes tr[data-unit]")
    expect(rows.first).to_be_attached(timeout=COUNTED_WITHIN_MS)
    expect(page.locator("#map path.rc")).to_have_count(rows.count())
    page.locator("#map-of input[value=failed]").check(force=True)
    expect(page.locator("#map path.rc.r1")).to_have_count(rows.count())
    page.locator("#map-of input[value=left]").check(force=True)


def _keeps_the_reader_in_place(page: Page) -> None:
    """What was opened stays open, and who stood on a link still does, when a piece comes anew."""
    opened = page.locator("#as-table")
    opened.locator("summary").press("Enter")
    expect(opened).to_have_attribute("open", "")
    page.evaluate("document.querySelector('#progress [name=have]').value = 'nothing:0'")
    page.evaluate("dispatchEvent(new Event('online'))")
    page.wait_for_timeout(2500)
    expect(opened).to_have_attribute("open", "")
    expect(opened.locator("summary")).to_be_focused()


def _filters_by_keyboard(page: Page) -> None:
    entries = page.locator("#live-timeline li")
    decided = page.locator("#live-timeline li[data-group=people]")
    all_of_them = entries.count()
    page.locator("[name=trail-of][value=all]").focus()
    page.keyboard.press("ArrowRight")
    shown = page.locator("#live-timeline li:visible")
    expect(shown).to_have_count(decided.count())
    assert 0 < decided.count() < all_of_them
    page.keyboard.press("ArrowLeft")
    expect(shown).to_have_count(all_of_them)


def _says_when_its_figures_are_old(page: Page, watch: Watch) -> None:
    if page.locator("#progress").get_attribute("hx-get") is None:
        return
    stale = page.locator("#stale")
    expect(stale).to_be_hidden()
    page.context.set_offline(True)
    expect(stale).to_be_visible(timeout=20_000)
    page.context.set_offline(False)
    expect(stale).to_be_hidden(timeout=20_000)
    provoked = ("ERR_INTERNET_DISCONNECTED", "htmx:sendError", "htmx:afterRequest")
    watch.problems[:] = [
        one for one in watch.problems if not any(cause in one for cause in provoked)
    ]


@pytest.mark.slow
def test_the_page_follows_by_its_stream_and_asks_only_where_that_fails(
    sign_in: SignIn, watch: Watch, demo_folder: Path
) -> None:
    author, approver, cut_off = sign_in("ha"), sign_in("tuan"), sign_in("ha", 360, 800)
    watch.provoked = "503"
    cut_off.route("**/stream?*", lambda route: route.fulfill(status=503))
    code = submitted(author, "quận long biên")
    for page in (author, cut_off):
        page.goto(f"/console/alerts/{code}")
        expect(page.locator("#live-approval")).to_contain_text("Trần Quốc Tuấn", timeout=WITHIN_MS)
    asked = {page: _asked(page) for page in (author, cut_off)}
    with slow_carriers(demo_folder):
        approver.goto(f"/console/alerts/{code}/review")
        approve(approver)
        for page in (author, cut_off):
            figures = page.locator("#progress .figs")
            expect(figures).to_have_attribute("data-state", "sending", timeout=WITHIN_MS)
            expect(page.locator("#approval")).to_have_count(0, timeout=WITHIN_MS)
            expect(page.locator("#stop-link")).to_be_visible()
            expect(page.locator("#live-channels .chan li[data-channel]")).to_have_count(3)
        asked[author].clear()
        asked[cut_off].clear()
        author.wait_for_timeout(4000)
    assert asked[author] == [], "the stream brings everything"
    assert len(asked[cut_off]) >= 2
    is_sent(author)
    is_sent(cut_off)


def _asked(page: Page) -> list[str]:
    """Return what the page asks for by itself from now on."""
    asked: list[str] = []
    page.on("request", lambda sent: asked.append(sent.url) if _is_poll(sent.url) else None)
    return asked


def _is_poll(url: str) -> bool:
    return "/progress?" in url or url.endswith("/reach")


def test_a_slash_finds_an_alert_from_any_page_and_types_itself_in_a_field(sign_in: SignIn) -> None:
    page = sign_in("tuan")
    page.keyboard.press("/")
    expect(page.locator("#find")).to_be_focused()
    page.keyboard.type("bao/3")
    expect(page.locator("#find")).to_have_value("bao/3")
    page.keyboard.press("Enter")
    page.wait_for_url("**/console/alerts?q=bao%2F3")
    page.locator("h1").click()
    page.keyboard.press("/")
    expect(page.locator("#q")).to_be_focused()
    page.set_viewport_size({"width": 360, "height": 780})
    page.goto("/console")
    page.keyboard.press("/")
    page.wait_for_url("**/console/alerts#q")
    expect(page.locator("#q")).to_be_focused()
