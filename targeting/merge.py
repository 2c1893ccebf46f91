"""Fewer drawn shapes: united where they touch, then joined across the narrowest gaps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from targeting.metric import buffered_line, circle, metres_per_degree, polygonal
from targeting.rings import DECIMALS, Rings, to_polygon
from targeting.shapes import Shapes, polygons_of

_FIRST_GAP_M = 10.0


def merged(include: Shapes, exclude: Shapes, most: int) -> tuple[Shapes, Shapes]:
    """Return all that is drawn as `most` polygons at most, covering what was included.

    Where uniting is not enough, gaps between what is included are filled, the narrowest first,
    and the smallest exclusions are dropped: more people are warned, never fewer.
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
    if shape.is_empty:
        return shape
    scale = np.array(metres_per_degree(shape.centroid.y))
    in_metres: BaseGeometry = shapely.transform(shape, lambda xy: xy * scale)
    filled, gap = in_metres, _FIRST_GAP_M
    while shapely.get_num_geometries(filled) > most:
        wide: BaseGeometry = in_metres.buffer(gap, quad_segs=2)
        filled = shapely.union_all([wide.buffer(-gap, quad_segs=2), in_metres])
        gap *= 2
    if filled is in_metres:
        return shape
    filled = shapely.transform(filled, lambda xy: xy / scale)
    return polygonal(shapely.set_precision(filled, 10**-DECIMALS))
