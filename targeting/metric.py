"""Metres and square kilometres for shapes given in degrees of longitude and latitude (WGS 84)."""

from __future__ import annotations

import math

import numpy as np
import shapely
from shapely import Polygon
from shapely.geometry.base import BaseGeometry

SEMI_MAJOR_M = 6_378_137.0
ECCENTRICITY_SQUARED = 0.006_694_379_990_14
CIRCLE_CORNERS = 128


def metres_per_degree(lat: float) -> tuple[float, float]:
    """Return the length in metres of one degree of longitude and one of latitude at `lat`."""
    phi = math.radians(lat)
    curvature = 1 - ECCENTRICITY_SQUARED * math.sin(phi) ** 2
    east = math.cos(phi) * SEMI_MAJOR_M / math.sqrt(curvature)
    north = SEMI_MAJOR_M * (1 - ECCENTRICITY_SQUARED) / curvature**1.5
    return math.radians(east), math.radians(north)


def area_km2(shape: BaseGeometry) -> float:
    """Return the area of a city-sized shape, to about one part in a thousand."""
    if shape.is_empty:
        return 0.0
    east, north = metres_per_degree(shape.centroid.y)
    return shape.area * east * north / 1e6


def circle(lon: float, lat: float, metres: float) -> Polygon:
    """Return a polygon that holds the whole circle.

    Its edges touch the circle from outside: nobody within `metres` is left out, and the corners
    overshoot by 0.03 %.
    """
    east, north = metres_per_degree(lat)
    reach = metres / math.cos(math.pi / CIRCLE_CORNERS)
    turns = np.linspace(0, 2 * math.pi, CIRCLE_CORNERS, endpoint=False)
    return Polygon(
        np.column_stack((lon + reach / east * np.cos(turns), lat + reach / north * np.sin(turns)))
    )


def polygonal(shape: BaseGeometry) -> BaseGeometry:
    """Return only the parts of `shape` that have an area: overlays leave lines and points."""
    if shape.geom_type in ("Polygon", "MultiPolygon"):
        return shape
    parts = [p for p in shapely.get_parts(shape) if p.geom_type in ("Polygon", "MultiPolygon")]
    return shapely.union_all(parts) if parts else Polygon()
