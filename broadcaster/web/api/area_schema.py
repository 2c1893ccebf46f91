"""The form of an area, for those who write programs against the API."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import WithJsonSchema

_POSITION = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 3}
_RING = {"type": "array", "items": _POSITION, "minItems": 4}
_RINGS = {"type": "array", "items": _RING, "minItems": 1}
_CODE = {"type": "string"}
_DAY = {"type": "string", "format": "date"}
_NUMBER = {"type": "number"}


def _one(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


_PARTS = {
    "units": {"type": "array", "items": _one(code=_CODE, vintage=_DAY)},
    "groups": {"type": "array", "items": _CODE},
    "polygons": {
        "type": "array",
        "description": "GeoJSON polygons and multipolygons, longitude first",
        "items": {
            "oneOf": [
                _one(type={"const": "Polygon"}, coordinates=_RINGS),
                _one(
                    type={"const": "MultiPolygon"}, coordinates={"type": "array", "items": _RINGS}
                ),
            ]
        },
    },
    "circles": {"type": "array", "items": _one(lon=_NUMBER, lat=_NUMBER, metres=_NUMBER)},
    "lines": {
        "type": "array",
        "description": "Everything within `metres` of a GeoJSON LineString",
        "items": _one(
            type={"const": "LineString"},
            coordinates={"type": "array", "items": _POSITION, "minItems": 2},
            metres=_NUMBER,
        ),
    },
}
_AREA = {
    "type": "object",
    "description": "The union of its parts minus that of `exclusions`; the border belongs to it",
    "properties": {**_PARTS, "exclusions": {"type": "object", "properties": _PARTS}},
    "additionalProperties": False,
    "examples": [
        {
            "units": [{"code": "00070", "vintage": "2025-07-01"}],
            "circles": [{"lon": 105.85, "lat": 21.03, "metres": 500}],
        }
    ],
}
# targeting reads areas, and says what is wrong better than a schema could: this one only tells.
Area = Annotated[dict[str, Any], WithJsonSchema(_AREA)]
