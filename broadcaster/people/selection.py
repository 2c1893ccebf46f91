"""From an area to its people: the unit map and the people index of this process."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from broadcaster.db import Conn
from broadcaster.people.places import load_columns
from broadcaster.people.units import UnitMap, load_map, map_stamp
from targeting.area import Area
from targeting.index import Counts, Ids, PeopleIndex
from targeting.select import count_people, select_people

KEEP = 5.0
"""Seconds an index may lag behind the database when it only counts."""


@dataclass
class Selector:
    """Holds the map and the index; one for each process that answers questions about areas."""

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

    async def _fresh_index(self, conn: Conn, now: datetime) -> PeopleIndex:
        columns = await load_columns(conn, now)
        self._index = await asyncio.to_thread(PeopleIndex.build, *columns)
        self._built = time.monotonic()
        return self._index

    async def count(self, conn: Conn, now: datetime, area: dict[str, Any]) -> Counts:
        """Count the people of an area, a few seconds behind the database at most.

        Raises targeting's AreaError with the area's problems.
        """
        parsed = Area.from_json(area)
        async with self._lock:
            units = await self.map(conn)
            index = self._index
            if index is None or time.monotonic() - self._built > KEEP:
                index = await self._fresh_index(conn, now)
        return await asyncio.to_thread(count_people, parsed, units.outlines, index, units.ids)

    async def select(self, conn: Conn, now: datetime, area: dict[str, Any]) -> Ids:
        """Select the people of an area as the database has them at this moment, sorted."""
        parsed = Area.from_json(area)
        async with self._lock:
            units = await self.map(conn)
            index = await self._fresh_index(conn, now)
        selection = await asyncio.to_thread(select_people, parsed, units.outlines, index, units.ids)
        return selection.person_ids
