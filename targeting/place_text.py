"""A pasted list of places cut into its entries, and each entry into its words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from targeting.names import CUES
from targeting.vietnamese import Syllable, syllables

# Hanoi has had 682 units and districts in all; each entry takes up to half a millisecond.
MAX_ENTRIES = 2_000
MAX_CHARACTERS = 100_000

# What stands between entries of one line. A dash is no separator: Văn Miếu - Quốc Tử Giám.
_BETWEEN = re.compile(r"[;,\t•▪◦●○■□·]|\s+\|\s+|^\s*\|", re.MULTILINE)
_BULLET = re.compile(r"^[\s\-–—−*+>→✓✔☑&\"'“”‘’]+|^\(?\d{1,3}[.):/\]]\s*|^\d{1,3}\s+(?=[^\W\d])")
_LETTER_BULLET = re.compile(r"^[a-zđ]\)\s*")
_NUMBERED = re.compile(r"^\s*\d{1,3}[.)]\s")
_NEXT_NUMBER = re.compile(r"\s+(?=\d{1,3}[.)]\s)")
# A row of a spreadsheet: the code in one column, the name in the next.
_CODE_COLUMN = re.compile(r"(?<!\d)(\d{5})\t+(?=[^\W\d])")
_CODE = re.compile(r"(?<!\d)\d{5}(?!\d)")
_NUMBER = re.compile(r"[\d.,\s%]+")
_NOTE = re.compile(r"[(\[]([^()\[\]]*)[)\]]")

_ALL = (("toan", "bo"), ("tat", "ca"), ("toan",), ("ca",), ("all", "of"))
_LEADS = (*_ALL, ("dia", "ban"), ("ubnd",), ("cac",))
_FORMER_WORDS = frozenset({"cu", "former", "old"})
_TODAY_WORDS = frozenset({"moi", "nay", "new"})
_WHOLE_NOTES = frozenset({"toan bo", "ca", "tat ca", "whole"})
ENGLISH_CUES = {
    "ward": frozenset({"ward"}),
    "commune": frozenset({"commune"}),
    "township": frozenset({"township"}),
    "district": frozenset({"former_district"}),
    "town": frozenset({"former_district"}),
    "city": frozenset({"city"}),
}
# Short forms of which nobody in the city would think of another place.
ABBREVIATIONS = {
    "hbt": "hai bà trưng",
    "btl": "bắc từ liêm",
    "ntl": "nam từ liêm",
    "hn": "hà nội",
}


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read an entry: a name, and the kinds of place that its cue word allows."""

    name: tuple[Syllable, ...]
    kinds: frozenset[str] = frozenset()
    english: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the list: the text as typed, what it says, and what narrows it down.

    `era` is "former" or "today" where the text says so. `within` holds the entries that follow
    as the rest of an address does: "phường Quang Trung, quận Đống Đa, Hà Nội".
    """

    text: str
    readings: tuple[Reading, ...] = ()
    code: str = ""
    era: str = ""
    whole: bool = False
    notes: tuple[str, ...] = ()
    within: tuple[Entry, ...] = field(default=())

    @property
    def kinds(self) -> frozenset[str]:
        """Return the kinds its cue word allows, none where there is no cue."""
        return next((r.kinds for r in self.readings if r.kinds), frozenset())


def read_lines(text: str) -> dict[int, list[Entry]]:
    """Return the entries of each line that has any, by the line's place in the text from 0."""
    lines = unicodedata.normalize("NFC", text).replace("\u00a0", " ").splitlines()
    return {row: entries for row, line in enumerate(lines) if (entries := list(_entries(line)))}


def _entries(line: str) -> Iterator[Entry]:
    table_row = "\t" in line
    for part in _parts(_CODE_COLUMN.sub(r"\1 ", line)):
        for piece in _BETWEEN.split(part):
            text = _without_bullet(piece)
            if not text or (table_row and _NUMBER.fullmatch(text) and not _CODE.fullmatch(text)):
                continue
            yield read_entry(text)


def _parts(line: str) -> list[str]:
    return _NEXT_NUMBER.split(line) if _NUMBERED.match(line) else [line]


def _without_bullet(piece: str) -> str:
    text = piece.strip()
    while (shorter := _LETTER_BULLET.sub("", _BULLET.sub("", text))) != text:
        text = shorter
    return text.strip().rstrip(".:!?\"'“”‘’ ")


def read_entry(text: str) -> Entry:
    """Read one entry: code, notes in brackets, words before and after the name."""
    entry = Entry(text)
    for note in _NOTE.findall(text):
        entry = _noted(entry, note)
    bare = _NOTE.sub(" ", text)
    codes = _CODE.findall(bare)
    if len(codes) == 1:
        entry = replace(entry, code=codes[0])
        bare = _CODE.sub(" ", bare)
    words = syllables(bare)
    words, whole = _without_leads(words)
    words, era = _without_era(words)
    return replace(
        entry,
        readings=tuple(_readings(words)) if words else (),
        era=entry.era or era,
        whole=entry.whole or whole,
    )


def _noted(entry: Entry, note: str) -> Entry:
    words = [word.plain for word in syllables(note)]
    if len(words) == 1 and _CODE.fullmatch(words[0]):
        return replace(entry, code=words[0])
    if words and words[0] in _FORMER_WORDS | _TODAY_WORDS and len(words) == 1:
        return replace(entry, era="former" if words[0] in _FORMER_WORDS else "today")
    if not words or " ".join(words) in _WHOLE_NOTES:
        return replace(entry, whole=True)
    return replace(entry, notes=(*entry.notes, note.strip()))


def _without_leads(words: list[Syllable]) -> tuple[list[Syllable], bool]:
    """Drop what only leads to the name; tell whether it says "all of"."""
    whole = False
    while lead := next((lead for lead in _LEADS if _starts(words, lead)), None):
        words, whole = words[len(lead) :], whole or lead in _ALL
    return words, whole


def _without_era(words: list[Syllable]) -> tuple[list[Syllable], str]:
    if len(words) > 1 and words[0].plain == "former":
        return words[1:], "former"
    if len(words) > 2 and words[-1].plain in _FORMER_WORDS:
        return words[:-1], "former"
    if len(words) > 2 and words[-1].plain in _TODAY_WORDS:
        return words[:-1], "today"
    return words, ""


def _readings(words: list[Syllable]) -> Iterator[Reading]:
    """Return every way to read the words: Phương Liệt is a name, phường Láng a cue and a name."""
    yield Reading(tuple(words))
    for cue, kinds in CUES.items():
        rest = words[len(cue) :]
        if rest and _starts(words, cue) and not (len(cue) == 1 and _two_word_cue(words)):
            full = ABBREVIATIONS.get(rest[0].plain) if len(rest) == 1 else None
            yield Reading(tuple(syllables(full) if full else rest), kinds)
    if len(words) > 1 and words[-1].plain in ENGLISH_CUES:
        yield Reading(tuple(words[:-1]), ENGLISH_CUES[words[-1].plain], english=True)


def _two_word_cue(words: list[Syllable]) -> bool:
    return tuple(word.plain for word in words[:2]) in CUES


def _starts(words: list[Syllable], start: tuple[str, ...]) -> bool:
    return tuple(word.plain for word in words[: len(start)]) == start
