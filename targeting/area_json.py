"""The JSON form of an area, as drafts keep it and maps send it: read with every fault named."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields
from datetime import date
from typing import Any

from targeting.errors import AreaError, AreaProblem, problem
from targeting.rings import Malformed, read_geometry, read_lines, read_number
from targeting.shapes import Circle, Line, Shapes
from targeting.units import UnitKey


def read_area_json(value: object) -> tuple[Shapes, Shapes]:
    """Return what is included and what is excluded; raise AreaError for another form."""
    if not isinstance(value, dict):
        raise AreaError([_malformed("area", "an object", "một đối tượng JSON")])
    found: list[AreaProblem] = []
    include = _read_shapes({k: v for k, v in value.items() if k != "exclusions"}, "", found)
    exclude = _read_shapes(value.get("exclusions") or {}, "exclusions.", found)
    if found:
        raise AreaError(found)
    return include, exclude


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

    def read(name: str, reader: Callable[[Any], Iterable[Any]], expected: tuple[str, str]) -> Any:
        items = value.get(name) or []
        if not isinstance(items, list | tuple):
            found.append(_malformed(f"{prefix}{name}", "a list", "một danh sách"))
            return
        for number, item in enumerate(items):
            try:
                yield from reader(item)
            except (KeyError, TypeError, ValueError):
                found.append(_malformed(f"{prefix}{name}[{number}]", *expected))

    return Shapes(
        units=_sorted(read("units", _unit, ("a code and a vintage date", "mã và ngày hiệu lực"))),
        groups=_sorted(read("groups", _group, ("a code", "mã nhóm"))),
        polygons=tuple(
            read(
                "polygons",
                read_geometry,
                ("a GeoJSON Polygon or MultiPolygon", "Polygon hoặc MultiPolygon"),
            )
        ),
        circles=_sorted(read("circles", _circle, ("lon, lat and metres", "lon, lat và metres"))),
        lines=tuple(read("lines", _lines, ("a LineString with metres", "LineString có metres"))),
    )


def _sorted(items: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(sorted(set(items)))


def _unit(item: Any) -> Iterable[UnitKey]:
    yield UnitKey(_code(item["code"]), date.fromisoformat(item["vintage"]))


def _group(item: Any) -> Iterable[str]:
    yield _code(item)


def _code(value: Any) -> str:
    # No database keeps a text with U+0000, so no code has one.
    if not isinstance(value, str) or "\0" in value:
        raise Malformed("code")
    return value


def _circle(item: Any) -> Iterable[Circle]:
    yield Circle(*(read_number(item[name]) for name in Circle._fields))


def _lines(item: Any) -> Iterable[Line]:
    metres = read_number(item["metres"])
    return [Line(points, metres) for points in read_lines(item)]
