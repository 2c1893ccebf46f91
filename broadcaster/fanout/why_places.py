"""Which of a person's places lies in which part of an area, by today's places."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry

from broadcaster.db import Conn
from broadcaster.fanout.why_words import PLACE, Words, part_name, place_name
from broadcaster.people.register import DEGREE
from broadcaster.people.selection import Selector
from broadcaster.people.units import UnitMap, knowing, named_units
from targeting.area import Area
from targeting.select import UNIT_SHARE, taken_units
from targeting.units import UnitKey


@dataclass(frozen=True, slots=True)
class PlaceFound:
    """One place of a person, held against the area. Of one outside, nothing else is told."""

    name: Words
    """What kind of place it is."""
    inside: bool
    label: str = ""
    """What its owner calls it."""
    unit: Words | None = None
    """The unit it is known by, when it has no point."""
    parts: tuple[Words, ...] = ()
    """Names of the parts of the area it lies in."""


@dataclass(frozen=True)
class Finder:
    """An area taken apart: asked for one place after the other."""

    units: UnitMap
    shape: BaseGeometry
    parts: tuple[tuple[Words, BaseGeometry], ...]
    taken: frozenset[int]
    """Ids of the units whose people are included though known by the unit only."""

    @classmethod
    async def of_area(cls, conn: Conn, selector: Selector, area: dict[str, Any]) -> Finder:
        """Take an area apart; it may name units that have ended. Raises targeting's AreaError."""
        parsed = Area.from_json(area)
        units = await knowing(conn, await selector.map(conn), named_units(parsed))
        return await asyncio.to_thread(cls._of, units, parsed)

    @classmethod
    def _of(cls, units: UnitMap, area: Area) -> Finder:
        outlines = units.outlines
        shape = area.shape(outlines)
        taken = [units.ids[key] for key in taken_units(shape, outlines) if key in units.ids]
        parts = tuple(
            (part_name(where, area.include, outlines), shapely.force_2d(part))
            for where, part in area.parts(outlines)
        )
        return cls(units, shape, parts, frozenset(taken))

    def at_point(self, lon: float, lat: float) -> tuple[bool, tuple[Words, ...]]:
        """Tell whether a point lies in the area, and in which parts; the border belongs to it."""
        point = shapely.Point(lon, lat)
        if not self.shape.covers(point):
            return False, ()
        return True, tuple(name for name, part in self.parts if part.covers(point))

    def in_unit(self, unit_ids: list[int]) -> tuple[bool, tuple[Words, ...]]:
        """Tell it of a place known by its unit only, or by several candidates."""
        keys = [self.units.keys[unit_id] for unit_id in unit_ids if unit_id in self.taken]
        found = {name: None for key in keys for name in self._parts_of(key)}
        return bool(keys), tuple(found)

    def _parts_of(self, key: UnitKey) -> list[Words]:
        """Name the parts that take their share of a unit; where none alone does, all that touch."""
        outline = self.units.outlines.unit(key)
        shares = [(name, shapely.intersection(part, outline).area / outline.area)
                  for name, part in self.parts]  # fmt: skip
        return [name for name, share in shares if share > UNIT_SHARE] or [
            name for name, share in shares if share > 0
        ]


async def find_places(
    conn: Conn, finder: Finder, now: datetime, person_id: int
) -> tuple[PlaceFound, ...]:
    """Hold each place of a person that is in force against the area, home first."""
    rows = await conn.fetch(
        "SELECT p.place_no, p.label, t.x, t.y, u.unit_id, u.name, u.name_en,"
        " ARRAY(SELECT c.unit_id FROM place_candidate c WHERE c.person_id = p.person_id"
        "  AND c.place_no = p.place_no ORDER BY c.unit_id) AS candidates"
        " FROM person_place p JOIN unit u USING (unit_id)"
        " LEFT JOIN person_point t USING (person_id, place_no)"
        " WHERE p.person_id = $1 AND (p.expires_at IS NULL OR p.expires_at > $2)"
        " ORDER BY p.place_no",
        person_id,
        now,
    )
    found = []
    several = sum(row["place_no"] not in PLACE for row in rows) > 1
    for row in rows:
        if row["x"] is None:
            inside, parts = finder.in_unit(row["candidates"] or [row["unit_id"]])
        else:
            inside, parts = finder.at_point(row["x"] / DEGREE, row["y"] / DEGREE)
        # Of two watched places, the label of one outside is not told: a number tells them apart.
        bare = several and not (inside and row["label"])
        name = place_name(row["place_no"], with_number=bare)
        if not inside:
            found.append(PlaceFound(name, inside=False))
            continue
        unit = (row["name"], row["name_en"]) if row["x"] is None else None
        found.append(PlaceFound(name, True, row["label"], unit, parts))
    return tuple(found)
