"""The area of an alert: units, groups, polygons and circles, minus exclusions, as one value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from datetime import date
from typing import Any, NamedTuple

import shapely
from shapely import Polygon
from shapely.geometry.base import BaseGeometry

from targeting.area_geojson import area_json_of_geojson
from targeting.cap_shapes import CapArea, cap_circle, cap_polygons
from targeting.errors import AreaError, AreaProblem, problem
from targeting.metric import area_km2, circle, polygonal
from targeting.outlines import Outlines
from targeting.rings import (
    MAX_POINTS,
    MAX_POLYGONS,
    Malformed,
    Point,
    Rings,
    count_points,
    format_point,
    point_problem,
    polygon_problems,
    read_geometry,
    read_number,
    read_rings,
    to_polygon,
)
from targeting.units import UnitKey

MAX_RADIUS_M = 200_000
# Overlays of the same border disagree by rounding; nobody lives on less than this.
NEGLIGIBLE_KM2 = 0.0001


class Circle(NamedTuple):
    """Everything within `metres` of a point."""

    lon: float
    lat: float
    metres: float


@dataclass(frozen=True, slots=True)
class Shapes:
    """A union of units, groups, polygons and circles."""

    units: tuple[UnitKey, ...] = ()
    groups: tuple[str, ...] = ()
    polygons: tuple[Rings, ...] = ()
    circles: tuple[Circle, ...] = ()

    def __bool__(self) -> bool:
        """Tell whether anything is named at all."""
        return bool(self.units or self.groups or self.polygons or self.circles)

    def pieces(self, outlines: Outlines) -> list[BaseGeometry]:
        """Return the shape of each part; the parts may overlap."""
        return [
            *(outlines.unit(key) for key in self.units),
            *(outlines.group(code) for code in self.groups),
            *(to_polygon(rings) for rings in self.polygons),
            *(circle(*round_one) for round_one in self.circles),
        ]

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
        }


@dataclass(frozen=True, slots=True)
class Area:
    """A union of shapes minus another; the border belongs to it."""

    include: Shapes = Shapes()
    exclude: Shapes = Shapes()

    @classmethod
    def from_json(cls, value: object) -> Area:
        """Read the JSON form; raise AreaError when it does not have that form at all.

        Geometry that can be read but not used (a ring that is not closed, say) is kept as it is,
        so that a draft can be saved and its `problems` shown.
        """
        if not isinstance(value, dict):
            raise AreaError([_malformed("area", "an object", "một đối tượng JSON")])
        found: list[AreaProblem] = []
        include = _read_shapes({k: v for k, v in value.items() if k != "exclusions"}, "", found)
        exclude = _read_shapes(value.get("exclusions") or {}, "exclusions.", found)
        if found:
            raise AreaError(found)
        return cls(include, exclude)

    def to_json(self) -> dict[str, Any]:
        """Return the canonical JSON form, every part in it and names in order."""
        return {**self.include.as_json(), "exclusions": self.exclude.as_json()}

    @classmethod
    def from_geojson(cls, text: str | bytes) -> Area:
        """Read polygons, multipolygons and points with a radius from GeoJSON text."""
        return cls.from_json(area_json_of_geojson(text))

    @classmethod
    def of_polygons(cls, shapes: Iterable[Polygon]) -> Area:
        """Return the area made of shapely polygons."""
        return cls(Shapes(polygons=tuple(read_rings(_coordinates(shape)) for shape in shapes)))

    def shape(self, outlines: Outlines) -> BaseGeometry:
        """Return the area as one shape; raise AreaError with its problems when it has any."""
        found = _problems_of_parts(self, outlines)
        if found:
            raise AreaError(found)
        included = shapely.union_all(self.include.pieces(outlines))
        if self.exclude:
            included = included.difference(shapely.union_all(self.exclude.pieces(outlines)))
        return polygonal(included)

    def problems(
        self, outlines: Outlines, jurisdiction: BaseGeometry | None = None
    ) -> list[AreaProblem]:
        """Return all that keeps this area from being used, best read in this order."""
        found = _problems_of_parts(self, outlines)
        if found:
            return found
        shape = self.shape(outlines)
        if shape.is_empty:
            return [problem("empty_area", "area")]
        if jurisdiction is None:
            return []
        return _outside(shape, jurisdiction)

    def cap(self, outlines: Outlines) -> CapArea:
        """Return the area as CAP polygons and circles.

        Circles stay circles unless something is excluded, which CAP can only say by polygons.
        """
        if self.exclude:
            return CapArea(cap_polygons(self.shape(outlines)), ())
        circles = tuple(cap_circle(*round_one) for round_one in self.include.circles)
        others = replace(self.include, circles=())
        polygons = cap_polygons(Area(others).shape(outlines)) if others else ()
        return CapArea(polygons, circles)


def _outside(shape: BaseGeometry, jurisdiction: BaseGeometry) -> list[AreaProblem]:
    outside = polygonal(shape.difference(jurisdiction))
    km2 = area_km2(outside)
    if km2 <= NEGLIGIBLE_KM2:
        return []
    mirrored = shapely.transform(shape, lambda xy: xy[:, ::-1])
    if not shape.intersects(jurisdiction) and mirrored.intersects(jurisdiction):
        at = shape.representative_point()
        return [problem("swapped", "area", at=format_point((at.x, at.y)))]
    at = max(shapely.get_parts(outside), key=lambda part: part.area).representative_point()
    percent = min(100, max(1, round(100 * outside.area / shape.area)))
    where = format_point((at.x, at.y))
    return [
        problem("outside_jurisdiction", "area", percent=percent, km2=f"{km2:.2f}", at=where),
    ]


def _problems_of_parts(area: Area, outlines: Outlines) -> list[AreaProblem]:
    found = [
        *_shape_problems(area.include, outlines, ""),
        *_shape_problems(area.exclude, outlines, "exclusions."),
    ]
    polygons = area.include.polygons + area.exclude.polygons
    points = count_points(polygons)
    if len(polygons) > MAX_POLYGONS:
        found.append(
            problem("too_many_polygons", "polygons", count=len(polygons), limit=MAX_POLYGONS)
        )
    if points > MAX_POINTS:
        found.append(problem("too_many_points", "polygons", count=points, limit=MAX_POINTS))
    if not area.include:
        found.append(problem("empty_area", "area"))
    return found


def _shape_problems(shapes: Shapes, outlines: Outlines, prefix: str) -> list[AreaProblem]:
    found: list[AreaProblem] = []
    for number, key in enumerate(shapes.units):
        if key not in outlines.units:
            where = f"{prefix}units[{number}]"
            found.append(problem("unknown_unit", where, unit=key.code, vintage=key.vintage))
    for number, code in enumerate(shapes.groups):
        if code not in outlines.groups:
            found.append(problem("unknown_group", f"{prefix}groups[{number}]", group=code))
    for number, rings in enumerate(shapes.polygons):
        found += polygon_problems(rings, f"{prefix}polygons[{number}]")
    for number, round_one in enumerate(shapes.circles):
        found += _circle_problems(round_one, f"{prefix}circles[{number}]")
    return found


def _circle_problems(round_one: Circle, where: str) -> list[AreaProblem]:
    found = [point_problem((round_one.lon, round_one.lat), where)]
    if not 0 < round_one.metres <= MAX_RADIUS_M:
        facts = {"metres": f"{round_one.metres:g}", "limit": MAX_RADIUS_M}
        found.append(problem("bad_circle", where, **facts))
    return [p for p in found if p is not None]


def _malformed(where: str, detail: str, detail_vi: str) -> AreaProblem:
    return problem(
        "malformed", where, detail=f"{detail} was expected", detail_vi=f"cần {detail_vi}"
    )


def _read_shapes(value: object, prefix: str, found: list[AreaProblem]) -> Shapes:
    known = {field.name for field in fields(Shapes)}
    if not isinstance(value, dict):
        found.append(_malformed(prefix.rstrip("."), "an object", "một đối tượng JSON"))
        return Shapes()
    found += [
        _malformed(f"{prefix}{name}", f"one of {sorted(known)}", f"một trong {sorted(known)}")
        for name in value
        if name not in known
    ]
    lists: dict[str, list[object]] = {}
    for name in known:
        items = value.get(name) or []
        if not isinstance(items, list | tuple):
            found.append(_malformed(f"{prefix}{name}", "a list", "một danh sách"))
            items = []
        lists[name] = list(items)
    return Shapes(
        units=_sorted(_read_units(lists["units"], prefix, found)),
        groups=_sorted(_read_groups(lists["groups"], prefix, found)),
        polygons=tuple(_read_polygons(lists["polygons"], prefix, found)),
        circles=_sorted(_read_circles(lists["circles"], prefix, found)),
    )


def _sorted(items: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(sorted(set(items)))


def _read_units(items: list[object], prefix: str, found: list[AreaProblem]) -> Iterable[UnitKey]:
    for number, item in enumerate(items):
        try:
            if not isinstance(item, dict) or not isinstance(item["code"], str):
                raise TypeError
            yield UnitKey(item["code"], date.fromisoformat(item["vintage"]))
        except (KeyError, TypeError, ValueError):
            where = f"{prefix}units[{number}]"
            found.append(_malformed(where, "a code and a vintage date", "mã và ngày hiệu lực"))


def _read_groups(items: list[object], prefix: str, found: list[AreaProblem]) -> Iterable[str]:
    for number, item in enumerate(items):
        if isinstance(item, str):
            yield item
        else:
            found.append(_malformed(f"{prefix}groups[{number}]", "a code", "mã nhóm"))


def _read_polygons(items: list[object], prefix: str, found: list[AreaProblem]) -> Iterable[Rings]:
    for number, item in enumerate(items):
        try:
            yield from read_geometry(item)
        except Malformed:
            where = f"{prefix}polygons[{number}]"
            found.append(
                _malformed(where, "a GeoJSON Polygon or MultiPolygon", "Polygon hoặc MultiPolygon")
            )


def _read_circles(items: list[object], prefix: str, found: list[AreaProblem]) -> Iterable[Circle]:
    for number, item in enumerate(items):
        try:
            if not isinstance(item, dict):
                raise TypeError
            yield Circle(*(read_number(item[name]) for name in Circle._fields))
        except (KeyError, TypeError, Malformed):
            where = f"{prefix}circles[{number}]"
            found.append(_malformed(where, "lon, lat and metres", "lon, lat và metres"))


def _coordinates(shape: Polygon) -> list[list[Point]]:
    return [list(ring.coords) for ring in (shape.exterior, *shape.interiors)]
