"""Where it happened: given coordinates, else a unit named in the text, else the sender's home."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from broadcaster.db import Conn
from broadcaster.people.units import UnitMap
from targeting.former import FormerUnit, former_units
from targeting.names import Place as NamedPlace
from targeting.names import PlaceNames
from targeting.units import Unit

STEPS = 100_000
INSIDE, OUTSIDE = 1.0, 0.5
HOME, HOME_UNIT = 0.4, 0.3
"""People report mostly what they see from home, but nobody said so."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place, where the knowledge comes from, and how sure it is (0 to 1)."""

    unit_id: int | None
    x: int | None
    y: int | None
    source: str
    confidence: float


NOWHERE = Place(None, None, None, "none", 0.0)


@dataclass(frozen=True)
class Gazetteer:
    """The map and its names, ready to place reports. Make a new one when the map changes."""

    units: UnitMap

    @cached_property
    def _names(self) -> PlaceNames:
        outlines = self.units.outlines
        lowest = [outlines.units[key] for key in outlines.lowest]
        return PlaceNames(lowest, outlines.groups.values(), former_units())

    async def place(
        self,
        conn: Conn,
        text: str,
        point: tuple[float, float] | None,
        people: Sequence[int],
    ) -> Place:
        """Place a report by a given (lon, lat), its text, or the home of who wrote it."""
        if point is not None and all(map(math.isfinite, point)):
            return self._given(*point)
        home = await self._home(conn, people)
        return self._named(text, home) or home or NOWHERE

    def _given(self, lon: float, lat: float) -> Place:
        if abs(lon) > 180 or abs(lat) > 90:
            return NOWHERE
        unit_id = self.units.locate(lon, lat)
        sure = OUTSIDE if unit_id is None else INSIDE
        return Place(unit_id, round(lon * STEPS), round(lat * STEPS), "given", sure)

    def _named(self, text: str, home: Place | None) -> Place | None:
        best = next((match for match in self._names.find(text) if not match.is_group), None)
        unit = self._unit_of(best.place, home) if best else None
        if best is None or unit is None:
            return None
        unit_id = self.units.ids[unit.key]
        # In the ward they live in, people mean what is near them rather than its middle.
        near = home if home is not None and home.unit_id == unit_id else None
        x = near.x if near else round(unit.lon * STEPS)
        y = near.y if near else round(unit.lat * STEPS)
        return Place(unit_id, x, y, "named", round(best.confidence, 2))

    def _unit_of(self, named: NamedPlace, home: Place | None) -> Unit | None:
        """Return the unit of today; of a commune that was split, the one the sender lives in."""
        if isinstance(named, Unit):
            return named
        keys = named.keys if isinstance(named, FormerUnit) else ()
        known = [key for key in keys if key in self.units.ids]
        units = {self.units.ids[key]: self.units.outlines.units[key] for key in known}
        if len(keys) == len(units) == 1:
            return self.units.outlines.units[keys[0]]
        return units.get(home.unit_id) if home and home.unit_id else None

    async def _home(self, conn: Conn, people: Sequence[int]) -> Place | None:
        row = await conn.fetchrow(
            "SELECT p.unit_id, t.x, t.y FROM person_place p"
            " LEFT JOIN person_point t USING (person_id, place_no)"
            " WHERE p.person_id = ANY($1) AND p.place_no = 0 ORDER BY t.x IS NULL, p.person_id"
            " LIMIT 1",
            people,
        )
        if row is None:
            return None
        if row["x"] is not None:
            return Place(row["unit_id"], row["x"], row["y"], "home", HOME)
        key = self.units.keys.get(row["unit_id"])
        unit = self.units.outlines.units[key] if key else None
        x, y = (round(unit.lon * STEPS), round(unit.lat * STEPS)) if unit else (None, None)
        return Place(row["unit_id"], x, y, "home", HOME_UNIT)
