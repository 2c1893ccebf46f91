"""People follow their units: those with a point by it, those known by unit only by its successors.

Writes person_place's unit and place_candidate, and has people asked whose unit was split. Safe to
run at any time: who stands in a unit of today is left alone, an answer is never undone.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from broadcaster.db import Conn
from broadcaster.people import asking, successors
from broadcaster.people.columns import copy_columns
from broadcaster.people.officials import IN_FORCE
from broadcaster.people.units import UnitMap

_CHUNK = 100_000
"""Places changed by one statement: what logs and locks it leaves stays of bounded size."""
_PATIENCE_S = 600.0

_ENDED = f"unit_id IN (SELECT unit_id FROM unit WHERE NOT ({IN_FORCE}))"
_COLUMNS = [("person", "i4"), ("place", "i2"), ("x", "i4"), ("y", "i4"), ("unit", "i4")]

# A place stands in its unit or, once that was split, in each of its candidates.
_STAND = f"""
CREATE TEMP TABLE stand ON COMMIT DROP AS
    SELECT c.person_id, c.place_no, c.unit_id FROM place_candidate c
    WHERE EXISTS (SELECT FROM place_candidate e WHERE e.person_id = c.person_id
        AND e.place_no = c.place_no AND e.{_ENDED})
    UNION ALL
    SELECT p.person_id, p.place_no, p.unit_id FROM person_place p
    WHERE p.by_unit_only AND p.{_ENDED} AND NOT EXISTS (SELECT FROM place_candidate c
        WHERE c.person_id = p.person_id AND c.place_no = p.place_no)
"""
_FRESH = """
CREATE TEMP TABLE fresh ON COMMIT DROP AS
    SELECT *, count(*) OVER w AS units, row_number() OVER (w
        ORDER BY share DESC NULLS LAST, population DESC, code) AS rank
    FROM (
        SELECT s.person_id, s.place_no, u.unit_id, u.code, u.population, max(l.share) AS share,
            min(s.unit_id) AS former_id, bool_or(l.successor_id IS NULL) AS lost
        FROM stand s LEFT JOIN lead l ON l.unit_id = s.unit_id
        JOIN unit u ON u.unit_id = coalesce(l.successor_id, s.unit_id)
        GROUP BY s.person_id, s.place_no, u.unit_id
    ) found WINDOW w AS (PARTITION BY person_id, place_no)
"""
# What is left in an ended unit and has a point lies outside the city: its unit goes on too.
_OUTSIDE = f"""
UPDATE person_place p SET unit_id = b.successor_id FROM (
    SELECT DISTINCT ON (l.unit_id) l.unit_id, l.successor_id FROM lead l
    JOIN unit u ON u.unit_id = l.successor_id
    ORDER BY l.unit_id, l.share DESC NULLS LAST, u.population DESC, u.code
) b WHERE p.unit_id = b.unit_id AND NOT p.by_unit_only AND p.{_ENDED}
"""


@dataclass(frozen=True, slots=True)
class Moved:
    """Places of people, by what became of them."""

    by_point: int = 0
    outside: int = 0
    """Their point lies in none of today's units: they keep their unit, or get its successor."""
    by_table: int = 0
    """Known by unit only, which has one successor."""
    split: int = 0
    """Known by unit only, which has several: they stand under each, and are asked."""
    lost: int = 0
    """Known by unit only, which has no known successor: they keep a unit that has ended."""


async def by_point(conn: Conn, units: UnitMap, *, everybody: bool = True) -> tuple[int, int]:
    """Put places with a point into the unit it lies in; return how many moved and lie in none.

    `everybody` or only those whose unit has ended. On a border the lower code wins.
    """
    where = "" if everybody else f" WHERE p.{_ENDED}"
    rows = await copy_columns(
        conn,
        "SELECT t.person_id, t.place_no, t.x, t.y, p.unit_id"
        f" FROM person_point t JOIN person_place p USING (person_id, place_no){where}",
        _COLUMNS,
    )
    points = np.column_stack((rows["x"], rows["y"])) / 1e5
    found = await asyncio.to_thread(units.locate_many, points)
    stray = np.flatnonzero((found != 0) & (found != rows["unit"]))
    for start in range(0, len(stray), _CHUNK):
        part = stray[start : start + _CHUNK]
        await conn.execute(
            "UPDATE person_place p SET unit_id = m.unit_id"
            " FROM unnest($1::int[], $2::smallint[], $3::int[]) AS m(person_id, place_no, unit_id)"
            " WHERE p.person_id = m.person_id AND p.place_no = m.place_no",
            rows["person"][part].tolist(), rows["place"][part].tolist(), found[part].tolist(),
            timeout=_PATIENCE_S,
        )  # fmt: skip
    return len(stray), int(np.count_nonzero(found == 0))


async def by_unit(conn: Conn, now: datetime) -> tuple[int, int, int]:
    """Take places known by unit only to the successors of their unit, inside a transaction.

    Returns how many moved to one successor, were split among several, and have none.
    """
    leads = await successors.leads(conn)
    await conn.execute(
        "CREATE TEMP TABLE lead (unit_id int, successor_id int, share float8) ON COMMIT DROP"
    )
    await conn.copy_records_to_table(
        "lead", records=[(one.unit_id, one.successor_id, one.share) for one in leads]
    )
    for statement in (_STAND, _FRESH, _OUTSIDE):
        await conn.execute(statement, timeout=_PATIENCE_S)
    await _settle(conn)
    await _split(conn, now)
    counts = await conn.fetchrow(
        "SELECT count(*) FILTER (WHERE units = 1 AND NOT lost) AS moved,"
        " count(*) FILTER (WHERE units > 1) AS split,"
        " count(*) FILTER (WHERE units = 1 AND lost) AS lost FROM fresh WHERE rank = 1"
    )
    await conn.execute("DROP TABLE lead, stand, fresh")
    return (counts["moved"], counts["split"], counts["lost"]) if counts else (0, 0, 0)


async def _settle(conn: Conn) -> None:
    """Give each place its unit, the first of its candidates where there are several."""
    await conn.execute(
        "UPDATE person_place p SET unit_id = f.unit_id FROM fresh f WHERE f.rank = 1"
        " AND p.person_id = f.person_id AND p.place_no = f.place_no AND p.unit_id <> f.unit_id",
        timeout=_PATIENCE_S,
    )
    await conn.execute(
        "DELETE FROM place_candidate c USING fresh f WHERE f.rank = 1"
        " AND c.person_id = f.person_id AND c.place_no = f.place_no",
        timeout=_PATIENCE_S,
    )
    await asking.drop(conn, "SELECT person_id, place_no FROM fresh WHERE units = 1 AND NOT lost")


async def _split(conn: Conn, now: datetime) -> None:
    await conn.execute(
        "INSERT INTO place_candidate (person_id, place_no, unit_id)"
        " SELECT person_id, place_no, unit_id FROM fresh WHERE units > 1",
        timeout=_PATIENCE_S,
    )
    await asking.open_questions(
        conn, now, "SELECT person_id, place_no, former_id FROM fresh WHERE units > 1 AND rank = 1"
    )


async def follow(conn: Conn, now: datetime, units: UnitMap, *, everybody: bool) -> Moved:
    """Take everybody along; with `everybody` false only those in units that have ended.

    These are people who registered by a map from before an import, while it was under way.
    """
    moved, outside = await by_point(conn, units, everybody=everybody)
    by_table, split, lost = await by_unit(conn, now)
    return Moved(moved, outside, by_table, split, lost)


async def left_behind(conn: Conn) -> bool:
    """Say whether anybody stands in a unit that has ended though it has successors."""
    found: bool = await conn.fetchval(
        "SELECT EXISTS (SELECT FROM unit_successor s JOIN person_place p USING (unit_id)"
        f" WHERE s.{_ENDED})"
    )
    return found
