"""What belongs to units that ended goes to the units in their place: roles, groups, rules.

Goes on only where there is one successor. Whoever may write for a commune that was split among
three must not write for all three unasked: those roles stay where they were and are told.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from broadcaster.cadence import duty
from broadcaster.db import Conn
from broadcaster.people.officials import IN_FORCE

_LEAST_SHARE = 0.02
"""Of a unit's area in a group: less is the difference between two drawings of one border."""

# Only units that ended with this vintage, each with its one successor.
_HEIRS = (
    "SELECT s.unit_id AS was, min(s.successor_id) AS now FROM unit_successor s"
    " JOIN unit o USING (unit_id) WHERE o.valid_to = $1 GROUP BY s.unit_id HAVING count(*) = 1"
)


@dataclass(frozen=True, slots=True)
class LeftRole:
    """A role at a unit that ended, which went to nobody: the unit has none or several heirs."""

    login: str
    role: str
    code: str
    name: str
    successors: tuple[str, ...]


async def groups_without(conn: Conn, vintage: date) -> list[int]:
    """Return the groups of units that ended which have no member of this vintage yet."""
    rows = await conn.fetch(
        "SELECT DISTINCT m.group_id FROM unit_group_member m JOIN unit o USING (unit_id)"
        " WHERE o.valid_to = $1 AND NOT EXISTS (SELECT FROM unit_group_member g"
        "  JOIN unit u USING (unit_id) WHERE g.group_id = m.group_id AND u.vintage = $1)",
        vintage,
    )
    return [row["group_id"] for row in rows]


async def hand_on(conn: Conn, vintage: date, lacking: list[int]) -> None:
    """Hand on everything from the units that ended when this vintage began.

    `lacking` are the groups that had no members of it before its file was read.
    """
    await _hand_on_groups(conn, vintage, lacking)
    await _hand_on_roles(conn, vintage)
    for was, now in await conn.fetch(_HEIRS, vintage):
        await duty.hand_on_rules(conn, was, now)


async def _hand_on_groups(conn: Conn, vintage: date, lacking: list[int]) -> None:
    # What is the same unit still keeps its share in every group.
    await conn.execute(
        "INSERT INTO unit_group_member (group_id, unit_id, share)"
        " SELECT m.group_id, s.successor_id, m.share FROM unit_group_member m"
        " JOIN unit_successor s USING (unit_id) JOIN unit o USING (unit_id)"
        " WHERE o.valid_to = $1 AND s.known_by = 'same' ON CONFLICT DO NOTHING",
        vintage,
    )
    # A group nobody has drawn anew keeps its ground: each old member brings its area along, in
    # equal parts where nobody knows how it was divided.
    await conn.execute(
        "INSERT INTO unit_group_member (group_id, unit_id, share)"
        " SELECT group_id, successor_id, least(1, ground / nullif(area_km2, 0)) FROM ("
        "  SELECT m.group_id, s.successor_id, n.area_km2, sum(m.share * o.area_km2"
        "    * coalesce(s.share, 1.0 / s.heirs)) AS ground"
        "  FROM unit_group_member m JOIN unit o USING (unit_id)"
        "  JOIN (SELECT *, count(*) OVER (PARTITION BY unit_id) AS heirs FROM unit_successor) s"
        "   USING (unit_id)"
        "  JOIN unit n ON n.unit_id = s.successor_id"
        "  WHERE o.valid_to = $1 AND m.group_id = ANY($2) GROUP BY 1, 2, 3) found"
        " WHERE ground > $3 * area_km2 ON CONFLICT DO NOTHING",
        vintage, lacking, _LEAST_SHARE,
    )  # fmt: skip


async def _hand_on_roles(conn: Conn, vintage: date) -> None:
    # Two communes that became one: whoever held the same role at both holds it once.
    await conn.execute(
        "INSERT INTO official_role (official_id, role, unit_id)"
        f" SELECT DISTINCT r.official_id, r.role, h.now FROM official_role r JOIN ({_HEIRS}) h"
        " ON r.unit_id = h.was ON CONFLICT DO NOTHING",
        vintage,
    )
    await conn.execute(
        f"DELETE FROM official_role r USING ({_HEIRS}) h WHERE r.unit_id = h.was", vintage
    )


async def left_roles(conn: Conn) -> tuple[LeftRole, ...]:
    """Return the roles at units that ended, of every reform so far."""
    rows = await conn.fetch(
        "SELECT o.login, r.role, u.code, u.name,"
        " ARRAY(SELECT n.name FROM unit_successor s JOIN unit n ON n.unit_id = s.successor_id"
        "  WHERE s.unit_id = u.unit_id ORDER BY n.code) AS successors"
        " FROM official_role r JOIN official o USING (official_id) JOIN unit u USING (unit_id)"
        f" WHERE o.active AND NOT ({IN_FORCE}) ORDER BY o.login, r.role, u.code"
    )
    return tuple(
        LeftRole(row["login"], row["role"], row["code"], row["name"], tuple(row["successors"]))
        for row in rows
    )
