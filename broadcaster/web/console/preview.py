"""A wording as people will receive it: lock screen, SMS in its parts, mail, public page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from broadcaster.alerts.content import Content, Lang, Wording, Words
from broadcaster.web import i18n
from broadcaster.web.labels import mark
from templates.check import FIRST_SENTENCE_MAX, TITLE_MAX, first_sentence
from templates.sms_text import Costly, SmsMeasure, measure, strip_diacritics
from templates.values import GAP_CLOSES, GAP_OPENS

_SMALL_TITLE, _SMALL_BODY = 38, 77
"""Letters that a 360 px lock screen shows before it cuts: one line of title, two of body."""
_LARGE_TITLE, _LARGE_BODY = 46, 178
"""Of a phone 430 px wide: one line of title, four of body."""

_GAP = re.compile(f"{GAP_OPENS}([^{GAP_CLOSES}]*){GAP_CLOSES}")


@dataclass(frozen=True, slots=True)
class SmsPart:
    """One part of a text message: what stands before and after the letter that costs extra."""

    number: int
    text: str
    last: bool
    letter: int = -1
    """Where in the text the letter stands that makes the message dearer; -1: not in this part."""

    @property
    def pieces(self) -> tuple[str, str, str]:
        """The text before that letter, the letter, and what follows it."""
        if self.letter < 0:
            return self.text, "", ""
        return self.text[: self.letter], self.text[self.letter], self.text[self.letter + 1 :]


@dataclass(frozen=True, slots=True)
class Phone:
    """What one lock screen shows of a push."""

    size: str
    title: str
    body: str

    @property
    def is_cut(self) -> bool:
        """Tell whether it cuts anything."""
        return self.title.endswith("…") or self.body.endswith("…")


@dataclass(frozen=True, slots=True)
class Preview:
    """One language of a draft, ready to be drawn."""

    lang: str
    wording: Wording
    sms: SmsMeasure
    share: float

    @property
    def phones(self) -> list[Phone]:
        """The lock screens of a small and a large phone, each cut where it cuts."""
        push = self.wording.push
        return [
            Phone("small", _cut(push.title, _SMALL_TITLE), _cut(push.body, _SMALL_BODY)),
            Phone("large", _cut(push.title, _LARGE_TITLE), _cut(push.body, _LARGE_BODY)),
        ]

    @property
    def app(self) -> str:
        """The app's name on a phone of this language."""
        return i18n.catalogue(self.lang).gettext(mark("Hanoi Alerts"))

    @property
    def just_now(self) -> str:
        """How a phone of this language dates what has just arrived."""
        return i18n.catalogue(self.lang).gettext(mark("now"))

    @property
    def costly(self) -> Costly | None:
        """The letter that costs extra; the mark of a gap will be gone before it costs anything."""
        return None if GAP_OPENS in self.wording.sms.text else self.sms.costly

    @property
    def parts(self) -> list[SmsPart]:
        """The SMS part by part, the letter marked that makes it dearer or opens the last part."""
        if GAP_OPENS in self.wording.sms.text:
            # What is measured is not what stands there yet: the gaps are shown, the cuts are not.
            return [SmsPart(1, self.wording.sms.text, last=False)]
        last, start, parts = len(self.sms.texts), 0, []
        for number, text in enumerate(self.sms.texts, 1):
            opens = number == last and last > 1
            costly = self.costly.index - start if self.costly else -1
            letter = costly if 0 <= costly < len(text) else 0 if opens else -1
            parts.append(SmsPart(number, text, opens, letter))
            start += len(text)
        return parts

    @property
    def plain(self) -> str:
        """The SMS without marks where that makes it fewer parts; empty where it does not."""
        text = strip_diacritics(self.wording.sms.text)
        return text if self.plain_parts(text) < self.sms.parts else ""

    @staticmethod
    def plain_parts(text: str) -> int:
        """Count the parts of a text."""
        return measure(text).parts


def measured(text: str) -> SmsMeasure:
    """Measure an SMS; a gap as plain letters, since its marks and its label will not be sent."""
    return measure(_GAP.sub(lambda gap: strip_diacritics(gap[1]), text))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def previews(content: Content, shares: dict[str, float]) -> list[Preview]:
    """Return a preview for each language that will be sent."""
    return [
        Preview(
            lang,
            content.wording[lang],
            measured(content.wording[lang].sms.text),
            shares.get(lang, 0.0),
        )
        for lang in content.languages
        if lang in content.wording
    ]


def of_words(words: Words, languages: Sequence[Lang]) -> list[Preview]:
    """Return a preview of other words than the alert's own, for each language they are sent in."""
    return [
        Preview(lang, wording, measured(wording.sms.text), 0.0)
        for lang in sorted(languages, key=list(i18n.LANGUAGES).index)
        if (wording := words.get(lang)) is not None
    ]


LIMITS = {"push.title": TITLE_MAX, "push.body": FIRST_SENTENCE_MAX}
"""What a lock screen shows of the title, and of the body's first sentence."""


def first_sentence_length(body: str) -> int:
    """Count the letters of the sentence a lock screen must show."""
    return len(first_sentence(body))
