"""Giving roles and taking them: by whoever administers the place, never to oneself.

Writes official_role, with `officials`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from broadcaster import audit
from broadcaster.db import Conn
from broadcaster.errors import Conflict, NotAllowed
from broadcaster.people.officials import (
    Actor,
    Role,
    load_actor,
    reach_so_far,
    require_admin_of,
    root_ids,
)


@dataclass(frozen=True, slots=True)
class AdminReach:
    """What an official administers: the one rule of whom they may do something to."""

    whole: bool
    """The whole city, and by that those who have no role anywhere."""
    units: frozenset[int]
    """Today's units, and the ended ones that these took over from."""
    members: Mapping[int, frozenset[int]]
    """Of each group, its units."""

    def covers(self, roles: Iterable[Role]) -> bool:
        """Say whether every place of these roles is within reach; of none only for the whole city.

        Somebody without a role is between two of them: whoever took the account over meanwhile
        would have what it is given next.
        """
        places = [self._of(role) for role in roles]
        return self.whole or (bool(places) and all(found <= self.units for found in places))

    def touches(self, roles: Iterable[Role]) -> bool:
        """Say whether any place of these roles is within reach."""
        return self.whole or any(self._of(role) & self.units for role in roles)

    def _of(self, role: Role) -> frozenset[int]:
        if role.unit_id is not None:
            return frozenset((role.unit_id,))
        # No unit has the number 0: a group without members is nobody's but the city's.
        return self.members.get(role.group_id or 0) or frozenset((0,))


async def admin_reach(conn: Conn, actor: Actor) -> AdminReach:
    """Return what an official administers."""
    units, whole = await reach_so_far(conn, actor, "admin")
    rows = await conn.fetch(
        "SELECT group_id, array_agg(unit_id) AS units FROM unit_group_member GROUP BY group_id"
    )
    return AdminReach(whole, units, {row["group_id"]: frozenset(row["units"]) for row in rows})


async def require_admin_over(conn: Conn, admin: Actor, official: Actor) -> None:
    """Raise NotAllowed unless the admin's role reaches every place the official has a role at."""
    if not (await admin_reach(conn, admin)).covers(official.roles):
        raise NotAllowed(
            "not_over",
            f"Bạn không quản trị mọi nơi {official.name} có vai trò; hãy nhờ quản trị viên cấp"
            " trên.",
            f"You do not administer every place where {official.name} has a role; ask an"
            " administrator above you.",
        )


async def grant(conn: Conn, admin: Actor, now: datetime, official_id: int, role: Role) -> Actor:
    """Give an official one more role; raises NotAllowed, NotFound, Conflict (held already)."""
    if official_id == admin.official_id:
        raise NotAllowed(
            "own_rights",
            "Không tự cấp vai trò cho mình. Nhờ quản trị viên khác.",
            "Nobody gives themselves a role. Ask another administrator.",
        )
    await require_admin_of(conn, admin, (role,))
    await load_actor(conn, official_id)
    async with conn.transaction():
        made = await conn.fetchval(
            "INSERT INTO official_role (official_id, role, unit_id, group_id)"
            " VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING RETURNING role_id",
            official_id, role.role, role.unit_id, role.group_id,
        )  # fmt: skip
        if made is None:
            raise Conflict(
                "role_held",
                "Người này đã có vai trò đó ở đó.",
                "This official holds that role there already.",
            )
        await _record(conn, admin, now, "official.role_granted", official_id, role)
    return await load_actor(conn, official_id)


async def revoke(conn: Conn, admin: Actor, now: datetime, official_id: int, role: Role) -> Actor:
    """Take a role from an official, at once.

    Raises NotAllowed, NotFound, Conflict (not held, or the city would have no administrator).
    """
    if not (await admin_reach(conn, admin)).covers((role,)):
        await require_admin_of(conn, admin, (role,))
    await load_actor(conn, official_id)
    async with conn.transaction():
        await hold_city_admins(conn)
        gone = await conn.fetchval(
            "DELETE FROM official_role WHERE official_id = $1 AND role = $2"
            " AND unit_id IS NOT DISTINCT FROM $3 AND group_id IS NOT DISTINCT FROM $4"
            " RETURNING role_id",
            official_id, role.role, role.unit_id, role.group_id,
        )  # fmt: skip
        if gone is None:
            raise Conflict(
                "role_not_held",
                "Người này không có vai trò đó ở đó.",
                "This official does not hold that role there.",
            )
        if role.role == "admin":
            await leave_a_city_admin(conn, (role,))
        await _record(conn, admin, now, "official.role_revoked", official_id, role)
    return await load_actor(conn, official_id)


async def hold_city_admins(conn: Conn) -> None:
    """Have whoever else takes an administrator away wait until this transaction is over."""
    await conn.execute("SELECT pg_advisory_xact_lock(hashtext('officials.city_admin'))")


async def has_city_admin(conn: Conn, tops: Iterable[int]) -> bool:
    """Say whether somebody administers a unit that has none above it."""
    found: bool = await conn.fetchval(
        "SELECT EXISTS (SELECT FROM official_role r JOIN official o USING (official_id)"
        " WHERE o.active AND NOT o.training AND r.role = 'admin' AND r.unit_id = ANY($1))",
        list(tops),
    )
    return found


async def leave_a_city_admin(conn: Conn, gone: Iterable[Role]) -> None:
    """Raise Conflict when with these roles the city's last administrator went.

    Called after the change and under `hold_city_admins`, so that of two who go at once one stays.
    """
    tops = await root_ids(conn)
    if not any(role.role == "admin" and role.unit_id in tops for role in gone):
        return
    if not await has_city_admin(conn, tops):
        raise Conflict(
            "last_admin",
            "Đây là quản trị viên cấp thành phố cuối cùng. Cấp vai trò đó cho người khác trước.",
            "This is the city's last administrator. Give somebody else that role first.",
        )


async def _record(
    conn: Conn, admin: Actor, now: datetime, action: str, official_id: int, role: Role
) -> None:
    await audit.record(
        conn, admin.official_id, now, action, "official", official_id,
        role=role.role, unit_id=role.unit_id, group_id=role.group_id,
    )  # fmt: skip
