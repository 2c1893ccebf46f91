"""Mark a wording as an exercise in the text itself: a cropped photograph must still tell."""

from __future__ import annotations

from dataclasses import replace

from markupsafe import Markup

from templates.pieces import Wording

MARK = "[DIỄN TẬP]"
MARK_PLAIN = "[DIEN TAP]"
_ENGLISH = " EXERCISE:"


def as_exercise(wording: Wording, lang: str) -> Wording:
    """Put the mark first in every piece of every channel; marking twice changes nothing.

    English adds a word its readers know. The SMS mark has no diacritics: one would make the
    whole message UCS-2.
    """
    mark = MARK + (_ENGLISH if lang == "en" else "")
    plain = MARK_PLAIN + (_ENGLISH if lang == "en" else "")
    push, email, page = wording.push, wording.email, wording.page
    return Wording(
        push=replace(push, title=_first(mark, push.title), body=_first(mark, push.body)),
        sms=replace(wording.sms, text=_first(plain, wording.sms.text)),
        email=replace(
            email,
            subject=_first(mark, email.subject),
            text=_first(mark, email.text),
            html=_first_html(mark, email.html),
        ),
        page=replace(
            page,
            headline=_first(mark, page.headline),
            description=_first(mark, page.description),
            instructions=tuple(_first(mark, step) for step in page.instructions),
        ),
    )


def without_mark(text: str) -> str:
    """Take the mark off again, to measure the wording that is being rehearsed."""
    for mark in (MARK, MARK_PLAIN):
        if text.startswith(mark):
            return text.removeprefix(mark).removeprefix(_ENGLISH).lstrip()
    return text


def _first(mark: str, text: str) -> str:
    return text if text.startswith(mark) else f"{mark} {text}"


def _first_html(mark: str, html: str) -> str:
    opening = Markup("<p><strong>{}</strong></p>").format(mark)
    return html if html.startswith(opening) else f"{opening}\n{html}"
