"""Names of units, former communes and former districts, found in what people write."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from targeting.former import FormerUnit
from targeting.units import Group, Unit, UnitKey
from targeting.vietnamese import Syllable, agreement, syllables

Place: TypeAlias = Unit | Group | FormerUnit

# What may stand before a name, and the kinds of place it speaks of.
_WARD, _COMMUNE, _FORMER, _CITY = "ward", "commune", "former_district", "city"
_TOWNSHIP = "township"
CUES: dict[tuple[str, ...], frozenset[str]] = {
    ("phuong",): frozenset({_WARD}),
    ("p",): frozenset({_WARD}),
    ("xa",): frozenset({_COMMUNE}),
    ("x",): frozenset({_COMMUNE}),
    ("quan",): frozenset({_FORMER}),
    ("q",): frozenset({_FORMER}),
    ("huyen",): frozenset({_FORMER}),
    ("h",): frozenset({_FORMER}),
    ("thi", "xa"): frozenset({_FORMER}),
    ("tx",): frozenset({_FORMER}),
    ("thi", "tran"): frozenset({_TOWNSHIP}),
    ("tt",): frozenset({_TOWNSHIP}),
    ("thanh", "pho"): frozenset({_CITY}),
    ("tp",): frozenset({_CITY}),
}
# After these the same words usually name a street, or something that may be elsewhere.
STREETS = frozenset({"duong", "pho", "ngo", "ngach", "hem", "d"})
LANDMARKS = frozenset({"cau", "ho", "cho", "ga", "truong", "vien", "chua", "den", "song"})

_WITHOUT_MARKS, _WITH_MARKS = 0.65, 0.9
_CUE_AGREES, _UNIT_FIRST, _CUE_DISAGREES = 0.1, 0.1, 0.2
_STREET, _LANDMARK, _ONE_SYLLABLE = 0.35, 0.15, 0.3
LEAST_CONFIDENCE = 0.4


@dataclass(frozen=True, slots=True)
class Match:
    """A place that a text may speak of, and how sure that is, from 0 to 1."""

    place: Place
    confidence: float
    first_word: int
    last_word: int

    @property
    def is_group(self) -> bool:
        """Tell whether the place is a group."""
        return isinstance(self.place, Group)


@dataclass(frozen=True, slots=True)
class _Name:
    place: Place
    syllables: list[Syllable]


class PlaceNames:
    """The names of units, groups and former communes, ready to be looked for in texts."""

    def __init__(
        self,
        units: Iterable[Unit],
        groups: Iterable[Group],
        former: Iterable[FormerUnit] = (),
    ) -> None:
        """Prepare the short names, which is what follows "phường" or "quận"."""
        self.units: dict[UnitKey, Unit] = {unit.key: unit for unit in units}
        self.groups: dict[str, Group] = {group.code: group for group in groups}
        self.former: dict[str, FormerUnit] = {unit.code: unit for unit in former}
        self._names: dict[tuple[str, ...], list[_Name]] = {}
        places: list[Place] = [*self.units.values(), *self.groups.values(), *self.former.values()]
        for place in places:
            name = _Name(place, syllables(place.short_name))
            self._names.setdefault(_plain(name.syllables), []).append(name)
        self._longest = max((len(key) for key in self._names), default=0)
        self.spellings: dict[str, tuple[str, ...]] = {"".join(key): key for key in self._names}

    def find(self, text: str) -> list[Match]:
        """Return the places the text may speak of, the surest first, each once."""
        words = syllables(text)
        best: dict[tuple[str, str], Match] = {}
        position = 0
        while position < len(words):
            found, length = self._at(words, position)
            for match in found:
                key = (type(match.place).__name__, match.place.code)
                if key not in best or best[key].confidence < match.confidence:
                    best[key] = match
            position += length
        return sorted(best.values(), key=lambda m: (-m.confidence, m.first_word, m.is_group))

    def named(self, typed: Sequence[Syllable]) -> list[tuple[Place, float | None]]:
        """Return the places whose whole name has these letters, with how far the marks agree.

        The agreement is None where a mark is wrong, and 1.0 where all are right.
        """
        words = list(typed)
        return [
            (name.place, agreement(words, name.syllables))
            for name in self._names.get(_plain(words), [])
        ]

    def _at(self, words: list[Syllable], start: int) -> tuple[list[Match], int]:
        """Return the matches of the longest name that begins here, and how far to go on."""
        for length in range(min(self._longest, len(words) - start), 0, -1):
            typed = words[start : start + length]
            names = self._names.get(_plain(typed), [])
            found = _rate(names, typed, words[:start], start)
            if found:
                return found, length
        return [], 1


def find_units(text: str, units: Iterable[Unit], groups: Iterable[Group]) -> list[Match]:
    """Return the units and groups a text may speak of; for many texts keep a PlaceNames."""
    return PlaceNames(units, groups).find(text)


def _plain(words: list[Syllable]) -> tuple[str, ...]:
    return tuple(word.plain for word in words)


def _rate(
    names: list[_Name], typed: list[Syllable], before: list[Syllable], start: int
) -> list[Match]:
    cue = CUES.get(_plain(before[-2:])) or CUES.get(_plain(before[-1:]))
    named = [name for name in names if cue and name.place.kind in cue]
    found = []
    for name in named or names:
        marks = agreement(typed, name.syllables)
        # Among the former communes are Tự Nhiên ("naturally") and Thắng Lợi ("victory").
        if marks is None or (isinstance(name.place, FormerUnit) and name not in named):
            continue
        confidence = _WITHOUT_MARKS + (_WITH_MARKS - _WITHOUT_MARKS) * marks
        if name in named:
            confidence += _CUE_AGREES
        else:
            confidence -= _doubts(name, before, has_cue=cue is not None)
            confidence -= _UNIT_FIRST if _shares_name_with_unit(name, names) else 0.0
        if confidence >= LEAST_CONFIDENCE:
            found.append(Match(name.place, round(confidence, 3), start, start + len(typed) - 1))
    return found


def _shares_name_with_unit(name: _Name, names: list[_Name]) -> bool:
    return not isinstance(name.place, Unit) and any(isinstance(n.place, Unit) for n in names)


def _doubts(name: _Name, before: list[Syllable], *, has_cue: bool) -> float:
    """Return what speaks against a name that nothing introduces as a unit."""
    last = before[-1].plain if before else ""
    doubts = _CUE_DISAGREES if has_cue else 0.0
    doubts += _STREET if last in STREETS else 0.0
    doubts += _LANDMARK if last in LANDMARKS else 0.0
    doubts += _ONE_SYLLABLE if len(name.syllables) == 1 else 0.0
    return doubts
