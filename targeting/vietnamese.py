"""Vietnamese syllables compared the way people type them: with all, some or no marks."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from anyascii import anyascii

_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Syllable:
    """A syllable: its letters without marks, and its marks wherever in it they were typed."""

    plain: str
    marks: frozenset[str]

    @property
    def marked(self) -> bool:
        """Tell whether it was typed with marks."""
        return bool(self.marks)


def syllables(text: str) -> list[Syllable]:
    """Split text into syllables; punctuation separates, case does not matter."""
    lowered = unicodedata.normalize("NFC", text).lower()
    return [_syllable(word) for word in _WORD.findall(lowered)]


def _syllable(word: str) -> Syllable:
    # The bar of đ is no combining mark. A mark counts by what it is and how often, not by the
    # letter it stands on: hoà and hòa are the same word.
    marks = [c for c in unicodedata.normalize("NFD", word) if unicodedata.combining(c)]
    marks += ["đ"] * word.count("đ")
    numbered = frozenset(f"{mark}{marks[:n].count(mark)}" for n, mark in enumerate(marks))
    return Syllable(anyascii(word).lower(), numbered)


def agreement(typed: list[Syllable], name: list[Syllable]) -> float | None:
    """Return how far typed syllables agree with a name's: None if not, 1.0 if marks and all.

    Marks may be left out, as people without a Vietnamese keyboard do; a wrong mark is another
    word ("làng" is a village, "Láng" a place).
    """
    if [s.plain for s in typed] != [s.plain for s in name]:
        return None
    if any(not t.marks <= n.marks for t, n in zip(typed, name, strict=True)):
        return None
    wanted = sum(len(n.marks) for n in name)
    typed_marks = sum(len(t.marks) for t in typed)
    return typed_marks / wanted if wanted else 1.0
