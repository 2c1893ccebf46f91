"""Fewer drawn shapes: united where they touch, then joined across the narrowest gaps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from targeting.metric import buffered_line, circle, metres_per_degree, polygonal
from targeting.rings import DECIMALS, Rings, to_polygon
from targeting.shapes import Shapes, polygons_of

_FIRST_REACH_M = 1.0
_HALF_BRIDGE_M = 5.0
"""A bridge adds as little as can be, and is still seen on a map."""


def merged(include: Shapes, exclude: Shapes, most: int) -> tuple[Shapes, Shapes]:
    """Return all that is drawn as `most` polygons at most, covering what was included.

    Where uniting is not enough, what is included is joined by narrow strips across the narrowest
    gaps, no more of them than needed, and the smallest exclusions are dropped: more people are
    warned, never fewer.
    """
    excluded = _united(exclude)
    largest = sorted(polygons_of(excluded), key=lambda rings: -to_polygon(rings).area)
    kept = tuple(largest[: most // 2])
    included = polygons_of(_joined(_united(include), most - len(kept)))
    return _drawn_as(include, included), _drawn_as(exclude, kept)


def _drawn_as(shapes: Shapes, polygons: tuple[Rings, ...]) -> Shapes:
    return replace(shapes, polygons=polygons, circles=(), lines=())


def _united(shapes: Shapes) -> BaseGeometry:
    drawn = [to_polygon(rings) for rings in shapes.polygons]
    drawn += [circle(*round_one) for round_one in shapes.circles]
    united = shapely.union_all([*drawn, *(buffered_line(*line) for line in shapes.lines)])
    return polygonal(shapely.set_precision(united, 10**-DECIMALS))


def _joined(shape: BaseGeometry, most: int) -> BaseGeometry:
    """Join the parts that are nearest to each other until there are `most`."""
    parts = np.asarray(shapely.get_parts(shape))
    if len(parts) <= most:
        return shape
    scale = np.array(metres_per_degree(shape.centroid.y))
    parts = shapely.transform(parts, lambda xy: xy * scale)
    reach = _FIRST_REACH_M
    while len(parts) > most:
        bridges = _bridges(parts, reach, len(parts) - most)
        if bridges:
            parts = np.asarray(shapely.get_parts(shapely.union_all([*parts, *bridges])))
        reach *= 2
    joined: BaseGeometry = shapely.transform(
        shapely.MultiPolygon(list(parts)), lambda xy: xy / scale
    )
    return polygonal(shapely.set_precision(joined, 10**-DECIMALS))


def _bridges(parts: NDArray[np.object_], reach: float, wanted: int) -> list[BaseGeometry]:
    """Return strips across the narrowest gaps up to `reach`, each between two that were apart."""
    one, other = shapely.STRtree(parts).query(parts, predicate="dwithin", distance=reach)
    one, other = one[one < other], other[one < other]
    nearest_first = np.argsort(shapely.distance(parts[one], parts[other]), kind="stable")
    # Whom each is joined to, in a chain that ends with who stands for all of them.
    joined_to = list(range(len(parts)))

    def stands_for(part: int) -> int:
        while joined_to[part] != part:
            joined_to[part] = joined_to[joined_to[part]]
            part = joined_to[part]
        return part

    bridges: list[BaseGeometry] = []
    for pair in nearest_first.tolist():
        ends = stands_for(int(one[pair])), stands_for(int(other[pair]))
        if len(bridges) == wanted:
            break
        if ends[0] != ends[1]:
            joined_to[ends[0]] = ends[1]
            gap = shapely.shortest_line(parts[one[pair]], parts[other[pair]])
            bridges.append(gap.buffer(_HALF_BRIDGE_M, quad_segs=2))
    return bridges
