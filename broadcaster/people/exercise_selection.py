"""Who of an area takes part in exercises: a selector's answers, narrowed to those on the lists."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeAlias

import numpy as np

from broadcaster.db import Conn
from broadcaster.people import exercise_recipients
from broadcaster.people.selection import FEWEST, Box, Compared, Raster, Selector
from broadcaster.people.units import UnitMap
from targeting.grid import UNITS_PER_DEGREE
from targeting.index import Counts, Ids

_POINTS = (
    "SELECT x, y FROM person_point WHERE person_id = ANY($1::integer[]) AND place_no = 0"
    " AND x BETWEEN $2 AND $3 AND y BETWEEN $4 AND $5"
)


class Listed:
    """Answers what a `Selector` answers, of exercise recipients alone.

    They are few, so everything is read from their rows. Raises what a selector raises.
    """

    def __init__(self, selector: Selector) -> None:
        self._everybody = selector

    async def map(self, conn: Conn) -> UnitMap:
        """Return the units in force with their outlines."""
        return await self._everybody.map(conn)

    async def count(self, conn: Conn, now: datetime, area: dict[str, Any]) -> Counts:
        """Count those of an area who take part."""
        return await exercise_recipients.count(conn, now, self._everybody, area)

    async def people(
        self, conn: Conn, now: datetime, area: dict[str, Any], *, oversized: bool = False
    ) -> int:
        """Count those of an area who take part, and nothing else."""
        return len(await self.select(conn, now, area, oversized=oversized))

    async def select(
        self, conn: Conn, now: datetime, area: dict[str, Any], *, oversized: bool = False
    ) -> Ids:
        """Select those of an area who take part, sorted."""
        people = await self._everybody.select(conn, now, area, oversized=oversized)
        return await exercise_recipients.only_enrolled(conn, people)

    async def compare(
        self,
        conn: Conn,
        now: datetime,
        before: dict[str, Any],
        after: dict[str, Any],
        *,
        oversized: bool = False,
    ) -> Compared:
        """Compare those of two areas who take part."""
        every = await self._everybody.compare(conn, now, before, after, oversized=oversized)
        _, listed = await exercise_recipients.enrolled(conn)
        return Compared(
            *(
                np.intersect1d(ids, listed, assume_unique=True)
                for ids in (every.added, every.kept, every.dropped)
            )
        )

    async def raster(
        self, conn: Conn, now: datetime, box: Box, cols: int, rows: int
    ) -> tuple[Box, int, int]:
        """Return the raster nearest to the one asked for, as everybody's is."""
        return await self._everybody.raster(conn, now, box, cols, rows)

    async def density(self, conn: Conn, now: datetime, box: Box, cols: int, rows: int) -> Raster:
        """Count who takes part per cell [row, col] from the south-west; few count as none."""
        _, listed = await exercise_recipients.enrolled(conn)
        west, south, east, north = box
        edges = [round(one * UNITS_PER_DEGREE) for one in (west, east, south, north)]
        points = await conn.fetch(_POINTS, listed.tolist(), *edges)
        x, y = ([row[name] / UNITS_PER_DEGREE for row in points] for name in ("x", "y"))
        found, _, _ = np.histogram2d(y, x, (rows, cols), ((south, north), (west, east)))
        cells = found.astype(np.int64)
        return np.where(cells < FEWEST, 0, cells)


Asked: TypeAlias = Selector | Listed
"""Whoever answers who is in an area: everybody, or who takes part in exercises."""


def asked(selector: Selector, *, exercise: bool) -> Asked:
    """Return who answers for an exercise that goes to its recipients, or for everything else."""
    return Listed(selector) if exercise else selector
