"""Polygons as they are drawn or uploaded: read from GeoJSON coordinates, and checked."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import TypeAlias

import shapely
from shapely import Polygon

from targeting.errors import AreaProblem, problem

Point: TypeAlias = tuple[float, float]
Rings: TypeAlias = tuple[tuple[Point, ...], ...]

# A tenth of a metre: finer digits come from the screen, not from anybody's intention.
DECIMALS = 6
MAX_POLYGONS = 1_000
MAX_POINTS = 50_000
_PLACE = re.compile(r"\[(\S+) (\S+)\]")


class Malformed(ValueError):  # noqa: N818 - it is caught and turned into a problem right away
    """Coordinates are not numbers in the nesting that GeoJSON prescribes."""


def read_rings(coordinates: object) -> Rings:
    """Read the coordinates of one GeoJSON Polygon."""
    if not isinstance(coordinates, list | tuple) or not coordinates:
        raise Malformed("coordinates")
    return tuple(_read_ring(ring) for ring in coordinates)


def _read_ring(ring: object) -> tuple[Point, ...]:
    if not isinstance(ring, list | tuple):
        raise Malformed("ring")
    return tuple(read_point(point) for point in ring)


def read_point(point: object) -> Point:
    """Read one GeoJSON position; a height is dropped."""
    if not isinstance(point, list | tuple) or len(point) < 2:
        raise Malformed("position")
    return read_number(point[0]), read_number(point[1])


def read_number(value: object) -> float:
    """Read a finite number, rounded to `DECIMALS`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Malformed("number")
    return round(float(value), DECIMALS)


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


def to_polygon(rings: Rings) -> Polygon:
    """Return the shape of checked rings."""
    return Polygon(rings[0], rings[1:])


def count_points(polygons: Iterable[Rings]) -> int:
    """Return the number of points of all rings."""
    return sum(len(ring) for rings in polygons for ring in rings)


def polygon_problems(rings: Rings, where: str) -> list[AreaProblem]:
    """Return what is wrong with one polygon; no repair is made."""
    found = [p for n, ring in enumerate(rings) for p in _ring_problems(ring, f"{where}.rings[{n}]")]
    if found:
        return found
    reason = shapely.is_valid_reason(to_polygon(rings))
    if reason == "Valid Geometry":
        return []
    place = _PLACE.search(reason)
    at = format_point((float(place[1]), float(place[2]))) if place else format_point(rings[0][0])
    return [problem(_code_of(reason), where, at=at)]


def _code_of(reason: str) -> str:
    if "Too few points" in reason:
        return "too_few_points"
    if "Hole" in reason or "Nested" in reason:
        return "bad_hole"
    return "self_crossing"


def _ring_problems(ring: tuple[Point, ...], where: str) -> list[AreaProblem]:
    if len(set(ring)) < 3:
        return [problem("too_few_points", where)]
    found = []
    if ring[0] != ring[-1]:
        found.append(problem("unclosed_ring", where))
    for number, point in enumerate(ring):
        wrong = point_problem(point, f"{where}[{number}]")
        if wrong:
            found.append(wrong)
            break
    return found


def point_problem(point: Point, where: str) -> AreaProblem | None:
    """Return what is wrong with a position on Earth, if anything."""
    lon, lat = point
    if abs(lon) <= 180 and abs(lat) <= 90:
        return None
    swapped = abs(lat) <= 180 and abs(lon) <= 90
    return problem("swapped" if swapped else "out_of_range", where, at=format_point(point))


def format_point(point: Point) -> str:
    """Return a position as people write it here: longitude, latitude."""
    return f"{point[0]:.5f}, {point[1]:.5f}"
