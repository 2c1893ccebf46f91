"""The limits of channels, proven with the longest values of every field."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from templates import check
from templates.document import Document
from templates.event import Event
from templates.finding import Finding, Place
from templates.longest import fills
from templates.pieces import Problem, Wording
from templates.sms_text import measure, strip_diacritics
from templates.source_text import exceeding

_WHOSE = re.compile(r" \((bản tiếng Anh|bản tiếng Việt|English|Vietnamese)\)$")
"""Whose words they are stands in the place already."""
SMS_PARTS = 2
"""Parts a template may come to at its longest; an official's own words may come to more."""
_LIMITS = {
    "push.title": check.TITLE_MAX,
    "push.body.first_sentence": check.FIRST_SENTENCE_MAX,
    "push.body": check.PUSH_BODY_MAX,
    "email.subject": check.SUBJECT_MAX,
    "page.headline": check.HEADLINE_MAX,
}
Fill = Callable[[Mapping[str, Any]], Wording]


def lint(written: Document, event: Event, lang: str, filled: Fill) -> Iterator[Finding]:
    """Find what is too long for its channel with the longest values; each piece once."""
    told: set[tuple[str, str]] = set()
    for values in fills(event):
        wording = filled(values)
        for problem in check.check(_plain(wording), lang, sms_parts=SMS_PARTS):
            if (problem.code, problem.field) not in told:
                told.add((problem.code, problem.field))
                yield _finding(written, event, lang, problem, wording)


def _plain(wording: Wording) -> Wording:
    """Take the diacritics off the text message, as it is sent."""
    return Wording(
        wording.push,
        type(wording.sms)(strip_diacritics(wording.sms.text)),
        wording.email,
        wording.page,
    )


def _finding(
    written: Document, event: Event, lang: str, problem: Problem, wording: Wording
) -> Finding:
    piece = problem.field.removesuffix(".first_sentence")
    source = written.words[lang].get(piece, "")
    return Finding(
        problem.code, True, event.code, _place(lang, piece, source, problem, wording),
        f"Với giá trị dài nhất: {_WHOSE.sub('', problem.message_vi)}",
        f"With the longest values: {_WHOSE.sub('', problem.message_en)}",
        "Viết ngắn lại chỗ này, hoặc giảm số chữ của ô.",
        "Shorten the words here, or the field.",
        piece.partition(".")[0],
    )  # fmt: skip


def _place(lang: str, piece: str, source: str, problem: Problem, wording: Wording) -> Place:
    if not source:
        return Place(lang, piece)
    if piece == "sms.text":
        texts = measure(strip_diacritics(wording.sms.text)).texts
        limit = sum(len(text) for text in texts[:SMS_PARTS])
        return Place.at(lang, piece, source, exceeding(source, wording.sms.text, limit))
    limit = _LIMITS.get(problem.field, 0)
    shown = {
        "push.title": wording.push.title,
        "push.body": wording.push.body,
        "email.subject": wording.email.subject,
        "page.headline": wording.page.headline,
    }.get(piece)
    if not limit or shown is None:
        return Place(lang, piece)
    return Place.at(lang, piece, source, exceeding(source, shown, limit))
