"""One thing the linter found in a template: what, where, and what to do, in both languages."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a template: a language, a piece of it, a line and a column from 1."""

    lang: str = ""
    piece: str = ""
    line: int = 1
    column: int = 1

    @classmethod
    def at(cls, lang: str, piece: str, text: str, index: int) -> Place:
        """Return the place of the letter at `index` of a piece's source."""
        before = text[:index]
        return cls(lang, piece, before.count("\n") + 1, index - (before.rfind("\n") + 1) + 1)

    def __str__(self) -> str:
        return f"{self.lang}/{self.piece}:{self.line}:{self.column}" if self.lang else "event"


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem. Blocking ones keep a template from being sent for review."""

    code: str
    blocking: bool
    event: str
    place: Place
    message_vi: str
    message_en: str
    remedy_vi: str
    remedy_en: str
    channel: str = ""
    """push, sms, email or page; empty where it concerns none."""

    def message(self, lang: str) -> str:
        """Say what is wrong in one language."""
        return self.message_en if lang == "en" else self.message_vi

    def remedy(self, lang: str) -> str:
        """Say what to do about it in one language."""
        return self.remedy_en if lang == "en" else self.remedy_vi
