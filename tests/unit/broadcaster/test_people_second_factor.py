"""The second factor: each code once, few tries, codes on paper, and nobody else's phone."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pyotp
import pytest

from broadcaster.db import Conn, Pool
from broadcaster.errors import Conflict, NotAllowed, Refused
from broadcaster.keyring import Keyring
from broadcaster.people import enrolment, enrolment_codes, second_factor, sessions, signin
from broadcaster.people.officials import Actor, Role, load_actor
from broadcaster.people.roles import grant, revoke
from broadcaster.people.units import UnitMap
from tests import factor
from tests.unit.broadcaster.city import BA_DINH, PASSWORD, official, unit_id

NOW = datetime(2026, 9, 9, 20, 17, 5, tzinfo=UTC)
STEP = timedelta(seconds=30)


@pytest.fixture
async def lan(conn: Conn, keyring: Keyring) -> Actor:
    made = await official(conn, "lan")
    await factor.enrol(conn, keyring, made, NOW)
    return made


async def use(conn: Conn, keyring: Keyring, actor: Actor, now: datetime, code: str) -> str:
    """Prove and spend, as an approval does."""
    proof = await second_factor.prove(conn, keyring, actor, now, code)
    async with conn.transaction():
        await second_factor.spend(conn, now, proof)
    return proof.kind


@pytest.mark.parametrize("drift", [-1, 0, 1])
async def test_a_phone_may_be_a_step_ahead_or_behind(
    conn: Conn, keyring: Keyring, lan: Actor, drift: int
) -> None:
    assert await use(conn, keyring, lan, NOW, factor.code(NOW + drift * STEP)) == "totp"


@pytest.mark.parametrize("drift", [-2, 2])
async def test_further_off_it_is_wrong(
    conn: Conn, keyring: Keyring, lan: Actor, drift: int
) -> None:
    with pytest.raises(NotAllowed, match="tries left: 4"):
        await use(conn, keyring, lan, NOW, factor.code(NOW + drift * STEP))


async def test_a_code_serves_once_and_so_does_every_one_before_it(
    conn: Conn, keyring: Keyring, lan: Actor
) -> None:
    await use(conn, keyring, lan, NOW, factor.code(NOW + STEP))
    for code in (factor.code(NOW), factor.code(NOW + STEP)):
        with pytest.raises(NotAllowed, match="used before"):
            await use(conn, keyring, lan, NOW, code)
    later = NOW + 2 * STEP
    assert await use(conn, keyring, lan, later, factor.code(later)) == "totp"


async def test_of_two_who_use_one_code_at_once_one_is_refused(
    pool: Pool, conn: Conn, keyring: Keyring, lan: Actor
) -> None:
    async def one() -> str:
        async with pool.acquire() as own:
            return await use(own, keyring, lan, NOW, factor.code(NOW))

    done = await asyncio.gather(*(one() for _ in range(4)), return_exceptions=True)
    assert done.count("totp") == 1
    assert all(isinstance(other, NotAllowed | Conflict) for other in done if other != "totp")


async def test_wrong_codes_make_the_account_wait_longer_each_time(
    conn: Conn, keyring: Keyring, lan: Actor
) -> None:
    for _ in range(second_factor.TRIES):
        with pytest.raises(NotAllowed):
            await use(conn, keyring, lan, NOW, "000000")
    with pytest.raises(NotAllowed, match="Wait 1 min"):
        await use(conn, keyring, lan, NOW, factor.code(NOW))
    after = NOW + timedelta(minutes=1)
    with pytest.raises(NotAllowed, match="Wait 2 min"):
        await use(conn, keyring, lan, after, "000000")
    much_later = after + timedelta(minutes=2)
    assert await use(conn, keyring, lan, much_later, factor.code(much_later)) == "totp"
    with pytest.raises(NotAllowed, match="tries left: 4"):
        await use(conn, keyring, lan, much_later, "000000")


async def test_a_recovery_code_serves_once_even_while_digits_are_not_heard(
    conn: Conn, keyring: Keyring, lan: Actor
) -> None:
    codes = await factor.enrol(conn, keyring, lan, NOW)
    for _ in range(second_factor.TRIES):
        with pytest.raises(NotAllowed):
            await use(conn, keyring, lan, NOW, "000000")
    assert await use(conn, keyring, lan, NOW, codes[3].lower().replace("-", " ")) == "recovery"
    with pytest.raises(NotAllowed, match="used before"):
        await use(conn, keyring, lan, NOW, codes[3])
    assert (await second_factor.standing(conn, lan.official_id, NOW)).recovery_left == 9
    with pytest.raises(NotAllowed, match="recovery code is wrong"):
        await use(conn, keyring, lan, NOW, "2222-2222-2222")


async def test_nobody_elses_codes_and_nothing_readable_in_the_database(
    conn: Conn, keyring: Keyring, lan: Actor
) -> None:
    codes = await factor.enrol(conn, keyring, lan, NOW)
    mai = await official(conn, "mai")
    await factor.enrol(conn, keyring, mai, NOW)
    with pytest.raises(NotAllowed):
        await use(conn, keyring, mai, NOW, codes[0])
    sealed = await conn.fetchval(
        "SELECT secret_enc FROM second_factor WHERE official_id = $1", lan.official_id
    )
    assert factor.SECRET.encode() not in sealed
    await conn.execute(
        "UPDATE second_factor SET secret_enc = $2 WHERE official_id = $1", mai.official_id, sealed
    )
    with pytest.raises(ValueError, match="does not open"):
        await use(conn, keyring, mai, NOW, factor.code(NOW))


async def test_codes_of_an_earlier_secret_key_still_work(conn: Conn, lan: Actor) -> None:
    before = Keyring("the first secret of the tests, long enough")
    codes = await factor.enrol(conn, before, lan, NOW)
    after = Keyring("the second secret of the tests, long too", [before_secret()])
    assert await use(conn, after, lan, NOW, codes[0]) == "recovery"
    assert await use(conn, after, lan, NOW, factor.code(NOW)) == "totp"


def before_secret() -> str:
    return "the first secret of the tests, long enough"


async def test_enrolling_needs_a_code_of_the_new_phone_and_then_of_the_old_one(
    conn: Conn, keyring: Keyring
) -> None:
    actor = await official(conn, "mai")
    with pytest.raises(NotAllowed, match="no second factor"):
        await use(conn, keyring, actor, NOW, "123456")
    offered = await enrolment.offer(conn, keyring, actor, NOW)
    assert offered == await enrolment.offer(conn, keyring, actor, NOW)
    given = await enrolment_codes.give(conn, keyring, None, NOW, actor.official_id)
    with pytest.raises(Refused, match="does not fit"):
        await enrolment.confirm(conn, keyring, actor, NOW, "000000", given)
    first = pyotp.TOTP(offered.secret)
    with pytest.raises(NotAllowed, match="code to enrol is wrong"):
        await enrolment.confirm(conn, keyring, actor, NOW, first.at(NOW))
    codes = await enrolment.confirm(conn, keyring, actor, NOW, first.at(NOW), given.lower())
    assert len(set(codes)) == enrolment.RECOVERY_CODES

    later = NOW + timedelta(hours=1)
    second = pyotp.TOTP((await enrolment.offer(conn, keyring, actor, later)).secret)
    with pytest.raises(NotAllowed):
        await enrolment.confirm(conn, keyring, actor, later, second.at(later))
    assert await use(conn, keyring, actor, later, first.at(later)) == "totp"
    await enrolment.confirm(conn, keyring, actor, later, second.at(later), codes[0])
    with pytest.raises(NotAllowed):
        await use(conn, keyring, actor, later, codes[1])
    again = later + 2 * STEP
    assert await use(conn, keyring, actor, again, second.at(again)) == "totp"


async def test_a_lost_phone_is_taken_away_by_an_administrator_of_the_place(
    conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    ward, city = await unit_id(conn, BA_DINH), await unit_id(conn, "01")
    lan = await official(conn, "lan", Role("approver", ward))
    await factor.enrol(conn, keyring, lan, NOW)
    anna = await official(conn, "anna", Role("admin", city))
    other = await official(conn, "other", Role("admin", await unit_id(conn, "00008")))
    with pytest.raises(NotAllowed):
        await enrolment.reset(conn, other, NOW, lan.official_id, "mất máy")
    with pytest.raises(Refused, match="Say why"):
        await enrolment.reset(conn, anna, NOW, lan.official_id, " ")
    with pytest.raises(NotAllowed, match="their own"):
        await enrolment.reset(conn, anna, NOW, anna.official_id, "mất máy")
    await enrolment.reset(conn, anna, NOW, lan.official_id, "mất máy")
    assert not (await second_factor.standing(conn, lan.official_id, NOW)).enrolled
    detail = await conn.fetchval(
        "SELECT detail FROM audit WHERE action = 'official.second_factor_reset'"
    )
    assert detail == {"reason": "mất máy"}


async def test_a_new_password_ends_every_other_session(
    pool: Pool, conn: Conn, keyring: Keyring
) -> None:
    actor = await official(conn, "lan")
    mine = await sessions.open_session(conn, keyring, actor, NOW, "Firefox")
    other = await sessions.open_session(conn, keyring, actor, NOW)
    with pytest.raises(NotAllowed):
        await signin.change_password(pool, NOW, actor, "sai mật khẩu", "một mật khẩu mới")
    with pytest.raises(Refused, match="at least 10"):
        await signin.change_password(pool, NOW, actor, PASSWORD, "ngắn")
    await signin.change_password(pool, NOW, actor, PASSWORD, "một mật khẩu mới")
    known = await sessions.known(conn, keyring, actor.official_id, NOW, mine.token)
    assert [(one.agent, one.this) for one in known] == [("Firefox", True), ("", False)]
    assert await sessions.close_all(conn, actor.official_id, keyring, mine.token) == 1
    assert await sessions.find_session(conn, keyring, NOW, other.token) is None
    assert await sessions.find_session(conn, keyring, NOW, mine.token) is not None
    with pytest.raises(NotAllowed):
        await signin.sign_in(pool, NOW, "lan", PASSWORD)
    assert (await signin.sign_in(pool, NOW, "lan", "một mật khẩu mới")).login == "lan"


async def test_roles_are_given_and_taken_by_whoever_administers_the_place(
    conn: Conn, units: UnitMap
) -> None:
    ward, other = await unit_id(conn, BA_DINH), await unit_id(conn, "00008")
    lan = await official(conn, "lan")
    admin = await official(conn, "admin", Role("admin", ward))
    made = await grant(conn, admin, NOW, lan.official_id, Role("approver", ward))
    assert made.roles == (Role("approver", ward),)
    with pytest.raises(Conflict):
        await grant(conn, admin, NOW, lan.official_id, Role("approver", ward))
    with pytest.raises(NotAllowed):
        await grant(conn, admin, NOW, lan.official_id, Role("approver", other))
    await revoke(conn, admin, NOW, lan.official_id, Role("approver", ward))
    assert (await load_actor(conn, lan.official_id)).roles == ()
    with pytest.raises(Conflict):
        await revoke(conn, admin, NOW, lan.official_id, Role("approver", ward))
