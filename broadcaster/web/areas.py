"""The area of a published alert: its shape, its units, CAP's notation; worked out once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from shapely.geometry.base import BaseGeometry

from broadcaster.web.console.places import Covered, cover
from broadcaster.web.geography import Atlas, Geography
from broadcaster.web.kept import Kept
from broadcaster.web.published import Published
from targeting.area import Area, Shapes
from targeting.cap_shapes import CapArea
from targeting.errors import AreaError
from targeting.units import UnitKey


@dataclass(frozen=True, slots=True)
class Geocode:
    """A unit by its code, and from when on the code means this unit."""

    code: str
    vintage: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """An area on the map it was written for; without a shape when its units were never known."""

    shape: BaseGeometry | None
    units_shape: BaseGeometry | None
    """The part chosen as whole units and groups."""
    drawn_shape: BaseGeometry | None
    """The part drawn by hand."""
    covered: Covered
    cap: CapArea
    geocodes: tuple[Geocode, ...]
    group_codes: tuple[str, ...]


_areas: Kept[tuple[bytes, str], Drawn] = Kept(128)


async def atlas_of(geography: Geography, alert: Published) -> Atlas:
    """Return the units an alert was written for."""
    return await geography.atlas_for(alert.content.area, alert.document)


async def drawn(atlas: Atlas, alert: Published) -> Drawn:
    """Return an alert's area on the map of `atlas_of`."""
    key = alert.snapshot.content_hash, atlas.stamp
    found = _areas.find(key)
    return found or _areas.keep(key, await asyncio.to_thread(_draw, atlas, alert.content.area))


def _draw(atlas: Atlas, area_json: dict[str, object]) -> Drawn:
    area, outlines = Area.from_json(area_json), atlas.map.outlines
    groups = tuple(code for code in area.include.groups if code in outlines.groups)
    geocodes = _geocodes(area, atlas)
    try:
        shape = area.shape(outlines)
        chosen = Shapes(units=area.include.units, groups=area.include.groups)
        by_hand = area.include.drawn
        return Drawn(
            shape=shape,
            units_shape=_part(chosen, area, atlas),
            drawn_shape=_part(by_hand, area, atlas),
            covered=cover(atlas, area_json),
            cap=area.cap(outlines),
            geocodes=geocodes,
            group_codes=groups,
        )
    except AreaError:
        # Units this database never knew, of an alert brought here: their codes still say which.
        return Drawn(None, None, None, Covered(), CapArea((), ()), geocodes, groups)


def _part(shapes: Shapes, area: Area, atlas: Atlas) -> BaseGeometry | None:
    if not shapes:
        return None
    return Area(shapes, area.exclude).shape(atlas.map.outlines)


def _geocodes(area: Area, atlas: Atlas) -> tuple[Geocode, ...]:
    """Return the codes of whole units; none where something is excluded from them."""
    if area.exclude:
        return ()
    groups = atlas.map.outlines.groups
    keys: set[UnitKey] = set(area.include.units)
    for code in area.include.groups:
        keys |= set(groups[code].keys) if code in groups else set()
    return tuple(Geocode(key.code, key.vintage.isoformat()) for key in sorted(keys))
