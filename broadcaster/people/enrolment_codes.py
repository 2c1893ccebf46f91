"""The code that an administrator hands to somebody who enrols a phone for the first time.

Writes enrolment_code. Without it a stolen password would be enough to enrol the thief's phone.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from broadcaster import audit
from broadcaster.db import Conn
from broadcaster.errors import Conflict, NotAllowed
from broadcaster.keyring import Keyring
from broadcaster.people.officials import Actor, load_actor
from broadcaster.people.roles import require_admin_over
from broadcaster.people.second_factor import new_code, plain, standing, written

HOLDS = timedelta(days=7)


async def give(
    conn: Conn, keyring: Keyring, admin: Actor | None, now: datetime, official_id: int
) -> str:
    """Make a code for an official without a second factor, which is returned this once.

    One made before is worth nothing afterwards. Without an admin (None) whoever runs the machine
    makes it: for the first of all. Raises NotAllowed (the admin does not reach all of their roles,
    or it is their own), NotFound, Conflict (they are enrolled).
    """
    official = await load_actor(conn, official_id)
    if admin is not None and admin.official_id == official_id:
        raise NotAllowed(
            "own_enrolment_code",
            "Không tự cấp mã đăng ký cho mình. Nhờ quản trị viên khác.",
            "Nobody gives themselves a code to enrol. Ask another administrator.",
        )
    if admin is not None:
        await require_admin_over(conn, admin, official)
    if (await standing(conn, official_id, now)).enrolled:
        raise Conflict(
            "enrolled",
            "Người này đã đăng ký xác thực hai bước. Xoá xác thực hai bước trước nếu mất máy.",
            "This official has a second factor. Take it away first if the phone is lost.",
        )
    code, by = new_code(), admin.official_id if admin else None
    async with conn.transaction():
        await give_known(conn, keyring, official_id, now, code, by)
        await audit.record(
            conn, by, now, "official.enrolment_code_given", "official", official_id
        )  # fmt: skip
    return written(code)


async def give_known(
    conn: Conn, keyring: Keyring, official_id: int, now: datetime, code: str, by: int | None = None
) -> None:
    """Put a code into force; one that somebody else knows is for a demo and for tests alone."""
    await conn.execute(
        "INSERT INTO enrolment_code (official_id, code_hash, made_by, made_at, expires_at)"
        " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (official_id) DO UPDATE SET"
        " code_hash = excluded.code_hash, made_by = excluded.made_by, made_at = excluded.made_at,"
        " expires_at = excluded.expires_at",
        official_id, keyring.code_hashes(_said(official_id, code))[0], by, now, now + HOLDS,
    )  # fmt: skip


def _said(official_id: int, code: str) -> str:
    """Return what a code is hashed as: neither another official's, nor one for recovery."""
    return f"enrol:{official_id}:{plain(code)}"


async def use(conn: Conn, keyring: Keyring, official_id: int, now: datetime, code: str) -> None:
    """Use a code up inside the caller's transaction; raises NotAllowed when it is not in force.

    Tries are not counted: nobody guesses 59 bits, and its owner is not to be locked out.
    """
    used = await conn.fetchval(
        "DELETE FROM enrolment_code WHERE official_id = $1 AND code_hash = ANY($2)"
        " AND expires_at > $3 RETURNING official_id",
        official_id, keyring.code_hashes(_said(official_id, code)), now,
    )  # fmt: skip
    if used is None:
        raise NotAllowed(
            "enrolment_code",
            "Mã đăng ký không đúng, đã dùng hoặc đã hết hạn. Kiểm tra từng ký tự, hoặc xin quản"
            " trị viên mã mới.",
            "The code to enrol is wrong, used or out of date. Check each letter, or ask an"
            " administrator for a new one.",
        )


async def forget(conn: Conn, official_id: int) -> None:
    """Take back the code that an official was given."""
    await conn.execute("DELETE FROM enrolment_code WHERE official_id = $1", official_id)


async def waiting_until(conn: Conn, official_id: int, now: datetime) -> datetime | None:
    """Return until when the code given to an official can be used; None where there is none."""
    until: datetime | None = await conn.fetchval(
        "SELECT expires_at FROM enrolment_code WHERE official_id = $1 AND expires_at > $2",
        official_id,
        now,
    )
    return until


async def givers(conn: Conn, actor: Actor) -> list[str]:
    """Return the names of the administrators above an official, who give such codes."""
    rows = await conn.fetch(
        "WITH RECURSIVE up AS ("
        " SELECT unit_id, parent_id FROM unit WHERE unit_id = ANY($1) OR unit_id IN"
        "  (SELECT unit_id FROM unit_group_member WHERE group_id = ANY($2))"
        " UNION SELECT u.unit_id, u.parent_id FROM unit u JOIN up ON u.unit_id = up.parent_id)"
        " SELECT DISTINCT o.name FROM up JOIN official_role r USING (unit_id)"
        " JOIN official o USING (official_id)"
        " WHERE r.role = 'admin' AND o.active AND NOT o.training AND o.official_id <> $3"
        " ORDER BY o.name",
        [role.unit_id for role in actor.roles if role.unit_id is not None],
        [role.group_id for role in actor.roles if role.group_id is not None],
        actor.official_id,
    )
    return [row["name"] for row in rows]
