"""One exercise in a browser, from its beginning to its page: nowhere can it be taken for real."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import SignIn
from tests.browser.phone import approve
from tests.browser.test_broadcast import DELIVERED_WITHIN_MS, add_place, fill_flood, saved

RED_OR_AMBER = """() => {
  const hue = ([r, g, b]) => {
    const most = Math.max(r, g, b), least = Math.min(r, g, b);
    if (most - least < 60) return -1;
    const at = most === r ? (g - b) / (most - least) : most === g ? 2 + (b - r) / (most - least)
      : 4 + (r - g) / (most - least);
    return (at * 60 + 360) % 360;
  };
  const found = [];
  for (const one of document.querySelectorAll("body, body *")) {
    const style = getComputedStyle(one);
    if (!one.getClientRects().length || one.closest(".leaflet-tile-pane")) continue;
    for (const name of ["color", "backgroundColor", "borderTopColor", "fill"]) {
      const [r, g, b, a] = style[name].match(/[0-9.]+/g)?.map(Number) ?? [];
      if (r === undefined || a === 0) continue;
      const angle = hue([r, g, b]);
      if (angle >= 0 && (angle < 60 || angle > 340)) {
        const called = one.className?.baseVal ?? one.className;
        found.push(`${one.tagName}.${called} ${name} ${style[name]}`);
      }
    }
  }
  return found;
}"""
"""Whatever on the page is painted in a hue from red to amber."""


def rehearsed(page: Page, *, words: str = "[DIỄN TẬP]") -> None:
    """The page is one of an exercise by its root, its banner, its title and its words."""
    expect(page.locator("html")).to_have_attribute("data-mode", "exercise")
    expect(page.locator(".ex-banner")).to_contain_text("DIỄN TẬP")
    assert page.title().startswith("[DIỄN TẬP]")
    expect(page.locator("h1")).to_contain_text(words)
    assert page.evaluate("getComputedStyle(document.body, '::after').borderTopWidth") == "6px"
    assert page.evaluate(RED_OR_AMBER) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


def _written(page: Page) -> None:
    page.goto("/console/alerts/new")
    page.check("input[name=nature][value=exercise]")
    page.click("button[value=flood]")
    page.wait_for_selector("#compose[data-ready]")
    fill_flood(page)
    add_place(page, "hà nội")
    page.click("[data-accept=add]")
    saved(page)


@pytest.mark.parametrize(
    "width", [1440, pytest.param(360, marks=pytest.mark.slow)], ids=["wide", "phone"]
)
def test_an_exercise_from_its_beginning_to_its_public_page(sign_in: SignIn, width: int) -> None:
    height = 900 if width > 400 else 780
    author = sign_in("ha", width, height)
    _written(author)
    rehearsed(author)
    preview = author.locator("#preview")
    expect(preview).to_contain_text("[DIỄN TẬP]")
    expect(preview).to_contain_text("[EXERCISE]")
    people = int(author.locator("#audience [data-people]").get_attribute("data-people") or 0)
    assert 0 < people <= 42
    expect(author.locator("#submit")).to_contain_text("diễn tập")
    author.click("#submit")
    author.wait_for_url(re.compile(r"/console/alerts/DT-[0-9-]+$"))
    rehearsed(author)
    address = author.url
    code = address.rsplit("/", 1)[1]

    approver = sign_in("tuan", width, height)
    expect(approver.locator("section:has(#h-exercises)")).to_contain_text(code)
    expect(approver.locator("section:has(#h-approve)")).not_to_contain_text(code)
    approver.goto(f"{address}/review")
    rehearsed(approver)
    expect(approver.locator("#approve")).to_contain_text(f"DIỄN TẬP tới {people} người diễn tập")
    expect(approver.locator("input[name=widen]")).not_to_be_checked()
    approve(approver)
    approver.wait_for_url(address)
    rehearsed(approver)
    figures = approver.locator("#progress .figs")
    expect(figures).to_have_attribute("data-state", "sent", timeout=DELIVERED_WITHIN_MS)

    approver.goto(f"/alerts/{code}")
    rehearsed(approver)
    approver.goto("/alerts")
    expect(approver.locator("section", has_text="Diễn tập, không phải tin thật")).to_contain_text(
        "[DIỄN TẬP]"
    )
    feed = approver.request.get("/feeds/cap.atom").text()
    assert 'term="Exercise"' in feed
    cap = approver.request.get(f"/alerts/{code}.cap.xml").text()
    assert "<status>Exercise</status>" in cap
    assert "<note>[DIỄN TẬP]" in cap
