"""Repairs of one polygon as it was drawn: each takes its rings and returns the polygons it becomes.

A ring means what is seen on the map: inside is what an odd number of its lines surrounds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import Polygon
from shapely.geometry.base import BaseGeometry

from targeting.metric import polygonal
from targeting.rings import DECIMALS, Point, Rings, encloses_nothing, rewound, to_polygon
from targeting.shapes import polygons_of

_EARTH = shapely.box(-180, -90, 180, 90)

Points = tuple[Point, ...]


def in_range(points: Sequence[Point]) -> NDArray[np.bool_]:
    """Tell which positions are on Earth."""
    lon, lat = np.abs(np.array(points, dtype=np.float64).reshape(-1, 2)).T
    return np.asarray((lon <= 180) & (lat <= 90))


def swapped(points: Sequence[Point]) -> Points:
    """Return all positions with longitude and latitude the other way."""
    return tuple(point[::-1] for point in points)


def swapped_where_needed(points: Sequence[Point]) -> Points:
    """Swap all positions where that puts all on Earth, otherwise only those it puts there."""
    off = ~in_range(points)
    turned = swapped(points)
    if not off.any():
        return tuple(points)
    if in_range(turned).all():
        return turned
    helps = off & in_range(turned)
    return tuple(
        turn if wrong else point for point, turn, wrong in zip(points, turned, helps, strict=True)
    )


def on_earth(points: Points) -> Points:
    """Return the positions that are on Earth."""
    return tuple(point for point, right in zip(points, in_range(points), strict=True) if right)


def distinct(points: Points) -> Points:
    """Return the positions without repeats in a row."""
    return tuple(
        point for number, point in enumerate(points) if number == 0 or point != points[number - 1]
    )


def swap(rings: Rings) -> list[Rings]:
    """Swap longitude and latitude where they are not on Earth as they are."""
    together = swapped_where_needed([point for ring in rings for point in ring])
    ends = np.cumsum([len(ring) for ring in rings])
    return [tuple(together[end - len(ring) : end] for ring, end in zip(rings, ends, strict=True))]


def swap_all(rings: Rings) -> list[Rings]:
    """Swap longitude and latitude of every position."""
    return [tuple(swapped(ring) for ring in rings)]


def drop_points(rings: Rings) -> list[Rings]:
    """Drop positions that are not on Earth."""
    return [tuple(on_earth(ring) for ring in rings)]


def close(rings: Rings) -> list[Rings]:
    """Join the last point of each ring to the first."""
    return [tuple(ring if ring[:1] == ring[-1:] else (*ring, ring[0]) for ring in rings)]


def drop_duplicates(rings: Rings) -> list[Rings]:
    """Drop points that repeat the one before."""
    return [tuple(distinct(ring) for ring in rings)]


def drop_empty(rings: Rings) -> list[Rings]:
    """Drop rings that enclose nothing: a hole alone, a polygon with its outer ring."""
    if encloses_nothing(rings[0]):
        return []
    return [(rings[0], *(hole for hole in rings[1:] if not encloses_nothing(hole)))]


def drop_holes(rings: Rings) -> list[Rings]:
    """Drop holes that take nothing from the polygon, or nothing another does not take."""
    if not _is_whole(rings):
        return [rings]
    shell = inside(rings[0])
    holes = [(ring, inside(ring)) for ring in rings[1:]]
    # The largest first: one of two equal holes stays.
    holes.sort(key=lambda hole: -hole[1].area)
    kept: list[tuple[Points, BaseGeometry]] = []
    for ring, hole in holes:
        takes = shapely.intersection(hole, shell).area > 0
        if takes and not any(other.covers(hole) for _, other in kept):
            kept.append((ring, hole))
    rest = {ring for ring, _ in kept}
    return [(rings[0], *(ring for ring in dict.fromkeys(rings[1:]) if ring in rest))]


def uncross(rings: Rings) -> list[Rings]:
    """Cut a polygon where it crosses itself, keeping what is inside as it was drawn."""
    if not _is_whole(rings) or shapely.is_valid(to_polygon(rings)):
        return [rings]
    exact = shapely.set_precision(_drawn(rings), 10**-DECIMALS)
    return list(polygons_of(polygonal(exact)))


def rewind(rings: Rings) -> list[Rings]:
    """Turn rings the way RFC 7946 wants them."""
    return [rewound(rings) if _is_whole(rings) else rings]


def _is_whole(rings: Rings) -> bool:
    """Tell whether all rings are closed, around something, on Earth."""
    return all(
        ring[:1] == ring[-1:] and not encloses_nothing(ring) and in_range(ring).all()
        for ring in rings
    )


def as_drawn(rings: Rings) -> BaseGeometry:
    """Return what a polygon shows on a map, whatever is wrong with it."""
    (closed,) = close(tuple(ring for ring in rings if ring))
    usable = [ring for ring in closed if not encloses_nothing(ring)]
    if not usable or usable[0] is not closed[0]:
        return Polygon()
    return polygonal(shapely.intersection(_drawn(tuple(usable)), _EARTH))


def inside(ring: Points) -> BaseGeometry:
    """Return what a closed ring surrounds an odd number of times."""
    return polygonal(shapely.make_valid(Polygon(np.array(ring))))


def _drawn(rings: Rings) -> BaseGeometry:
    holes = shapely.union_all([inside(hole) for hole in rings[1:]])
    return polygonal(shapely.difference(inside(rings[0]), holes))
