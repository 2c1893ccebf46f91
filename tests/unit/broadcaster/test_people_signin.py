import asyncio
from datetime import timedelta

import pytest

from broadcaster.db import Conn, Pool
from broadcaster.errors import NotAllowed
from broadcaster.keyring import Keyring
from broadcaster.people import sessions
from broadcaster.people.signin import TRIES, sign_in
from tests.unit.broadcaster.city import NOW, PASSWORD, official


async def test_the_right_password_signs_in_whatever_the_case_of_the_login(
    pool: Pool, conn: Conn
) -> None:
    actor = await official(conn, "lan")
    assert await sign_in(pool, NOW, " LAN ", PASSWORD) == actor


async def test_unknown_wrong_inactive_and_locked_are_answered_alike(pool: Pool, conn: Conn) -> None:
    await official(conn, "sai")
    await official(conn, "nghi")
    await official(conn, "khoa")
    await conn.execute("UPDATE official SET active = false WHERE login = 'nghi'")
    await conn.execute(
        "UPDATE official SET locked_until = $1 WHERE login = 'khoa'", NOW + timedelta(minutes=1)
    )
    answers = set()
    for login, password in (
        ("khong co", PASSWORD), ("sai", "một mật khẩu khác"),
        ("nghi", PASSWORD), ("khoa", PASSWORD),
    ):  # fmt: skip
        with pytest.raises(NotAllowed) as refused:
            await sign_in(pool, NOW, login, password)
        answers.add(repr(refused.value))
    assert len(answers) == 1


async def test_guesses_lock_the_account_for_a_while_even_all_at_once(
    pool: Pool, conn: Conn
) -> None:
    await official(conn, "doan")
    tried = await asyncio.gather(
        *(sign_in(pool, NOW, "doan", f"thử lần {n}") for n in range(TRIES + 1)),
        return_exceptions=True,
    )
    assert all(isinstance(outcome, NotAllowed) for outcome in tried)
    with pytest.raises(NotAllowed):
        await sign_in(pool, NOW + timedelta(seconds=59), "doan", PASSWORD)
    await sign_in(pool, NOW + timedelta(seconds=60), "doan", PASSWORD)
    row = await conn.fetchrow("SELECT failed_logins, locked_until FROM official")
    assert tuple(row) == (0, None)


async def test_each_failure_after_the_first_lock_waits_longer(pool: Pool, conn: Conn) -> None:
    await official(conn, "lau")
    await conn.execute("UPDATE official SET failed_logins = $1", TRIES + 2)
    with pytest.raises(NotAllowed):
        await sign_in(pool, NOW, "lau", "sai mật khẩu")
    assert await conn.fetchval("SELECT locked_until FROM official") == NOW + timedelta(minutes=8)
    await conn.execute("UPDATE official SET failed_logins = 1000, locked_until = NULL")
    with pytest.raises(NotAllowed):
        await sign_in(pool, NOW, "lau", "sai mật khẩu")
    assert await conn.fetchval("SELECT locked_until FROM official") == NOW + timedelta(minutes=15)


async def test_a_session_is_found_by_its_cookie_until_it_is_closed(
    conn: Conn, keyring: Keyring
) -> None:
    actor = await official(conn, "phien")
    opened = await sessions.open_session(conn, keyring, actor, NOW)
    found = await sessions.find_session(conn, keyring, NOW, opened.token)
    assert found is not None
    assert (found.actor, found.csrf) == (actor, opened.csrf)
    assert await sessions.find_session(conn, keyring, NOW, opened.token + "x") is None
    stored = await conn.fetchval("SELECT session::text FROM session")
    assert opened.token not in stored
    await sessions.close_session(conn, keyring, opened.token)
    assert await sessions.find_session(conn, keyring, NOW, opened.token) is None


async def test_a_session_ends_when_idle_and_in_any_case_after_its_longest(
    conn: Conn, keyring: Keyring
) -> None:
    actor = await official(conn, "lau")
    opened = await sessions.open_session(conn, keyring, actor, NOW)
    at = NOW
    while at < NOW + sessions.LONGEST - sessions.IDLE:
        at += sessions.IDLE - timedelta(seconds=1)
        assert await sessions.find_session(conn, keyring, at, opened.token)
    assert await sessions.find_session(conn, keyring, at + sessions.IDLE, opened.token) is None
    at = NOW + sessions.LONGEST
    assert await sessions.find_session(conn, keyring, at, opened.token) is None
    assert await sessions.expire_sessions(conn, at) == 1


async def test_an_official_put_out_of_use_is_out_at_once(conn: Conn, keyring: Keyring) -> None:
    actor = await official(conn, "ra")
    opened = await sessions.open_session(conn, keyring, actor, NOW)
    await conn.execute("UPDATE official SET active = false")
    assert await sessions.find_session(conn, keyring, NOW, opened.token) is None
    await sessions.close_all(conn, actor.official_id)
    assert await conn.fetchval("SELECT count(*) FROM session") == 0
