"""What an area covers, in words and figures: for the compose and the review screens."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import shapely

from broadcaster.db import Conn
from broadcaster.people import exercise_recipients
from broadcaster.people.selection import Selector
from broadcaster.people.units import GroupRow
from broadcaster.web import i18n
from broadcaster.web.geography import Atlas
from targeting.area import Area
from targeting.errors import AreaError, AreaProblem
from targeting.index import Counts
from targeting.outlines import Outlines
from targeting.select import taken_units
from targeting.units import UnitKey

_FORMER = "former_district"
_WHOLE = 0.995
"""A border drawn by hand along a commune's own may miss a sliver of it."""


@dataclass(frozen=True, slots=True)
class Covered:
    """Units an area takes: whole ones and parts, and how many people live there in all."""

    whole: tuple[int, ...] = ()
    partly: tuple[int, ...] = ()
    residents: int = 0
    percent: Mapping[int, int] = field(default_factory=dict)
    """Of each unit's ground, at least 1."""

    @property
    def unit_ids(self) -> tuple[int, ...]:
        """All units taken, wholly or partly."""
        return self.whole + self.partly


@dataclass(frozen=True, slots=True)
class Reach:
    """Who an area reaches; `problems` says why it cannot be counted."""

    covered: Covered
    counts: Counts | None
    problems: tuple[AreaProblem, ...] = ()

    @property
    def people(self) -> int:
        """Registered people in the area."""
        return self.counts.people if self.counts else 0

    @property
    def share(self) -> float:
        """Registered people as a share of residents."""
        return min(1.0, self.people / self.covered.residents) if self.covered.residents else 0.0

    def lang_share(self, lang: str) -> float:
        """Share of people who read this language."""
        if not self.counts or not self.counts.people:
            return 0.0
        return self.counts.by_lang.get(lang, 0) / self.counts.people


@dataclass(frozen=True, slots=True)
class ReachedUnit:
    """One unit an area touches: how much of its ground, and how many people count under it."""

    name: str
    people: int
    percent: int


async def reach(
    conn: Conn,
    now: datetime,
    selector: Selector,
    atlas: Atlas,
    area: dict[str, Any],
    counts: Counts | None = None,
    *,
    exercise: bool = False,
) -> Reach:
    """Count the people of an area, unless the checks did already, and name the units it takes.

    Of an `exercise` those who take part in exercises.
    """
    try:
        covered = await asyncio.to_thread(cover, atlas, area)
        if counts is None and exercise:
            counts = await exercise_recipients.count(conn, now, selector, area)
        return Reach(covered, counts or await selector.count(conn, now, area))
    except AreaError as error:
        return Reach(Covered(), None, error.problems)


def cover(atlas: Atlas, area: dict[str, Any]) -> Covered:
    """Say which units an area takes; raises AreaError."""
    shape = Area.from_json(area).shape(atlas.map.outlines)
    shares = taken_units(shape, atlas.map.outlines)
    ids = {key: atlas.map.ids[key] for key in shares}
    return Covered(
        whole=tuple(ids[key] for key, share in shares.items() if share >= _WHOLE),
        partly=tuple(ids[key] for key, share in shares.items() if share < _WHOLE),
        residents=round(sum(atlas.units[ids[key]].population * shares[key] for key in shares)),
        percent={ids[key]: _percent(share) for key, share in shares.items()},
    )


def _percent(share: float) -> int:
    return 100 if share >= _WHOLE else min(99, max(1, round(share * 100)))


def most_first(reach: Reach) -> list[int]:
    """Return the units an area touches, those with most people first."""
    people = reach.counts.by_unit if reach.counts else {}
    return sorted(reach.covered.unit_ids, key=lambda unit_id: (-people.get(unit_id, 0), unit_id))


def by_unit(reach: Reach, atlas: Atlas) -> list[ReachedUnit]:
    """Return the units an area touches with their figures, those with most people first."""
    people = reach.counts.by_unit if reach.counts else {}
    return [
        ReachedUnit(atlas.name(unit_id), people.get(unit_id, 0), reach.covered.percent[unit_id])
        for unit_id in most_first(reach)
    ]


def place_names(atlas: Atlas, covered: Covered, area: dict[str, Any]) -> dict[str, list[str]]:
    """Name an area for its wording: groups by their own name, whole units, then parts of units."""
    parsed = Area.from_json(area)
    groups = [group for group in atlas.groups if group.code in parsed.include.groups]
    inside = {unit_id for group in groups for unit_id in group.shares}
    rows = [atlas.units[unit_id] for unit_id in covered.unit_ids if unit_id not in inside]
    rows.sort(key=lambda row: (row.unit_id in covered.partly, -row.population))
    outlines = atlas.map.outlines
    named = [names for group in groups if (names := _group_names(group, parsed, outlines))]
    return {
        "vi": [vietnamese for vietnamese, _ in named]
        + [outlines.units[UnitKey(row.code, row.vintage)].short_name for row in rows],
        "en": [english for _, english in named] + [row.name_en for row in rows],
    }


def _group_names(group: GroupRow, area: Area, outlines: Outlines) -> tuple[str, str] | None:
    """Name a group as it stands in a sentence, None when nothing of it is left in the area.

    A ward of today often bears the short name of a former district, so that name goes out in
    full, as that of a former one.
    """
    vietnamese, english = group.name, group.name_en
    if group.kind == _FORMER:
        vietnamese = f"{vietnamese[:1].lower()}{vietnamese[1:]} cũ"
        english = f"former {english.removeprefix('Former ')}"
    if not area.exclude:
        return vietnamese, english
    whole = outlines.group(group.code)
    left = shapely.intersection(area.shape(outlines), whole).area / whole.area
    if left > _WHOLE:
        return vietnamese, english
    return (f"một phần {vietnamese}", f"part of {english}") if left > 1 - _WHOLE else None


def problem_texts(problems: tuple[AreaProblem, ...]) -> list[str]:
    """Return the sentences of an area's problems in the language of this request."""
    vietnamese = i18n.language() == "vi"
    return [one.message_vi if vietnamese else one.message_en for one in problems]
