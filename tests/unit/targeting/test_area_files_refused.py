"""Uploaded map files that cannot be read, or are hostile: a reason is given, nothing is harmed."""

import json
import os
import re
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from targeting import map_files
from targeting.area import Area
from targeting.area_files import read_area_file
from targeting.errors import AreaError
from targeting.map_files import ENVIRONMENT, MAX_PACKED_FILES
from tests.unit.targeting.maps import (
    KML,
    PLACEMARK,
    SQUARE,
    TRIANGLE,
    refused,
    same,
    write_map,
    zipped,
)


@pytest.mark.parametrize("part", [".shx", ".dbf", ".prj"])
def test_a_shapefile_with_a_part_missing_says_which(shapefile: dict[str, bytes], part: str):
    del shapefile[f"vùng{part}"]
    found = refused("a.zip", zipped(shapefile))
    assert found.code == "missing_part"
    assert f"lacks {part};" in found.message_en


def test_a_shapefile_without_its_shp_is_told_that(shapefile: dict[str, bytes]):
    del shapefile["vùng.shp"]
    found = refused("a.zip", zipped(shapefile))
    assert found.code == "missing_part"
    assert "thiếu .shp;" in found.message_vi


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b'{"type": "FeatureCollection", "features": [{"type": "Fea', "bị cắt giữa chừng, hãy gửi"),
        (b'{"type": "FeatureCollection", "features": []', "bị cắt giữa chừng, hãy gửi lại"),
        (b'{"type" "Point"}', "sai cú pháp ở dòng 1, cột 9"),
        (b'{"type": "\xff"}', "không ở dạng UTF-8"),
        (b"[" * 100_000, "lồng nhau quá sâu"),
        (b"[1]", "không phải một đối tượng"),
    ],
    ids=["in a word", "after a bracket", "syntax", "letters", "depth", "list"],
)
def test_what_json_lacks_is_told_in_the_language_of_the_sentence(data: bytes, told: str):
    with pytest.raises(AreaError) as error:
        read_area_file("a.json", data)
    (found,) = error.value.problems
    assert found.code == "not_geojson"
    assert told in found.message_vi
    assert not re.search(r"Expecting|delimiter|codec|column|line", found.message_vi)


def test_an_empty_text_is_told_to_be_empty():
    with pytest.raises(AreaError) as error:
        Area.from_geojson("")
    assert "tệp trống" in error.value.problems[0].message_vi


def test_points_of_a_file_are_told_what_they_lack():
    with pytest.raises(AreaError) as error:
        read_area_file("a.geojson", b'{"type": "Point", "coordinates": [105.8, 21.0]}')
    (found,) = error.value.problems
    assert found.code == "needs_distance"
    assert "một điểm" in found.message_vi
    assert "Point" not in found.message_vi + found.message_en


def test_a_shp_alone_is_told_what_it_lacks(shapefile: dict[str, bytes]):
    assert refused("a.shp", shapefile["vùng.shp"]).code == "missing_part"


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("a.zip", b" \n", "empty_file"),
        ("a.docx", zipped({"word/document.xml": b"<w/>"}), "not_a_file_we_read"),
        ("a.zip", zipped({}), "not_a_file_we_read"),
        ("a.pdf", b"%PDF-1.7", "not_a_file_we_read"),
        ("a.xml", b"<html></html>", "not_a_file_we_read"),
        ("a.vrt", b'<OGRVRTDataSource><OGRVRTLayer name="x"/></OGRVRTDataSource>', None),
        ("a.json", b"[1, 2]", "not_geojson"),
        ("a.json", b'{"type": ', "not_geojson"),
        ("a.json", b"[" * 100_000, "not_geojson"),
        ("a.geojson", b'{"type": "FeatureCollection", "features": []}', "no_shapes"),
        ("a.kml", KML[:-10] % PLACEMARK, "damaged_file"),
        ("a.zip", zipped({"a.kml": KML % PLACEMARK})[:200], "damaged_file"),
        ("a.zip", zipped({"a.kml": KML, "b.geojson": b"{}"}), "several_files"),
        ("a.zip", zipped({str(n): b"" for n in range(MAX_PACKED_FILES + 1)}), "too_much_inside"),
        ("a.geojson", bytes(20 * 1024**2 + 1), "too_big"),
        ("a.kml", KML % (b" " * 8 * 1024**2), "too_big"),
    ],
    ids=lambda value: None if isinstance(value, bytes) else str(value),
)
def test_what_cannot_be_read_is_refused_with_a_reason(name: str, data: bytes, code: str | None):
    with pytest.raises(AreaError) as error:
        read_area_file(name, data)
    assert [p.code for p in error.value.problems] == [code or "not_a_file_we_read"]


def test_a_bomb_is_refused_and_is_one_still_when_it_lies_about_its_sizes():
    packed = bytearray(zipped({"a.kml": bytes(101 * 1024**2)}))
    assert refused("bomb.zip", bytes(packed)).code == "too_big"
    truth = struct.pack("<I", 101 * 1024**2)
    assert packed.count(truth) == 2
    with pytest.raises(AreaError) as error:
        read_area_file("a.zip", bytes(packed.replace(truth, struct.pack("<I", 1000))))
    assert error.value.problems[0].code in {"too_big", "damaged_file"}


def test_an_archive_with_a_password_is_refused():
    packed = bytearray(zipped({"a.kml": KML % PLACEMARK}))
    packed[packed.index(b"PK\x03\x04") + 6] |= 1
    packed[packed.index(b"PK\x01\x02") + 8] |= 1
    assert refused("a.zip", bytes(packed)).code == "locked_file"


def test_names_in_an_archive_lead_nowhere(tmp_path: Path, shapefile: dict[str, bytes]):
    evil = {f"../../../..{tmp_path}/evil{Path(n).suffix}": c for n, c in shapefile.items()}
    assert same(read_area_file("a.zip", zipped(evil)), SQUARE, TRIANGLE)
    assert list(tmp_path.glob("evil*")) == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_xml_with_a_document_type_is_refused(tmp_path: Path, encoding: str):
    secret = tmp_path / "secret"
    secret.write_text("105.8,21 105.9,21 105.9,21.1 105.8,21", encoding="utf-8")
    text = (
        f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE kml [<!ENTITY x SYSTEM'
        f' "{secret.as_uri()}">]><kml xmlns="http://www.opengis.net/kml/2.2"><name>&x;</name></kml>'
    )
    assert refused("a.kml", text.encode(encoding)).code == "unsafe_file"


def test_nothing_a_file_names_is_fetched():
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/x.kml"
        link = f"<NetworkLink><Link><href>{address}</href></Link></NetworkLink>".encode()
        style = f"<styleUrl>{address}#s</styleUrl>".encode()
        marked = PLACEMARK.replace(b"<Polygon>", style + b"<Polygon>")
        vrt = f'<!-- <OGRVRTDataSource><OGRVRTLayer name="x"><SrcDataSource>/vsicurl/{address}'
        vrt += "</SrcDataSource></OGRVRTLayer></OGRVRTDataSource> -->"
        text = KML.replace(b"<Document>", vrt.encode() + b"<Document>") % (link + marked)
        assert same(read_area_file("a.kml", text), SQUARE)
        assert refused("a.kml", KML % link).code == "no_shapes"
        with pytest.raises(BlockingIOError):
            server.accept()


def test_only_the_drivers_for_our_kinds_of_file_are_there():
    known = subprocess.run(
        [sys.executable, "-I", "-c", "import pyogrio; print(*pyogrio.list_drivers(), sep='|')"],
        env={**ENVIRONMENT, "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    # MEM is where GDAL keeps what the others read; it reads nothing.
    ours = {"ESRI Shapefile", "GPKG", "LIBKML", "GeoJSON", "TopoJSON", "MEM"}
    assert set(known.split("|")) == ours


@pytest.mark.parametrize("length", [40, 4096, 30_000])
def test_a_geopackage_that_was_cut_off_is_damaged(tmp_path: Path, length: int):
    path = write_map(tmp_path / "a.gpkg", [SQUARE], driver="GPKG")
    found = refused("a.gpkg", path.read_bytes()[:length])
    assert found.code == "damaged_file"
    assert not re.search(r"/tmp|map-", found.message_en)


def test_a_shapefile_that_was_cut_off_is_damaged(shapefile: dict[str, bytes]):
    shapefile["vùng.shp"] = shapefile["vùng.shp"][:150]
    assert refused("a.zip", zipped(shapefile)).code == "damaged_file"


@pytest.mark.parametrize(
    ("program", "seconds", "code"),
    [
        ("import os; os.abort()", 10.0, "damaged_file"),
        ("import time; time.sleep(9)", 0.2, "too_slow"),
        ("import os; os.kill(os.getpid(), 24)", 10.0, "too_slow"),
    ],
)
def test_a_reader_that_dies_or_hangs_takes_nobody_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, seconds: float, code: str
):
    reader = tmp_path / "reader.py"
    reader.write_text(program, encoding="utf-8")
    monkeypatch.setattr(map_files, "_READER", reader)
    monkeypatch.setattr(map_files, "READ_S", seconds)
    assert refused("a.kml", KML % PLACEMARK).code == code


def test_a_file_with_too_many_points_is_too_big(tmp_path: Path):
    program = (
        "import runpy, sys; reader = runpy.run_path(sys.argv[1]);"
        " reader['main'].__globals__['MAX_POINTS'] = 3;"
        " reader['main'](sys.argv[2:])"
    )
    path = write_map(tmp_path / "a.gpkg", [SQUARE], driver="GPKG")
    done = subprocess.run(
        [sys.executable, "-I", "-c", program, map_files._READER, path],
        env={**ENVIRONMENT, "PATH": os.environ["PATH"]},
        capture_output=True,
        check=True,
    )
    told = json.loads(done.stdout)
    assert (told["problem"], told["facts"]["limit"]) == ("too_much_inside", 3)
