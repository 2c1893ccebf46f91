"""What every page must be, whoever looks at it and on whatever: questions a browser answers."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

from babel.messages.pofile import read_po
from playwright.sync_api import Page

from broadcaster.web.i18n import LOCALE

AXE = Path(__file__).resolve().parents[2] / "node_modules/axe-core/axe.min.js"
PHONE = 360
TOUCH_PX = 44
Scheme = Literal["light", "dark"]
_BROKEN = """async () => {
  const found = await axe.run(document, { resultTypes: ["violations"] });
  const why = (node) => (node.any[0] ?? node.all[0] ?? node.none[0])?.message ?? "";
  return found.violations.flatMap((rule) =>
    rule.nodes.map((node) => `${rule.id}: ${node.target.join(" ")} ${why(node)}`));
}"""
_SMALL = """(least) => [...document.querySelectorAll(
  "button, .btn, summary, select, textarea, .tabbar a,"
    + "input:not([type=hidden], [type=checkbox], [type=radio])"
)].filter((one) => {
  const box = one.getBoundingClientRect();
  return box.width && box.height && !one.closest(".vh, .leaflet-container, [inert]")
    && !one.classList.contains("vh") && Math.min(box.width, box.height) < least - 0.5;
}).map((one) => {
  const box = one.getBoundingClientRect();
  const size = `${Math.round(box.width)}x${Math.round(box.height)}`;
  return `${one.tagName}.${one.className} ${one.id} ${size} ${one.textContent.trim().slice(0, 30)}`;
})"""
_TWICE = """() => [...document.querySelectorAll("[id]")]
  .map((one) => one.id).filter((id, at, all) => all.indexOf(id) < at)"""
_SAID = """() => {
  const found = new Set(), lang = document.documentElement.lang;
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    const parent = node.parentElement;
    if (parent.closest("script, style, textarea, option[lang]")) continue;
    if (parent.closest("[lang]")?.lang === lang) found.add(node.data.trim().replace(/\\s+/g, " "));
  }
  return [...found];
}"""
_REACHABLE = """() => {
  const all = [...document.querySelectorAll(
    "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']")];
  const groups = new Set();
  return all.filter((one) => {
    if (one.disabled || one.tabIndex < 0 || one.closest("[inert]")) return false;
    if (!one.checkVisibility({ visibilityProperty: true })) return false;
    if (one.type !== "radio") return true;
    // Of a group of radios one is reached, the arrows go on from it.
    const name = `${one.form?.id} ${one.name}`;
    return !groups.has(name) && groups.add(name);
  }).map((one) => {
    if (one.type === "radio") return `radio ${one.name}`;
    one.dataset.seen = all.indexOf(one);
    return one.dataset.seen;
  });
}"""
_HERE = """() => document.activeElement?.type === "radio"
  ? `radio ${document.activeElement.name}` : document.activeElement?.dataset.seen ?? null"""


def broken(page: Page) -> list[str]:
    """Return what axe-core finds wrong on the page: rule, element, what is the matter."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text())
    found: list[str] = page.evaluate(_BROKEN)
    return found


def overflow(page: Page) -> int:
    """Return by how many pixels the page is wider than its window."""
    wider: int = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    return wider


def twice(page: Page) -> list[str]:
    """Return the ids that stand on a page more than once."""
    found: list[str] = page.evaluate(_TWICE)
    return found


def small(page: Page) -> list[str]:
    """Return what a finger presses that is smaller than 44 px."""
    found: list[str] = page.evaluate(_SMALL, TOUCH_PX)
    return found


@cache
def _other_words(lang: str) -> frozenset[str]:
    """Return every phrase of the other language that differs in this one."""
    words: set[str] = set()
    for path in sorted((LOCALE / "vi" / "LC_MESSAGES").glob("*.po")):
        with path.open("rb") as file:
            for message in read_po(file):
                if not isinstance(message.id, str) or not message.id or not message.string:
                    continue
                pair = message.id, str(message.string)
                if pair[0].casefold() != pair[1].casefold() and "%" not in message.id:
                    words.add(pair[0] if lang == "vi" else pair[1])
    return frozenset(words)


def foreign(page: Page) -> list[str]:
    """Return phrases of the pages' other language that stand where the page's own should."""
    lang = page.get_attribute("html", "lang") or ""
    said: list[str] = page.evaluate(_SAID)
    return sorted(set(said) & _other_words(lang))


def unreached(page: Page) -> list[str]:
    """Go through the page by Tab; return what may be used and was never reached."""
    wanted: list[str] = page.evaluate(_REACHABLE)
    seen: set[str] = set()
    page.evaluate("document.activeElement?.blur()")
    for _ in range(len(wanted) + 20):
        page.keyboard.press("Tab")
        here = page.evaluate(_HERE)
        if here is not None:
            seen.add(here)
        if seen.issuperset(wanted):
            return []
    missed = [one for one in wanted if one not in seen]
    return [page.evaluate(
        "(n) => document.querySelector(`[data-seen='${n}']`)?.outerHTML.slice(0, 120) ?? n", one
    ) for one in missed]  # fmt: skip
