"""A small city before and after a reform; the units, codes and heirs are those of 2025-07-01.

Both vintages stand on one grid, in hundredths of a degree east and north of a corner:

    2024   Liễu Giai 0–1 | Ngọc Hà 1–2.8 | Trúc Bạch 2.8–4 | Xã Ngoài Bảng 4–6      (north 0–2)
           Giảng Võ 0–2                  | Kim Mã 2–4                               (north -2–0)
    2025   Ngọc Hà 0–2         | Ba Đình 2–4               | Xã Mới 4–6             (north 0–2)
           Giảng Võ 0–4                                                             (north -2–0)
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

import shapely

from broadcaster.db import Conn
from broadcaster.keyring import Keyring
from broadcaster.people import endpoints, register
from broadcaster.people.endpoints import Address
from broadcaster.people.register import Place
from broadcaster.people.unit_import import ImportedUnits, import_units
from broadcaster.people.units import load_map
from tests.unit.broadcaster.city import NOW, registration

OLD, NEW = date(2024, 1, 1), date(2025, 7, 1)
WEST, SOUTH = 105.80, 21.03
CITY = "01"
# code, name, west, south, east, north, group
BEFORE = [
    ("00008", "Phường Liễu Giai", 0, 0, 1, 2, "D1"),
    ("00016", "Phường Ngọc Hà", 1, 0, 2.8, 2, "D1"),
    ("00004", "Phường Trúc Bạch", 2.8, 0, 4, 2, "D1"),
    ("00031", "Phường Giảng Võ", 0, -2, 2, 0, ""),
    ("00028", "Phường Kim Mã", 2, -2, 4, 0, ""),
    ("90001", "Xã Ngoài Bảng", 4, 0, 6, 2, ""),
    ("90002", "Xã Biệt Lập", 50, 0, 52, 2, ""),
]
AFTER = [
    ("00008", "Phường Ngọc Hà", 0, 0, 2, 2, ""),
    ("00004", "Phường Ba Đình", 2, 0, 4, 2, ""),
    ("00025", "Phường Giảng Võ", 0, -2, 4, 0, ""),
    ("90009", "Xã Mới", 4, 0, 6, 2, ""),
]


def at(east: float, north: float) -> tuple[float, float]:
    """A point of the grid."""
    return round(WEST + east / 100, 5), round(SOUTH + north / 100, 5)


def box(west: float, south: float, east: float, north: float) -> Any:
    return shapely.box(*at(west, south), *at(east, north))


def write(path: Path, units: Iterable[tuple[Any, ...]]) -> Path:
    """A file of units under one city."""
    known = list(units)
    whole = shapely.union_all([box(*unit[2:6]) for unit in known])
    rows = [(CITY, "Thành phố Hà Nội", whole, "", "")]
    rows += [(unit[0], unit[1], box(*unit[2:6]), CITY, unit[6]) for unit in known]
    features = [
        {
            "type": "Feature",
            "properties": {"code": code, "name": name, "parent_code": parent, "population": 1000}
            | _group(group),
            "geometry": shape.__geo_interface__,
        }
        for code, name, shape, parent, group in rows
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def _group(code: str) -> dict[str, str]:
    named = {"former_district_code": code, "former_district_name": "Quận Một"}
    return named if code else {}


async def found_city(conn: Conn, folder: Path) -> None:
    """The city before the reform."""
    await import_units(conn, None, NOW, write(folder / "before.geojson", BEFORE), OLD)


async def unit(conn: Conn, code: str, vintage: date) -> int:
    return int(
        await conn.fetchval(
            "SELECT unit_id FROM unit WHERE code = $1 AND vintage = $2", code, vintage
        )
    )


async def resident(
    conn: Conn, keyring: Keyring, home: Place, *addresses: tuple[str, str], **more: Any
) -> int:
    """Somebody registered, whose addresses are reached."""
    told = addresses or (("email", "nobody@hn.example"),)
    receipt = await register.register(
        conn, keyring, await load_map(conn), NOW, registration(*told, home=home, **more)
    )
    person_id = int(
        await conn.fetchval("SELECT person_id FROM person WHERE public_id = $1", receipt.public_id)
    )
    # Proven once, even where nobody is reached there any more.
    await conn.execute(
        "UPDATE endpoint_claim SET used_at = $1 WHERE person_id = $2", NOW, person_id
    )
    known = await endpoints.ensure_active(
        conn, keyring, NOW, [Address(channel, address) for channel, address in addresses]
    )
    await endpoints.link(conn, NOW, [(person_id, endpoint_id) for endpoint_id in known.values()])
    return person_id


async def reform(conn: Conn, folder: Path, **more: Any) -> ImportedUnits:
    return await import_units(conn, None, NOW, write(folder / "after.geojson", AFTER), NEW, **more)
