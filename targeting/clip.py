"""An area cut to what an official may warn."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import shapely
from shapely.geometry.base import BaseGeometry

from targeting.area_problems import beyond
from targeting.metric import buffered_line, circle, polygonal
from targeting.outlines import Outlines
from targeting.rings import DECIMALS, Rings, to_polygon
from targeting.shapes import Circle, Line, Shapes, polygons_of
from targeting.units import UnitKey


def clipped(shapes: Shapes, outlines: Outlines, jurisdiction: BaseGeometry) -> Shapes:
    """Return shapes cut to a jurisdiction.

    What lies inside stays what it is, and what lies outside is dropped. Of a unit or a group
    that is partly inside, the lowest units inside stay units. What the border cuts becomes a
    polygon.
    """
    cut = _Cut(jurisdiction)
    for key in shapes.units:
        cut.unit(key, outlines)
    for code in shapes.groups:
        if cut.holds(outlines.group(code)):
            cut.groups.append(code)
        else:
            for key in outlines.groups[code].keys:
                cut.unit(key, outlines)
    for rings in shapes.polygons:
        cut.polygon(rings)
    for round_one in shapes.circles:
        cut.widened(round_one, circle(*round_one))
    for line in shapes.lines:
        cut.widened(line, buffered_line(*line))
    return Shapes(
        units=tuple(sorted(set(cut.units))),
        groups=tuple(cut.groups),
        polygons=tuple(cut.polygons),
        circles=tuple(cut.circles),
        lines=tuple(cut.lines),
    )


@dataclass(slots=True)
class _Cut:
    jurisdiction: BaseGeometry
    units: list[UnitKey] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    polygons: list[Rings] = field(default_factory=list)
    circles: list[Circle] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)

    def holds(self, shape: BaseGeometry) -> bool:
        return bool(beyond(shape, self.jurisdiction).is_empty)

    def unit(self, key: UnitKey, outlines: Outlines) -> None:
        shape = outlines.unit(key)
        if self.holds(shape):
            self.units.append(key)
            return
        below = list(_below(key, outlines))
        for child in below:
            self.unit(child, outlines)
        if not below:
            self.cut(shape)

    def polygon(self, rings: Rings) -> None:
        shape = to_polygon(rings)
        if self.holds(shape):
            self.polygons.append(rings)
        else:
            self.cut(shape)

    def widened(self, part: Circle | Line, shape: BaseGeometry) -> None:
        if not self.holds(shape):
            self.cut(shape)
        elif isinstance(part, Circle):
            self.circles.append(part)
        else:
            self.lines.append(part)

    def cut(self, shape: BaseGeometry) -> None:
        left = polygonal(shapely.intersection(shape, self.jurisdiction))
        self.polygons += polygons_of(polygonal(shapely.set_precision(left, 10**-DECIMALS)))


def _below(key: UnitKey, outlines: Outlines) -> Iterable[UnitKey]:
    return (unit.key for unit in outlines.units.values() if (unit.parent_code, unit.vintage) == key)
