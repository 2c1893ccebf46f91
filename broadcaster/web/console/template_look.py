"""One template as its screens show it: pieces, what the linter says of them, a filled preview."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from broadcaster.alerts.content import Wording
from broadcaster.web import i18n
from broadcaster.web.console.differences import PIECE_NAMES, Row, runs
from broadcaster.web.console.preview import Preview
from broadcaster.web.i18n import gettext as _
from broadcaster.web.labels import mark
from templates import document
from templates.catalogue import load
from templates.document import PIECES, Document
from templates.event import LANGS, Event
from templates.files import CatalogueError
from templates.finding import Finding
from templates.lint import Report, lint
from templates.longest import fills
from templates.render import render
from templates.sms_text import measure

FIELD_KINDS: Mapping[str, str] = {
    "text": mark("free text"),
    "time": mark("a moment"),
    "period": mark("from when to when"),
    "choice": mark("one of a list"),
    "number": mark("a number"),
    "places": mark("place names from the map"),
    "phone": mark("a telephone number"),
    "hotline": mark("a hotline"),
    "river": mark("a river of Hanoi"),
    "alarm": mark("an alarm level"),
    "level": mark("a water level"),
    "flow": mark("a flow of water"),
    "depth": mark("a depth"),
    "wind": mark("a wind force"),
    "rain": mark("an amount of rain"),
    "temperature": mark("a temperature"),
    "distance": mark("a distance"),
    "deadline": mark("a deadline"),
    "onset": mark("when it begins"),
    "event_time": mark("a moment foretold"),
    "finish": mark("when it ends"),
    "happened": mark("when it happened"),
}
_CONSTRUCT = re.compile(
    r"{%-?\s*(if|elif|else|endif)\s*([a-z_][\w.]*)?[^%]*%}|{{-?\s*([a-z_][\w.]*)[^}]*}}"
)
_WORDS: Mapping[str, str] = {"if": "if", "elif": "else", "else": "else", "endif": "end"}
FILLS = ("example", "longest", "required")
"""What the preview is filled with."""


@dataclass(frozen=True, slots=True)
class Word:
    """A stretch of a piece as people read it: `text`, `slot` (a field), `if`, `else` or `end`."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of one language, with what is wrong with it."""

    name: str
    title: str
    text: str
    findings: tuple[Finding, ...]
    words: tuple[Word, ...] = ()
    """The text with fields and conditions named instead of written."""

    @property
    def blocked(self) -> bool:
        """Whether something in it must be mended."""
        return any(finding.blocking for finding in self.findings)

    @property
    def rows(self) -> int:
        """How tall its input begins."""
        return min(12, max(1, len(self.text) // 62 + self.text.count("\n") + 1))


@dataclass(frozen=True, slots=True)
class Look:
    """Everything a screen shows of a document."""

    document: Document
    event: Event | None
    """None where the event itself cannot be read."""
    report: Report
    previews: tuple[Preview, ...]
    fill: str

    def pieces(self, lang: str) -> list[Piece]:
        """Return one language's pieces in the order they are written."""
        return [
            Piece(
                name,
                _(PIECE_NAMES[name]),
                self.document.words[lang][name],
                tuple(
                    one
                    for one in self.report.findings
                    if (one.place.lang, one.place.piece) == (lang, name)
                ),
                tuple(self._said(self.document.words[lang][name])),
            )
            for name in PIECES
        ]

    def _said(self, text: str) -> Iterator[Word]:
        at = 0
        for found in _CONSTRUCT.finditer(text):
            if found.start() > at:
                yield Word("text", text[at : found.start()])
            at = found.end()
            word, name = found[1] or "slot", found[2] or found[3] or ""
            yield Word(_WORDS.get(word, "slot"), self._label(name))
        if at < len(text):
            yield Word("text", text[at:])

    def _label(self, name: str) -> str:
        """Return what a placeholder is called; a number of the city by its own digits."""
        head, _dot, part = name.partition(".")
        if head == "contacts":
            return load().contacts.get(part, name)
        field = self.event.field(head) if self.event else None
        return field.label[i18n.language()] if field else name

    def title_of(self, piece: str) -> str:
        """Return what a piece is called."""
        return _(PIECE_NAMES[piece]) if piece in PIECE_NAMES else piece

    def kind_of(self, kind: str) -> str:
        """Return what a field's kind is called."""
        return _(FIELD_KINDS.get(kind, kind))

    @property
    def blocking(self) -> int:
        """How much must be mended before review."""
        return sum(one.blocking for one in self.report.findings)


async def look(written: Document, fill: str = "example") -> Look:
    """Lint a document and fill it; what cannot be filled has no preview.

    Off the event loop: filling it with every longest value takes tens of milliseconds.
    """
    return await asyncio.to_thread(_looked, json.dumps(written.as_json(), sort_keys=True), fill)


@lru_cache(maxsize=256)
def _looked(text: str, fill: str) -> Look:
    written = document.from_json(json.loads(text))
    report = lint(written)
    try:
        catalogue = document.overlaid(written)
    except CatalogueError:
        return Look(written, None, report, (), fill)
    event = catalogue.events[written.code]
    previews = []
    for lang in LANGS:
        words = render(event.code, lang, _values(event, fill), catalogue=catalogue)
        shown = Wording.model_validate(words.as_dict())
        previews.append(Preview(lang, shown, measure(shown.sms.text), 0.0))
    return Look(written, event, report, tuple(previews), fill)


def _values(event: Event, fill: str) -> Mapping[str, Any]:
    if fill == "longest":
        return next(fills(event))
    if fill == "required":
        return {field.name: field.example for field in event.fields if field.required}
    return event.examples()


def differences(before: Document, after: Document) -> list[Row]:
    """Tell two documents apart piece by piece, word by word."""
    rows = []
    for lang in LANGS:
        for name in PIECES:
            old, new = before.words[lang][name], after.words[lang][name]
            if old != new:
                title = f"{_(PIECE_NAMES[name])}, {i18n.LANGUAGES[lang]}"
                rows.append(Row(title, runs(old, new), lang))
    changed = sorted(
        key
        for key in {*before.event, *after.event}
        if before.as_json()["event"].get(key) != after.as_json()["event"].get(key)
    )
    if changed:
        rows.append(Row(_("Defaults and fields"), runs("", ", ".join(changed))))
    return rows
