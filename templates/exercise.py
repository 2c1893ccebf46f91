"""Mark a wording as an exercise in the text itself: a cropped photograph must still tell."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from markupsafe import Markup

from templates.pieces import Wording
from templates.sms_text import measure

MARK = "[DIỄN TẬP]"
MARK_PLAIN = "[DIEN TAP]"
MARK_ENGLISH = "[EXERCISE]"
MARKS = {"vi": MARK, "en": MARK_ENGLISH}
"""What stands first in each language, where the text may have diacritics."""

# However it is typed by hand: a second mark of another form would only use up a lock screen.
_ANY = re.compile(r"\s*\[\s*(?:diễn\s+tập|dien\s+tap|exercise)\s*\]\s*", re.IGNORECASE)
_ANY_HTML = re.compile(
    r"\s*<p><strong>\[(?:DIỄN TẬP|DIEN TAP|EXERCISE)\]</strong></p>\s*", re.IGNORECASE
)


def as_exercise(wording: Wording, lang: str) -> Wording:
    """Put the mark first in every piece of every channel; marking twice changes nothing.

    The mark of an SMS has diacritics only where the text has them too: one would make the whole
    message UCS-2, which halves what fits a part.
    """
    mark = MARK_ENGLISH if lang == "en" else MARK
    opening = Markup("<p><strong>{}</strong></p>").format(mark)
    return _each(
        wording,
        lambda text: f"{mark} {without_mark(text).lstrip()}",
        lambda text: _sms(text, mark),
        lambda html: (
            f"{opening}\n{_ANY_HTML.sub('', html, count=1)}"
            if _ANY_HTML.match(html)
            else f"{opening}\n{html}"
        ),
    )


def as_real(wording: Wording) -> Wording:
    """Take every mark off: a real alert begun as the copy of an exercise."""
    return _each(
        wording,
        without_mark,
        without_mark,
        lambda html: _ANY_HTML.sub("", html, count=1) if _ANY_HTML.match(html) else html,
    )


def without_mark(text: str) -> str:
    """Take the mark off again, to measure the wording that is being rehearsed."""
    while found := _ANY.match(text):
        text = text[found.end() :]
    return text


def is_marked(text: str) -> bool:
    """Tell whether a text calls itself an exercise, however it writes the mark."""
    return _ANY.match(text) is not None


def _sms(text: str, mark: str) -> str:
    said = without_mark(text).lstrip()
    plain = mark == MARK and measure(said).encoding == "gsm7"
    return f"{MARK_PLAIN if plain else mark} {said}"


def _each(
    wording: Wording,
    text: Callable[[str], str],
    sms: Callable[[str], str],
    html: Callable[[str], str],
) -> Wording:
    push, email, page = wording.push, wording.email, wording.page
    return Wording(
        push=replace(push, title=text(push.title), body=text(push.body)),
        sms=replace(wording.sms, text=sms(wording.sms.text)),
        email=replace(
            email, subject=text(email.subject), text=text(email.text), html=html(email.html)
        ),
        page=replace(
            page,
            headline=text(page.headline),
            description=text(page.description),
            instructions=tuple(text(step) for step in page.instructions),
        ),
    )
