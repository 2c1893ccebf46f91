"""Small map files of every kind, written for the tests as other programs write them."""

import io
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely
from pyogrio.raw import write
from shapely.geometry.base import BaseGeometry

SQUARE = shapely.box(105.80, 21.00, 105.85, 21.05)
# Triangles: their corners round to six decimals in every coordinate system.
TRIANGLE = shapely.Polygon([(105.9, 21.0), (105.95, 21.0), (105.9, 21.05), (105.9, 21.0)])


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


def _column(rows: list[Any]) -> Any:
    return np.array(rows, dtype=object if isinstance(rows[0], str) else None)
