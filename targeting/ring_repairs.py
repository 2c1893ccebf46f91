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

MOST_CROSSINGS = 5_000
"""A slip of the hand crosses once, a careless export some hundred times."""
_PAIRS = 1_000_000
"""Pairs of a point and a segment that are looked at together."""
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
    if not _is_whole(rings) or any(map(is_tangled, rings)):
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
    """Cut a polygon where it crosses itself, keeping what is inside as it was drawn.

    A tangle stays as it is: it has to be drawn again.
    """
    if not _is_whole(rings) or shapely.is_valid(to_polygon(rings)):
        return [rings]
    if any(map(is_tangled, rings)):
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
    """Return what a polygon shows on a map, whatever is wrong with it; of a tangle nothing."""
    (closed,) = close(tuple(ring for ring in rings if ring))
    usable = [ring for ring in closed if not encloses_nothing(ring)]
    if not usable or usable[0] is not closed[0] or any(map(is_tangled, usable)):
        return Polygon()
    return polygonal(shapely.intersection(_drawn(tuple(usable)), _EARTH))


def inside(ring: Points) -> BaseGeometry:
    """Return what a closed ring surrounds an odd number of times."""
    xy = np.array(ring)
    shape = Polygon(xy)
    if shapely.is_valid(shape):
        return shape
    # GEOS's own make_valid takes minutes for what a hundred points can tangle; this a moment.
    noded = shapely.union_all(_segments(xy))
    faces = shapely.get_parts(shapely.polygonize(shapely.get_parts(noded)))
    odd = _surrounded(shapely.get_coordinates(shapely.point_on_surface(faces)), xy) % 2 == 1
    return polygonal(shapely.union_all(faces[odd]))


def _segments(xy: NDArray[np.float64]) -> NDArray[np.object_]:
    pairs = np.stack((xy[:-1], xy[1:]), axis=1)
    return np.asarray(shapely.linestrings(pairs[(pairs[:, 0] != pairs[:, 1]).any(axis=1)]))


def _surrounded(points: NDArray[np.float64], xy: NDArray[np.float64]) -> NDArray[np.int64]:
    """Count for each point the segments of the ring that lie east of it."""
    (x0, y0), (x1, y1) = xy[:-1].T, xy[1:].T
    level = y0 == y1
    slope = (x1 - x0) / np.where(level, 1.0, y1 - y0)
    counted = np.empty(len(points), dtype=np.int64)
    step = max(1, _PAIRS // len(xy))
    for start in range(0, len(points), step):
        x, y = points[start : start + step].T[..., None]
        passes = ((y0 > y) != (y1 > y)) & (x < x0 + (y - y0) * slope)
        counted[start : start + step] = passes.sum(axis=1)
    return counted


def is_tangled(ring: Points) -> bool:
    """Tell whether a ring crosses itself too often for anybody to have meant anything by it."""
    segments = _segments(np.array(ring))
    tree, met = shapely.STRtree(segments), 0
    step = max(1, _PAIRS // max(1, len(segments)))
    for start in range(0, len(segments), step):
        some = segments[start : start + step]
        # Each meets itself and the two beside it.
        met += len(tree.query(some, predicate="intersects")[0]) - 3 * len(some)
        if met > 2 * MOST_CROSSINGS:
            return True
    return False


def _drawn(rings: Rings) -> BaseGeometry:
    holes = shapely.union_all([inside(hole) for hole in rings[1:]])
    return polygonal(shapely.difference(inside(rings[0]), holes))
