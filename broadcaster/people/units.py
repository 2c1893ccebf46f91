"""Administrative units and groups as this service knows them. Writes unit and unit_group*.

Elsewhere a unit is its surrogate id; targeting knows (code, vintage). A UnitMap holds both and
the outlines, so that a point finds its unit without the database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cached_property

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from broadcaster import audit
from broadcaster.db import Conn
from broadcaster.people.officials import IN_FORCE
from targeting.area import Area
from targeting.outlines import Outlines, draw_outlines
from targeting.places import UnitLocator, locator_of
from targeting.units import Group, Unit, UnitKey, read_groups, read_units
from targeting.units_file import KINDS


@dataclass(frozen=True, slots=True)
class UnitRow:
    """One unit without its outline."""

    unit_id: int
    code: str
    vintage: date
    name: str
    name_en: str
    kind: str
    parent_id: int | None
    population: int
    area_km2: float
    lon: float
    lat: float
    outline_approximate: bool


@dataclass(frozen=True, slots=True)
class GroupRow:
    """One group with its members of one vintage and the share of each that lies in it."""

    group_id: int
    code: str
    name: str
    name_en: str
    kind: str
    shares: Mapping[int, float]


@dataclass(frozen=True)
class UnitMap:
    """Units of one vintage with outlines. Immutable: keep it until `map_stamp` changes."""

    outlines: Outlines
    ids: Mapping[UnitKey, int]
    approximate: bool

    @cached_property
    def keys(self) -> dict[int, UnitKey]:
        """The key of each unit id."""
        return {unit_id: key for key, unit_id in self.ids.items()}

    @cached_property
    def by_code(self) -> dict[str, int]:
        """The id of each lowest unit by its code: of units in force, a code names one."""
        return {key.code: self.ids[key] for key in self.outlines.lowest}

    @cached_property
    def lowest_ids(self) -> NDArray[np.int32]:
        """Ids of the lowest units, in the order of `outlines.lowest`."""
        return np.array([self.ids[key] for key in self.outlines.lowest], dtype=np.int32)

    @cached_property
    def _locator(self) -> UnitLocator:
        return locator_of(self.outlines)

    def locate(self, lon: float, lat: float) -> int | None:
        """Return the lowest unit that holds the point (a border belongs to it), or None."""
        found = int(self.locate_many(np.array([[lon, lat]]))[0])
        return found or None

    def locate_many(self, lonlat: NDArray[np.float64]) -> NDArray[np.int32]:
        """Return the unit id of each point, 0 where it lies in none.

        On a border between two units the lower code wins, always the same one.
        """
        positions = self._locator.positions(lonlat[:, 0], lonlat[:, 1])
        return np.append(self.lowest_ids, np.int32(0))[positions]


_COLUMNS = (
    "unit_id, code, vintage, name, name_en, kind, parent_id, population, area_km2, lon, lat,"
    " outline_approximate"
)


async def seed_units(conn: Conn, now: datetime) -> int:
    """Add the units and groups that ship with us, outlines drawn; return how many were new.

    Where any unit is known already, of whatever vintage or city, nothing is added: that came from
    a file, and a second set of units in force beside it would be one too many.
    """
    if await conn.fetchval("SELECT EXISTS (SELECT FROM unit)"):
        return 0
    units, groups = read_units(), read_groups()
    drawn = await asyncio.to_thread(draw_outlines, units)
    outlines = Outlines(units, groups, drawn)
    added = 0
    async with conn.transaction():
        for unit in _parents_first(units):
            added += await insert_unit(conn, unit, outlines.unit(unit.key), approximate=True)
        for group in groups:
            await insert_group(conn, group)
        await audit.record(conn, None, now, "units.seeded", "unit", None, added=added)
    return added


def _parents_first(units: Iterable[Unit]) -> list[Unit]:
    known = {unit.key: unit for unit in units}

    def depth(unit: Unit) -> int:
        parent = known.get(UnitKey(unit.parent_code, unit.vintage))
        return 0 if parent is None else 1 + depth(parent)

    return sorted(known.values(), key=lambda unit: (depth(unit), unit.code))


async def insert_unit(conn: Conn, unit: Unit, outline: BaseGeometry, *, approximate: bool) -> bool:
    """Insert a unit under its parent of the same vintage; False when it was there already."""
    done = await conn.execute(
        "INSERT INTO unit (code, vintage, name, name_en, kind, parent_id, population, area_km2,"
        " lon, lat, valid_from, outline, outline_approximate)"
        " VALUES ($1, $2, $3, $4, $5,"
        "  (SELECT unit_id FROM unit WHERE code = $6 AND vintage = $2),"
        "  $7, $8, $9, $10, $2, $11, $12) ON CONFLICT (code, vintage) DO NOTHING",
        unit.code, unit.vintage, unit.name, unit.name_en, unit.kind, unit.parent_code,
        unit.population, unit.area_km2, unit.lon, unit.lat, shapely.to_wkb(outline), approximate,
    )  # fmt: skip
    return done.endswith(" 1")


async def insert_group(conn: Conn, group: Group) -> None:
    """Insert a group and its members; a group that has members of this vintage keeps them.

    A file of units names for each unit only the one group that holds most of it, so it must not
    replace shares that are known better.
    """
    group_id = await conn.fetchval(
        "INSERT INTO unit_group (code, name, name_en, kind) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (code) DO UPDATE SET name = excluded.name RETURNING group_id",
        group.code, group.name, group.name_en, group.kind,
    )  # fmt: skip
    await conn.execute(
        "INSERT INTO unit_group_member (group_id, unit_id, share)"
        " SELECT $1, u.unit_id, m.share FROM unnest($3::text[], $4::real[]) AS m(code, share)"
        " JOIN unit u ON u.code = m.code AND u.vintage = $2"
        " WHERE NOT EXISTS (SELECT FROM unit_group_member g JOIN unit v USING (unit_id)"
        "  WHERE g.group_id = $1 AND v.vintage = $2)",
        group_id, group.vintage, list(group.members), list(group.members.values()),
    )  # fmt: skip


def _chosen(vintage: date | None) -> tuple[str, list[date]]:
    """Return the SQL and arguments for the units of a vintage, for those in force without one."""
    return (IN_FORCE, []) if vintage is None else ("vintage = $1", [vintage])


async def units_of(conn: Conn, vintage: date | None = None) -> list[UnitRow]:
    """Return the units of a vintage, today's without one; no outlines, in order of code."""
    condition, arguments = _chosen(vintage)
    rows = await conn.fetch(
        f"SELECT {_COLUMNS} FROM unit WHERE {condition} ORDER BY code, unit_id", *arguments
    )
    return [UnitRow(**row) for row in rows]


async def vintage_on(conn: Conn, day: date | None = None) -> date | None:
    """Return the vintage in force on a day, today without one; None where there are no units."""
    condition, arguments = IN_FORCE, []
    if day is not None:
        condition = "valid_from <= $1 AND (valid_to IS NULL OR valid_to > $1)"
        arguments = [day]
    found: date | None = await conn.fetchval(
        f"SELECT max(vintage) FROM unit WHERE {condition}", *arguments
    )
    return found


async def names_of_all(conn: Conn) -> dict[int, tuple[str, str]]:
    """Return both names of every unit there ever was: what was done by one keeps its name."""
    rows = await conn.fetch("SELECT unit_id, name, name_en FROM unit")
    return {row["unit_id"]: (row["name"], row["name_en"]) for row in rows}


def tree(units: Iterable[UnitRow]) -> dict[int | None, list[UnitRow]]:
    """Return the children of each unit; under None, those whose parent is not among them."""
    known = {unit.unit_id: unit for unit in units}
    children: dict[int | None, list[UnitRow]] = {}
    for unit in known.values():
        parent = unit.parent_id if unit.parent_id in known else None
        children.setdefault(parent, []).append(unit)
    return children


async def groups_of(conn: Conn, vintage: date | None = None) -> list[GroupRow]:
    """Return the groups with members among the units of a vintage, today's without one, by code."""
    condition, arguments = _chosen(vintage)
    rows = await conn.fetch(
        "SELECT g.group_id, g.code, g.name, g.name_en, g.kind,"
        " array_agg(m.unit_id ORDER BY m.unit_id) AS units,"
        " array_agg(m.share ORDER BY m.unit_id) AS parts"
        " FROM unit_group g JOIN unit_group_member m USING (group_id)"
        f" JOIN unit u USING (unit_id) WHERE {condition} GROUP BY g.group_id ORDER BY g.code",
        *arguments,
    )
    return [
        GroupRow(
            row["group_id"],
            row["code"],
            row["name"],
            row["name_en"],
            row["kind"],
            dict(zip(row["units"], row["parts"], strict=True)),
        )
        for row in rows
    ]


async def map_stamp(conn: Conn, vintage: date | None = None) -> str:
    """Return a value that changes whenever the map would: cheap enough to ask every minute."""
    condition, arguments = _chosen(vintage)
    return str(
        await conn.fetchval(
            "SELECT md5(coalesce(string_agg(concat_ws(':', unit_id, xmin), ','"
            f" ORDER BY unit_id), '')) FROM unit WHERE {condition}",
            *arguments,
        )
    )


async def load_map(conn: Conn, vintage: date | None = None) -> UnitMap:
    """Load the units of a vintage, today's without one, with outlines and groups.

    Takes some tenths of a second, so keep the result.
    """
    rows = await units_of(conn, vintage)
    known = {row.unit_id: row for row in rows}
    geometry = await _outlines(conn, rows)
    groups = [_group(row, known) for row in await groups_of(conn, vintage)]
    return UnitMap(
        Outlines([_unit(row, known) for row in rows], groups, geometry),
        {UnitKey(row.code, row.vintage): row.unit_id for row in rows},
        any(row.outline_approximate for row in rows),
    )


async def _outlines(conn: Conn, rows: Iterable[UnitRow]) -> dict[UnitKey, BaseGeometry]:
    keys = {row.unit_id: UnitKey(row.code, row.vintage) for row in rows}
    stored = await conn.fetch(
        "SELECT unit_id, outline FROM unit WHERE unit_id = ANY($1)", list(keys)
    )
    shapes = await asyncio.to_thread(shapely.from_wkb, [row["outline"] for row in stored])
    return {keys[row["unit_id"]]: shape for row, shape in zip(stored, shapes, strict=True)}


def named_units(area: Area) -> frozenset[UnitKey]:
    """Return the units that an area names, included or excluded."""
    return frozenset(area.include.units + area.exclude.units)


async def knowing(conn: Conn, units: UnitMap, keys: Iterable[UnitKey]) -> UnitMap:
    """Return a map that can also draw these units of other vintages; those never known stay so.

    Nobody is placed in a unit of another vintage: only areas name them. What may be chosen, who
    lives where and the groups stay those of the map.
    """
    wanted = [key for key in set(keys) if key not in units.outlines.units]
    if not wanted:
        return units
    found = await conn.fetch(
        f"SELECT {_COLUMNS} FROM unit JOIN unnest($1::text[], $2::date[]) AS k(code, vintage)"
        " USING (code, vintage)",
        [key.code for key in wanted],
        [key.vintage for key in wanted],
    )
    rows = [UnitRow(**row) for row in found]
    more = [_unit(row, {}) for row in rows]
    return replace(units, outlines=units.outlines.knowing(more, await _outlines(conn, rows)))


def short_name(name: str) -> str:
    """Return a unit's name without the word for its kind: `Phường Ba Đình` is `Ba Đình`."""
    prefix = next((prefix for prefix in KINDS if name.startswith(prefix + " ")), "")
    return name.removeprefix(prefix).strip()


def _unit(row: UnitRow, known: Mapping[int, UnitRow]) -> Unit:
    parent = known.get(row.parent_id) if row.parent_id is not None else None
    return Unit(
        code=row.code,
        vintage=row.vintage,
        name=row.name,
        short_name=short_name(row.name),
        name_en=row.name_en,
        kind=row.kind,
        parent_code=parent.code if parent else "",
        population=row.population,
        area_km2=row.area_km2,
        lon=row.lon,
        lat=row.lat,
    )


def _group(row: GroupRow, known: Mapping[int, UnitRow]) -> Group:
    """Return the group; members of two vintages at once would be two maps, so the newest holds."""
    newest = max(known[unit_id].vintage for unit_id in row.shares)
    members = {
        known[unit_id].code: share
        for unit_id, share in row.shares.items()
        if known[unit_id].vintage == newest
    }
    return Group(row.code, row.name, short_name(row.name), row.name_en, row.kind, newest, members)
