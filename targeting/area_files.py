"""Areas from uploaded map files of any kind."""

from __future__ import annotations

import json
from typing import Any

from targeting.area import Area
from targeting.area_cap import area_of_cap
from targeting.errors import AreaError, problem
from targeting.map_files import read_map_file


def read_area_file(name: str, data: bytes) -> Area:
    """Read an area from a map file; `name` is only for the messages.

    See `targeting.map_files` for the kinds of file, `Area.from_geojson` for what becomes of
    points and lines, `targeting.area_cap` for CAP. Rows without a shape are passed over.
    Raises AreaError with problems that say what to do.
    """
    file = read_map_file(name, data)
    if file.cap is not None:
        return area_of_cap(file.cap)
    document = _with_shapes(file.geojson or {})
    if document.get("features") == []:
        raise AreaError([problem("no_shapes", name, name=name)])
    return Area.from_geojson(json.dumps(document))


def _with_shapes(document: dict[str, Any]) -> dict[str, Any]:
    features = document.get("features")
    if document.get("type") != "FeatureCollection" or not isinstance(features, list):
        return document
    return {**document, "features": [f for f in features if not _is_empty(f)]}


def _is_empty(feature: object) -> bool:
    if not isinstance(feature, dict) or feature.get("type") != "Feature":
        return False
    geometry = feature.get("geometry")
    if not isinstance(geometry, dict):
        return geometry is None
    return geometry.get("coordinates") == [] or geometry.get("geometries") == []
