"""Who may act on whom: nobody beyond their own subtree, nobody on their own rights."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broadcaster.db import Conn, Pool
from broadcaster.errors import Conflict, NotAllowed, Refused
from broadcaster.keyring import Keyring
from broadcaster.people import enrolment, enrolment_codes, officials, roles, signin
from broadcaster.people.officials import Actor, Role, load_actor, root_ids
from broadcaster.people.units import UnitMap, groups_of
from tests.unit.broadcaster.city import BA_DINH, NGOC_HA, NOW, PHU_THUONG, official, unit_id

Act = Callable[[Pool, Conn, Keyring, Actor, Actor], Awaitable[Any]]

ACTS: dict[str, Act] = {
    "grant": lambda pool, conn, keys, admin, one: roles.grant(
        conn, admin, NOW, one.official_id, Role("monitor", one.roles[0].unit_id)
    ),
    "revoke": lambda pool, conn, keys, admin, one: roles.revoke(
        conn, admin, NOW, one.official_id, one.roles[0]
    ),
    "password": lambda pool, conn, keys, admin, one: signin.give_password(
        pool, NOW, admin, one.official_id
    ),
    "enrolment code": lambda pool, conn, keys, admin, one: enrolment_codes.give(
        conn, keys, admin, NOW, one.official_id
    ),
    "second factor": lambda pool, conn, keys, admin, one: enrolment.reset(
        conn, admin, NOW, one.official_id, "mất máy"
    ),
    "retire": lambda pool, conn, keys, admin, one: signin.retire(
        conn, admin, NOW, one.official_id, "nghỉ"
    ),
}


@pytest.mark.parametrize("act", ACTS)
async def test_nobody_acts_on_somebody_of_another_unit_nor_on_themselves(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap, act: str
) -> None:
    ward, other = await unit_id(conn, BA_DINH), await unit_id(conn, NGOC_HA)
    admin = await official(conn, "quantri", Role("admin", ward))
    neighbour = await official(conn, "ben", Role("author", other))
    above = await official(conn, "tren", Role("author", (await root_ids(conn))[0]))
    for one in (neighbour, above):
        with pytest.raises(NotAllowed):
            await ACTS[act](pool, conn, keyring, admin, one)
    if act != "revoke":
        with pytest.raises(NotAllowed):
            await ACTS[act](pool, conn, keyring, admin, admin)
    assert (await load_actor(conn, neighbour.official_id)).roles == neighbour.roles
    assert not await conn.fetchval("SELECT EXISTS (SELECT FROM audit WHERE official_id <> 0)")


@pytest.mark.parametrize("act", ACTS)
async def test_within_the_unit_every_act_is_done_and_stands_in_the_trail(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap, act: str
) -> None:
    ward = await unit_id(conn, BA_DINH)
    admin = await official(conn, "quantri", Role("admin", ward))
    one = await official(conn, "nguoi", Role("author", ward))
    await ACTS[act](pool, conn, keyring, admin, one)
    assert await conn.fetchval(
        "SELECT subject_id FROM audit WHERE official_id = $1", admin.official_id
    ) == one.official_id  # fmt: skip


async def _elsewhere(conn: Conn) -> dict[str, Role]:
    """Places a role may be at, and names for them."""
    group = next(one for one in await groups_of(conn) if len(one.shares) > 1)
    return {
        "city": Role("author", (await root_ids(conn))[0]),
        "ba dinh": Role("author", await unit_id(conn, BA_DINH)),
        "ngoc ha": Role("author", await unit_id(conn, NGOC_HA)),
        "phu thuong": Role("author", await unit_id(conn, PHU_THUONG)),
        "group": Role("author", group_id=group.group_id),
    }


@settings(
    max_examples=40, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(
    mine=st.sets(st.sampled_from(["city", "ba dinh", "ngoc ha", "phu thuong", "group"])),
    theirs=st.sets(st.sampled_from(["city", "ba dinh", "ngoc ha", "phu thuong", "group"])),
)
async def test_whoever_reaches_every_place_and_only_they_may_act(
    conn: Conn, units: UnitMap, mine: set[str], theirs: set[str]
) -> None:
    places = await _elsewhere(conn)
    admin = Actor(
        0, "a", "A", "", "vi", False,
        tuple(Role("admin", places[one].unit_id, places[one].group_id) for one in mine),
    )  # fmt: skip
    them = Actor(1, "b", "B", "", "vi", False, tuple(places[one] for one in theirs))
    needed = await officials.authority(conn, them, "author")
    may = needed <= await officials.authority(conn, admin, "admin") if theirs else "city" in mine
    reach = await roles.admin_reach(conn, admin)
    assert reach.covers(them.roles) is (may and bool(mine))
    assert reach.covers(them.roles) <= (reach.touches(them.roles) or not theirs)
    try:
        await roles.require_admin_over(conn, admin, them)
    except NotAllowed:
        assert not (may and mine)


async def test_who_has_no_role_is_the_citys_alone(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    ward = await unit_id(conn, BA_DINH)
    admin = await official(conn, "quantri", Role("admin", ward))
    chief = await official(conn, "chief", Role("admin", (await root_ids(conn))[0]))
    moving = await official(conn, "chuyen")
    with pytest.raises(NotAllowed):
        await signin.give_password(pool, NOW, admin, moving.official_id)
    assert len(await signin.give_password(pool, NOW, chief, moving.official_id)) == 14


async def test_roles_at_a_unit_that_ended_are_taken_by_its_successors_administrator(
    conn: Conn, units: UnitMap
) -> None:
    ward, old = await unit_id(conn, BA_DINH), await unit_id(conn, NGOC_HA)
    await conn.execute("UPDATE unit SET valid_to = $2 WHERE unit_id = $1", old, date(2025, 12, 31))
    await conn.execute(
        "INSERT INTO unit_successor (unit_id, successor_id, known_by) VALUES ($1, $2, 'same')",
        old,
        ward,
    )
    admin = await official(conn, "quantri", Role("admin", ward))
    one = await official(conn, "cu", Role("author", old), Role("author", ward))
    left = await roles.revoke(conn, admin, NOW, one.official_id, Role("author", old))
    assert left.roles == (Role("author", ward),)


async def test_a_group_without_members_is_nobodys_but_the_citys(conn: Conn, units: UnitMap) -> None:
    empty = (await groups_of(conn))[0].group_id
    await conn.execute("DELETE FROM unit_group_member WHERE group_id = $1", empty)
    admin = await official(conn, "quantri", Role("admin", await unit_id(conn, BA_DINH)))
    one = await official(conn, "nguoi", Role("author", await unit_id(conn, BA_DINH)))
    with pytest.raises(NotAllowed):
        await roles.grant(conn, admin, NOW, one.official_id, Role("approver", group_id=empty))


async def test_the_citys_last_administrator_stays_even_when_two_go_at_once(
    pool: Pool, conn: Conn, units: UnitMap
) -> None:
    top = (await root_ids(conn))[0]
    chief = await official(conn, "chief", Role("admin", top))
    with pytest.raises(Conflict, match="last administrator"):
        await roles.revoke(conn, chief, NOW, chief.official_id, Role("admin", top))
    second = await official(conn, "second", Role("admin", top))

    async def retired(admin: Actor, other: Actor) -> None:
        async with pool.acquire() as own:
            await signin.retire(own, admin, NOW, other.official_id, "nghỉ")

    done = await asyncio.gather(
        retired(chief, second), retired(second, chief), return_exceptions=True
    )
    assert sum(isinstance(one, Refused) for one in done) == 1
    assert await roles.has_city_admin(conn, [top])
