"""Areas from GeoJSON (RFC 7946): what a map or a file gives, as the parts of an area."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import geojson  # type: ignore[import-untyped]

from targeting.errors import AreaError, problem


def area_json_of_geojson(text: str | bytes) -> dict[str, Any]:
    """Return the JSON form of an area from GeoJSON text; raise AreaError if it has no shapes.

    Polygons and multipolygons are taken from anywhere in it. A Point feature with a `radius`
    property (metres) is a circle, as map drawing tools write them.
    """
    try:
        document = geojson.loads(text)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise AreaError([problem("not_geojson", "area", detail=str(error) or "?")]) from error
    if not isinstance(document, dict):
        raise AreaError([problem("not_geojson", "area", detail=type(document).__name__)])
    area: dict[str, Any] = {"polygons": [], "circles": []}
    for where, geometry, properties in _geometries(document, "area"):
        radius = properties.get("radius")
        coordinates = geometry.get("coordinates")
        if geometry.get("type") in ("Polygon", "MultiPolygon"):
            area["polygons"].append({"type": geometry["type"], "coordinates": coordinates})
        elif geometry.get("type") == "Point" and radius is not None and coordinates:
            position = dict(zip(("lon", "lat"), coordinates, strict=False))
            area["circles"].append({**position, "metres": radius})
        else:
            raise AreaError([problem("bad_geometry", where, value=geometry.get("type"))])
    return area


def _geometries(
    node: dict[str, Any], where: str, properties: dict[str, Any] | None = None
) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    if node.get("type") == "FeatureCollection":
        for number, feature in enumerate(node.get("features") or []):
            yield from _geometries(feature, f"features[{number}]")
    elif node.get("type") == "Feature":
        yield from _geometries(node.get("geometry") or {}, where, node.get("properties"))
    elif node.get("type") == "GeometryCollection":
        for number, geometry in enumerate(node.get("geometries") or []):
            yield from _geometries(geometry, f"{where}.geometries[{number}]", properties)
    else:
        yield where, node, properties or {}
