"""Taking in real outlines, and a later vintage of units with all that hangs on the former one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import shapely
from shapely.geometry.base import BaseGeometry

from broadcaster import audit
from broadcaster.db import Conn
from broadcaster.errors import Refused
from broadcaster.people import handover, successors
from broadcaster.people.former_table import FormerRow, read_table
from broadcaster.people.moving import Moved, follow
from broadcaster.people.officials import Actor, require, root_ids
from broadcaster.people.units import (
    insert_group,
    insert_unit,
    load_map,
    short_name,
)
from targeting.errors import UnitsFileError
from targeting.units import Unit
from targeting.units_file import KINDS, UnitsFile, read_units_file

CITY_TIME = ZoneInfo("Asia/Ho_Chi_Minh")
STORED_KINDS = ("city", "district", "town", "ward", "commune", "township")


@dataclass(frozen=True, slots=True)
class ImportedUnits:
    """What an import did."""

    added: int
    updated: int
    closed: int
    """Units of older vintages that end where this vintage begins."""
    people: Moved
    left_roles: tuple[handover.LeftRole, ...]
    """Of every vintage before today's, not of this import alone."""


async def import_units(
    conn: Conn,
    actor: Actor | None,
    now: datetime,
    path: Path,
    vintage: date,
    table: Path | None = None,
) -> ImportedUnits:
    """Import a file of units; all of it or, with every problem named, nothing.

    The same vintage again replaces outlines and names. A later one ends the former: units with
    one successor hand on their roles, groups and rules, people follow their units. `table` is the
    city's own CSV file from old to new units.
    """
    if actor is not None:
        await require(conn, actor, "admin", await root_ids(conn))
    if vintage > now.astimezone(CITY_TIME).date():
        raise Refused(
            "vintage_ahead",
            f"Bộ đơn vị có hiệu lực từ {vintage:%d/%m/%Y}: hãy nhập vào đúng ngày đó.",
            f"These units come into force on {vintage}: import them on that day.",
        )
    rows = await asyncio.to_thread(read_table, table) if table else None
    try:
        file = await asyncio.to_thread(read_units_file, path, vintage)
    except UnitsFileError as error:
        raise _refused(path, error) from error
    file = _with_stored_kinds(file)
    async with conn.transaction():
        await conn.execute("LOCK TABLE unit IN SHARE ROW EXCLUSIVE MODE")
        updated, added = await _write_units(conn, file, vintage)
        closed = await _order_vintages(conn, vintage)
        await _fill_successors(conn, vintage, rows)
        lacking = await handover.groups_without(conn, vintage)
        for group in file.groups:
            await insert_group(conn, group)
        await handover.hand_on(conn, vintage, lacking)
        people = await follow(conn, now, await load_map(conn), everybody=True)
        left = await handover.left_roles(conn)
        await audit.record(
            conn, actor.official_id if actor else None, now, "units.imported", "unit", None,
            file=path.name, table=table.name if table else None, vintage=vintage.isoformat(),
            added=added, updated=updated, closed=closed, **asdict(people), left_roles=len(left),
        )  # fmt: skip
    return ImportedUnits(added, updated, closed, people, left)


async def _write_units(conn: Conn, file: UnitsFile, vintage: date) -> tuple[int, int]:
    await _carry_parents(conn, file, vintage)
    updated = await _update(conn, file)
    added = 0
    for unit in file.units:
        added += await insert_unit(conn, unit, file.outlines[unit.key], approximate=False)
    await _redraw_parents(conn, vintage)
    return updated, added


async def _fill_successors(conn: Conn, vintage: date, table: Sequence[FormerRow] | None) -> None:
    """Join this vintage to the one before it and, where it comes in late, to the one after it."""
    await successors.fill(conn, vintage, table)
    following = await conn.fetchval("SELECT min(vintage) FROM unit WHERE vintage > $1", vintage)
    if following is not None:
        await successors.fill(conn, following)


def _refused(path: Path, error: UnitsFileError) -> Refused:
    vietnamese = "; ".join(f"{p.where}: {p.message_vi}" for p in error.problems[:20])
    english = "; ".join(f"{p.where}: {p.message_en}" for p in error.problems[:20])
    return Refused(
        "units_file",
        f"Chưa nhập được tệp {path.name}, không có gì thay đổi: {vietnamese}",
        f"{path.name} was not imported and nothing was changed: {english}",
        problems=error.problems,
    )


def _with_stored_kinds(file: UnitsFile) -> UnitsFile:
    """Call kinds as we do: a file may say `urban district` of what its name calls a Quận."""
    units = [replace(unit, kind=_stored_kind(unit)) for unit in file.units]
    unknown = [unit for unit in units if unit.kind not in STORED_KINDS]
    if unknown:
        names = ", ".join(f"{unit.code} ({unit.kind})" for unit in unknown[:10])
        raise Refused(
            "unit_kind",
            f"Loại đơn vị không dùng được: {names}; cần một trong {', '.join(STORED_KINDS)}.",
            f"These kinds of unit are not known here: {names}; use {', '.join(STORED_KINDS)}.",
        )
    return replace(file, units=tuple(units))


def _stored_kind(unit: Unit) -> str:
    if unit.kind in STORED_KINDS:
        return unit.kind
    named = (kind for words, (kind, _) in KINDS.items() if unit.name.startswith(words + " "))
    return next(named, unit.kind)


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
