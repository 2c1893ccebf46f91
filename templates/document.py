"""One template as data: an event's defaults and fields, and its words piece by piece.

The same thing whether it ships as files or a unit keeps its own copy: it is compiled, filled and
linted by the same code. The mail's text and HTML are made from the page's pieces by the layout, so
they are no pieces of their own.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from templates import constructs
from templates.catalogue import WORDING, Catalogue, Common, complete, load
from templates.event import LANGS, Event
from templates.files import CatalogueError, Compiler, Templates, page_lines
from templates.source_text import names

PIECES: Final = (
    "push.title", "push.body", "sms.text", "email.subject", "page.headline", "page.description",
    "page.instructions",
)  # fmt: skip
"""What is written in each language; instructions are a step a line."""
FILE_OF: Final = {
    "push.title": "push.txt", "push.body": "push.txt", "sms.text": "sms.txt",
    "email.subject": "email.txt", "page.headline": "page.txt", "page.description": "page.txt",
    "page.instructions": "page.txt",
}  # fmt: skip
_EVENT = TypeAdapter(Event)
_ALWAYS = frozenset({"contacts"})


@dataclass(frozen=True, slots=True)
class Document:
    """A template as it is written: nothing in it is checked yet."""

    event: Mapping[str, Any]
    """As `event.toml` says it; the shared fields are added when it is read."""
    words: Mapping[str, Mapping[str, str]]
    """By language and piece."""

    @property
    def code(self) -> str:
        """The event it is for."""
        return str(self.event.get("code", ""))

    def as_json(self) -> dict[str, Any]:
        """Plain values for a database or a file; times as ISO 8601 with their offset."""
        plain = json.dumps({"event": self.event, "words": self.words}, default=_iso)
        read: dict[str, Any] = json.loads(plain)
        return read

    def digest(self) -> str:
        """Return the SHA-256 of what it says, to see whether it is still the same."""
        text = json.dumps(self.as_json(), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def with_words(self, words: Mapping[str, Mapping[str, str]]) -> Document:
        """Return the document with other words, its event unchanged."""
        return replace(self, words=words)


def _iso(value: Any) -> str:
    return str(value.isoformat())


def from_json(data: Any) -> Document:
    """Read what `as_json` gave, or somebody's file; raises CatalogueError naming the place."""
    where = Path("document")
    if not isinstance(data, dict) or set(data) != {"event", "words"}:
        raise CatalogueError(where, "is an object with “event” and “words”")
    if not isinstance(data["event"], dict) or not isinstance(data["words"], dict):
        raise CatalogueError(where, "“event” and “words” are objects")
    for lang in LANGS:
        pieces = data["words"].get(lang)
        if not isinstance(pieces, dict) or set(pieces) != set(PIECES):
            raise CatalogueError(where / lang, f"needs these pieces: {', '.join(PIECES)}")
        wrong = [name for name, text in pieces.items() if not isinstance(text, str)]
        if wrong:
            raise CatalogueError(where / lang, f"“{wrong[0]}” is no text")
    words: dict[str, dict[str, str]] = {lang: dict(data["words"][lang]) for lang in LANGS}
    return Document(data["event"], words)


@cache
def shipped(code: str, root: Path = WORDING) -> Document:
    """Return what ships for an event; raises CatalogueError where there is no such event."""
    return of_folder(root / code)


def of_folder(folder: Path) -> Document:
    """Read an event's folder as a document; raises CatalogueError."""
    try:
        event = tomllib.loads((folder / "event.toml").read_text(encoding="utf-8"))
        words: dict[str, dict[str, str]] = {lang: _pieces(folder / lang) for lang in LANGS}
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CatalogueError(folder, str(error)) from error
    return Document(event, words)


def _pieces(folder: Path) -> dict[str, str]:
    text = {name: (folder / name).read_text(encoding="utf-8") for name in FILE_OF.values()}
    title, _, body = text["push.txt"].lstrip().partition("\n")
    headline, cause, steps = page_lines(text["page.txt"])
    return {
        "push.title": title,
        "push.body": body.strip(),
        "sms.text": text["sms.txt"].strip(),
        "email.subject": text["email.txt"].lstrip().partition("\n")[0],
        "page.headline": headline,
        "page.description": "\n".join(cause).strip(),
        "page.instructions": "\n".join(steps),
    }


def files(words: Mapping[str, str], lang: str) -> dict[str, str]:
    """Write one language's pieces as the files they would ship in."""
    steps = [line for line in words["page.instructions"].splitlines() if line.strip()]
    numbered = "\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1))
    return {
        "push.txt": f"{words['push.title']}\n{words['push.body']}\n",
        "sms.txt": f"{words['sms.text']}\n",
        "email.txt": f"{words['email.subject']}\n{_layout(lang, 'txt')}\n",
        "email.html": f"{_layout(lang, 'html')}\n",
        "page.txt": f"{words['page.headline']}\n{words['page.description']}\n\n{numbered}\n",
    }


def _layout(lang: str, kind: str) -> str:
    return f'{{% extends "layout/{lang}/email.{kind}" %}}'


def read_event(document: Document, common: Common | None = None) -> Event:
    """Read the event with the shared fields; raises CatalogueError naming the field."""
    fields = (common or _common()).fields
    data = json.loads(json.dumps(document.event, default=_iso))
    complete(data, fields)
    try:
        return _EVENT.validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        raise CatalogueError(
            Path(document.code or "document"), f"{where}: {first['msg']}"
        ) from error


def compiled(document: Document, lang: str) -> Templates:
    """Compile one language's words; raises CatalogueError naming the piece.

    What a wording may not be made of is refused before anything is filled.
    """
    for piece, text in document.words[lang].items():
        for construct in constructs.refused(text):
            path = Path(document.code) / lang / piece
            raise CatalogueError(path, f"line {construct.line}: {construct.what} is not allowed")
    words = document.words[lang]
    shown = frozenset().union(*(names(text) for text in words.values()))
    folder = Path(document.code) / lang
    return _compiler().pieces(folder, words, _layout(lang, "txt"), _layout(lang, "html"), shown)


@cache
def _compiler() -> Compiler:
    return Compiler.at(WORDING)


@cache
def _common() -> Common:
    return Common.read(WORDING)


def overlaid(document: Document, catalogue: Catalogue | None = None) -> Catalogue:
    """Return the catalogue with this document in place of its event's; raises CatalogueError."""
    catalogue = catalogue or load()
    event = read_event(document)
    words: dict[tuple[str, str], Templates] = {
        (event.code, lang): compiled(document, lang) for lang in LANGS
    }
    fields = {field.name for field in event.fields} | _ALWAYS
    for (code, lang), templates in words.items():
        unknown = sorted(templates.placeholders - fields)
        if unknown:
            raise CatalogueError(Path(code) / lang, f"no such field: {', '.join(unknown)}")
    return replace(
        catalogue,
        events=MappingProxyType({**catalogue.events, event.code: event}),
        templates=MappingProxyType({**catalogue.templates, **words}),
    )
