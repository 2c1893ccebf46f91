"""Polygons as they are drawn or uploaded: read from GeoJSON coordinates, and checked."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import Polygon

from targeting.errors import AreaProblem, problem

Point: TypeAlias = tuple[float, float]
Rings: TypeAlias = tuple[tuple[Point, ...], ...]

# A tenth of a metre: finer digits come from the screen, not from anybody's intention.
DECIMALS = 6
MAX_POLYGONS = 1_000
MAX_POINTS = 50_000
# Beyond this a number is no coordinate, and rounding by array could overflow.
_MOST_DEGREES = 1e9
# Metres of a map projection here have six digits, mistyped degrees fewer.
_LEAST_METRES = 100_000
_PLACE = re.compile(r"\[(\S+) (\S+)\]")


class Malformed(ValueError):  # noqa: N818 - it is caught and turned into a problem right away
    """Coordinates are not numbers in the nesting that GeoJSON prescribes."""


def read_rings(coordinates: object) -> Rings:
    """Read the coordinates of one GeoJSON Polygon."""
    if not isinstance(coordinates, list | tuple) or not coordinates:
        raise Malformed("coordinates")
    return tuple(read_ring(ring) for ring in coordinates)


def read_ring(ring: object) -> tuple[Point, ...]:
    """Read the positions of a ring or a line."""
    if not isinstance(ring, list | tuple):
        raise Malformed("ring")
    if _is_plain(ring):
        # Ten times faster than point by point, which counts at 50,000 of them.
        array = _array(ring)
        if array.size and np.abs(array).max() < _MOST_DEGREES:
            return tuple(zip(*np.round(array[:, :2], DECIMALS).T.tolist(), strict=True))
    return tuple(read_point(point) for point in ring)


def _array(ring: Sequence[Any]) -> NDArray[np.float64]:
    try:
        return np.array(ring, dtype=np.float64)
    except OverflowError as error:
        raise Malformed("number") from error


def _is_plain(ring: Sequence[Any]) -> bool:
    """Tell whether a ring is a list of lists of two or of three plain numbers."""
    return (
        set(map(type, ring)) <= {list, tuple}
        and set(map(len, ring)) in ({2}, {3})
        and set(map(type, chain.from_iterable(ring))) <= {int, float}
    )


def read_point(point: object) -> Point:
    """Read one GeoJSON position; a height is dropped."""
    if not isinstance(point, list | tuple) or len(point) < 2:
        raise Malformed("position")
    return read_number(point[0]), read_number(point[1])


def read_number(value: object) -> float:
    """Read a finite number, rounded to `DECIMALS`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Malformed("number")
    try:
        number = float(value)
    except OverflowError as error:
        raise Malformed("number") from error
    if not math.isfinite(number):
        raise Malformed("number")
    return round(number, DECIMALS)


def read_geometry(geometry: object) -> list[Rings]:
    """Read a GeoJSON Polygon or MultiPolygon as a list of polygons."""
    if not isinstance(geometry, dict):
        raise Malformed("geometry")
    if geometry.get("type") == "Polygon":
        return [read_rings(geometry.get("coordinates"))]
    parts = geometry.get("coordinates")
    if geometry.get("type") != "MultiPolygon" or not isinstance(parts, list | tuple):
        raise Malformed("geometry")
    return [read_rings(part) for part in parts]


def read_lines(geometry: object) -> list[tuple[Point, ...]]:
    """Read a GeoJSON LineString or MultiLineString as a list of lines."""
    if not isinstance(geometry, dict):
        raise Malformed("geometry")
    if geometry.get("type") == "LineString":
        return [read_ring(geometry.get("coordinates"))]
    parts = geometry.get("coordinates")
    if geometry.get("type") != "MultiLineString" or not isinstance(parts, list | tuple):
        raise Malformed("geometry")
    return [read_ring(part) for part in parts]


def to_polygon(rings: Rings) -> Polygon:
    """Return the shape of checked rings."""
    return Polygon(np.array(rings[0]), [np.array(hole) for hole in rings[1:]])


def rings_of(shape: Polygon) -> Rings:
    """Return the rings of a shape, rounded to `DECIMALS` and wound as RFC 7946 wants them."""
    rings = (shape.exterior, *shape.interiors)
    return rewound(read_rings([list(map(tuple, ring.coords)) for ring in rings]))


def rewound(rings: Rings) -> Rings:
    """Return closed rings as RFC 7946 wants them: the outer anticlockwise, holes clockwise."""
    return tuple(
        ring if _runs_anticlockwise(ring) is (number == 0) else ring[::-1]
        for number, ring in enumerate(rings)
    )


def _runs_anticlockwise(ring: tuple[Point, ...]) -> bool:
    return bool(shapely.is_ccw(shapely.linearrings(np.array(ring))))


def count_points(polygons: Iterable[Rings]) -> int:
    """Return the number of points of all rings."""
    return sum(len(ring) for rings in polygons for ring in rings)


def polygon_problems(rings: Rings, where: str) -> list[AreaProblem]:
    """Return what keeps one polygon from being used; no repair is made."""
    found = [p for n, ring in enumerate(rings) for p in _ring_problems(ring, f"{where}.rings[{n}]")]
    if found:
        return found
    reason = shapely.is_valid_reason(to_polygon(rings))
    if reason == "Valid Geometry":
        return []
    place = _PLACE.search(reason)
    look_at = (float(place[1]), float(place[2])) if place else rings[0][0]
    code = _code_of(reason)
    number, index = _nearest_edge(rings, look_at)
    place_in_it = f"{where}.rings[{number}]" + ("" if code == "bad_hole" else f"[{index}]")
    return [problem(code, place_in_it, look_at, at=format_point(look_at))]


def polygon_advice(rings: Rings, where: str) -> list[AreaProblem]:
    """Return what is worth mending in a polygon that can be used all the same."""
    found = [
        p for n, ring in enumerate(rings) for p in repeat_problems(ring, f"{where}.rings[{n}]")
    ]
    found += [
        problem("wrong_winding", f"{where}.rings[{n}]", ring[0], at=format_point(ring[0]))
        for n, (ring, right) in enumerate(zip(rings, rewound(rings), strict=True))
        if ring is not right
    ]
    return found


def _code_of(reason: str) -> str:
    if "Too few points" in reason:
        return "too_few_points"
    if "Hole" in reason or "Nested" in reason:
        return "bad_hole"
    return "self_crossing"


def _nearest_edge(rings: Rings, at: Point) -> tuple[int, int]:
    """Return the ring with the edge nearest to a place, and the number of that edge."""
    point = shapely.Point(at)
    nearest = []
    for number, ring in enumerate(rings):
        xy = np.array(ring)
        edges = shapely.linestrings(np.stack((xy[:-1], xy[1:]), axis=1))
        away = np.asarray(shapely.distance(edges, point))
        index = int(np.argmin(away))
        nearest.append((float(away[index]), number, index))
    _, number, index = min(nearest)
    return number, index


def encloses_nothing(ring: tuple[Point, ...]) -> bool:
    """Tell whether the points of a ring are too few, or in one line."""
    if len(set(ring)) < 3:
        return True
    xy = np.array(ring)
    # Numbers of a file may be anything: by a power of two they become small without being rounded,
    # so neither a difference nor a product of two is too large for a number.
    small = np.ldexp(xy, -np.frexp(np.abs(xy).max())[1] - 1)
    from_first = small - small[0]
    far_x, far_y = from_first[np.argmax(np.hypot(*from_first.T))]
    return not np.any(from_first[:, 0] * far_y - from_first[:, 1] * far_x)


def _ring_problems(ring: tuple[Point, ...], where: str) -> list[AreaProblem]:
    if encloses_nothing(ring):
        return [problem("too_few_points", where, ring[0] if ring else None)]
    found = position_problems(ring, where)
    if ring[0] != ring[-1]:
        found.append(problem("unclosed_ring", where, ring[-1], at=format_point(ring[-1])))
    return found


def position_problems(points: Sequence[Point], where: str) -> list[AreaProblem]:
    """Return which positions are not on Earth: one problem of a kind, at the first of them."""
    lon, lat = np.abs(np.array(points)).T
    off = (lon > 180) | (lat > 90)
    if (np.minimum(lon, lat) > _LEAST_METRES).all():
        # To drop them all mends nothing: the file lacks its coordinate system.
        return [problem("metres", f"{where}[0]", count=len(points), at=format_point(points[0]))]
    swapped = off & (lat <= 180) & (lon <= 90)
    found = []
    for code, wrong in (("swapped", swapped), ("out_of_range", off & ~swapped)):
        numbers = np.flatnonzero(wrong)
        if len(numbers):
            first = points[numbers[0]]
            found.append(
                problem(
                    code,
                    f"{where}[{numbers[0]}]",
                    first[::-1] if code == "swapped" else None,
                    count=len(numbers),
                    at=format_point(first),
                )
            )
    return found


def repeat_problems(points: Sequence[Point], where: str) -> list[AreaProblem]:
    """Return where positions are repeated in a row: one problem, at the first of them."""
    xy = np.array(points)
    numbers = np.flatnonzero((xy[1:] == xy[:-1]).all(axis=1)) + 1
    if not len(numbers):
        return []
    first = points[numbers[0]]
    return [
        problem(
            "duplicate_points",
            f"{where}[{numbers[0]}]",
            first,
            count=len(numbers),
            at=format_point(first),
        )
    ]


def format_point(point: Point) -> str:
    """Return a position as people write it here: longitude, latitude."""
    return ", ".join(f"{one:.5f}" if abs(one) < _MOST_DEGREES else f"{one:g}" for one in point)
