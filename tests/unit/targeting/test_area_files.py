"""Uploaded map files: every kind, in every coordinate system, gives the same area."""

import json
import math
import sqlite3
import struct
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import shapely

from targeting.area import Area
from targeting.area_files import read_area_file
from targeting.errors import AreaError
from targeting.outlines import Outlines
from targeting.shapes import Circle
from tests.unit.targeting.maps import (
    KML,
    PLACEMARK,
    SQUARE,
    TRIANGLE,
    parts_of,
    refused,
    same,
    shape_of,
    write_map,
    write_shapefile,
    zipped,
)

TOPOLOGY = {
    "type": "Topology",
    "transform": {"scale": [0.05, 0.05], "translate": [105.8, 21.0]},
    "objects": {"flood": {"type": "Polygon", "arcs": [[0]]}},
    "arcs": [[[0, 0], [1, 0], [0, 1], [-1, 0], [0, -1]]],
}


def test_a_zipped_shapefile_in_any_folder(shapefile: dict[str, bytes]):
    packed = {f"Bản đồ/Lũ 2025/{name}": content for name, content in shapefile.items()}
    packed |= {"__MACOSX/._vùng.shp": b"\0", "đọc.txt": b"xin chao", "Bản đồ/.DS_Store": b"\0"}
    assert same(read_area_file("lũ.zip", zipped(packed)), SQUARE, TRIANGLE)


def test_shapefiles_in_one_archive_are_layers(tmp_path: Path):
    one = parts_of(write_shapefile(tmp_path / "A.SHP", [SQUARE]))
    other = parts_of(write_shapefile(tmp_path / "b.shp", [TRIANGLE], crs="EPSG:3405"))
    assert same(read_area_file("hai.zip", zipped(one | other)), SQUARE, TRIANGLE)


def test_a_geopackage_gives_its_layers_with_areas(tmp_path: Path):
    path = write_map(tmp_path / "a.gpkg", [SQUARE], driver="GPKG", layer="vùng")
    write_map(path, [TRIANGLE], driver="GPKG", layer="thêm", append=True, crs="EPSG:9210")
    write_map(path, [SQUARE.centroid], driver="GPKG", layer="nhãn", append=True)
    assert same(read_area_file("không có đuôi", path.read_bytes()), SQUARE, TRIANGLE)


def test_points_and_lines_with_a_distance_are_areas(tmp_path: Path):
    path = tmp_path / "a.gpkg"
    point, line = shapely.Point(105.8, 21.0), shapely.LineString([(105.8, 21.0), (105.9, 21.1)])
    write_map(path, [point], {"radius": [500]}, driver="GPKG", layer="p")
    write_map(path, [line], {"metres": [2000]}, driver="GPKG", layer="l", append=True)
    area = read_area_file("a.gpkg", path.read_bytes())
    assert [c.metres for c in area.include.circles] == [500]
    assert [along.metres for along in area.include.lines] == [2000]


def test_a_point_without_a_distance_is_told(tmp_path: Path):
    path = write_map(tmp_path / "a.gpkg", [SQUARE.centroid], driver="GPKG")
    with pytest.raises(AreaError) as error:
        read_area_file("a.gpkg", path.read_bytes())
    assert [(p.code, p.where) for p in error.value.problems] == [("needs_distance", "features[0]")]


def test_curves_become_lines(tmp_path: Path):
    corners = [(105.80, 21.0), (105.85, 21.05), (105.90, 21.0), (105.85, 20.95), (105.80, 21.0)]
    string = struct.pack("<BII", 1, 8, 5) + b"".join(struct.pack("<dd", *c) for c in corners)
    disc = struct.pack("<BII", 1, 10, 1) + string
    path = write_map(tmp_path / "a.gpkg", [SQUARE], driver="GPKG", SPATIAL_INDEX="NO")
    header = b"GP\x00\x01" + struct.pack("<I", 4326)
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE gpkg_geometry_columns SET geometry_type_name = 'CURVEPOLYGON'")
        database.execute("UPDATE a SET geom = ?", (header + disc,))
        database.commit()
    area = shape_of(read_area_file("a.gpkg", path.read_bytes())).area
    assert area == pytest.approx(math.pi * 0.05**2, rel=1e-3)


POINT = b"""<Placemark><ExtendedData><Data name="Radius"><value>750,5</value></Data></ExtendedData>
<Point><coordinates>105.9,21.1,3</coordinates></Point></Placemark>"""


def test_kml():
    area = read_area_file("sai đuôi.txt", KML % (PLACEMARK + POINT))
    assert same(Area(replace(area.include, circles=())), SQUARE)
    assert area.include.circles == (Circle(105.9, 21.1, 750.5),)


def test_kmz():
    packed = zipped({"doc.kml": KML % PLACEMARK, "files/icon.png": b"\x89PNG"})
    assert same(read_area_file("a.kmz", packed), SQUARE)


def test_topojson():
    assert same(read_area_file("a.topojson", json.dumps(TOPOLOGY).encode()), SQUARE)


def test_cap():
    text = b"""<?xml version="1.0" encoding="UTF-8"?>
    <alert xmlns="urn:oasis:names:tc:emergency:cap:1.2"><info><area><areaDesc>Ng\xe1\xba\xadp
    </areaDesc>
    <polygon>21,105.8 21,105.85 21.05,105.85 21.05,105.8 21,105.8</polygon>
    <circle>21.1,105.9 0.5</circle></area></info></alert>"""
    area = read_area_file("tin.xml", text)
    assert same(Area(replace(area.include, circles=())), SQUARE)
    assert area.include.circles == (Circle(105.9, 21.1, 500),)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf\n "])
def test_geojson(mark: bytes):
    area = Area.of_polygons([SQUARE, TRIANGLE])
    nothing = {"type": "Feature", "properties": {}, "geometry": None}
    document = json.loads(area.to_geojson(Outlines([], [], {})))
    document["features"].append(nothing)
    assert read_area_file("a.json", mark + json.dumps(document).encode()) == area


@pytest.mark.parametrize("crs", ["EPSG:4756", "EPSG:5897", "EPSG:9218"])
def test_geojson_of_old_names_its_coordinate_system(tmp_path: Path, crs: str):
    path = write_map(tmp_path / "a.geojson", [TRIANGLE], crs=crs, driver="GeoJSON", RFC7946="NO")
    assert same(read_area_file("a.geojson", path.read_bytes()), TRIANGLE)


# What land offices write for the zone of Hanoi: no EPSG code, the datum by the name Esri uses.
HANOI_ZONE = (
    'PROJCS["VN2000_HaNoi",GEOGCS["GCS_VN_2000",DATUM["D_Vietnam_2000",SPHEROID["WGS_1984",'
    '6378137.0,298.257223563]],PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]],'
    'PROJECTION["Transverse_Mercator"],PARAMETER["False_Easting",500000.0],PARAMETER['
    '"False_Northing",0.0],PARAMETER["Central_Meridian",105.0],PARAMETER["Scale_Factor",0.9999],'
    'PARAMETER["Latitude_Of_Origin",0.0],UNIT["Meter",1.0]]'
)


def test_the_provincial_zone_of_vn_2000_lands_where_it_should(tmp_path: Path):
    parts = parts_of(write_shapefile(tmp_path / "a.shp", [SQUARE], crs="EPSG:5897"))
    parts["a.prj"] = HANOI_ZONE.encode()
    assert same(read_area_file("a.zip", zipped(parts)), SQUARE)
    parts["a.prj"] = HANOI_ZONE.replace("D_Vietnam_2000", "VN2000").encode()
    assert same(read_area_file("a.zip", zipped(parts)), SQUARE)
    # Read as WGS 84 the same numbers would be about 200 m off: people across the street.
    parts["a.prj"] = (
        HANOI_ZONE.replace("GCS_VN_2000", "GCS_WGS_1984")
        .replace("D_Vietnam_2000", "D_WGS_1984")
        .encode()
    )
    shifted = shape_of(read_area_file("a.zip", zipped(parts))).centroid
    assert 0.0015 < shifted.distance(SQUARE.centroid) < 0.0025


@pytest.mark.parametrize(
    "prj",
    [
        'LOCAL_CS["Công trường",UNIT["Meter",1.0]]',
        HANOI_ZONE.replace("D_Vietnam_2000", "D_Cong_Truong"),
    ],
)
def test_an_unknown_coordinate_system_is_named(shapefile: dict[str, bytes], prj: str):
    found = refused("a.zip", zipped(shapefile | {"vùng.prj": prj.encode()}))
    assert found.code == "unknown_coordinates"
    assert prj.split('"')[1] in found.message_en


@pytest.mark.parametrize("called", ["EPSG:999999", "urn:ogc:def:crs:EPSG::999999", None])
def test_geojson_in_a_coordinate_system_nobody_knows_is_not_taken_for_degrees(called: str | None):
    document = {
        "type": "Polygon",
        "coordinates": [[[105.8, 21], [105.9, 21], [105.9, 21.1], [105.8, 21]]],
        "crs": {"type": "name", "properties": {"name": called}},
    }
    found = refused("a.geojson", json.dumps(document).encode())
    assert found.code == "unknown_coordinates"
    assert called is None or called in found.message_en


# The datum said by its seven parameters, as a coordinate system that somebody made up says it.
OWN_SHIFT = (
    "+proj=tmerc +lon_0=105 +k=0.9999 +x_0=500000 +ellps=WGS84 +units=m +no_defs"
    " +towgs84=-191.90441429,-39.30318279,-111.45032835,-0.00928836,0.01975479,-0.00427372,"
    "0.252906278"
)


def test_a_shift_that_the_file_gives_is_applied(tmp_path: Path):
    path = write_map(tmp_path / "a.gpkg", [SQUARE], crs=OWN_SHIFT, driver="GPKG")
    found = shape_of(read_area_file("a.gpkg", path.read_bytes()))
    assert found.centroid.distance(SQUARE.centroid) < 1e-5


def test_a_shift_that_got_lost_is_not_ignored(tmp_path: Path):
    parts = parts_of(write_shapefile(tmp_path / "a.shp", [SQUARE], crs=OWN_SHIFT))
    assert b"TOWGS84" not in parts["a.prj"]
    assert refused("a.zip", zipped(parts)).code == "unknown_coordinates"


@pytest.mark.slow
def test_the_real_city_is_the_same_area_in_other_formats(boundaries: Path, tmp_path: Path):
    source = boundaries / "hanoi_city.geojson"
    expected = shape_of(read_area_file(source.name, source.read_bytes()))
    city = [shapely.from_geojson(json.dumps(f["geometry"])) for f in features_of(source)]
    shapefile = parts_of(write_shapefile(tmp_path / "a.shp", city, crs="EPSG:5897"))
    for name, data in {
        "a.zip": zipped(shapefile),
        "a.kml": write_map(tmp_path / "a.kml", city, driver="LIBKML").read_bytes(),
    }.items():
        found = shape_of(read_area_file(name, data))
        assert found.symmetric_difference(expected).area < 1e-6 * expected.area, name


def features_of(path: Path) -> list[dict[str, object]]:
    return json.loads(path.read_text(encoding="utf-8"))["features"]
