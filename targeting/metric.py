"""Metres and square kilometres for shapes given in degrees of longitude and latitude (WGS 84)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import Polygon
from shapely.geometry.base import BaseGeometry

SEMI_MAJOR_M = 6_378_137.0
ECCENTRICITY_SQUARED = 0.006_694_379_990_14
CIRCLE_CORNERS = 128
# A line is widened piece by piece. A degree of longitude is 0.07 % longer at one end of a piece
# than at the other, here; and a tangled line of many points would take minutes and gigabytes.
PIECE_DEGREES = 0.1
PIECE_POINTS = 16
# Points of a line are left out where they change its border by less than this part of its width.
FINENESS = 0.001
_FARTHEST_NORTH = 89.9
# Stretches of one edge: more than fit round the Earth come from what is no position.
_FARTHEST = 10_000
_VIETNAMESE_SIGNS = str.maketrans(".,", ",.")


def metres_per_degree(lat: float) -> tuple[float, float]:
    """Return the length in metres of one degree of longitude and one of latitude at `lat`."""
    east, north = _metres_per_degree(np.array(lat))
    return float(east), float(north)


def _metres_per_degree(lat: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    phi = np.radians(lat)
    curvature = 1 - ECCENTRICITY_SQUARED * np.sin(phi) ** 2
    east = np.cos(phi) * SEMI_MAJOR_M / np.sqrt(curvature)
    north = SEMI_MAJOR_M * (1 - ECCENTRICITY_SQUARED) / curvature**1.5
    return np.radians(east), np.radians(north)


def area_km2(shape: BaseGeometry) -> float:
    """Return the area of a city-sized shape, to about one part in a thousand."""
    if shape.is_empty:
        return 0.0
    east, north = metres_per_degree(shape.centroid.y)
    return shape.area * east * north / 1e6


def said_km2(value: float, lang: str) -> str:
    """Write an area as people read it in a language: 0,02 or 12,3 or 1.234 in Vietnamese.

    Two digits that say something, and never 0 for what is there.
    """
    digits = 3 if value < 0.1 else 2 if value < 10 else 1 if value < 100 else 0
    text = f"{value:,.{digits}f}"
    if digits:
        text = text.rstrip("0").rstrip(".")
    return text.translate(_VIETNAMESE_SIGNS) if lang == "vi" else text


def change_km2(before: BaseGeometry, after: BaseGeometry) -> tuple[float, float]:
    """Return the area added and the area dropped between two shapes, to a square metre."""
    # By what they share: that is one overlay instead of two, and the cheapest.
    kept = shapely.intersection(before, after).area
    larger = max((before, after), key=lambda shape: shape.area)
    if larger.is_empty:
        return 0.0, 0.0
    east, north = metres_per_degree(larger.centroid.y)
    added, dropped = (
        round((shape.area - kept) * east * north / 1e6, 6) for shape in (after, before)
    )
    # In this order a zero has no sign.
    return max(0.0, added), max(0.0, dropped)


def circle(lon: float, lat: float, metres: float) -> Polygon:
    """Return a polygon that holds the whole circle.

    Its edges touch the circle from outside: nobody within `metres` is left out, and the corners
    overshoot by 0.03 %.
    """
    # What the Earth's curve takes off a circle of hundreds of kilometres: metres.
    curve = 1 + (metres / SEMI_MAJOR_M) ** 2 / 20
    reach = metres * curve / math.cos(math.pi / CIRCLE_CORNERS)
    turns = np.linspace(0, 2 * math.pi, CIRCLE_CORNERS, endpoint=False)
    # Each corner by the scale half-way to it: a large circle is not of one scale.
    _, north = _metres_per_degree(lat + reach / 2 / metres_per_degree(lat)[1] * np.sin(turns))
    lats = np.clip(lat + reach / north * np.sin(turns), -_FARTHEST_NORTH, _FARTHEST_NORTH)
    east, _ = _metres_per_degree((lat + lats) / 2)
    return Polygon(np.column_stack((lon + reach / east * np.cos(turns), lats)))


def buffered_line(points: Sequence[tuple[float, float]], metres: float) -> BaseGeometry:
    """Return a shape that holds everything within `metres` of a line, with round ends.

    Nobody within `metres` is left out; it is wider than asked by 0.3 % at most, here.
    """
    simple = _thinned(points, metres)
    reach = metres * (1 + FINENESS) / math.cos(math.pi / CIRCLE_CORNERS)
    return shapely.union_all([_strip(piece, reach) for piece in _pieces(simple)])


def line_stretches(points: Sequence[tuple[float, float]], metres: float) -> int:
    """Return how many points a line has when it is widened: bends, and cuts of long stretches."""
    thin = shapely.get_coordinates(_thinned(points, metres))
    spans = np.hypot(*np.diff(thin, axis=0).T)
    return int(np.ceil(np.minimum(spans / PIECE_DEGREES, _FARTHEST)).sum()) + 1


def _thinned(points: Sequence[tuple[float, float]], metres: float) -> BaseGeometry:
    return shapely.simplify(
        shapely.LineString(points),
        FINENESS * metres / metres_per_degree(0)[0],
        preserve_topology=False,
    )


def _strip(piece: NDArray[np.float64], reach: float) -> BaseGeometry:
    """Return what is within `reach` metres of a short line, by the scale that makes it widest."""
    lats = np.abs(piece[:, 1])
    margin = reach / metres_per_degree(0)[1]
    east, _ = metres_per_degree(min(float(lats.max()) + margin, _FARTHEST_NORTH))
    _, north = metres_per_degree(max(float(lats.min()) - margin, 0))
    scale = np.array([east, north])
    strip = shapely.LineString(piece * scale).buffer(reach, quad_segs=CIRCLE_CORNERS // 4)
    return shapely.transform(strip, lambda xy: xy / scale)


def _pieces(line: BaseGeometry) -> Iterator[NDArray[np.float64]]:
    """Cut a line into pieces of PIECE_POINTS that span at most PIECE_DEGREES of latitude."""
    xy = shapely.get_coordinates(shapely.segmentize(line, PIECE_DEGREES))
    lats = xy[:, 1].tolist()
    start, low, high = 0, lats[0], lats[0]
    for number, lat in enumerate(lats):
        full = number - start == PIECE_POINTS
        wide = number - start > 1 and max(high, lat) - min(low, lat) > PIECE_DEGREES
        if full or wide:
            yield xy[start:number]
            start, low, high = number - 1, lats[number - 1], lats[number - 1]
        low, high = min(low, lat), max(high, lat)
    yield xy[start:]


def polygonal(shape: BaseGeometry) -> BaseGeometry:
    """Return only the parts of `shape` that have an area: overlays leave lines and points."""
    if shape.geom_type in ("Polygon", "MultiPolygon"):
        return shape
    parts = [p for p in shapely.get_parts(shape) if p.geom_type in ("Polygon", "MultiPolygon")]
    return shapely.union_all(parts) if parts else Polygon()
