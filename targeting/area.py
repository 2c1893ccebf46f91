"""The area of an alert: units, groups and drawn shapes, minus exclusions, as one value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import shapely
from shapely import Polygon
from shapely.geometry.base import BaseGeometry

from targeting.area_geojson import area_json_of_geojson, geojson_of_shapes
from targeting.area_json import read_area_json
from targeting.area_problems import jurisdiction_problems, part_problems
from targeting.cap_shapes import CapArea, cap_circle, cap_polygons
from targeting.errors import OVERSIZED, AreaError, AreaProblem, problem
from targeting.metric import polygonal
from targeting.outlines import Outlines
from targeting.shapes import Circle, Line, Shapes, shapes_of

__all__ = ["Area", "Circle", "Line", "Shapes"]

# Writing, checking, counting and drawing one alert ask for the same shape again and again.
_KEPT = 32
MOST_POINTS_DRAWN = 200_000
MOST_SHAPES_DRAWN = 20_000
"""What is over the limits of an area can still be drawn and counted up to here, in seconds."""


@dataclass(frozen=True, slots=True)
class Area:
    """A union of shapes minus another; the border belongs to it."""

    include: Shapes = field(default_factory=Shapes)
    exclude: Shapes = field(default_factory=Shapes)

    @classmethod
    def from_json(cls, value: object) -> Area:
        """Read the JSON form; raise AreaError when it does not have that form at all.

        Geometry that can be read but not used (a ring that is not closed, say) is kept as it is,
        so that a draft can be saved and its `problems` shown.
        """
        return cls(*read_area_json(value))

    def to_json(self) -> dict[str, Any]:
        """Return the canonical JSON form, every part in it and names in order."""
        return {**self.include.as_json(), "exclusions": self.exclude.as_json()}

    @classmethod
    def from_geojson(cls, text: str | bytes) -> Area:
        """Read GeoJSON text: polygons, points and lines with a distance, and what we write."""
        return cls.from_json(area_json_of_geojson(text))

    def to_geojson(self, outlines: Outlines) -> str:
        """Write RFC 7946 text, a feature for each part, from which the same area is read.

        Rings are wound as it wants them; raise AreaError when the area has blocking problems.
        """
        self._require_usable(outlines)
        return geojson_of_shapes(self.include, self.exclude, outlines)

    @classmethod
    def of_polygons(cls, shapes: Iterable[Polygon]) -> Area:
        """Return the area made of shapely polygons."""
        return cls(shapes_of(shapes))

    def shape(self, outlines: Outlines, *, oversized: bool = False) -> BaseGeometry:
        """Return the area as one shape, the caller's own; raise AreaError with all that blocks it.

        With `oversized`, what is only too big is drawn as well, within wider bounds: what is to be
        simplified is counted before and after.

        Who prepares a shape must not share it: GEOS completes a prepared shape while it is asked,
        and two threads at that crash the process. The kept one may even be a unit's outline.
        """
        self._require_usable(outlines, oversized and self._is_drawable)
        return shapely.force_2d(_shape(self, outlines))

    def parts(self, outlines: Outlines) -> list[tuple[str, BaseGeometry]]:
        """Return the shape of each part with its place, such as `polygons[2]`.

        Nothing is taken off them: ask `shape` whether a place belongs to the area at all. They
        are the caller's own too.
        """
        self._require_usable(outlines)
        return [(where, shapely.force_2d(part)) for where, part in self.include.parts(outlines)]

    def problems(
        self, outlines: Outlines, jurisdiction: BaseGeometry | None = None
    ) -> list[AreaProblem]:
        """Return all that is wrong with this area, best read in this order.

        Only those that are `blocking` keep it from being used.
        """
        found = list(_part_problems(self, outlines))
        if any(one.blocking for one in found):
            return found
        shape = _shape(self, outlines)
        if shape.is_empty:
            return [*found, problem("empty_area", "area")]
        if jurisdiction is not None:
            found += jurisdiction_problems(shape, jurisdiction)
        return found

    def cap(self, outlines: Outlines) -> CapArea:
        """Return the area as CAP polygons and circles, of few enough points for any receiver.

        Circles stay circles unless something is excluded, which CAP can only say by polygons.
        """
        if self.exclude:
            return CapArea(cap_polygons(self.shape(outlines)), ())
        circles = tuple(cap_circle(*round_one) for round_one in self.include.circles)
        others = replace(self.include, circles=())
        polygons = cap_polygons(Area(others).shape(outlines)) if others else ()
        return CapArea(polygons, circles)

    @property
    def _is_drawable(self) -> bool:
        """Tell whether it is small enough to be drawn at all, if not to be used."""
        points = self.include.points + self.exclude.points
        shapes = self.include.drawn_count + self.exclude.drawn_count
        return points <= MOST_POINTS_DRAWN and shapes <= MOST_SHAPES_DRAWN

    def _require_usable(self, outlines: Outlines, oversized: bool = False) -> None:
        found = [one for one in _part_problems(self, outlines) if one.blocking]
        if oversized:
            found = [one for one in found if one.code not in OVERSIZED]
        if found:
            raise AreaError(found)


@lru_cache(_KEPT)
def _part_problems(area: Area, outlines: Outlines) -> tuple[AreaProblem, ...]:
    return tuple(part_problems(area.include, area.exclude, outlines))


@lru_cache(_KEPT)
def _shape(area: Area, outlines: Outlines) -> BaseGeometry:
    shape = area.include.union(outlines)
    if area.exclude:
        shape = shape.difference(area.exclude.union(outlines))
    return polygonal(shape)
