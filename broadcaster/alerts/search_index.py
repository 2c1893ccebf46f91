"""In which units drawn areas lie: worked out by the clockwork over the outlines."""

from __future__ import annotations

import asyncio
from typing import Any

from broadcaster.alerts import search_row
from broadcaster.db import Conn, Pool
from broadcaster.people.units import UnitMap, knowing, named_units
from targeting.area import Area
from targeting.errors import AreaError
from targeting.outlines import Outlines
from targeting.select import UNIT_SHARE, taken_units

_SLIVER = 0.05
"""Of a drawn shape: what lies beyond a border by a careless stroke."""


async def lay_drawn(pool: Pool, units: UnitMap, most: int = 200) -> int:
    """Lay drawn areas over the units' outlines, the newest alerts first; returns how many."""
    for done in range(most):
        async with pool.acquire() as conn, conn.transaction():
            if not await _lay_one(conn, units):
                return done
    return most


async def _lay_one(conn: Conn, units: UnitMap) -> bool:
    # The alert's row is held, for some milliseconds, so that nobody saves another area meanwhile.
    row = await conn.fetchrow(
        "SELECT s.alert_id, v.content -> 'area' AS area FROM alert_search s"
        " JOIN alert a USING (alert_id) JOIN alert_version v USING (alert_id, version)"
        " WHERE s.unit_ids IS NULL ORDER BY s.alert_id DESC LIMIT 1"
        " FOR SHARE OF a SKIP LOCKED",
    )
    if row is None:
        return False
    unit_ids = await _units_in(conn, units, row["area"])
    await search_row.put_units(conn, row["alert_id"], unit_ids)
    return True


async def _units_in(conn: Conn, units: UnitMap, area_json: dict[str, Any]) -> list[int]:
    """Return the lowest units in force that an area takes more than a sliver of."""
    try:
        area = Area.from_json(area_json)
        drawn = (await knowing(conn, units, named_units(area))).outlines
        return await asyncio.to_thread(_taken, area, drawn, units)
    except AreaError:
        # A draft whose area cannot be used yet covers nothing.
        return []


def _taken(area: Area, drawn: Outlines, units: UnitMap) -> list[int]:
    shape = area.shape(drawn)
    sliver = shape.area * _SLIVER
    return [
        units.ids[key]
        for key, share in taken_units(shape, units.outlines, share=0).items()
        # A small shape in a large unit is there, a large one that a small unit lies in too.
        if share > UNIT_SHARE or share * units.outlines.unit(key).area > sliver
    ]
