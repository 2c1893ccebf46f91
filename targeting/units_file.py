"""Units with real outlines, read from a map file: all of it, or none and every problem."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import geojson  # type: ignore[import-untyped]
import shapely
from anyascii import anyascii
from shapely.geometry.base import BaseGeometry

from targeting.errors import AreaError, AreaProblem, UnitsFileError, problem
from targeting.map_files import read_map_path
from targeting.metric import area_km2
from targeting.rings import polygon_problems, read_geometry, to_polygon
from targeting.units import Group, Unit, UnitKey

# The words an official name starts with, the kind of unit each means, and its English word.
KINDS = {
    "Thành phố": ("city", "City"),
    "Phường": ("ward", "Ward"),
    "Xã": ("commune", "Commune"),
    "Thị trấn": ("township", "Township"),
    "Thị xã": ("town", "Town"),
    "Quận": ("district", "District"),
    "Huyện": ("district", "District"),
    "Đặc khu": ("special zone", "Special Zone"),
}

# Other names of a column: how a Shapefile shortens ours to ten letters, and what land offices
# and OpenStreetMap call the same thing. Case does not matter.
COLUMNS: dict[str, tuple[str, ...]] = {
    "code": ("ma_xa", "maxa", "ma_px", "ma_dvhc", "madvhc"),
    "name": ("ten_xa", "tenxa", "ten_px", "ten_dvhc", "tendvhc", "name:vi"),
    "name_en": ("name:en", "ten_en"),
    "parent_code": ("parent_cod", "ma_tinh", "matinh"),
    "population": ("dan_so", "danso", "pop"),
    "area_km2": ("dtich_km2",),
    "former_district_code": ("former_dis",),
    "former_district_name": ("former_d_1",),
    "former_district_share": ("former_d_2",),
}
_NO_FEATURES = {"detail_vi": "không có đơn vị nào trong đó", "detail": "there is no unit in it"}


@dataclass(frozen=True, slots=True)
class UnitsFile:
    """What a file of units holds: the units, the groups their properties name, the outlines."""

    units: tuple[Unit, ...]
    groups: tuple[Group, ...]
    outlines: dict[UnitKey, BaseGeometry]


def read_units_file(path: Path, vintage: date) -> UnitsFile:
    """Read units of one vintage from any kind of map file `read_map_path` knows.

    A feature needs `code` and `name`; `short_name`, `name_en`, `kind`, `parent_code`,
    `population`, `area_km2` and `former_district_code`, `_name` and `_share` may be missing.
    Columns may have the names in COLUMNS too.
    Raises UnitsFileError with every problem found, each naming its feature.
    """
    found: list[AreaProblem] = []
    units: dict[str, Unit] = {}
    places: dict[str, str] = {}
    groups: dict[str, Group] = {}
    outlines: dict[UnitKey, BaseGeometry] = {}
    for number, feature in enumerate(_features(path)):
        reader = _Feature(feature, f"features[{number}]", found)
        outline = reader.outline()
        unit = reader.unit(vintage, outline)
        if unit is None or outline is None:
            continue
        if unit.code in units:
            facts = {"unit": unit.code, "first": places[unit.code]}
            found.append(problem("duplicate_unit", reader.where, **facts))
        units[unit.code], places[unit.code] = unit, reader.where
        outlines[unit.key] = outline
        reader.add_to_group(groups, unit)
    if found:
        raise UnitsFileError(found)
    return UnitsFile(tuple(units.values()), tuple(groups.values()), outlines)


def _features(path: Path) -> list[Any]:
    try:
        document = read_map_path(path).geojson
    except AreaError as error:
        raise UnitsFileError(error.problems) from error
    features = document.get("features") if document else None
    if not isinstance(features, list) or not features:
        raise UnitsFileError([problem("not_geojson", path.name, **_NO_FEATURES)])
    return features


def _by_our_names(properties: dict[str, Any]) -> dict[str, Any]:
    """Return the properties under the names we give them; ours win over other names."""
    lowered = {name.lower(): value for name, value in properties.items()}
    for ours, others in COLUMNS.items():
        known = (lowered[name] for name in (ours, *others) if lowered.get(name) is not None)
        lowered[ours] = next(known, None)
    return lowered


def _measured(unit: Unit, outline: BaseGeometry) -> Unit:
    centre = outline.centroid
    if not outline.contains(centre):
        centre = outline.representative_point()
    return replace(
        unit,
        area_km2=unit.area_km2 or round(area_km2(outline), 2),
        lon=round(centre.x, 5),
        lat=round(centre.y, 5),
    )


class _Feature:
    """One feature of the file, read property by property; what is wrong is added to `found`."""

    def __init__(self, feature: Any, where: str, found: list[AreaProblem]) -> None:
        self._feature = feature if isinstance(feature, dict) else {}
        properties = self._feature.get("properties")
        self._properties = _by_our_names(properties if isinstance(properties, dict) else {})
        self._found = found
        code = self._properties.get("code")
        self.where = f"{where} ({code})" if code else where

    def unit(self, vintage: date, outline: BaseGeometry | None) -> Unit | None:
        """Return the unit, or None when something it needs is missing or unusable."""
        before = len(self._found)
        code, name = self._text("code", required=True), self._text("name", required=True)
        prefix = next((p for p in KINDS if name.startswith(p + " ")), "")
        short_name = self._text("short_name") or name.removeprefix(prefix).strip()
        kind, word = KINDS.get(prefix, ("unit", ""))
        unit = Unit(
            code=code,
            vintage=vintage,
            name=name,
            short_name=short_name,
            name_en=self._text("name_en") or f"{anyascii(short_name)} {word}".strip(),
            kind=self._text("kind") or kind,
            parent_code=self._text("parent_code"),
            population=int(self._number("population")),
            area_km2=self._number("area_km2"),
            lon=0.0,
            lat=0.0,
        )
        if outline is None or len(self._found) > before:
            return None
        return _measured(unit, outline)

    def outline(self) -> BaseGeometry | None:
        """Return the outline, or None when it is missing or invalid."""
        geometry = self._feature.get("geometry")
        kind = geometry.get("type") if isinstance(geometry, dict) else None
        try:
            polygons = read_geometry(geojson.GeoJSON.to_instance(geometry))
        except (ValueError, TypeError, AttributeError):
            polygons = []
        if not polygons:
            found = [problem("bad_geometry", self.where, value=kind)]
        else:
            found = [
                p
                for number, rings in enumerate(polygons)
                for p in polygon_problems(rings, f"{self.where}.polygons[{number}]")
            ]
        self._found += found
        return None if found else shapely.union_all([to_polygon(rings) for rings in polygons])

    def add_to_group(self, groups: dict[str, Group], unit: Unit) -> None:
        """Add the unit to the former district its properties name, if they name one."""
        code = self._text("former_district_code")
        if not code:
            return
        name = self._text("former_district_name") or code
        prefix = next((p for p in KINDS if name.startswith(p + " ")), "")
        short_name = name.removeprefix(prefix).strip()
        known = groups.setdefault(
            code,
            Group(
                code=code,
                name=name,
                short_name=short_name,
                name_en=f"Former {anyascii(short_name)} {KINDS.get(prefix, ('', ''))[1]}".strip(),
                kind="former_district",
                vintage=unit.vintage,
            ),
        )
        share = self._number("former_district_share", default=1.0)
        groups[code] = replace(known, members={**known.members, unit.code: share})

    def _text(self, name: str, *, required: bool = False) -> str:
        value = self._properties.get(name)
        if value is None or value == "":
            if required:
                self._found.append(problem("missing_property", self.where, name=name))
            return ""
        if not isinstance(value, str):
            self._found.append(
                problem("bad_property", f"{self.where}.{name}", name=name, value=repr(value))
            )
            return ""
        return value.strip()

    def _number(self, name: str, *, default: float = 0.0) -> float:
        value = self._properties.get(name)
        if value is None:
            return default
        usable = isinstance(value, int | float) and not isinstance(value, bool)
        if not usable or not math.isfinite(value) or value < 0:
            self._found.append(
                problem("bad_property", f"{self.where}.{name}", name=name, value=repr(value))
            )
            return default
        return float(value)
