"""The city's units for maps and for choosing: loaded once, looked at again when they change.

Alerts are drawn on the units they were written for, so former vintages are loaded when one asks.
"""

from __future__ import annotations

import asyncio
import gzip
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cached_property
from typing import Any

import orjson
import shapely

from broadcaster.alerts.draft import HANOI
from broadcaster.db import Conn, Pool
from broadcaster.people import units
from broadcaster.people.units import GroupRow, UnitMap, UnitRow
from broadcaster.web import i18n
from broadcaster.web.collation import spelled
from broadcaster.web.kept import Kept
from targeting.area import Area
from targeting.errors import AreaError
from targeting.units import UnitKey

_LOOK_AGAIN_S = 30.0
_VINTAGES = 6
"""How many are kept: the one in force and those that readers of old alerts ask for."""
_SIMPLIFY_DEGREES = 0.0003
"""About 30 metres: less than the width of a line at the scale of the whole city."""
_DECIMALS = 4
_FORMER = "former_district"


@dataclass(frozen=True)
class Atlas:
    """Units and groups of one vintage, as rows, as shapes and as what a browser draws."""

    stamp: str
    vintage: date | None
    """None while there are no units."""
    map: UnitMap
    units: dict[int, UnitRow]
    groups: tuple[GroupRow, ...]
    names: Mapping[int, tuple[str, str]]
    """Vietnamese and English, of units of every vintage."""

    def name(self, unit_id: int | None) -> str:
        """Return the name of a unit of any vintage in the language of this request."""
        names = self.names.get(unit_id) if unit_id is not None else None
        return names[i18n.language() == "en"] if names else ""

    def of(self, unit_ids: Iterable[int]) -> list[UnitRow]:
        """Return these units, the wider ones first, then by name."""
        order = {"city": 0, "district": 1, "town": 1, "ward": 2, "commune": 3, "township": 3}
        rows = [self.units[unit_id] for unit_id in unit_ids if unit_id in self.units]
        return sorted(rows, key=lambda row: (order[row.kind], spelled(row.name)))

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


def unit_name(unit: UnitRow) -> str:
    """Return a unit's name in the language of this request."""
    return unit.name_en if i18n.language() == "en" else unit.name


def group_name(group: GroupRow) -> str:
    """Return a group's name in the language of this request."""
    return group.name_en if i18n.language() == "en" else _vietnamese(group)


def _vietnamese(group: GroupRow) -> str:
    """Return a group's name in Vietnamese; the English one says by itself that it is former."""
    return f"{group.name} (cũ)" if group.kind == _FORMER else group.name


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
        "name": {"vi": _vietnamese(group), "en": group.name_en},
        "units": sorted(group.shares),
    }


class Geography:
    """Keeps atlases; asks the database at most twice a minute whether one changed."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._today: date | None = None
        self._today_looked = -math.inf
        self._atlases: Kept[date | None, Atlas] = Kept(_VINTAGES)
        self._looked: dict[date | None, float] = {}
        self._lock = asyncio.Lock()

    async def atlas(self, vintage: date | None = None) -> Atlas:
        """Return the units in force, or those of another vintage."""
        async with self._lock:
            if _is_old(self._today_looked):
                async with self._pool.acquire() as conn:
                    self._today = await units.vintage_on(conn)
                self._today_looked = time.monotonic()
            asked = vintage or self._today
            found = self._atlases.find(asked)
            if found is None or _is_old(self._looked[asked]):
                async with self._pool.acquire() as conn:
                    found = self._atlases.keep(asked, await _fresh(conn, asked, found))
                self._looked[asked] = time.monotonic()
            return found

    async def atlas_for(
        self, area_json: dict[str, Any], approved: Mapping[str, Any] | None = None
    ) -> Atlas:
        """Return the units an area was written for: what it names, else what was in force then.

        `approved` is the document of an approved alert; without it the area is a draft's.
        """
        try:
            keys = units.named_units(Area.from_json(area_json))
        except AreaError:
            return await self.atlas()
        atlas = await self.atlas(await self._vintage(keys, approved))
        if all(key in atlas.map.ids for key in keys):
            return atlas
        async with self._pool.acquire() as conn:
            return replace(atlas, map=await units.knowing(conn, atlas.map, keys))

    async def _vintage(
        self, keys: Iterable[UnitKey], approved: Mapping[str, Any] | None
    ) -> date | None:
        named = max((key.vintage for key in keys), default=None)
        if named is not None or approved is None:
            return named
        if approved.get("vintage"):
            return date.fromisoformat(approved["vintage"])
        # Approved before documents said so.
        day = datetime.fromisoformat(approved["approved_at"]).astimezone(HANOI).date()
        async with self._pool.acquire() as conn:
            return await units.vintage_on(conn, day)


def _is_old(looked: float) -> bool:
    return time.monotonic() - looked > _LOOK_AGAIN_S


async def _fresh(conn: Conn, vintage: date | None, before: Atlas | None) -> Atlas:
    stamp = await units.map_stamp(conn, vintage)
    if before is not None and before.stamp == stamp:
        return before
    rows = await units.units_of(conn, vintage)
    return Atlas(
        stamp,
        vintage,
        await units.load_map(conn, vintage),
        {row.unit_id: row for row in rows},
        tuple(await units.groups_of(conn, vintage)),
        await units.names_of_all(conn),
    )
