"""From a right password to a session: what else is asked, of whom; nothing opens before."""

from __future__ import annotations

from datetime import timedelta

import pytest

from broadcaster.db import Conn, Pool
from broadcaster.errors import Conflict, NotAllowed, NotFound, Refused
from broadcaster.keyring import Keyring
from broadcaster.people import entering, sessions, signin
from broadcaster.people.entering import CODE, PASSWORD
from broadcaster.people.officials import Actor, Role, root_ids
from broadcaster.people.units import UnitMap
from broadcaster.settings import SecondStep
from tests import factor
from tests.unit.broadcaster import city
from tests.unit.broadcaster.city import BA_DINH, NOW, official, unit_id

LEADING, EVERYONE, OFF = SecondStep.LEADING, SecondStep.EVERYONE, SecondStep.OFF
OWN = "một mật khẩu của riêng"


async def _who(conn: Conn, role: str, where: str) -> Actor:
    top, ward = (await root_ids(conn))[0], await unit_id(conn, BA_DINH)
    return await official(conn, "ai", Role(role, top if where == "city" else ward))


@pytest.mark.parametrize(
    ("role", "where", "rule", "asked"),
    [
        ("admin", "ward", LEADING, True),
        ("approver", "city", LEADING, True),
        ("approver", "ward", LEADING, False),
        ("author", "city", LEADING, False),
        ("author", "ward", EVERYONE, True),
        ("admin", "city", OFF, False),
    ],
)
async def test_a_code_is_asked_of_whom_the_setting_means_once_they_are_enrolled(
    conn: Conn, keyring: Keyring, units: UnitMap, role: str, where: str, rule: SecondStep,
    asked: bool,
) -> None:  # fmt: skip
    actor = await _who(conn, role, where)
    assert await entering.steps_of(conn, actor, NOW, rule) == ()
    await factor.enrol(conn, keyring, actor, NOW)
    assert await entering.steps_of(conn, actor, NOW, rule) == ((CODE,) if asked else ())


async def test_nothing_opens_before_the_code_and_then_a_new_session_does(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    actor = await _who(conn, "admin", "city")
    await factor.enrol(conn, keyring, actor, NOW)
    opened, steps = await entering.begin(conn, keyring, actor, NOW, "Firefox", LEADING)
    assert steps == (CODE,)
    assert await sessions.find_session(conn, keyring, NOW, opened.token) is None
    assert await sessions.known(conn, keyring, actor.official_id, NOW, "") == []
    with pytest.raises(NotAllowed):
        await entering.show_code(pool, keyring, NOW, opened.token, "000000")
    assert await conn.fetchval("SELECT count(*) FROM audit WHERE official_id IS NOT NULL") == 0
    code = factor.code(NOW)
    entered = await entering.show_code(pool, keyring, NOW, opened.token, code)
    assert entered is not None
    found = await sessions.find_session(conn, keyring, NOW, entered.token)
    assert found is not None
    assert found.actor == actor
    with pytest.raises(NotFound):
        await entering.show_code(pool, keyring, NOW, opened.token, code)
    assert await conn.fetchval("SELECT signed_in_at FROM official") == NOW
    assert await conn.fetchval("SELECT action FROM audit WHERE official_id IS NOT NULL")


async def test_a_code_serves_one_sign_in_and_a_recovery_code_does_too(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    actor = await _who(conn, "admin", "city")
    paper = await factor.enrol(conn, keyring, actor, NOW)
    for shown, fits in ((factor.code(NOW), True), (factor.code(NOW), False), (paper[0], True)):
        opened, _ = await entering.begin(conn, keyring, actor, NOW, "", LEADING)
        if fits:
            assert await entering.show_code(pool, keyring, NOW, opened.token, shown)
        else:
            with pytest.raises(NotAllowed, match="used before"):
                await entering.show_code(pool, keyring, NOW, opened.token, shown)


async def test_a_sign_in_on_its_way_ends_after_ten_minutes_and_with_the_account(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    actor = await _who(conn, "admin", "city")
    await factor.enrol(conn, keyring, actor, NOW)
    opened, _ = await entering.begin(conn, keyring, actor, NOW, "", LEADING)
    late = NOW + sessions.WAITING
    with pytest.raises(NotFound):
        await entering.show_code(pool, keyring, late, opened.token, factor.code(late))
    await sessions.close_all(conn, actor.official_id)
    with pytest.raises(NotFound):
        await entering.show_code(pool, keyring, NOW, opened.token, factor.code(NOW))


async def test_a_password_that_was_given_is_good_once_and_for_three_days(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    top = (await root_ids(conn))[0]
    chief = await official(conn, "chief", Role("admin", top))
    actor = await official(conn, "moi", Role("admin", await unit_id(conn, BA_DINH)))
    await factor.enrol(conn, keyring, actor, NOW)
    given = await signin.give_password(pool, NOW, chief, actor.official_id)
    with pytest.raises(NotAllowed):
        await signin.sign_in(pool, NOW, "moi", city.PASSWORD)
    assert await signin.sign_in(pool, NOW, "moi", given) == actor
    opened, steps = await entering.begin(conn, keyring, actor, NOW, "", LEADING)
    assert steps == (CODE, PASSWORD)
    with pytest.raises(Conflict):
        await entering.show_password(pool, keyring, NOW, opened.token, OWN)
    assert await entering.show_code(pool, keyring, NOW, opened.token, factor.code(NOW)) is None
    for wrong in ("ngắn", given):
        with pytest.raises(Refused):
            await entering.show_password(pool, keyring, NOW, opened.token, wrong)
    assert await entering.show_password(pool, keyring, NOW, opened.token, OWN)
    much_later = NOW + timedelta(days=30)
    assert await signin.sign_in(pool, much_later, "moi", OWN) == actor
    assert PASSWORD not in await entering.steps_of(conn, actor, much_later, LEADING)
    given = await signin.give_password(pool, NOW, chief, actor.official_id)
    with pytest.raises(NotAllowed) as refused:
        await signin.sign_in(pool, NOW + signin.ONCE_HOLDS, "moi", given)
    assert refused.value.code == "sign_in_failed"
