"""Areas from and to GeoJSON (RFC 7946): what a map or a file gives, as the parts of an area."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import geojson  # type: ignore[import-untyped]
import shapely
from shapely.geometry import mapping
from shapely.geometry.base import BaseGeometry

from targeting.errors import AreaError, AreaProblem, problem
from targeting.faults import json_fault, no_object
from targeting.outlines import Outlines
from targeting.rings import rewound
from targeting.shapes import Shapes

_KINDS = {"Point": "circles", "LineString": "lines", "MultiLineString": "lines"}
_LINE = {"kind_vi": "một đường", "kind": "line"}
_NAMES = {
    "Point": {"kind_vi": "một điểm", "kind": "point"},
    "LineString": _LINE,
    "MultiLineString": _LINE,
}
# What a distance is called: by us, and by map drawing tools.
_DISTANCES = ("metres", "radius", "buffer")


def area_json_of_geojson(text: str | bytes) -> dict[str, Any]:
    """Return the JSON form of an area from GeoJSON text; raise AreaError if it has no shapes.

    Polygons and multipolygons are taken from anywhere in it. A point or a line with a distance
    in metres (`metres`, `radius` or `buffer`) is a circle or what lies along the line. A feature
    of ours whose `part` is a unit or a group is that one, by its code. What has the `role`
    "exclude" is taken off.
    """
    try:
        document = geojson.loads(text)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise AreaError([problem("not_geojson", "area", **json_fault(text, error))]) from error
    if not isinstance(document, dict):
        raise AreaError([problem("not_geojson", "area", **no_object())])
    area: dict[str, Any] = _nothing()
    exclusions = _nothing()
    for where, geometry, properties in _geometries(document, "area"):
        name, item = _read_part(where, geometry, properties)
        (exclusions if properties.get("role") == "exclude" else area)[name].append(item)
    return {**area, "exclusions": exclusions}


def _nothing() -> dict[str, list[Any]]:
    return {"units": [], "groups": [], "polygons": [], "circles": [], "lines": []}


def _read_part(where: str, geometry: dict[str, Any], properties: dict[str, Any]) -> tuple[str, Any]:
    """Return what a geometry is in the JSON form: in which list, and the item."""
    if properties.get("part") == "unit":
        return "units", {name: properties.get(name) for name in ("code", "vintage")}
    if properties.get("part") == "group":
        return "groups", properties.get("code")
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    if kind in ("Polygon", "MultiPolygon"):
        return "polygons", {"type": kind, "coordinates": coordinates}
    if kind not in _KINDS or not isinstance(coordinates, list | tuple) or not coordinates:
        raise AreaError([problem("bad_geometry", where, value=kind)])
    metres = next((properties[name] for name in _DISTANCES if properties.get(name)), None)
    if metres is None:
        raise AreaError([problem("needs_distance", where, **_NAMES[kind])])
    if kind == "Point":
        position = dict(zip(("lon", "lat"), coordinates, strict=False))
        return "circles", {**position, "metres": metres}
    return "lines", {"type": kind, "coordinates": coordinates, "metres": metres}


def _geometries(
    node: object, where: str, properties: object = None
) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    read = _object(node, where)
    if not isinstance(read.get("type") or "", str):
        raise AreaError([problem("bad_geometry", where, value=read["type"])])
    if read.get("type") == "FeatureCollection":
        for number, feature in enumerate(_list(read.get("features"), f"{where}.features")):
            yield from _geometries(feature, f"features[{number}]")
    elif read.get("type") == "Feature":
        yield from _geometries(read.get("geometry") or {}, where, read.get("properties"))
    elif read.get("type") == "GeometryCollection":
        for number, geometry in enumerate(_list(read.get("geometries"), f"{where}.geometries")):
            yield from _geometries(geometry, f"{where}.geometries[{number}]", properties)
    else:
        yield where, read, _object(properties or {}, f"{where}.properties")


def _object(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise AreaError([_malformed(where, "an object", "một đối tượng JSON")])
    return value


def _list(value: object, where: str) -> list[Any]:
    if not isinstance(value or [], list):
        raise AreaError([_malformed(where, "a list", "một danh sách")])
    return value if isinstance(value, list) else []


def _malformed(where: str, expected: str, expected_vi: str) -> AreaProblem:
    detail, detail_vi = f"{expected} was expected", f"cần {expected_vi}"
    return problem("malformed", where, detail=detail, detail_vi=detail_vi)


def geojson_of_shapes(include: Shapes, exclude: Shapes, outlines: Outlines) -> str:
    """Return GeoJSON text with a feature for each part of a usable area."""
    features = [
        *_features(include, outlines, "include"),
        *_features(exclude, outlines, "exclude"),
    ]
    return str(geojson.dumps(geojson.FeatureCollection(features), ensure_ascii=False))


def _features(shapes: Shapes, outlines: Outlines, role: str) -> Iterator[Any]:
    def feature(geometry: Any, part: str, **properties: object) -> Any:
        return geojson.Feature(
            geometry=geometry, properties={"part": part, "role": role, **properties}
        )

    for key in shapes.units:
        facts = {"code": key.code, "vintage": key.vintage.isoformat()}
        name = outlines.units[key].name
        yield feature(_outline(outlines.unit(key)), "unit", **facts, name=name)
    for code in shapes.groups:
        name = outlines.groups[code].name
        yield feature(_outline(outlines.group(code)), "group", code=code, name=name)
    for rings in shapes.polygons:
        yield feature(geojson.Polygon(rewound(rings)), "polygon")
    for lon, lat, metres in shapes.circles:
        yield feature(geojson.Point((lon, lat)), "circle", radius=metres)
    for points, metres in shapes.lines:
        yield feature(geojson.LineString(points), "line", metres=metres)


def _outline(shape: BaseGeometry) -> dict[str, Any]:
    return mapping(shapely.orient_polygons(shape))
