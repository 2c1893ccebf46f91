"""From an area to its people: the unit map and the people index of this process."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import structlog
from numpy.typing import NDArray

from broadcaster.db import AWAY, Conn, Pool
from broadcaster.people.changes import Present, changed_since, present
from broadcaster.people.index_base import OwnMemory, SharedFile, Sight, Source, build
from broadcaster.people.live_view import View
from broadcaster.people.units import UnitMap, knowing, load_map, map_stamp, named_units
from targeting.area import Area
from targeting.index import Counts, Ids, PeopleIndex
from targeting.index_raster import aligned
from targeting.live_index import LiveIndex
from targeting.outlines import Outlines
from targeting.select import count_only, count_people, select_people
from targeting.units import UnitKey

log = structlog.get_logger(__name__)

LOOK = 0.5
"""Seconds a count may lag behind the database."""
FEWEST = 5
"""A cell with fewer people is shown empty: nobody is pointed at."""
RASTER_KEPT = 5.0
"""Seconds a density is answered again without counting."""
_RASTERS = 64
_AGAIN = 30.0
"""Seconds between two attempts to build a base in the background."""

Box: TypeAlias = tuple[float, float, float, float]
"""West, south, east, north in degrees."""
Raster: TypeAlias = NDArray[np.int64]
Index: TypeAlias = PeopleIndex | LiveIndex


@dataclass(frozen=True, slots=True)
class Compared:
    """Who is added, kept and dropped when one area takes the place of another; each sorted."""

    added: Ids
    kept: Ids
    dropped: Ids


class Selector:
    """Answers who is in an area; one for each process that asks, for any number of requests.

    Every method raises targeting's AreaError with the problems of an area that is none.
    """

    def __init__(self, directory: Path | None = None, pool: Pool | None = None) -> None:
        """Share an index file in `directory` with other processes, or keep an index in memory.

        With a pool, a base that is far behind is built anew while the old one goes on answering.
        """
        self._source: Source = SharedFile(directory) if directory else OwnMemory()
        self._pool = pool
        self._map: UnitMap | None = None
        self._stamp = ""
        self._view: View | None = None
        self._looked = 0.0
        self._lock = asyncio.Lock()
        self._renewal: asyncio.Task[None] | None = None
        self._renewed: View | None = None
        self._not_before = 0.0
        self._rasters: dict[tuple[Box, int, int], tuple[float, Raster]] = {}

    async def map(self, conn: Conn) -> UnitMap:
        """Return the units in force with their outlines, reloaded when they have changed."""
        stamp = await map_stamp(conn)
        if self._map is None or stamp != self._stamp:
            self._map, self._stamp = await load_map(conn), stamp
        return self._map

    async def count(self, conn: Conn, now: datetime, area: dict[str, Any]) -> Counts:
        """Count the people of an area, half a second behind the database at most."""
        parsed = Area.from_json(area)
        units, index = await self._current(conn, now)
        drawn = await _outlines(conn, units, parsed)
        return await asyncio.to_thread(count_people, parsed, drawn, index, units.ids)

    async def people(
        self, conn: Conn, now: datetime, area: dict[str, Any], *, oversized: bool = False
    ) -> int:
        """Count the people of an area and nothing else, which is the fastest.

        With `oversized`, of one over the limits too: see `Area.shape`.
        """
        parsed = await _read(area, oversized)
        units, index = await self._current(conn, now)
        drawn = await _outlines(conn, units, parsed)
        return await asyncio.to_thread(
            count_only, parsed, drawn, index, units.ids, oversized=oversized
        )

    async def select(
        self, conn: Conn, now: datetime, area: dict[str, Any], *, oversized: bool = False
    ) -> Ids:
        """Select the people of an area as the database has them at this moment, sorted.

        With `oversized`, of one over the limits too: see `Area.shape`.
        """
        parsed = await _read(area, oversized)
        units, index = await self._current(conn, now, exact=True)
        drawn = await _outlines(conn, units, parsed)
        selection = await asyncio.to_thread(
            select_people, parsed, drawn, index, units.ids, oversized=oversized
        )
        return selection.person_ids

    async def compare(
        self,
        conn: Conn,
        now: datetime,
        before: dict[str, Any],
        after: dict[str, Any],
        *,
        oversized: bool = False,
    ) -> Compared:
        """Compare the people of two areas as the database has them at this moment.

        With `oversized`, the one before may be over the limits: see `Area.shape`.
        """
        areas = await _read(before, oversized), Area.from_json(after)
        units, index = await self._current(conn, now, exact=True)
        drawn = await _outlines(conn, units, *areas)
        return await asyncio.to_thread(_compare, *areas, drawn, units, index, oversized)

    async def density(self, conn: Conn, now: datetime, box: Box, cols: int, rows: int) -> Raster:
        """Count people per cell of a raster [row, col] from the south-west; few count as none."""
        _, index = await self._current(conn, now)
        asked, moment = (box, cols, rows), time.monotonic()
        made, raster = self._rasters.get(asked, (0.0, None))
        if raster is None or moment - made > RASTER_KEPT:
            raster = await asyncio.to_thread(index.density, *box, cols, rows)
            raster = np.where(raster < FEWEST, 0, raster)
            while len(self._rasters) >= _RASTERS:
                del self._rasters[next(iter(self._rasters))]
            self._rasters[asked] = moment, raster
        return raster

    async def raster(
        self, conn: Conn, now: datetime, box: Box, cols: int, rows: int
    ) -> tuple[Box, int, int]:
        """Return the raster nearest to the one asked for that `density` can fill evenly."""
        _, index = await self._current(conn, now)
        base = index.base if isinstance(index, LiveIndex) else index
        return aligned(base.grid, box, cols, rows)

    async def warm(self, now: datetime) -> None:
        """Have an index before the first question; needs the pool."""
        if self._pool is not None:
            async with self._pool.acquire() as conn:
                await self._current(conn, now)

    async def close(self) -> None:
        """Stop what is under way and let go of the shared file."""
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)
        self._source.close()

    async def _current(
        self, conn: Conn, now: datetime, *, exact: bool = False
    ) -> tuple[UnitMap, Index]:
        # Whoever waited here finds what the one before has looked up.
        async with self._lock:
            if self._map and self._view and not exact and time.monotonic() - self._looked < LOOK:
                return self._map, self._view.index
            looked = time.monotonic()
            sight = Sight(conn, now, await self.map(conn), self._stamp)
            view, for_all = await self._look(sight)
            if for_all:
                self._view, self._looked = view, looked
                self._renew_behind(view, sight)
            return sight.units, view.index

    async def _look(self, sight: Sight) -> tuple[View, bool]:
        """Return the city as the connection sees it now, and whether others see it so too."""
        view = self._latest()
        if view is None:
            if (await present(sight.conn)).writing:
                return View.of(await build(sight)), False
            view = View.of(await self._source.first(sight))
        seen, here = await self._seen(view, sight)
        if seen is None and not sight.conn.is_in_transaction():
            view = View.of(await self._source.renewed(sight, view.base))
            seen, here = await self._seen(view, sight)
        if seen is None:
            # A transaction that sees an earlier moment, or has changed more than can be carried.
            return View.of(await build(sight)), False
        return seen, not here.writing

    def _latest(self) -> View | None:
        """Return the last view, or that of a base that has come since."""
        renewed, self._renewed = self._renewed, None
        if renewed is not None or self._view is None:
            return renewed
        newer = self._source.newer(self._view.base)
        return View.of(newer) if newer else self._view

    async def _seen(self, view: View, sight: Sight) -> tuple[View | None, Present]:
        """Return the view moved to the present; None where the base is no longer good for it."""
        if sight.conn.is_in_transaction():
            return await self._moved(view, sight)
        # One moment for who has changed and what to.
        async with sight.conn.transaction(isolation="repeatable_read", readonly=True):
            return await self._moved(view, sight)

    async def _moved(self, view: View, sight: Sight) -> tuple[View | None, Present]:
        here, people = await changed_since(sight.conn, view.snapshot, view.as_of, sight.now)
        origin = view.base.origin
        good = replace(origin, snapshot=view.snapshot).fits(here, sight.stamp)
        too_many = len(people) > view.most or (self._pool is None and view.is_behind(sight.now))
        if not good or too_many:
            return None, here
        return await view.at(sight, here, people), here

    def _renew_behind(self, view: View, sight: Sight) -> None:
        """Build a base in the place of one far behind, while that one goes on answering."""
        idle = self._renewal is None or self._renewal.done()
        due = view.is_behind(sight.now) and time.monotonic() >= self._not_before
        if self._pool is not None and idle and due:
            self._not_before = time.monotonic() + _AGAIN
            self._renewal = asyncio.create_task(self._renew(self._pool, view, sight))

    async def _renew(self, pool: Pool, view: View, sight: Sight) -> None:
        try:
            async with pool.acquire() as conn:
                base = await self._source.renewed(sight._replace(conn=conn), view.base)
            self._renewed = View.of(base)
        except AWAY as error:
            log.warning("the index is not built anew", why=str(error))
        except Exception:
            log.exception("the index is not built anew")


async def _outlines(conn: Conn, units: UnitMap, *areas: Area) -> Outlines:
    """Return the map these areas are drawn on: what was approved may name units that ended."""
    named = frozenset[UnitKey]().union(*map(named_units, areas))
    return (await knowing(conn, units, named)).outlines


async def _read(area: dict[str, Any], oversized: bool) -> Area:
    """Read an area; a large one beside the event loop."""
    return await asyncio.to_thread(Area.from_json, area) if oversized else Area.from_json(area)


def _compare(
    before: Area, after: Area, drawn: Outlines, units: UnitMap, index: Index, oversized: bool
) -> Compared:
    was = select_people(before, drawn, index, units.ids, oversized=oversized).person_ids
    will = select_people(after, drawn, index, units.ids).person_ids
    return Compared(
        added=np.setdiff1d(will, was, assume_unique=True),
        kept=np.intersect1d(was, will, assume_unique=True),
        dropped=np.setdiff1d(was, will, assume_unique=True),
    )
