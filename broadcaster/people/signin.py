"""Passwords: signing in with one answer and one cost for every kind of failure; a new password."""

from __future__ import annotations

import asyncio
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
    require_admin_over,
)
from broadcaster.people.sessions import close_all

TRIES = 5
"""Failures in a row after which the account waits before it listens again."""
LONGEST_WAIT = timedelta(minutes=15)

# The try is counted before the password is looked at, in one statement: a hundred guesses sent
# at once cannot all read "no failures yet". The wait doubles from one minute, so a mistyped
# password costs an official in a storm a minute and a guessing machine most of its day.
_COUNT_TRY = (
    "UPDATE official SET failed_logins = failed_logins + 1,"
    " locked_until = CASE WHEN failed_logins + 1 >= $3 THEN"
    "   $2::timestamptz + least($4::interval,"
    "     power(2, least(failed_logins + 1 - $3, 10)) * interval '1 minute') END"
    " WHERE login = $1 AND active AND coalesce(locked_until <= $2, true)"
    " RETURNING official_id, password_hash"
)

_FORGET_TRIES = "UPDATE official SET failed_logins = 0, locked_until = NULL WHERE official_id = $1"

# A hash of nothing: to find that no password fits it takes as long as with a real one.
_NOBODY = (
    f"$argon2id$v=19$m={HASHER.memory_cost},t={HASHER.time_cost},p={HASHER.parallelism}"
    f"${'A' * 22}${'A' * 43}"
)


async def sign_in(pool: Pool, now: datetime, login: str, password: str) -> Actor:
    """Return the official whose password this is; NotAllowed in every other case.

    Unknown, locked and wrong are not told apart, neither by the answer nor by the time it takes.
    Takes the pool because no connection is held while the password is verified.
    """
    known = await pool.fetchrow(_COUNT_TRY, login.strip().lower(), now, TRIES, LONGEST_WAIT)
    loop = asyncio.get_running_loop()
    stored = known["password_hash"] if known else None
    if not await loop.run_in_executor(HASHING, _matches, stored, password) or known is None:
        raise NotAllowed(
            "sign_in_failed",
            "Tên đăng nhập hoặc mật khẩu không đúng, hoặc tài khoản đang tạm khoá; "
            "hãy kiểm tra rồi thử lại sau ít phút.",
            "The login or the password is wrong, or the account is locked for a while; "
            "check them and try again in a few minutes.",
        )
    official_id: int = known["official_id"]
    async with pool.acquire() as conn, conn.transaction():
        await conn.execute(_FORGET_TRIES, official_id)
        await audit.record(conn, official_id, now, "official.signed_in", "official", official_id)
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
        raise Refused(
            "password_same",
            "Mật khẩu mới trùng mật khẩu cũ. Chọn mật khẩu khác.",
            "The new password is the old one. Choose another.",
        )
    await _store(pool, now, actor.official_id, actor.official_id, await hash_password(new))


async def set_password(pool: Pool, now: datetime, admin: Actor, official_id: int, new: str) -> None:
    """Give somebody else a new password, for one forgotten; ends all their sessions.

    Raises NotAllowed (the admin does not reach all of their roles), NotFound, Refused (short).
    """
    async with pool.acquire() as conn:
        await require_admin_over(conn, admin, await load_actor(conn, official_id))
    await _store(pool, now, admin.official_id, official_id, await hash_password(new))
    async with pool.acquire() as conn:
        await close_all(conn, official_id)


async def retire(conn: Conn, admin: Actor, now: datetime, official_id: int, reason: str) -> None:
    """Take an account out of use, with its sessions; what it did stays in its name.

    Raises NotAllowed (the admin does not reach all of their roles, or it is their own), NotFound,
    Refused (no reason).
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
        await conn.execute("UPDATE official SET active = false WHERE official_id = $1", official_id)
        await close_all(conn, official_id)
        await audit.record(
            conn, admin.official_id, now, "official.retired", "official", official_id,
            reason=reason.strip(),
        )  # fmt: skip


async def _store(pool: Pool, now: datetime, by: int, official_id: int, hashed: str) -> None:
    async with pool.acquire() as conn, conn.transaction():
        await conn.execute(
            "UPDATE official SET password_hash = $2, password_changed_at = $3, failed_logins = 0,"
            " locked_until = NULL WHERE official_id = $1",
            official_id, hashed, now,
        )  # fmt: skip
        await audit.record(conn, by, now, "official.password_changed", "official", official_id)


def _matches(stored: str | None, password: str) -> bool:
    try:
        return HASHER.verify(stored or _NOBODY, password) and stored is not None
    except (VerificationError, InvalidHashError):
        return False
