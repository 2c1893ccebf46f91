"""Are an official's own words easy to read? The template's were looked at when it was written."""

from __future__ import annotations

from collections.abc import Iterator

from broadcaster.alerts import exercise
from broadcaster.alerts.content import Content
from broadcaster.alerts.problem import Problem
from broadcaster.alerts.template_store import Chosen
from templates import reading
from templates.lint import piece_of
from templates.pieces import Wording
from templates.render import UnknownWordingError, render

_PIECES = (
    "push.title", "push.body", "sms.text", "email.text",
    "page.headline", "page.description", "page.instructions",
)  # fmt: skip


def check_own_words(content: Content, chosen: Chosen) -> Iterator[Problem]:
    """Advise on every piece that is not the template's: the order first, plain words, no shouting.

    It never blocks: at night a clumsy warning is better than none.
    """
    for lang, wording in content.wording.items():
        if lang not in content.languages:
            continue
        try:
            template = render(content.event, lang, content.values, catalogue=chosen.catalogue)
        except (UnknownWordingError, LookupError):
            continue
        own = Wording.from_dict(exercise.bare(wording).model_dump())
        for piece in _PIECES:
            text = piece_of(own, piece)
            if text and text != piece_of(template, piece):
                yield from _read(content.event, lang, piece, text)


def _read(event: str, lang: str, piece: str, text: str) -> Iterator[Problem]:
    told = set()
    for found in reading.lint(event, lang, piece, text, text):
        # Without marks "O trong nha" is the order that "Ở trong nhà" is; the rules know the latter.
        unmarked = found.code == "reading.order_first" and lang == "vi" and text.isascii()
        if found.code not in told and not unmarked:
            told.add(found.code)
            yield Problem(
                found.code, False, f"wording.{lang}.{piece}",
                f"{found.message_vi} {found.remedy_vi}", f"{found.message_en} {found.remedy_en}",
            )  # fmt: skip
