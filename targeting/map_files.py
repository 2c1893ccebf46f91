"""Map files of every kind as GeoJSON: told apart by what is in them, unpacked within limits."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyproj

from targeting import safe_xml
from targeting.errors import AreaError, problem
from targeting.faults import json_fault, no_object
from targeting.safe_xml import Node, UnsafeXml

MAX_BYTES = 20 * 1024**2
MAX_UNPACKED_BYTES = 100 * 1024**2
MAX_PACKED_FILES = 1_000
READ_S = 18

_READER = Path(__file__).parent / "gdal_process.py"
# Every driver but those for the kinds below: some read other files or the network when a file
# tells them to. A test holds this list complete.
_SKIPPED = (
    "ADBC,AIVector,AVCBin,AVCE00,AmigoCloud,CSV,CSW,Carto,DGN,DXF,EDIGEO,EEDA,ESRIJSON,"
    "Elasticsearch,FlatGeobuf,GDALG,GML,GPSBabel,GPX,GTFS,GeoJSONSeq,GeoRSS,HTTP,Idrisi,JML,"
    "JSONFG,KML,LVBAG,MBTiles,MVT,MapInfo File,MapML,MiraMonVector,NGW,OAPIF,ODS,OGCAPI,OGR_GMT,"
    "OGR_PDS,OGR_VRT,OSM,OpenFileGDB,PCIDSK,PDF,PDS4,PGDUMP,PLSCENES,PMTiles,S57,SQLite,SXF,"
    "Selafin,VDV,VFK,VICAR,WAsP,WFS,XLSX"
)
ENVIRONMENT = {
    "GDAL_SKIP": _SKIPPED,
    "PROJ_NETWORK": "OFF",
    "OPENBLAS_NUM_THREADS": "1",
}

_SHAPEFILE = b"\x00\x00\x27\x0a"
_SQLITE = b"SQLite format 3\x00"
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_NEEDED = (".shp", ".shx", ".dbf", ".prj")
_PARTS = (*_NEEDED, ".cpg")
_FILES = {"what_vi": "tệp", "what": "files"}
# Where the header of a .dbf says how long it is.
_DBF_HEADER_LENGTH = slice(8, 10)
_KML, _CAP, _GPKG, _TOPOJSON, _GEOJSON, _SHP = "kml", "cap", "gpkg", "topojson", "geojson", "shp"


@dataclass(frozen=True, slots=True)
class MapFile:
    """What a file turned out to hold: a GeoJSON object, or the bytes of a CAP alert."""

    geojson: dict[str, Any] | None = None
    cap: bytes | None = None


def read_map_file(name: str, data: bytes, max_bytes: int = MAX_BYTES) -> MapFile:
    """Read a GeoJSON, zipped Shapefile, GeoPackage, KML, KMZ, TopoJSON or CAP 1.2 file.

    `name` is only for the messages: what a file is shows in its content. Shapes come in WGS 84
    whatever their coordinate system; those of all layers with areas are taken.
    Raises AreaError with one problem that says what to do.
    """
    if len(data) > max_bytes:
        raise _refusal("too_big", name, limit=f"{max_bytes // 1024**2} MB")
    if not data.strip():
        raise _refusal("empty_file", name)
    if data.startswith(_ZIP):
        return _read_packed(name, data)
    return _read_one(name, data)


def read_map_path(path: Path) -> MapFile:
    """Read a map file from the disk; a Shapefile may lie there in parts, beside each other.

    Raises AreaError as read_map_file does, and OSError when there is no such file.
    """
    if path.suffix.lower() != ".shp":
        with path.open("rb") as file:
            return read_map_file(path.name, file.read(MAX_UNPACKED_BYTES + 1), MAX_UNPACKED_BYTES)
    beside = {
        PurePosixPath(part.name.lower()): part.read_bytes()
        for part in path.parent.iterdir()
        if part.stem == path.stem and part.suffix.lower() in _PARTS
    }
    return MapFile(geojson=_through_gdal(path.name, _shapefiles(path.name, beside)))


def _refusal(code: str, name: str, **facts: object) -> AreaError:
    return AreaError([problem(code, name, name=name, **facts)])


def _read_one(name: str, data: bytes) -> MapFile:
    kind = _kind_of(name, data)
    if kind == _CAP:
        return MapFile(cap=data)
    if kind == _SHP:
        raise _refusal("missing_part", name, parts=", ".join(_NEEDED[1:]))
    if kind == _GEOJSON:
        return MapFile(geojson=_geojson(name, data))
    return MapFile(geojson=_through_gdal(name, {f"map.{kind}": data}))


def _kind_of(name: str, data: bytes) -> str:
    """Return the kind of file that the content shows; raise AreaError when it shows none."""
    if data.startswith(_SQLITE):
        return _GPKG
    if data.startswith(_SHAPEFILE):
        return _SHP
    text = data.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"{"):
        return _TOPOJSON if _is_topology(_json(name, data)) else _GEOJSON
    if text.startswith((b"<", b"\xff\xfe<", b"\xfe\xff\x00<")):
        root = _root(name, data)
        if root.name == "kml":
            return _KML
        if root.name == "alert":
            return _CAP
    if name.lower().endswith((".geojson", ".json")):
        return _GEOJSON
    raise _refusal("not_a_file_we_read", name)


def _is_topology(document: dict[str, Any]) -> bool:
    return document.get("type") == "Topology" and {"objects", "arcs"} <= document.keys()


def _json(name: str, data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data.removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError) as error:
        raise AreaError([problem("not_geojson", name, **json_fault(data, error))]) from error
    if not isinstance(document, dict):
        raise AreaError([problem("not_geojson", name, **no_object())])
    return document


def _geojson(name: str, data: bytes) -> dict[str, Any]:
    """Return GeoJSON; an old file that names another coordinate system is transformed."""
    document = _json(name, data)
    system = document.get("crs")
    if not system or "CRS84" in json.dumps(system) or "4326" in json.dumps(system):
        return document
    _require_known(name, system)
    return _through_gdal(name, {"map.geojson": data})


def _require_known(name: str, system: object) -> None:
    """Refuse a coordinate system nobody knows: GDAL would take its numbers for degrees."""
    properties = system.get("properties") if isinstance(system, dict) else None
    called = properties.get("name") if isinstance(properties, dict) else None
    try:
        pyproj.CRS.from_user_input(called)
    except pyproj.exceptions.CRSError as error:
        raise _refusal("unknown_coordinates", name, crs=called or "?") from error


def _root(name: str, data: bytes) -> Node:
    """Return the root element of XML that declares and fetches nothing."""
    try:
        return safe_xml.read(data)
    except UnsafeXml as error:
        if error.code == "doctype":
            raise _refusal("unsafe_file", name) from error
        if error.code == "too_large":
            limit = f"{safe_xml.MOST_BYTES // 1024**2} MB"
            raise _refusal("too_big", name, limit=limit) from error
        raise _refusal("damaged_file", name) from error


def _read_packed(name: str, data: bytes) -> MapFile:
    """Read the one map in an archive: a Shapefile of any number of layers, or another file."""
    files = _unpack(name, data)
    shapefiles = _shapefiles(name, files)
    others = {path: content for path, content in files.items() if path.suffix not in _PARTS}
    maps = {path: content for path, content in others.items() if _looks_like_map(path, content)}
    if len(maps) + bool(shapefiles) > 1:
        listed = [path.name for path in maps] + [".shp"] * bool(shapefiles)
        raise _refusal("several_files", name, files=", ".join(sorted(listed)))
    if shapefiles:
        return MapFile(geojson=_through_gdal(name, shapefiles))
    if not maps:
        if any(path.suffix in _NEEDED for path in files):
            raise _refusal("missing_part", name, parts=_NEEDED[0])
        raise _refusal("not_a_file_we_read", name)
    return _read_one(name, next(iter(maps.values())))


def _unpack(name: str, data: bytes) -> dict[PurePosixPath, bytes]:
    """Return the files of an archive by their lower-case paths, all in memory."""
    left = MAX_UNPACKED_BYTES
    files: dict[PurePosixPath, bytes] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            if len(entries) > MAX_PACKED_FILES:
                raise _refusal("too_much_inside", name, limit=MAX_PACKED_FILES, **_FILES)
            for entry in entries:
                if entry.flag_bits & 1:
                    raise _refusal("locked_file", name)
                with archive.open(entry) as file:
                    # What the archive says of its sizes may be a lie.
                    content = file.read(left + 1)
                left -= len(content)
                if left < 0:
                    raise _refusal("too_big", name, limit=f"{MAX_UNPACKED_BYTES // 1024**2} MB")
                files[PurePosixPath(entry.filename.lower())] = content
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError) as error:
        raise _refusal("damaged_file", name) from error
    except (NotImplementedError, RuntimeError) as error:
        raise _refusal("not_a_file_we_read", name) from error
    return {p: c for p, c in files.items() if "__macosx" not in p.parts and p.name[:1] != "."}


def _looks_like_map(path: PurePosixPath, content: bytes) -> bool:
    """Tell whether a packed file is a map rather than a picture, a style or a note beside it."""
    if content.startswith(_SQLITE):
        return True
    return path.suffix in {".kml", ".json", ".geojson", ".topojson", ".gpkg"}


def _shapefiles(name: str, files: Mapping[PurePosixPath, bytes]) -> dict[str, bytes]:
    """Return the parts of every Shapefile under names of our own; refuse one with parts missing."""
    parts: dict[str, bytes] = {}
    for number, path in enumerate(p for p in files if p.suffix == ".shp"):
        known = {s: files[path.with_suffix(s)] for s in _PARTS if path.with_suffix(s) in files}
        missing = [suffix for suffix in _NEEDED if suffix not in known]
        if missing:
            raise _refusal("missing_part", f"{name}: {path.name}", parts=", ".join(missing))
        if ".cpg" not in known and _is_utf8(known[".dbf"]):
            known[".cpg"] = b"UTF-8"
        parts |= {f"{number}{suffix}": content for suffix, content in known.items()}
    return parts


def _is_utf8(dbf: bytes) -> bool:
    """Tell whether the rows are UTF-8, which a .dbf itself cannot say."""
    rows = dbf[int.from_bytes(dbf[_DBF_HEADER_LENGTH], "little") :]
    try:
        return not rows.decode("utf-8").isascii()
    except UnicodeDecodeError:
        return False


def _through_gdal(name: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    """Return what GDAL reads in the files, in a process that a hostile file may kill."""
    with tempfile.TemporaryDirectory(prefix="map-") as folder:
        for file_name, content in files.items():
            (Path(folder) / file_name).write_bytes(content)
        maps = [str(Path(folder) / n) for n in files if not n.endswith(_PARTS[1:])]
        answer = _run(name, maps)
    if "problem" in answer:
        raise _refusal(answer["problem"], name, **answer["facts"])
    return answer


def _run(name: str, paths: Iterable[str]) -> dict[str, Any]:
    environment = {**ENVIRONMENT, "PATH": os.environ.get("PATH", "")}
    try:
        done = subprocess.run(  # noqa: S603 - our own program, paths of our own
            [sys.executable, "-I", str(_READER), *paths],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=READ_S,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise _refusal("too_slow", name, seconds=READ_S) from late
    if done.returncode == -signal.SIGXCPU:
        raise _refusal("too_slow", name, seconds=READ_S)
    if done.returncode:
        raise _refusal("damaged_file", name)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
