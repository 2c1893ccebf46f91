"""HTML mail to plain text, without what it quotes."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_SKIPPED = {"head", "style", "script", "title", "blockquote", "template", "object", "svg"}
_BLOCKS = {"p", "div", "li", "ul", "ol", "table", "tr", "h1", "h2", "h3", "h4", "pre", "section"}
_QUOTE_CLASSES = {
    "gmail_quote",
    "yahoo_quoted",
    "moz-cite-prefix",
    "protonmail_quote",
    "zmail_extra",
}
_QUOTE_REST_IDS = {
    "divrplyfwdmsg",
    "appendonsend",
    "reply-intro",
    "mail-editor-reference-message-container",
}
"""Outlook puts this mark before the quotation, and the quotation behind it, not inside."""
_SPACES = re.compile(r"[ \t\r\f\v\xa0]+")


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._skipping = ""
        self._depth = 0
        self._ended = False
        self._pre = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._ended:
            return
        if self._skipping:
            self._depth += tag == self._skipping
            return
        known = {name: (value or "") for name, value in attrs}
        if known.get("id", "").lower().removeprefix("x_") in _QUOTE_REST_IDS:
            self._ended = True
        elif tag in _SKIPPED or _QUOTE_CLASSES & set(known.get("class", "").lower().split()):
            self._skipping, self._depth = tag, 1
        elif tag == "br":
            self.parts.append("\n")
        elif tag in _BLOCKS:
            self._pre += tag == "pre"
            self._break()

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "br" and not (self._skipping or self._ended):
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if self._skipping:
            self._depth -= tag == self._skipping
            if self._depth == 0:
                self._skipping = ""
            return
        if tag in _BLOCKS and not self._ended:
            self._pre -= tag == "pre" and self._pre > 0
            self._break()

    def handle_data(self, data: str) -> None:
        if not (self._skipping or self._ended):
            self.parts.append(data if self._pre else _SPACES.sub(" ", data.replace("\n", " ")))

    def _break(self) -> None:
        if self.parts and not self.parts[-1].endswith("\n"):
            self.parts.append("\n")


def html_to_text(html: str) -> str:
    """Return what an HTML mail says, line by line; quoted parts, styles and scripts left out."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return "\n".join(line.strip() for line in "".join(reader.parts).split("\n")).strip()
