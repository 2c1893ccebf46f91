"""What an area is made of: units, groups, polygons, circles and lines with a width."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import shapely
from shapely import Polygon
from shapely.geometry.base import BaseGeometry

from targeting.metric import buffered_line, circle
from targeting.outlines import Outlines
from targeting.rings import Point, Rings, count_points, rings_of, to_polygon
from targeting.units import UnitKey

MAX_RADIUS_M = 200_000
MAX_DISTANCE_M = 50_000


class Circle(NamedTuple):
    """Everything within `metres` of a point."""

    lon: float
    lat: float
    metres: float


class Line(NamedTuple):
    """Everything within `metres` of a line, its round ends too: 2 km along the river."""

    points: tuple[Point, ...]
    metres: float

    def as_json(self) -> dict[str, Any]:
        """Return it as a GeoJSON LineString with its distance."""
        coordinates = [list(point) for point in self.points]
        return {"type": "LineString", "coordinates": coordinates, "metres": self.metres}


@dataclass(frozen=True, slots=True)
class Shapes:
    """A union of units, groups, polygons, circles and lines."""

    units: tuple[UnitKey, ...] = ()
    groups: tuple[str, ...] = ()
    polygons: tuple[Rings, ...] = ()
    circles: tuple[Circle, ...] = ()
    lines: tuple[Line, ...] = ()

    def __bool__(self) -> bool:
        """Tell whether anything is named at all."""
        return bool(self.units or self.groups or self.drawn_count)

    @property
    def drawn_count(self) -> int:
        """Return how many shapes are drawn, not chosen by name."""
        return len(self.polygons) + len(self.circles) + len(self.lines)

    @property
    def drawn(self) -> Shapes:
        """Return only what is drawn."""
        return replace(self, units=(), groups=())

    @property
    def points(self) -> int:
        """Return the number of points drawn."""
        return count_points(self.polygons) + sum(len(line.points) for line in self.lines)

    def parts(self, outlines: Outlines, prefix: str = "") -> list[tuple[str, BaseGeometry]]:
        """Return the shape of each part with its place, such as `units[0]`; they may overlap."""
        shapes: dict[str, list[BaseGeometry]] = {
            "units": [outlines.unit(key) for key in self.units],
            "groups": [outlines.group(code) for code in self.groups],
            "polygons": [to_polygon(rings) for rings in self.polygons],
            "circles": [circle(*round_one) for round_one in self.circles],
            "lines": [buffered_line(*line) for line in self.lines],
        }
        return [
            (f"{prefix}{name}[{number}]", shape)
            for name, found in shapes.items()
            for number, shape in enumerate(found)
        ]

    def union(self, outlines: Outlines) -> BaseGeometry:
        """Return all parts as one shape, empty when there are none."""
        return shapely.union_all([shape for _, shape in self.parts(outlines)])

    def as_json(self) -> dict[str, Any]:
        """Return the canonical JSON form."""
        return {
            "units": [{"code": u.code, "vintage": u.vintage.isoformat()} for u in self.units],
            "groups": list(self.groups),
            "polygons": [
                {"type": "Polygon", "coordinates": [[list(p) for p in ring] for ring in rings]}
                for rings in self.polygons
            ],
            "circles": [round_one._asdict() for round_one in self.circles],
            "lines": [line.as_json() for line in self.lines],
        }


def polygons_of(shape: BaseGeometry) -> tuple[Rings, ...]:
    """Return the polygons of a shape as they are drawn; what has no area is left out."""
    return tuple(
        rings_of(part)
        for part in shapely.get_parts(shape)
        if isinstance(part, Polygon) and not part.is_empty
    )


def shapes_of(parts: Iterable[Polygon]) -> Shapes:
    """Return shapely polygons as drawn ones."""
    return Shapes(polygons=tuple(rings_of(part) for part in parts))
