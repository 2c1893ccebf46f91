"""From a right password to a session: a code of the phone, and a password of their own choice.

Who steals a password stands before the same door as before. Writes official.signed_in_at; the
sign-in on its way is a row of `sessions`.
"""

from __future__ import annotations

from datetime import datetime

from broadcaster import audit
from broadcaster.db import Conn, Pool
from broadcaster.errors import Conflict, NotFound
from broadcaster.keyring import Keyring
from broadcaster.people import sessions
from broadcaster.people.officials import Actor, root_ids
from broadcaster.people.second_factor import prove, spend, standing
from broadcaster.people.sessions import Opened, Waiting
from broadcaster.people.signin import choose_password
from broadcaster.settings import SecondStep

CODE, PASSWORD = "code", "password"


async def steps_of(conn: Conn, actor: Actor, now: datetime, rule: SecondStep) -> tuple[str, ...]:
    """Return what an official whose password was right has still to show."""
    steps = []
    if (
        await _asks_code(conn, actor, rule)
        and (await standing(conn, actor.official_id, now)).enrolled
    ):
        steps.append(CODE)
    if await conn.fetchval(
        "SELECT password_until IS NOT NULL FROM official WHERE official_id = $1", actor.official_id
    ):
        steps.append(PASSWORD)
    return tuple(steps)


async def _asks_code(conn: Conn, actor: Actor, rule: SecondStep) -> bool:
    if rule is SecondStep.LEADING:
        tops = await root_ids(conn)
        return actor.holds("admin") or any(
            role.role == "approver" and role.unit_id in tops for role in actor.roles
        )
    return rule is SecondStep.EVERYONE


async def begin(
    conn: Conn, keyring: Keyring, actor: Actor, now: datetime, agent: str, rule: SecondStep
) -> tuple[Opened, tuple[str, ...]]:
    """Open a session, or a sign-in with the steps that are left."""
    steps = await steps_of(conn, actor, now, rule)
    if not steps:
        return await _enter(conn, keyring, actor, now, agent), ()
    return await sessions.open_session(conn, keyring, actor, now, agent, steps), steps


async def _enter(conn: Conn, keyring: Keyring, actor: Actor, now: datetime, agent: str) -> Opened:
    async with conn.transaction():
        await conn.execute(
            "UPDATE official SET signed_in_at = $2 WHERE official_id = $1", actor.official_id, now
        )
        await audit.record(
            conn, actor.official_id, now, "official.signed_in", "official", actor.official_id
        )
        return await sessions.open_session(conn, keyring, actor, now, agent)


async def waiting(conn: Conn, keyring: Keyring, now: datetime, token: str) -> Waiting:
    """Return a sign-in on its way; raises NotFound when it is over."""
    found = await sessions.find_waiting(conn, keyring, now, token)
    if found is None:
        raise NotFound(
            "sign_in_over",
            "Lần đăng nhập này đã quá 10 phút hoặc đã xong. Đăng nhập lại.",
            "This sign-in took more than 10 minutes, or is done. Sign in again.",
        )
    return found


async def show_code(
    pool: Pool, keyring: Keyring, now: datetime, token: str, code: str
) -> Opened | None:
    """Take a code of the phone, or a recovery code; returns the session when nothing is left.

    Raises NotFound (the sign-in is over), NotAllowed (wrong, used, locked), Conflict (used just
    now).
    """
    async with pool.acquire() as conn:
        found = await waiting(conn, keyring, now, token)
        proof = await prove(conn, keyring, found.actor, now, code)
        async with conn.transaction():
            await spend(conn, now, proof)
            return await _next(conn, keyring, now, token, found, CODE)


async def show_password(
    pool: Pool, keyring: Keyring, now: datetime, token: str, new: str
) -> Opened | None:
    """Take a password of their own choice; returns the session when nothing is left.

    Raises NotFound (the sign-in is over), Conflict (a code comes first), Refused (short, or the one
    given).
    """
    async with pool.acquire() as conn:
        found = await waiting(conn, keyring, now, token)
    if found.steps[0] != PASSWORD:
        raise Conflict("code_first", "Nhập mã trên điện thoại trước.", "Type the code first.")
    await choose_password(pool, now, found.actor, new)
    async with pool.acquire() as conn, conn.transaction():
        return await _next(conn, keyring, now, token, found, PASSWORD)


async def _next(
    conn: Conn, keyring: Keyring, now: datetime, token: str, found: Waiting, step: str
) -> Opened | None:
    if not await sessions.take_step(conn, keyring, token, step):
        raise Conflict(
            "step_taken",
            "Bước này vừa được thực hiện. Đăng nhập lại.",
            "This step was just taken. Sign in again.",
        )
    if found.steps != (step,):
        return None
    return await _enter(conn, keyring, found.actor, now, found.agent)
