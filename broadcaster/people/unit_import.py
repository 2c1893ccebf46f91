"""Taking in real outlines, and a later vintage of units with all that hangs on the former one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from broadcaster import audit
from broadcaster.db import Conn
from broadcaster.errors import Refused
from broadcaster.people.columns import copy_columns
from broadcaster.people.officials import Actor, require
from broadcaster.people.units import (
    UnitMap,
    insert_group,
    insert_unit,
    load_map,
    root_ids,
    short_name,
)
from targeting.errors import UnitsFileError
from targeting.units import Unit
from targeting.units_file import UnitsFile, read_units_file

CITY_TIME = ZoneInfo("Asia/Ho_Chi_Minh")
STORED_KINDS = ("city", "district", "ward", "commune")


@dataclass(frozen=True, slots=True)
class ImportedUnits:
    """What an import did."""

    added: int
    updated: int
    closed: int
    """Units of older vintages that end where this vintage begins."""
    moved: int
    """People's places that now belong to another unit."""
    outside: int
    """People's places whose point lies in none of today's units: they keep the unit they had."""


async def import_units(
    conn: Conn, actor: Actor | None, now: datetime, path: Path, vintage: date
) -> ImportedUnits:
    """Import a GeoJSON file of units; all of it or, with every problem named, nothing.

    The same vintage again replaces outlines and names. A later one ends the former: units that
    keep code, name and kind hand on their roles, their groups and the people known by unit only;
    people with a point go where their point lies.
    """
    if actor is not None:
        await require(conn, actor, "admin", await root_ids(conn))
    if vintage > now.astimezone(CITY_TIME).date():
        raise Refused(
            "vintage_ahead",
            f"Bộ đơn vị có hiệu lực từ {vintage:%d/%m/%Y}: hãy nhập vào đúng ngày đó.",
            f"These units come into force on {vintage}: import them on that day.",
        )
    try:
        file = await asyncio.to_thread(read_units_file, path, vintage)
    except UnitsFileError as error:
        raise _refused(path, error) from error
    _check_kinds(file)
    async with conn.transaction():
        await conn.execute("LOCK TABLE unit IN SHARE ROW EXCLUSIVE MODE")
        await _carry_parents(conn, file, vintage)
        updated = await _update(conn, file)
        added = 0
        for unit in file.units:
            added += await insert_unit(conn, unit, file.outlines[unit.key], approximate=False)
        await _redraw_parents(conn, vintage)
        closed = await _order_vintages(conn, vintage)
        for group in file.groups:
            await insert_group(conn, group)
        handed_on = await _hand_on(conn, vintage)
        moved, outside = await _place_people(conn, await load_map(conn))
        result = ImportedUnits(added, updated, closed, handed_on + moved, outside)
        await audit.record(
            conn, actor.official_id if actor else None, now, "units.imported", "unit", None,
            file=path.name, vintage=vintage.isoformat(), added=added, updated=updated,
            closed=closed, moved=result.moved, outside=outside,
        )  # fmt: skip
    return result


def _refused(path: Path, error: UnitsFileError) -> Refused:
    vietnamese = "; ".join(f"{p.where}: {p.message_vi}" for p in error.problems[:20])
    english = "; ".join(f"{p.where}: {p.message_en}" for p in error.problems[:20])
    return Refused(
        "units_file",
        f"Chưa nhập được tệp {path.name}, không có gì thay đổi: {vietnamese}",
        f"{path.name} was not imported and nothing was changed: {english}",
        problems=error.problems,
    )


def _check_kinds(file: UnitsFile) -> None:
    unknown = [unit for unit in file.units if unit.kind not in STORED_KINDS]
    if unknown:
        names = ", ".join(f"{unit.code} ({unit.kind})" for unit in unknown[:10])
        raise Refused(
            "unit_kind",
            f"Loại đơn vị không dùng được: {names}; cần một trong {', '.join(STORED_KINDS)}.",
            f"These kinds of unit are not known here: {names}; use {', '.join(STORED_KINDS)}.",
        )


async def _carry_parents(conn: Conn, file: UnitsFile, vintage: date) -> None:
    """Give this vintage the parents its file leaves out: a file of communes has no city in it."""
    inside = {unit.code for unit in file.units}
    absent = {unit.parent_code for unit in file.units} - inside - {""}
    rows = await conn.fetch(
        "SELECT DISTINCT ON (u.code) u.code, u.name, u.name_en, u.kind, u.population, u.area_km2,"
        " u.lon, u.lat, u.outline, coalesce(p.code, '') AS parent_code"
        " FROM unit u LEFT JOIN unit p ON p.unit_id = u.parent_id"
        " WHERE u.code = ANY($1) ORDER BY u.code, u.vintage DESC",
        list(absent),
    )
    for row in rows:
        facts = {name: row[name] for name in ("code", "name", "name_en", "kind", "parent_code")}
        sizes = {name: row[name] for name in ("population", "area_km2", "lon", "lat")}
        parent = Unit(vintage=vintage, short_name=short_name(row["name"]), **facts, **sizes)
        await insert_unit(conn, parent, shapely.from_wkb(row["outline"]), approximate=False)


async def _update(conn: Conn, file: UnitsFile) -> int:
    """Update the units that are there already; a population the file lacks is kept."""
    updated = 0
    for unit in file.units:
        done = await conn.execute(
            "UPDATE unit SET name = $3, name_en = $4, kind = $5,"
            " population = CASE WHEN $6 > 0 THEN $6 ELSE population END, area_km2 = $7,"
            " lon = $8, lat = $9, outline = $10, outline_approximate = false"
            " WHERE code = $1 AND vintage = $2",
            unit.code, unit.vintage, unit.name, unit.name_en, unit.kind, unit.population,
            unit.area_km2, unit.lon, unit.lat, shapely.to_wkb(file.outlines[unit.key]),
        )  # fmt: skip
        updated += done.endswith(" 1")
    return updated


async def _redraw_parents(conn: Conn, vintage: date) -> None:
    """Make each parent's outline the union of its children's, from the bottom up."""
    rows = await conn.fetch(
        "SELECT unit_id, parent_id, outline, outline_approximate FROM unit WHERE vintage = $1",
        vintage,
    )
    shapes: dict[int, BaseGeometry] = {r["unit_id"]: shapely.from_wkb(r["outline"]) for r in rows}
    guessed = {row["unit_id"]: row["outline_approximate"] for row in rows}
    children: dict[int, list[int]] = {}
    for row in rows:
        if row["parent_id"] in shapes:
            children.setdefault(row["parent_id"], []).append(row["unit_id"])

    def union(unit_id: int) -> BaseGeometry:
        below = children.get(unit_id, [])
        if below:
            shapes[unit_id] = shapely.union_all([union(child) for child in below])
            guessed[unit_id] = any(guessed[child] for child in below)
        return shapes[unit_id]

    for unit_id in children:
        shape = await asyncio.to_thread(union, unit_id)
        await conn.execute(
            "UPDATE unit SET outline = $2, outline_approximate = $3 WHERE unit_id = $1",
            unit_id, shapely.to_wkb(shape), guessed[unit_id],
        )  # fmt: skip


async def _order_vintages(conn: Conn, vintage: date) -> int:
    """End older vintages where this one begins, and this one where the next begins."""
    await conn.execute(
        "UPDATE unit SET valid_to = (SELECT min(vintage) FROM unit WHERE vintage > $1)"
        " WHERE vintage = $1",
        vintage,
    )
    done = await conn.execute(
        "UPDATE unit SET valid_to = $1 WHERE vintage < $1 AND coalesce(valid_to > $1, true)",
        vintage,
    )
    return int(done.split()[-1])


async def _hand_on(conn: Conn, vintage: date) -> int:
    """Move to this vintage what belongs to units that stay what they were; return the people.

    A reused code alone proves nothing (00004 was Trúc Bạch and is Ba Đình), so the name and the
    kind must be the same too. The points of people are looked at afterwards, one by one.
    """
    await conn.execute(
        "CREATE TEMP TABLE heir ON COMMIT DROP AS"
        " SELECT o.unit_id AS was, n.unit_id AS now FROM unit o"
        " JOIN unit n USING (code, name, kind)"
        " WHERE n.vintage = $1 AND n.valid_to IS NULL AND o.valid_to = $1",
        vintage,
    )
    await conn.execute(
        "INSERT INTO unit_group_member (group_id, unit_id, share)"
        " SELECT m.group_id, h.now, m.share FROM unit_group_member m JOIN heir h ON h.was = unit_id"
        " ON CONFLICT DO NOTHING"
    )
    await conn.execute(
        "UPDATE official_role r SET unit_id = h.now FROM heir h WHERE r.unit_id = h.was"
        " AND NOT EXISTS (SELECT FROM official_role k WHERE k.unit_id = h.now"
        "  AND k.official_id = r.official_id AND k.role = r.role)"
    )
    done = await conn.execute(
        "UPDATE person_place p SET unit_id = h.now FROM heir h"
        " WHERE p.unit_id = h.was AND p.by_unit_only"
    )
    await conn.execute("DROP TABLE heir")
    return int(done.split()[-1])


async def _place_people(conn: Conn, units: UnitMap) -> tuple[int, int]:
    """Put every place with a point into the unit its point lies in; return (moved, outside)."""
    rows = await copy_columns(
        conn,
        "SELECT t.person_id, t.place_no, t.x, t.y, p.unit_id"
        " FROM person_point t JOIN person_place p USING (person_id, place_no)",
        [("person", "i4"), ("place", "i2"), ("x", "i4"), ("y", "i4"), ("unit", "i4")],
    )
    points = np.column_stack((rows["x"], rows["y"])) / 1e5
    found = await asyncio.to_thread(units.locate_many, points)
    stray = (found != 0) & (found != rows["unit"])
    await conn.execute(
        "CREATE TEMP TABLE moved (person_id int, place_no smallint, unit_id int) ON COMMIT DROP"
    )
    await conn.copy_records_to_table(
        "moved",
        records=_records(rows["person"][stray], rows["place"][stray], found[stray]),
    )
    done = await conn.execute(
        "UPDATE person_place p SET unit_id = m.unit_id FROM moved m"
        " WHERE p.person_id = m.person_id AND p.place_no = m.place_no"
    )
    await conn.execute("DROP TABLE moved")
    return int(done.split()[-1]), int(np.count_nonzero(found == 0))


def _records(*columns: np.ndarray) -> Iterable[tuple[int, ...]]:
    return zip(*(column.tolist() for column in columns), strict=True)
