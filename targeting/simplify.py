"""Fewer points for what is drawn: as little change as a number of points allows, and how much."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from targeting.area import Area
from targeting.area_problems import part_problems
from targeting.errors import OVERSIZED, AreaError, AreaProblem, problem
from targeting.metric import change_km2
from targeting.outlines import Outlines
from targeting.rings import to_polygon
from targeting.shapes import Line, Shapes, polygons_of, shapes_of

_STEPS = 24
_CLOSE_ENOUGH = 0.98
_SAME = 0.05
"""Tolerances a twentieth apart leave about the same points."""
_FINEST = 1e-7
"""Degrees: a hundredth of a metre, finer than any coordinate."""

Geometries: TypeAlias = NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class Simplified:
    """An area with fewer points, how many it had, and what that adds and drops."""

    area: Area
    points_before: int
    points_after: int
    added_km2: float
    dropped_km2: float
    problems: tuple[AreaProblem, ...] = ()
    """That it cannot have so few points, and how few it can have."""


def simplify(area: Area, outlines: Outlines, max_points: int, *, whole: bool = False) -> Simplified:
    """Return the area with at most `max_points` drawn points, as near to what it was as can be.

    Units, groups and circles stay as they are; with `whole`, everything is drawn as polygons
    first. Neighbours that share a border point by point go on sharing it. No polygon, hole or
    line is lost: each keeps the few points it cannot do without, even if that is more than
    `max_points` together, which is told as a problem. Raise AreaError when the area has problems
    of another kind.
    """
    found = part_problems(area.include, area.exclude, outlines)
    blocking = [one for one in found if one.blocking and one.code not in OVERSIZED]
    if blocking:
        raise AreaError(blocking)
    before = _united(area, outlines)
    drawn = Area(shapes_of(shapely.get_parts(before))) if whole else area
    result = thinned(drawn, max_points)
    added_km2, dropped_km2 = change_km2(before, _united(result, outlines))
    points = result.include.points + result.exclude.points
    too_many = []
    if points > max_points:
        too_many.append(problem("fewest_points", "polygons", wanted=max_points, count=points))
    return Simplified(
        area=result,
        points_before=drawn.include.points + drawn.exclude.points,
        points_after=points,
        added_km2=added_km2,
        dropped_km2=dropped_km2,
        problems=tuple(too_many),
    )


def _united(area: Area, outlines: Outlines) -> BaseGeometry:
    return shapely.difference(area.include.union(outlines), area.exclude.union(outlines))


def thinned(area: Area, max_points: int) -> Area:
    """Return an area of valid polygons with few enough points: see `simplify`."""
    if area.include.points + area.exclude.points <= max_points:
        return area
    full = _Drawn.of(area)
    enough = full.thin(full.widest)
    if enough.points > max_points:
        return enough.replaced_in(area)
    # The least tolerance that is enough lies where a line through the known ones says, both axes
    # by powers; never too near to either, so that the search goes on where that is no line.
    low, high = math.log(_FINEST), math.log(full.widest)
    for _ in range(_STEPS):
        close = _CLOSE_ENOUGH * max_points <= enough.points <= max_points
        if close or high - low < _SAME:
            break
        too_many, few = math.log(full.points), math.log(enough.points)
        share = (too_many - math.log(max_points)) / max(too_many - few, _FINEST)
        middle = low + (high - low) * min(max(share, 0.1), 0.9)
        tried = full.thin(math.exp(middle))
        if tried.points > max_points:
            # Thinned further it gives what the whole would, and much faster.
            low, full = middle, tried
        else:
            high, enough = middle, tried
    return enough.replaced_in(area)


@dataclass(frozen=True, slots=True)
class _Drawn:
    """What is drawn of an area: included and excluded, as geometries."""

    polygons: tuple[Geometries, Geometries]
    lines: tuple[Geometries, Geometries]
    fit_together: tuple[bool, bool]
    """Whether these polygons do not overlap and meet point by point."""

    @classmethod
    def of(cls, area: Area) -> _Drawn:
        """Return the polygons and lines of an area."""
        polygons = (_polygons(area.include), _polygons(area.exclude))
        included, excluded = (bool(shapely.coverage_is_valid(some)) for some in polygons)
        return cls(polygons, (_lines(area.include), _lines(area.exclude)), (included, excluded))

    @property
    def points(self) -> int:
        """Return the number of points of all."""
        return sum(
            int(shapely.get_num_coordinates(one).sum()) for one in self.polygons + self.lines
        )

    @property
    def widest(self) -> float:
        """Return how far all of it reaches, in degrees."""
        west, south, east, north = shapely.total_bounds(np.concatenate(self.polygons + self.lines))
        return float(max(east - west, north - south, 2 * _FINEST))

    def thin(self, tolerance: float) -> _Drawn:
        """Return it with fewer points; `tolerance` in degrees."""
        included, excluded = (
            shapely.coverage_simplify(some, tolerance)
            if fit_together
            else shapely.simplify(some, tolerance)
            for some, fit_together in zip(self.polygons, self.fit_together, strict=True)
        )
        lines, other_lines = (shapely.simplify(some, tolerance) for some in self.lines)
        return replace(self, polygons=(included, excluded), lines=(lines, other_lines))

    def replaced_in(self, area: Area) -> Area:
        """Return the area with this drawn instead."""
        include, exclude = (
            replace(
                shapes,
                polygons=tuple(rings for polygon in polygons for rings in polygons_of(polygon)),
                lines=tuple(
                    Line(tuple(map(tuple, thin.coords)), line.metres)
                    for thin, line in zip(lines, shapes.lines, strict=True)
                ),
            )
            for shapes, polygons, lines in zip(
                (area.include, area.exclude), self.polygons, self.lines, strict=True
            )
        )
        return Area(include, exclude)


def _polygons(shapes: Shapes) -> Geometries:
    return _geometries([to_polygon(rings) for rings in shapes.polygons])


def _lines(shapes: Shapes) -> Geometries:
    return _geometries([shapely.LineString(line.points) for line in shapes.lines])


def _geometries(shapes: Sequence[BaseGeometry]) -> Geometries:
    array = np.empty(len(shapes), dtype=object)
    array[:] = shapes
    return array
