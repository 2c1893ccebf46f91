"""The city's units for maps and for choosing: loaded once, looked at again when they change."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson
import shapely

from broadcaster.db import Conn, Pool
from broadcaster.people import units
from broadcaster.people.units import GroupRow, UnitMap, UnitRow
from broadcaster.web import i18n

_LOOK_AGAIN_S = 30.0
_SIMPLIFY_DEGREES = 0.0003
"""About 30 metres: less than the width of a line at the scale of the whole city."""
_DECIMALS = 4


@dataclass(frozen=True)
class Atlas:
    """Units and groups in force, as rows, as shapes and as what a browser draws."""

    stamp: str
    map: UnitMap
    units: dict[int, UnitRow]
    groups: tuple[GroupRow, ...]

    def name(self, unit_id: int | None) -> str:
        """Return a unit's name in the language of this request."""
        row = self.units.get(unit_id) if unit_id is not None else None
        return unit_name(row) if row else ""

    def of(self, unit_ids: Iterable[int]) -> list[UnitRow]:
        """Return these units, the wider ones first, then by name."""
        order = {"city": 0, "district": 1, "ward": 2, "commune": 3}
        rows = [self.units[unit_id] for unit_id in unit_ids if unit_id in self.units]
        return sorted(rows, key=lambda row: (order[row.kind], row.name))

    def _home_group(self, unit_id: int) -> str | None:
        """Return the group that holds most of a unit: the one a click on it means."""
        held = [
            (group.shares[unit_id], group.code) for group in self.groups if unit_id in group.shares
        ]
        return max(held)[1] if held else None

    @cached_property
    def packed(self) -> bytes:
        """Return the GeoJSON of the lowest units, compressed."""
        keys = self.map.outlines.lowest
        shapes = shapely.simplify(self.map.outlines.lowest_shapes, _SIMPLIFY_DEGREES)
        features = [
            _feature(self.units[self.map.ids[key]], shape, self._home_group(self.map.ids[key]))
            for key, shape in zip(keys, shapes, strict=True)
        ]
        document = {
            "type": "FeatureCollection",
            "features": features,
            "approximate": self.map.approximate,
            "groups": [_group(group) for group in self.groups],
        }
        return gzip.compress(orjson.dumps(document), 6, mtime=0)


def unit_name(unit: UnitRow | GroupRow) -> str:
    """Return a unit's or group's name in the language of this request."""
    return unit.name_en if i18n.language() == "en" else unit.name


def _feature(unit: UnitRow, shape: Any, group: str | None) -> dict[str, Any]:
    rounded = shapely.transform(shape, lambda xy: xy.round(_DECIMALS))
    return {
        "type": "Feature",
        "id": unit.unit_id,
        "geometry": rounded.__geo_interface__,
        "properties": {
            "code": unit.code,
            "vintage": unit.vintage.isoformat(),
            "name": {"vi": unit.name, "en": unit.name_en},
            "kind": unit.kind,
            "population": unit.population,
            "group": group,
            "at": [round(unit.lon, _DECIMALS), round(unit.lat, _DECIMALS)],
        },
    }


def _group(group: GroupRow) -> dict[str, Any]:
    return {
        "code": group.code,
        "name": {"vi": group.name, "en": group.name_en},
        "units": sorted(group.shares),
    }


class Geography:
    """Keeps the current atlas; asks the database at most twice a minute whether it changed."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._atlas: Atlas | None = None
        self._looked = 0.0
        self._lock = asyncio.Lock()

    async def atlas(self) -> Atlas:
        """Return the units in force."""
        async with self._lock:
            if self._atlas is None or time.monotonic() - self._looked > _LOOK_AGAIN_S:
                async with self._pool.acquire() as conn:
                    await self._refresh(conn)
                self._looked = time.monotonic()
            if self._atlas is None:
                raise RuntimeError("the atlas was not loaded")
            return self._atlas

    async def _refresh(self, conn: Conn) -> None:
        stamp = await units.map_stamp(conn)
        if self._atlas is None or stamp != self._atlas.stamp:
            rows = await units.units_in_force(conn)
            self._atlas = Atlas(
                stamp,
                await units.load_map(conn),
                {row.unit_id: row for row in rows},
                tuple(await units.groups_in_force(conn)),
            )
