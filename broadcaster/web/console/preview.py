"""A wording as people will receive it: lock screen, SMS in its parts, mail, public page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from broadcaster.alerts.content import Content, Lang, Wording, Words
from broadcaster.web import i18n
from broadcaster.web.labels import mark
from templates.check import FIRST_SENTENCE_MAX, TITLE_MAX, first_sentence
from templates.sms_text import Costly, SmsMeasure, measure
from templates.values import GAP_OPENS

_SMALL_PHONE = 77
"""Letters of a body that a 360 px lock screen shows before it cuts."""


@dataclass(frozen=True, slots=True)
class SmsPart:
    """One part of a text message: what stands before and after the letter that costs extra."""

    number: int
    text: str
    last: bool


@dataclass(frozen=True, slots=True)
class Preview:
    """One language of a draft, ready to be drawn."""

    lang: str
    wording: Wording
    sms: SmsMeasure
    share: float

    @property
    def small_phone_body(self) -> str:
        """The push body as a small phone cuts it."""
        body = self.wording.push.body
        return body if len(body) <= _SMALL_PHONE else body[: _SMALL_PHONE - 1].rstrip() + "…"

    @property
    def app(self) -> str:
        """The app's name on a phone of this language."""
        return i18n.catalogue(self.lang).gettext(mark("Hanoi Alerts"))

    @property
    def just_now(self) -> str:
        """How a phone of this language dates what has just arrived."""
        return i18n.catalogue(self.lang).gettext(mark("now"))

    @property
    def is_cut(self) -> bool:
        """Tell whether a small phone cuts the body."""
        return len(self.wording.push.body) > _SMALL_PHONE

    @property
    def costly(self) -> Costly | None:
        """The letter that costs extra; the mark of a gap will be gone before it costs anything."""
        return None if GAP_OPENS in self.wording.sms.text else self.sms.costly

    @property
    def parts(self) -> list[SmsPart]:
        """The SMS part by part."""
        last = len(self.sms.texts)
        return [
            SmsPart(number, text, number == last and last > 1)
            for number, text in enumerate(self.sms.texts, 1)
        ]


def previews(content: Content, shares: dict[str, float]) -> list[Preview]:
    """Return a preview for each language that will be sent."""
    return [
        Preview(
            lang,
            content.wording[lang],
            measure(content.wording[lang].sms.text),
            shares.get(lang, 0.0),
        )
        for lang in content.languages
        if lang in content.wording
    ]


def of_words(words: Words, languages: Sequence[Lang]) -> list[Preview]:
    """Return a preview of other words than the alert's own, for each language they are sent in."""
    return [
        Preview(lang, wording, measure(wording.sms.text), 0.0)
        for lang in sorted(languages, key=list(i18n.LANGUAGES).index)
        if (wording := words.get(lang)) is not None
    ]


LIMITS = {"push.title": TITLE_MAX, "push.body": FIRST_SENTENCE_MAX}
"""What a lock screen shows of the title, and of the body's first sentence."""


def first_sentence_length(body: str) -> int:
    """Count the letters of the sentence a lock screen must show."""
    return len(first_sentence(body))
