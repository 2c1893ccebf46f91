"""The words beside an alert's own on the compose screen: of an update, and those kept ready."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from broadcaster.alerts import lifecycle, wordings
from broadcaster.alerts.content import Content, Lang, Words
from broadcaster.alerts.draft import Alert
from broadcaster.alerts.exercise import bared
from broadcaster.db import Conn
from broadcaster.fanout.change import Change
from broadcaster.web.console import preview
from broadcaster.web.console.compose_form import PIECES, Piece, Variant, get, put
from broadcaster.web.console.preview import Preview
from broadcaster.web.i18n import gettext
from broadcaster.web.labels import mark
from templates import catalogue
from templates.mail import html_of_text

Own = Mapping[Variant, Mapping[Lang, Mapping[str, str]]]
"""What an official wrote in place of the template's words, by variant, language and piece."""

_OF_UPDATES: tuple[Variant, ...] = ("update_wording", "left_wording")
_ALWAYS: tuple[Variant, ...] = ("prepared.cancel", "prepared.correction")
NAMES: Mapping[str, str] = {
    "update_wording": mark("To those reached before: the short update"),
    "left_wording": mark("To those it covers no longer"),
    "prepared.cancel": mark("Kept ready: when it is called off"),
    "prepared.correction": mark("Kept ready: when it was sent in error"),
}


@dataclass(frozen=True, slots=True)
class Shown:
    """One variant as people would receive it."""

    name: str
    people: int | None
    """How many would get it now; None for what is only kept ready."""
    previews: list[Preview]


@dataclass(frozen=True, slots=True)
class Difference:
    """People an update adds, keeps and drops, by who is there now."""

    added: int
    kept: int
    dropped: int


def names() -> dict[str, str]:
    """Return the name of every variant in the language of this request."""
    return {variant: gettext(name) for variant, name in NAMES.items()}


def variants(kind: str) -> tuple[Variant, ...]:
    """Return the variants a draft of this kind has."""
    return (*_OF_UPDATES, *_ALWAYS) if kind == "update" else _ALWAYS


async def earlier(conn: Conn, alert: Alert) -> Content | None:
    """Return what was approved before an update; None for what is no update."""
    if alert.kind != "update" or alert.predecessor_id is None:
        return None
    return (await lifecycle.snapshot(conn, alert.predecessor_id)).content


def with_follow_ups(content: Content, kind: str, before: Content | None, own: Own) -> Content:
    """Return the content with every variant: the template's words, and an official's over them."""
    document = _templates(content, kind, before).to_json()
    for variant in variants(kind):
        words = _part(document, variant)
        for lang, texts in own.get(variant, {}).items():
            if lang in words:
                _write(words[lang], texts)
    return Content.model_validate(document)


def _write(words: dict[str, Any], texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        if name in PIECES:
            put(words, name, text)
    if "email.text" in texts:
        words["email"]["html"] = html_of_text(words["email"]["text"])


def _templates(content: Content, kind: str, before: Content | None) -> Content:
    if before is not None:
        content = wordings.with_difference(content, before)
    return wordings.with_prepared(content, kind)


def _part(document: dict[str, Any], variant: Variant) -> dict[str, Any]:
    place, _, name = variant.partition(".")
    found: dict[str, Any] = document[place][name] if name else document[place]
    return found


def words_of(content: Content, variant: Variant) -> Words:
    """Return the stored words of a variant."""
    match variant:
        case "update_wording":
            return content.update_wording
        case "left_wording":
            return content.left_wording
        case "prepared.cancel":
            return content.prepared.cancel
        case "prepared.correction":
            return content.prepared.correction


def pieces(
    content: Content, kind: str, before: Content | None
) -> dict[str, dict[str, dict[str, Piece]]]:
    """Return the texts by variant, language and piece, each marked when it is not the template's.

    Every language has its texts, so that the form holds those of one that is not sent yet.
    """
    content = bared(content)
    whole = content.model_copy(update={"languages": catalogue.LANGS})
    template, stored = _templates(whole, kind, before).to_json(), content.to_json()
    return {
        variant: {
            lang: _pieces(_part(template, variant)[lang], _part(stored, variant).get(lang))
            for lang in catalogue.LANGS
            if lang in _part(template, variant)
        }
        for variant in variants(kind)
    }


def _pieces(template: dict[str, Any], stored: dict[str, Any] | None) -> dict[str, Piece]:
    words = stored or template
    return {
        name: Piece(name, get(words, name), get(words, name) != get(template, name))
        for name in PIECES
    }


def texts(
    content: Content, kind: str, before: Content | None
) -> dict[str, dict[str, dict[str, str]]]:
    """Return the template's texts that nobody has written over, for the form to follow."""
    return {
        variant: {
            lang: {name: piece.text for name, piece in found.items() if not piece.own}
            for lang, found in by_lang.items()
        }
        for variant, by_lang in pieces(content, kind, before).items()
    }


def shown(content: Content, kind: str, difference: Difference | None) -> list[Shown]:
    """Return every variant as people would receive it."""
    people: dict[str, int] = {}
    if difference is not None:
        people = {"update_wording": difference.kept, "left_wording": difference.dropped}
    return [
        Shown(
            gettext(NAMES[variant]),
            people.get(variant),
            preview.of_words(words_of(content, variant), content.languages),
        )
        for variant in variants(kind)
    ]


def difference(found: Change | None) -> Difference | None:
    """Count whom an update adds, keeps and drops; None for what is no update or has no area."""
    if found is None:
        return None
    return Difference(len(found.added), len(found.kept), len(found.dropped))
