"""What is wrong with an area: each thing with a code, its place and a sentence, none repaired."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np
import shapely
from shapely import Polygon
from shapely.geometry.base import BaseGeometry

from targeting.errors import AreaProblem, problem
from targeting.metric import area_km2, polygonal, said_km2
from targeting.outlines import PRECISION_DEGREES, Outlines
from targeting.rings import (
    MAX_POINTS,
    MAX_POLYGONS,
    Rings,
    format_point,
    polygon_advice,
    polygon_problems,
    position_problems,
    repeat_problems,
    to_polygon,
)
from targeting.shapes import MAX_DISTANCE_M, MAX_RADIUS_M, Circle, Line, Shapes
from targeting.tangle import tangle_problems

# Overlays of the same border disagree by rounding; nobody lives on less than this.
NEGLIGIBLE_KM2 = 0.0001
# A bad file has the same fault ten thousand times; nobody reads more of them than this.
MOST_OF_A_CODE = 50


def part_problems(include: Shapes, exclude: Shapes, outlines: Outlines) -> list[AreaProblem]:
    """Return what is wrong with the parts of an area, what blocks it first."""
    found = tangle_problems(include, exclude)
    if found:
        # Whatever else is wrong with it would take as long to find.
        return found
    found = [
        *_shapes_problems(include, outlines, ""),
        *_shapes_problems(exclude, outlines, "exclusions."),
    ]
    shapes = include.drawn_count + exclude.drawn_count
    points = include.points + exclude.points
    if shapes > MAX_POLYGONS:
        found.append(problem("too_many_polygons", "polygons", count=shapes, limit=MAX_POLYGONS))
    if points > MAX_POINTS:
        found.append(problem("too_many_points", "polygons", count=points, limit=MAX_POINTS))
    if not include:
        found.append(problem("empty_area", "area"))
    if not any(one.blocking for one in found):
        found += _nested(include.polygons, "")
    return list(_readable(sorted(found, key=lambda one: not one.blocking)))


def beyond(shape: BaseGeometry, jurisdiction: BaseGeometry) -> BaseGeometry:
    """Return what of a shape lies outside a jurisdiction, without slivers.

    Parts that are on average thinner than a metre come from rounding: people's coordinates are
    no finer.
    """
    if shapely.covers(jurisdiction, shape):
        return Polygon()
    return _without_slivers(shapely.difference(shape, jurisdiction))


def _without_slivers(shape: BaseGeometry) -> BaseGeometry:
    parts = shapely.get_parts(polygonal(shape))
    thick = shapely.area(parts) > PRECISION_DEGREES * shapely.length(parts) / 2
    return shapely.union_all(parts[thick])


def jurisdiction_problems(shape: BaseGeometry, jurisdiction: BaseGeometry) -> list[AreaProblem]:
    """Return that a shape lies outside a jurisdiction, and by how much.

    Where nothing lies inside, that is told by itself: there is nothing to cut it to.
    """
    outside = beyond(shape, jurisdiction)
    km2 = area_km2(outside)
    if km2 <= NEGLIGIBLE_KM2:
        return []
    mirrored = shapely.transform(shape, lambda xy: xy[:, ::-1])
    if not shape.intersects(jurisdiction) and mirrored.intersects(jurisdiction):
        inside = shape.representative_point()
        at = (inside.x, inside.y)
        return [problem("swapped", "area", at[::-1], at=format_point(at))]
    largest = max(shapely.get_parts(outside), key=lambda part: part.area).representative_point()
    at = (largest.x, largest.y)
    if _without_slivers(shapely.intersection(shape, jurisdiction)).is_empty:
        return [problem("beyond_jurisdiction", "area", at, at=format_point(at))]
    # Something of it is inside, so it is never all of it that is to be cut.
    facts = {
        "percent": min(99, max(1, round(100 * outside.area / shape.area))),
        "km2": said_km2(km2, "en"),
        "km2_vi": said_km2(km2, "vi"),
        "at": format_point(at),
    }
    return [problem("outside_jurisdiction", "area", at, **facts)]


def _readable(found: Iterable[AreaProblem]) -> Iterator[AreaProblem]:
    told: Counter[str] = Counter()
    for one in found:
        told[one.code] += 1
        if told[one.code] <= MOST_OF_A_CODE:
            yield one


def _shapes_problems(shapes: Shapes, outlines: Outlines, prefix: str) -> list[AreaProblem]:
    found: list[AreaProblem] = []
    for number, key in enumerate(shapes.units):
        if key not in outlines.units:
            where = f"{prefix}units[{number}]"
            found.append(problem("unknown_unit", where, unit=key.code, vintage=key.vintage))
    for number, code in enumerate(shapes.groups):
        if code not in outlines.groups:
            found.append(problem("unknown_group", f"{prefix}groups[{number}]", group=code))
    for number, rings in enumerate(shapes.polygons):
        where = f"{prefix}polygons[{number}]"
        found += polygon_problems(rings, where) or polygon_advice(rings, where)
    for number, round_one in enumerate(shapes.circles):
        found += _circle_problems(round_one, f"{prefix}circles[{number}]")
    for number, line in enumerate(shapes.lines):
        found += _line_problems(line, f"{prefix}lines[{number}]")
    return found


def _circle_problems(round_one: Circle, where: str) -> Iterator[AreaProblem]:
    centre = (round_one.lon, round_one.lat)
    yield from position_problems([centre], where)
    if not 0 < round_one.metres <= MAX_RADIUS_M:
        facts = {"metres": f"{round_one.metres:g}", "limit": MAX_RADIUS_M}
        yield problem("bad_circle", where, centre, **facts)


def _line_problems(line: Line, where: str) -> Iterator[AreaProblem]:
    start = line.points[0] if line.points else None
    if len(set(line.points)) < 2:
        yield problem("bad_line", where, start)
    else:
        yield from position_problems(line.points, where)
        yield from repeat_problems(line.points, where)
    if not 0 < line.metres <= MAX_DISTANCE_M:
        facts = {"metres": f"{line.metres:g}", "limit": MAX_DISTANCE_M}
        yield problem("bad_distance", where, start, **facts)


def _nested(polygons: tuple[Rings, ...], prefix: str) -> Iterator[AreaProblem]:
    """Find polygons inside others, which were perhaps meant as holes."""
    shapes = np.array([to_polygon(rings) for rings in polygons], dtype=object)
    if len(shapes) < 2:
        return
    shapely.prepare(shapes)
    inner, outer = shapely.STRtree(shapes).query(shapes, predicate="covered_by")
    strictly = (inner != outer) & ~shapely.equals(shapes[inner], shapes[outer])
    for number in np.unique(inner[strictly]):
        at = polygons[number][0][0]
        where = f"{prefix}polygons[{number}]"
        yield problem("nested_polygon", where, at, at=format_point(at))
