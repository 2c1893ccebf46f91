"""The tools an area is made with: read, name, check, repair, simplify, count and compare.

The API and the console call the same functions. Areas come and go in their JSON form; whatever
targeting finds wrong is raised as AreaRefused, every problem with its place. Geometry works in
threads of its own, few of them and for a bounded time: a hostile polygon holds up neither the
event loop nor anybody else's work.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeAlias, TypeVar

from broadcaster.alerts import checks
from broadcaster.db import Conn, Pool
from broadcaster.errors import Refused
from broadcaster.people import ended_units
from broadcaster.people.exercise_selection import Asked
from broadcaster.people.officials import Actor, authority
from broadcaster.people.selection import Selector
from broadcaster.people.units import knowing, named_units
from broadcaster.web.area_answers import (
    NamedArea,
    NamedLine,
    Note,
    PeopleChange,
    Reached,
    ReadArea,
    RepairedArea,
    SimplifiedArea,
    UnitPeople,
)
from broadcaster.web.drawing import drawn
from broadcaster.web.geography import Atlas
from broadcaster.web.kept import Kept
from broadcaster.web.uploads import File
from targeting import repairs as repairing
from targeting import simplify as simpler
from targeting.area import Area, Shapes
from targeting.area_files import read_area_file
from targeting.errors import AreaError, AreaProblem, TargetingError, problem
from targeting.former import former_units
from targeting.metric import area_km2, change_km2
from targeting.names import PlaceNames
from targeting.outlines import Outlines
from targeting.place_list import ReadLine, read_place_list
from targeting.simplify import Simplified
from targeting.units import UnitKey

LONGEST_S = 20.0
"""What one tool may take; what takes longer is refused, with the hint to simplify."""
_LONGEST_NAME = 100
_UNNAMED = "file"

AreaJson: TypeAlias = dict[str, Any]
Answer = TypeVar("Answer")

_prepared: Kept[str, PlaceNames] = Kept(4)


class AreaRefused(Refused):
    """An area or a file cannot be used; `problems` says what, where and what would mend it."""

    def __init__(self, problems: Iterable[AreaProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__(
            "area_refused",
            " ".join(one.message_vi for one in self.problems),
            " ".join(one.message_en for one in self.problems),
            problems=[problem_json(one) for one in self.problems],
        )


def problem_json(problem: AreaProblem) -> dict[str, Any]:
    """Return a problem as the API and the map's script know it."""
    return {
        "code": problem.code,
        "where": problem.where,
        "message": {"vi": problem.message_vi, "en": problem.message_en},
        "at": list(problem.at) if problem.at else None,
        "repair": problem.repair,
        "blocking": problem.blocking,
    }


async def read(atlas: Atlas, file: File) -> ReadArea:
    """Read an area from a file or from pasted text; raises AreaRefused."""
    return await _work(_read, atlas, file)


def _read(atlas: Atlas, file: File) -> ReadArea:
    # The name is for the messages only: what was uploaded from a path is told without it.
    name = re.split(r"[/\\]", file.name)[-1][-_LONGEST_NAME:]
    area = read_area_file(name or _UNNAMED, file.data)
    # What is wrong with the area as such is no reason to refuse the file: it is shown, and mended.
    notes = [
        Note(one.code, one.message_vi, one.message_en) for one in area.problems(atlas.map.outlines)
    ]
    return ReadArea(area.to_json(), tuple(notes))


async def check(
    conn: Conn, actor: Actor, now: datetime, selector: Selector, atlas: Atlas, area: AreaJson
) -> tuple[AreaProblem, ...]:
    """Return everything wrong with an area for this official, nobody inside among it.

    Raises AreaRefused only for what is no area at all.
    """
    reach = await authority(conn, actor, *checks.SENDERS)
    found = await _work(_problems, area, atlas, reach)
    if any(one.code == "unknown_unit" for one in found):
        found = ended_units.explained(found, await ended_units.problems(conn, Area.from_json(area)))
    if any(one.blocking for one in found):
        return found
    async with refusing():
        people = await selector.people(conn, now, area)
    return (*found, *checks.nobody_inside(people))


def _problems(area: AreaJson, atlas: Atlas, reach: frozenset[int]) -> tuple[AreaProblem, ...]:
    jurisdiction = checks.jurisdiction(atlas.map, reach)
    return tuple(Area.from_json(area).problems(atlas.map.outlines, jurisdiction))


async def count(
    conn: Conn, now: datetime, selector: Asked, atlas: Atlas, area: AreaJson
) -> Reached:
    """Count the people of an area that is drawn by channel, language and unit.

    Raises AreaRefused.
    """
    started = time.perf_counter()
    async with refusing():
        counts = await selector.count(conn, now, area)
    units = [
        UnitPeople(atlas.units[unit_id], people)
        for unit_id, people in counts.by_unit.items()
        if unit_id in atlas.units
    ]
    return Reached(
        people=counts.people,
        channels=dict(counts.by_channel),
        languages=dict(counts.by_lang),
        units=tuple(sorted(units, key=lambda one: (-one.people, one.unit.code))),
        by_unit_only=counts.by_unit_only,
        ms=round((time.perf_counter() - started) * 1000, 1),
    )


async def names(atlas: Atlas, text: str) -> NamedArea:
    """Read a pasted list of names of units and groups, in any spelling; raises AreaRefused."""
    return await _work(_named, atlas, text)


def _named(atlas: Atlas, text: str) -> NamedArea:
    found = read_place_list(text, _names_of(atlas))
    area = Area(Shapes(units=found.units, groups=found.groups))
    return NamedArea(area.to_json(), tuple(_line(atlas, line) for line in found.lines))


def _names_of(atlas: Atlas) -> PlaceNames:
    """Return the names of an atlas, prepared once for each."""
    known = _prepared.find(atlas.stamp)
    if known is None:
        outlines = atlas.map.outlines
        known = PlaceNames(outlines.units.values(), outlines.groups.values(), former_units())
    return _prepared.keep(atlas.stamp, known)


def _line(atlas: Atlas, line: ReadLine) -> NamedLine:
    ids = [atlas.map.ids[one] for one in line.taken if isinstance(one, UnitKey)]
    return NamedLine(
        text=line.text,
        units=tuple(atlas.units[unit_id] for unit_id in ids),
        groups=tuple(group for group in atlas.groups if group.code in line.taken),
        assumed=line.assumed,
        message_vi=line.message_vi,
        message_en=line.message_en,
        suggestions=line.suggestions,
        row=line.row,
    )


async def repair(
    conn: Conn,
    actor: Actor,
    now: datetime,
    selector: Asked,
    atlas: Atlas,
    area: AreaJson,
    repairs: Sequence[str] | None = None,
) -> RepairedArea:
    """Apply the repairs named, or every one that is offered; raises AreaRefused."""
    reach = await authority(conn, actor, *checks.SENDERS)
    async with refusing():
        before = Area.from_json(area)
    begun, others = before, repairs
    if repairs is None or ended_units.REPAIR in repairs:
        begun = await ended_units.with_todays_units(conn, before)
        others = repairs and [name for name in repairs if name != ended_units.REPAIR]
    known = (await knowing(conn, atlas.map, named_units(before))).outlines
    mended = await _work(_repair, before, begun, others, atlas, known, reach)
    return replace(
        mended,
        people_before=await _people(conn, now, selector, area),
        people_after=await _people(conn, now, selector, mended.area),
    )


def _repair(
    before: Area,
    begun: Area,
    repairs: Sequence[str] | None,
    atlas: Atlas,
    drawn: Outlines,
    reach: frozenset[int],
) -> RepairedArea:
    """Repair what was begun with today's units; `drawn` also knows those that ended."""
    outlines, jurisdiction = atlas.map.outlines, checks.jurisdiction(atlas.map, reach)
    mended = repairing.repair(begun, repairs, outlines, jurisdiction)
    applied, added, dropped = mended.applied, mended.added_km2, mended.dropped_km2
    if begun != before:
        applied = (ended_units.REPAIR, *applied)
        more, less = _change_km2(before, begun, drawn)
        added, dropped = added + more, dropped + less
    return RepairedArea(
        area=mended.area.to_json(),
        applied=applied,
        km2_before=_km2(before, drawn),
        km2_after=_km2(mended.area, outlines),
        added_km2=added,
        dropped_km2=dropped,
        people_before=None,
        people_after=None,
        problems=tuple(mended.area.problems(outlines, jurisdiction)),
    )


def _change_km2(before: Area, after: Area, outlines: Outlines) -> tuple[float, float]:
    try:
        return change_km2(before.shape(outlines, oversized=True), after.shape(outlines))
    except AreaError:
        return 0.0, 0.0


def _km2(area: Area, outlines: Outlines) -> float | None:
    try:
        return area_km2(area.shape(outlines, oversized=True))
    except AreaError:
        return None


async def simplify(
    conn: Conn, now: datetime, selector: Asked, atlas: Atlas, area: AreaJson, max_points: int
) -> SimplifiedArea:
    """Simplify an area to a number of points at most; raises AreaRefused."""
    found = await _work(_simplify, area, atlas, max_points)
    after = found.area.to_json()
    return SimplifiedArea(
        area=after,
        points_before=found.points_before,
        points=found.points_after,
        added_km2=found.added_km2,
        dropped_km2=found.dropped_km2,
        people=await _change(conn, now, selector, area, after),
        problems=found.problems,
    )


def _simplify(area: AreaJson, atlas: Atlas, max_points: int) -> Simplified:
    return simpler.simplify(Area.from_json(area), atlas.map.outlines, max_points)


async def _change(
    conn: Conn, now: datetime, selector: Asked, before: AreaJson, after: AreaJson
) -> PeopleChange:
    """Compare the people of two areas; the one before is counted over the limits too.

    What is too big even for that, and what still is afterwards, is left uncounted.
    """
    try:
        await _draw(conn, selector, before, oversized=True)
        await _draw(conn, selector, after)
        return await _compare(conn, now, selector, before, after, oversized=True)
    except AreaRefused:
        people = (
            await _people(conn, now, selector, before),
            await _people(conn, now, selector, after),
        )
        return PeopleChange(*people, None, None)


async def _people(conn: Conn, now: datetime, selector: Asked, area: AreaJson) -> int | None:
    try:
        await _draw(conn, selector, area, oversized=True)
        return await selector.people(conn, now, area, oversized=True)
    except (AreaRefused, AreaError):
        return None


async def compare(
    conn: Conn, now: datetime, selector: Asked, before: AreaJson, after: AreaJson
) -> PeopleChange:
    """Count who is added, kept and dropped between two areas that are drawn.

    Raises AreaRefused.
    """
    return await _compare(conn, now, selector, before, after, oversized=False)


async def _compare(
    conn: Conn,
    now: datetime,
    selector: Asked,
    before: AreaJson,
    after: AreaJson,
    *,
    oversized: bool,
) -> PeopleChange:
    async with refusing():
        found = await selector.compare(conn, now, before, after, oversized=oversized)
    kept = len(found.kept)
    return PeopleChange(
        before=kept + len(found.dropped),
        after=kept + len(found.added),
        added=len(found.added),
        dropped=len(found.dropped),
    )


async def draw(pool: Pool, selector: Selector, *areas: AreaJson) -> None:
    """Draw areas before they are counted, while no connection is held; raises AreaRefused.

    Targeting keeps the shapes, and the selector finds them there.
    """
    async with pool.acquire() as conn:
        outlines = (await selector.map(conn)).outlines
    for area in areas:
        await _work(_shape, area, outlines, False)


async def _draw(conn: Conn, selector: Asked, area: AreaJson, *, oversized: bool = False) -> None:
    """Refuse an area that cannot be counted, in bounded time; targeting keeps its shape.

    The selector reads an area on the event loop, which is too slow for one over the limits.
    """
    outlines = (await selector.map(conn)).outlines
    await _work(_shape, area, outlines, oversized)


def _shape(area: AreaJson, outlines: Outlines, oversized: bool) -> None:
    if Area.from_json(area).shape(outlines, oversized=oversized).is_empty:
        raise AreaError([problem("empty_area", "area")])


async def _work(function: Callable[..., Answer], *arguments: object) -> Answer:
    """Run a geometry function in its thread; raises AreaRefused, or Refused when it takes long."""
    async with refusing():
        try:
            return await drawn(LONGEST_S, function, *arguments)
        except TimeoutError as error:
            raise Refused(
                "area_too_costly",
                "Vùng này quá phức tạp để xử lý. Đơn giản bớt đường biên rồi thử lại.",
                "This area is too complicated to work on. Simplify its border and try again.",
            ) from error


@asynccontextmanager
async def refusing() -> AsyncIterator[None]:
    """Say what targeting finds wrong as a refusal of ours."""
    try:
        yield
    except TargetingError as error:
        raise AreaRefused(error.problems) from error
