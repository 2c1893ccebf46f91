"""Outlines of units: drawn approximately from the facts, or given; and what is made of them."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from functools import cached_property

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import Polygon
from shapely.geometry.base import BaseGeometry

from targeting.errors import AreaError, problem
from targeting.metric import metres_per_degree, polygonal
from targeting.units import Group, Unit, UnitKey, leaves

# A unit reaches this many times the radius of the circle that has its area; bays between the
# reaches narrower than twice GAP_METRES belong to the city too. For Hanoi this covers 99 % of the
# real city in one piece, with a tenth of its area too much around it.
REACH = 1.2
GAP_METRES = 2_000.0
# 1e-5 degree is about a metre, and the precision people's coordinates have.
PRECISION_DEGREES = 1e-5


def draw_outlines(units: Iterable[Unit]) -> dict[UnitKey, BaseGeometry]:
    """Draw approximate outlines of the lowest units from their centroids and areas.

    Each is the Voronoi cell of the centroid, clipped by how far the units reach. Gaps inside
    the city are filled, and neighbours share their border point by point.
    """
    known = leaves(units)
    if not known:
        return {}
    east, north = metres_per_degree(float(np.mean([u.lat for u in known])))
    scale = np.array([east, north])
    sites = np.array([[u.lon, u.lat] for u in known]) * scale
    reaches = [REACH * math.sqrt(u.area_km2 * 1e6 / math.pi) for u in known]
    cells = _voronoi(sites, margin=max(reaches))
    reached = [
        cell.intersection(shapely.Point(site).buffer(reach))
        for cell, site, reach in zip(cells, sites, reaches, strict=True)
    ]
    city = _without_holes(shapely.union_all(reached).buffer(GAP_METRES).buffer(-GAP_METRES))
    lines = [polygonal(cell.intersection(city)).boundary for cell in cells]
    in_degrees = shapely.transform(np.array(lines), lambda xy: xy / scale)
    # Snapping all borders at once puts every meeting point on both neighbours.
    noded = shapely.union_all(in_degrees, grid_size=PRECISION_DEGREES)
    faces = shapely.get_parts(shapely.polygonize(shapely.get_parts(noded)))
    inside = shapely.get_coordinates(shapely.point_on_surface(faces)) * scale
    nearest = shapely.STRtree(shapely.points(sites)).nearest(shapely.points(inside))
    return {
        unit.key: shapely.union_all(faces[nearest == number]) for number, unit in enumerate(known)
    }


def _voronoi(sites: NDArray[np.float64], margin: float) -> list[BaseGeometry]:
    if len(sites) == 1:
        return [shapely.Point(sites[0]).buffer(2 * margin)]
    frame = shapely.box(*sites.min(axis=0), *sites.max(axis=0)).buffer(2 * margin)
    cells = shapely.voronoi_polygons(shapely.multipoints(sites), extend_to=frame, ordered=True)
    return list(shapely.get_parts(cells))


def _without_holes(shape: BaseGeometry) -> BaseGeometry:
    parts = shapely.get_parts(shape)
    return shapely.union_all([Polygon(part.exterior) for part in parts])


class Outlines:
    """Units, groups and their shapes: the map every area is drawn on."""

    def __init__(
        self,
        units: Iterable[Unit],
        groups: Iterable[Group],
        geometry: Mapping[UnitKey, BaseGeometry],
    ) -> None:
        """Take units, groups, and a shape for at least every lowest unit."""
        self.units = {unit.key: unit for unit in units}
        self.groups = {group.code: group for group in groups}
        lacking = [unit.key for unit in leaves(self.units.values()) if unit.key not in geometry]
        if lacking:
            raise AreaError(
                problem("unknown_unit", "outlines", unit=key.code, vintage=key.vintage)
                for key in lacking
            )
        self._geometry = dict(geometry)
        self._groups: dict[str, BaseGeometry] = {}

    @classmethod
    def drawn(cls, units: Iterable[Unit], groups: Iterable[Group]) -> Outlines:
        """Return outlines drawn approximately from the facts."""
        known = list(units)
        return cls(known, groups, draw_outlines(known))

    def knowing(self, units: Iterable[Unit], geometry: Mapping[UnitKey, BaseGeometry]) -> Outlines:
        """Return these outlines able to draw more units, with a shape for each of them.

        They may be of other vintages. An area may name them; they are not among `lowest`, so
        nobody lives in them.
        """
        # Worked out before they join: what is kept from now on is shared with the new object.
        _ = self.lowest_shapes
        wider = copy.copy(self)
        wider.units = {unit.key: unit for unit in units} | self.units
        wider._geometry = {**geometry, **self._geometry}
        wider._groups = dict(self._groups)
        return wider

    @cached_property
    def lowest(self) -> tuple[UnitKey, ...]:
        """Return the keys of the lowest units, in order of code: people live in these."""
        return tuple(unit.key for unit in leaves(self.units.values()))

    @cached_property
    def lowest_shapes(self) -> NDArray[np.object_]:
        """Return the shapes of the lowest units, in the order of `lowest`."""
        shapes = np.empty(len(self.lowest), dtype=object)
        shapes[:] = [self._geometry[key] for key in self.lowest]
        return shapes

    @cached_property
    def whole(self) -> BaseGeometry:
        """Return the union of all: the city."""
        return shapely.union_all(self.lowest_shapes)

    def unit(self, key: UnitKey) -> BaseGeometry:
        """Return the shape of a unit; that of a parent is the union of what it is made of."""
        known = self._geometry.get(key)
        if known is not None:
            return known
        if key not in self.units:
            raise AreaError([problem("unknown_unit", "units", unit=key.code, vintage=key.vintage)])
        parts = [
            self.unit(unit.key)
            for unit in self.units.values()
            if (unit.parent_code, unit.vintage) == key
        ]
        self._geometry[key] = shapely.union_all(parts)
        return self._geometry[key]

    def group(self, code: str) -> BaseGeometry:
        """Return the shape of a group: all of every member, whatever its share.

        A member that is only partly in the group is taken whole: warning neighbours is the smaller
        mistake than leaving out people who know themselves as living there.
        """
        if code not in self._groups:
            if code not in self.groups:
                raise AreaError([problem("unknown_group", "groups", group=code)])
            members = [self.unit(key) for key in self.groups[code].keys]
            self._groups[code] = shapely.union_all(members)
        return self._groups[code]
