"""What mends an area: named, shown with what it adds and drops, and applied only when asked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from targeting import ring_repairs
from targeting.area import Area
from targeting.clip import clipped
from targeting.errors import REPAIRS, AreaError, AreaProblem, problem
from targeting.merge import merged
from targeting.metric import change_km2
from targeting.outlines import Outlines
from targeting.ring_repairs import as_drawn, in_range
from targeting.rings import MAX_POINTS, MAX_POLYGONS, Point, Rings
from targeting.shapes import MAX_DISTANCE_M, MAX_RADIUS_M, Circle, Line, Shapes
from targeting.simplify import thinned
from targeting.tangle import tangle_problems

Mend: TypeAlias = Callable[[Rings], Iterable[Rings]]

# Of each polygon by itself, in the order in which one makes room for the next.
_OF_POLYGONS: dict[str, Mend] = {
    "swap": ring_repairs.swap,
    "drop_points": ring_repairs.drop_points,
    "close_ring": ring_repairs.close,
    "drop_duplicates": ring_repairs.drop_duplicates,
    "drop_empty": ring_repairs.drop_empty,
    "drop_hole": ring_repairs.drop_holes,
    "uncross": ring_repairs.uncross,
    "rewind": ring_repairs.rewind,
}
_ORDER = (*_OF_POLYGONS, "merge_polygons", "simplify", "clip")
_DRAWN = re.compile(r"(polygons|circles|lines)\[")
# A repair can uncover what another mends: a ring that is closed may cross itself.
_ROUNDS = 3 * len(_ORDER)


@dataclass(frozen=True, slots=True)
class Repaired:
    """The area after repairs, which ones were needed, and what they added and dropped."""

    area: Area
    applied: tuple[str, ...]
    added_km2: float
    dropped_km2: float


def repair(
    area: Area,
    names: Iterable[str] | None,
    outlines: Outlines,
    jurisdiction: BaseGeometry | None = None,
) -> Repaired:
    """Apply the repairs named, or every one that is offered, as far as the area needs them.

    Afterwards it has none of the problems they mend. What was drawn wrongly is compared as it
    looks on the map. An area too tangled to be drawn stays as it is: no repair mends that. Raise
    AreaError for a name that is no repair.
    """
    wanted = list(REPAIRS.values()) if names is None else list(names)
    unknown = [
        problem("unknown_repair", f"repairs[{number}]", name=name)
        for number, name in enumerate(wanted)
        if name not in _ORDER
    ]
    if unknown:
        raise AreaError(unknown)
    if tangle_problems(area.include, area.exclude):
        return Repaired(area, (), 0.0, 0.0)
    result, applied = _applied(area, set(wanted), outlines, jurisdiction)
    added_km2, dropped_km2 = change_km2(_look(area, outlines), _look(result, outlines))
    return Repaired(
        area=result,
        applied=tuple(name for name in _ORDER if name in applied),
        added_km2=added_km2,
        dropped_km2=dropped_km2,
    )


def _applied(
    area: Area, wanted: set[str], outlines: Outlines, jurisdiction: BaseGeometry | None
) -> tuple[Area, set[str]]:
    applied: set[str] = set()
    for _ in range(_ROUNDS):
        found = area.problems(outlines, jurisdiction)
        needed = {one.repair for one in found} & wanted
        for name in (name for name in _ORDER if name in needed):
            mended = _apply(name, area, found, outlines, jurisdiction)
            if mended != area:
                applied.add(name)
                area = mended
                break
        else:
            break
    return area, applied


def _apply(
    name: str,
    area: Area,
    found: list[AreaProblem],
    outlines: Outlines,
    jurisdiction: BaseGeometry | None,
) -> Area:
    if name in _OF_POLYGONS:
        everything = any(one.code == "swapped" and one.where == "area" for one in found)
        mend = ring_repairs.swap_all if name == "swap" and everything else _OF_POLYGONS[name]
        return Area(
            _mended(area.include, name, mend, everything),
            _mended(area.exclude, name, mend, everything),
        )
    if any(one.blocking and _DRAWN.search(one.where) for one in found):
        # The rest looks at whole shapes, and something drawn is none yet.
        return area
    if name == "clip" and jurisdiction is not None:
        return Area(clipped(area.include, outlines, jurisdiction), area.exclude)
    if name == "merge_polygons":
        return Area(*merged(area.include, area.exclude, MAX_POLYGONS))
    return thinned(area, MAX_POINTS)


def _mended(shapes: Shapes, name: str, mend: Mend, everything: bool) -> Shapes:
    """Apply a repair of polygons, and what it means for circles and lines."""
    circles, lines = shapes.circles, shapes.lines
    if name == "swap":
        turn = ring_repairs.swapped if everything else ring_repairs.swapped_where_needed
        circles = tuple(Circle(*turn([(c.lon, c.lat)])[0], c.metres) for c in circles)
        lines = tuple(Line(turn(line.points), line.metres) for line in lines)
    if name == "drop_points":
        circles = tuple(c for c in circles if in_range([(c.lon, c.lat)]).all())
        lines = tuple(Line(ring_repairs.on_earth(line.points), line.metres) for line in lines)
    if name == "drop_duplicates":
        lines = tuple(Line(ring_repairs.distinct(line.points), line.metres) for line in lines)
    polygons = tuple(mended for rings in shapes.polygons for mended in mend(rings))
    return replace(shapes, polygons=polygons, circles=circles, lines=lines)


def _look(area: Area, outlines: Outlines) -> BaseGeometry:
    """Return the area as a map would show it, whatever is wrong with it."""
    return shapely.difference(_seen(area.include, outlines), _seen(area.exclude, outlines))


def _seen(shapes: Shapes, outlines: Outlines) -> BaseGeometry:
    usable = Shapes(
        units=tuple(key for key in shapes.units if key in outlines.units),
        groups=tuple(code for code in shapes.groups if code in outlines.groups),
        circles=tuple(
            c
            for c in shapes.circles
            if 0 < c.metres <= MAX_RADIUS_M and in_range([(c.lon, c.lat)]).all()
        ),
        lines=tuple(
            line
            for line in shapes.lines
            if 0 < line.metres <= MAX_DISTANCE_M and _is_drawable(line.points)
        ),
    )
    drawn = [as_drawn(rings) for rings in shapes.polygons]
    return shapely.union_all([usable.union(outlines), *drawn])


def _is_drawable(points: tuple[Point, ...]) -> bool:
    return len(set(points)) > 1 and bool(np.all(in_range(points)))
