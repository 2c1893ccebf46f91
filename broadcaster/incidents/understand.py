"""What a report is about and how urgent it is, from the word list beside this file."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from targeting.vietnamese import Syllable, agreement, syllables

WORDS = Path(__file__).parent / "words.toml"
OTHER = "other"
LIFE_THREATENING, URGENT, NORMAL = "life_threatening", "urgent", "normal"
_RANK = {LIFE_THREATENING: 0, URGENT: 1, NORMAL: 2}


@dataclass(frozen=True, slots=True)
class Understanding:
    """What the words tell: `found` are those that decided, for the operator to see."""

    category: str
    urgency: str
    found: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Phrase:
    text: str
    syllables: list[Syllable]
    as_written: bool

    def at(self, words: list[Syllable], start: int) -> bool:
        typed = words[start : start + len(self.syllables)]
        agreed = agreement(typed, self.syllables)
        return agreed is not None and (not self.as_written or agreed == 1.0)


@dataclass(frozen=True, slots=True)
class _Words:
    """A text's syllables, and where each occurs."""

    syllables: list[Syllable]
    starts: dict[str, list[int]]

    @classmethod
    def of(cls, text: str) -> _Words:
        words = syllables(text)
        starts: dict[str, list[int]] = {}
        for number, word in enumerate(words):
            starts.setdefault(word.plain, []).append(number)
        return cls(words, starts)


class WordList:
    """The list, ready to be searched for in texts."""

    def __init__(self, path: Path = WORDS) -> None:
        """Read the file; KeyError or ValueError when it is not of the right form."""
        rules = tomllib.loads(path.read_text(encoding="utf-8"))
        self._negations = [syllables(text) for text in rules["not_after"]]
        urgency = rules["urgency"]
        self._life = _phrases(urgency[LIFE_THREATENING], urgency.get("life_threatening_marked", ()))
        self._urgent = _phrases(urgency[URGENT])
        self._categories = [
            (entry["name"], entry["urgency"], _phrases(entry["words"], entry.get("marked", ())))
            for entry in rules["category"]
        ]
        unknown = {level for _, level, _ in self._categories} - set(_RANK)
        if unknown:
            raise ValueError(f"unknown urgency {', '.join(sorted(unknown))}")

    @property
    def categories(self) -> tuple[str, ...]:
        """Return every category there is, the most dangerous first."""
        return (*(name for name, _, _ in self._categories), OTHER)

    def read(self, text: str) -> Understanding:
        """Return what the text tells."""
        words = _Words.of(text)
        category, urgency, found = OTHER, NORMAL, []
        for name, worth, phrases in self._categories:
            told = self._first(phrases, words)
            if told:
                category, urgency = name, worth
                found.append(told)
                break
        for level, phrases in ((LIFE_THREATENING, self._life), (URGENT, self._urgent)):
            told = self._first(phrases, words)
            if told and _RANK[level] < _RANK[urgency]:
                urgency = level
                found.append(told)
                break
        return Understanding(category, urgency, tuple(found))

    def _first(self, phrases: list[_Phrase], words: _Words) -> str | None:
        for phrase in phrases:
            for start in words.starts.get(phrase.syllables[0].plain, ()):
                if phrase.at(words.syllables, start) and not self._denied(words.syllables[:start]):
                    return phrase.text
        return None

    def _denied(self, before: list[Syllable]) -> bool:
        """Say whether what follows is told not to be: "không ai mắc kẹt"."""
        return any(
            agreement(before[-len(negation) :], negation) is not None
            for negation in self._negations
        )


def _phrases(words: Iterable[str], marked: Iterable[str] = ()) -> list[_Phrase]:
    known = [_Phrase(text, syllables(text), as_written=False) for text in words]
    return known + [_Phrase(text, syllables(text), as_written=True) for text in marked]


@cache
def word_list() -> WordList:
    """Return the list that ships with us."""
    return WordList()
