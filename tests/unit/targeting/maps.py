"""Small map files of every kind, written for the tests as other programs write them."""

import io
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import shapely
from pyogrio.raw import write
from shapely.geometry.base import BaseGeometry

from targeting.area import Area
from targeting.area_files import read_area_file
from targeting.errors import AreaError, AreaProblem
from targeting.outlines import Outlines

SQUARE = shapely.box(105.80, 21.00, 105.85, 21.05)
# Triangles: their corners round to six decimals in every coordinate system.
TRIANGLE = shapely.Polygon([(105.9, 21.0), (105.95, 21.0), (105.9, 21.05), (105.9, 21.0)])
KML = b"""<?xml version="1.0" encoding="UTF-8"?>
<kml xmlns="http://www.opengis.net/kml/2.2"><Document>%s</Document></kml>"""
PLACEMARK = b"""<Placemark><name>Ng\xe1\xba\xadp</name><Polygon><outerBoundaryIs><LinearRing>
<coordinates>105.8,21,7 105.85,21,7 105.85,21.05,7 105.8,21.05,7 105.8,21,7</coordinates>
</LinearRing></outerBoundaryIs></Polygon></Placemark>"""


def write_map(
    path: Path,
    shapes: Iterable[BaseGeometry],
    columns: Mapping[str, Iterable[Any]] | None = None,
    crs: str | None = "EPSG:4326",
    **options: Any,
) -> Path:
    """Write shapes given in WGS 84 as a layer in the coordinate system `crs`."""
    kept = np.array(list(shapes), dtype=object)
    if crs not in (None, "EPSG:4326"):
        way = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True)
        kept = shapely.transform(kept, lambda xy: np.column_stack(way.transform(*xy.T)))
    values = {name: _column(list(rows)) for name, rows in (columns or {}).items()}
    write(
        path,
        geometry=shapely.to_wkb(kept),
        field_data=list(values.values()),
        fields=list(values),
        geometry_type=options.pop("geometry_type", kept[0].geom_type),
        crs=crs,
        **options,
    )
    return path


def zipped(files: Mapping[str, bytes]) -> bytes:
    """Return an archive of files by their names."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def parts_of(path: Path, folder: str = "") -> dict[str, bytes]:
    """Return the files that belong to a Shapefile, in a folder of an archive."""
    return {f"{folder}{p.name}": p.read_bytes() for p in path.parent.glob(f"{path.stem}.*")}


def write_shapefile(
    path: Path, shapes: Iterable[BaseGeometry], columns: Any = None, crs: str = "EPSG:4326"
) -> Path:
    """Write a Shapefile with UTF-8 names."""
    named = columns or {"id": [str(n) for n in range(len(list(shapes)))]}
    return write_map(path, shapes, named, crs, driver="ESRI Shapefile", encoding="UTF-8")


def shape_of(area: Area) -> shapely.Geometry:
    return area.shape(Outlines([], [], {}))


def same(area: Area, *shapes: shapely.Geometry) -> bool:
    """Tell whether the area is the union of the shapes, to a metre's hundred thousandth part."""
    difference = shape_of(area).symmetric_difference(shapely.union_all(shapes))
    return bool(difference.area < 1e-7)


def refused(name: str, data: bytes) -> AreaProblem:
    with pytest.raises(AreaError) as error:
        read_area_file(name, data)
    (found,) = error.value.problems
    assert name in found.message_vi
    assert name in found.message_en
    return found


def _column(rows: list[Any]) -> Any:
    return np.array(rows, dtype=object if isinstance(rows[0], str) else None)
