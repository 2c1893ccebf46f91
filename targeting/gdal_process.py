"""Map files to GeoJSON in WGS 84, read by GDAL in a process of its own.

Run as a program: `python -I gdal_process.py FILE…` prints one JSON object, either GeoJSON or
{"problem": code, "facts": {…}}. It imports nothing of this project: it starts quickly, and `-I`
keeps the folder it lies in off the path.
"""

from __future__ import annotations

import json
import math
import re
import resource
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyogrio  # type: ignore[import-untyped]
import pyproj
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError, FieldError  # type: ignore[import-untyped]
from pyogrio.raw import read  # type: ignore[import-untyped]

MAX_LAYERS = 100
MAX_FEATURES = 20_000
MAX_POINTS = 1_000_000
MEMORY_BYTES = 1536 * 1024**2
CPU_S = 15
SCRATCH_BYTES = 64 * 1024**2
WGS_84 = pyproj.CRS.from_epsg(4326)
# With one of these a point or a line is an area; see targeting.area_geojson.
DISTANCES = frozenset({"metres", "radius", "buffer"})
# The datum under names that programs in Vietnam give it, and the one that PROJ knows.
_VN_2000 = re.compile(r'(DATUM\[")(?:D_)?(?:VN_?2000|Vietnam_2000)(")', re.IGNORECASE)
_AREAS = ("Polygon", "MultiPolygon", "GeometryCollection")


class Unusable(Exception):  # noqa: N818 - it ends as a problem told to the person
    """A file cannot be used: the code of the problem and its facts."""

    def __init__(self, code: str, **facts: object) -> None:
        self.code, self.facts = code, facts
        super().__init__(code)


@dataclass(frozen=True, slots=True)
class Layer:
    """The shapes of one layer in WGS 84, None where a row has none, and its columns."""

    shapes: NDArray[np.object_]
    columns: dict[str, NDArray[Any]]

    @property
    def has_areas(self) -> bool:
        """Tell whether it holds areas, or points and lines with a distance."""
        kinds = {shape.geom_type for shape in self.shapes if shape is not None}
        return not kinds.isdisjoint(_AREAS) or not DISTANCES.isdisjoint(self.columns)


def main(paths: Sequence[str]) -> None:
    """Print the shapes of the files as GeoJSON, or why they cannot be used."""
    hold_back()
    try:
        layers = [layer for path in paths for layer in read_layers(path)]
        # A map has layers of roads and labels too; they say nothing of an area.
        used = [layer for layer in layers if layer.has_areas] or layers
        sys.stdout.write(as_geojson(used))
    except Unusable as unusable:
        refuse(unusable)
    except MemoryError:
        refuse(Unusable("too_big", limit=f"{MEMORY_BYTES // 1024**2} MB"))


def refuse(unusable: Unusable) -> None:
    """Print why the files cannot be used."""
    sys.stdout.write(json.dumps({"problem": unusable.code, "facts": unusable.facts}))


def hold_back() -> None:
    """Give up the means to harm the machine, whatever a hostile file makes GDAL do."""
    limits = {
        resource.RLIMIT_AS: MEMORY_BYTES,
        resource.RLIMIT_CPU: CPU_S,
        resource.RLIMIT_FSIZE: SCRATCH_BYTES,
        resource.RLIMIT_CORE: 0,
    }
    for what, limit in limits.items():
        resource.setrlimit(what, (limit, limit))


def read_layers(path: str) -> list[Layer]:
    """Read every layer that has geometry; raise Unusable."""
    try:
        names = [name for name, kind in pyogrio.list_layers(path) if kind is not None]
        if len(names) > MAX_LAYERS:
            raise too_many(MAX_LAYERS, "lớp", "layers")
        return [read_layer(path, name) for name in names]
    except (DataSourceError, DataLayerError, FieldError, UnicodeError, shapely.GEOSException) as e:
        raise Unusable("damaged_file") from e


def too_many(limit: int, what_vi: str, what: str) -> Unusable:
    """Return the refusal of a file with too much in it."""
    return Unusable("too_much_inside", limit=limit, what_vi=what_vi, what=what)


def read_layer(path: str, name: str) -> Layer:
    """Read one layer: curves become lines, heights are dropped."""
    meta, _, wkb, values = read(
        path, layer=name, force_2d=True, max_features=MAX_FEATURES + 1, datetime_as_string=True
    )
    if len(wkb) > MAX_FEATURES:
        raise too_many(MAX_FEATURES, "hình", "shapes")
    shapes = shapely.from_wkb(wkb)
    if shapely.get_num_coordinates(shapes).sum() > MAX_POINTS:
        raise too_many(MAX_POINTS, "điểm", "points")
    # TopoJSON is defined in WGS 84 and has no way to name another system.
    crs = meta["crs"] or ("EPSG:4326" if path.endswith(".topojson") else None)
    # Every format has its own idea of which way round a ring goes.
    shapes = shapely.orient_polygons(in_wgs_84(shapes, crs))
    columns = {column_name(field): rows for field, rows in zip(meta["fields"], values, strict=True)}
    return Layer(shapes, columns)


def column_name(field: str) -> str:
    """Return a column's name; that of a distance as we write it."""
    lowered = str(field).lower()
    return lowered if lowered in DISTANCES else str(field)


def in_wgs_84(shapes: NDArray[np.object_], crs: str | None) -> NDArray[np.object_]:
    """Return the shapes in degrees of WGS 84; raise Unusable for an unknown system."""
    if not crs:
        raise Unusable("unknown_coordinates", crs="?")
    try:
        known = pyproj.CRS.from_user_input(_VN_2000.sub(r"\1D_Vietnam_2000\2", crs))
        if not known.is_bound:  # to_2d() loses a transformation that the file itself gives
            known = known.to_2d()
        if known.equals(WGS_84, ignore_axis_order=True):
            return shapes
        # Without the exact way (a datum it does not know) it would be off by some 200 m.
        way = pyproj.Transformer.from_crs(known, WGS_84, always_xy=True, allow_ballpark=False)
        return shapely.transform(shapes, lambda xy: np.column_stack(way.transform(*xy.T)))
    except pyproj.exceptions.ProjError as error:
        raise Unusable("unknown_coordinates", crs=name_of(crs)) from error


def name_of(crs: str) -> str:
    """Return the name of a coordinate system from its definition."""
    return crs.split('"')[1] if crs.count('"') > 1 else crs[:80]


def as_geojson(layers: Sequence[Layer]) -> str:
    """Return a FeatureCollection of all layers."""
    features = [text for layer in layers for text in features_of(layer)]
    return f'{{"type": "FeatureCollection", "features": [{", ".join(features)}]}}'


def features_of(layer: Layer) -> Iterator[str]:
    """Yield the rows of a layer as GeoJSON text."""
    for row, shape in enumerate(layer.shapes):
        geometry = "null" if shape is None else shapely.to_geojson(shape)
        known = {name: plain(values[row]) for name, values in layer.columns.items()}
        known |= {name: number(known[name]) for name in DISTANCES & known.keys()}
        properties = json.dumps(known, ensure_ascii=False)
        yield f'{{"type": "Feature", "properties": {properties}, "geometry": {geometry}}}'


def plain(value: object) -> object:
    """Return a value of a column as JSON knows it."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        # A column of whole numbers with gaps in it arrives as floats.
        return int(value) if value.is_integer() else value
    return value if isinstance(value, str | int | None) else str(value)


def number(value: object) -> object:
    """Return a distance as a number where it is one: KML knows only text."""
    try:
        return float(str(value).replace(",", "."))
    except ValueError:
        return value


if __name__ == "__main__":
    main(sys.argv[1:])
