"""Drafts that name units no longer in force: said clearly, replaced by today's when accepted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date

import shapely

from broadcaster.db import Conn
from broadcaster.people.officials import IN_FORCE
from broadcaster.people.successors import leads
from broadcaster.people.units import named_units
from targeting.area import Area
from targeting.errors import AreaProblem, problem
from targeting.units import UnitKey

REPAIR = "todays_units"
"""Name of the repair that puts today's units in the place of those that ended."""
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Heir:
    """One of today's units in the place of one that ended."""

    key: UnitKey
    name: str
    name_en: str


@dataclass(frozen=True, slots=True)
class Ended:
    """A unit that an area names and that is no longer in force."""

    key: UnitKey
    name: str
    name_en: str
    ended: date
    heirs: tuple[Heir, ...]
    outline: bytes
    """WKB."""


async def ended(conn: Conn, area: Area) -> dict[UnitKey, Ended]:
    """Return those of an area's units that were in force once and are no more."""
    keys = named_units(area)
    rows = await conn.fetch(
        "SELECT unit_id, code, vintage, name, name_en, valid_to, outline FROM unit"
        " JOIN unnest($1::text[], $2::date[]) AS k(code, vintage) USING (code, vintage)"
        f" WHERE NOT ({IN_FORCE}) AND valid_to IS NOT NULL",
        [key.code for key in keys],
        [key.vintage for key in keys],
    )
    heirs = await _heirs(conn, {row["unit_id"] for row in rows}) if rows else {}
    found = [
        Ended(
            UnitKey(row["code"], row["vintage"]), row["name"], row["name_en"], row["valid_to"],
            tuple(heirs.get(row["unit_id"], ())), row["outline"],
        )
        for row in rows
    ]  # fmt: skip
    return {one.key: one for one in found}


async def _heirs(conn: Conn, unit_ids: set[int]) -> dict[int, list[Heir]]:
    wanted = [lead for lead in await leads(conn) if lead.unit_id in unit_ids]
    rows = await conn.fetch(
        "SELECT unit_id, code, vintage, name, name_en FROM unit WHERE unit_id = ANY($1)",
        [lead.successor_id for lead in wanted],
    )
    known = {
        row["unit_id"]: Heir(UnitKey(row["code"], row["vintage"]), row["name"], row["name_en"])
        for row in rows
    }
    found: dict[int, list[Heir]] = {}
    for lead in sorted(wanted, key=lambda lead: known[lead.successor_id].key):
        found.setdefault(lead.unit_id, []).append(known[lead.successor_id])
    return found


async def problems(conn: Conn, area: Area) -> dict[str, AreaProblem]:
    """Return by their place in the area (`units[2]`) the units that ended, each with its repair.

    They take the place of what targeting says there: that it knows no such unit.
    """
    known = await ended(conn, area)
    return {
        f"{prefix}units[{number}]": _problem(f"{prefix}units[{number}]", known[key])
        for prefix, shapes in (("", area.include), ("exclusions.", area.exclude))
        for number, key in enumerate(shapes.units)
        if key in known
    }


def explained(
    found: Iterable[AreaProblem], ended_ones: dict[str, AreaProblem]
) -> tuple[AreaProblem, ...]:
    """Put the answer of `problems` in the place of targeting's unknown units."""
    return tuple(
        ended_ones.get(one.where, one) if one.code == "unknown_unit" else one for one in found
    )


def _problem(where: str, one: Ended) -> AreaProblem:
    facts = {"unit": one.key.code, "name": one.name, "name_en": one.name_en}
    day = {"ended": f"{one.ended:%d/%m/%Y}", "ended_en": one.ended.isoformat()}
    if not one.heirs:
        return problem("ended_unit_without_heir", where, **facts, **day)
    more = f" (+{len(one.heirs) - _MOST_NAMED})" if len(one.heirs) > _MOST_NAMED else ""
    vietnamese = ", ".join(heir.name for heir in one.heirs[:_MOST_NAMED]) + more
    english = ", ".join(heir.name_en for heir in one.heirs[:_MOST_NAMED]) + more
    told = problem("ended_unit", where, **facts, **day, heirs=vietnamese, heirs_en=english)
    return replace(told, repair=REPAIR)


async def with_todays_units(conn: Conn, area: Area) -> Area:
    """Return the area with today's units in the place of those that ended.

    What was excluded is kept as a drawn shape instead: its successors may be wider, and nobody
    may fall out of a warning that way. What has no successor stays, and stays a problem.
    """
    known = await ended(conn, area)
    heirs = {key: [heir.key for heir in one.heirs] for key, one in known.items() if one.heirs}
    included = {now for key in area.include.units for now in heirs.get(key, [key])}
    gone = [key for key in area.exclude.units if key in heirs]
    shapes = shapely.get_parts(shapely.from_wkb([known[key].outline for key in gone]))
    drawn = Area.of_polygons(shapes).include.polygons
    exclude = replace(
        area.exclude,
        units=tuple(key for key in area.exclude.units if key not in heirs),
        polygons=area.exclude.polygons + drawn,
    )
    return replace(
        area, include=replace(area.include, units=tuple(sorted(included))), exclude=exclude
    )
