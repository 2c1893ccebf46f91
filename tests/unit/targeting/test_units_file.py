"""Units read from GeoJSON: everything, or nothing and every problem."""

import json
from datetime import date
from pathlib import Path

import pytest
from pyogrio import raw
from shapely import Point

from targeting.errors import UnitsFileError
from targeting.units import UnitKey
from targeting.units_file import UnitsFile, read_units_file
from tests.unit.targeting.maps import SQUARE as SQUARE_SHAPE
from tests.unit.targeting.maps import TRIANGLE, parts_of, write_map, write_shapefile, zipped

REFORM = date(2025, 7, 1)
SQUARE = [[105.8, 21.0], [105.9, 21.0], [105.9, 21.1], [105.8, 21.1], [105.8, 21.0]]
BOW_TIE = [[105.8, 21.0], [105.9, 21.1], [105.9, 21.0], [105.8, 21.1], [105.8, 21.0]]


def feature(geometry: object = None, **properties: object) -> dict[str, object]:
    known = {"code": "00004", "name": "Phường Ba Đình"} | properties
    return {
        "type": "Feature",
        "properties": {name: value for name, value in known.items() if value is not None},
        "geometry": geometry or {"type": "Polygon", "coordinates": [SQUARE]},
    }


def write(folder: Path, *features: object) -> Path:
    path = folder / "units.geojson"
    path.write_text(
        json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8"
    )
    return path


def problems_of(path: Path) -> list[tuple[str, str]]:
    with pytest.raises(UnitsFileError) as refused:
        read_units_file(path, REFORM)
    return [(p.code, p.where) for p in refused.value.problems]


def test_a_real_file_has_126_units_in_30_groups(real_file: UnitsFile):
    assert len(real_file.units) == len(real_file.outlines) == 126
    assert len(real_file.groups) == 30
    ba_dinh = next(u for u in real_file.units if u.code == "00004")
    assert (ba_dinh.name, ba_dinh.kind, ba_dinh.population) == ("Phường Ba Đình", "ward", 65_023)
    assert real_file.groups[0].members["00004"] == 0.924


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("hanoi_communes_2025_vnsdi_light", 126),
        ("hanoi_districts_2024", 30),
        ("hanoi_city", 1),
    ],
)
def test_other_real_files_are_read(boundaries: Path, name: str, number: int):
    read = read_units_file(boundaries / f"{name}.geojson", date(2024, 1, 1))
    assert len(read.units) == number
    assert all(unit.vintage == date(2024, 1, 1) for unit in read.units)


def test_what_may_be_missing_is_worked_out(tmp_path: Path):
    read = read_units_file(write(tmp_path, feature()), REFORM)
    (unit,) = read.units
    assert unit.key == UnitKey("00004", REFORM)
    assert (unit.short_name, unit.name_en, unit.kind) == ("Ba Đình", "Ba Dinh Ward", "ward")
    assert (unit.lon, unit.lat) == (105.85, 21.05)
    assert unit.area_km2 == pytest.approx(115, rel=0.01)
    assert unit.parent_code == ""
    assert unit.population == 0
    assert read.groups == ()


def test_former_districts_become_groups_with_shares(tmp_path: Path):
    district = {"former_district_code": "001", "former_district_name": "Quận Ba Đình"}
    path = write(
        tmp_path,
        feature(**district, former_district_share=0.9),
        feature(code="00008", name="Phường Ngọc Hà", **district),
    )
    (group,) = read_units_file(path, REFORM).groups
    assert (group.code, group.short_name, group.vintage) == ("001", "Ba Đình", REFORM)
    assert group.name_en == "Former Ba Dinh District"
    assert group.members == {"00004": 0.9, "00008": 1.0}


def test_a_multipolygon_is_one_unit(tmp_path: Path):
    island = [[x + 1, y] for x, y in SQUARE]
    shape = {"type": "MultiPolygon", "coordinates": [[SQUARE], [island]]}
    read = read_units_file(write(tmp_path, feature(shape)), REFORM)
    outline = read.outlines[UnitKey("00004", REFORM)]
    assert outline.geom_type == "MultiPolygon"
    assert outline.covers(Point(read.units[0].lon, read.units[0].lat))


def test_every_problem_of_a_file_is_told_with_its_feature(tmp_path: Path):
    path = write(
        tmp_path,
        feature(code=None),
        feature(name=None, code="00002"),
        feature(population="nhiều", code="00003"),
        feature(population=-1, code="00005"),
        feature({"type": "Polygon", "coordinates": [BOW_TIE]}, code="00006"),
        feature({"type": "Polygon", "coordinates": [SQUARE[:-1]]}, code="00007"),
        feature({"type": "Point", "coordinates": [105.8, 21.0]}, code="00008"),
        feature({"type": "MultiPolygon", "coordinates": []}, code="00009"),
        feature({"type": "Polygon", "coordinates": [[["x", 21.0]]]}, code="00011"),
        feature(code="00010"),
        feature(code="00010"),
        feature(code=4),
        "not a feature",
    )
    assert problems_of(path) == [
        ("missing_property", "features[0]"),
        ("missing_property", "features[1] (00002)"),
        ("bad_property", "features[2] (00003).population"),
        ("bad_property", "features[3] (00005).population"),
        ("self_crossing", "features[4] (00006).polygons[0].rings[0][0]"),
        ("unclosed_ring", "features[5] (00007).polygons[0].rings[0]"),
        ("bad_geometry", "features[6] (00008)"),
        ("bad_geometry", "features[7] (00009)"),
        ("bad_geometry", "features[8] (00011)"),
        ("duplicate_unit", "features[10] (00010)"),
        ("bad_property", "features[11] (4).code"),
        ("bad_geometry", "features[12]"),
        ("missing_property", "features[12]"),
        ("missing_property", "features[12]"),
    ]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{",
        '{"type": "FeatureCollection"}',
        '{"type": "FeatureCollection", "features": []}',
        '{"type": "Topology"}',
    ],
)
def test_what_is_no_feature_collection_is_refused(tmp_path: Path, content: str):
    path = tmp_path / "units.geojson"
    path.write_text(content, encoding="utf-8")
    code = "not_geojson" if content else "empty_file"
    assert problems_of(path) == [(code, "units.geojson")]


def test_a_file_that_is_not_text_is_refused(tmp_path: Path):
    path = tmp_path / "units.geojson"
    path.write_bytes(b"\xff\xfe\x00PK\x03\x04")
    assert problems_of(path) == [("not_geojson", "units.geojson")]


COMMUNES = {
    "code": ["00004", "00008"],
    "name": ["Phường Ba Đình", "Phường Ngọc Hà"],
    "population": [65_023, 93_536],
    "parent_code": ["01", "01"],
    "former_district_code": ["001", "001"],
    "former_district_name": ["Quận Ba Đình"] * 2,
    "former_district_share": [0.9, 1.0],
}


@pytest.mark.filterwarnings("ignore:Normalized/laundered field name")  # ten letters in a shapefile
@pytest.mark.parametrize("kind", ["shp", "zip", "gpkg"])
def test_columns_of_other_files_are_read_as_properties(tmp_path: Path, kind: str):
    path = tmp_path / f"units.{kind}"
    if kind == "gpkg":
        write_map(path, [SQUARE_SHAPE, TRIANGLE], COMMUNES, "EPSG:3405", driver="GPKG")
    else:
        # A Shapefile cuts the names of columns to ten letters.
        write_shapefile(tmp_path / "units.shp", [SQUARE_SHAPE, TRIANGLE], COMMUNES, "EPSG:5897")
    if kind == "zip":
        path.write_bytes(zipped(parts_of(tmp_path / "units.shp")))
    read = read_units_file(path, REFORM)
    facts = [(u.code, u.name, u.population, u.parent_code) for u in read.units]
    assert facts == [
        ("00004", "Phường Ba Đình", 65_023, "01"),
        ("00008", "Phường Ngọc Hà", 93_536, "01"),
    ]
    (group,) = read.groups
    assert (group.name, group.members) == ("Quận Ba Đình", {"00004": 0.9, "00008": 1.0})
    assert read.outlines[UnitKey("00008", REFORM)].equals_exact(TRIANGLE, 1e-6, normalize=True)


def test_columns_as_land_offices_name_them(tmp_path: Path):
    names = {"MA_XA": "00004", "Ten_Xa": "Phường Ba Đình", "DAN_SO": 65_023, "MaTinh": "01"}
    read = read_units_file(write(tmp_path, feature(code=None, name=None, **names)), REFORM)
    (unit,) = read.units
    assert (unit.code, unit.name, unit.population, unit.parent_code) == (
        "00004",
        "Phường Ba Đình",
        65_023,
        "01",
    )


def test_our_names_of_columns_win(tmp_path: Path):
    (unit,) = read_units_file(write(tmp_path, feature(ma_xa="99999")), REFORM).units
    assert unit.code == "00004"


def test_a_shapefile_with_a_part_missing_is_refused(tmp_path: Path):
    path = write_shapefile(tmp_path / "units.shp", [SQUARE_SHAPE], {"code": ["00004"]})
    path.with_suffix(".prj").unlink()
    assert problems_of(path) == [("missing_part", "units.shp: units.shp")]


@pytest.mark.parametrize("kind", ["shp", "gpkg", "kml"])
def test_a_real_file_is_the_same_in_every_format(boundaries: Path, tmp_path: Path, kind: str):
    source = boundaries / "hanoi_communes_2025_vnsdi_light.geojson"
    drivers = {"shp": "ESRI Shapefile", "gpkg": "GPKG", "kml": "LIBKML"}
    meta, _, shapes, columns = raw.read(source, columns=["code", "name"])
    path = tmp_path / f"units.{kind}"
    fields = ["code", "name"]
    options = {"geometry_type": "MultiPolygon", "crs": meta["crs"], "driver": drivers[kind]}
    raw.write(path, shapes, columns, fields, **options)
    expected, found = read_units_file(source, REFORM), read_units_file(path, REFORM)
    assert [u.name for u in found.units] == [u.name for u in expected.units]
    for key, outline in expected.outlines.items():
        assert found.outlines[key].symmetric_difference(outline).area < 1e-9
