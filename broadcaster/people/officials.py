"""Officials, their roles, and how far each role reaches."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg
from argon2 import PasswordHasher

from broadcaster import audit
from broadcaster.db import Conn
from broadcaster.errors import Conflict, NotAllowed, NotFound, Refused

ROLES = ("author", "approver", "staff", "monitor", "admin")
PASSWORD_LENGTH = 10

HASHER = PasswordHasher()
# A hash takes 64 MiB and tens of milliseconds of a core: two at a time leave the rest of the
# machine to the alerts, however many people sign in when a storm comes.
HASHING = ThreadPoolExecutor(2, thread_name_prefix="password")

IN_FORCE = (
    "valid_from <= (now() AT TIME ZONE 'Asia/Ho_Chi_Minh')::date"
    " AND (valid_to IS NULL OR valid_to > (now() AT TIME ZONE 'Asia/Ho_Chi_Minh')::date)"
)
"""SQL: the unit is one of today's."""

ROLES_OF = (
    "ARRAY(SELECT (r.role, r.unit_id, r.group_id) FROM official_role r"
    " WHERE r.official_id = o.official_id ORDER BY r.role_id) AS roles"
)
_ACTORS = (
    f"SELECT o.official_id, o.login, o.name, o.title, o.lang, o.training, {ROLES_OF}"
    " FROM official o WHERE o.active AND "
)


@dataclass(frozen=True, slots=True)
class Role:
    """One role, held at a unit (and everything under it) or at a group of units."""

    role: str
    unit_id: int | None = None
    group_id: int | None = None


@dataclass(frozen=True, slots=True)
class Actor:
    """An official who does something now."""

    official_id: int
    login: str
    name: str
    title: str
    lang: str
    training: bool
    roles: tuple[Role, ...]

    def holds(self, role: str) -> bool:
        """Say whether the official has the role anywhere at all."""
        return any(held.role == role for held in self.roles)


async def hash_password(password: str) -> str:
    """Hash with argon2id, off the event loop; refuse a password that is too short."""
    if len(password) < PASSWORD_LENGTH:
        raise Refused(
            "password_short",
            f"Mật khẩu cần ít nhất {PASSWORD_LENGTH} ký tự; hãy chọn mật khẩu dài hơn.",
            f"A password has at least {PASSWORD_LENGTH} characters; choose a longer one.",
        )
    return await asyncio.get_running_loop().run_in_executor(HASHING, HASHER.hash, password)


async def create_official(
    conn: Conn,
    actor: Actor | None,
    now: datetime,
    *,
    login: str,
    name: str,
    password: str,
    title: str = "",
    lang: str = "vi",
    training: bool = False,
    roles: Iterable[Role] = (),
    password_until: datetime | None = None,
) -> Actor:
    """Create an official with roles; the actor is an admin of every place named.

    Without an actor (None) the service itself does it: the first account, the demo. A password
    with an end is good until then, to choose one's own with.
    """
    held = tuple(roles)
    if actor is not None:
        await require_admin_of(conn, actor, held)
    hashed = await hash_password(password)
    try:
        async with conn.transaction():
            official_id = await conn.fetchval(
                "INSERT INTO official (login, name, title, lang, password_hash, training,"
                " created_at, password_until) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
                " RETURNING official_id",
                login.strip().lower(), name, title, lang, hashed, training, now, password_until,
            )  # fmt: skip
            await conn.executemany(
                "INSERT INTO official_role (official_id, role, unit_id, group_id)"
                " VALUES ($1, $2, $3, $4)",
                [(official_id, role.role, role.unit_id, role.group_id) for role in held],
            )
            await audit.record(
                conn, actor.official_id if actor else None, now,
                "official.created", "official", official_id,
                roles=[[role.role, role.unit_id, role.group_id] for role in held],
            )  # fmt: skip
    except asyncpg.UniqueViolationError as error:
        raise Conflict(
            "login_taken",
            f"Tên đăng nhập “{login}” đã có người dùng; hãy chọn tên khác.",
            f"The login “{login}” is taken; choose another.",
        ) from error
    return await load_actor(conn, official_id)


async def require_admin_of(conn: Conn, actor: Actor, roles: Collection[Role]) -> None:
    """Raise NotAllowed unless the actor administers every place that is to have these roles."""
    await require(conn, actor, "admin", [r.unit_id for r in roles if r.unit_id is not None])
    groups = [role.group_id for role in roles if role.group_id is not None]
    members = await conn.fetch(
        "SELECT group_id, unit_id FROM unit_group_member WHERE group_id = ANY($1)", groups
    )
    await require(conn, actor, "admin", [row["unit_id"] for row in members])
    # Whom a group without members will reach one day nobody knows.
    if {row["group_id"] for row in members} < set(groups):
        await require(conn, actor, "admin", await root_ids(conn))


async def load_actor(conn: Conn, official_id: int) -> Actor:
    """Return an active official with roles; NotFound otherwise."""
    return _found(await conn.fetchrow(_ACTORS + "o.official_id = $1", official_id))


async def find_actor(conn: Conn, login: str) -> Actor:
    """Return an active official by login; NotFound otherwise."""
    return _found(await conn.fetchrow(_ACTORS + "o.login = $1", login.strip().lower()))


def _found(row: asyncpg.Record | None) -> Actor:
    if row is None:
        raise NotFound(
            "no_official",
            "Không có cán bộ này, hoặc tài khoản đã ngừng dùng.",
            "There is no such official, or the account is no longer in use.",
        )
    return actor_of(row)


def actor_of(row: Any) -> Actor:
    """Read an actor from a row with the columns of `official` and `roles` as an array."""
    return Actor(
        official_id=row["official_id"],
        login=row["login"],
        name=row["name"],
        title=row["title"],
        lang=row["lang"],
        training=row["training"],
        roles=tuple(Role(*held) for held in row["roles"]),
    )


_REACH = (
    "WITH RECURSIVE under AS ("
    " SELECT unit_id FROM unit WHERE unit_id = ANY($1)"
    " UNION SELECT unit_id FROM unit_group_member WHERE group_id = ANY($2)"
    " UNION SELECT u.unit_id FROM unit u JOIN under ON u.parent_id = under.unit_id"
    f"), reach AS (SELECT unit_id FROM under JOIN unit USING (unit_id) WHERE {IN_FORCE})"
)


async def authority(conn: Conn, actor: Actor, *roles: str) -> frozenset[int]:
    """Return today's units that the actor reaches in any of these roles.

    A role at a unit reaches its subtree; a role at a group reaches the members' subtrees.
    """
    return await _reached(conn, actor, roles, f"{_REACH} SELECT unit_id FROM reach")


_SO_FAR = (
    f"{_REACH}, line AS (SELECT unit_id FROM reach"
    " UNION SELECT s.unit_id FROM unit_successor s JOIN line ON s.successor_id = line.unit_id)"
)


async def authority_so_far(conn: Conn, actor: Actor, *roles: str) -> frozenset[int]:
    """Return the units the actor reaches today and the ended ones that these took over from.

    For what was begun by a unit and outlives it: its alerts are still read, and stopped.
    """
    return await _reached(conn, actor, roles, f"{_SO_FAR} SELECT unit_id FROM line")


async def reach_so_far(conn: Conn, actor: Actor, *roles: str) -> tuple[frozenset[int], bool]:
    """Return what `authority_so_far` does, and whether the whole city is among it."""
    query = (
        f"{_SO_FAR} SELECT unit_id FROM line UNION ALL"
        " SELECT 0 FROM line JOIN unit USING (unit_id) WHERE parent_id IS NULL"
    )
    found = await _reached(conn, actor, roles, query)
    # No unit has the number 0.
    return found - {0}, 0 in found


_kept: ContextVar[dict[tuple[object, ...], frozenset[int]] | None] = ContextVar(
    "reach", default=None
)


@contextmanager
def reach_kept() -> Iterator[None]:
    """Ask for each reach once while one request is answered; a page asks for its own six times.

    Whose roles changed meanwhile was read with the old ones; another set of roles is asked anew.
    """
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


async def _reached(conn: Conn, actor: Actor, roles: Collection[str], query: str) -> frozenset[int]:
    held = [role for role in actor.roles if role.role in roles]
    if not held:
        return frozenset()
    units = tuple(sorted({role.unit_id for role in held if role.unit_id is not None}))
    groups = tuple(sorted({role.group_id for role in held if role.group_id is not None}))
    kept, asked = _kept.get(), (query, units, groups)
    if kept is not None and asked in kept:
        return kept[asked]
    rows = await conn.fetch(query, units, groups)
    found = frozenset(row["unit_id"] for row in rows)
    if kept is not None:
        kept[asked] = found
    return found


async def require(conn: Conn, actor: Actor, role: str, unit_ids: Iterable[int]) -> None:
    """Raise NotAllowed unless the actor's role reaches every one of these units.

    With no units at all, the actor must at least hold the role somewhere.
    """
    asked = frozenset(unit_ids)
    beyond = asked - await authority(conn, actor, role) if asked else frozenset()
    if beyond or not actor.holds(role):
        raise NotAllowed(
            "not_allowed",
            "Bạn không có quyền này ở đơn vị đã chọn; hãy nhờ người phụ trách đơn vị đó.",
            "Your roles do not cover this for the units chosen; ask whoever is in charge there.",
            role=role,
            units=sorted(beyond),
        )


async def root_ids(conn: Conn) -> list[int]:
    """Return today's units without a parent: who has a role there has it everywhere."""
    rows = await conn.fetch(f"SELECT unit_id FROM unit WHERE parent_id IS NULL AND {IN_FORCE}")
    return [row["unit_id"] for row in rows]


async def is_city_admin(conn: Conn, actor: Actor) -> bool:
    """Say whether the actor administers the whole city: every unit without one above it."""
    reach = await authority(conn, actor, "admin")
    tops = await root_ids(conn)
    return bool(tops) and reach.issuperset(tops)


async def require_city_admin(conn: Conn, actor: Actor) -> None:
    """Refuse whoever is not an admin of the whole city."""
    if not await is_city_admin(conn, actor):
        raise NotAllowed(
            "not_city_admin",
            "Chỉ quản trị viên cấp thành phố được xem và sửa quy định này.",
            "Only an admin of the whole city sees and changes this policy.",
        )
