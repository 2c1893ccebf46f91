"""A pasted list of place names, in any spelling, as units and groups; nothing guessed silently."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from rapidfuzz import fuzz, process
from rapidfuzz.distance import OSA

from targeting.errors import AreaError, problem
from targeting.former import FormerUnit
from targeting.names import Place, PlaceNames
from targeting.place_text import MAX_CHARACTERS, MAX_ENTRIES, Entry, Reading, read_entry, read_lines
from targeting.place_words import MESSAGES, sentences, vietnamese_name
from targeting.units import Group, Unit, UnitKey
from targeting.vietnamese import Syllable, syllables

_DISTRICT, _CITY = "former_district", "city"
COMMUNES = frozenset({"ward", "commune", "township"})
# One wrong letter in seven may be a slip; in fewer it is as often another name.
_LETTERS_FOR_EACH_SLIP = 7
_CLEARLY = 2
_SUGGESTIONS, _LEAST_LIKENESS = 3, 80
_JOINED = re.compile(r"\s+(?:[-–—&+/]|và|va|and)\s+", re.IGNORECASE)
_CITY_WORDS = frozenset({("thanh", "pho"), ("tp",), ("thu", "do"), ("city",)})


@dataclass(frozen=True, slots=True)
class ReadLine:
    """One entry of the list: what was taken for it, what was assumed, and how that is told.

    `assumed` is a code of `place_words.MESSAGES`, None where the text says exactly what was taken;
    `suggestions` are the names nearest to an entry that was not taken; `row` is the line of the
    text it stands on, from 0.
    """

    text: str
    taken: tuple[UnitKey | str, ...]
    assumed: str | None
    message_vi: str
    message_en: str
    suggestions: tuple[str, ...] = ()
    row: int = 0


@dataclass(frozen=True, slots=True)
class PlaceList:
    """The units and groups of a list, each once in the order of the list, and its entries."""

    units: tuple[UnitKey, ...]
    groups: tuple[str, ...]
    lines: tuple[ReadLine, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    """A place found for an entry, or why none was; `others` are what else it may mean."""

    entry: Entry
    place: Place | None
    codes: frozenset[str] = frozenset()
    others: tuple[Place, ...] = ()
    note: str = ""
    within: tuple[Group, ...] = field(default=())


def read_place_list(text: str, names: PlaceNames) -> PlaceList:
    """Read a list of places: one a line, or separated by commas, semicolons, tabs or bullets.

    Names may be written with all, some or no marks, short or in full, in Vietnamese or English,
    or as codes; a former district is its group, a former commune its successors. The same name
    means what its cue word says ("phường", "quận"), otherwise the unit of today. What is not
    clear is not taken. `names` needs the former communes for old names to be known.
    Raises AreaError when the text is longer than any list of places.
    """
    read = read_lines(text[: MAX_CHARACTERS + 1])
    if len(text) > MAX_CHARACTERS or sum(map(len, read.values())) > MAX_ENTRIES:
        raise AreaError([problem("text_too_long", "text", limit=MAX_ENTRIES)])
    lines = tuple(
        replace(_told(one, names), row=row)
        for row, entries in read.items()
        for one in _read_line(entries, names)
    )
    taken = list(dict.fromkeys(key for line in lines for key in line.taken))
    return PlaceList(
        units=tuple(key for key in taken if isinstance(key, UnitKey)),
        groups=tuple(key for key in taken if isinstance(key, str)),
        lines=lines,
    )


def _read_line(entries: list[Entry], names: PlaceNames) -> list[_Found]:
    found: list[_Found] = []
    for entry in (part for whole in entries for part in _unjoined(whole, names)):
        if not (found and _narrows(entry, found, names)):
            found.append(_find(entry, names))
    if len(found) > 1:
        # "Hà Nội" beside other places tells where they are; nobody means all of it by that.
        named = [one for one in found if "whole_city" not in one.codes or one.entry.whole]
        return named or found
    return found


def _unjoined(entry: Entry, names: PlaceNames) -> list[Entry]:
    """Return the entries of "Ngọc Hà và Giảng Võ"; a name with a dash in it stays whole."""
    parts = _JOINED.split(entry.text)
    if len(parts) == 1 or entry.code or _find(entry, names).place is not None:
        return [entry]
    read = [read_entry(part) for part in parts]
    return read if all(_find(part, names).place is not None for part in read) else [entry]


def _narrows(entry: Entry, found: list[_Found], names: PlaceNames) -> bool:
    """Let a district or the city at the end of an address narrow what stands before it."""
    here = _find(entry, names).place
    if entry.whole or not isinstance(here, Group | Unit):
        return False
    if here.kind == _CITY:
        return True
    if not isinstance(here, Group) or _DISTRICT not in entry.kinds:
        return False
    if _within(found[-1], here, names) is None:
        return False
    found[:] = [_within(one, here, names) or one for one in found]
    return True


def _within(one: _Found, district: Group, names: PlaceNames) -> _Found | None:
    """Return the entry read as lying in the district, None when it does not."""
    if one.within or isinstance(one.place, Group):
        return None
    again = _find(replace(one.entry, notes=(*one.entry.notes, district.name)), names)
    if again.place is None:
        return None
    return replace(again, entry=one.entry, within=(district,), codes=again.codes | {"address"})


def _find(entry: Entry, names: PlaceNames) -> _Found:
    """Find the one place that an entry means, or say why there is none."""
    within = _districts(entry, names)
    if isinstance(within, str):
        return _Found(entry, None, frozenset({"not_understood"}), note=within)
    if entry.code and not entry.readings:
        return _by_code(entry, names)
    city = _city(entry, names)
    if city is not None:
        return _Found(entry, city, frozenset({"whole_city"}))
    if entry.text in names.groups:
        return _Found(entry, names.groups[entry.text])
    return _by_name(entry, within, names)


def _districts(entry: Entry, names: PlaceNames) -> list[Group] | str:
    """Return the districts named in brackets, or the first remark that is something else."""
    known = []
    for note in entry.notes:
        inner = read_entry(note)
        groups = [
            place
            for reading in inner.readings
            for place, agreement in names.named(reading.name)
            if isinstance(place, Group) and agreement is not None
        ]
        if groups:
            known.append(groups[0])
        elif _city(inner, names) is None:
            return note
    return known


def _by_code(entry: Entry, names: PlaceNames) -> _Found:
    today = [unit for unit in names.units.values() if unit.code == entry.code]
    former = names.former.get(entry.code)
    if entry.era == "former" or not today:
        codes = frozenset[str]() if former else frozenset({"unknown"})
        return _Found(entry, former, codes)
    if len(today) > 1:
        return _Found(entry, None, frozenset({"ambiguous"}), tuple(today))
    if former and former.name != today[0].name:
        return _Found(entry, today[0], frozenset({"code_reused"}), (former,))
    return _Found(entry, today[0])


def _city(entry: Entry, names: PlaceNames) -> Unit | None:
    """Return the city when the entry names it, or says "all of the city"."""
    city = next((unit for unit in names.units.values() if unit.kind == _CITY), None)
    if city is None or entry.code:
        return None
    name = "".join(word.plain for word in syllables(city.short_name))
    for reading in entry.readings:
        words = tuple(word.plain for word in reading.name)
        if reading.kinds and _CITY not in reading.kinds:
            continue
        if "".join(words) == name or (entry.whole and words in _CITY_WORDS):
            return city
    return None


@dataclass(frozen=True, slots=True)
class _Candidate:
    place: Place
    marks: float
    cued: bool
    codes: frozenset[str] = frozenset()


def _by_name(entry: Entry, within: list[Group], names: PlaceNames) -> _Found:
    exact = list(_exact(entry, names))
    candidates = _of_kind(exact, entry.era)
    missed = [candidate.place for _, candidate in exact]
    if not candidates:
        candidates = _of_kind(list(_misspelt(entry, names)), entry.era)
    if entry.code and candidates:
        candidates = [c for c in candidates if c.place.code == entry.code]
        if not candidates:
            return _Found(entry, None, frozenset({"code_conflict"}))
    if within and candidates:
        places = tuple(c.place for c in candidates)
        candidates = [c for c in candidates if all(_lies_in(c.place, d) for d in within)]
        if not candidates:
            return _Found(entry, None, frozenset({"not_within"}), places, within=tuple(within))
    if not candidates:
        return _Found(entry, None, frozenset({"unknown"}), tuple(missed))
    return _choose(entry, candidates, missed)


def _exact(entry: Entry, names: PlaceNames) -> Iterator[tuple[Reading, _Candidate]]:
    for reading in entry.readings:
        for place, marks in names.named(reading.name):
            if marks is not None:
                # English is written without marks.
                codes = {"no_marks"} if marks < 1.0 and not reading.english else set[str]()
                yield reading, _Candidate(place, marks, bool(reading.kinds), frozenset(codes))


def _misspelt(entry: Entry, names: PlaceNames) -> Iterator[tuple[Reading, _Candidate]]:
    """Yield places whose name differs by a wrong mark, a missing space or a slip."""
    cued = [r for r in entry.readings if r.kinds] or entry.readings
    for reading in cued:
        typed = "".join(word.plain for word in reading.name)
        spelling = _clearly_nearest(typed, names)
        if spelling is None:
            continue
        for place, _ in names.named(_letters(names.spellings[spelling])):
            yield reading, _Candidate(place, 1.0, bool(reading.kinds), frozenset({"spelling"}))


def _letters(words: Sequence[str]) -> list[Syllable]:
    return [Syllable(word, frozenset()) for word in words]


def _clearly_nearest(typed: str, names: PlaceNames) -> str | None:
    """Return the spelling nearest to what was typed, None when another is about as near."""
    slips = len(typed) // _LETTERS_FOR_EACH_SLIP
    near = process.extract(
        typed, names.spellings.keys(), scorer=OSA.distance, score_cutoff=slips + _CLEARLY, limit=2
    )
    if not near or near[0][1] > slips:
        return None
    if near[0][1] > 0 and len(near) > 1 and near[1][1] < near[0][1] + _CLEARLY:
        return None
    return str(near[0][0])


def _of_kind(found: list[tuple[Reading, _Candidate]], era: str) -> list[_Candidate]:
    """Return the candidates that are of the time and kind the text says.

    Since the reform people mix up phường, xã and thị trấn: these stand for each other, but only
    when nothing is called exactly so.
    """
    if era:
        found = [(r, c) for r, c in found if isinstance(c.place, Unit) != (era == "former")]
    fits = [c for r, c in found if not r.kinds or c.place.kind in r.kinds]
    return fits or [
        replace(c, codes=c.codes | {"other_kind"})
        for r, c in found
        if r.kinds <= COMMUNES and c.place.kind in COMMUNES
    ]


def _lies_in(place: Place, district: Group) -> bool:
    if isinstance(place, FormerUnit):
        return place.district_code == district.code
    return isinstance(place, Unit) and place.key in district.keys


def _choose(entry: Entry, candidates: list[_Candidate], named_so: list[Place]) -> _Found:
    """Choose by marks, then the unit of today; tell what else bears the name."""
    best = [c for c in candidates if c.marks == 1.0] or candidates
    chosen = [c for c in best if isinstance(c.place, Unit)] or best
    spellings = {tuple(syllables(c.place.short_name)) for c in candidates}
    if len(spellings) > 1 and "spelling" in chosen[0].codes:
        return _Found(entry, None, frozenset({"ambiguous"}), tuple(c.place for c in candidates))
    places = _distinct(c.place for c in chosen)
    if len(places) > 1:
        return _Found(entry, None, frozenset({"ambiguous"}), places)
    place, codes = places[0], set(chosen[0].codes)
    rivals = named_so if "other_kind" in codes else [c.place for c in candidates]
    others = tuple(p for p in _distinct(rivals) if p != place and not _same_ground(p, place))
    if others and not (entry.era or _says_which(chosen[0], others)):
        codes.add("today_unit" if isinstance(place, Unit) else "namesake")
    return _Found(entry, place, frozenset(codes), others)


def _says_which(chosen: _Candidate, others: Iterable[Place]) -> bool:
    """Tell whether the cue word leaves no doubt: the full name, or no other name like it."""
    if not chosen.cued or "other_kind" in chosen.codes:
        return False
    name = chosen.place.short_name
    return chosen.marks == 1.0 or all(place.short_name == name for place in others)


def _distinct(places: Iterable[Place]) -> tuple[Place, ...]:
    return tuple({(type(place), place.code): place for place in places}.values())


def _same_ground(place: Place, taken: Place) -> bool:
    return isinstance(place, FormerUnit) and isinstance(taken, Unit) and place.keys == (taken.key,)


def _taken(place: Place, names: PlaceNames) -> tuple[UnitKey | str, ...]:
    if isinstance(place, Unit):
        return (place.key,)
    if isinstance(place, Group):
        return (place.code,)
    return tuple(key for key in place.keys if key in names.units)


def _told(one: _Found, names: PlaceNames) -> ReadLine:
    """Return the answer for one entry with its sentences."""
    taken = _taken(one.place, names) if one.place else ()
    codes = set(one.codes)
    if one.place and not taken:
        codes = {"unknown"}
    if taken and isinstance(one.place, Group):
        codes.add("former_district")
    if taken and isinstance(one.place, FormerUnit):
        codes.add("split_commune" if len(taken) > 1 else "former_commune")
    ordered = [code for code in MESSAGES if code in codes]
    suggestions = () if taken else _suggestions(one, names)
    # The marks are not worth a sentence where another says already what was taken.
    sayings = [code for code in ordered if code != "no_marks"] or ordered or ["taken"]
    if "unknown" in ordered and suggestions:
        sayings = [*sayings, "nearest"]
    places = [one.place] if one.place else []
    facts = {
        "text": one.entry.text,
        "code": one.entry.code,
        "note": one.note,
        "count": len(one.place.members) if isinstance(one.place, Group) else 0,
    }
    lists: dict[str, Sequence[Place]] = {
        "place": places or one.others,
        "others": suggestions or one.others,
        "within": one.within,
        "successors": [names.units[key] for key in taken if key in names.units],
    }
    vietnamese, english = sentences(sayings, names, lists, **facts)
    told = tuple(vietnamese_name(place, names) for place in suggestions)
    assumed = ordered[0] if ordered else None
    return ReadLine(one.entry.text, taken, assumed, vietnamese, english, told)


def _suggestions(one: _Found, names: PlaceNames) -> tuple[Place, ...]:
    """Return what an entry that was not taken may have meant, the likeliest first."""
    if one.others:
        return _distinct([*_longer(one.entry, names), *one.others])
    typed = " ".join(word.plain for word in _shortest(one.entry))
    spelt = {" ".join(words): words for words in names.spellings.values()}
    near = process.extract(
        typed, spelt.keys(), scorer=fuzz.ratio, score_cutoff=_LEAST_LIKENESS, limit=_SUGGESTIONS
    )
    places = [place for key, _, _ in near for place, _ in names.named(_letters(spelt[key]))]
    kinds = one.entry.kinds
    return tuple(sorted(places, key=lambda place: bool(kinds) and place.kind not in kinds))[
        :_SUGGESTIONS
    ]


def _longer(entry: Entry, names: PlaceNames) -> list[Place]:
    """Return places of the kind said whose name ends so: Từ Liêm was split in Nam and Bắc."""
    typed = tuple(word.plain for word in _shortest(entry))
    return [
        place
        for words in names.spellings.values()
        if len(words) > len(typed) > 1 and words[-len(typed) :] == typed
        for place, _ in names.named(_letters(words))
        if place.kind in entry.kinds
    ]


def _shortest(entry: Entry) -> Sequence[Syllable]:
    return min((reading.name for reading in entry.readings), key=len, default=())
