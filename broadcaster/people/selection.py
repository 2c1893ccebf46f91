"""From an area to its people: the unit map and the people index of this process."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from broadcaster.db import Conn
from broadcaster.people import place_index
from broadcaster.people.units import UnitMap, load_map, map_stamp
from targeting.area import Area
from targeting.index import Counts, Ids, PeopleIndex
from targeting.select import count_only, count_people, select_people

KEEP = 5.0
"""Seconds an index may lag behind the database when it only counts."""
FEWEST = 5
"""A cell with fewer people is shown empty: nobody is pointed at."""

Box = tuple[float, float, float, float]
"""West, south, east, north in degrees."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Who is added, kept and dropped when one area takes the place of another; each sorted."""

    added: Ids
    kept: Ids
    dropped: Ids


@dataclass
class Selector:
    """Holds the map and the index; one for each process that answers questions about areas."""

    directory: Path | None = None
    _map: UnitMap | None = None
    _stamp: str = ""
    _index: PeopleIndex | None = None
    _built: float = 0.0
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def map(self, conn: Conn) -> UnitMap:
        """Return the units in force with their outlines, reloaded when they have changed."""
        stamp = await map_stamp(conn)
        if self._map is None or stamp != self._stamp:
            self._map, self._stamp = await load_map(conn), stamp
        return self._map

    async def _fresh_index(self, conn: Conn, now: datetime, *, exact: bool) -> PeopleIndex:
        if exact or self._index is None or time.monotonic() - self._built > KEEP:
            loaded = await place_index.load(conn, now)
            self._index = await asyncio.to_thread(PeopleIndex.build, *loaded.columns)
            self._built = time.monotonic()
        return self._index

    async def count(self, conn: Conn, now: datetime, area: dict[str, Any]) -> Counts:
        """Count the people of an area, a few seconds behind the database at most.

        Raises targeting's AreaError with the area's problems.
        """
        parsed = Area.from_json(area)
        async with self._lock:
            units = await self.map(conn)
            index = await self._fresh_index(conn, now, exact=False)
        return await asyncio.to_thread(count_people, parsed, units.outlines, index, units.ids)

    async def people(self, conn: Conn, now: datetime, area: dict[str, Any]) -> int:
        """Count the people of an area and nothing else, which is the fastest."""
        parsed = Area.from_json(area)
        async with self._lock:
            units = await self.map(conn)
            index = await self._fresh_index(conn, now, exact=False)
        return await asyncio.to_thread(count_only, parsed, units.outlines, index, units.ids)

    async def select(self, conn: Conn, now: datetime, area: dict[str, Any]) -> Ids:
        """Select the people of an area as the database has them at this moment, sorted."""
        parsed = Area.from_json(area)
        async with self._lock:
            units = await self.map(conn)
            index = await self._fresh_index(conn, now, exact=True)
        selection = await asyncio.to_thread(select_people, parsed, units.outlines, index, units.ids)
        return selection.person_ids

    async def compare(
        self, conn: Conn, now: datetime, before: dict[str, Any], after: dict[str, Any]
    ) -> Compared:
        """Compare the people of two areas at this moment."""
        areas = Area.from_json(before), Area.from_json(after)
        async with self._lock:
            units = await self.map(conn)
            index = await self._fresh_index(conn, now, exact=True)
        was, will = [
            (await asyncio.to_thread(select_people, area, units.outlines, index, units.ids))
            for area in areas
        ]
        return Compared(
            added=np.setdiff1d(will.person_ids, was.person_ids, assume_unique=True),
            kept=np.intersect1d(was.person_ids, will.person_ids, assume_unique=True),
            dropped=np.setdiff1d(was.person_ids, will.person_ids, assume_unique=True),
        )

    async def density(
        self, conn: Conn, now: datetime, box: Box, cols: int, rows: int
    ) -> NDArray[np.int64]:
        """Count people per cell of a raster [row, col] from the south-west; few are shown as 0."""
        async with self._lock:
            index = await self._fresh_index(conn, now, exact=False)
        cells = await asyncio.to_thread(index.density, *box, cols, rows)
        return np.where(cells < FEWEST, 0, cells)
