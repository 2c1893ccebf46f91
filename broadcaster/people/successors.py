"""Units that ended and those in their place. Writes unit_successor.

Known by the official table, by being the same unit still (code, name and kind), or by how real
outlines overlap, in this order. A code alone proves nothing: 00004 was Trúc Bạch and is Ba Đình.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import shapely
from numpy.typing import NDArray

from broadcaster.db import Conn
from broadcaster.errors import Refused
from broadcaster.people.former_table import FormerRow, shipped
from broadcaster.people.units import vintage_on

LEAST_SHARE = 0.02
"""Of an old unit's area: what borders drawn by two offices differ by is no successor."""
_MOST_NAMED = 20


@dataclass(frozen=True, slots=True)
class _Unit:
    unit_id: int
    code: str
    name: str
    kind: str
    parent_id: int | None
    outline: bytes | None
    """WKB; None where it was only drawn from the facts."""


@dataclass(frozen=True, slots=True)
class _Link:
    successor_id: int
    known_by: str
    share: float | None


@dataclass(frozen=True, slots=True)
class Lead:
    """From a unit that ended to one of today's units in its place, over any number of reforms."""

    unit_id: int
    successor_id: int
    share: float | None
    """Of the old unit's area; None where it is not known."""
    known_by: str


async def fill(conn: Conn, vintage: date, table: Sequence[FormerRow] | None = None) -> None:
    """Work out the successors of the units that ended when this vintage began.

    `table` takes the place of the one that ships with us; raises Refused when it names units that
    neither side has. Calling it again works everything out anew.
    """
    old = await _units(conn, "valid_to = $1", vintage)
    new = await _units(conn, "vintage = $1", vintage)
    if table is not None:
        _check(table, old, new)
    links = await asyncio.to_thread(_links, old, new, table or shipped(vintage))
    await conn.execute(
        "DELETE FROM unit_successor WHERE unit_id = ANY($1)", [unit.unit_id for unit in old]
    )
    await conn.executemany(
        "INSERT INTO unit_successor (unit_id, successor_id, known_by, share)"
        " VALUES ($1, $2, $3, $4)",
        [
            (unit_id, link.successor_id, link.known_by, link.share)
            for unit_id, found in links.items()
            for link in found
        ],
    )


async def _units(conn: Conn, condition: str, vintage: date) -> list[_Unit]:
    rows = await conn.fetch(
        "SELECT unit_id, code, name, kind, parent_id,"
        " CASE WHEN NOT outline_approximate THEN outline END AS outline"
        f" FROM unit WHERE {condition} ORDER BY unit_id",
        vintage,
    )
    return [_Unit(**row) for row in rows]


def _check(table: Sequence[FormerRow], old: Iterable[_Unit], new: Iterable[_Unit]) -> None:
    ended = {unit.code: unit for unit in old}
    codes = {unit.code for unit in new}
    wrong = [
        f"{row.where}: {row.code} {row.name}"
        for row in table
        if row.code not in ended or not row.is_of(ended[row.code].name)
    ]
    unknown = [
        f"{row.where}: {code}" for row in table for code in row.successors if code not in codes
    ]
    if wrong or unknown:
        told = "; ".join((wrong + unknown)[:_MOST_NAMED])
        raise Refused(
            "former_table",
            f"Bảng đơn vị cũ – mới không khớp, không có gì thay đổi: {told}",
            f"The table of old and new units does not fit these units; nothing was changed: {told}",
        )


def _links(
    old: Sequence[_Unit], new: Sequence[_Unit], table: Iterable[FormerRow]
) -> dict[int, list[_Link]]:
    rows = {row.code: row for row in table}
    lowest = _lowest(new)
    by_code = {unit.code: unit.unit_id for unit in lowest}
    same = {(unit.code, unit.name, unit.kind): unit.unit_id for unit in new}
    shares = _shares(old, lowest)
    children: dict[int | None, list[_Unit]] = {}
    for unit in old:
        children.setdefault(unit.parent_id, []).append(unit)

    def of(unit: _Unit) -> list[_Link]:
        area = shares.get(unit.unit_id, {})
        row = rows.get(unit.code)
        codes = row.successors if row is not None and row.is_of(unit.name) else ()
        ids = sorted({by_code[code] for code in codes if code in by_code})
        if ids:
            return [_Link(i, "table", area.get(i)) for i in ids]
        kept = same.get((unit.code, unit.name, unit.kind))
        if kept is not None:
            return [_Link(kept, "same", area.get(kept))]
        below = {
            link.successor_id for child in children.get(unit.unit_id, ()) for link in of(child)
        }
        if below:
            return [_Link(i, "table", area.get(i)) for i in sorted(below)]
        return [_Link(i, "outline", share) for i, share in area.items() if share > LEAST_SHARE]

    return {unit.unit_id: of(unit) for unit in old}


def _lowest(units: Sequence[_Unit]) -> list[_Unit]:
    parents = {unit.parent_id for unit in units}
    return [unit for unit in units if unit.unit_id not in parents]


def _shares(old: Sequence[_Unit], new: Sequence[_Unit]) -> dict[int, dict[int, float]]:
    """Return the share of each old unit's area that lies in each new one, by real outlines."""
    old = [unit for unit in old if unit.outline is not None]
    new = [unit for unit in new if unit.outline is not None]
    if not old or not new:
        return {}
    before = _shapes(old)
    after = _shapes(new)
    of_old, of_new = shapely.STRtree(after).query(before, predicate="intersects")
    common = shapely.area(shapely.intersection(before[of_old], after[of_new]))
    parts = np.minimum(common / shapely.area(before)[of_old], 1.0)
    shares: dict[int, dict[int, float]] = {}
    for o, n, part in zip(of_old.tolist(), of_new.tolist(), parts.tolist(), strict=True):
        if part > 0:
            shares.setdefault(old[o].unit_id, {})[new[n].unit_id] = part
    return shares


def _shapes(units: Sequence[_Unit]) -> NDArray[np.object_]:
    shapes = np.empty(len(units), dtype=object)
    shapes[:] = shapely.from_wkb([unit.outline for unit in units])
    return shapes


async def leads(conn: Conn) -> list[Lead]:
    """Return for every unit that ended the units in force in its place."""
    rows = await conn.fetch(
        "SELECT unit_id, successor_id, share, known_by FROM unit_successor"
        " ORDER BY unit_id, successor_id"
    )
    steps: dict[int, list[_Link]] = {}
    for row in rows:
        link = _Link(row["successor_id"], row["known_by"], row["share"])
        steps.setdefault(row["unit_id"], []).append(link)
    vintage = await vintage_on(conn)
    today = {
        row["unit_id"]
        for row in await conn.fetch("SELECT unit_id FROM unit WHERE vintage = $1", vintage)
    }
    return [
        lead for unit_id in steps if unit_id not in today for lead in _follow(unit_id, steps, today)
    ]


def _follow(unit_id: int, steps: Mapping[int, list[_Link]], today: set[int]) -> list[Lead]:
    """Walk from an ended unit to those of today; a unit reached twice adds up its shares."""
    found: dict[int, Lead] = {}
    open_ones = [Lead(unit_id, unit_id, 1.0, "same")]
    while open_ones:
        at = open_ones.pop()
        for link in steps.get(at.successor_id, []):
            share = None if at.share is None or link.share is None else at.share * link.share
            known_by = link.known_by if at.known_by == "same" else at.known_by
            if link.successor_id not in today:
                open_ones.append(Lead(unit_id, link.successor_id, share, known_by))
                continue
            before = found.get(link.successor_id)
            if before is not None:
                share = None if share is None or before.share is None else share + before.share
            found[link.successor_id] = Lead(unit_id, link.successor_id, share, known_by)
    return [found[successor_id] for successor_id in sorted(found)]
