"""Passwords: one answer and one cost for every kind of failure, a new one, one for a while."""

from __future__ import annotations

import asyncio
import secrets
from datetime import datetime, timedelta

from argon2.exceptions import InvalidHashError, VerificationError

from broadcaster import audit
from broadcaster.db import Conn, Pool
from broadcaster.errors import NotAllowed, Refused
from broadcaster.people.officials import (
    HASHER,
    HASHING,
    Actor,
    hash_password,
    load_actor,
)
from broadcaster.people.roles import hold_city_admins, leave_a_city_admin, require_admin_over
from broadcaster.people.second_factor import LETTERS
from broadcaster.people.sessions import close_all

TRIES = 5
"""Failures in a row after which the account waits before it listens again."""
LONGEST_WAIT = timedelta(minutes=15)
ONCE_HOLDS = timedelta(days=3)
"""For what a password is good that somebody else set."""
_ONCE_GROUPS, _ONCE_LETTERS = 3, 4

# The try is counted before the password is looked at, in one statement: a hundred guesses sent
# at once cannot all read "no failures yet". The wait doubles from one minute, so a mistyped
# password costs an official in a storm a minute and a guessing machine most of its day.
_COUNT_TRY = (
    "UPDATE official SET failed_logins = failed_logins + 1,"
    " locked_until = CASE WHEN failed_logins + 1 >= $3 THEN"
    "   $2::timestamptz + least($4::interval,"
    "     power(2, least(failed_logins + 1 - $3, 10)) * interval '1 minute') END"
    " WHERE login = $1 AND active AND coalesce(locked_until <= $2, true)"
    " RETURNING official_id, password_hash, password_until <= $2 AS over"
)

_FORGET_TRIES = "UPDATE official SET failed_logins = 0, locked_until = NULL WHERE official_id = $1"

# A hash of nothing: to find that no password fits it takes as long as with a real one.
_NOBODY = (
    f"$argon2id$v=19$m={HASHER.memory_cost},t={HASHER.time_cost},p={HASHER.parallelism}"
    f"${'A' * 22}${'A' * 43}"
)


async def sign_in(pool: Pool, now: datetime, login: str, password: str) -> Actor:
    """Return the official whose password this is; NotAllowed in every other case.

    Unknown, locked, wrong and out of date are not told apart, neither by the answer nor by the
    time it takes. Takes the pool because no connection is held while the password is verified.
    What else is to be shown before they are in, `entering` knows.
    """
    known = await pool.fetchrow(_COUNT_TRY, login.strip().lower(), now, TRIES, LONGEST_WAIT)
    loop = asyncio.get_running_loop()
    stored = known["password_hash"] if known else None
    fits = await loop.run_in_executor(HASHING, _matches, stored, password)
    if not fits or known is None or known["over"]:
        raise NotAllowed(
            "sign_in_failed",
            "Tên đăng nhập hoặc mật khẩu không đúng, hoặc tài khoản đang tạm khoá; "
            "hãy kiểm tra rồi thử lại sau ít phút.",
            "The login or the password is wrong, or the account is locked for a while; "
            "check them and try again in a few minutes.",
        )
    official_id: int = known["official_id"]
    async with pool.acquire() as conn:
        await conn.execute(_FORGET_TRIES, official_id)
        return await load_actor(conn, official_id)


async def require_password(pool: Pool, now: datetime, actor: Actor, password: str) -> None:
    """Have somebody who is signed in show that they know the password: an open screen is not them.

    Counts as a try to sign in. Raises NotAllowed.
    """
    known = await pool.fetchrow(_COUNT_TRY, actor.login, now, TRIES, LONGEST_WAIT)
    loop = asyncio.get_running_loop()
    stored = known["password_hash"] if known else None
    if not await loop.run_in_executor(HASHING, _matches, stored, password):
        raise NotAllowed(
            "wrong_password",
            "Mật khẩu hiện tại không đúng, hoặc tài khoản đang tạm khoá. Nhập lại sau ít phút.",
            "The present password is wrong, or the account is locked for a while. Type it again"
            " in a few minutes.",
        )
    await pool.execute(_FORGET_TRIES, actor.official_id)


async def change_password(pool: Pool, now: datetime, actor: Actor, password: str, new: str) -> None:
    """Give an official a new password of their own choice; the caller ends other sessions.

    Raises NotAllowed (the present one is wrong), Refused (the new one is short or the same).
    """
    await require_password(pool, now, actor, password)
    if password == new:
        raise _same()
    await _store(pool, now, actor.official_id, actor.official_id, await hash_password(new))


def _same() -> Refused:
    return Refused(
        "password_same",
        "Mật khẩu mới trùng mật khẩu cũ. Chọn mật khẩu khác.",
        "The new password is the old one. Choose another.",
    )


async def set_password(pool: Pool, now: datetime, admin: Actor, official_id: int, new: str) -> None:
    """Give somebody a new password, for one forgotten; ends all their sessions.

    Somebody else's is good for a while, to choose their own with. Raises NotAllowed (the admin does
    not reach all of their roles), NotFound, Refused (short).
    """
    async with pool.acquire() as conn:
        await require_admin_over(conn, admin, await load_actor(conn, official_id))
    until = None if official_id == admin.official_id else now + ONCE_HOLDS
    await _store(pool, now, admin.official_id, official_id, await hash_password(new), until)
    async with pool.acquire() as conn:
        await close_all(conn, official_id)


async def give_password(pool: Pool, now: datetime, admin: Actor, official_id: int) -> str:
    """Make up a password for somebody else, which is returned this once; ends all their sessions.

    Raises NotAllowed (as `set_password`, or it is their own), NotFound.
    """
    if official_id == admin.official_id:
        raise NotAllowed(
            "own_password",
            "Mật khẩu của mình thì đổi ở “Tài khoản của tôi”.",
            "Your own password is changed under “My account”.",
        )
    made = new_password()
    await set_password(pool, now, admin, official_id, made)
    return made


def new_password() -> str:
    """Make up a password that is read off paper: 59 bits in three groups of letters."""
    groups = (
        "".join(secrets.choice(LETTERS) for _ in range(_ONCE_LETTERS)) for _ in range(_ONCE_GROUPS)
    )
    return "-".join(groups)


async def choose_password(pool: Pool, now: datetime, actor: Actor, new: str) -> None:
    """Take a password of their own from somebody who has shown the one they were given.

    Raises Refused (short, or the one given).
    """
    stored = await pool.fetchval(
        "SELECT password_hash FROM official WHERE official_id = $1", actor.official_id
    )
    if await asyncio.get_running_loop().run_in_executor(HASHING, _matches, stored, new):
        raise _same()
    await _store(pool, now, actor.official_id, actor.official_id, await hash_password(new))


async def retire(conn: Conn, admin: Actor, now: datetime, official_id: int, reason: str) -> None:
    """Take an account out of use, with its sessions; what it did stays in its name.

    Raises NotAllowed (the admin does not reach all of their roles, or it is their own), NotFound,
    Refused (no reason), Conflict (the city's last administrator).
    """
    official = await load_actor(conn, official_id)
    if official_id == admin.official_id:
        raise NotAllowed(
            "own_account",
            "Không tự ngừng tài khoản của mình. Nhờ quản trị viên khác.",
            "Nobody takes their own account out of use. Ask another administrator.",
        )
    if not reason.strip():
        raise Refused("reason_missing", "Ghi lý do.", "Say why.")
    await require_admin_over(conn, admin, official)
    async with conn.transaction():
        await hold_city_admins(conn)
        await conn.execute("UPDATE official SET active = false WHERE official_id = $1", official_id)
        await leave_a_city_admin(conn, official.roles)
        await close_all(conn, official_id)
        await audit.record(
            conn, admin.official_id, now, "official.retired", "official", official_id,
            reason=reason.strip(),
        )  # fmt: skip


async def _store(
    pool: Pool, now: datetime, by: int, official_id: int, hashed: str, until: datetime | None = None
) -> None:
    async with pool.acquire() as conn, conn.transaction():
        await conn.execute(
            "UPDATE official SET password_hash = $2, password_changed_at = $3, password_until = $4,"
            " failed_logins = 0, locked_until = NULL WHERE official_id = $1",
            official_id, hashed, now, until,
        )  # fmt: skip
        await audit.record(conn, by, now, "official.password_changed", "official", official_id)


def _matches(stored: str | None, password: str) -> bool:
    try:
        return HASHER.verify(stored or _NOBODY, password) and stored is not None
    except (VerificationError, InvalidHashError):
        return False
